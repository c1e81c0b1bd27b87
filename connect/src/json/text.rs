//! Strings of a JSON text, borrowed as they are written. Unescaping makes no copy: it writes to the output, or compares.

use std::{
    hash::{Hash, Hasher},
    iter,
};

use zeroize::Zeroizing;

/// A valid string of a JSON text, without its quotes.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    raw: &'a str,
    is_escaped: bool,
}

/// A part of an unescaped string.
pub(super) enum Piece<'a> {
    /// Text without an escape.
    Run(&'a str),
    /// The character of an escape.
    Char(char),
}

/// Why an escape is refused.
pub(super) enum EscapeError {
    /// JSON has no such escape.
    Unknown,
    /// Half of a surrogate pair is missing.
    LoneSurrogate,
}

impl<'a> Text<'a> {
    /// `raw` is the text between the quotes. All its escapes are valid.
    pub(super) fn new(raw: &'a str, is_escaped: bool) -> Self {
        Text { raw, is_escaped }
    }

    pub(super) fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// The length in bytes of UTF-8.
    pub(super) fn len(self) -> usize {
        if !self.is_escaped {
            return self.raw.len();
        }
        let length = |piece| match piece {
            Piece::Run(run) => run.len(),
            Piece::Char(character) => character.len_utf8(),
        };
        self.pieces().map(length).sum()
    }

    pub(super) fn pieces(self) -> impl Iterator<Item = Piece<'a>> {
        let mut rest = self.raw;
        iter::from_fn(move || {
            let (run, after) = rest.split_at_checked(rest.find('\\').unwrap_or(rest.len()))?;
            if !run.is_empty() {
                rest = after;
                return Some(Piece::Run(run));
            }
            let (character, length) = unescaped(rest).ok()?;
            rest = rest.get(length..)?;
            Some(Piece::Char(character))
        })
    }

    pub(super) fn chars(self) -> impl Iterator<Item = char> {
        self.pieces().flat_map(|piece| {
            let (run, character) = match piece {
                Piece::Run(run) => (run, None),
                Piece::Char(character) => ("", Some(character)),
            };
            run.chars().chain(character)
        })
    }

    /// Calls `read` with the unescaped text. If it has escapes, that is a copy, which is wiped.
    pub(super) fn read<R>(self, read: impl FnOnce(&str) -> R) -> R {
        if !self.is_escaped {
            return read(self.raw);
        }
        let mut copy = Zeroizing::new(String::with_capacity(self.raw.len()));
        for piece in self.pieces() {
            match piece {
                Piece::Run(run) => copy.push_str(run),
                Piece::Char(character) => copy.push(character),
            }
        }
        read(&copy)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.is_escaped || other.is_escaped { self.chars().eq(other.chars()) } else { self.raw == other.raw }
    }
}

impl Eq for Text<'_> {}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Character by character, because equal texts may be written with different escapes.
        self.chars().for_each(|character| state.write_u32(u32::from(character)));
    }
}

/// Returns the character of the escape at the beginning of `text`, and the length of the escape.
pub(super) fn unescaped(text: &str) -> Result<(char, usize), EscapeError> {
    let bytes = text.as_bytes();
    let character = match bytes.get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(bytes),
        Some(_) | None => return Err(EscapeError::Unknown),
    };
    Ok((character, 2))
}

fn unicode(bytes: &[u8]) -> Result<(char, usize), EscapeError> {
    let first = hexadecimal(bytes.get(2..6)).ok_or(EscapeError::Unknown)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 6));
    }
    let second = if bytes.get(6..8) == Some(b"\\u") { hexadecimal(bytes.get(8..12)) } else { None };
    match (first, second) {
        (high @ 0xD800..0xDC00, Some(low @ 0xDC00..0xE000)) => {
            let character = char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00));
            Ok((character.ok_or(EscapeError::LoneSurrogate)?, 12))
        }
        _ => Err(EscapeError::LoneSurrogate),
    }
}

fn hexadecimal(digits: Option<&[u8]>) -> Option<u32> {
    digits?.iter().try_fold(0, |number, digit| Some((number << 4) | char::from(*digit).to_digit(16)?))
}
