//! The crates of the repository as modules, with the names that each module declares and the paths that it mentions.
//!
//! It reads syntax only: it doesn't expand macros, and it doesn't know types. Text in, tree out: it reads no files.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use proc_macro2::{Literal, TokenStream, TokenTree};
use syn::{
    Attribute, ImplItem, Item, LitStr, Meta, Token, TraitItem, UseTree, Visibility,
    punctuated::Punctuated,
    visit::{self, Visit},
};

use crate::texts::Texts;

/// All crates of a repository: libraries, programs, tests, benchmarks, examples.
#[derive(Default)]
pub(crate) struct Repository {
    modules: Vec<Module>,
    /// The root module of each library, by the name that other crates use.
    pub(crate) libraries: BTreeMap<String, ModuleId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ModuleId(usize);

/// A module. Several can be in one file.
pub(crate) struct Module {
    pub(crate) root: ModuleId,
    pub(crate) parent: Option<ModuleId>,
    pub(crate) file: PathBuf,
    pub(crate) is_public: bool,
    /// Compiled for tests only.
    pub(crate) is_test: bool,
    pub(crate) children: BTreeMap<String, ModuleId>,
    pub(crate) items: BTreeMap<String, Declaration>,
    /// Names in macros and their calls, which may declare items: consulted when no other name matches.
    pub(crate) macro_names: BTreeMap<String, Declaration>,
    pub(crate) imports: Vec<Import>,
    pub(crate) mentions: Vec<Mention>,
    pub(crate) impls: Vec<Impl>,
}

/// An item of a module, except for modules and imports.
#[derive(Default)]
pub(crate) struct Declaration {
    pub(crate) is_public: bool,
    /// A path can go on behind it, as behind a type and unlike a function.
    pub(crate) can_be_prefix: bool,
    /// The paths that a user of the item has to know too: its signature, its public fields, its variants.
    pub(crate) interface: Vec<Mention>,
}

/// An `impl` block, with the paths in the public part of it.
pub(crate) struct Impl {
    pub(crate) of: Mention,
    pub(crate) interface: Vec<Mention>,
}

/// A path, as it is written. The first segment of `::a::b` is `::`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    pub(crate) is_test: bool,
}

/// One name of a `use`, or a glob.
pub(crate) struct Import {
    pub(crate) mention: Mention,
    pub(crate) binds: Binding,
    pub(crate) is_public: bool,
}

impl Import {
    /// Whether it brings this name into scope.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        matches!(&self.binds, Binding::Name(bound) if bound == name)
    }
}

#[derive(PartialEq, Eq)]
pub(crate) enum Binding {
    Name(String),
    Glob,
}

impl Repository {
    /// Reads all crates. A package is a folder with a manifest. Its crates are `src/lib.rs`, `src/main.rs`, the files of `src/bin`, and each file
    /// outside of `src` that no other crate contains.
    ///
    /// # Errors
    /// A file can't be parsed, a module has no file, or a file in `src` belongs to no module.
    pub(crate) fn read(texts: &Texts) -> Result<Self, String> {
        let mut reader = Reader { texts, repository: Self::default(), reached: BTreeSet::new() };
        let folders: Vec<&Path> =
            texts.keys().filter(|path| path.ends_with("Cargo.toml")).filter_map(|path| path.parent()).collect();
        for folder in &folders {
            let is_inside = |file: &&PathBuf| {
                let nearest = folders.iter().filter(|folder| file.starts_with(folder));
                nearest.max_by_key(|folder| folder.components().count()) == Some(folder)
            };
            reader.package(folder, texts.keys().filter(is_inside).filter(|file| is_rust(file)).collect())?;
        }
        Ok(reader.repository)
    }

