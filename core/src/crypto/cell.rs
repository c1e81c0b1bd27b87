//! Cells: sealed values, written today, that must open in ten years.
//!
//! ```text
//! format 0x01 | key version (4, big endian) | nonce (24) | ciphertext (32, 64, 96 …) | tag (16)
//! ```
//!
//! The cipher is XAES-256-GCM (C2SP) under the data key of that version, with a random nonce and the associated data of
//! [`context`](super::context). The plaintext is the value, padded (ISO/IEC 7816-4: `0x80`, then zeros) to a multiple
//! of 32 bytes. The padding hides the exact length of a password. A null has no cell; the empty value has one.
//!
//! Parsing is total: any bytes give a [`Cell`] or a [`CellFormatError`], never a panic. The header names the key that
//! opens the cell, and no other key is tried. This file doesn't know how keys are kept or where cells are stored.

use crate::{
    crypto::{
        context::{CellContext, HEADER_BYTES},
        format::is_newer,
        padding::{self, padding, unpadded_length},
        primitive::{Aead, NONCE_BYTES, Sealed},
        secret::{DataKey, Plaintext},
    },
    id::KeyVersion,
    random::{self, Random},
};

/// The first byte of every cell that this version writes and opens.
pub(crate) const FORMAT: u8 = 0x01;

/// Returns the format of a stored cell that a newer version wrote. `None` if the cell has the known format or is
/// damaged.
pub(crate) fn newer_format(cell: &[u8]) -> Option<u8> {
    cell.first().copied().filter(|format| is_newer(*format, FORMAT))
}

/// Returns the header of every cell sealed under this key version.
pub(crate) const fn header(version: KeyVersion) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = version.get().to_be_bytes();
    [FORMAT, a, b, c, d]
}

/// Returns the key version that a stored cell names. The first 5 bytes of a cell are enough.
///
/// # Errors
/// If the bytes don't begin with the header of a cell.
pub fn version_of(cell: &[u8]) -> Result<KeyVersion, CellFormatError> {
    parse_header(cell).map(|(version, _)| version)
}

/// A data key, prepared to seal and open the cells of its version. Wiped on drop.
///
/// A value may have any length within GCM's limit of 64 GiB. In practice, the schema and the size of a message limit
/// it. 2^80 cells may be sealed under one key before the probability of a repeated nonce exceeds 2^-32.
pub(crate) struct CellKey {
    version: KeyVersion,
    aead: Aead,
}

impl CellKey {
    /// Prepares the data key of this version.
    pub(crate) fn new(version: KeyVersion, data_key: &DataKey) -> Self {
        Self { version, aead: Aead::new(data_key.expose()) }
    }

    /// Returns the version of this data key.
    pub(crate) fn version(&self) -> KeyVersion {
        self.version
    }

    /// Seals a value for its place with a new random nonce.
    pub(crate) fn seal(&self, context: &CellContext<'_>, plaintext: &Plaintext, random: &dyn Random) -> Vec<u8> {
        self.seal_with_nonce(context, plaintext, &random::bytes(random))
    }

    /// Opens a cell at its place.
    ///
    /// # Errors
    /// [`CellError::UnknownKeyVersion`] if the cell names another version than this key's. [`CellError::DoesNotVerify`]
    /// if the cell was modified, belongs to another place or was sealed with another key.
    pub(crate) fn open(&self, context: &CellContext<'_>, cell: &Cell<'_>) -> Result<Plaintext, CellError> {
        if cell.version != self.version {
            return Err(CellError::UnknownKeyVersion(cell.version));
        }
        let associated_data = context.associated_data(&header(cell.version));
        let mut padded = self.aead.open(&cell.sealed, &associated_data).ok_or(CellError::DoesNotVerify)?;
        let length = unpadded_length(&padded).ok_or(CellFormatError::Padding)?;
        // Plaintext wipes the whole allocation, including the padding.
        padded.truncate(length);
        Ok(Plaintext::new(std::mem::take(&mut *padded)))
    }

    fn seal_with_nonce(&self, context: &CellContext<'_>, plaintext: &Plaintext, nonce: &[u8; NONCE_BYTES]) -> Vec<u8> {
        let header = header(self.version);
        let value = plaintext.expose();
        self.aead.seal(&header, nonce, &context.associated_data(&header), &[value, padding(value.len())])
    }
}

/// Bytes with the format of a cell. They don't necessarily open.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    version: KeyVersion,
    sealed: Sealed<'a>,
}

impl<'a> Cell<'a> {
    /// Splits stored bytes into the parts of a cell.
    ///
    /// # Errors
    /// If the bytes don't have the format of a cell.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CellFormatError> {
        let (version, rest) = parse_header(bytes)?;
        let length = CellFormatError::Length { length_bytes: bytes.len() };
        let sealed = Sealed::split(rest).ok_or(length)?;
        if sealed.ciphertext.is_empty() || !sealed.ciphertext.len().is_multiple_of(padding::BLOCK_BYTES) {
            return Err(length);
        }
        Ok(Self { version, sealed })
    }

    /// Returns the version of the data key that opens the cell.
    pub fn version(&self) -> KeyVersion {
        self.version
    }
}

