//! The release can be reproduced, and its packages work in a Debian: a check that takes half an hour. `tools/release` does both.

use std::process::Command;

/// Two builds in other surroundings, then the life of the packages.
#[test]
#[ignore = "takes half an hour: cargo xtask test --all packages"]
fn two_builds_of_the_release_are_equal_and_live_in_debian() {
    for arguments in [["--verify"].as_slice(), &["--check-only", "--in-debian"]] {
        let mut release = Command::new(std::env::var_os("CARGO").unwrap());
        release.current_dir(env!("CARGO_MANIFEST_DIR")).args(["xtask", "release"]).args(arguments);
        assert!(release.status().unwrap().success(), "{arguments:?}");
    }
}