    #[expect(clippy::indexing_slicing, reason = "only this repository makes ids, and it removes no module")]
    pub(crate) fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id.0]
    }

    #[expect(clippy::indexing_slicing, reason = "as in `module`")]
    fn module_mut(&mut self, id: ModuleId) -> &mut Module {
        &mut self.modules[id.0]
    }

    /// The files that contain code outside of tests.
    pub(crate) fn files(&self) -> BTreeSet<&Path> {
        self.modules.iter().filter(|module| !module.is_test).map(|module| module.file.as_path()).collect()
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = (ModuleId, &Module)> {
        self.modules.iter().enumerate().map(|(id, module)| (ModuleId(id), module))
    }
}

fn is_rust(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "rs")
}

struct Reader<'a> {
    texts: &'a Texts,
    repository: Repository,
    reached: BTreeSet<PathBuf>,
}

/// What a new module is.
struct New {
    name: String,
    parent: Option<ModuleId>,
    file: PathBuf,
    is_public: bool,
    is_test: bool,
}

impl Reader<'_> {
    fn package(&mut self, folder: &Path, files: Vec<&PathBuf>) -> Result<(), String> {
        let src = folder.join("src");
        let (mut inside, mut outside): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.starts_with(&src));
        let (library, program, programs) = (src.join("lib.rs"), src.join("main.rs"), src.join("bin"));
        inside.retain(|file| **file == library || **file == program || file.parent() == Some(programs.as_path()));
        // A crate of several files is in its `main.rs`, or in the file that is highest up.
        outside.sort_by_key(|file| (!file.ends_with("main.rs"), file.components().count()));
        for file in inside {
            let root = self.root(file)?;
            if *file == library {
                self.repository.libraries.insert(self.library_name(folder)?, root);
            }
        }
        for file in outside {
            if !self.reached.contains(file) {
                self.root(file)?;
            }
        }
        match self.texts.keys().find(|file| file.starts_with(&src) && is_rust(file) && !self.reached.contains(*file)) {
            Some(lost) => Err(format!("{}: no module declares this file", lost.display())),
            None => Ok(()),
        }
    }

    /// The name of the package, as paths have it. Here, no library has another name than its package.
    fn library_name(&self, folder: &Path) -> Result<String, String> {
        let manifest = folder.join("Cargo.toml");
        let text = self.texts.get(&manifest).map(String::as_str).unwrap_or_default();
        let after = text.split_once("[package]").map(|(_, after)| after).unwrap_or_default();
        let name = after.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        name.map(|name| name.replace('-', "_")).ok_or_else(|| format!("{}: no package name", manifest.display()))
    }

    fn root(&mut self, file: &Path) -> Result<ModuleId, String> {
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let new = New { name: String::new(), parent: None, file: file.to_owned(), is_public: true, is_test: false };
        self.file(new, &folder)
    }

    /// Reads a module that has a file; the files of its children are in `folder`.
    fn file(&mut self, mut new: New, folder: &Path) -> Result<ModuleId, String> {
        let shown = new.file.display().to_string();
        let text = self.texts.get(&new.file).ok_or_else(|| format!("{shown}: there is no such file"))?;
        let syntax =
            syn::parse_file(text).map_err(|error| format!("{shown}:{}: {error}", error.span().start().line))?;
        self.reached.insert(new.file.clone());
        new.is_test |= is_for_tests(&syntax.attrs);
        self.fill(new, &syntax.items, folder)
    }

    fn fill(&mut self, new: New, items: &[Item], folder: &Path) -> Result<ModuleId, String> {
        let id = self.add(&new);
        for item in items {
            let is_test = new.is_test || is_for_tests(attributes(item));
            if let Item::Mod(child) = item {
                let name = child.ident.to_string();
                let is_public = is_public(&child.vis);
                let inner = folder.join(&name);
                let mut new = New { name, parent: Some(id), file: new.file.clone(), is_public, is_test };
                match &child.content {
                    Some((_, items)) => self.fill(new, items, &inner)?,
                    None => {
                        // A module whose path an attribute names is a file of another program, here of the build script.
                        if child.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
                            continue;
                        }
                        let beside = inner.with_extension("rs");
                        new.file = if self.texts.contains_key(&beside) { beside } else { inner.join("mod.rs") };
                        self.file(new, &inner)?
                    }
                };
            } else {
                self.repository.module_mut(id).declare(item, is_test);
            }
        }
        Ok(id)
    }

    fn add(&mut self, new: &New) -> ModuleId {
        let id = ModuleId(self.repository.modules.len());
        let root = new.parent.map_or(id, |parent| self.repository.module(parent).root);
        self.repository.modules.push(Module {
            root,
            parent: new.parent,
            file: new.file.clone(),
            is_public: new.is_public,
            is_test: new.is_test,
            children: BTreeMap::new(),
            items: BTreeMap::new(),
            macro_names: BTreeMap::new(),
            imports: Vec::new(),
            mentions: Vec::new(),
            impls: Vec::new(),
        });
        if let Some(parent) = new.parent {
            self.repository.module_mut(parent).children.insert(new.name.clone(), id);
        }
        id
    }
}

