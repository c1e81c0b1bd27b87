//! The bill of materials of a program, in CycloneDX 1.6: its crates with checksums and licenses, the C libraries in them, and its
//! cryptography.

use std::fs;

use serde_json::{Map, Value, json};

use crate::{
    command::{Failure, file},
    inventory::{Crate, Inventory, Key},
    names::Names,
    source::Source,
};

/// An algorithm, or a protocol, with the crate that implements it.
struct Cryptography {
    name: &'static str,
    provider: &'static str,
    /// What it is used for.
    purpose: &'static str,
    properties: fn() -> Value,
    oid: Option<&'static str>,
}

/// The cryptography of the product. A program has an entry if it has the provider.
const CRYPTOGRAPHY: &[Cryptography] = &[
    Cryptography {
        name: "XAES-256-GCM",
        provider: "xaes-256-gcm",
        purpose: "Seals values, data keys and key texts. Specified by C2SP; nonces of 24 bytes.",
        properties: || algorithm("ae", Some("256"), Some("gcm"), &["encrypt", "decrypt"], 256, 5),
        oid: None,
    },
    Cryptography {
        name: "AES-256-GCM",
        provider: "aes-gcm",
        purpose: "The cipher inside XAES-256-GCM.",
        properties: || algorithm("ae", Some("256"), Some("gcm"), &["encrypt", "decrypt"], 256, 5),
        oid: Some("2.16.840.1.101.3.4.1.46"),
    },
    Cryptography {
        name: "HKDF-SHA-256",
        provider: "hkdf",
        purpose: "Derives keys for their purposes.",
        properties: || algorithm("kdf", Some("256"), None, &["keyderive"], 256, 5),
        oid: None,
    },
    Cryptography {
        name: "PBKDF2-HMAC-SHA-256",
        provider: "pbkdf2",
        purpose: "Derives a key from the text of an encryption key.",
        properties: || algorithm("kdf", Some("256"), None, &["keyderive"], 256, 5),
        oid: Some("1.2.840.113549.1.5.12"),
    },
    Cryptography {
        name: "HMAC-SHA-256",
        provider: "hmac",
        purpose: "Authenticates key rings, page tokens and request ids.",
        properties: || algorithm("mac", Some("256"), None, &["tag"], 256, 5),
        oid: Some("1.2.840.113549.2.9"),
    },
    Cryptography {
        name: "SHA-256",
        provider: "sha2",
        purpose: "Chains audit records; the hash in HMAC, HKDF and PBKDF2.",
        properties: || algorithm("hash", Some("256"), None, &["digest"], 128, 2),
        oid: Some("2.16.840.1.101.3.4.2.1"),
    },
    Cryptography {
        name: "Ed25519",
        provider: "ed25519-dalek",
        purpose: "Signs and verifies the heads of audit trails.",
        properties: || algorithm("signature", Some("ed25519"), None, &["sign", "verify"], 128, 0),
        oid: Some("1.3.101.112"),
    },
    Cryptography {
        name: "TLS 1.3",
        provider: "rustls",
        purpose: "Protects connections. Key exchange with X25519MLKEM768, X25519, P-256 or P-384.",
        properties: || tls("1.3"),
        oid: None,
    },
    Cryptography {
        name: "TLS 1.2",
        provider: "rustls",
        purpose: "Protects connections if the configuration allows it; off by default.",
        properties: || tls("1.2"),
        oid: None,
    },
];

/// A C library that a crate compiles.
struct CLibrary {
    name: &'static str,
    container: &'static str,
    license: &'static str,
    purpose: &'static str,
    /// The header in the crate that defines the version, and the name of the definition.
    version: (&'static str, &'static str),
}

const C_LIBRARIES: &[CLibrary] = &[
    CLibrary {
        name: "aws-lc",
        container: "aws-lc-sys",
        license: "(Apache-2.0 OR ISC) AND BSD-3-Clause AND MIT AND OpenSSL",
        purpose: "The cryptography of TLS.",
        version: ("aws-lc/include/openssl/base.h", "AWSLC_VERSION_NUMBER_STRING"),
    },
    CLibrary {
        name: "sqlite",
        container: "libsqlite3-sys",
        license: "blessing",
        purpose: "The database.",
        version: ("sqlite3/sqlite3.h", "SQLITE_VERSION"),
    },
    CLibrary {
        name: "mimalloc",
        container: "libmimalloc-sys",
        license: "MIT",
        purpose: "The allocator of memory.",
        version: ("c_src/mimalloc/v3/include/mimalloc.h", "MI_MALLOC_VERSION"),
    },
];

