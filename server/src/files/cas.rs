//! The CAs that verify the servers to which this one connects: those of a file, or the system's.
//!
//! This module doesn't know the servers.

use std::{collections::BTreeSet, error::Error, path::Path};

use data_encoding::HEXLOWER;
use rustls::{RootCertStore, pki_types::CertificateDer};
use sha2::{Digest, Sha256};

use super::pem;
use crate::certificates::{Certificate, Renewal, Usage};

/// A file with more CAs is a bundle of public ones, such as the system's.
const REPORTED_MAX: usize = 20;

type AnyError = Box<dyn Error + Send + Sync>;

/// The CAs that verify the certificate of a server. They are compared by their certificates, since a file may change.
#[derive(PartialEq, Eq)]
pub(crate) enum Cas {
    /// The system's CAs.
    OfSystem(Vec<CertificateDer<'static>>),
    /// The CAs in a file.
    OfFile(Vec<CertificateDer<'static>>),
}

impl Cas {
    /// Reads the file, or the system's CAs. Blocks.
    ///
    /// # Errors
    /// The file can't be used, or the system has no CAs.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, AnyError> {
        if let Some(path) = file {
            return Ok(Self::OfFile(pem::certificates(path)?));
        }
        let found = rustls_native_certs::load_native_certs();
        match found.certs.is_empty() {
            true => Err(format!("the system has no readable CAs: {:?}", found.errors).into()),
            false => Ok(Self::OfSystem(found.certs)),
        }
    }

    /// The certificates as TLS uses them.
    ///
    /// # Errors
    /// None of them can be used, or one of a file can't.
    pub(crate) fn roots(&self) -> Result<RootCertStore, AnyError> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::OfFile(certificates) => certificates.iter().try_for_each(|ca| roots.add(ca.clone()))?,
            // The system's CAs may contain unusable ones.
            Self::OfSystem(certificates) => drop(roots.add_parsable_certificates(certificates.iter().cloned())),
        }
        if roots.is_empty() { Err("none of the system's CAs is usable".into()) } else { Ok(roots) }
    }

    /// The certificates of a file, for reports. Those of the system aren't reported, nor those of a file with many: nothing depends on one of
    /// them, and each would be a series of the metrics.
    pub(crate) fn certificates(&self, setting: &str, usage: &Usage) -> Vec<Certificate> {
        let cas = match self {
            Self::OfFile(cas) if cas.len() <= REPORTED_MAX => cas,
            Self::OfFile(_) | Self::OfSystem(_) => return Vec::new(),
        };
        cas.iter().map(|ca| Certificate::read(setting, usage.clone(), Renewal::ByHand, ca)).collect()
    }

    /// The SHA-256 hash of each, in hex. `None` for the system's CAs, which change with updates of the system.
    pub(crate) fn fingerprints(&self) -> Option<BTreeSet<String>> {
        match self {
            Self::OfSystem(_) => None,
            Self::OfFile(certificates) => {
                Some(certificates.iter().map(|ca| HEXLOWER.encode(&Sha256::digest(ca))).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cas_of_a_file_are_reported_unless_it_is_a_bundle_of_many() {
        let ca = rcgen::CertificateParams::default().self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let reported = |cas: Cas| cas.certificates("traces.ca", &Usage::CaOf("a server".to_owned())).len();
        let number = |number| vec![ca.der().clone(); number];
        assert_eq!(reported(Cas::OfFile(number(REPORTED_MAX))), REPORTED_MAX);
        assert_eq!(reported(Cas::OfFile(number(REPORTED_MAX + 1))), 0);
        assert_eq!(reported(Cas::OfSystem(number(1))), 0);
    }
}