impl Module {
    /// Adds an item that isn't a module.
    fn declare(&mut self, item: &Item, is_test: bool) {
        let mut paths = Paths { is_test, ..Paths::default() };
        paths.visit_item(item);
        if let Item::Macro(call) = item {
            for name in identifiers(call.mac.tokens.clone()) {
                self.macro_names.entry(name).or_default().interface.extend(paths.mentions.iter().cloned());
            }
        }
        self.mentions.extend(paths.mentions);
        self.imports.extend(paths.imports);
        if let Item::Impl(block) = item {
            let mut of = Paths { is_test, ..Paths::default() };
            of.visit_type(&block.self_ty);
            let interface = interface(is_test, |paths| {
                paths.visit_generics(&block.generics);
                for item in &block.items {
                    match item {
                        ImplItem::Type(associated) => paths.visit_type(&associated.ty),
                        ImplItem::Fn(method) if is_public(&method.vis) => paths.visit_signature(&method.sig),
                        ImplItem::Const(constant) if is_public(&constant.vis) => paths.visit_type(&constant.ty),
                        ImplItem::Fn(_) | ImplItem::Const(_) | ImplItem::Macro(_) | ImplItem::Verbatim(_) | _ => {}
                    }
                }
            });
            // The outermost path comes first: `Option<Text>` is an impl of Option.
            self.impls.extend(of.mentions.into_iter().next().map(|of| Impl { of, interface }));
        }
        if let Some((name, visibility)) = name_of(item) {
            // One name can be an item in each namespace, or one for each system.
            let declaration = self.items.entry(name).or_default();
            declaration.can_be_prefix |= can_be_prefix(item);
            declaration.is_public |= !is_test && visibility.is_some_and(is_public);
            declaration.interface.extend(interface(is_test, |paths| paths.visit_interface(item)));
        }
    }
}

fn interface(is_test: bool, visit: impl FnOnce(&mut Paths)) -> Vec<Mention> {
    let mut paths = Paths { is_test, ..Paths::default() };
    visit(&mut paths);
    paths.mentions
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other items have no name of their own")]
fn name_of(item: &Item) -> Option<(String, Option<&Visibility>)> {
    let (name, visibility) = match item {
        Item::Const(item) => (&item.ident, Some(&item.vis)),
        Item::Enum(item) => (&item.ident, Some(&item.vis)),
        Item::Fn(item) => (&item.sig.ident, Some(&item.vis)),
        Item::Macro(item) => (item.ident.as_ref()?, None),
        Item::Static(item) => (&item.ident, Some(&item.vis)),
        Item::Struct(item) => (&item.ident, Some(&item.vis)),
        Item::Trait(item) => (&item.ident, Some(&item.vis)),
        Item::TraitAlias(item) => (&item.ident, Some(&item.vis)),
        Item::Type(item) => (&item.ident, Some(&item.vis)),
        Item::Union(item) => (&item.ident, Some(&item.vis)),
        _ => return None,
    };
    Some((name.to_string(), visibility))
}

fn can_be_prefix(item: &Item) -> bool {
    matches!(
        item,
        Item::Enum(_) | Item::Struct(_) | Item::Trait(_) | Item::TraitAlias(_) | Item::Type(_) | Item::Union(_)
    )
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Verbatim(_) | _ => &[],
    }
}

