//! Where wire bytes go: the first pass measures, the second writes to a buffer of exactly that size.
//!
//! Protobuf writes the length of a message before it. With the lengths of the first pass, nothing is moved or copied, and no buffer grows.

use std::vec;

use zeroize::Zeroizing;

/// Receives wire bytes.
pub(super) trait Sink {
    /// Whether the pass checks what one pass needs to check: duplicate keys.
    const CHECKS: bool;

    /// What [`close`](Sink::close) needs to know.
    type Open;

    fn byte(&mut self, byte: u8);

    fn bytes(&mut self, bytes: &[u8]);

    fn varint(&mut self, value: u64) {
        let mut rest = value;
        while rest >= 0x80 {
            let [low, ..] = rest.to_le_bytes();
            self.byte(low | 0x80);
            rest >>= 7;
        }
        let [low, ..] = rest.to_le_bytes();
        self.byte(low);
    }

    fn tag(&mut self, field: u32, wire_type: u8) {
        self.varint(u64::from(field) << 3 | u64::from(wire_type));
    }

    /// Begins a value whose length precedes it.
    fn open(&mut self) -> Self::Open;

    /// Ends the value.
    fn close(&mut self, open: Self::Open);

    /// Begins a field without presence, which isn't written if its value is empty. Its number is below 16, so that its tag is one byte.
    fn open_field(&mut self, field: u32) -> Self::Open;

    /// Ends the field.
    fn close_field(&mut self, open: Self::Open);
}

/// The wire type of integers, enums and Booleans.
pub(super) const VARINT: u8 = 0;
/// The wire type of values of 8 bytes.
pub(super) const FIXED64: u8 = 1;
/// The wire type of values with a length before them.
pub(super) const DELIMITED: u8 = 2;
/// The wire type of the beginning of a group.
pub(super) const GROUP: u8 = 3;
/// The wire type of the end of a group.
pub(super) const GROUP_END: u8 = 4;
/// The wire type of values of 4 bytes.
pub(super) const FIXED32: u8 = 5;

/// The first pass: counts bytes.
#[derive(Default)]
pub(super) struct Measure {
    length: usize,
    /// The lengths of the values, in the order of their beginnings.
    lengths: Vec<u32>,
}

impl Measure {
    /// Returns the number of bytes.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Returns the second pass. `None`: the message is larger than protobuf allows.
    pub(super) fn writer(self) -> Option<Write> {
        i32::try_from(self.length).ok()?;
        Some(Write { bytes: Zeroizing::new(Vec::with_capacity(self.length)), lengths: self.lengths.into_iter() })
    }
}

impl Sink for Measure {
    const CHECKS: bool = true;

    /// The index in `lengths`, and the length before the value.
    type Open = (usize, usize);

    fn byte(&mut self, _: u8) {
        self.length += 1;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
    }

    fn open(&mut self) -> Self::Open {
        self.lengths.push(0);
        (self.lengths.len() - 1, self.length)
    }

    fn close(&mut self, (index, before): Self::Open) {
        let length = self.length - before;
        if let Some(entry) = self.lengths.get_mut(index) {
            // A length that doesn't fit makes the whole message too large.
            *entry = u32::try_from(length).unwrap_or(u32::MAX);
        }
        self.varint(u64::try_from(length).unwrap_or(u64::MAX));
    }

    fn open_field(&mut self, field: u32) -> Self::Open {
        self.tag(field, DELIMITED);
        self.open()
    }

    fn close_field(&mut self, (index, before): Self::Open) {
        if self.length > before {
            self.close((index, before));
        } else {
            self.length -= 1;
        }
    }
}

/// The second pass: writes bytes.
pub(super) struct Write {
    bytes: Zeroizing<Vec<u8>>,
    lengths: vec::IntoIter<u32>,
}

impl Write {
    pub(super) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }
}

impl Sink for Write {
    const CHECKS: bool = false;

    type Open = ();

    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn open(&mut self) -> Self::Open {
        let length = self.lengths.next().unwrap_or_default();
        self.varint(u64::from(length));
    }

    fn close(&mut self, (): Self::Open) {}

    fn open_field(&mut self, field: u32) -> Self::Open {
        if self.lengths.as_slice().first().is_some_and(|length| *length > 0) {
            self.tag(field, DELIMITED);
            self.open();
        } else {
            self.lengths.next();
        }
    }

    fn close_field(&mut self, (): Self::Open) {}
}
