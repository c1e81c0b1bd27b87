//! Installs a new ring and its key text, after which every cell has to be sealed again.

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
        reencrypt, unreadable,
    },
    organization::{key_text::write_text, keys::Keys, ring_rows::key_change_row},
    permit::Attempt,
    store::{Commit, CommitError, Step, StoreFailure},
};

/// A ring that is about to be put in place, with the key that it is locked with.
pub(crate) struct Setting {
    pub(crate) ring: KeyRing,
    pub(crate) text: KeyText,
    pub(crate) kek: Kek,
    /// What else the record of it says.
    pub(crate) details: Option<String>,
}

/// Puts a ring in place whose cells are to be walked: its text first, then, in one transaction, the steps that take the place of the
/// former ring and everything that belongs to the new one.
pub(crate) async fn install(
    deployment: &Deployment,
    by: &Attempt,
    Setting { ring, text, kek, details }: Setting,
    mut steps: Vec<Step>,
) -> Result<CurrentKey, KeyError> {
    let organization = &by.organization;
    let current = CurrentKey { fingerprint: ring.fingerprint(), key_version: ring.version() };
    deployment.reached(FailPoint::KeyWorkStarted);
    let text_steps = write_text(deployment, organization.id, &ring.stored().check, &text, &kek)?;
    deployment.ports.configuration.commit(Commit::of(text_steps)).await?;
    deployment.reached(FailPoint::KeyTextStored);

    steps.push(key_change_row(&ring));
    steps.extend(reencrypt::Cursor::first(ring.version(), deployment.now()).replace());
    steps.push(unreadable::forget_all());
    steps.push(Step::Audit(AuditEntry { details, ..done(deployment, by, current) }));
    match organization.commit(steps).await {
        Ok(()) => {
            deployment.reached(FailPoint::RingReplaced);
            organization.set_keys(Keys::Active(Arc::new(ring)));
            Ok(current)
        }
        Err(CommitError::Unknown(cause)) => {
            // Which ring is in place now is read from the database, here for whoever comes next and by the re-encryption after this.
            organization.load_keys(deployment).await?;
            Err(KeyError::Store(StoreFailure::Unknown(cause)))
        }
        Err(error) => Err(error.into()),
    }
}
