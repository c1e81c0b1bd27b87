//! Exclusive work on an organization: its one lock, held for key work and for its deletion.

use std::sync::Arc;

use crate::{deployment::Deployment, key::error::KeyError, organization::handle::Organization, port::OrganizationLock};

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
    /// [`KeyError::AlreadyRunning`], or that the lock's keeper doesn't answer.
    pub async fn begin(deployment: &Deployment, organization: Arc<Organization>) -> Result<KeyWork, KeyError> {
        match deployment.ports.databases.try_lock(organization.id).await? {
            Some(lock) => Ok(KeyWork { lock, at_work: AtWork::begin(organization) }),
            None => Err(KeyError::AlreadyRunning),
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
