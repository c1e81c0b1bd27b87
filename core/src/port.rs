//! The ports except the store: the services that core needs from outside, as object-safe traits.
//!
//! This file knows no runtime. An asynchronous port returns a boxed future that any executor can poll.

use std::sync::Arc;

use crate::{
    crypto::{
        kek::{KdfOutOfBounds, KdfParameters},
        secret::{Kek, KeyText},
    },
    id::{OrganizationId, Timestamp},
    store::{Cause, Commit, CommitError, OpenError, Pending, Store, Unavailable},
};

/// The wall clock.
pub trait Clock: Send + Sync {
    /// Returns the current time in UTC.
    fn now(&self) -> Timestamp;
}

/// Decides whether operations that need an audit record are allowed now. A deployment can require that audit records
/// are copied elsewhere.
pub trait AuditGate: Send + Sync {
    /// Allows a call, or refuses it.
    ///
    /// # Errors
    /// Why calls that need an audit record are refused now.
    fn admit(&self) -> Result<(), Cause>;
}

/// Key derivation. It uses a processor for about a tenth of a second, so the server runs it on a dedicated thread.
pub trait KeyDerivation: Send + Sync {
    /// Derives the key-encryption key of `text` with `parameters`, and returns the text too. See
    /// [`crate::crypto::kek::derive`].
    fn derive(&self, text: KeyText, parameters: KdfParameters) -> Pending<'_, (KeyText, Result<Kek, KdfOutOfBounds>)>;
}

/// A place in the line of the callers that change the same record.
pub trait Line: Send + Sync {
    /// Waits for the turn, in the order of the calls. It ends when the returned value is dropped. A turn proves nothing:
    /// other commits may change the record too. But without turns, callers would fail each other again and again.
    fn turn(&self) -> Pending<'_, Box<dyn Send>>;
}

/// A use of keys within a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Values are checked and sealed.
    Seal,
    /// Cells are opened.
    Open,
}

/// Observes uses of keys, to measure their time. It gets no value and no name, and must not block.
pub trait KeyUseObserver: Send + Sync {
    /// A use begins. It ends when the returned value is dropped; `None` if this use isn't measured.
    fn begin(&self, key_use: KeyUse) -> Option<Box<dyn Send>>;
}

/// Threads for computations that use a processor for milliseconds.
pub trait Computation: Send + Sync {
    /// Returns the number of computations that can run at the same time: that of the processors.
    fn threads(&self) -> usize;

    /// Starts a computation. The future completes when it has ended.
    fn start(&self, computation: Box<dyn FnOnce() + Send>) -> Pending<'static, ()>;
}

/// The exclusive lock of an organization. Dropping it releases it.
pub trait OrganizationLock: Send + Sync {
    /// Returns whether this server was found to have lost the lock, because it was paused or separated from the database.
    /// Another one may have it then. A commit under the lock is refused; see [`Commit::under_lock_of`].
    fn is_lost(&self) -> bool;

    /// Releases the lock before its work is done, so that another server continues it at once.
    fn hand_over(self: Box<Self>) -> Pending<'static, ()>;

    /// Releases the lock and removes its files, because the organization is deleted.
    fn discard(self: Box<Self>) -> Pending<'static, Result<(), Unavailable>>;
}

/// A database that isn't published yet.
pub trait PreparedDatabase: Send + Sync {
    /// Returns the database.
    fn store(&self) -> &dyn Store;

    /// Publishes the database, closed and on disk. Refused at step 0 if a database with this id exists.
    fn publish(self: Box<Self>) -> Pending<'static, Result<(), CommitError>>;

    /// Removes the database.
    fn discard(self: Box<Self>) -> Pending<'static, Result<(), Unavailable>>;
}

/// The storage of organization databases. Each is named by its organization's id, and also contains that id.
pub trait OrganizationDatabases: Send + Sync {
    /// Creates a database with the content `first`, atomically.
    fn create(&self, id: OrganizationId, first: Commit) -> Pending<'_, Result<(), CommitError>>;

    /// Creates an unpublished database with the content `first`. The caller must publish or discard it; the next start
    /// removes any that is neither.
    fn prepare(&self, id: OrganizationId, first: Commit)
    -> Pending<'_, Result<Box<dyn PreparedDatabase>, CommitError>>;

    /// Opens an existing database, and checks that it contains this organization's id. The check is repeated when the
    /// database is opened again after it was closed.
    fn open(&self, id: OrganizationId) -> Pending<'_, Result<Arc<dyn Store>, OpenError>>;

    /// Lists the existing databases.
    fn list(&self) -> Pending<'_, Result<Vec<OrganizationId>, Unavailable>>;

    /// Closes a database when it is no longer in use, and removes it. A missing database counts as removed.
    fn remove(&self, id: OrganizationId) -> Pending<'_, Result<(), Unavailable>>;

    /// Returns whether other servers may use the databases at the same time.
    fn is_shared(&self) -> bool;

    /// Tries to take the lock of an organization. Returns `None` at once if it is held. The database need not exist.
    fn try_lock(&self, id: OrganizationId) -> Pending<'_, Result<Option<Box<dyn OrganizationLock>>, Unavailable>>;
}
