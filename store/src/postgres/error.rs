//! Why PostgreSQL did not do what it was asked.
//!
//! The server's details and the values of a statement are left out: they would bring data of records to the log.

use std::time::Duration;

use sealward_core::store::Cause;
use tokio_postgres::error::SqlState;

use crate::sql::{Malformed, SCHEMA};

/// Why a statement was not executed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostgresError {
    #[error("PostgreSQL refused a statement ({code}): {message}")]
    Server { code: String, message: String },
    #[error("the connection to PostgreSQL failed")]
    Connection(#[source] tokio_postgres::Error),
    #[error("PostgreSQL refused the login ({code}): {message}")]
    Login { code: String, message: String },
    #[error(
        "no connection to PostgreSQL was free for {wait_max:?}: raise limits.storage_connections_max, or find what is slow"
    )]
    Busy { wait_max: Duration },
    #[error("a statement is malformed")]
    Malformed(#[from] Malformed),
    #[error("the database has no table {table}")]
    NoTable { table: String },
    #[error("a value for {table}.{column} has the wrong type, or the column does not exist")]
    WrongType { table: String, column: String },
    #[error("an audit record is not chained")]
    Unchained,
    #[error("the audit trail can't be read")]
    Trail(#[source] Cause),
    #[error("PostgreSQL ended a transaction with a warning")]
    Warned,
    #[error("the end of a transaction was not reported within {commit_time_max:?}")]
    NoAnswer { commit_time_max: Duration },
    #[error("the database has been deleted or moved")]
    Gone,
    #[error(
        "the tables of this version are missing in PostgreSQL ({missing}): migrate the database as the role that owns them"
    )]
    NotMigrated { missing: String },
    #[error("a table or column of PostgreSQL differs from that of this version ({difference})")]
    Differs { difference: String },
    #[error("PostgreSQL is version {found}: version {VERSION_MIN} or later is required")]
    TooOld { found: String },
    #[error("the database has the encoding {found}: UTF8 is required")]
    Encoding { found: String },
    #[error(
        "the role that the server connects as is a superuser, bypasses row-level security or owns tables: use another one"
    )]
    Privileged,
    #[error(
        "the schema {SCHEMA} of the database doesn't belong to the role that owns the tables: use its owner, or another database"
    )]
    NotOwner,
    #[error("another server is starting in the database")]
    Starting,
    #[error("another server has taken the lock")]
    LockLost,
}

impl PostgresError {
    /// Returns whether the server raised an error with this code.
    pub(super) fn is(&self, state: &SqlState) -> bool {
        matches!(self, PostgresError::Server { code, .. } if code == state.code())
    }

    /// Returns whether the connection is lost, as opposed to an error that the server returned.
    pub(super) fn is_of_connection(&self) -> bool {
        match self {
            PostgresError::Connection(_) => true,
            // PostgreSQL is shutting down, an administrator has ended the connection, or its transaction was idle.
            PostgresError::Server { code, .. } => {
                code.starts_with("57P")
                    || code.starts_with("08")
                    || code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT.code()
            }
            PostgresError::Busy { .. }
            | PostgresError::Login { .. }
            | PostgresError::NotOwner
            | PostgresError::Malformed(_)
            | PostgresError::NoTable { .. }
            | PostgresError::WrongType { .. }
            | PostgresError::Unchained
            | PostgresError::Trail(_)
            | PostgresError::Warned
            | PostgresError::NoAnswer { .. }
            | PostgresError::Gone
            | PostgresError::NotMigrated { .. }
            | PostgresError::Differs { .. }
            | PostgresError::TooOld { .. }
            | PostgresError::Encoding { .. }
            | PostgresError::Privileged
            | PostgresError::Starting
            | PostgresError::LockLost => false,
        }
    }

    /// Returns the error of a connection that wasn't opened.
    pub(super) fn of_login(error: tokio_postgres::Error) -> Self {
        let code = error.code().map(|state| state.code().to_owned()).unwrap_or_default();
        // The role, its password, its rights or the database: another attempt fails as well.
        let is_refusal =
            code.starts_with("28") || code.starts_with("3D") || code == SqlState::INSUFFICIENT_PRIVILEGE.code();
        match error.as_db_error() {
            Some(refused) if is_refusal => PostgresError::Login { code, message: refused.message().to_owned() },
            Some(_) | None => error.into(),
        }
    }

    /// Returns whether the transaction was in conflict with another one, and may succeed if it is repeated.
    pub(super) fn is_conflict(&self) -> bool {
        self.is(&SqlState::T_R_SERIALIZATION_FAILURE) || self.is(&SqlState::T_R_DEADLOCK_DETECTED)
    }
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refused) => {
                PostgresError::Server { code: refused.code().code().to_owned(), message: refused.message().to_owned() }
            }
            None => PostgresError::Connection(error),
        }
    }
}

impl From<PostgresError> for Cause {
    fn from(error: PostgresError) -> Self {
        Cause(error.into())
    }
}

/// The oldest supported version.
pub(super) const VERSION_MIN: u32 = 15;
