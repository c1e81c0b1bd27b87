//! Audit trails: signing, pruning, copying, verifying, and recording refused calls and notes of commands.
//!
//! This module doesn't know the subject of a record.

pub(crate) mod copy;
pub(crate) mod denials;
pub(crate) mod maintenance;
pub(crate) mod notes;
pub(crate) mod record;
pub(crate) mod verifications;
