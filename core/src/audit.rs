//! The audit trail: entries, and the chain of records that a store keeps of them.
//!
//! The last record of a chain is [signed](sign) at intervals, a whole trail is [verified](verify), [listed](list), [followed](follow) as it
//! grows, and [cut off](retention) at its old end. docs/audit-trail.md has the encoding for verification without this code.

pub(crate) mod entry;
pub mod follow;
pub mod list;
pub(crate) mod record;
pub mod retention;
pub mod sign;
pub mod verify;

pub use entry::{AuditAction, AuditActionNameError, AuditEntry, OUTCOME_DONE};
pub use record::ChainHead;

pub use crate::table::audit::{AuditRecord, SignedHead};
