//! The audit trail: entries, and their chained records.
//!
//! The last record of a chain is [signed](sign) at intervals. A trail can be [verified](verify), [listed](list), read
//! [incrementally](follow), and [cut off](retention) at its old end. docs/audit-trail.md documents the encoding, for
//! verification without this code.

pub(crate) mod entry;
pub mod follow;
pub mod list;
pub(crate) mod record;
pub mod retention;
pub mod sign;
pub mod verify;
pub mod walk;

pub use entry::{AuditAction, AuditActionNameError, AuditEntry, OUTCOME_DONE};
pub use record::ChainHead;

pub use crate::table::audit::{AuditRecord, SignedHead};
