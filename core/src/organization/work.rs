//! Exclusive work on an organization under its lock, for work on keys and for its deletion.

use std::sync::Arc;

use crate::{deployment::Deployment, organization::handle::Organization, port::OrganizationLock, store::Unavailable};

/// The lock of an organization for work on its keys. Taking it never waits.
pub struct KeyWork {
    // Released before the organization counts as idle.
    lock: Box<dyn OrganizationLock>,
    at_work: AtWork,
}

/// A guard that marks work on an organization's keys as in progress while it exists. The work ends when all guards are
/// dropped.
pub struct AtWork {
    organization: Arc<Organization>,
}

impl AtWork {
    /// Creates the guard.
    #[must_use]
    pub fn begin(organization: Arc<Organization>) -> AtWork {
        organization.begin_work();
        AtWork { organization }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.organization.end_work();
    }
}

impl KeyWork {
    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// See [`WorkError`].
    pub async fn begin(deployment: &Deployment, organization: Arc<Organization>) -> Result<KeyWork, WorkError> {
        match deployment.ports.databases.try_lock(organization.id).await? {
            Some(lock) => Ok(KeyWork { lock, at_work: AtWork::begin(organization) }),
            None => Err(WorkError::Busy),
        }
    }

    /// Returns the lock and the guard. Release the lock first.
    pub(crate) fn into_parts(self) -> (Box<dyn OrganizationLock>, AtWork) {
        (self.lock, self.at_work)
    }

    /// Releases the lock before the work is done, so that another server continues it.
    pub async fn hand_over(self) {
        self.lock.hand_over().await;
    }

    /// Returns whether another server may have the lock now. It continues the work.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lock.is_lost()
    }

    /// Returns the organization.
    #[must_use]
    pub fn organization(&self) -> &Arc<Organization> {
        &self.at_work.organization
    }
}

/// Why work on an organization can't start.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Other work is in progress: a change or restore of the key, the re-encryption after one, or the deletion.
    #[error("another SetDataEncryptionKey, or its re-encryption, is running")]
    Busy,
    /// The lock is unavailable.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
