//! The mail application: operations on mailboxes beyond storage.
//!
//! Only this part of the crate knows entities by name. No other part uses it, and it needs a schema with the entities
//! of `sealward.mail.v1`.

pub mod resolve;

use crate::audit::AuditAction;

/// The audit actions of the application. Methods can name them in their options, like those of the platform.
pub const AUDIT_ACTIONS: &[AuditAction] = &[resolve::RESOLVE];

/// The collection of mailboxes.
pub const MAILBOXES: &str = "mailboxes";
