//! Facts about a build, for operators.

use std::env::consts::{ARCH, OS};

/// This release.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The output of `--version` after the name: the release, its APIs and protocols, and its storage format. Cells, key rings and sealed keys
/// contain their own format versions.
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
