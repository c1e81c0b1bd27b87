//! The release, built twice: `tools/release` does it.

use std::process::Command;

/// The files are in `target/packages` afterwards.
#[test]
#[ignore = "builds two releases, which takes 20 minutes: cargo xtask test --all reproducible"]
fn two_builds_of_a_commit_have_the_same_files() {
    let mut release = Command::new(std::env::var_os("CARGO").unwrap());
    release.current_dir(env!("CARGO_MANIFEST_DIR")).args(["xtask", "release", "--verify"]);
    assert!(release.status().unwrap().success());
}
