//! The allowed dependencies of core. It has no dependency on a network protocol, a runtime, a database or a clock.

use std::{collections::BTreeSet, process::Command};

/// The reviewed direct dependencies of core: cryptography, ids, error types, character properties, and text forms of
/// bytes and times.
const REVIEWED: &[&str] = &[
    "aes-gcm",
    "data-encoding",
    "ed25519-dalek",
    "hkdf",
    "hmac",
    "icu_normalizer",
    "icu_properties",
    "jiff",
    "pbkdf2",
    "sha2",
    "subtle",
    "thiserror",
    "uuid",
    "xaes-256-gcm",
    "zeroize",
];

/// Crates and families of crates that core must not depend on, even indirectly. `tonic` includes `tonic-prost`.
const FOREIGN: &[&str] = &[
    "async-std",
    "axum",
    "chrono",
    "diesel",
    "futures-executor",
    "h2",
    "http",
    "hyper",
    "libsqlite3-sys",
    "mio",
    "postgres",
    "prost",
    "protox",
    "rusqlite",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "time",
    "tokio",
    "tonic",
    "tower",
];

#[test]
fn core_depends_directly_on_the_reviewed_crates_only() {
    let direct = dependencies(&["--depth", "1"]);
    let reviewed: BTreeSet<String> = REVIEWED.iter().map(ToString::to_string).collect();
    assert_eq!(direct, reviewed, "review a new dependency of core, then add it to REVIEWED");
}

#[test]
fn core_depends_on_no_wire_runtime_database_or_clock() {
    let foreign: Vec<String> = dependencies(&[]).into_iter().filter(|name| is_foreign(name)).collect();
    assert!(
        foreign.is_empty(),
        "core depends on {foreign:?}: run `cargo tree -p sealward-core -i NAME` to find out why"
    );
}

fn is_foreign(name: &str) -> bool {
    FOREIGN.iter().any(|crate_name| {
        name.strip_prefix(crate_name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    })
}

/// Returns the names of core's dependencies, without dev-dependencies. Runs offline.
fn dependencies(options: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "sealward-core", "--edges", "normal", "--prefix", "none", "--locked", "--offline"])
        .args(options)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs this test, so it is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let names = String::from_utf8_lossy(&output.stdout).lines().filter_map(first_word).collect::<BTreeSet<_>>();
    assert!(names.contains("sealward-core"), "unexpected output of cargo tree: {names:?}");
    names.into_iter().filter(|name| name != "sealward-core").collect()
}

fn first_word(line: &str) -> Option<String> {
    line.split_whitespace().next().map(str::to_owned)
}
