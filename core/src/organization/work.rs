//! Exclusive work on an organization: its one lock, held for key work and for its deletion.

use std::sync::Arc;

use crate::{deployment::Deployment, organization::handle::Organization, port::OrganizationLock, store::Unavailable};

/// The right to work on an organization's keys: its one lock. Tried, never waited for.
pub struct KeyWork {
    // Given back before the organization is said to be at rest.
    lock: Box<dyn OrganizationLock>,
    at_work: AtWork,
}

/// Says that an organization's keys are worked on, as long as it is there. Whoever waits until nobody is in the way waits for all of them.
pub struct AtWork {
    organization: Arc<Organization>,
}

impl AtWork {
    /// Says so from now on.
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
    /// Takes the lock, if nobody has it.
    ///
    /// # Errors
    /// See [`WorkError`].
    pub async fn begin(deployment: &Deployment, organization: Arc<Organization>) -> Result<KeyWork, WorkError> {
        match deployment.ports.databases.try_lock(organization.id).await? {
            Some(lock) => Ok(KeyWork { lock, at_work: AtWork::begin(organization) }),
            None => Err(WorkError::Busy),
        }
    }

    /// The lock, and what says that the organization is worked on. The lock is to be given back first.
    pub(crate) fn into_parts(self) -> (Box<dyn OrganizationLock>, AtWork) {
        (self.lock, self.at_work)
    }

    /// The organization it is for.
    #[must_use]
    pub fn organization(&self) -> &Arc<Organization> {
        &self.at_work.organization
    }
}

/// Why work on an organization can't begin.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Other work is under way: a change or restore of the key, the re-encryption after one, or the deletion.
    #[error("another SetDataEncryptionKey, or its re-encryption, is running")]
    Busy,
    /// The lock's keeper doesn't answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
