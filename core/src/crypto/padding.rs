//! Padding (ISO/IEC 7816-4) that hides the length of a secret: one byte `0x80`, then zeros up to the next multiple of
//! 32 bytes.
//!
//! There is always at least one byte of padding: a value of 31 bytes becomes 32 bytes, and a value of 32 bytes becomes
//! 64. Removal is strict: it accepts only the exact output of [`padding`].

/// Padded lengths are multiples of this many bytes.
pub(crate) const BLOCK_BYTES: usize = 32;

const LONGEST: [u8; BLOCK_BYTES] = {
    let mut bytes = [0; BLOCK_BYTES];
    bytes[0] = MARK;
    bytes
};

const MARK: u8 = 0x80;

/// Returns the padding of a value with this length: 1 to 32 bytes.
pub(crate) fn padding(length_bytes: usize) -> &'static [u8] {
    let missing = BLOCK_BYTES - length_bytes % BLOCK_BYTES;
    LONGEST.get(..missing).expect("at most one block is missing")
}

/// Returns the length of the value in `padded`, or `None` if its padding isn't the output of [`padding`].
///
/// Not in constant time: its input is always authenticated.
pub(crate) fn unpadded_length(padded: &[u8]) -> Option<usize> {
    let length = padded.iter().rposition(|byte| *byte != 0)?;
    let (_, given) = padded.split_at_checked(length)?;
    (given == padding(length)).then_some(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padded_lengths_at_the_boundaries() {
        let padded = |length: usize| length + padding(length).len();
        assert_eq!([0, 1, 31, 32, 63, 64].map(padded), [32, 32, 32, 64, 64, 96]);
    }

    #[test]
    fn any_other_padding_is_refused() {
        let value_of_31 = [[b'a'; 31].as_slice(), &[0x80]].concat();
        assert_eq!(unpadded_length(&value_of_31), Some(31));
        let no_mark = [0; 32];
        let other_mark = [[b'a'; 31].as_slice(), &[0x81]].concat();
        let one_block_too_many = [LONGEST, [0; 32]].concat();
        let not_a_whole_block = [0x80, 0, 0];
        for padded in [&[], no_mark.as_slice(), &other_mark, &one_block_too_many, &not_a_whole_block] {
            assert_eq!(unpadded_length(padded), None);
        }
    }

    fn bytes_like_padding() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0), Just(MARK), any::<u8>()], 0..100)
    }

    proptest! {
        #[test]
        fn every_value_is_unpadded_unchanged(value in bytes_like_padding()) {
            let padded = [value.as_slice(), padding(value.len())].concat();
            prop_assert_eq!(padded.len() % BLOCK_BYTES, 0);
            prop_assert_eq!(unpadded_length(&padded), Some(value.len()));
        }

        #[test]
        fn any_bytes_are_unpadded_without_a_panic(bytes in bytes_like_padding()) {
            if let Some(length) = unpadded_length(&bytes) {
                prop_assert_eq!(bytes.len(), length + padding(length).len());
            }
        }
    }
}
