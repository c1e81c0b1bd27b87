//! The state of an organization's keys, as a server knows it.

use std::sync::Arc;

use crate::{
    crypto::{
        kek::Fingerprint,
        ring::{KeyRing, stored::StoredRing},
        root_key::RootKeyId,
    },
    id::{KeyVersion, Timestamp},
};

/// What is public of an organization's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Whether the key is present.
    pub is_active: bool,
    /// Which version seals, and when the key was set; `None` if the ring is missing or damaged.
    pub set: Option<(KeyVersion, Timestamp)>,
}

/// What is known of an organization's keys.
#[derive(Clone)]
pub enum Keys {
    /// The key is present and proven: it opened the ring.
    Active(Arc<KeyRing>),
    /// The key is missing.
    Inactive(Arc<StoredRing>),
    /// The key is there, and this server can't use it. Nothing is lost. The ring, if it reads.
    Inaccessible(Obstacle, Option<Arc<StoredRing>>),
    /// The ring is missing or damaged, and no key opens it.
    Damaged,
}

/// Why a server can't use what another server, or this one with other root keys, can. It is never a reason to give anything up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// A newer version wrote the key ring.
    #[error("the key ring has format {format}, which a newer version wrote")]
    NewerRing {
        /// The format as stored.
        format: i64,
    },
    /// A newer version sealed a cell.
    #[error("a cell has format {format}, which a newer version wrote")]
    NewerCell {
        /// The format as stored.
        format: u8,
    },
    /// A newer version sealed the key's text.
    #[error("the sealed key text has format {format}, which a newer version wrote")]
    NewerKeyText {
        /// The format as stored.
        format: u8,
    },
    /// The key's text is sealed under a root key that isn't given.
    #[error("the key text is sealed under root key {id}, which the server doesn't have: add it to root_key.sources")]
    UnknownRootKey {
        /// The root key.
        id: RootKeyId,
    },
}

impl Obstacle {
    /// The word that the audit trail records, which is the reason that the caller gets.
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
    /// What is public of them; `None` where this server can't tell.
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

/// The fingerprint of the key that keys want, where there is one.
#[must_use]
pub fn wanted_fingerprint(keys: &Keys) -> Option<Fingerprint> {
    match keys {
        Keys::Active(ring) => Some(ring.fingerprint()),
        Keys::Inactive(stored) => Some(stored.fingerprint()),
        Keys::Inaccessible(_, stored) => stored.as_ref().map(|stored| stored.fingerprint()),
        Keys::Damaged => None,
    }
}
