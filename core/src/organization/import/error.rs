//! Why an organization was not imported.

use crate::{
    deployment::NotServed,
    store::{Cause, CommitError, Unavailable},
};

/// Why an organization was not imported. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The export is not one that can be imported here: why.
    #[error("the export can't be imported: {0}")]
    Invalid(String),
    /// The name is none.
    #[error("the name is none")]
    NotAName,
    /// There is an organization of this name, or of this id.
    #[error("the organization exists")]
    AlreadyExists,
    /// There is one of this name, and it isn't served now.
    #[error("the organization {name} exists, and isn't served now")]
    NotServed {
        /// The name.
        name: String,
        /// Why it isn't.
        why: NotServed,
    },
    /// A database did not answer.
    #[error("a database is unavailable")]
    Unavailable(#[source] Cause),
    /// A commit's outcome is unknown; the next start finishes or undoes it.
    #[error("the outcome is unknown")]
    Unknown(#[source] Cause),
}

impl From<Unavailable> for ImportError {
    fn from(Unavailable(cause): Unavailable) -> Self {
        ImportError::Unavailable(cause)
    }
}

impl ImportError {
    /// What a commit means that failed, where a refusal means this.
    pub(super) fn of(error: CommitError, refused: ImportError) -> Self {
        match error {
            CommitError::Refused { .. } => refused,
            CommitError::Unavailable(cause) => ImportError::Unavailable(cause),
            CommitError::Unknown(cause) => ImportError::Unknown(cause),
        }
    }
}
