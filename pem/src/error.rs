//! Why a PEM text can't be used: each problem with what to do about it.
//!
//! Nothing here knows how problems are found.

use std::fmt;

/// Why a text can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// It has no content.
    #[error("the file is empty")]
    Empty,
    /// It is binary.
    #[error("the file is in DER, not in PEM: convert it with `{command}`")]
    Der {
        /// The command that converts it.
        command: &'static str,
    },
    /// It is a PKCS #12 file.
    #[error("the file is in PKCS #12, not in PEM: convert it with `{command}`")]
    Pkcs12 {
        /// The command that converts it.
        command: &'static str,
    },
    /// Its characters have two bytes each.
    #[error("the file is in UTF-16: save it in ASCII or UTF-8")]
    Utf16,
    /// One of its lines can't be used.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it, and what to do.
        problem: LineProblem,
    },
    /// It is sound, but lacks what is needed.
    #[error("the file has no {wanted} in PEM")]
    Missing {
        /// What is needed.
        wanted: &'static str,
    },
}

/// What is wrong with a line, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineProblem {
    /// The text begins with U+FEFF.
    ByteOrderMark,
    /// The line is indented.
    Indented,
    /// The line has a BEGIN or END marker and more than that.
    SharedLine,
    /// The line resembles a BEGIN or END line, and isn't one.
    Marker,
    /// An END line that ends no block, or another one.
    End,
    /// A block that begins here has no END line.
    Unfinished,
    /// A line in a block has characters that aren't Base64.
    Base64,
    /// A block has headers.
    Header,
    /// A block isn't what its label says, is cut off, or has something appended.
    Content,
    /// The private key is encrypted.
    EncryptedKey,
    /// A second private key.
    SecondKey,
    /// A revocation list where something else is read.
    RevocationList,
    /// Something else where revocation lists are read.
    NotARevocationList,
    /// A certificate with the trust settings of OpenSSL.
    TrustedCertificate,
    /// A certificate under its old label.
    OldLabel,
    /// A request for a certificate.
    Request,
    /// Certificates in a PKCS #7 message.
    Pkcs7,
    /// A key of OpenSSH.
    OpenSshKey,
    /// A public key.
    PublicKey,
    /// A label that isn't known.
    UnknownLabel,
}

impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LineProblem::ByteOrderMark => "a byte order mark (U+FEFF) is before the text: save the file without it",
            LineProblem::Indented => "the line is indented: remove the blanks before it",
            LineProblem::SharedLine => "a BEGIN or END marker shares the line with other text: put each on a line of its own",
            LineProblem::Marker => "this resembles a BEGIN or END line and isn't one: write `-----BEGIN LABEL-----` or `-----END LABEL-----`",
            LineProblem::End => "this END line ends no block of its label: restore the block from its source",
            LineProblem::Unfinished => "the block that begins here has no END line: the file is cut off",
            LineProblem::Base64 => "the line isn't Base64: restore the block from its source",
            LineProblem::Header => "the block has headers: remove them, or convert the file with openssl",
            LineProblem::Content => "the block that begins here isn't what its label says, or is cut off: restore it from its source",
            LineProblem::EncryptedKey => "the private key is encrypted: decrypt it with `openssl pkey -in FILE -out FILE.pem`",
            LineProblem::SecondKey => "this is a second private key: keep one key in the file",
            LineProblem::RevocationList => "a revocation list isn't read from this file: move it to the file of the revocation lists",
            LineProblem::NotARevocationList => "this isn't a revocation list: move it out of this file",
            LineProblem::TrustedCertificate => {
                "TRUSTED CERTIFICATE is a form of OpenSSL: convert it with `openssl x509 -in FILE -out FILE.pem`"
            }
            LineProblem::OldLabel => "X509 CERTIFICATE is an old label: write CERTIFICATE in its BEGIN and END lines",
            LineProblem::Request => "this is a request for a certificate: put the certificate that the CA issued for it here",
            LineProblem::Pkcs7 => "this is PKCS #7: convert it with `openssl pkcs7 -print_certs -in FILE -out FILE.pem`",
            LineProblem::OpenSshKey => "this is a key of OpenSSH: convert it with `ssh-keygen -p -m PKCS8 -f FILE`",
            LineProblem::PublicKey => "this is a public key: remove it",
            LineProblem::UnknownLabel => "a block of this label isn't known here: remove it",
        })
    }
}
