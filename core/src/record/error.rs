//! Why a use case of records failed.

use crate::{
    crypto::{kek::Fingerprint, root_key::RootKeyError},
    organization::keys::Obstacle,
    store::{StoreFailure, Unavailable},
    violation::Violation,
};

/// Why a use case of records did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Fields are wrong: all of them are listed.
    #[error("the request is invalid")]
    Invalid(Vec<Violation>),
    /// The page token was not made for this list and this caller.
    #[error("the page token is invalid")]
    PageToken,
    /// Finding the records of a list took longer than a list may take.
    #[error("the list took longer than {limit_ms} ms")]
    ListTooLong {
        /// How long it may take.
        limit_ms: u64,
    },
    /// There is no such record.
    #[error("the record does not exist")]
    NotFound,
    /// There is one with this id.
    #[error("the record exists")]
    AlreadyExists,
    /// The record changed since the etag was given.
    #[error("the record has changed")]
    EtagMismatch,
    /// Another request of this caller had the same id.
    #[error("the request id belongs to another request")]
    RequestIdReused,
    /// Another record refers to it and does not let it go.
    #[error("the record is referred to")]
    ReferenceInUse {
        /// The entity of that record.
        entity: String,
        /// The attribute that refers.
        attribute: String,
    },
    /// An encrypted attribute can't be written or revealed while the key is missing.
    #[error("data encryption is inactive")]
    Inactive {
        /// The key the database needs.
        wanted: Fingerprint,
    },
    /// The key ring is missing or damaged.
    #[error("the key ring is missing or damaged")]
    RingDamaged,
    /// The key or the value is there, and this server can't use it.
    #[error("this server can't use what is stored")]
    Inaccessible(#[source] Obstacle),
    /// A stored cell can't be opened.
    #[error("a cell can't be opened")]
    CellUnreadable {
        /// The entity.
        entity: String,
        /// The attribute.
        attribute: String,
    },
    /// The attribute was compared too often.
    #[error("the attribute was compared too often")]
    ComparisonQuota {
        /// How often it may be.
        limit: u64,
        /// When it may be again.
        retry_after_seconds: u32,
    },
    /// A database, the root key or the audit trail failed.
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

impl From<Unavailable> for RecordError {
    fn from(error: Unavailable) -> Self {
        RecordError::Store(error.into())
    }
}

impl From<RootKeyError> for RecordError {
    fn from(error: RootKeyError) -> Self {
        RecordError::Store(StoreFailure::internal(error))
    }
}

pub(crate) fn exhausted() -> RecordError {
    RecordError::Store(StoreFailure::Unavailable("the record or its key ring kept changing".into()))
}

pub(crate) fn invalid_unless_empty(violations: Vec<Violation>) -> Result<(), RecordError> {
    if violations.is_empty() { Ok(()) } else { Err(RecordError::Invalid(violations)) }
}