/// Whether a `cfg` leaves something out of every build that isn't a test.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .any(|attribute| attribute.parse_args::<Meta>().is_ok_and(|condition| !can_be(&condition, true)))
}

/// Whether a condition of a `cfg` can have this value in a build that isn't a test.
fn can_be(condition: &Meta, value: bool) -> bool {
    let Meta::List(list) = condition else { return !(value && condition.path().is_ident("test")) };
    let inner = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap_or_default();
    let (all, any) = (list.path.is_ident("all"), list.path.is_ident("any"));
    if list.path.is_ident("not") {
        inner.iter().all(|condition| can_be(condition, !value))
    } else if all == value && (all || any) {
        inner.iter().all(|condition| can_be(condition, value))
    } else if all || any {
        inner.iter().any(|condition| can_be(condition, value))
    } else {
        true
    }
}

/// Collects paths and imports. It doesn't visit visibilities: `pub(in path)` imports nothing.
#[derive(Default)]
struct Paths {
    is_test: bool,
    is_in_attribute: bool,
    mentions: Vec<Mention>,
    imports: Vec<Import>,
}

impl Paths {
    fn mention(&mut self, path: Vec<String>, line: usize) {
        if !path.is_empty() {
            self.mentions.push(Mention { path, line, is_test: self.is_test });
        }
    }

    fn with_attributes(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let outside = self.is_test;
        self.is_test |= is_for_tests(attributes);
        visit(self);
        self.is_test = outside;
    }

    /// What a user of an item sees of it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other items have no interface, or are not looked into")]
    fn visit_interface(&mut self, item: &Item) {
        match item {
            Item::Const(item) => self.visit_type(&item.ty),
            Item::Static(item) => self.visit_type(&item.ty),
            Item::Fn(item) => self.visit_signature(&item.sig),
            Item::Enum(item) => {
                self.visit_generics(&item.generics);
                item.variants.iter().for_each(|variant| self.visit_fields(&variant.fields));
            }
            Item::Struct(item) => {
                self.visit_generics(&item.generics);
                item.fields.iter().filter(|field| is_public(&field.vis)).for_each(|field| self.visit_field(field));
            }
            Item::Trait(item) => {
                self.visit_generics(&item.generics);
                item.supertraits.iter().for_each(|bound| self.visit_type_param_bound(bound));
                for item in &item.items {
                    if let TraitItem::Fn(method) = item {
                        self.visit_signature(&method.sig);
                    } else {
                        self.visit_trait_item(item);
                    }
                }
            }
            Item::Type(item) => {
                self.visit_generics(&item.generics);
                self.visit_type(&item.ty);
            }
            // Whatever it declares can show all that it mentions.
            Item::Macro(item) => self.scan(item.mac.tokens.clone()),
            _ => {}
        }
    }

