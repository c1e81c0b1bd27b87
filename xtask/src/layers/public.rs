//! Public names of a library that no other crate uses.
//!
//! A name is in use if another crate mentions it, tests and benchmarks included, or if it is in the signature, in a public field or in a
//! variant of a name in use. Items are judged, not methods and fields; items that a macro declares can't be seen.

use std::collections::{BTreeMap, BTreeSet};

use super::names::Target;
use crate::source::{Binding, Mention, ModuleId, Repository};

/// The public names of a library that no other crate uses, as another crate would write them.
///
/// # Errors
/// There is no such library.
pub(crate) fn unused(repository: &Repository, library: &str) -> Result<BTreeSet<String>, String> {
    let root = *repository.libraries.get(library).ok_or_else(|| format!("there is no library `{library}`"))?;
    let mut exports = Exports { repository, names: BTreeMap::new(), under_way: Vec::new() };
    exports.add_module(root, library);
    let used = used(repository, root);
    Ok(exports.names.into_iter().filter(|(item, _)| !used.contains(item)).map(|(_, name)| name).collect())
}

/// What differs from a list of the unused names that stay public. A line of the list is a name and the reason; lines that begin with # are
/// comments.
pub(crate) fn compare(unused: &BTreeSet<String>, list: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut listed = BTreeSet::new();
    for line in list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, reason) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if reason.trim().is_empty() {
            problems.push(format!("{name}: the list has no reason for it"));
        }
        if !listed.insert(name.to_owned()) {
            problems.push(format!("{name}: it is in the list twice"));
        }
    }
    let missing = unused.difference(&listed);
    problems.extend(missing.map(|name| format!("{name}: public, but no other crate uses it")));
    let stale = listed.difference(unused);
    problems.extend(stale.map(|name| format!("{name}: in the list, but in use or not public")));
    problems
}

/// The items that can be reached from the root of a library, each with its shortest name.
struct Exports<'a> {
    repository: &'a Repository,
    names: BTreeMap<Target, String>,
    under_way: Vec<ModuleId>,
}

impl Exports<'_> {
    fn add_module(&mut self, id: ModuleId, path: &str) {
        if self.under_way.contains(&id) {
            return;
        }
        self.under_way.push(id);
        let repository = self.repository;
        let module = repository.module(id);
        for (name, _) in module.items.iter().filter(|(_, item)| item.is_public) {
            self.add_item(Target::Item(id, name.clone()), format!("{path}::{name}"));
        }
        for (name, child) in &module.children {
            let inner = repository.module(*child);
            if inner.is_public && !inner.is_test {
                self.add_module(*child, &format!("{path}::{name}"));
            }
        }
        for import in module.imports.iter().filter(|import| import.is_public && !import.mention.is_test) {
            match (repository.resolve(id, &import.mention.path), &import.binds) {
                (Some(Target::Module(inner)), Binding::Glob) => self.add_module(inner, path),
                (Some(Target::Module(inner)), Binding::Name(name)) => {
                    self.add_module(inner, &format!("{path}::{name}"));
                }
                (Some(item @ Target::Item(..)), Binding::Name(name)) => {
                    self.add_item(item, format!("{path}::{name}"));
                }
                (Some(Target::Item(..)), Binding::Glob) | (None, _) => {}
            }
        }
        self.under_way.pop();
    }

    fn add_item(&mut self, item: Target, name: String) {
        let known = self.names.entry(item).or_insert_with(|| name.clone());
        if name.len() < known.len() {
            *known = name;
        }
    }
}

/// The items of a crate that other crates use.
fn used(repository: &Repository, root: ModuleId) -> BTreeSet<Target> {
    let impls = impls(repository, root);
    let mut open = mentioned_elsewhere(repository, root);
    let mut used = BTreeSet::new();
    while let Some(target) = open.pop() {
        let Target::Item(module, name) = &target else { continue };
        if repository.module(*module).root != root || used.contains(&target) {
            continue;
        }
        let declared = [&repository.module(*module).items, &repository.module(*module).macro_names];
        let declared = declared.into_iter().filter_map(|names| names.get(name)).map(|item| (*module, &item.interface));
        for (module, interface) in declared.chain(impls.get(&target).into_iter().flatten().copied()) {
            open.extend(interface.iter().filter_map(|mention| repository.resolve(module, &mention.path)));
        }
        used.insert(target);
    }
    used
}

