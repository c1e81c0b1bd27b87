//! The state of an organization's keys in memory.

use std::sync::Arc;

use crate::{
    crypto::{
        ring::{KeyRing, stored::StoredRing},
        root_key::RootKeyId,
    },
    id::{KeyVersion, Timestamp},
};

/// The public facts of an organization's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Whether the key is present.
    pub is_active: bool,
    /// The version that seals, and the time when the key was set; `None` if the ring is missing or damaged.
    pub set: Option<(KeyVersion, Timestamp)>,
}

/// The state of an organization's keys.
#[derive(Clone)]
pub enum Keys {
    /// The key is present and opened the ring.
    Active(Arc<KeyRing>),
    /// The key is missing.
    Inactive(Arc<StoredRing>),
    /// The key exists, but this server can't use it. Nothing is lost. Contains the ring if its key may be restored here.
    Inaccessible(Obstacle, Option<Arc<StoredRing>>),
    /// The ring is missing or damaged, and no key opens it.
    Damaged,
}

/// Why this server can't use a key that another server, or this server with other root keys, can use. It is never a
/// reason to abandon data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// A newer version wrote the key ring.
    #[error("the key ring has format {format}, which a newer version wrote")]
    NewerRing {
        /// The stored format.
        format: i64,
    },
    /// A newer version sealed a cell.
    #[error("a cell has format {format}, which a newer version wrote")]
    NewerCell {
        /// The stored format.
        format: u8,
    },
    /// A newer version sealed the key's text.
    #[error("the sealed key text has format {format}, which a newer version wrote")]
    NewerKeyText {
        /// The stored format.
        format: u8,
    },
    /// The key's text is sealed under a root key that isn't configured.
    #[error("the key text is sealed under root key {id}, which the server doesn't have: add it to root_key.sources")]
    UnknownRootKey {
        /// The id of the root key.
        id: RootKeyId,
    },
}

impl Obstacle {
    /// Returns the reason for the audit trail, which is the reason that the caller gets.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Obstacle::NewerRing { .. } | Obstacle::NewerCell { .. } | Obstacle::NewerKeyText { .. } => {
                "WRITTEN_BY_NEWER_VERSION"
            }
            Obstacle::UnknownRootKey { .. } => "ROOT_KEY_UNKNOWN",
        }
    }
}

impl Keys {
    /// Returns the public facts of the keys; `None` if this server can't determine them.
    pub(crate) fn facts(&self) -> Option<KeyFacts> {
        let (stored, is_active) = match self {
            Keys::Active(ring) => (Some(ring.stored()), true),
            Keys::Inactive(stored) => (Some(&**stored), false),
            Keys::Inaccessible(..) => return None,
            Keys::Damaged => (None, false),
        };
        let set = stored.and_then(|stored| Some((stored.version()?, stored.key_change_time)));
        Some(KeyFacts { is_active, set })
    }
}
