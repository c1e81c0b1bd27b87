//! What turns a value into a cell and a text into keys; knows no records, no storage, no clock and no callers.
//!
//! From the text an administrator keeps to the cell in a table, one file a step:
//!
//! | file | from | to |
//! |---|---|---|
//! | [`key_text`] | what an administrator types, or nothing | a text that may become an encryption key |
//! | [`kek`] | key text and KDF parameters | KEK, key-check value, fingerprint |
//! | [`ring`] | a row set of the organization's database, and the KEK | the data keys, by version; the changes of a ring |
//! | [`cell`] | data key, [`context`], value | a sealed cell, and back |
//! | [`root_key`] | the deployment's own key | sealed key texts, and MACs that need no organization's key |
//!
//! Under them: [`secret`] has one type per secret, `encoding` the one injective encoding of what is authenticated,
//! `format` tells newer formats from damage, `padding` hides lengths, and `primitive` is the only file that names an algorithm's implementation.

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

/// Hexadecimal for the vectors in tests.
#[cfg(test)]
pub(crate) mod testing {
    use data_encoding::HEXLOWER;

    pub(crate) fn hex(bytes: &[u8]) -> String {
        HEXLOWER.encode(bytes)
    }

    /// Spaces may part the digits.
    pub(crate) fn unhex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        HEXLOWER.decode(digits.as_bytes()).unwrap()
    }
}
