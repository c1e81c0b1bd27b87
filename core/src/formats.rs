//! The versions of the formats in which new data is stored. Older versions are read too.

use crate::{
    audit::record,
    crypto::{cell, ring::stored, root_key},
};

/// The format of an encrypted value.
pub const CELL: u8 = cell::FORMAT;

/// The format of the wrapped data keys of an organization.
pub const KEY_RING: u8 = stored::FORMAT;

/// The format of an encryption key that is sealed under a root key.
pub const SEALED_KEY: u8 = root_key::FORMAT;

/// The format of an audit record.
pub const AUDIT_RECORD: i64 = record::FORMAT;