fn algorithm(
    primitive: &str,
    parameter: Option<&str>,
    mode: Option<&str>,
    functions: &[&str],
    classical_bits: u32,
    quantum_level: u32,
) -> Value {
    let mut properties = Map::new();
    properties.insert("primitive".into(), json!(primitive));
    properties.extend(parameter.map(|parameter| ("parameterSetIdentifier".into(), json!(parameter))));
    properties.insert("executionEnvironment".into(), json!("software-plain-ram"));
    properties.extend(mode.map(|mode| ("mode".into(), json!(mode))));
    properties.insert("cryptoFunctions".into(), json!(functions));
    properties.insert("classicalSecurityLevel".into(), json!(classical_bits));
    properties.insert("nistQuantumSecurityLevel".into(), json!(quantum_level));
    json!({ "assetType": "algorithm", "algorithmProperties": properties })
}

fn tls(version: &str) -> Value {
    json!({ "assetType": "protocol", "protocolProperties": { "type": "tls", "version": version } })
}

/// The document. It has no serial number, so that the same commit gives the same document.
pub(crate) fn document(source: &Source, names: &Names, inventory: &Inventory) -> Result<Vec<u8>, Failure> {
    let root = inventory.crates.get(&inventory.root);
    let license = root.map(|krate| krate.license.clone()).unwrap_or_default();
    let others = || inventory.crates.iter().filter(|(key, _)| **key != inventory.root);
    let components: Vec<Value> = others()
        .map(|(key, krate)| component(key, krate))
        .chain(c_libraries(inventory)?)
        .chain(cryptography(inventory).map(cryptographic_asset))
        .collect();
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": source.time_rfc3339()?,
            "lifecycles": [{ "phase": "build" }],
            "tools": { "components": [{ "type": "application", "name": "cargo xtask release", "version": source.version }] },
            "component": {
                "type": "application",
                "bom-ref": reference(&inventory.root),
                "name": names.program,
                "version": source.version,
                "description": names.summary,
                "licenses": [{ "expression": license }],
                "properties": [
                    { "name": "sealward:commit", "value": source.revision() },
                    { "name": "sealward:platform", "value": format!("linux {}", source.arch) },
                ],
            },
        },
        "components": components,
        "dependencies": dependencies(inventory),
    });
    let mut text = serde_json::to_vec_pretty(&document).map_err(|error| Failure::wrong(error.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// The reference of a crate: its package URL.
fn reference((name, version): &Key) -> String {
    format!("pkg:cargo/{name}@{version}")
}

fn component(key: &Key, krate: &Crate) -> Value {
    let (name, version) = key;
    let mut component = Map::new();
    component.insert("type".into(), json!("library"));
    component.insert("bom-ref".into(), json!(reference(key)));
    component.insert("name".into(), json!(name));
    component.insert("version".into(), json!(version));
    component.insert("description".into(), json!(krate.description));
    component.insert("scope".into(), json!("required"));
    component.extend(
        krate.checksum.iter().map(|checksum| ("hashes".into(), json!([{ "alg": "SHA-256", "content": checksum }]))),
    );
    component.insert("licenses".into(), json!([{ "expression": krate.license }]));
    component.insert("purl".into(), json!(reference(key)));
    component.extend(
        krate
            .repository
            .iter()
            .filter(|url| url.starts_with("https://"))
            .map(|url| ("externalReferences".into(), json!([{ "type": "vcs", "url": url }]))),
    );
    Value::Object(component)
}

/// The C libraries that crates compile.
fn c_libraries(inventory: &Inventory) -> Result<Vec<Value>, Failure> {
    let mut components = Vec::new();
    for library in C_LIBRARIES {
        let Some((key, krate)) = inventory.crates.iter().find(|((name, _), _)| name == library.container) else {
            continue;
        };
        let version = c_version(library, krate)?;
        components.push(json!({
            "type": "library",
            "bom-ref": c_reference(key, library),
            "name": library.name,
            "version": version,
            "description": library.purpose,
            "scope": "required",
            "licenses": [{ "expression": library.license }],
            "purl": format!("pkg:generic/{}@{version}", library.name),
            "properties": [{ "name": "sealward:compiled-in", "value": format!("{} {}", key.0, key.1) }],
        }));
    }
    Ok(components)
}

fn c_reference(key: &Key, library: &CLibrary) -> String {
    format!("{}#{}", reference(key), library.name)
}

/// The version of a C library, from its header: `"3.54.1"`, or `30302` for 3.3.2.
fn c_version(library: &CLibrary, krate: &Crate) -> Result<String, Failure> {
    let (header, name) = library.version;
    let path = krate.folder.join(header);
    let text = fs::read_to_string(&path).map_err(file("read", &path))?;
    let defined = text.lines().find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["#define", defined, value, ..] if defined == name => Some(value.trim_matches('"').to_owned()),
        _ => None,
    });
    let defined = defined.ok_or_else(|| Failure::wrong(format!("{} doesn't define {name}", path.display())))?;
    Ok(match defined.parse::<u32>() {
        Ok(number) => format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100),
        Err(_) => defined,
    })
}

