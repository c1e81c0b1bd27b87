//! One type for each secret, and one way to read it: `expose`. A search for it lists every place that reads a secret.
//!
//! Secrets can't be printed, cloned, serialized or compared with `==`. All are wiped on drop. Their bytes are on the
//! heap, so moving a secret moves a pointer and leaves no copy.

use zeroize::{Zeroize as _, ZeroizeOnDrop};

use super::primitive;
use crate::random::Random;

/// The plaintext of a cell: any bytes. The bytes of a text are its UTF-8.
#[derive(ZeroizeOnDrop)]
pub struct Plaintext(Vec<u8>);

impl Plaintext {
    /// Takes the bytes without copying them. The caller must wipe any copies it had.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes in plaintext.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the length in bytes: the only property that an error may disclose.
    pub fn length_bytes(&self) -> usize {
        self.0.len()
    }

    /// Compares in a time that depends only on the lengths.
    pub fn matches(&self, other: &Self) -> bool {
        primitive::equal(&self.0, &other.0)
    }
}

impl From<String> for Plaintext {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

/// The text of an encryption key exactly as it was entered. It is not trimmed, not normalized and not yet checked
/// against any rule (see [`key_text`](super::key_text)).
#[derive(ZeroizeOnDrop)]
pub struct KeyText(String);

impl KeyText {
    /// Takes the text without copying it. The caller must wipe any copies it had.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text in plaintext.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the length in characters (Unicode scalar values).
    pub fn length(&self) -> usize {
        self.0.chars().count()
    }

    /// Compares in a time that depends only on the lengths.
    pub fn matches(&self, other: &Self) -> bool {
        primitive::equal(self.0.as_bytes(), other.0.as_bytes())
    }
}

/// Defines a secret of 32 bytes.
macro_rules! secret_32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(Box<[u8; 32]>);

        impl $name {
            /// Calls `fill` to write the bytes directly to their final location.
            pub(crate) fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Self {
                let mut secret = Self(Box::new([0; 32]));
                fill(&mut secret.0);
                secret
            }

            /// Returns the bytes in plaintext.
            pub fn expose(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.0.as_mut_slice().zeroize();
            }
        }

        impl ZeroizeOnDrop for $name {}
    };
}

secret_32! {
    /// The key-encryption key, derived from a key text. Stored only beside that text, sealed under the root key.
    Kek
}

secret_32! {
    /// Seals the cells of one key version. Stored only wrapped, in the key ring.
    DataKey
}

secret_32! {
    /// Wraps data keys in the key ring. Derived from the KEK, never stored.
    WrapKey
}

secret_32! {
    /// Computes the key-check value of an encryption key. Derived from the KEK, never stored.
    CheckKey
}

secret_32! {
    /// Authenticates the stored form of a key ring. Derived from the KEK, never stored.
    RingKey
}

secret_32! {
    /// The deployment's own key, as read from its source. Never used directly: see [`root_key`](super::root_key).
    RootKeyBytes
}

impl Kek {
    /// Copies an unsealed KEK.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self::filled(|kek| kek.copy_from_slice(bytes))
    }
}

impl DataKey {
    /// Draws a new data key.
    pub fn draw(random: &dyn Random) -> Self {
        Self::filled(|key| random.fill(key))
    }

    /// Compares in constant time.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        primitive::equal(self.expose(), other.expose())
    }
}

impl RootKeyBytes {
    /// Copies a root key. Returns `None` unless the length is exactly 32 bytes. The caller wipes its own copy.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        Some(Self::filled(|key| key.copy_from_slice(bytes)))
    }

    /// Draws a new root key.
    pub fn draw(random: &dyn Random) -> Self {
        Self::filled(|key| random.fill(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::testing::SeededRandom;

    /// Compiles only if the type has none of the traits. With any of them, the call of `probe` would be ambiguous.
    macro_rules! has_none_of {
        ($secret:ty: $($forbidden:path),+) => {{
            trait Probe<A> {
                fn probe() {}
            }
            impl<T: ?Sized> Probe<()> for T {}
            $({
                #[allow(dead_code, reason = "exists only to make `probe` ambiguous")]
                struct Has;
                impl<T: ?Sized + $forbidden> Probe<Has> for T {}
            })+
            <$secret as Probe<_>>::probe();
        }};
    }

    fn is_wiped<T: ZeroizeOnDrop>() {}

    #[test]
    fn secrets_have_no_debug_clone_or_eq_and_are_wiped() {
        macro_rules! is_a_secret {
            ($secret:ty) => {{
                has_none_of!($secret: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, PartialOrd);
                has_none_of!($secret: std::hash::Hash, AsRef<[u8]>, AsRef<str>, std::ops::Deref);
                is_wiped::<$secret>();
            }};
        }
        is_a_secret!(Plaintext);
        is_a_secret!(KeyText);
        is_a_secret!(Kek);
        is_a_secret!(DataKey);
        is_a_secret!(WrapKey);
        is_a_secret!(CheckKey);
        is_a_secret!(RingKey);
        is_a_secret!(RootKeyBytes);
    }

    #[test]
    fn cipher_states_are_wiped() {
        is_wiped::<xaes_256_gcm::Xaes256Gcm>();
        is_wiped::<aes_gcm::Aes256Gcm>();
        // Hmac consists of Sha256 states and has no marker trait.
        is_wiped::<sha2::Sha256>();
    }

    #[test]
    fn texts_match_only_character_for_character() {
        let text = |text: &str| KeyText::new(text.to_owned());
        assert!(text("pass 1").matches(&text("pass 1")));
        assert!(!text("pass 1").matches(&text("pass 1 ")));
        assert!(!text("pass 1").matches(&text("Pass 1")));
        // The same letter, composed and decomposed.
        assert!(!text("\u{e9}").matches(&text("e\u{301}")));
    }

    #[test]
    fn a_root_key_has_exactly_32_bytes() {
        assert!(RootKeyBytes::from_slice(&[1; 31]).is_none());
        assert!(RootKeyBytes::from_slice(&[1; 33]).is_none());
        assert!(RootKeyBytes::from_slice(&[1; 32]).is_some_and(|key| key.expose() == &[1; 32]));
    }

    #[test]
    fn drawn_keys_differ() {
        let random = SeededRandom::new(1);
        assert!(!DataKey::draw(&random).matches(&DataKey::draw(&random)));
    }
}
