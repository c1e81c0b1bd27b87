//! The mail application: what is done with mailboxes beyond storing them.
//!
//! The only part of this crate that knows entities by name. Nothing else uses it, and it is of use only where the schema has the entities of
//! `sealward.mail.v1`.

pub mod resolve;

use crate::audit::AuditAction;

/// The audit actions of the application, which methods can name in their options beside those of the platform.
pub const AUDIT_ACTIONS: &[AuditAction] = &[resolve::RESOLVE];

/// The collection of mailboxes.
pub const MAILBOXES: &str = "mailboxes";
