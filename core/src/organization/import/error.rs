//! Why an organization was not imported.

use crate::{
    deployment::NotServed,
    name::OrganizationName,
    store::{CommitError, StoreFailure, Unavailable},
};

/// Why an organization was not imported. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The export is not one that can be imported here: why.
    #[error("the export can't be imported: {0}")]
    Invalid(String),
    /// The name is not one that an organization can have.
    #[error("the name is invalid")]
    NotAName,
    /// There is an organization of this name, or of this id.
    #[error("the organization exists")]
    AlreadyExists,
    /// There is one of this name, and it isn't served now.
    #[error("the organization {name} exists, and isn't served now")]
    NotServed {
        /// The name.
        name: OrganizationName,
        /// Why it isn't.
        why: NotServed,
    },
    /// A database, the root key or the audit trail failed.
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

impl From<Unavailable> for ImportError {
    fn from(error: Unavailable) -> Self {
        ImportError::Store(error.into())
    }
}

impl ImportError {
    /// What a commit means that failed, where a refusal means this.
    pub(super) fn of(error: CommitError, refused: ImportError) -> Self {
        match error {
            CommitError::Refused { .. } => refused,
            error @ (CommitError::Unavailable(_) | CommitError::Unknown(_)) => ImportError::Store(error.into()),
        }
    }
}
