//! Audit trails: signed, cut, copied and verified; and refused calls on their way to them.
//!
//! Nothing here knows what a record is about.

pub(crate) mod copy;
pub(crate) mod denials;
pub(crate) mod maintenance;
pub(crate) mod record;
pub(crate) mod verifications;
