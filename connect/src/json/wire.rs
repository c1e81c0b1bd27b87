//! Fields of a protobuf message on the wire, read in place.

use std::ops::Range;

use super::{
    error::JsonProblem,
    sink::{DELIMITED, FIXED32, FIXED64, GROUP, GROUP_END, VARINT},
    token::DEPTH_MAX,
};

/// The unread fields of a message, or the unread elements of a packed list.
pub(super) struct Fields<'a> {
    wire: &'a [u8],
    rest: Range<usize>,
}

/// A field: its number, its wire type, and the offset of its value.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) wire_type: u8,
    pub(super) value: usize,
}

impl<'a> Fields<'a> {
    /// `range` is a part of `wire`.
    pub(super) fn new(wire: &'a [u8], range: Range<usize>) -> Self {
        Fields { wire, rest: range }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns the next field, and skips its value.
    pub(super) fn next_field(&mut self) -> Result<Option<Field>, JsonProblem> {
        if self.is_empty() {
            return Ok(None);
        }
        let field = self.tag()?;
        self.skip(field, 0)?;
        Ok(Some(field))
    }

    pub(super) fn varint(&mut self) -> Result<u64, JsonProblem> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let [byte] = self.array()?;
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 {
                return Err(JsonProblem::InvalidWire);
            }
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(JsonProblem::InvalidWire)
    }

    pub(super) fn fixed32(&mut self) -> Result<u32, JsonProblem> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, JsonProblem> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a length, and returns the place of the content.
    pub(super) fn delimited(&mut self) -> Result<Range<usize>, JsonProblem> {
        let length = usize::try_from(self.varint()?).map_err(|_| JsonProblem::InvalidWire)?;
        if length > self.rest.len() {
            return Err(JsonProblem::InvalidWire);
        }
        let content = self.rest.start..self.rest.start + length;
        self.rest.start = content.end;
        Ok(content)
    }

    fn tag(&mut self) -> Result<Field, JsonProblem> {
        let tag = u32::try_from(self.varint()?).map_err(|_| JsonProblem::InvalidWire)?;
        let (number, [wire_type, ..]) = (tag >> 3, (tag & 7).to_le_bytes());
        if number == 0 {
            return Err(JsonProblem::InvalidWire);
        }
        Ok(Field { number, wire_type, value: self.rest.start })
    }

    fn skip(&mut self, field: Field, depth: usize) -> Result<(), JsonProblem> {
        match field.wire_type {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            DELIMITED => self.delimited().map(drop),
            FIXED32 => self.fixed32().map(drop),
            GROUP if depth < DEPTH_MAX => loop {
                let inner = self.tag()?;
                if inner.wire_type == GROUP_END {
                    return if inner.number == field.number { Ok(()) } else { Err(JsonProblem::InvalidWire) };
                }
                self.skip(inner, depth + 1)?;
            },
            GROUP => Err(JsonProblem::TooDeep { limit: DEPTH_MAX }),
            _ => Err(JsonProblem::InvalidWire),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], JsonProblem> {
        let bytes = self.wire.get(self.rest.clone()).and_then(<[u8]>::first_chunk).ok_or(JsonProblem::InvalidWire)?;
        self.rest.start += N;
        Ok(*bytes)
    }
}
