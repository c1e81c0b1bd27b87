//! Errors of imports.

use crate::{
    deployment::NotServed,
    key::error::KeyError,
    name::OrganizationName,
    store::{CommitError, StoreFailure, Unavailable},
};

/// Why an organization wasn't imported. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The export can't be imported, with the reason.
    #[error("the export can't be imported: {0}")]
    Invalid(String),
    /// The name isn't a valid name of an organization.
    #[error("the name is invalid")]
    NotAName,
    /// An organization with this name or UUID exists, or is being created.
    #[error("the organization already exists")]
    AlreadyExists {
        /// The name of the organization with this UUID, if it is served.
        same: Option<OrganizationName>,
    },
    /// An organization with this name exists, but isn't served at present.
    #[error("the organization {name} exists, but isn't served at present")]
    NotServed {
        /// The name of the organization.
        name: OrganizationName,
        /// Why it isn't served.
        why: NotServed,
    },
    /// The file can't be imported as a copy with these key texts.
    #[error("the copy {organization} can't be made with these key texts")]
    Key {
        /// The name of the copy.
        organization: OrganizationName,
        /// The problem of a text, or of the file's key.
        #[source]
        error: KeyError,
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
    /// Returns the error of a file whose tables don't match its header.
    pub(super) fn of_another_organization() -> Self {
        ImportError::Invalid("the database belongs to another organization than the header".to_owned())
    }

    /// Returns the error of a failed commit. `refused` is the error of a refused step.
    pub(super) fn of(error: CommitError, refused: ImportError) -> Self {
        match error {
            CommitError::Refused { .. } => refused,
            error @ (CommitError::Unavailable(_) | CommitError::Unknown(_)) => ImportError::Store(error.into()),
        }
    }
}
