//! The list of crates inside a program, in the format of `cargo auditable`: JSON in zlib, in an ELF section.
//!
//! `cargo audit bin`, Trivy, Syft and Grype read it, so that a program can be checked for known vulnerabilities without its source. It is
//! written by us, because `cargo auditable` puts its own path into the hashes of a build: two machines would build different programs.

use std::io::Write as _;

use flate2::{Compression, write::ZlibEncoder};
use serde_json::{Map, Value, json};

use crate::{
    command::Failure,
    inventory::{Crate, Inventory, Key},
};

/// The section's name, defined by `cargo auditable`.
pub(crate) const SECTION: &str = ".dep-v0";

/// The content of the section.
pub(crate) fn section(inventory: &Inventory) -> Result<Vec<u8>, Failure> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(list(inventory).to_string().as_bytes()).and_then(|()| encoder.finish());
    written.map_err(|error| Failure::wrong(format!("can't compress the list of crates: {error}")))
}

/// The crates in their order, each with the positions of its dependencies.
fn list(inventory: &Inventory) -> Value {
    let position = |wanted: &Key| inventory.crates.keys().position(|key| key == wanted);
    let package = |(key, krate): (&Key, &Crate)| {
        let (name, version) = key;
        let mut package = Map::new();
        package.insert("name".into(), json!(name));
        package.insert("version".into(), json!(version));
        package.insert("source".into(), json!(if krate.checksum.is_some() { "crates.io" } else { "local" }));
        let dependencies: Vec<usize> = krate.dependencies.iter().filter_map(position).collect();
        if !dependencies.is_empty() {
            package.insert("dependencies".into(), json!(dependencies));
        }
        if *key == inventory.root {
            package.insert("root".into(), json!(true));
        }
        Value::Object(package)
    };
    json!({ "packages": inventory.crates.iter().map(package).collect::<Vec<_>>() })
}
