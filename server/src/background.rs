//! Background work: re-encryption, idle databases, keys that are due for a change, organizations that couldn't be opened, and what other
//! servers do.
//!
//! Core decides what the next step is.

pub(crate) mod follow;
pub(crate) mod idle;
pub(crate) mod key_change_reminder;
pub(crate) mod reencryption;
pub(crate) mod reopen;
