//! The root key: the deployment's own key. It seals key texts in the configuration database, and its MACs need no
//! organization's key.
//!
//! It is never used directly. Each use has its own key, derived by HKDF-SHA-256 without salt, with the use's label as
//! info. Format of a sealed value:
//!
//! ```text
//! format 0x01 | root key id (8) | nonce (24) | ciphertext | tag (16)
//! ```
//!
//! The cipher is XAES-256-GCM. The associated data are these parts, each preceded by its length in bytes (4 bytes, big
//! endian): label of the use, organization UUID, key-check value, and the first 9 bytes of the sealed value. A sealed
//! encryption key (label `sealward sealed key v1`) contains the length of the text in bytes (4 bytes, big endian), the
//! text, the KEK (32 bytes) and padding (ISO/IEC 7816-4) to a multiple of 32 bytes. The padding hides the exact length
//! of the text.
//!
//! The root key is in memory while the server runs. The server's module `root_key` loads it. That module is the port: a
//! KMS or an HSM that releases a root key at start is one more source. [`RootKey`] defines the operations that
//! [`RootKeySet`] implements. Neither knows the source of root keys or the storage of sealed values.

use std::{error::Error, fmt};

use zeroize::Zeroizing;

use super::{
    encoding::Encoding,
    format::is_newer,
    kek::KeyCheckValue,
    padding::{padding, unpadded_length},
    primitive::{self, Aead, Sealed},
    secret::{Kek, KeyText, RootKeyBytes},
};
use crate::{
    id::OrganizationId,
    random::{self, Random},
};

/// The operations of a deployment's root key.
pub trait RootKey: Send + Sync {
    /// Seals a key text and its KEK, bound to their organization and key-check value.
    ///
    /// # Errors
    /// [`RootKeyError::Unavailable`].
    fn seal_key(
        &self,
        text: &KeyText,
        kek: &Kek,
        organization: OrganizationId,
        check: &KeyCheckValue,
        random: &dyn Random,
    ) -> Result<Vec<u8>, RootKeyError>;

    /// Opens a value that [`seal_key`](Self::seal_key) sealed for this organization and key-check value.
    ///
    /// # Errors
    /// See [`RootKeyError`].
    fn open_key(
        &self,
        sealed: &[u8],
        organization: OrganizationId,
        check: &KeyCheckValue,
    ) -> Result<(KeyText, Kek), RootKeyError>;

    /// Returns whether [`seal_key`](Self::seal_key) would now seal with the same format and root key. If not, and the
    /// value opens, it must be sealed again.
    fn is_current(&self, sealed: &[u8]) -> bool;

    /// Returns the check value of the root key that seals. It is public. The configuration database stores it, so that
    /// a start with another root key is detected before any other operation.
    ///
    /// # Errors
    /// [`RootKeyError::Unavailable`].
    fn check_value(&self) -> Result<[u8; 32], RootKeyError>;

    /// Returns whether a stored check value belongs to any configured root key.
    ///
    /// # Errors
    /// [`RootKeyError::Unavailable`].
    fn recognizes(&self, check_value: &[u8]) -> Result<bool, RootKeyError>;

    /// Computes the MAC of a message for one purpose.
    ///
    /// # Errors
    /// [`RootKeyError::Unavailable`].
    fn mac(&self, purpose: MacPurpose, message: &[u8]) -> Result<[u8; 32], RootKeyError>;

    /// Returns whether `mac` is the MAC of this message for this purpose, under any configured root key. Compares in
    /// constant time.
    ///
    /// # Errors
    /// [`RootKeyError::Unavailable`].
    fn verify_mac(&self, purpose: MacPurpose, message: &[u8], mac: &[u8]) -> Result<bool, RootKeyError>;
}

/// The purpose of a MAC. Each purpose has its own key, so a MAC for one purpose never verifies for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacPurpose {
    /// Page tokens, which a caller must return unchanged.
    PageToken,
    /// The digest of a request with a `request_id`. Without the root key, guesses at the request can't be checked
    /// against it.
    RequestDigest,
    /// The seed of the key that signs the heads of audit trails.
    AuditSignature,
    /// The row that lists an organization in the configuration database. See [`crate::organization::row`].
    OrganizationRow,
}

