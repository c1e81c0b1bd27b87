//! The crates whose code is in a program: those that Cargo links, without build scripts, macros and tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    command::{Failure, output, text},
    names::Names,
    source::Source,
};

/// Name and version of a crate.
pub(crate) type Key = (String, String);

/// The crates of a program, by name and version.
pub(crate) struct Inventory {
    pub(crate) root: Key,
    pub(crate) crates: BTreeMap<Key, Crate>,
}

/// A crate.
pub(crate) struct Crate {
    /// SPDX expression.
    pub(crate) license: String,
    pub(crate) description: String,
    pub(crate) repository: Option<String>,
    pub(crate) authors: Vec<String>,
    /// Its source.
    pub(crate) folder: PathBuf,
    /// The SHA-256 of its package on crates.io; absent for our own crates.
    pub(crate) checksum: Option<String>,
    /// The crates that it calls.
    pub(crate) dependencies: BTreeSet<Key>,
}

impl Inventory {
    /// Asks Cargo.
    pub(crate) fn of(source: &Source, names: &Names) -> Result<Self, Failure> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let host = host(source)?;
        let mut tree = source.command(&cargo);
        tree.args(["tree", "--quiet", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none"]);
        tree.args(["--format", "{p}", "--package", names.krate, "--target", &host]);
        let linked = linked(&text(&mut tree)?)?;
        let root = linked.first().cloned().ok_or_else(|| Failure::wrong("cargo tree printed nothing"))?;
        let linked: BTreeSet<Key> = linked.into_iter().collect();

        let mut metadata = source.command(&cargo);
        metadata.args(["metadata", "--quiet", "--locked", "--format-version", "1", "--filter-platform", &host]);
        let metadata: Value = serde_json::from_slice(&output(&mut metadata)?)
            .map_err(|error| Failure::wrong(format!("cargo metadata printed no JSON: {error}")))?;
        let crates = crates(&metadata, &linked, &checksums(source)?)?;
        match linked.iter().find(|key| !crates.contains_key(*key)) {
            None => Ok(Self { root, crates }),
            Some((name, version)) => Err(Failure::wrong(format!("cargo metadata has no {name} {version}"))),
        }
    }

    /// The version of a crate, if it is in the program.
    pub(crate) fn version_of(&self, name: &str) -> Option<&str> {
        self.crates.keys().find(|(known, _)| known == name).map(|(_, version)| version.as_str())
    }
}

/// The target that this machine builds for.
pub(crate) fn host(source: &Source) -> Result<String, Failure> {
    let version = text(source.command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::wrong("`rustc -vV` names no host"))
}

/// Reads the lines of `cargo tree`, such as `tokio v1.54.1 (*)`.
fn linked(tree: &str) -> Result<Vec<Key>, Failure> {
    let key = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    let keys = tree
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| key(line).ok_or_else(|| Failure::wrong(format!("a line of cargo tree isn't a crate: {line}"))));
    keys.collect()
}

/// The crates of `cargo metadata` that are linked.
fn crates(
    metadata: &Value,
    linked: &BTreeSet<Key>,
    checksums: &BTreeMap<Key, String>,
) -> Result<BTreeMap<Key, Crate>, Failure> {
    let packages = list(metadata, "packages");
    let keys: BTreeMap<&str, Key> = packages
        .iter()
        .map(|package| (text_of(package, "id"), key_of(package)))
        .filter(|(_, key)| linked.contains(key))
        .collect();
    let nodes = metadata.get("resolve").map(|resolve| list(resolve, "nodes")).unwrap_or_default();
    let dependencies: BTreeMap<&str, BTreeSet<Key>> = nodes
        .iter()
        .map(|node| {
            let calls = list(node, "deps").iter().filter(|dependency| is_normal(dependency));
            let calls = calls.filter_map(|dependency| keys.get(text_of(dependency, "pkg")).cloned());
            (text_of(node, "id"), calls.collect())
        })
        .collect();

    let linked = packages.iter().filter(|package| keys.contains_key(text_of(package, "id")));
    linked
        .map(|package| {
            let key = key_of(package);
            let optional = |name| package.get(name).and_then(Value::as_str).map(str::to_owned);
            let manifest = Path::new(text_of(package, "manifest_path"));
            let license = optional("license");
            let license = license.ok_or_else(|| Failure::wrong(format!("{} {} names no license", key.0, key.1)))?;
            let krate = Crate {
                // Before 2015, a slash meant "or".
                license: license.replace('/', " OR "),
                description: optional("description")
                    .unwrap_or_default()
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" "),
                repository: optional("repository"),
                authors: list(package, "authors")
                    .iter()
                    .filter_map(|author| Some(author.as_str()?.to_owned()))
                    .collect(),
                folder: manifest.parent().unwrap_or(manifest).to_owned(),
                checksum: checksums.get(&key).cloned(),
                dependencies: dependencies.get(text_of(package, "id")).cloned().unwrap_or_default(),
            };
            Ok((key, krate))
        })
        .collect()
}

/// Whether a dependency is used by the code itself, not only by its build script or its tests.
fn is_normal(dependency: &Value) -> bool {
    list(dependency, "dep_kinds").iter().any(|kind| kind.get("kind").is_none_or(Value::is_null))
}

fn key_of(package: &Value) -> Key {
    (text_of(package, "name").to_owned(), text_of(package, "version").to_owned())
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The checksums in the lock file.
fn checksums(source: &Source) -> Result<BTreeMap<Key, String>, Failure> {
    let lock = String::from_utf8_lossy(&source.read("Cargo.lock")?).into_owned();
    let lock: toml::Table = lock.parse().map_err(|error| Failure::wrong(format!("Cargo.lock: {error}")))?;
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let field = |package: &toml::Value, name: &str| Some(package.get(name)?.as_str()?.to_owned());
    let entry = |package| Some(((field(package, "name")?, field(package, "version")?), field(package, "checksum")?));
    Ok(packages.filter_map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{CLI, SERVER};

    fn source() -> Source {
        Source::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
    }

    #[test]
    fn inventory_has_linked_crates_only() {
        let inventory = Inventory::of(&source(), &SERVER).unwrap();
        for linked in ["sealward-server", "sealward-core", "aws-lc-sys", "libsqlite3-sys", "tokio"] {
            assert!(inventory.version_of(linked).is_some(), "{linked}");
        }
        for other in ["syn", "serde_derive", "prost-build", "cc", "proptest", "sealward-client"] {
            assert_eq!(inventory.version_of(other), None, "{other}");
        }
    }

    #[test]
    fn crates_of_the_registry_have_checksums_and_all_have_a_path_from_the_program() {
        for names in [&SERVER, &CLI] {
            let inventory = Inventory::of(&source(), names).unwrap();
            let mut reached = BTreeSet::new();
            let mut next = vec![inventory.root.clone()];
            while let Some(key) = next.pop() {
                let krate = &inventory.crates[&key];
                assert!(krate.checksum.is_some() || key.0.starts_with("sealward"), "{key:?}");
                if reached.insert(key) {
                    next.extend(krate.dependencies.iter().cloned());
                }
            }
            let known: BTreeSet<Key> = inventory.crates.keys().cloned().collect();
            assert_eq!(reached, known);
        }
    }
}
