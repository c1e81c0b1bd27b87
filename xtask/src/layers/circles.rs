//! Circles of imports between the files of a crate.
//!
//! A file imports the file that defines a name it uses: a re-export leads to the definition, and a module is only a way to it. So
//! a file that just declares modules and exports their names is an index, and is in no circle. Code for tests doesn't count.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    path::PathBuf,
};

use super::names::Target;
use crate::source::{Mention, ModuleId, Repository};

/// For each file, the files that it imports, with the lines that do it.
type Graph = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeMap<usize, String>>>;

/// Files of which each imports the next, and the last imports the first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Circle(Vec<Step>);

/// A file that imports another.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    from: PathBuf,
    to: PathBuf,
    /// The first path on each line.
    lines: BTreeMap<usize, String>,
}

impl fmt::Display for Circle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "import cycle of {} files:", self.0.len())?;
        for step in &self.0 {
            write!(formatter, "\n   {} imports {}", step.from.display(), step.to.display())?;
            for (line, path) in &step.lines {
                write!(formatter, "\n      {}:{line}: {path}", step.from.display())?;
            }
        }
        Ok(())
    }
}

/// The shortest circle through each file that is in one.
pub(crate) fn circles(repository: &Repository) -> Vec<Circle> {
    let graph = graph(repository);
    let mut found = BTreeSet::new();
    for file in graph.keys() {
        if let Some(mut circle) = shortest_circle(&graph, file) {
            // The same circle begins with the same file, through whichever of them it was found.
            let first = circle.iter().enumerate().min_by_key(|(_, file)| *file).map_or(0, |(place, _)| place);
            circle.rotate_left(first);
            found.insert(circle);
        }
    }
    found.into_iter().map(|files| circle(&graph, &files)).collect()
}

fn circle(graph: &Graph, files: &[&PathBuf]) -> Circle {
    let next = files.iter().cycle().skip(1);
    let step = |(from, to): (&&PathBuf, &&PathBuf)| {
        let lines = graph.get(*from).and_then(|imports| imports.get(*to)).cloned().unwrap_or_default();
        Step { from: from.to_path_buf(), to: to.to_path_buf(), lines }
    };
    Circle(files.iter().zip(next).map(step).collect())
}

/// Breadth first, from a file until it is reached again.
fn shortest_circle<'a>(graph: &'a Graph, start: &'a PathBuf) -> Option<Vec<&'a PathBuf>> {
    let mut came_from: BTreeMap<&PathBuf, &PathBuf> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for next in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                let mut circle = vec![file];
                circle.extend(std::iter::successors(came_from.get(file), |file| came_from.get(**file)).copied());
                circle.reverse();
                return Some(circle);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, file);
                queue.push_back(next);
            }
        }
    }
    None
}

fn graph(repository: &Repository) -> Graph {
    let mut graph = Graph::new();
    for (id, module) in repository.modules().filter(|(_, module)| !module.is_test) {
        for import in module.imports.iter().filter(|import| !import.mention.is_test) {
            for target in repository.imported(id, import) {
                add(&mut graph, repository, id, &import.mention, &target);
            }
        }
        for mention in module.mentions.iter().filter(|mention| !mention.is_test) {
            if let Some(target) = repository.resolve_beyond_imports(id, mention) {
                add(&mut graph, repository, id, mention, &target);
            }
        }
    }
    graph
}

fn add(graph: &mut Graph, repository: &Repository, from: ModuleId, mention: &Mention, to: &Target) {
    let Target::Item(to, _) = to else { return };
    let (from, to) = (repository.module(from), repository.module(*to));
    if from.root == to.root && from.file != to.file {
        let imports = graph.entry(from.file.clone()).or_default().entry(to.file.clone()).or_default();
        imports.entry(mention.line).or_insert_with(|| shown(mention));
    }
}

