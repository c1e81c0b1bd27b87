//! The mail application: what is done with mailboxes beyond storing them.
//!
//! The only part of this crate that knows entities by name. Nothing else uses it, and it is of use only where the schema has the entities of
//! `sealward.mail.v1`.

pub mod resolve;

/// The collection of mailboxes.
pub const MAILBOXES: &str = "mailboxes";

/// The collection of e-mail server profiles.
pub(crate) const EMAIL_SERVER_PROFILES: &str = "emailServerProfiles";
