//! Background work: re-encryption, idle databases, keys that are due for a change, and organizations that couldn't be opened.
//!
//! Core decides what the next step is.

pub(crate) mod idle;
pub(crate) mod key_change_reminder;
pub(crate) mod reencryption;
pub(crate) mod reopen;
