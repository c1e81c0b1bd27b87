//! What the user enters: attributes of a record, secrets, key texts, and the confirmation of what can't be undone.

pub(crate) mod confirmation;
pub(crate) mod key_text;
pub(crate) mod record;
pub(crate) mod secret;