fn shown(mention: &Mention) -> String {
    mention.path.join("::")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The circles of one library with these files in `src`; each circle as the files' names.
    fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let mut texts = BTreeMap::from([("Cargo.toml".into(), "[package]\nname = \"some\"\n".to_owned())]);
        texts.extend(files.iter().map(|(file, text)| (Path::new("src").join(file), (*text).to_owned())));
        let circles = circles(&Repository::read(&texts).unwrap());
        let name = |step: &Step| step.from.strip_prefix("src").unwrap().display().to_string();
        circles.iter().map(|circle| circle.0.iter().map(name).collect()).collect()
    }

    const A_AND_B: &str = "mod a; mod b;";

    /// Two files, of which the second imports the first: is the first one's text the other half of a circle?
    fn closes_the_circle(a: &str) -> bool {
        let circles =
            circles_of(&[("lib.rs", A_AND_B), ("a.rs", a), ("b.rs", "use crate::a::A; pub struct B; pub fn f() {}")]);
        assert!(circles.is_empty() || circles == [["a.rs", "b.rs"]], "{circles:?}");
        !circles.is_empty()
    }

    #[test]
    fn every_way_to_name_an_item_is_an_import() {
        for way in [
            "use crate::b::B;",
            "use super::b::B;",
            "use self::super::b::B;",
            "use crate::b::B as C;",
            "use crate::b::{self, B};",
            "use crate::{b::{B, f}};",
            "use crate::b::*;",
            "use super::b as c; fn g() { c::f() }",
            "use crate::b::{self as c}; fn g() { c::f() }",
            "fn g() { crate::b::f() }",
            "fn g() { use crate::b::f; f() }",
            "fn g(_: &super::b::B) {}",
            "fn g(b: Option<crate::b::B>) { }",
            "fn g(b: B) { match b { crate::b::B => {} } }",
            "fn g() { println!(\"{}\", crate::b::f()); }",
            "#[serde(with = \"crate::b::B\")] struct D;",
            "impl crate::b::T for u8 {}",
            "use crate::b; fn b() { b::f() }",
            "mod inner { use crate::b::B; }",
            "mod inner { use super::super::b::B; }",
            "#[cfg(not(test))] use crate::b::B;",
            "#[cfg(any(test, unix))] use crate::b::B;",
        ] {
            assert!(closes_the_circle(&format!("pub struct A; {way}")), "{way}");
        }
    }

    #[test]
    fn path_within_a_file_is_not_an_import() {
        for way in [
            "",
            "use std::fmt;",
            "use crate::b;",
            "use ::b::B;",
            "use self::inner::B; mod inner { pub struct B; }",
            "pub(in crate::b) struct C;",
            "/// [`crate::b::B`]\nstruct C;",
            "fn g() { println!(\"crate::b::f\"); }",
            "#[cfg(test)] use crate::b::B;",
            "#[cfg(all(test, unix))] fn g() { crate::b::f() }",
            "#[cfg(test)] mod tests { use crate::b::B; }",
            "struct C; impl C { #[cfg(test)] fn g() { crate::b::f() } }",
        ] {
            assert!(!closes_the_circle(&format!("pub struct A; {way}")), "{way}");
        }
    }

    #[test]
    fn a_parent_with_helpers_that_its_children_import_is_in_a_circle() {
        let child = ("a/child.rs", "use super::helper; pub fn f() { helper() }");
        for parent in
            ["mod child; pub fn helper() {} fn g() { child::f() }", "mod child; pub fn helper() {} pub use child::f;"]
        {
            assert_eq!(circles_of(&[("lib.rs", "mod a;"), ("a.rs", parent), child]), [["a/child.rs", "a.rs"]]);
        }
        let declares = "mod child; pub fn helper() {}";
        assert!(circles_of(&[("lib.rs", "mod a;"), ("a.rs", declares), child]).is_empty());
    }

    #[test]
    fn index_is_in_no_circle_and_resolves_to_the_definition() {
        let one = ("a/one.rs", "pub struct One;");
        let index = "mod one; mod two; pub use one::One; pub use self::two::*;";
        assert!(circles_of(&[("lib.rs", "mod a;"), ("a.rs", index), one, ("a/two.rs", "use super::One;")]).is_empty());
        let circle = circles_of(&[
            ("lib.rs", "mod a;"),
            ("a.rs", index),
            ("a/one.rs", "use super::Two; pub struct One;"),
            ("a/two.rs", "use crate::a::One; pub struct Two;"),
        ]);
        assert_eq!(circle, [["a/one.rs", "a/two.rs"]]);
    }

    #[test]
    fn items_that_a_macro_declares_are_in_the_file_of_the_call() {
        let ids = ("a.rs", "use crate::b::B; macro_rules! id { ($n:ident) => { pub struct $n; } } id!(A);");
        assert_eq!(
            circles_of(&[("lib.rs", A_AND_B), ids, ("b.rs", "use crate::a::A; pub struct B;")]),
            [["a.rs", "b.rs"]]
        );
    }

    #[test]
    fn each_file_of_a_long_circle_is_named_with_its_lines() {
        let texts = Vec::from([
            ("Cargo.toml", "[package]\nname = \"some\""),
            ("src/lib.rs", "mod a; mod b; mod c; mod d;"),
            ("src/a.rs", "pub struct A;\nuse crate::b::B;\n"),
            ("src/b.rs", "pub struct B;\n\nuse crate::c::C;\n"),
            ("src/c.rs", "use crate::a::A; pub struct C;\nfn f(_: crate::a::A) {}"),
            ("src/d.rs", "use crate::a::A;"),
        ]);
        let texts = texts.into_iter().map(|(file, text)| (file.into(), text.to_owned())).collect();
        let circles: Vec<String> =
            circles(&Repository::read(&texts).unwrap()).iter().map(ToString::to_string).collect();
        let lines = [
            "import cycle of 3 files:",
            "   src/a.rs imports src/b.rs",
            "      src/a.rs:2: crate::b::B",
            "   src/b.rs imports src/c.rs",
            "      src/b.rs:3: crate::c::C",
            "   src/c.rs imports src/a.rs",
            "      src/c.rs:1: crate::a::A",
            "      src/c.rs:2: crate::a::A",
        ];
        assert_eq!(circles, [lines.join("\n")]);
    }
}
