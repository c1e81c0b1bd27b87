//! Reads PEM files into rustls types.
//!
//! [`sealward_pem`] parses PEM. `tls` decides how certificates and keys are used, and whether they match.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::files::trusted_file::{self, Kind};

/// Why a PEM file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The file is missing, or the system denies access.
    #[error("{path} can't be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The content can't be used.
    #[error("{path}: {}", with_file_name(problem, path))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: sealward_pem::PemError,
    },
}

/// All certificates of a file, in order: at least one.
///
/// # Errors
/// [`PemError`]
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    read(path, Kind::Certificates, sealward_pem::certificates)
}

/// The private key of a file: PKCS #8, PKCS #1 or SEC 1, unencrypted.
///
/// # Errors
/// [`PemError`]
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    read(path, Kind::PrivateKey, sealward_pem::private_key)
}

/// A certificate chain and its key. If both are in one file, the file is read once: a platform that renews it replaces both together.
///
/// # Errors
/// [`PemError`]
pub(crate) fn chain_and_key(
    chain: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PemError> {
    if chain != key {
        return Ok((certificates(chain)?, private_key(key)?));
    }
    read(chain, Kind::PrivateKey, |text| Ok((sealward_pem::certificates(text)?, sealward_pem::private_key(text)?)))
}

/// All certificate revocation lists of a file, in order: at least one.
///
/// # Errors
/// [`PemError`]
pub(crate) fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    read(path, Kind::RevocationLists, sealward_pem::revocation_lists)
}

fn read<T>(
    path: &Path,
    kind: Kind,
    parse: impl FnOnce(&[u8]) -> Result<T, sealward_pem::PemError>,
) -> Result<T, PemError> {
    let text = trusted_file::read(path, kind)
        .map_err(|error| PemError::Unreadable { path: path.to_owned(), source: io::Error::other(error) })?;
    parse(&text).map_err(|problem| PemError::Unusable { path: path.to_owned(), problem })
}

/// Commands in the message name the file.
fn with_file_name(problem: &sealward_pem::PemError, path: &Path) -> String {
    problem.to_string().replace("FILE", &path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn chain_and_key_in_one_file_come_from_one_reading() {
        let folder = tempfile::tempdir().unwrap();
        let bundles = [bundle(), bundle()];
        let (file, next) = (folder.path().join("bundle.pem"), folder.path().join("next.pem"));
        fs::write(&file, &bundles[0].0).unwrap();
        // Another process replaces the file again and again, as the platform does at a renewal.
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for (text, ..) in bundles.iter().cycle().take(1_000) {
                    fs::write(&next, text).unwrap();
                    fs::rename(&next, &file).unwrap();
                }
            });
            while !writer.is_finished() {
                let (chain, key) = chain_and_key(&file, &file).unwrap();
                let (_, _, expected) = bundles.iter().find(|(_, certificate, _)| *certificate == chain[0]).unwrap();
                assert!(key.secret_der() == expected.as_slice());
            }
        });
    }

    /// A credential bundle: its text, its certificate and its key.
    fn bundle() -> (String, CertificateDer<'static>, Vec<u8>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        (key.serialize_pem() + &certificate.pem(), certificate.der().clone(), key.serialize_der())
    }

    #[test]
    fn an_error_names_the_file_and_the_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "text\n  -----BEGIN CERTIFICATE-----\n").unwrap();
        let error = certificates(file.path()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: line 2: ", file.path().display())), "{error}");
        fs::write(file.path(), [0x30, 0x82, 0, 0]).unwrap();
        let error = private_key(file.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("-in {}", file.path().display())), "{error}");
        assert!(matches!(certificates(Path::new("/nowhere")), Err(PemError::Unreadable { .. })));
    }
}
