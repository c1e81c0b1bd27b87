//! Parses PEM (RFC 7468) to certificates, keys and revocation lists: every announced block, or an error with the line.
//!
//! Most PEM readers skip text that they don't recognize. They silently ignore a certificate after a byte order mark, in
//! an indented block or with another label. The result is a CA that isn't trusted, or a revocation list that revokes
//! nothing. Therefore this crate requires that every line resembling a BEGIN or END line is one. rustls-pemfile then
//! parses each block separately.
//!
//! Server and client read PEM only with this crate. It knows nothing about files, TLS, or the purpose of certificates.

mod error;
mod scan;

use rustls_pemfile::Item;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

pub use self::error::{LineProblem, PemError};
use self::scan::{Block, Label};

/// The kind of block to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockKind {
    Certificates,
    PrivateKey,
    RevocationLists,
}

/// Parses all certificates of a text, in its order, at least one. Private keys in the same text are skipped.
///
/// # Errors
/// See [`PemError`].
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    all(pem, BlockKind::Certificates, |item| if let Item::X509Certificate(der) = item { Some(der) } else { None })
}

/// Parses all certificate revocation lists of a text, in its order, at least one. Certificates in the same text are
/// skipped.
///
/// # Errors
/// See [`PemError`].
pub fn revocation_lists(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    all(pem, BlockKind::RevocationLists, |item| if let Item::Crl(der) = item { Some(der) } else { None })
}

/// Parses the only private key of a text: PKCS #8, PKCS #1 or SEC 1, unencrypted. Certificates in the same text are
/// skipped.
///
/// # Errors
/// See [`PemError`].
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    let mut keys = all(pem, BlockKind::PrivateKey, |item| match item {
        Item::Pkcs1Key(der) => Some(der.into()),
        Item::Pkcs8Key(der) => Some(der.into()),
        Item::Sec1Key(der) => Some(der.into()),
        Item::X509Certificate(_) | Item::SubjectPublicKeyInfo(_) | Item::Crl(_) | Item::Csr(_) | _ => None,
    })?;
    keys.pop().ok_or_else(|| BlockKind::PrivateKey.missing())
}

fn all<T>(pem: &[u8], expected: BlockKind, take: impl Fn(Item) -> Option<T>) -> Result<Vec<T>, PemError> {
    check_encoding(pem, expected)?;
    let mut found = Vec::new();
    for block in scan::blocks(pem)? {
        if !expected.takes(&block)? {
            continue;
        }
        if expected == BlockKind::PrivateKey && !found.is_empty() {
            return Err(block.problem(LineProblem::SecondKey));
        }
        found.push(read(&block).and_then(&take).ok_or_else(|| block.problem(LineProblem::Content))?);
    }
    if found.is_empty() { Err(expected.missing()) } else { Ok(found) }
}

#[expect(clippy::disallowed_methods, reason = "this is the module that reads PEM")]
fn read(block: &Block<'_>) -> Option<Item> {
    let (item, _rest) = rustls_pemfile::read_one_from_slice(block.text).ok()??;
    is_one_sequence(der(&item)).then_some(item)
}

fn der(item: &Item) -> &[u8] {
    match item {
        Item::X509Certificate(der) => der,
        Item::SubjectPublicKeyInfo(der) => der,
        Item::Pkcs1Key(der) => der.secret_pkcs1_der(),
        Item::Pkcs8Key(der) => der.secret_pkcs8_der(),
        Item::Sec1Key(der) => der.secret_sec1_der(),
        Item::Crl(der) => der,
        Item::Csr(der) => der,
        _ => &[],
    }
}

impl BlockKind {
    /// Returns whether to read a block. Returns `false` for blocks that may be in the same text.
    fn takes(self, block: &Block<'_>) -> Result<bool, PemError> {
        match (self, block.label) {
            (BlockKind::Certificates, Label::Certificate)
            | (BlockKind::PrivateKey, Label::PrivateKey)
            | (BlockKind::RevocationLists, Label::RevocationList) => Ok(true),
            (BlockKind::Certificates, Label::PrivateKey | Label::EncryptedKey | Label::Parameters)
            | (BlockKind::PrivateKey, Label::Certificate | Label::Parameters)
            | (BlockKind::RevocationLists, Label::Certificate) => Ok(false),
            (_, Label::EncryptedKey) => Err(block.problem(LineProblem::EncryptedKey)),
            (_, Label::Refused(problem)) => Err(block.problem(problem)),
            (_, Label::RevocationList) => Err(block.problem(LineProblem::RevocationList)),
            (BlockKind::RevocationLists, Label::PrivateKey | Label::Parameters) => {
                Err(block.problem(LineProblem::NotARevocationList))
            }
        }
    }

    fn missing(self) -> PemError {
        let expected = match self {
            BlockKind::Certificates => "certificate",
            BlockKind::PrivateKey => "unencrypted private key",
            BlockKind::RevocationLists => "certificate revocation list",
        };
        PemError::Missing { expected }
    }

    fn command_for_der(self) -> &'static str {
        match self {
            BlockKind::Certificates => "openssl x509 -inform der -in FILE -out FILE.pem",
            BlockKind::PrivateKey => "openssl pkey -inform der -in FILE -out FILE.pem",
            BlockKind::RevocationLists => "openssl crl -inform der -in FILE -out FILE.pem",
        }
    }

    fn command_for_pkcs12(self) -> &'static str {
        match self {
            BlockKind::Certificates | BlockKind::RevocationLists => "openssl pkcs12 -in FILE -nokeys -out FILE.pem",
            BlockKind::PrivateKey => "openssl pkcs12 -in FILE -nocerts -nodes -out FILE.pem",
        }
    }
}

fn check_encoding(pem: &[u8], expected: BlockKind) -> Result<(), PemError> {
    match pem {
        _ if pem.trim_ascii().is_empty() => Err(PemError::Empty),
        [0xEF, 0xBB, 0xBF, ..] => Err(PemError::Line { line: 1, problem: LineProblem::ByteOrderMark }),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, b'-', ..] | [b'-', 0, ..] => Err(PemError::Utf16),
        _ if is_pkcs12(pem) => Err(PemError::Pkcs12 { command: expected.command_for_pkcs12() }),
        // A length in the short form would mean a sequence shorter than 128 bytes: text that begins with the digit 0,
        // or a short key.
        [SEQUENCE, 0x81..=0x84, ..] => Err(PemError::Der { command: expected.command_for_der() }),
        _ if is_one_sequence(pem) => Err(PemError::Der { command: expected.command_for_der() }),
        _ => Ok(()),
    }
}

const SEQUENCE: u8 = 0x30;

/// Returns whether a sequence begins with the version number 3 (RFC 7292, section 4).
fn is_pkcs12(der: &[u8]) -> bool {
    matches!(content_of_sequence(der), Some([0x02, 0x01, 0x03, ..]))
}

/// Returns whether these bytes are exactly one complete DER sequence.
fn is_one_sequence(der: &[u8]) -> bool {
    content_of_sequence(der).is_some()
}

fn content_of_sequence(der: &[u8]) -> Option<&[u8]> {
    let [SEQUENCE, first, rest @ ..] = der else { return None };
    let digits = usize::from(first.checked_sub(0x80).unwrap_or_default());
    let (length, content) = match first {
        0..=0x7F => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (written, content) = rest.split_at_checked(digits)?;
            (written.iter().fold(0, |length: usize, byte| (length << 8) | usize::from(*byte)), content)
        }
        _ => return None,
    };
    (content.len() == length).then_some(content)
}

#[cfg(test)]
mod tests;
