//! PEM (RFC 7468) to certificates, keys and revocation lists: everything that the text announces, or a refusal that names the line.
//!
//! PEM readers skip what they don't recognize. A certificate behind a byte order mark, in an indented block or under another label is lost
//! without a word then: a CA that nobody trusts, a revocation list that revokes nothing. So every line that resembles a BEGIN or END line
//! must be one here, and every block is read on its own, by rustls-pemfile.
//!
//! Server and client read PEM with this crate only. It knows nothing of files, TLS, or what certificates are for.

mod error;
mod scan;

use rustls_pemfile::Item;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

pub use self::error::{LineProblem, PemError};
use self::scan::{Block, Label};

/// What is read of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Certificates,
    PrivateKey,
    RevocationLists,
}

/// All certificates of a text, in its order: at least one. Private keys beside them are skipped.
///
/// # Errors
/// [`PemError`]
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    all(pem, Wanted::Certificates, |item| if let Item::X509Certificate(der) = item { Some(der) } else { None })
}

/// All certificate revocation lists of a text, in its order: at least one. Certificates beside them are skipped.
///
/// # Errors
/// [`PemError`]
pub fn revocation_lists(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    all(pem, Wanted::RevocationLists, |item| if let Item::Crl(der) = item { Some(der) } else { None })
}

/// The one private key of a text: PKCS #8, PKCS #1 or SEC 1, not encrypted. Certificates beside it are skipped.
///
/// # Errors
/// [`PemError`]
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    let mut keys = all(pem, Wanted::PrivateKey, |item| match item {
        Item::Pkcs1Key(der) => Some(der.into()),
        Item::Pkcs8Key(der) => Some(der.into()),
        Item::Sec1Key(der) => Some(der.into()),
        Item::X509Certificate(_) | Item::SubjectPublicKeyInfo(_) | Item::Crl(_) | Item::Csr(_) | _ => None,
    })?;
    keys.pop().ok_or_else(|| Wanted::PrivateKey.missing())
}

fn all<T>(pem: &[u8], wanted: Wanted, take: impl Fn(Item) -> Option<T>) -> Result<Vec<T>, PemError> {
    check_encoding(pem, wanted)?;
    let mut found = Vec::new();
    for block in scan::blocks(pem)? {
        if !wanted.takes(&block)? {
            continue;
        }
        if wanted == Wanted::PrivateKey && !found.is_empty() {
            return Err(block.problem(LineProblem::SecondKey));
        }
        found.push(read(&block).and_then(&take).ok_or_else(|| block.problem(LineProblem::Content))?);
    }
    if found.is_empty() { Err(wanted.missing()) } else { Ok(found) }
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

impl Wanted {
    /// Whether a block is what is read; blocks that may be beside it are skipped.
    fn takes(self, block: &Block<'_>) -> Result<bool, PemError> {
        match (self, block.label) {
            (Wanted::Certificates, Label::Certificate)
            | (Wanted::PrivateKey, Label::PrivateKey)
            | (Wanted::RevocationLists, Label::RevocationList) => Ok(true),
            (Wanted::Certificates, Label::PrivateKey | Label::EncryptedKey | Label::Parameters)
            | (Wanted::PrivateKey, Label::Certificate | Label::Parameters)
            | (Wanted::RevocationLists, Label::Certificate) => Ok(false),
            (_, Label::EncryptedKey) => Err(block.problem(LineProblem::EncryptedKey)),
            (_, Label::Refused(problem)) => Err(block.problem(problem)),
            (_, Label::RevocationList) => Err(block.problem(LineProblem::RevocationList)),
            (Wanted::RevocationLists, Label::PrivateKey | Label::Parameters) => {
                Err(block.problem(LineProblem::NotARevocationList))
            }
        }
    }

    fn missing(self) -> PemError {
        let wanted = match self {
            Wanted::Certificates => "certificate",
            Wanted::PrivateKey => "unencrypted private key",
            Wanted::RevocationLists => "certificate revocation list",
        };
        PemError::Missing { wanted }
    }

    fn command_for_der(self) -> &'static str {
        match self {
            Wanted::Certificates => "openssl x509 -inform der -in FILE -out FILE.pem",
            Wanted::PrivateKey => "openssl pkey -inform der -in FILE -out FILE.pem",
            Wanted::RevocationLists => "openssl crl -inform der -in FILE -out FILE.pem",
        }
    }

    fn command_for_pkcs12(self) -> &'static str {
        match self {
            Wanted::Certificates | Wanted::RevocationLists => "openssl pkcs12 -in FILE -nokeys -out FILE.pem",
            Wanted::PrivateKey => "openssl pkcs12 -in FILE -nocerts -nodes -out FILE.pem",
        }
    }
}

fn check_encoding(pem: &[u8], wanted: Wanted) -> Result<(), PemError> {
    match pem {
        _ if pem.trim_ascii().is_empty() => Err(PemError::Empty),
        [0xEF, 0xBB, 0xBF, ..] => Err(PemError::Line { line: 1, problem: LineProblem::ByteOrderMark }),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, b'-', ..] | [b'-', 0, ..] => Err(PemError::Utf16),
        _ if is_pkcs12(pem) => Err(PemError::Pkcs12 { command: wanted.command_for_pkcs12() }),
        // A length in the short form would be a sequence of less than 128 bytes: text that begins with the digit 0, or a small key.
        [SEQUENCE, 0x81..=0x84, ..] => Err(PemError::Der { command: wanted.command_for_der() }),
        _ if is_one_sequence(pem) => Err(PemError::Der { command: wanted.command_for_der() }),
        _ => Ok(()),
    }
}

const SEQUENCE: u8 = 0x30;

/// A sequence that begins with the version number 3 (RFC 7292, section 4).
fn is_pkcs12(der: &[u8]) -> bool {
    matches!(content_of_sequence(der), Some([0x02, 0x01, 0x03, ..]))
}

/// Whether these bytes are one sequence in DER, complete and with nothing behind it.
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