/// The impl blocks of a crate, by the item that they are of.
fn impls(repository: &Repository, root: ModuleId) -> BTreeMap<Target, Vec<(ModuleId, &Vec<Mention>)>> {
    let mut impls: BTreeMap<Target, Vec<_>> = BTreeMap::new();
    for (id, module) in repository.modules().filter(|(_, module)| module.root == root) {
        for block in &module.impls {
            if let Some(item) = repository.resolve(id, &block.of.path) {
                impls.entry(item).or_default().push((id, &block.interface));
            }
        }
    }
    impls
}

fn mentioned_elsewhere(repository: &Repository, root: ModuleId) -> Vec<Target> {
    let mut found = Vec::new();
    for (id, module) in repository.modules().filter(|(_, module)| module.root != root) {
        found.extend(module.imports.iter().flat_map(|import| repository.imported(id, import)));
        found.extend(module.mentions.iter().filter_map(|mention| repository.resolve_beyond_imports(id, mention)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unused_with(library: &str, program: &str) -> Vec<String> {
        let texts = [
            ("core/Cargo.toml", "[package]\nname = \"some-core\"\n"),
            ("core/src/lib.rs", library),
            ("core/src/hidden.rs", "pub struct Hidden; pub struct Seen;"),
            ("server/Cargo.toml", "[workspace]\n\n[package]\nname = \"server\"\n"),
            ("server/src/main.rs", program),
        ];
        let texts = texts.map(|(file, text)| (std::path::PathBuf::from(file), format!("{text}\n")));
        let repository = Repository::read(&texts.into()).unwrap();
        unused(&repository, "some_core").unwrap().into_iter().collect()
    }

    const LIBRARY: &str =
        "mod hidden; pub use hidden::Seen; pub mod a { pub struct One; pub(crate) struct Two; pub fn three() {} }";

    #[test]
    fn public_names_are_unused_until_another_crate_mentions_them() {
        assert_eq!(unused_with(LIBRARY, ""), ["some_core::Seen", "some_core::a::One", "some_core::a::three"]);
        for (program, rest) in [
            ("use some_core::Seen;", ["some_core::a::One", "some_core::a::three"]),
            ("use some_core::a; fn f() { a::three() }", ["some_core::Seen", "some_core::a::One"]),
            ("fn f() { println!(\"{}\", some_core::a::three()) }", ["some_core::Seen", "some_core::a::One"]),
            ("target!(|data| { some_core::a::three(data) });", ["some_core::Seen", "some_core::a::One"]),
            ("#[cfg(test)] mod tests { use some_core::a::One; }", ["some_core::Seen", "some_core::a::three"]),
        ] {
            assert_eq!(unused_with(LIBRARY, program), rest, "{program}");
        }
        assert_eq!(unused_with(LIBRARY, "use some_core::a::*;"), ["some_core::Seen"]);
    }

    #[test]
    fn a_use_in_the_library_itself_does_not_count() {
        let library = "mod hidden; pub struct One; mod b { use crate::One; }";
        assert_eq!(unused_with(library, "struct One;"), ["some_core::One"]);
    }

    #[test]
    fn names_in_the_interface_of_a_used_name_are_used() {
        let library = "mod hidden; pub struct Error; pub struct Inner; pub struct Private; pub struct Shown { pub inner: Inner, p: Private }
            pub struct Given; impl Shown { pub fn give(&self) -> Result<Given, Error> {} fn keep(&self, _: Private) {} }";
        assert_eq!(unused_with(library, "use some_core::Shown;"), ["some_core::Private"]);
    }

    #[test]
    fn names_in_the_interface_of_a_macro_item_are_used() {
        let library =
            "mod hidden; pub struct Error; macro_rules! kind { ($($name:ident),*) => { pub enum Kind { $($name),* } } }
            kind! { One, Two } impl std::str::FromStr for Kind { type Err = Error; }";
        assert_eq!(unused_with(library, ""), ["some_core::Error"]);
        assert_eq!(unused_with(library, "use some_core::Kind;"), [""; 0]);
    }

    #[test]
    fn list_and_unused_names_must_be_the_same() {
        let unused = BTreeSet::from(["c::A".to_owned(), "c::B".to_owned()]);
        assert_eq!(compare(&unused, "# comment\n\nc::A  for users of the trait\nc::B for tests by hand\n"), [""; 0]);
        assert_eq!(compare(&unused, "c::A  a reason"), ["c::B: public, but no other crate uses it"]);
        let stale = compare(&unused, "c::A  a reason\nc::B\nc::C  a reason\nc::A  again");
        let expected = [
            "c::B: the list has no reason for it",
            "c::A: it is in the list twice",
            "c::C: in the list, but in use or not public",
        ];
        assert_eq!(stale, expected);
    }
}
