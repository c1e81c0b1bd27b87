//! The facts about an organization's encryption that its databases contain, as last read. They are kept in memory until
//! a commit may have changed them, because many callers ask for them before each of their calls.
//!
//! What depends on the time isn't a fact: it is computed for each answer.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    census::Census,
    crypto::ring::KeyRing,
    id::{KeyVersion, RingRevision, Timestamp},
    store::{Generation, Store},
};

/// The facts beside those in the ring.
#[derive(Clone, Debug)]
pub(crate) struct EncryptionFacts {
    /// The last re-encryption; `None` if there was none.
    pub(crate) reencryption: Option<ReencryptionFacts>,
    /// The numbers of cells.
    pub(crate) census: Census,
    /// The time when a rollback of the database was detected.
    pub(crate) rolled_back_time: Option<Timestamp>,
}

/// The stored progress of a re-encryption.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReencryptionFacts {
    pub(crate) target: KeyVersion,
    pub(crate) cells_total: Option<u64>,
    pub(crate) cells_done: u64,
    pub(crate) cells_unreadable: u64,
    pub(crate) start_time: Timestamp,
    pub(crate) end_time: Option<Timestamp>,
}

/// The generations of the two databases that contain the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generations {
    organization: Generation,
    configuration: Generation,
}

impl Generations {
    /// Returns the current generations; `None` if one of them is unknown.
    pub(crate) fn current(organization: &dyn Store, configuration: &dyn Store) -> Option<Self> {
        Some(Generations { organization: organization.generation()?, configuration: configuration.generation()? })
    }
}

/// The facts that were last read while the key was present.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<Option<(Generations, RingRevision, Arc<EncryptionFacts>)>>);

impl Remembered {
    /// Returns the facts if they were read in these generations, under this ring.
    pub(crate) fn get(&self, generations: Generations, ring: &KeyRing) -> Option<Arc<EncryptionFacts>> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_in, revision, facts) = remembered.as_ref()?;
        (*read_in == generations && *revision == ring.revision()).then(|| Arc::clone(facts))
    }

    /// Keeps facts. `generations` are those before the first read.
    pub(crate) fn set(&self, generations: Generations, ring: &KeyRing, facts: &Arc<EncryptionFacts>) {
        let facts = (generations, ring.revision(), Arc::clone(facts));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(facts);
    }
}
