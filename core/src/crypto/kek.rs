//! Derives the keys that open a ring from an encryption key's text, and two public values: key-check value and
//! fingerprint.
//!
//! ```text
//! KEK = PBKDF2-HMAC-SHA-256(UTF-8 of the text as given, salt, iterations), 32 bytes
//! wrap key, check key, ring key = HKDF-SHA-256(KEK, no salt, info = label), 32 bytes each
//! key-check value = HMAC-SHA-256(check key, label, organization UUID, KDF name, iterations, salt)
//! fingerprint = first 8 bytes of the key-check value
//! ```
//!
//! The message under the HMAC is length-prefixed as in [`context`](super::context). Iterations are 4 bytes, big endian.
//! No secret of the deployment is an input: a copy of a database and its key text are enough to restore it anywhere.
//! Only the entropy of the key text therefore protects a stolen copy.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::RangeInclusive,
    str::FromStr,
};

use super::{
    encoding::Encoding,
    primitive,
    secret::{CheckKey, Kek, KeyText, RingKey, WrapKey},
};
use crate::{
    id::OrganizationId,
    random::{self, Random},
};

/// The iterations for new keys: OWASP's recommendation for PBKDF2-HMAC-SHA-256.
pub const ITERATIONS_DEFAULT: u32 = 600_000;

/// The iterations that a ring may have. Fewer would make guessing cheap. More would let a damaged or forged ring block
/// the server.
pub(crate) const ITERATIONS: RangeInclusive<u32> = 100_000..=10_000_000;

/// The name of the key derivation function in authenticated data.
pub(super) const KDF_NAME: &str = "PBKDF2-HMAC-SHA-256";

const WRAP_KEY_LABEL: &str = "sealward wrap key v1";
const CHECK_KEY_LABEL: &str = "sealward check key v1";
const RING_KEY_LABEL: &str = "sealward ring key v1";
const KEY_CHECK_VALUE_LABEL: &str = "sealward key check v1";

/// How a KEK is derived from a key text. Public, and stored in the key ring.
///
/// Any number from a database is possible. [`derive()`] and [`KeyRing::open`](super::ring::KeyRing::open) check it
/// before use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfParameters {
    /// Iterations of PBKDF2.
    pub iterations: u32,
    /// Drawn for every key text.
    pub salt: [u8; 16],
}

impl KdfParameters {
    /// Draws parameters for a new key text: a random salt and [`ITERATIONS_DEFAULT`].
    pub fn draw(random: &dyn Random) -> Self {
        Self { iterations: ITERATIONS_DEFAULT, salt: random::bytes(random) }
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// If the iterations are fewer than 100,000 or more than 10,000,000.
    pub fn check(&self) -> Result<(), KdfOutOfBounds> {
        if ITERATIONS.contains(&self.iterations) { Ok(()) } else { Err(KdfOutOfBounds { iterations: self.iterations }) }
    }
}

/// KDF parameters that are refused because they are too weak or too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{iterations} iterations are outside the range {} to {}", ITERATIONS.start(), ITERATIONS.end())]
pub struct KdfOutOfBounds {
    /// The refused number of iterations.
    pub iterations: u32,
}

/// Derives the KEK. This uses a processor for tens to hundreds of milliseconds: call it on a thread that may block.
///
/// # Errors
/// If the parameters are out of bounds. Nothing is computed then.
pub fn derive(text: &KeyText, parameters: &KdfParameters) -> Result<Kek, KdfOutOfBounds> {
    parameters.check()?;
    Ok(Kek::filled(|kek| primitive::pbkdf2(text.expose().as_bytes(), &parameters.salt, parameters.iterations, kek)))
}

/// Identifies the encryption key that a ring is locked with, without disclosing the key. Public, and stored in the key
/// ring.
///
/// `==` compares in constant time.
#[derive(Clone, Copy, Debug, Eq)]
pub struct KeyCheckValue([u8; 32]);

impl KeyCheckValue {
    /// Computes the key-check value of a KEK that was derived with these parameters for this organization.
    pub fn new(kek: &Kek, organization: OrganizationId, kdf: &KdfParameters) -> Self {
        let message = Encoding::new(KEY_CHECK_VALUE_LABEL)
            .part(organization.as_bytes())
            .part(KDF_NAME.as_bytes())
            .part(&kdf.iterations.to_be_bytes())
            .part(&kdf.salt)
            .into_bytes();
        Self(primitive::hmac(check_key(kek).expose(), &message))
    }

    /// Creates a value from its stored bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the fingerprint that an operator sees.
    pub fn fingerprint(&self) -> Fingerprint {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        Fingerprint([a, b, c, d, e, f, g, h])
    }
}

impl PartialEq for KeyCheckValue {
    fn eq(&self, other: &Self) -> bool {
        primitive::equal(&self.0, &other.0)
    }
}

impl Hash for KeyCheckValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// The public id of an encryption key, printed as `7f3a-19c2-04de-b8a5`. An operator uses it to identify the key that a
/// database needs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// Creates a fingerprint from its stored bytes.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f2, g, h] = self.0;
        write!(f, "{a:02x}{b:02x}-{c:02x}{d:02x}-{e:02x}{f2:02x}-{g:02x}{h:02x}")
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Parses exactly the printed form.
impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let digits: String = text.split('-').collect();
        let number = u64::from_str_radix(&digits, 16).map_err(|_| InvalidFingerprint)?;
        let fingerprint = Self(number.to_be_bytes());
        if fingerprint.to_string() == text { Ok(fingerprint) } else { Err(InvalidFingerprint) }
    }
}

/// The text isn't a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint (four groups of four lower-case hexadecimal digits, joined by hyphens)")]
pub struct InvalidFingerprint;

