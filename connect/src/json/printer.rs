//! Writes JSON text to a buffer that is wiped, also when it grows.

use std::fmt;

use zeroize::Zeroizing;

use super::{base64, error::JsonProblem, token::DEPTH_MAX};

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Without white space.
    #[default]
    Compact,
    /// One member or element a line, indented by two spaces for each level.
    Indented,
}

/// The text so far.
pub(super) struct Printer {
    bytes: Zeroizing<Vec<u8>>,
    layout: Layout,
    depth: usize,
    /// Whether the innermost open object or list has no member yet.
    is_empty: bool,
}

impl Printer {
    pub(super) fn new(layout: Layout, capacity: usize) -> Self {
        Printer { bytes: Zeroizing::new(Vec::with_capacity(capacity)), layout, depth: 0, is_empty: true }
    }

    pub(super) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }

    /// Begins an object or a list.
    pub(super) fn open(&mut self, bracket: u8) -> Result<(), JsonProblem> {
        if self.depth == DEPTH_MAX {
            return Err(JsonProblem::TooDeep { limit: DEPTH_MAX });
        }
        self.depth += 1;
        self.push(&[bracket]);
        self.is_empty = true;
        Ok(())
    }

    /// Ends an object or a list.
    pub(super) fn close(&mut self, bracket: u8) {
        self.depth = self.depth.saturating_sub(1);
        if !self.is_empty {
            self.line();
        }
        self.push(&[bracket]);
        self.is_empty = false;
    }

    /// Begins a member or an element.
    pub(super) fn item(&mut self) {
        if !self.is_empty {
            self.push(b",");
        }
        self.is_empty = false;
        self.line();
    }

    /// Writes the key of a member.
    pub(super) fn key(&mut self, key: &str) {
        self.item();
        self.string(key);
        self.colon();
    }

    /// Writes the key of a member. Its text contains no character that JSON escapes.
    pub(super) fn plain_key(&mut self, key: impl fmt::Display) {
        self.item();
        self.quoted(key);
        self.colon();
    }

    pub(super) fn string(&mut self, text: &str) {
        self.push(b"\"");
        let mut rest = text;
        while let Some(run) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
            let (before, special) = rest.split_at(run);
            self.push(before.as_bytes());
            let mut characters = special.chars();
            match characters.next() {
                Some(character @ ('"' | '\\')) => self.display(format_args!("\\{character}")),
                Some('\u{8}') => self.push(b"\\b"),
                Some('\u{c}') => self.push(b"\\f"),
                Some('\n') => self.push(b"\\n"),
                Some('\r') => self.push(b"\\r"),
                Some('\t') => self.push(b"\\t"),
                Some(character) => self.display(format_args!("\\u{:04x}", u32::from(character))),
                None => {}
            }
            rest = characters.as_str();
        }
        self.push(rest.as_bytes());
        self.push(b"\"");
    }

    /// Writes bytes as a string in base64.
    pub(super) fn base64(&mut self, bytes: &[u8]) {
        self.push(b"\"");
        base64::encode(bytes, |group| self.push(group));
        self.push(b"\"");
    }

    /// Writes a string that contains no character that JSON escapes.
    pub(super) fn quoted(&mut self, text: impl fmt::Display) {
        self.display(format_args!("\"{text}\""));
    }

    /// Writes a number or a word.
    pub(super) fn display(&mut self, value: impl fmt::Display) {
        let _never_fails = fmt::Write::write_fmt(self, format_args!("{value}"));
    }

    fn colon(&mut self) {
        self.push(if self.layout == Layout::Indented { b": " } else { b":" });
    }

    fn line(&mut self) {
        if self.layout == Layout::Indented {
            self.push(b"\n");
            (0..self.depth).for_each(|_| self.push(b"  "));
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let length = self.bytes.len() + bytes.len();
        if length > self.bytes.capacity() {
            // A vector that grows leaves a copy. This one is replaced by a larger one, and wiped.
            let mut larger = Vec::with_capacity(length.max(self.bytes.capacity() * 2));
            larger.extend_from_slice(&self.bytes);
            self.bytes = Zeroizing::new(larger);
        }
        self.bytes.extend_from_slice(bytes);
    }
}

impl fmt::Write for Printer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}
