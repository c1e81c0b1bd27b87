//! Which module defines the name that a path ends in, by the rules of `use`. Visibility doesn't matter: the code compiles.

use crate::source::{Binding, Import, Mention, ModuleId, Repository};

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A module itself, whose names others may use.
    Module(ModuleId),
    /// An item, or something in one: the module that defines the item, and the item's name there.
    Item(ModuleId, String),
}

/// Lookups under way: an import can lead back to itself.
type UnderWay = Vec<(ModuleId, String, bool)>;

impl Repository {
    /// What this path leads to from a module; `None` outside of the repository, and for variables.
    pub(crate) fn resolve(&self, from: ModuleId, path: &[String]) -> Option<Target> {
        self.walk(from, path, &mut UnderWay::new())
    }

    /// What a mention adds to the `use` items of its module; `None` if it begins with an item, which is in the module or imported.
    pub(crate) fn resolve_beyond_imports(&self, from: ModuleId, mention: &Mention) -> Option<Target> {
        let [first, _, ..] = mention.path.as_slice() else { return None };
        match self.look_up(from, first, true, &mut UnderWay::new()) {
            Some(Target::Item(..)) => None,
            Some(Target::Module(_)) | None => self.resolve(from, &mention.path),
        }
    }

    fn walk(&self, from: ModuleId, path: &[String], under_way: &mut UnderWay) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let at = match first.as_str() {
            "crate" => Target::Module(self.module(from).root),
            "self" => Target::Module(from),
            "super" => Target::Module(self.module(from).parent?),
            "::" => {
                let (library, rest) = rest.split_first()?;
                return self.descend(Target::Module(*self.libraries.get(library)?), rest, under_way);
            }
            name => {
                let found = self.look_up(from, name, !rest.is_empty(), under_way);
                let library = || self.libraries.get(name).copied().map(Target::Module);
                found.or_else(library).or_else(|| self.declared_by_macro(from, name))?
            }
        };
        self.descend(at, rest, under_way)
    }

    fn descend(&self, mut at: Target, path: &[String], under_way: &mut UnderWay) -> Option<Target> {
        let mut rest = path;
        while let (Target::Module(module), Some((name, after))) = (&at, rest.split_first()) {
            let module = *module;
            at = if name == "super" {
                Target::Module(self.module(module).parent?)
            } else {
                // A name that can't be found is one that a macro declares.
                let found = self.look_up(module, name, !after.is_empty(), under_way);
                found.unwrap_or_else(|| Target::Item(module, name.clone()))
            };
            rest = after;
        }
        Some(at)
    }

    /// A name in the scope of a module. A name with more behind it is a module before it is an item; a name that ends a path is not.
    fn look_up(&self, at: ModuleId, name: &str, is_prefix: bool, under_way: &mut UnderWay) -> Option<Target> {
        let this = (at, name.to_owned(), is_prefix);
        if under_way.contains(&this) {
            return None;
        }
        under_way.push(this);
        let module = self.module(at);
        let child = || module.children.get(name).copied().map(Target::Module);
        let item = || {
            let item = module.items.get(name).filter(|item| item.can_be_prefix || !is_prefix);
            item.map(|_| Target::Item(at, name.to_owned()))
        };
        let own = if is_prefix { child().or_else(item) } else { item() };
        let found = own
            .or_else(|| {
                let mut named = module.imports.iter().filter(|import| import.is_named(name));
                named.find_map(|import| self.walk(at, &import.mention.path, under_way))
            })
            .or_else(child)
            .or_else(|| {
                let mut globs = module.imports.iter().filter(|import| import.binds == Binding::Glob);
                globs.find_map(|import| match self.walk(at, &import.mention.path, under_way)? {
                    Target::Module(module) => {
                        let found = self.look_up(module, name, is_prefix, under_way);
                        found.or_else(|| self.declared_by_macro(module, name))
                    }
                    Target::Item(..) => None,
                })
            });
        under_way.pop();
        found
    }

    /// A name that a macro call in this module may declare.
    fn declared_by_macro(&self, module: ModuleId, name: &str) -> Option<Target> {
        self.module(module).macro_names.contains_key(name).then(|| Target::Item(module, name.to_owned()))
    }

    /// Every item that a `use` names: one, or with a glob all those in a module. A module that is imported for its name is none.
    pub(crate) fn imported(&self, from: ModuleId, import: &Import) -> Vec<Target> {
        match self.resolve(from, &import.mention.path) {
            Some(Target::Module(module)) if import.binds == Binding::Glob => self.items_in(module, &mut Vec::new()),
            Some(Target::Module(_)) | None => Vec::new(),
            Some(item @ Target::Item(..)) => vec![item],
        }
    }

    /// The items that a module declares or exports again.
    fn items_in(&self, module: ModuleId, seen: &mut Vec<ModuleId>) -> Vec<Target> {
        if seen.contains(&module) {
            return Vec::new();
        }
        seen.push(module);
        let declared = self.module(module).items.keys().chain(self.module(module).macro_names.keys());
        let mut items: Vec<Target> = declared.map(|name| Target::Item(module, name.clone())).collect();
        for import in self.module(module).imports.iter().filter(|import| import.is_public) {
            match self.resolve(module, &import.mention.path) {
                Some(Target::Module(inner)) if import.binds == Binding::Glob => {
                    items.extend(self.items_in(inner, seen))
                }
                Some(item @ Target::Item(..)) => items.push(item),
                Some(Target::Module(_)) | None => {}
            }
        }
        items
    }
}
