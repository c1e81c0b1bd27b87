//! Tokens of a JSON text (RFC 8259), read one at a time. Nothing is copied: strings and numbers are borrowed from the text.
//!
//! Errors contain a position and what JSON requires there, never the text.

use super::{
    error::JsonProblem,
    text::{EscapeError, Text, unescaped},
};

/// The maximum number of objects and lists inside each other.
///
/// 64 levels; not configurable. A message of the contract has fewer than 8, and a `google.protobuf.Struct` has room for the rest. The bound
/// keeps the recursion far below the stack of a thread.
pub const DEPTH_MAX: usize = 64;

/// The kind of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Null,
    Bool,
    Number,
    String,
    List,
    Object,
}

/// The unread rest of a JSON text.
#[derive(Clone)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    /// The offset of the rest. It is always between two characters.
    at: usize,
    /// The number of open objects and lists.
    depth: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(json: &'a [u8]) -> Result<Self, JsonProblem> {
        let text = str::from_utf8(json).map_err(|error| JsonProblem::NotUtf8 { offset: error.valid_up_to() })?;
        Ok(Tokens { text, at: 0, depth: 0 })
    }

    /// Returns the kind of the next value, without reading the value.
    pub(super) fn shape(&mut self) -> Result<Shape, JsonProblem> {
        self.skip_space();
        match self.next() {
            Some(b'n') => Ok(Shape::Null),
            Some(b't' | b'f') => Ok(Shape::Bool),
            Some(b'-' | b'0'..=b'9') => Ok(Shape::Number),
            Some(b'"') => Ok(Shape::String),
            Some(b'[') => Ok(Shape::List),
            Some(b'{') => Ok(Shape::Object),
            Some(_) | None => Err(self.syntax("a value")),
        }
    }

    pub(super) fn null(&mut self) -> Result<(), JsonProblem> {
        self.word("null")
    }

    pub(super) fn boolean(&mut self) -> Result<bool, JsonProblem> {
        let value = self.next() == Some(b't');
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// Reads a string.
    pub(super) fn string(&mut self) -> Result<Text<'a>, JsonProblem> {
        self.take(b'"', "a string")?;
        let start = self.at;
        let mut is_escaped = false;
        loop {
            let Some(run) = self.rest().bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) else {
                self.at = self.text.len();
                return Err(self.syntax("the closing quote of a string"));
            };
            self.at += run;
            match self.next() {
                Some(b'"') => break,
                Some(b'\\') => {
                    is_escaped = true;
                    self.at += self.escape()?;
                }
                Some(_) | None => return Err(self.syntax("an escape instead of a control character")),
            }
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text::new(raw, is_escaped))
    }

    /// Returns the length of the next escape.
    fn escape(&self) -> Result<usize, JsonProblem> {
        unescaped(self.rest()).map(|(_, length)| length).map_err(|error| match error {
            EscapeError::Unknown => self.syntax("an escape of JSON"),
            EscapeError::LoneSurrogate => {
                let (line, column) = self.position();
                JsonProblem::LoneSurrogate { line, column }
            }
        })
    }

    /// Reads a number, and returns it as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str, JsonProblem> {
        self.skip_space();
        let start = self.at;
        self.take_any(b"-");
        if !self.take_any(b"0") {
            self.digits()?;
        }
        if self.take_any(b".") {
            self.digits()?;
        }
        if self.take_any(b"eE") {
            self.take_any(b"+-");
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    pub(super) fn open_object(&mut self) -> Result<(), JsonProblem> {
        self.take(b'{', "an object")?;
        self.deeper()
    }

    pub(super) fn open_list(&mut self) -> Result<(), JsonProblem> {
        self.take(b'[', "a list")?;
        self.deeper()
    }

    /// Returns the key of the next member of the open object, or `None` at its end. `is_first` is true before the first member; it is
    /// cleared.
    pub(super) fn next_key(&mut self, is_first: &mut bool) -> Result<Option<Text<'a>>, JsonProblem> {
        if !self.another(is_first, b'}', "a comma or the end of the object")? {
            return Ok(None);
        }
        let key = self.string()?;
        self.take(b':', "a colon")?;
        Ok(Some(key))
    }

    /// Returns whether the open list has another element. `is_first` is true before the first element; it is cleared.
    pub(super) fn next_element(&mut self, is_first: &mut bool) -> Result<bool, JsonProblem> {
        self.another(is_first, b']', "a comma or the end of the list")
    }

    /// Reads a value of any kind, and ignores it.
    pub(super) fn skip(&mut self) -> Result<(), JsonProblem> {
        let mut is_first = true;
        match self.shape()? {
            Shape::Null => self.null()?,
            Shape::Bool => drop(self.boolean()?),
            Shape::Number => drop(self.number()?),
            Shape::String => drop(self.string()?),
            Shape::List => {
                self.open_list()?;
                while self.next_element(&mut is_first)? {
                    self.skip()?;
                }
            }
            Shape::Object => {
                self.open_object()?;
                while self.next_key(&mut is_first)?.is_some() {
                    self.skip()?;
                }
            }
        }
        Ok(())
    }

    /// Requires that only white space is left.
    pub(super) fn end(&mut self) -> Result<(), JsonProblem> {
        self.skip_space();
        if self.next().is_some() { Err(self.syntax("the end of the text")) } else { Ok(()) }
    }

    fn another(&mut self, is_first: &mut bool, close: u8, expected: &'static str) -> Result<bool, JsonProblem> {
        self.skip_space();
        let was_first = std::mem::take(is_first);
        if self.take_any(&[close]) {
            self.depth = self.depth.saturating_sub(1);
            return Ok(false);
        }
        if was_first || self.take_any(b",") { Ok(true) } else { Err(self.syntax(expected)) }
    }

    fn deeper(&mut self) -> Result<(), JsonProblem> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(JsonProblem::TooDeep { limit: DEPTH_MAX }) } else { Ok(()) }
    }

    fn digits(&mut self) -> Result<(), JsonProblem> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += digits;
        if digits == 0 { Err(self.syntax("a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonProblem> {
        if !self.rest().starts_with(word) {
            return Err(self.syntax("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonProblem> {
        self.skip_space();
        if self.take_any(&[byte]) { Ok(()) } else { Err(self.syntax(expected)) }
    }

    /// Takes the next byte if it is one of these.
    fn take_any(&mut self, bytes: &[u8]) -> bool {
        let is_one = self.next().is_some_and(|next| bytes.contains(&next));
        self.at += usize::from(is_one);
        is_one
    }

    fn skip_space(&mut self) {
        self.at += self.rest().bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn syntax(&self, expected: &'static str) -> JsonProblem {
        let (line, column) = self.position();
        JsonProblem::Syntax { line, column, expected }
    }

    /// Returns the line and the column, both from 1.
    fn position(&self) -> (usize, usize) {
        let read = self.text.get(..self.at).unwrap_or_default();
        let line = read.rsplit('\n').next().unwrap_or_default();
        (read.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

/// Returns whether the text is exactly one JSON number.
pub(super) fn is_number(text: &str) -> bool {
    let mut tokens = Tokens { text, at: 0, depth: 0 };
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && tokens.number().is_ok()
        && tokens.at == text.len()
}