fn cryptography(inventory: &Inventory) -> impl Iterator<Item = &'static Cryptography> {
    CRYPTOGRAPHY.iter().filter(|entry| inventory.version_of(entry.provider).is_some())
}

fn asset_reference(entry: &Cryptography) -> String {
    format!("crypto:{}", entry.name.to_lowercase().replace(' ', "-"))
}

fn cryptographic_asset(entry: &Cryptography) -> Value {
    let mut properties = (entry.properties)();
    if let (Some(oid), Some(properties)) = (entry.oid, properties.as_object_mut()) {
        properties.insert("oid".into(), json!(oid));
    }
    json!({
        "type": "cryptographic-asset",
        "bom-ref": asset_reference(entry),
        "name": entry.name,
        "description": entry.purpose,
        "cryptoProperties": properties,
    })
}

/// Which crate calls which, and which provides which cryptography.
fn dependencies(inventory: &Inventory) -> Vec<Value> {
    let entry = |(key, krate): (&Key, &Crate)| {
        let mut entry = Map::new();
        entry.insert("ref".into(), json!(reference(key)));
        let contained = C_LIBRARIES.iter().filter(|library| library.container == key.0);
        let contained = contained.map(|library| c_reference(key, library));
        let calls: Vec<String> = krate.dependencies.iter().map(reference).chain(contained).collect();
        entry.insert("dependsOn".into(), json!(calls));
        let provided: Vec<String> =
            cryptography(inventory).filter(|entry| entry.provider == key.0).map(asset_reference).collect();
        if !provided.is_empty() {
            entry.insert("provides".into(), json!(provided));
        }
        Value::Object(entry)
    };
    inventory.crates.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;
    use crate::names::SERVER;

    /// A program of ours that stops using one of them has to lose the row.
    #[test]
    fn server_has_all_listed_cryptography_and_every_reference_exists() {
        let source = Source::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
        let inventory = Inventory::of(&source, &SERVER).unwrap();
        assert_eq!(cryptography(&inventory).count(), CRYPTOGRAPHY.len());
        let document: Value = serde_json::from_slice(&document(&source, &SERVER, &inventory).unwrap()).unwrap();
        let components = document["components"].as_array().unwrap();
        let mut known: BTreeSet<&str> = components.iter().filter_map(|entry| entry["bom-ref"].as_str()).collect();
        assert_eq!(known.len(), components.len());
        known.insert(document["metadata"]["component"]["bom-ref"].as_str().unwrap());
        for entry in document["dependencies"].as_array().unwrap() {
            let named = [&entry["dependsOn"], &entry["provides"]].into_iter().filter_map(Value::as_array).flatten();
            for reference in named.chain([&entry["ref"]]) {
                assert!(known.contains(reference.as_str().unwrap()), "{reference}");
            }
        }
    }
}
