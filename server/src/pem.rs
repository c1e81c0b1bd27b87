//! PEM files to rustls types. The only user of rustls-pemfile, so that it can be exchanged here and nowhere else.
//!
//! Knows files and their form; what certificates and keys are for, and whether they fit together, is `tls`'s matter.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::trusted_file::{self, Kind};

/// Why a PEM file gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The file is missing, the system refuses it, or it isn't PEM.
    #[error("{path} can't be read as PEM")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        source: io::Error,
    },
    /// The file is PEM, but what is asked for isn't in it.
    #[error("{path} holds no {wanted}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is asked for.
        wanted: &'static str,
    },
}

/// Every certificate of a file, in its order: at least one.
///
/// # Errors
/// [`PemError`]
#[expect(clippy::disallowed_methods, reason = "this is the module that reads PEM files")]
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    at_least_one(path, Kind::Certificates, "certificate", |reader| rustls_pemfile::certs(reader).collect())
}

/// The first private key of a file: PKCS #8, PKCS #1 or SEC 1, unencrypted.
///
/// # Errors
/// [`PemError`]
#[expect(clippy::disallowed_methods, reason = "this is the module that reads PEM files")]
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    let content = read(path, Kind::PrivateKey)?;
    let mut reader: &[u8] = &content;
    rustls_pemfile::private_key(&mut reader)
        .map_err(|source| unreadable(path, source))?
        .ok_or_else(|| PemError::Missing { path: path.to_owned(), wanted: "unencrypted private key" })
}

/// Every certificate revocation list of a file, in its order: at least one.
///
/// # Errors
/// [`PemError`]
#[expect(clippy::disallowed_methods, reason = "this is the module that reads PEM files")]
pub(crate) fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    at_least_one(path, Kind::RevocationLists, "certificate revocation list", |reader| {
        rustls_pemfile::crls(reader).collect()
    })
}

fn at_least_one<T>(
    path: &Path,
    kind: Kind,
    wanted: &'static str,
    parse: impl FnOnce(&mut &[u8]) -> io::Result<Vec<T>>,
) -> Result<Vec<T>, PemError> {
    let content = read(path, kind)?;
    let found = parse(&mut &content[..]).map_err(|source| unreadable(path, source))?;
    if found.is_empty() { Err(PemError::Missing { path: path.to_owned(), wanted }) } else { Ok(found) }
}

fn read(path: &Path, kind: Kind) -> Result<Zeroizing<Vec<u8>>, PemError> {
    trusted_file::read(path, kind).map_err(|error| unreadable(path, io::Error::other(error)))
}

fn unreadable(path: &Path, source: io::Error) -> PemError {
    PemError::Unreadable { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn certificates_and_key_may_share_a_file() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let file = file(&format!("{0}{1}{0}", made.cert.pem(), made.signing_key.serialize_pem()));
        assert_eq!(certificates(file.path()).unwrap(), [made.cert.der().clone(), made.cert.der().clone()]);
        assert_eq!(private_key(file.path()).unwrap().secret_der(), made.signing_key.serialized_der());
    }

    #[test]
    fn what_is_not_there_is_named() {
        let empty = file("just text\n");
        assert!(matches!(certificates(empty.path()), Err(PemError::Missing { wanted: "certificate", .. })));
        assert!(matches!(private_key(empty.path()), Err(PemError::Missing { .. })));
        assert!(matches!(revocation_lists(empty.path()), Err(PemError::Missing { .. })));
        let broken = file("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
        assert!(matches!(certificates(broken.path()), Err(PemError::Unreadable { .. })));
        assert!(matches!(certificates(Path::new("/nowhere")), Err(PemError::Unreadable { .. })));
    }
}