impl MacPurpose {
    const fn label(self) -> &'static str {
        match self {
            Self::PageToken => "sealward root page token v1",
            Self::RequestDigest => "sealward root request digest v1",
            Self::AuditSignature => "sealward root audit signature v1",
            Self::OrganizationRow => "sealward root organization row v1",
        }
    }
}

/// The public id of a root key. Every value sealed under the key contains it. Printed as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootKeyId([u8; 8]);

impl fmt::Display for RootKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for RootKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKeyId({self})")
    }
}

/// Why an operation of the root key failed.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    /// A newer version sealed the value.
    #[error("the sealed value has format {format}, which a newer version wrote")]
    NewerFormat {
        /// The first byte.
        format: u8,
    },
    /// The value has no known format.
    #[error("the sealed value is malformed")]
    Malformed,
    /// The value is sealed under a root key that isn't configured.
    #[error("the value is sealed under root key {id}, which is not configured")]
    UnknownRootKey {
        /// The root key that the value names.
        id: RootKeyId,
    },
    /// The value was modified, or belongs to another organization or key-check value.
    #[error("the sealed value does not verify")]
    DoesNotVerify,
    /// The root key is kept elsewhere and can't be used now. The caller may try again later.
    #[error("the root key is not available")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// Root keys in memory. The first one seals; all of them open. Wiped on drop.
pub struct RootKeySet {
    first: DerivedKeys,
    others: Vec<DerivedKeys>,
}

/// The keys derived from one root key.
struct DerivedKeys {
    id: RootKeyId,
    check_value: [u8; 32],
    seal: Aead,
    root: RootKeyBytes,
}

impl RootKeySet {
    /// Creates a set from the root key that seals and former root keys, whose sealed values must still open.
    pub fn new(first: RootKeyBytes, others: Vec<RootKeyBytes>) -> Self {
        Self { first: DerivedKeys::new(first), others: others.into_iter().map(DerivedKeys::new).collect() }
    }

    /// Returns the id of the root key that seals.
    pub fn id(&self) -> RootKeyId {
        self.first.id
    }

    fn all(&self) -> impl Iterator<Item = &DerivedKeys> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn seal(
        &self,
        label: &str,
        organization: OrganizationId,
        check: &KeyCheckValue,
        plaintext_parts: &[&[u8]],
        random: &dyn Random,
    ) -> Vec<u8> {
        let header = header(self.first.id);
        let associated_data = associated_data(label, organization, check, &header);
        self.first.seal.seal(&header, &random::bytes(random), &associated_data, plaintext_parts)
    }

    fn open(
        &self,
        label: &str,
        organization: OrganizationId,
        check: &KeyCheckValue,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RootKeyError> {
        if let Some(&format) = sealed.first().filter(|format| is_newer(**format, FORMAT)) {
            return Err(RootKeyError::NewerFormat { format });
        }
        let (id, rest) = parse_header(sealed).ok_or(RootKeyError::Malformed)?;
        let parts = Sealed::split(rest).ok_or(RootKeyError::Malformed)?;
        let key = self.all().find(|key| key.id == id).ok_or(RootKeyError::UnknownRootKey { id })?;
        let associated_data = associated_data(label, organization, check, &header(id));
        key.seal.open(&parts, &associated_data).ok_or(RootKeyError::DoesNotVerify)
    }
}

impl RootKey for RootKeySet {
    fn seal_key(
        &self,
        text: &KeyText,
        kek: &Kek,
        organization: OrganizationId,
        check: &KeyCheckValue,
        random: &dyn Random,
    ) -> Result<Vec<u8>, RootKeyError> {
        let text = text.expose().as_bytes();
        let length = u32::try_from(text.len()).expect("a key text is far below 4 GiB").to_be_bytes();
        let padding = padding(length.len() + text.len() + kek.expose().len());
        Ok(self.seal(SEALED_KEY_LABEL, organization, check, &[&length, text, kek.expose(), padding], random))
    }

