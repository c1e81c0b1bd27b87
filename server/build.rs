//! Passes facts about the build to the code: the commit, and the versions of the cryptographic libraries.

use std::{collections::BTreeMap, env, fs, process::Command};

const CRYPTOGRAPHIC_LIBRARIES: [&str; 3] = ["aes-gcm", "aws-lc-rs", "xaes-256-gcm"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=SEALWARD_COMMIT={}", commit());
    let versions = locked_versions();
    for library in CRYPTOGRAPHIC_LIBRARIES {
        let version = versions.get(library).map(String::as_str).unwrap_or_default();
        let variable = library.to_uppercase().replace('-', "_");
        println!("cargo::rustc-env=SEALWARD_VERSION_OF_{variable}={version}");
    }
}

/// The commit that is built: from the environment, for a build without a repository, or from the repository. A development build has none,
/// because each new commit would otherwise build the server again.
fn commit() -> String {
    println!("cargo::rerun-if-env-changed=SEALWARD_COMMIT");
    if let Ok(given) = env::var("SEALWARD_COMMIT") {
        return given;
    }
    if env::var("PROFILE").is_ok_and(|profile| profile != "release") {
        return String::new();
    }
    // Git writes this file at each commit and checkout.
    if let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--verify", "HEAD"]).unwrap_or_default()
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// The versions of the packages in the lock file. Empty if it is missing.
fn locked_versions() -> BTreeMap<String, String> {
    const LOCK_FILE: &str = "../Cargo.lock";
    println!("cargo::rerun-if-changed={LOCK_FILE}");
    let text = fs::read_to_string(LOCK_FILE).unwrap_or_default();
    let lock: toml::Table = text.parse().unwrap_or_default();
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let field = |package: &toml::Value, name: &str| Some(package.get(name)?.as_str()?.to_owned());
    packages.filter_map(|package| Some((field(package, "name")?, field(package, "version")?))).collect()
}
