//! The lifecycle of an organization's encryption key: status, retrieval, change, restore, re-encryption after a change,
//! and re-sealing of key texts under another root key.
//!
//! All writes hold the organization's lock. A [`KeyWork`](crate::organization::work::KeyWork) holds it from the first
//! check to the last step of the re-encryption, even if the caller disconnects.

pub mod abandon;
pub mod change;
pub(crate) mod error;
pub mod figures;
pub mod history;
pub(crate) mod install;
pub(crate) mod outcome;
pub(crate) mod quota;
pub mod reencrypt;
pub mod reseal;
pub mod restore;
pub mod retire;
pub mod retrieve;
pub(crate) mod scan;
pub mod status;
pub mod step;
pub(crate) mod unlock;
pub mod unreadable;
pub mod verify;

pub use error::KeyError;
pub use outcome::{CurrentKey, refuse};
pub use quota::RESTORE_INTERVAL_SECONDS;