    fn open_key(
        &self,
        sealed: &[u8],
        organization: OrganizationId,
        check: &KeyCheckValue,
    ) -> Result<(KeyText, Kek), RootKeyError> {
        let payload = self.open(SEALED_KEY_LABEL, organization, check, sealed)?;
        parse_key(&payload).ok_or(RootKeyError::Malformed)
    }

    fn is_current(&self, sealed: &[u8]) -> bool {
        parse_header(sealed).is_some_and(|(id, _)| id == self.first.id)
    }

    fn check_value(&self) -> Result<[u8; 32], RootKeyError> {
        Ok(self.first.check_value)
    }

    fn recognizes(&self, check_value: &[u8]) -> Result<bool, RootKeyError> {
        Ok(self.all().any(|key| primitive::equal(&key.check_value, check_value)))
    }

    fn mac(&self, purpose: MacPurpose, message: &[u8]) -> Result<[u8; 32], RootKeyError> {
        Ok(self.first.mac(purpose, message))
    }

    fn verify_mac(&self, purpose: MacPurpose, message: &[u8], mac: &[u8]) -> Result<bool, RootKeyError> {
        Ok(self.all().any(|key| primitive::equal(&key.mac(purpose, message), mac)))
    }
}

impl DerivedKeys {
    fn new(root: RootKeyBytes) -> Self {
        let derive = |label| {
            let mut derived = Zeroizing::new([0; 32]);
            primitive::hkdf(root.expose(), label, &mut derived);
            derived
        };
        let [a, b, c, d, e, f, g, h, ..] = *derive(ID_LABEL);
        Self {
            id: RootKeyId([a, b, c, d, e, f, g, h]),
            check_value: *derive(CHECK_VALUE_LABEL),
            seal: Aead::new(&derive(SEAL_LABEL)),
            root,
        }
    }

    fn mac(&self, purpose: MacPurpose, message: &[u8]) -> [u8; 32] {
        let mut key = Zeroizing::new([0; 32]);
        primitive::hkdf(self.root.expose(), purpose.label(), &mut key);
        primitive::hmac(&key, message)
    }
}

/// Parses the text and the KEK of an opened value. Returns `None` if [`RootKeySet::seal_key`] doesn't write such a
/// value.
fn parse_key(payload: &[u8]) -> Option<(KeyText, Kek)> {
    let (payload, _) = payload.split_at_checked(unpadded_length(payload)?)?;
    let (length, rest) = payload.split_first_chunk()?;
    let (text, kek) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let text = str::from_utf8(text).ok()?;
    Some((KeyText::new(text.to_owned()), Kek::from_bytes(kek.try_into().ok()?)))
}

fn header(id: RootKeyId) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = id.0;
    [FORMAT, a, b, c, d, e, f, g, h]
}

fn parse_header(sealed: &[u8]) -> Option<(RootKeyId, &[u8])> {
    let (&format, rest) = sealed.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    (format == FORMAT).then_some((RootKeyId(*id), rest))
}

fn associated_data(label: &str, organization: OrganizationId, check: &KeyCheckValue, header: &[u8; 9]) -> Vec<u8> {
    Encoding::new(label).part(organization.as_bytes()).part(check.as_bytes()).part(header).into_bytes()
}

