//! Why a use case of the key's life failed.

use crate::{
    crypto::{
        kek::Fingerprint,
        key_text::{GivenTextHint, KeyTextViolation, NotRestorable},
    },
    organization::{key_text::ReadTextError, keys::Obstacle, work::WorkError},
    store::{CommitError, StoreFailure, Unavailable},
};

/// Why a use case of the key's life did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Another change or restore runs, or the re-encryption after one.
    #[error("another SetDataEncryptionKey, or its re-encryption, is running")]
    AlreadyRunning,
    /// A change was asked for while the key is missing.
    #[error("the key is missing: restore it before it can be changed")]
    Inactive {
        /// The key the database needs.
        wanted: Fingerprint,
    },
    /// The key was asked for while it is missing.
    #[error("data encryption is inactive: the key is missing")]
    NotPresent {
        /// The key the database needs.
        wanted: Fingerprint,
    },
    /// A restore was asked for while the key is present.
    #[error("the key is present and working: change it instead")]
    AlreadyActive,
    /// The key ring is missing or damaged.
    #[error("the key ring is missing or damaged")]
    RingDamaged,
    /// The key is there, and this server can't use it.
    #[error("this server can't use the key")]
    Inaccessible(#[source] Obstacle),
    /// The text doesn't open the ring.
    #[error("the key does not open the data")]
    Mismatch {
        /// The key that does.
        wanted: Fingerprint,
        /// How many characters (Unicode scalar values) were given.
        given_length: usize,
        /// What may not have been noticed about the given text.
        hints: Vec<GivenTextHint>,
    },
    /// Too many changes in an hour.
    #[error("the key was changed too often")]
    ChangeQuota {
        /// How many are allowed.
        limit: u32,
        /// In how many seconds one more will be.
        retry_after_seconds: u64,
    },
    /// Too many attempts to restore in a quarter of an hour.
    #[error("a restore was attempted too often")]
    RestoreQuota {
        /// How many are allowed.
        limit: u32,
        /// In how many seconds one more will be.
        retry_after_seconds: u64,
    },
    /// The caller did not name the key that he gives up.
    #[error("the fingerprint is not the one of the key that would be given up")]
    NotConfirmed {
        /// The fingerprint that says so; empty if no key is known.
        expected: String,
    },
    /// The text breaks the rule for new texts.
    #[error("the key text breaks the rule")]
    TextRule {
        /// All that is wrong with it.
        violations: Vec<KeyTextViolation>,
        /// How many characters (Unicode scalar values) were given.
        given_length: usize,
    },
    /// The text can't be the text of any key.
    #[error("the key text can't be restored")]
    TextNotRestorable {
        /// Why.
        violation: NotRestorable,
        /// How many characters (Unicode scalar values) were given.
        given_length: usize,
    },
    /// A database, the root key or the audit trail failed.
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

impl KeyError {
    /// The word that the audit trail records, which is the reason that the caller gets.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            KeyError::AlreadyRunning => "SET_KEY_ALREADY_RUNNING",
            KeyError::Inactive { .. } => "KEY_INACTIVE",
            KeyError::NotPresent { .. } => "DATA_ENCRYPTION_INACTIVE",
            KeyError::AlreadyActive => "KEY_ALREADY_ACTIVE",
            KeyError::RingDamaged => "KEY_RING_DAMAGED",
            KeyError::Inaccessible(obstacle) => obstacle.reason(),
            KeyError::Mismatch { .. } => "KEY_MISMATCH",
            KeyError::ChangeQuota { .. } => "KEY_CHANGE_QUOTA",
            KeyError::RestoreQuota { .. } => "KEY_RESTORE_QUOTA",
            KeyError::NotConfirmed { .. } => "FIELD_INVALID",
            KeyError::TextRule { .. } | KeyError::TextNotRestorable { .. } => "KEY_VALIDATION",
            KeyError::Store(StoreFailure::AuditUnavailable(_)) => "AUDIT_UNAVAILABLE",
            KeyError::Store(StoreFailure::Unavailable(_)) => "STORE_UNAVAILABLE",
            KeyError::Store(StoreFailure::Unknown(_)) => "OUTCOME_UNKNOWN",
        }
    }
}

impl From<Unavailable> for KeyError {
    fn from(error: Unavailable) -> Self {
        KeyError::Store(error.into())
    }
}

impl From<WorkError> for KeyError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Busy => KeyError::AlreadyRunning,
            WorkError::Unavailable(error) => error.into(),
        }
    }
}

impl From<ReadTextError> for KeyError {
    fn from(error: ReadTextError) -> Self {
        match error {
            ReadTextError::Unavailable(error) => error.into(),
            ReadTextError::Inaccessible(obstacle) => KeyError::Inaccessible(obstacle),
        }
    }
}

impl From<CommitError> for KeyError {
    fn from(error: CommitError) -> Self {
        KeyError::Store(error.into())
    }
}
