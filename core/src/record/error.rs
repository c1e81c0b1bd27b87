//! Errors of the use cases of records.

use crate::{
    crypto::{kek::Fingerprint, root_key::RootKeyError},
    organization::keys::Obstacle,
    store::{StoreFailure, Unavailable},
    violation::Violation,
};

/// Why a use case of records failed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Fields are invalid. The list is complete.
    #[error("the request is invalid")]
    Invalid(Vec<Violation>),
    /// The page token wasn't issued for this list and this caller.
    #[error("the page token is invalid")]
    PageToken,
    /// Finding the records of a list exceeded the time limit.
    #[error("the list took longer than {limit_ms} ms")]
    ListTooLong {
        /// The time limit in milliseconds.
        limit_ms: u64,
    },
    /// Items of a batch were refused, by their index in the request. Nothing changed.
    #[error("items of the batch were refused")]
    Items(Vec<(usize, RecordError)>),
    /// The records of a batch are too large for one message.
    #[error("the records of the batch are larger than {limit_bytes} bytes")]
    BatchTooLarge {
        /// The maximum size in bytes.
        limit_bytes: usize,
    },
    /// The record doesn't exist.
    #[error("the record doesn't exist")]
    NotFound,
    /// A record with this id exists.
    #[error("the record already exists")]
    AlreadyExists,
    /// The record changed since the caller received the etag.
    #[error("the record has changed")]
    EtagMismatch,
    /// Another request of this caller has the same id.
    #[error("the request id belongs to another request")]
    RequestIdReused,
    /// Another record links to this one, and its schema refuses the deletion.
    #[error("another record links to the record")]
    ReferenceInUse {
        /// The entity of the linking record.
        entity: String,
        /// The attribute with the link.
        attribute: String,
    },
    /// The key is missing, so encrypted attributes can't be written or revealed.
    #[error("data encryption is inactive")]
    Inactive {
        /// The fingerprint of the required key.
        wanted: Fingerprint,
    },
    /// The key ring is missing or damaged.
    #[error("the key ring is missing or damaged")]
    RingDamaged,
    /// The key or the value exists, but this server can't use it.
    #[error("this server can't use the stored key or value")]
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
        /// The maximum number of comparisons in the interval.
        limit: u64,
        /// The number of seconds until the next comparison is allowed.
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

impl RecordError {
    /// Returns the refusal of one item of a batch.
    pub(crate) fn of_item(index: usize, error: RecordError) -> Self {
        RecordError::Items(vec![(index, error)])
    }

    /// Returns the error of a call with a single item: its refusal is that of the call.
    pub(crate) fn of_single(self) -> Self {
        if let RecordError::Items(mut items) = self {
            return match (items.pop(), items.is_empty()) {
                (Some((_, error)), true) => error,
                (Some(last), false) => {
                    items.push(last);
                    RecordError::Items(items)
                }
                (None, _) => exhausted(),
            };
        }
        self
    }

    /// Returns whether fields are invalid.
    pub(crate) fn is_invalid(&self) -> bool {
        if let RecordError::Items(items) = self {
            return items.iter().any(|(_, error)| matches!(error, RecordError::Invalid(_)));
        }
        matches!(self, RecordError::Invalid(_))
    }
}

/// Fails if any item was refused.
pub(crate) fn unless_refused(items: Vec<(usize, RecordError)>) -> Result<(), RecordError> {
    if items.is_empty() { Ok(()) } else { Err(RecordError::Items(items)) }
}

pub(crate) fn exhausted() -> RecordError {
    RecordError::Store(StoreFailure::Unavailable("the record or its key ring kept changing".into()))
}

pub(crate) fn invalid_unless_empty(violations: Vec<Violation>) -> Result<(), RecordError> {
    if violations.is_empty() { Ok(()) } else { Err(RecordError::Invalid(violations)) }
}
