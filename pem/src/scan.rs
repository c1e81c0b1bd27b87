//! Scans the lines of a PEM text: finds its blocks and their labels, and invalid lines.

use crate::error::{LineProblem, PemError};

/// A block of a PEM text.
pub(crate) struct Block<'a> {
    /// The number of its BEGIN line, from 1.
    pub(crate) line: usize,
    pub(crate) label: Label,
    /// Its text from the BEGIN line to the END line.
    pub(crate) text: &'a [u8],
}

/// The meaning of a block's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Certificate,
    RevocationList,
    PrivateKey,
    EncryptedKey,
    /// Parameters of a curve or a group, which openssl writes before a key.
    Parameters,
    Refused(LineProblem),
}

impl Label {
    fn of(label: &[u8]) -> Self {
        match label {
            b"CERTIFICATE" => Label::Certificate,
            b"X509 CRL" => Label::RevocationList,
            b"PRIVATE KEY" | b"EC PRIVATE KEY" | b"RSA PRIVATE KEY" => Label::PrivateKey,
            b"ENCRYPTED PRIVATE KEY" => Label::EncryptedKey,
            b"EC PARAMETERS" | b"DH PARAMETERS" => Label::Parameters,
            b"TRUSTED CERTIFICATE" => Label::Refused(LineProblem::TrustedCertificate),
            b"X509 CERTIFICATE" => Label::Refused(LineProblem::OldLabel),
            b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => Label::Refused(LineProblem::Request),
            b"PKCS7" | b"CMS" => Label::Refused(LineProblem::Pkcs7),
            b"OPENSSH PRIVATE KEY" => Label::Refused(LineProblem::OpenSshKey),
            b"PUBLIC KEY" | b"RSA PUBLIC KEY" => Label::Refused(LineProblem::PublicKey),
            _ => Label::Refused(LineProblem::UnknownLabel),
        }
    }
}

impl Block<'_> {
    pub(crate) fn problem(&self, problem: LineProblem) -> PemError {
        PemError::Line { line: self.line, problem }
    }
}

/// A block whose END line hasn't been read yet.
struct Open<'a> {
    line: usize,
    label: &'a [u8],
    begin: usize,
    is_encrypted: bool,
    /// Whether the body has begun, after which no headers may follow.
    has_body: bool,
}

/// Returns the blocks of a text. Text between blocks is ignored unless it resembles a part of a block.
pub(crate) fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, PemError> {
    let mut blocks = Vec::new();
    let mut open: Option<Open<'_>> = None;
    for Line { number, begin, content } in lines(text) {
        let problem = |problem| PemError::Line { line: number, problem };
        match (marker(content).map_err(problem)?, &mut open) {
            (Some(Marker::Begin(label)), None) => {
                open = Some(Open { line: number, label, begin, is_encrypted: false, has_body: false });
            }
            (Some(Marker::Begin(_)), Some(open)) => {
                return Err(PemError::Line { line: open.line, problem: LineProblem::Unfinished });
            }
            (Some(Marker::End(label)), Some(block)) if block.label == label => {
                let text = text.get(block.begin..begin + content.len()).unwrap_or_default();
                let label = Label::of(label);
                let is_encrypted = label == Label::PrivateKey && block.is_encrypted;
                let label = if is_encrypted { Label::EncryptedKey } else { label };
                blocks.push(Block { line: block.line, label, text });
                open = None;
            }
            (Some(Marker::End(_)), _) => return Err(problem(LineProblem::End)),
            (None, Some(block)) => block.check_line(content).map_err(problem)?,
            (None, None) => {}
        }
    }
    match open {
        None => Ok(blocks),
        Some(open) => Err(PemError::Line { line: open.line, problem: LineProblem::Unfinished }),
    }
}

