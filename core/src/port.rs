//! The ports beside the store: what core asks of the world outside, as object-safe traits.
//!
//! Nothing here knows a runtime: an asynchronous port answers with a boxed future that any executor may drive.

use std::sync::Arc;

use crate::{
    crypto::{
        kek::{KdfOutOfBounds, KdfParameters},
        secret::{Kek, KeyText},
    },
    id::{OrganizationId, Timestamp},
    store::{Cause, Commit, CommitError, OpenError, Pending, Store, Unavailable},
};

/// The time of day.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
}

/// Whether anything that has to be recorded may be done now: a deployment can demand that audit records are copied elsewhere.
pub trait AuditGate: Send + Sync {
    /// Lets a call pass, or says why not.
    ///
    /// # Errors
    /// Why no call that has to be recorded may be made now.
    fn admit(&self) -> Result<(), Cause>;
}

/// Key derivation, which costs a tenth of a second of processor time: the server runs it on a thread made for that.
pub trait KeyDerivation: Send + Sync {
    /// The key-encryption key of `text` under `parameters`, with the text given back; see [`crate::crypto::kek::derive`].
    fn derive(&self, text: KeyText, parameters: KdfParameters) -> Pending<'_, (KeyText, Result<Kek, KdfOutOfBounds>)>;
}

/// The one lock of an organization. Dropping it gives it back.
pub trait OrganizationLock: Send + Sync {
    /// Gives it back, and removes what there is of it: the organization is gone.
    fn discard(self: Box<Self>) -> Pending<'static, Result<(), Unavailable>>;
}

/// A database that nobody sees yet.
pub trait PreparedDatabase: Send + Sync {
    /// The database.
    fn store(&self) -> &dyn Store;

    /// Puts it where it belongs, closed and on disk. Refused at step 0 if there is one already.
    fn publish(self: Box<Self>) -> Pending<'static, Result<(), CommitError>>;

    /// Removes it.
    fn discard(self: Box<Self>) -> Pending<'static, Result<(), Unavailable>>;
}

/// Where organization databases are kept. Each is named by its organization's id, and carries that id inside too.
pub trait OrganizationDatabases: Send + Sync {
    /// Makes a database whose content is `first`. It appears whole or not at all.
    fn create(&self, id: OrganizationId, first: Commit) -> Pending<'_, Result<(), CommitError>>;

    /// Makes a database whose content is `first` and that nobody sees before it is published. It is to be published or discarded; what
    /// is neither goes at the next start.
    fn prepare(&self, id: OrganizationId, first: Commit)
    -> Pending<'_, Result<Box<dyn PreparedDatabase>, CommitError>>;

    /// Opens a database that exists, if it is this organization's inside: at each opening, whoever has closed it meanwhile.
    fn open(&self, id: OrganizationId) -> Pending<'_, Result<Arc<dyn Store>, OpenError>>;

    /// The databases that exist.
    fn list(&self) -> Pending<'_, Result<Vec<OrganizationId>, Unavailable>>;

    /// Closes a database, once nobody uses it any more, and removes it; one that doesn't exist is removed already.
    fn remove(&self, id: OrganizationId) -> Pending<'_, Result<(), Unavailable>>;

    /// Takes the lock of an organization, or answers `None` at once if somebody has it. Needs no database to exist.
    fn try_lock(&self, id: OrganizationId) -> Pending<'_, Result<Option<Box<dyn OrganizationLock>>, Unavailable>>;
}
