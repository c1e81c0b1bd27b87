//! Restores the key: stores the text that opens the database of an organization without its key.
//!
//! An attempt is counted durably before the key is derived, so that the quota limits guesses. Nothing derived from a
//! refused text is kept. The rule for new texts doesn't apply, so that a later rule never locks out an accepted key.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    audit::entry::AuditEntry,
    crypto::{key_text, ring::stored::StoredRing, secret::KeyText},
    deployment::Deployment,
    fail_point::FailPoint,
    id::Timestamp,
    key::{
        error::KeyError,
        outcome::{CurrentKey, VALIDATE_ONLY, audited, done},
        quota::{RESTORE_INTERVAL_SECONDS, quota, times},
        unlock::{Unlocked, unlock},
    },
    organization::{handle::Organization, key_text::write_text, keys::Keys, work::KeyWork},
    permit::{Attempt, PermittedWork},
    policy, random,
    store::{Commit, Condition, Step, StoreFailure, Unavailable},
    table::{declare::TableRow as _, key::RestoreAttemptRow},
};

/// Restores the key. With `validate_only`, only checks whether the text is the right one, which also counts as an
/// attempt. Returns the work, for a re-encryption that may continue.
///
/// # Errors
/// See [`KeyError`]. Each refusal is recorded in the trail.
pub async fn restore(
    deployment: &Deployment,
    work: PermittedWork<policy::RestoreKey>,
    text: KeyText,
    validate_only: bool,
) -> (KeyWork, Result<CurrentKey, KeyError>) {
    let (by, work) = work.spend();
    let outcome = attempt(deployment, &by, text, validate_only).await;
    (work, audited(deployment, &by, outcome).await)
}

/// Reads the times that the quota counts.
pub(crate) async fn times_of_attempts(organization: &Organization) -> Result<Vec<Timestamp>, Unavailable> {
    times(organization, RestoreAttemptRow::time(), Condition::EVERYTHING).await
}

async fn attempt(
    deployment: &Deployment,
    by: &Attempt,
    text: KeyText,
    validate_only: bool,
) -> Result<CurrentKey, KeyError> {
    let organization = &by.organization;
    let stored: Arc<StoredRing> = match organization.load_keys(deployment).await? {
        Keys::Active(_) => return Err(KeyError::AlreadyActive),
        Keys::Damaged => return Err(KeyError::RingDamaged),
        // The text opens any readable ring, even if no server here can open the stored text. This text replaces it.
        Keys::Inactive(stored) | Keys::Inaccessible(_, Some(stored)) => stored,
        Keys::Inaccessible(obstacle, None) => return Err(KeyError::Inaccessible(obstacle)),
    };
    let limit = deployment.key_limits.restores_per_quarter_hour;
    let now = deployment.now();
    let attempts = times_of_attempts(organization).await?;
    quota(&attempts, now, limit, RESTORE_INTERVAL_SECONDS)
        .map_err(|retry_after_seconds| KeyError::RestoreQuota { limit, retry_after_seconds })?;
    key_text::check_restorable(&text)
        .map_err(|violation| KeyError::TextNotRestorable { violation, given_length: text.length() })?;
    organization.commit(vec![count_attempt(deployment, now)]).await?;
    deployment.reached(FailPoint::RestoreCounted);

    let Unlocked { ring, text, kek } = unlock(deployment, &stored, organization.id, text).await?;
    let current = CurrentKey { fingerprint: ring.fingerprint(), key_version: ring.version() };
    let purpose = validate_only.then(|| VALIDATE_ONLY.to_owned());
    let record = AuditEntry { purpose, ..done(deployment, by, current) };
    let mut steps = vec![Step::Audit(record)];
    if !validate_only {
        steps.push(RestoreAttemptRow::delete(Condition::EVERYTHING));
    }
    organization.commit(steps).await.map_err(StoreFailure::unaudited)?;
    if validate_only {
        return Ok(current);
    }
    deployment.reached(FailPoint::RestoreRecorded);
    let text_steps = write_text(deployment, organization.id, &stored.check, &text, &kek)?;
    deployment.ports.configuration.commit(Commit::under_lock(organization.id, text_steps)).await?;
    deployment.reached(FailPoint::RestoredTextStored);
    organization.set_keys(Keys::Active(Arc::new(ring)));
    Ok(current)
}

fn count_attempt(deployment: &Deployment, now: Timestamp) -> Step {
    let id = Uuid::from_bytes(random::bytes(&*deployment.ports.random));
    RestoreAttemptRow { id, time: now }.insert()
}
