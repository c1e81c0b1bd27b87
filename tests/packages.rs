//! The packages of the release, installed in a Debian that boots: `tools/release` does it.

use std::process::Command;

/// With the programs of this build: a release build takes long, and `cargo xtask release --verify` compares two of them.
#[test]
#[ignore = "needs debootstrap and systemd-nspawn: cargo xtask test --all packages"]
fn packages_live_in_a_debian() {
    let mut release = Command::new(std::env::var_os("CARGO").unwrap());
    release.current_dir(env!("CARGO_MANIFEST_DIR"));
    release.args(["xtask", "release", "--binaries", "target/debug", "--out", "target/packages-of-test"]);
    release.args(["--no-clients", "--check", "--in-debian"]);
    assert!(release.status().unwrap().success());
}
