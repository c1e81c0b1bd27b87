//! Errors of the use cases of keys.

use crate::{
    crypto::{
        kek::Fingerprint,
        key_text::{GivenTextHint, KeyTextViolation, NotRestorable},
    },
    organization::{key_text::ReadTextError, keys::Obstacle, work::WorkError},
    store::{CommitError, StoreFailure, Unavailable},
};

/// Why a use case of keys failed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Another change or restore is running, or the re-encryption after one.
    #[error("another SetDataEncryptionKey, or its re-encryption, is running")]
    AlreadyRunning,
    /// A change was requested, but the key is missing.
    #[error("the key is missing: restore it, then change it")]
    Inactive {
        /// The fingerprint of the required key.
        wanted: Fingerprint,
    },
    /// The key was requested, but it is missing.
    #[error("data encryption is inactive: the key is missing")]
    NotPresent {
        /// The fingerprint of the required key.
        wanted: Fingerprint,
    },
    /// A restore was requested, but the key is present.
    #[error("the key is present and working: change it instead")]
    AlreadyActive,
    /// The key ring is missing or damaged.
    #[error("the key ring is missing or damaged")]
    RingDamaged,
    /// The key exists, but this server can't use it.
    #[error("this server can't use the key")]
    Inaccessible(#[source] Obstacle),
    /// The text doesn't open the ring.
    #[error("the key doesn't open the data")]
    Mismatch {
        /// The fingerprint of the required key.
        wanted: Fingerprint,
        /// The length of the given text in Unicode scalar values.
        given_length: usize,
        /// Properties of the given text that may have been overlooked.
        hints: Vec<GivenTextHint>,
    },
    /// Too many changes in an hour.
    #[error("the key was changed too often")]
    ChangeQuota {
        /// The limit.
        limit: u32,
        /// The number of seconds until the next one is allowed.
        retry_after_seconds: u64,
    },
    /// Too many attempts to restore the key, or to copy its organization, in a quarter of an hour.
    #[error("the key was tried too often")]
    RestoreQuota {
        /// The limit.
        limit: u32,
        /// The number of seconds until the next one is allowed.
        retry_after_seconds: u64,
    },
    /// The caller didn't confirm the fingerprint of the key to abandon.
    #[error("the confirmed fingerprint isn't that of the key to abandon")]
    NotConfirmed {
        /// The required fingerprint; empty if no key is known.
        expected: String,
    },
    /// The text violates the rule for new texts.
    #[error("the key text violates the rule")]
    TextRule {
        /// All violations.
        violations: Vec<KeyTextViolation>,
        /// The length of the given text in Unicode scalar values.
        given_length: usize,
    },
    /// The text can't be the text of any key.
    #[error("the key text can't be restored")]
    TextNotRestorable {
        /// The reason.
        violation: NotRestorable,
        /// The length of the given text in Unicode scalar values.
        given_length: usize,
    },
    /// A database, the root key or the audit trail failed.
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

impl KeyError {
    /// Returns the reason for the audit trail, which is the reason that the caller gets.
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
            ReadTextError::Inaccessible(obstacle, _) => KeyError::Inaccessible(obstacle),
        }
    }
}

impl From<CommitError> for KeyError {
    fn from(error: CommitError) -> Self {
        KeyError::Store(error.into())
    }
}
