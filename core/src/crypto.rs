//! Cryptography: turns values into cells and key texts into keys. Knows no records, storage, clock or callers.
//!
//! From an administrator's key text to the cell in a table, one file per step:
//!
//! | file | from | to |
//! |---|---|---|
//! | [`key_text`] | an administrator's text, or random bytes | a text that is allowed as an encryption key |
//! | [`kek`] | key text and KDF parameters | KEK, key-check value, fingerprint |
//! | [`ring`] | the ring's database rows, and the KEK | the data keys by version; the changes of a ring |
//! | [`cell`] | data key, [`context`], value | a sealed cell, and back |
//! | [`root_key`] | the deployment's own key | sealed key texts, and MACs that need no organization's key |
//!
//! Supporting files: [`secret`] has one type per secret. `encoding` is the one injective encoding of authenticated
//! data. `format` distinguishes newer formats from damage. `padding` hides lengths. `primitive` is the only file that
//! names an algorithm's implementation.

pub mod cell;
pub mod context;
pub(crate) mod encoding;
mod format;
pub mod kek;
pub mod key_text;
mod padding;
mod primitive;
pub mod ring;
pub mod root_key;
pub mod secret;

/// Hexadecimal decoding for test vectors.
#[cfg(test)]
pub(crate) mod testing {
    use data_encoding::HEXLOWER;

    pub(crate) fn hex(bytes: &[u8]) -> String {
        HEXLOWER.encode(bytes)
    }

    /// Decodes hexadecimal digits. Whitespace between them is ignored.
    pub(crate) fn unhex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        HEXLOWER.decode(digits.as_bytes()).unwrap()
    }
}