impl Open<'_> {
    fn check_line(&mut self, line: &[u8]) -> Result<(), LineProblem> {
        let content = line.trim_ascii_end();
        if content.is_empty() {
            return Ok(());
        }
        // RFC 1421: headers of encrypted keys, which OpenSSL wrote before version 1.0.
        if !self.has_body && content.contains(&b':') {
            let is_of_encryption = content.starts_with(b"Proc-Type: 4,ENCRYPTED") || content.starts_with(b"DEK-Info:");
            self.is_encrypted |= is_of_encryption;
            return if is_of_encryption { Ok(()) } else { Err(LineProblem::Header) };
        }
        self.has_body = true;
        if content.first().is_some_and(u8::is_ascii_whitespace) {
            return Err(LineProblem::Indented);
        }
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        if content.iter().all(is_base64) { Ok(()) } else { Err(LineProblem::Base64) }
    }
}

enum Marker<'a> {
    Begin(&'a [u8]),
    End(&'a [u8]),
}

/// Returns the marker in a line. Returns an error if the line only resembles a marker.
fn marker(line: &[u8]) -> Result<Option<Marker<'_>>, LineProblem> {
    if !resembles_marker(line) {
        return Ok(None);
    }
    // Spaces may follow, as in rustls-pemfile, but not tabs.
    let end = line.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    let trimmed = line.get(..end).unwrap_or_default();
    let label_of = |begin: &[u8]| {
        let label = trimmed.strip_prefix(begin)?.strip_suffix(b"-----")?;
        (!label.is_empty() && !label.contains(&b'-')).then_some(label)
    };
    if let Some(label) = label_of(b"-----BEGIN ") {
        return Ok(Some(Marker::Begin(label)));
    }
    if let Some(label) = label_of(b"-----END ") {
        return Ok(Some(Marker::End(label)));
    }
    if line.first().is_some_and(u8::is_ascii_whitespace) {
        return Err(LineProblem::Indented);
    }
    let markers = count(line, b"-----BEGIN ") + count(line, b"-----END ");
    let begins = line.starts_with(b"-----BEGIN ") || line.starts_with(b"-----END ");
    if markers > 1 || markers == 1 && !begins { Err(LineProblem::SharedLine) } else { Err(LineProblem::Marker) }
}

/// Returns whether a line is probably meant as a marker: with too few hyphens, in lower case, with other dash characters, or without the
/// space before the label. Such a line is neither a marker nor explanatory text.
fn resembles_marker(line: &[u8]) -> bool {
    const DASHES: [&[u8]; 4] = [b"-", "\u{2010}".as_bytes(), "\u{2013}".as_bytes(), "\u{2014}".as_bytes()];
    let upper = line.to_ascii_uppercase();
    let follows_dash = |word: &[u8]| {
        positions(&upper, word).any(|at| {
            let before = upper.get(..at).unwrap_or_default().trim_ascii_end();
            DASHES.iter().any(|dash| before.ends_with(dash))
        })
    };
    let has_all_hyphens = |marker: &[u8]| positions(&upper, marker).next().is_some();
    has_all_hyphens(b"-----BEGIN") || has_all_hyphens(b"-----END") || follows_dash(b"BEGIN ") || follows_dash(b"END ")
}

fn positions<'a>(text: &'a [u8], part: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    text.windows(part.len()).enumerate().filter(move |(_, window)| *window == part).map(|(at, _)| at)
}

fn count(text: &[u8], part: &[u8]) -> usize {
    positions(text, part).count()
}

/// A line without its line ending.
struct Line<'a> {
    number: usize,
    begin: usize,
    content: &'a [u8],
}

/// Splits a text into lines, which end with CR LF, LF or CR.
fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let (mut rest, mut begin, mut number) = (text, 0, 0);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
        let (content, end) = rest.split_at(length);
        let skipped = if end.starts_with(b"\r\n") { 2 } else { end.len().min(1) };
        let line = Line { number: number + 1, begin, content };
        rest = end.get(skipped..).unwrap_or_default();
        begin += length + skipped;
        number += 1;
        Some(line)
    })
}