/// Why a stored cell can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    /// The bytes aren't a cell.
    #[error("the stored bytes are not a cell")]
    Malformed(#[from] CellFormatError),
    /// The ring has no data key of the version that the cell names. The key was destroyed or damaged, or is newer than
    /// the ring.
    #[error("the key ring has no data key of version {0}")]
    UnknownKeyVersion(KeyVersion),
    /// The cell was modified, belongs to another place or was sealed with another key.
    #[error("the cell was modified, moved or sealed with another key")]
    DoesNotVerify,
}

/// Why bytes aren't a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CellFormatError {
    /// The length is not valid for any format.
    #[error("{length_bytes} bytes is not a valid length of a cell")]
    Length {
        /// The length in bytes.
        length_bytes: usize,
    },
    /// A newer version wrote the cell.
    #[error("the cell has format {format}, which a newer version wrote")]
    NewerFormat {
        /// The first byte.
        format: u8,
    },
    /// The format number is unknown.
    #[error("unknown cell format {format}")]
    UnknownFormat {
        /// The first byte.
        format: u8,
    },
    /// The key version is 0. Key versions begin at 1.
    #[error("the cell has key version 0; key versions begin at 1")]
    VersionZero,
    /// The cell verifies, but its plaintext has no valid padding.
    #[error("the sealed value has no valid padding")]
    Padding,
}

