//! The reasons to refuse a PEM text, each with its remedy.
//!
//! This file doesn't know how problems are found.

use std::fmt;

/// Why a PEM text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// The text is empty.
    #[error("the file is empty")]
    Empty,
    /// The content is binary DER.
    #[error("the file is in DER, not in PEM: convert it with `{command}`")]
    Der {
        /// The command to convert it.
        command: &'static str,
    },
    /// The content is a PKCS #12 file.
    #[error("the file is in PKCS #12, not in PEM: convert it with `{command}`")]
    Pkcs12 {
        /// The command to convert it.
        command: &'static str,
    },
    /// The text is in UTF-16.
    #[error("the file is in UTF-16: save it in ASCII or UTF-8")]
    Utf16,
    /// A line is invalid.
    #[error("line {line}: {problem}")]
    Line {
        /// The line number, from 1.
        line: usize,
        /// The problem of the line, and its remedy.
        problem: LineProblem,
    },
    /// The text is valid, but doesn't contain the required block.
    #[error("the file has no {expected} in PEM")]
    Missing {
        /// The required block.
        expected: &'static str,
    },
}

/// The problem of a line, and its remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineProblem {
    /// The text begins with U+FEFF.
    ByteOrderMark,
    /// The line is indented.
    Indented,
    /// The line contains a BEGIN or END marker and other text.
    SharedLine,
    /// The line resembles a BEGIN or END line, but isn't one.
    Marker,
    /// The END line doesn't match an open block.
    End,
    /// The block that begins on this line has no END line.
    Unfinished,
    /// A line in a block contains characters that aren't Base64.
    Base64,
    /// A block has headers.
    Header,
    /// The content of a block doesn't match its label, is truncated, or has appended data.
    Content,
    /// The private key is encrypted.
    EncryptedKey,
    /// A second private key.
    SecondKey,
    /// A revocation list in a file for other blocks.
    RevocationList,
    /// Another block in a file for revocation lists.
    NotARevocationList,
    /// A certificate with the trust settings of OpenSSL.
    TrustedCertificate,
    /// A certificate with an obsolete label.
    OldLabel,
    /// A certificate signing request.
    Request,
    /// Certificates in a PKCS #7 message.
    Pkcs7,
    /// An OpenSSH key.
    OpenSshKey,
    /// A public key.
    PublicKey,
    /// An unknown label.
    UnknownLabel,
}

impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LineProblem::ByteOrderMark => "the file begins with a byte order mark (U+FEFF): save it without one",
            LineProblem::Indented => "the line is indented: remove the leading whitespace",
            LineProblem::SharedLine => "a BEGIN or END marker shares the line with other text: put each on its own line",
            LineProblem::Marker => "the line resembles a BEGIN or END line, but isn't one: write `-----BEGIN LABEL-----` or `-----END LABEL-----`",
            LineProblem::End => "this END line doesn't match an open block: restore the block from its source",
            LineProblem::Unfinished => "the block that begins here has no END line: restore the truncated file from its source",
            LineProblem::Base64 => "the line isn't Base64: restore the block from its source",
            LineProblem::Header => "the block has headers: remove them, or convert the file with openssl",
            LineProblem::Content => "the content of the block that begins here doesn't match its label or is truncated: restore it from its source",
            LineProblem::EncryptedKey => "the private key is encrypted: decrypt it with `openssl pkey -in FILE -out FILE.pem`",
            LineProblem::SecondKey => "this is a second private key: keep one key in the file",
            LineProblem::RevocationList => "this file must not contain a revocation list: move it to the file of revocation lists",
            LineProblem::NotARevocationList => "this isn't a revocation list: move it out of this file",
            LineProblem::TrustedCertificate => {
                "TRUSTED CERTIFICATE is a format of OpenSSL: convert it with `openssl x509 -in FILE -out FILE.pem`"
            }
            LineProblem::OldLabel => "X509 CERTIFICATE is an obsolete label: write CERTIFICATE in its BEGIN and END lines",
            LineProblem::Request => "this is a certificate signing request: use the certificate that the CA issued for it",
            LineProblem::Pkcs7 => "this is PKCS #7: convert it with `openssl pkcs7 -print_certs -in FILE -out FILE.pem`",
            LineProblem::OpenSshKey => "this is an OpenSSH key: convert it with `ssh-keygen -p -m PKCS8 -f FILE`",
            LineProblem::PublicKey => "this is a public key: remove it",
            LineProblem::UnknownLabel => "the label of this block is unknown: remove the block",
        })
    }
}
