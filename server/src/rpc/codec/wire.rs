//! The wire format of protobuf: keys, varints and lengths, without knowledge of any message.
//!
//! [`Reader`] borrows from the bytes of a message and copies nothing. Its answers are those of prost, which is generic over buffers and
//! therefore can't lend text. Everything that is written is written to a [`Sink`], which either counts or stores bytes: a length can't
//! differ from the bytes that it announces.

use bytes::BufMut;
use sealward_core::id::RecordId;

/// The maximum depth of messages in messages, as in prost.
pub(super) const DEPTH_MAX: u32 = 100;

/// The bytes aren't a message of the expected type. The error doesn't contain anything of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The encoding of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Length,
    GroupStart,
    GroupEnd,
    Fixed32,
}

impl Wire {
    /// Refuses any other encoding than `expected`.
    pub(super) fn must_be(self, expected: Wire) -> Result<(), Malformed> {
        if self == expected { Ok(()) } else { Err(Malformed) }
    }
}

/// Reads a message from its bytes.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the number of a field and the encoding of its value.
    pub(super) fn key(&mut self) -> Result<(u32, Wire), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let wire = match key & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Length,
            3 => Wire::GroupStart,
            4 => Wire::GroupEnd,
            5 => Wire::Fixed32,
            _ => return Err(Malformed),
        };
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok((number, wire)),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        // Keys of the first fields, short lengths and flags have one byte.
        if let [byte @ 0..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        let mut value = 0;
        for shift in (0..=63).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            // The tenth byte has the last bit of 64.
            if shift == 63 && *byte > 1 {
                return Err(Malformed);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// Reads a length, and that number of bytes.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        self.take(length)
    }

    /// Reads a length, and a text of that number of bytes.
    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Skips the value of an unknown field. `depth` is the number of levels that it may contain.
    pub(super) fn skip(&mut self, number: u32, wire: Wire, depth: u32) -> Result<(), Malformed> {
        match wire {
            Wire::Varint => self.varint().map(|_| ()),
            Wire::Fixed64 => self.take(8).map(|_| ()),
            Wire::Length => self.bytes().map(|_| ()),
            Wire::Fixed32 => self.take(4).map(|_| ()),
            Wire::GroupEnd => Err(Malformed),
            Wire::GroupStart => {
                let depth = depth.checked_sub(1).ok_or(Malformed)?;
                loop {
                    match self.key()? {
                        (inner, Wire::GroupEnd) => return if inner == number { Ok(()) } else { Err(Malformed) },
                        (inner, wire) => self.skip(inner, wire, depth)?,
                    }
                }
            }
        }
    }
}

/// Takes the bytes of a message.
pub(super) trait Sink {
    fn bytes(&mut self, bytes: &[u8]);
    fn varint(&mut self, value: u64);
    /// The canonical text of an id.
    fn id(&mut self, id: RecordId);
}

/// The length of an id's text.
pub(super) const ID_BYTES: usize = uuid::fmt::Hyphenated::LENGTH;

/// Counts bytes.
#[derive(Default)]
pub(super) struct Length(pub(super) usize);

impl Sink for Length {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn varint(&mut self, value: u64) {
        self.0 += varint_bytes(value);
    }

    fn id(&mut self, _: RecordId) {
        self.0 += ID_BYTES;
    }
}

/// Writes bytes to a buffer.
pub(super) struct Buffer<'a, B>(pub(super) &'a mut B);

impl<B: BufMut> Sink for Buffer<'_, B> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.put_u8(low_byte(value) | 0x80);
            value >>= 7;
        }
        self.0.put_u8(low_byte(value));
    }

    fn id(&mut self, id: RecordId) {
        let mut text = uuid::Uuid::encode_buffer();
        self.0.put_slice(id.uuid().as_hyphenated().encode_lower(&mut text).as_bytes());
    }
}

/// Writes bytes to a vector, which grows. It takes fewer instructions than any buffer.
pub(super) struct Stored<'a>(pub(super) &'a mut Vec<u8>);

impl Sink for Stored<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(low_byte(value) | 0x80);
            value >>= 7;
        }
        self.0.push(low_byte(value));
    }

    fn id(&mut self, id: RecordId) {
        let mut text = uuid::Uuid::encode_buffer();
        self.0.extend_from_slice(id.uuid().as_hyphenated().encode_lower(&mut text).as_bytes());
    }
}

fn low_byte(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

/// The number of bytes of a varint: one for each 7 bits.
pub(super) fn varint_bytes(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    usize::try_from(bits.div_ceil(7)).unwrap_or(usize::MAX)
}

/// The key of a field with this encoding.
pub(super) fn key(number: u32, wire: Wire) -> u64 {
    let wire = match wire {
        Wire::Varint => 0,
        Wire::Fixed64 => 1,
        Wire::Length => 2,
        Wire::GroupStart => 3,
        Wire::GroupEnd => 4,
        Wire::Fixed32 => 5,
    };
    u64::from(number) << 3 | wire
}

/// A signed integer as a varint: negative numbers are sign-extended to 64 bits.
pub(super) fn signed(value: i64) -> u64 {
    value.cast_unsigned()
}

/// The length of some bytes.
pub(super) fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varint_is_read_as_it_was_written(value: u64, shift in 0_u32..64) {
            let value = value >> shift;
            let (mut bytes, mut counted) = (Vec::new(), Length::default());
            Buffer(&mut bytes).varint(value);
            counted.varint(value);
            prop_assert_eq!(counted.0, bytes.len());
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn varint_of_any_bytes_is_that_of_prost(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            let ours = Reader::new(&bytes).varint().ok();
            prop_assert_eq!(ours, prost::encoding::decode_varint(&mut rest).ok());
        }
    }

    #[test]
    fn varint_beyond_64_bits_is_malformed() {
        let of = |last: u8| {
            let mut bytes = [0xff; 10];
            bytes[9] = last;
            Reader::new(&bytes).varint()
        };
        assert_eq!(of(1), Ok(u64::MAX));
        assert_eq!(of(2), Err(Malformed));
        assert_eq!(of(0x80), Err(Malformed));
    }
}