/// Derives the key that wraps data keys.
pub(super) fn wrap_key(kek: &Kek) -> WrapKey {
    WrapKey::filled(|key| primitive::hkdf(kek.expose(), WRAP_KEY_LABEL, key))
}

/// Derives the key that authenticates a stored ring.
pub(super) fn ring_key(kek: &Kek) -> RingKey {
    RingKey::filled(|key| primitive::hkdf(kek.expose(), RING_KEY_LABEL, key))
}

fn check_key(kek: &Kek) -> CheckKey {
    CheckKey::filled(|key| primitive::hkdf(kek.expose(), CHECK_KEY_LABEL, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::testing::{hex, unhex},
        random::testing::SeededRandom,
    };

    const ORGANIZATION: OrganizationId = OrganizationId::from_bytes([0xA1; 16]);
    const KDF: KdfParameters = KdfParameters { iterations: 100_000, salt: *b"0123456789abcdef" };

    fn derived(text: &str, kdf: &KdfParameters) -> Kek {
        derive(&KeyText::new(text.to_owned()), kdf).unwrap()
    }

    /// Frozen, and computed by another implementation too. An existing key text must always give the same keys.
    #[test]
    fn the_derivation_never_changes() {
        let kdf = KdfParameters { iterations: ITERATIONS_DEFAULT, ..KDF };
        let kek = derived("Tr0ub4dor & 3 \u{e9}", &kdf);
        assert_eq!(hex(kek.expose()), "a8808ebd264eb8ace47f73e049f8b22deb5957ea32936d53a2733655e297ba12");
        assert_eq!(hex(wrap_key(&kek).expose()), "6121663b4021f04023789bf6aa299754beb75d49258921990e12e95aba0fcc20");
        assert_eq!(hex(check_key(&kek).expose()), "095fea98c8f7d5520fed01a67a51640f0506997b3fad1ee36bcfe7ba30402cbf");
        assert_eq!(hex(ring_key(&kek).expose()), "f2f4b4a753366af916e6e749fc66d3ee8396cead92bc258841d469b38c54357d");
        let check = KeyCheckValue::new(&kek, ORGANIZATION, &kdf);
        assert_eq!(hex(check.as_bytes()), "eb8857a440c288c0be3e1ff1785949e48197fde29ef378257741e73a32e0e56f");
        assert_eq!(check.fingerprint().to_string(), "eb88-57a4-40c2-88c0");
    }

    #[test]
    fn every_byte_of_a_key_text_counts() {
        let kek = derived("pass word 1", &KDF);
        assert_ne!(kek.expose(), derived("pass word 1 ", &KDF).expose());
        assert_eq!(kek.expose(), derived("pass word 1", &KDF).expose());
    }

    #[test]
    fn key_check_value_depends_on_organization_and_derivation() {
        let kek = Kek::from_bytes(&[1; 32]);
        let check = KeyCheckValue::new(&kek, ORGANIZATION, &KDF);
        assert_eq!(check, KeyCheckValue::new(&Kek::from_bytes(&[1; 32]), ORGANIZATION, &KDF));
        assert_ne!(check, KeyCheckValue::new(&Kek::from_bytes(&[2; 32]), ORGANIZATION, &KDF));
        assert_ne!(check, KeyCheckValue::new(&kek, OrganizationId::from_bytes([0xA2; 16]), &KDF));
        assert_ne!(check, KeyCheckValue::new(&kek, ORGANIZATION, &KdfParameters { iterations: 100_001, ..KDF }));
        assert_ne!(check, KeyCheckValue::new(&kek, ORGANIZATION, &KdfParameters { salt: [0; 16], ..KDF }));
    }

    #[test]
    fn iterations_out_of_bounds_are_refused_before_the_derivation() {
        let text = KeyText::new("text".to_owned());
        for iterations in [0, 99_999, 10_000_001, u32::MAX] {
            let refused = derive(&text, &KdfParameters { iterations, ..KDF }).err();
            assert_eq!(refused, Some(KdfOutOfBounds { iterations }));
        }
        assert_eq!(KdfParameters { iterations: 100_000, ..KDF }.check(), Ok(()));
        assert_eq!(KdfParameters { iterations: 10_000_000, ..KDF }.check(), Ok(()));
        assert_eq!(
            KdfOutOfBounds { iterations: 1 }.to_string(),
            "1 iterations are outside the range 100000 to 10000000"
        );
    }

    #[test]
    fn every_text_gets_a_new_salt() {
        let random = SeededRandom::new(1);
        let (first, second) = (KdfParameters::draw(&random), KdfParameters::draw(&random));
        assert_eq!(first.iterations, 600_000);
        assert_ne!(first.salt, second.salt);
    }

    #[test]
    fn a_fingerprint_has_one_spelling() {
        let bytes: [u8; 8] = unhex("7f3a19c2000db8a5").try_into().unwrap();
        let fingerprint = Fingerprint::from_bytes(bytes);
        assert_eq!(fingerprint.to_string(), "7f3a-19c2-000d-b8a5");
        assert_eq!("7f3a-19c2-000d-b8a5".parse(), Ok(fingerprint));
        assert_eq!("0000-0000-0000-0000".parse(), Ok(Fingerprint::from_bytes([0; 8])));
        for other in [
            "",
            "7f3a-19c2-000d-b8a",
            "7f3a-19c2-000d-b8a50",
            "7F3A-19C2-000D-B8A5",
            "7f3a19c2000db8a5",
            "7f3a-19c2-0-00d-b8a5",
            "+f3a-19c2-000d-b8a5",
            "7f3a-19c2-000d-b8g5",
            " 7f3a-19c2-000d-b8a5",
        ] {
            assert_eq!(other.parse::<Fingerprint>(), Err(InvalidFingerprint), "{other}");
        }
    }
}
