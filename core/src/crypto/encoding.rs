//! The one encoding of everything that is authenticated but not encrypted: associated data, and messages under a MAC.
//!
//! Each part is preceded by its length in bytes (4 bytes, big endian); the first part is a label that no other use has.
//! So two different lists of parts never give the same bytes, whatever the parts hold, and no use can be taken for
//! another.

use std::borrow::Cow;

use zeroize::Zeroizing;

/// Bytes made of length-prefixed parts.
pub(crate) struct Encoding(Vec<u8>);

/// The encoding of parts that may be secret and as long as a request. In memory that is wiped, and that was never moved: growing would
/// leave copies behind.
pub(crate) fn wiped(label: &str, parts: &[Cow<'_, [u8]>]) -> Zeroizing<Vec<u8>> {
    let all = || std::iter::once(label.as_bytes()).chain(parts.iter().map(|part| &**part));
    let mut bytes = Zeroizing::new(Vec::with_capacity(all().map(|part| size_of::<u32>() + part.len()).sum()));
    all().for_each(|part| push(&mut bytes, part));
    bytes
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).expect("what came over the wire, or is shorter, is far below 4 GiB");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(part);
}

impl Encoding {
    /// Begins with the label of this use.
    pub(crate) fn new(label: &str) -> Self {
        Self(Vec::with_capacity(160)).part(label.as_bytes())
    }

    /// Adds a part: an id, a name or a number, nothing secret and seldom long.
    pub(crate) fn part(mut self, part: &[u8]) -> Self {
        push(&mut self.0, part);
        self
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Encoding, wiped};

    fn encode(parts: &[Vec<u8>]) -> Vec<u8> {
        parts.iter().fold(Encoding::new("label"), |encoding, part| encoding.part(part)).into_bytes()
    }

    #[test]
    fn lengths_precede_the_parts() {
        assert_eq!(Encoding::new("ab").part(b"").part(b"c").into_bytes(), b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c");
    }

    #[test]
    fn wiped_encoding_is_equal_and_never_reallocates() {
        let parts: [Vec<u8>; 3] = [b"secret".to_vec(), Vec::new(), vec![7; 1_000]];
        let encoded = wiped("label", &parts.clone().map(Into::into));
        assert_eq!(*encoded, encode(&parts));
        assert_eq!(encoded.capacity(), encoded.len());
    }

    proptest! {
        #[test]
        fn different_parts_never_give_the_same_bytes(
            a in prop::collection::vec(prop::collection::vec(0u8..3, 0..4), 0..4),
            b in prop::collection::vec(prop::collection::vec(0u8..3, 0..4), 0..4),
        ) {
            prop_assert_eq!(a == b, encode(&a) == encode(&b));
        }
    }
}
