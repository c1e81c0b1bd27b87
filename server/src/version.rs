//! Facts about a build, for operators.

use std::env::consts::{ARCH, OS};

/// This release.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that was built. Empty: unknown.
pub(crate) const COMMIT: &str = env!("SEALWARD_COMMIT");

/// The versions of the cryptographic libraries. Empty: unknown.
pub(crate) const VERSION_OF_AES_GCM: &str = env!("SEALWARD_VERSION_OF_AES_GCM");
pub(crate) const VERSION_OF_AWS_LC_RS: &str = env!("SEALWARD_VERSION_OF_AWS_LC_RS");
pub(crate) const VERSION_OF_XAES_256_GCM: &str = env!("SEALWARD_VERSION_OF_XAES_256_GCM");

/// The output of `--version` after the name: the release, its APIs and protocols, and its storage format. Cells, key rings and sealed keys
/// contain their own format versions.
#[must_use]
pub fn details() -> String {
    let (format, engine) = (sealward_store::FORMAT, sealward_store::engine());
    format!(
        "{VERSION}
API      sealward.v1, sealward.mail.v1
TLS      1.3, 1.2 by configuration (rustls, aws-lc-rs)
storage  format {format}, {engine}
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