fn parse_header(bytes: &[u8]) -> Result<(KeyVersion, &[u8]), CellFormatError> {
    let too_short = CellFormatError::Length { length_bytes: bytes.len() };
    let (&format, rest) = bytes.split_first().ok_or(too_short)?;
    if is_newer(format, FORMAT) {
        return Err(CellFormatError::NewerFormat { format });
    }
    if format != FORMAT {
        return Err(CellFormatError::UnknownFormat { format });
    }
    let (version, rest) = rest.split_first_chunk().ok_or(too_short)?;
    let version = KeyVersion::new(u32::from_be_bytes(*version)).ok_or(CellFormatError::VersionZero)?;
    Ok((version, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        crypto::{primitive::TAG_BYTES, testing::unhex},
        id::{OrganizationId, RecordId},
        random::testing::SeededRandom,
    };

    /// The length of the cell of a value with this length. It is the same for all lengths in a range of 32 bytes.
    const fn sealed_length_bytes(plaintext_bytes: usize) -> usize {
        HEADER_BYTES + NONCE_BYTES + TAG_BYTES + (plaintext_bytes / padding::BLOCK_BYTES + 1) * padding::BLOCK_BYTES
    }

    const CONTEXT: CellContext<'static> = CellContext {
        organization: OrganizationId::from_bytes([0xA1; 16]),
        entity: "Mailbox",
        record: RecordId::from_bytes([0xB2; 16]),
        attribute: "password",
    };

    fn key(version: u32) -> CellKey {
        CellKey::new(KeyVersion::new(version).unwrap(), &DataKey::filled(|key| key.fill(0xC3)))
    }

    fn seal(value: &[u8]) -> Vec<u8> {
        key(7).seal(&CONTEXT, &Plaintext::new(value.to_vec()), &SeededRandom::new(1))
    }

    fn open(context: &CellContext<'_>, cell: &[u8]) -> Result<Vec<u8>, CellError> {
        key(7).open(context, &Cell::parse(cell)?).map(|value| value.expose().to_vec())
    }

    /// One cell per released format, frozen. They must always open.
    const GOLDEN: &str =
        "01000000074142434445464748494a4b4c4d4e4f505152535455565758912b17ffdec087b6f49cb3d62f7e3584daaff6
         666d6ea047212b9cd611b4dd8d389b766a7f6425a49ffb82530958807f";

    #[test]
    fn cell_of_format_1_opens() {
        assert_eq!(open(&CONTEXT, &unhex(GOLDEN)), Ok(b"correct horse battery staple".to_vec()));
        let sealed = key(7).seal_with_nonce(
            &CONTEXT,
            &Plaintext::from("correct horse battery staple".to_owned()),
            b"ABCDEFGHIJKLMNOPQRSTUVWX",
        );
        assert_eq!(sealed, unhex(GOLDEN));
    }

    #[test]
    fn the_empty_value_has_a_cell() {
        let cell = seal(b"");
        assert_eq!(cell.len(), sealed_length_bytes(0));
        assert_eq!(open(&CONTEXT, &cell), Ok(vec![]));
    }

    #[test]
    fn two_seals_of_one_value_differ() {
        let random = SeededRandom::new(1);
        let value = Plaintext::from("same".to_owned());
        let [first, second] = [(); 2].map(|()| key(7).seal(&CONTEXT, &value, &random));
        assert_ne!(first, second);
        assert_ne!(first[HEADER_BYTES..][..NONCE_BYTES], second[HEADER_BYTES..][..NONCE_BYTES]);
    }

    #[test]
    fn cell_reveals_the_length_only_in_steps_of_32() {
        assert_eq!([0, 1, 31].map(|length| seal(&vec![b'x'; length]).len()), [77; 3]);
        assert_eq!([32, 33, 63].map(|length| seal(&vec![b'x'; length]).len()), [109; 3]);
    }

    #[test]
    fn a_cell_changed_in_any_byte_does_not_open() {
        let cell = seal(b"secret");
        for position in 0..cell.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut changed = cell.clone();
                changed[position] ^= flip;
                assert!(open(&CONTEXT, &changed).is_err(), "byte {position} ^ {flip:#x}");
            }
        }
    }

    #[test]
    fn a_cell_cut_or_extended_anywhere_does_not_open() {
        let cell = seal(&[b'x'; 70]);
        for length in 0..cell.len() {
            assert!(open(&CONTEXT, &cell[..length]).is_err(), "cut to {length}");
        }
        for extra in [1, 16, 32] {
            assert!(open(&CONTEXT, &[cell.as_slice(), &vec![0; extra]].concat()).is_err(), "{extra} more");
        }
    }

    #[test]
    fn a_cell_copied_to_another_place_does_not_open() {
        let cell = seal(b"secret");
        let elsewhere = [
            CellContext { organization: OrganizationId::from_bytes([0xA2; 16]), ..CONTEXT },
            CellContext { entity: "Queue", ..CONTEXT },
            CellContext { record: RecordId::from_bytes([0xB3; 16]), ..CONTEXT },
            CellContext { attribute: "password2", ..CONTEXT },
            // Organization and record are both UUIDs. Neither is accepted in place of the other.
            CellContext {
                organization: OrganizationId::from_bytes([0xB2; 16]),
                record: RecordId::from_bytes([0xA1; 16]),
                ..CONTEXT
            },
        ];
        for context in elsewhere {
            assert_eq!(open(&context, &cell), Err(CellError::DoesNotVerify), "{context:?}");
        }
    }

    #[test]
    fn a_cell_given_another_version_does_not_open() {
        let mut cell = seal(b"secret");
        cell[4] = 8;
        assert_eq!(open(&CONTEXT, &cell), Err(CellError::UnknownKeyVersion(KeyVersion::new(8).unwrap())));
        // A key of that version with the same bytes doesn't open it either.
        assert_eq!(key(8).open(&CONTEXT, &Cell::parse(&cell).unwrap()).err(), Some(CellError::DoesNotVerify));
    }

    #[test]
    fn a_cell_of_another_key_does_not_open() {
        let other = CellKey::new(KeyVersion::new(7).unwrap(), &DataKey::filled(|key| key.fill(0xC4)));
        let cell = other.seal(&CONTEXT, &Plaintext::new(vec![1]), &SeededRandom::new(1));
        assert_eq!(open(&CONTEXT, &cell), Err(CellError::DoesNotVerify));
    }

    #[test]
    fn a_sealed_value_without_padding_is_malformed() {
        let header = header(key(7).version);
        let cell = key(7).aead.seal(&header, &[0; 24], &CONTEXT.associated_data(&header), &[&[0; 32]]);
        assert_eq!(open(&CONTEXT, &cell), Err(CellError::Malformed(CellFormatError::Padding)));
    }

    #[test]
    fn malformed_cell_is_reported_with_its_fault() {
        assert_eq!(version_of(&[]), Err(CellFormatError::Length { length_bytes: 0 }));
        assert_eq!(version_of(&[1, 0, 0, 7]), Err(CellFormatError::Length { length_bytes: 4 }));
        assert_eq!(version_of(&[2, 0, 0, 0, 7]), Err(CellFormatError::NewerFormat { format: 2 }));
        assert_eq!(version_of(&[0x57, 0, 0, 0, 7]), Err(CellFormatError::UnknownFormat { format: 0x57 }));
        assert_eq!(version_of(&[1, 0, 0, 0, 0]), Err(CellFormatError::VersionZero));
        assert_eq!(Cell::parse(&[1; 5 + 24 + 16]).unwrap_err(), CellFormatError::Length { length_bytes: 45 });
        assert_eq!(Cell::parse(&[1; 5 + 24 + 31 + 16]).unwrap_err(), CellFormatError::Length { length_bytes: 76 });
    }

    #[test]
    fn header_is_enough_to_read_the_version() {
        let version = KeyVersion::new(0x0102_0304).unwrap();
        assert_eq!(header(version), [1, 1, 2, 3, 4]);
        assert_eq!(version_of(&header(version)), Ok(version));
        assert_eq!(version_of(&seal(b"secret")), Ok(KeyVersion::new(7).unwrap()));
    }

    proptest! {
        #[test]
        fn sealed_value_opens(value in prop::collection::vec(any::<u8>(), 0..300), seed: u64) {
            let plaintext = Plaintext::new(value.clone());
            let cell = key(7).seal(&CONTEXT, &plaintext, &SeededRandom::new(seed));
            prop_assert_eq!(cell.len(), sealed_length_bytes(value.len()));
            prop_assert_eq!(open(&CONTEXT, &cell), Ok(value));
        }

        #[test]
        fn any_bytes_are_parsed_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open(&CONTEXT, &bytes).is_err());
            prop_assert!(open(&CONTEXT, &[header(key(7).version).as_slice(), &bytes].concat()).is_err());
        }
    }
}
