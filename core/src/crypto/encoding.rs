//! The only encoding of data that is authenticated but not encrypted: associated data, and messages under a MAC.
//!
//! Each part is preceded by its length in bytes (4 bytes, big endian). The first part is a label that no other use has.
//! Two different lists of parts therefore never have the same encoding, and the encoding of one use is never valid for
//! another.

use std::borrow::Cow;

use zeroize::Zeroizing;

/// A buffer of length-prefixed parts.
pub(crate) struct Encoding(Vec<u8>);

/// Encodes parts that may be secret and as long as a request. The buffer is wiped on drop, and it is allocated at its
/// final size, because growing it would leave copies of secrets in memory.
pub(crate) fn wiped(label: &str, parts: &[Cow<'_, [u8]>]) -> Zeroizing<Vec<u8>> {
    let all = || std::iter::once(label.as_bytes()).chain(parts.iter().map(|part| &**part));
    let mut bytes = Zeroizing::new(Vec::with_capacity(all().map(|part| size_of::<u32>() + part.len()).sum()));
    all().for_each(|part| push(&mut bytes, part));
    bytes
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).expect("parts are at most as long as a request, far below 4 GiB");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(part);
}

impl Encoding {
    /// Starts an encoding with the label of its use.
    pub(crate) fn new(label: &str) -> Self {
        Self(Vec::with_capacity(160)).part(label.as_bytes())
    }

    /// Adds a part: a non-secret id, name or number, usually short.
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
