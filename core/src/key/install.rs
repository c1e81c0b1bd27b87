//! Installs a new ring and its key text. All cells must be sealed again afterwards.

use std::sync::Arc;

use crate::{
    audit::entry::AuditEntry,
    crypto::{
        ring::KeyRing,
        secret::{Kek, KeyText},
    },
    deployment::Deployment,
    fail_point::FailPoint,
    key::{
        error::KeyError,
        outcome::{CurrentKey, done},
        reencrypt::cursor::Cursor,
        unreadable,
    },
    organization::{key_text::write_text, keys::Keys, ring_rows::key_change_row},
    permit::Attempt,
    store::{Commit, CommitError, Step, StoreFailure},
};

/// A ring to install, with its key.
pub(crate) struct NewKey {
    pub(crate) ring: KeyRing,
    pub(crate) text: KeyText,
    pub(crate) kek: Kek,
    /// The details of the audit record.
    pub(crate) details: Option<String>,
}

/// Stores the text of the ring. Then, in one transaction, commits `steps`, which replace the former ring, and
/// everything that belongs to the new one.
pub(crate) async fn install(
    deployment: &Deployment,
    by: &Attempt,
    NewKey { ring, text, kek, details }: NewKey,
    mut steps: Vec<Step>,
) -> Result<CurrentKey, KeyError> {
    let organization = &by.organization;
    let current = CurrentKey { fingerprint: ring.fingerprint(), key_version: ring.version() };
    deployment.reached(FailPoint::KeyWorkStarted);
    let text_steps = write_text(deployment, organization.id, &ring.stored().check, &text, &kek)?;
    deployment.ports.configuration.commit(Commit::under_lock(organization.id, text_steps)).await?;
    deployment.reached(FailPoint::KeyTextStored);

    steps.push(key_change_row(&ring));
    steps.extend(Cursor::first(ring.version(), deployment.now()).replace());
    steps.push(unreadable::forget_all());
    steps.push(Step::Audit(AuditEntry { details, ..done(deployment, by, current) }));
    match organization.commit(steps).await {
        Ok(()) => {
            deployment.reached(FailPoint::RingReplaced);
            organization.set_keys(Keys::Active(Arc::new(ring)));
            Ok(current)
        }
        Err(CommitError::Unknown(cause)) => {
            // The current ring is read from the database, for the next call and for the re-encryption that follows.
            organization.load_keys(deployment).await?;
            Err(KeyError::Store(StoreFailure::Unknown(cause)))
        }
        Err(error) => Err(error.into()),
    }
}