pub(crate) const FORMAT: u8 = 0x01;
const SEALED_KEY_LABEL: &str = "sealward sealed key v1";
const SEAL_LABEL: &str = "sealward root seal v1";
const ID_LABEL: &str = "sealward root key id v1";
const CHECK_VALUE_LABEL: &str = "sealward root check v1";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        crypto::testing::{hex, unhex},
        random::testing::SeededRandom,
    };

    const ORGANIZATION: OrganizationId = OrganizationId::from_bytes([0xA1; 16]);
    const CHECK: KeyCheckValue = KeyCheckValue::from_bytes([0xC4; 32]);
    const TEXT: &str = "correct horse 1 \u{e9}";

    fn root(byte: u8) -> RootKeyBytes {
        RootKeyBytes::from_slice(&[byte; 32]).unwrap()
    }

    fn set(first: u8, others: &[u8]) -> RootKeySet {
        RootKeySet::new(root(first), others.iter().copied().map(root).collect())
    }

    fn sealed_by(set: &RootKeySet, text: &str) -> Vec<u8> {
        set.seal_key(
            &KeyText::new(text.to_owned()),
            &Kek::from_bytes(&[7; 32]),
            ORGANIZATION,
            &CHECK,
            &SeededRandom::new(1),
        )
        .unwrap()
    }

    fn opened_by(set: &RootKeySet, sealed: &[u8]) -> Result<(String, [u8; 32]), String> {
        set.open_key(sealed, ORGANIZATION, &CHECK)
            .map(|(text, kek)| (text.expose().to_owned(), *kek.expose()))
            .map_err(|error| error.to_string())
    }

    const GOLDEN: &str =
        "016ed3d4172a0362f6783825822a6f9e62da2190e828e4c9d2576e5977e3a0b3625831559e64c98185544081b840f0e3
         d69b74bbdf5f72dff396ce3871d4234470985000e9007624934d507a352b4b3d8b1e3f65e93aa7f0dbded9017a7507f5
         d9bb440ab5822263cd321f2fccdd547922";

    /// Frozen, and computed by another implementation too.
    #[test]
    fn key_sealed_in_format_1_opens() {
        let set = set(1, &[]);
        assert_eq!(set.id().to_string(), "6ed3d4172a0362f6");
        assert_eq!(
            hex(&set.check_value().unwrap()),
            "6437259bd6055916bcd21651f264fc55d99103ce326e6bc160c430d1e1a7eec1"
        );
        assert_eq!(
            hex(&set.mac(MacPurpose::PageToken, b"message").unwrap()),
            "1401ba7d1938c4accb74eb2cdb5a52e849ad7dfa57eeb97bd980d01c6345cbf6"
        );
        assert_eq!(
            hex(&set.mac(MacPurpose::RequestDigest, b"message").unwrap()),
            "885cdf37e49fe627adaedf76b8497b0c3907fabdeaba453237460005770737b5"
        );
        assert_eq!(
            hex(&set.mac(MacPurpose::AuditSignature, b"message").unwrap()),
            "2ef4b0446ed126d1a53ab2db4be1f7ea87d98ffb07735e040a759c0aafd35ec6"
        );
        let golden = unhex(GOLDEN);
        assert_eq!(opened_by(&set, &golden), Ok((TEXT.to_owned(), [7; 32])));
        assert_eq!(sealed_by(&set, TEXT), golden);
    }

    #[test]
    fn the_first_root_key_seals_and_all_open() {
        let old = sealed_by(&set(1, &[]), TEXT);
        let rotated = set(2, &[1]);
        assert!(opened_by(&rotated, &old).is_ok());
        assert!(!rotated.is_current(&old));
        let new = sealed_by(&rotated, TEXT);
        assert!(rotated.is_current(&new));
        assert!(opened_by(&set(2, &[]), &new).is_ok());
        let unknown = set(1, &[]).open_key(&new, ORGANIZATION, &CHECK).err().unwrap();
        assert!(matches!(unknown, RootKeyError::UnknownRootKey { id } if id == rotated.id()));
    }

    #[test]
    fn wrong_root_key_is_detected() {
        let check_value = set(1, &[]).check_value().unwrap();
        assert!(set(1, &[]).recognizes(&check_value).unwrap());
        assert!(set(2, &[1]).recognizes(&check_value).unwrap());
        assert!(!set(2, &[]).recognizes(&check_value).unwrap());
        assert!(!set(1, &[]).recognizes(&check_value[..31]).unwrap());
    }

    #[test]
    fn mac_depends_on_purpose_and_message_and_survives_a_rotation() {
        let old = set(1, &[]);
        let mac = old.mac(MacPurpose::PageToken, b"message").unwrap();
        assert!(old.verify_mac(MacPurpose::PageToken, b"message", &mac).unwrap());
        assert!(set(2, &[1]).verify_mac(MacPurpose::PageToken, b"message", &mac).unwrap());
        assert!(!set(2, &[]).verify_mac(MacPurpose::PageToken, b"message", &mac).unwrap());
        assert!(!old.verify_mac(MacPurpose::RequestDigest, b"message", &mac).unwrap());
        assert!(!old.verify_mac(MacPurpose::PageToken, b"massage", &mac).unwrap());
        assert!(!old.verify_mac(MacPurpose::PageToken, b"message", &mac[..31]).unwrap());
        assert!(!old.verify_mac(MacPurpose::PageToken, b"message", &[]).unwrap());
    }

    #[test]
    fn a_sealed_key_opens_only_for_its_organization_and_key_check_value() {
        let set = set(1, &[]);
        let sealed = sealed_by(&set, TEXT);
        let other_organization = set.open_key(&sealed, OrganizationId::from_bytes([0xA2; 16]), &CHECK).err().unwrap();
        assert!(matches!(other_organization, RootKeyError::DoesNotVerify));
        let other_check = set.open_key(&sealed, ORGANIZATION, &KeyCheckValue::from_bytes([0xC5; 32])).err().unwrap();
        assert!(matches!(other_check, RootKeyError::DoesNotVerify));
        assert!(set.open("another label", ORGANIZATION, &CHECK, &sealed).is_err());
    }

    #[test]
    fn a_sealed_key_changed_in_any_byte_or_cut_anywhere_does_not_open() {
        let set = set(1, &[]);
        let sealed = sealed_by(&set, TEXT);
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(opened_by(&set, &changed).is_err(), "byte {position}");
            assert!(opened_by(&set, &sealed[..position]).is_err(), "cut to {position}");
        }
    }

    #[test]
    fn sealed_key_reveals_only_a_rough_length_of_the_text() {
        let set = set(1, &[]);
        assert_eq!(sealed_by(&set, "ten chars!").len(), sealed_by(&set, "twenty-five characters 1!").len());
    }

    #[test]
    fn authentic_value_without_a_key_is_malformed() {
        let set = set(1, &[]);
        let random = SeededRandom::new(1);
        let too_long = [[0, 0, 0, 99].as_slice(), &[7; 40]].concat();
        let no_utf_8 = [[0, 0, 0, 1, 0xFF].as_slice(), &[7; 32]].concat();
        let short_kek = [[0, 0, 0, 1, b'a'].as_slice(), &[7; 31]].concat();
        for payload in [[].as_slice(), &[0, 0, 0], &too_long, &no_utf_8, &short_kek] {
            let sealed = set.seal(SEALED_KEY_LABEL, ORGANIZATION, &CHECK, &[payload, padding(payload.len())], &random);
            assert!(matches!(set.open_key(&sealed, ORGANIZATION, &CHECK), Err(RootKeyError::Malformed)));
        }
        let unpadded = set.seal(SEALED_KEY_LABEL, ORGANIZATION, &CHECK, &[&[0, 0, 0, 1, b'a'], &[7; 32]], &random);
        assert!(matches!(set.open_key(&unpadded, ORGANIZATION, &CHECK), Err(RootKeyError::Malformed)));
    }

    proptest! {
        #[test]
        fn any_text_is_opened_unchanged(text in any::<String>()) {
            let set = set(1, &[]);
            prop_assert_eq!(opened_by(&set, &sealed_by(&set, &text)), Ok((text, [7; 32])));
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let set = set(1, &[]);
            prop_assert!(opened_by(&set, &bytes).is_err());
            prop_assert!(opened_by(&set, &[header(set.id()).as_slice(), &bytes].concat()).is_err());
        }
    }
}
