//! What an operator wants to know of a build.

use std::env::consts::{ARCH, OS};

/// This release.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What follows the name for `--version`: the release, and what it speaks and stores. Cells, key rings and sealed keys name their own
/// formats; the one here is the store's.
#[must_use]
pub fn details() -> String {
    let storage = sealward_store::details();
    format!(
        "{VERSION}
API      sealward.v1, sealward.mail.v1
TLS      1.3, 1.2 by configuration (rustls, aws-lc-rs)
storage  {storage}
system   {OS} {ARCH}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_names_protocols_and_storage() {
        let text = details();
        assert!(text.starts_with(VERSION));
        assert!(text.contains("\nAPI      sealward.v1, sealward.mail.v1\n"));
        assert!(text.contains("storage  format 1, SQLite 3."));
    }
}