    fn import(&mut self, tree: &UseTree, prefix: &[String], is_public: bool) {
        let (name, renamed) = match tree {
            UseTree::Path(path) => {
                return self.import(&path.tree, &joined(prefix, path.ident.to_string()), is_public);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, prefix, is_public));
            }
            UseTree::Glob(glob) => {
                let [star] = glob.star_token.spans;
                return self.bind(prefix.to_vec(), star.start().line, Binding::Glob, is_public);
            }
            UseTree::Name(name) => (&name.ident, &name.ident),
            UseTree::Rename(rename) => (&rename.ident, &rename.rename),
        };
        // In a group, `self` stands for the module before it, and for its name.
        let path = if name == "self" { prefix.to_vec() } else { joined(prefix, name.to_string()) };
        let bound = if renamed == "self" { path.last().cloned().unwrap_or_default() } else { renamed.to_string() };
        self.bind(path, name.span().start().line, Binding::Name(bound), is_public);
    }

    fn bind(&mut self, path: Vec<String>, line: usize, binds: Binding, is_public: bool) {
        let mention = Mention { path, line, is_test: self.is_test };
        self.imports.push(Import { mention, binds, is_public });
    }

    /// Tokens are not parsed: every run of names with `::` between them is taken for a path.
    fn scan(&mut self, tokens: TokenStream) {
        let (mut path, mut line, mut colons) = (Vec::new(), 0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.mention(std::mem::take(&mut path), line);
                    }
                    if path.is_empty() {
                        line = name.span().start().line;
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Punct(_) | TokenTree::Group(_) | TokenTree::Literal(_) => {
                    self.mention(std::mem::take(&mut path), line);
                    colons = 0;
                    if let TokenTree::Group(group) = token {
                        self.scan(group.stream());
                    } else if let TokenTree::Literal(literal) = token
                        && self.is_in_attribute
                    {
                        self.quoted(&literal);
                    }
                }
            }
        }
        self.mention(path, line);
    }

    /// A path in quotes, as attributes of serde have it.
    fn quoted(&mut self, literal: &Literal) {
        if let Ok(text) = syn::parse_str::<LitStr>(&literal.to_string())
            && let Ok(path) = text.parse::<syn::Path>()
        {
            self.mention(segments(&path), literal.span().start().line);
        }
    }
}

fn segments(path: &syn::Path) -> Vec<String> {
    let leading = path.leading_colon.as_ref().map(|_| "::".to_owned());
    leading.into_iter().chain(path.segments.iter().map(|segment| segment.ident.to_string())).collect()
}

fn joined(prefix: &[String], name: String) -> Vec<String> {
    prefix.iter().cloned().chain([name]).collect()
}

fn identifiers(tokens: TokenStream) -> Vec<String> {
    let names = |token| match token {
        TokenTree::Ident(name) => vec![name.to_string()],
        TokenTree::Group(group) => identifiers(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => Vec::new(),
    };
    tokens.into_iter().flat_map(names).collect()
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let line = path.segments.first().map_or(0, |first| first.ident.span().start().line);
        self.mention(segments(path), line);
        visit::visit_path(self, path);
    }

    fn visit_token_stream(&mut self, tokens: &'ast TokenStream) {
        self.scan(tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        self.is_in_attribute = true;
        visit::visit_attribute(self, attribute);
        self.is_in_attribute = false;
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let prefix: Vec<String> = item.leading_colon.as_ref().map(|_| "::".to_owned()).into_iter().collect();
        self.import(&item.tree, &prefix, is_public(&item.vis));
    }

    fn visit_item(&mut self, item: &'ast Item) {
        self.with_attributes(attributes(item), |paths| visit::visit_item(paths, item));
    }

    fn visit_impl_item_fn(&mut self, method: &'ast syn::ImplItemFn) {
        self.with_attributes(&method.attrs, |paths| visit::visit_impl_item_fn(paths, method));
    }

    fn visit_trait_item_fn(&mut self, method: &'ast syn::TraitItemFn) {
        self.with_attributes(&method.attrs, |paths| visit::visit_trait_item_fn(paths, method));
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        self.with_attributes(&field.attrs, |paths| visit::visit_field(paths, field));
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        self.with_attributes(&field.attrs, |paths| visit::visit_field_value(paths, field));
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.with_attributes(&variant.attrs, |paths| visit::visit_variant(paths, variant));
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.with_attributes(&arm.attrs, |paths| visit::visit_arm(paths, arm));
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        self.with_attributes(&local.attrs, |paths| visit::visit_local(paths, local));
    }
}
