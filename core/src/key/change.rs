//! Changes the key: stores a new text and a new data key. A re-encryption follows, which the caller need not wait for.
//!
//! First, the new text is stored in the configuration database, sealed. Then one transaction of the organization's
//! database replaces the ring, which is the point of no return. A failure between the two leaves an unused text.

use crate::{
    crypto::{kek::KdfParameters, key_text, ring::KeyRing, secret::KeyText},
    deployment::Deployment,
    id::Timestamp,
    key::{
        error::KeyError,
        install::{NewKey, install},
        outcome::{CurrentKey, VALIDATE_ONLY, audited, unchanged},
        quota::{quota, times},
        step::{NextStep, step},
    },
    organization::{handle::Organization, key_text::read_text, keys::Keys, ring_rows, work::KeyWork},
    permit::{Attempt, PermittedWork},
    policy,
    store::{StoreFailure, Unavailable},
    table::key::KeyChangeRow,
};

pub(crate) const QUOTA_INTERVAL_SECONDS: u32 = 3_600;

/// Makes `text` the organization's key. If it is the current text, nothing changes, so that a repetition is safe. With
/// `validate_only`, only the checks are made. Returns the work, for the re-encryption that may follow.
///
/// # Errors
/// See [`KeyError`]. Each refusal is recorded in the trail.
pub async fn change(
    deployment: &Deployment,
    work: PermittedWork<policy::ChangeKey>,
    text: KeyText,
    validate_only: bool,
) -> (KeyWork, Result<CurrentKey, KeyError>) {
    let (by, work) = work.spend();
    let outcome = attempt(deployment, &by, text, validate_only).await;
    (work, audited(deployment, &by, outcome).await)
}

async fn attempt(
    deployment: &Deployment,
    by: &Attempt,
    text: KeyText,
    validate_only: bool,
) -> Result<CurrentKey, KeyError> {
    let organization = &by.organization;
    let keys = organization.load_keys(deployment).await?;
    let ring = match (step(&keys), keys) {
        (NextStep::Idle, Keys::Active(ring)) => ring,
        (_, Keys::Inaccessible(obstacle, _)) => return Err(KeyError::Inaccessible(obstacle)),
        (NextStep::ReportDamage, _) | (_, Keys::Damaged) => return Err(KeyError::RingDamaged),
        (_, Keys::Inactive(stored)) => return Err(KeyError::Inactive { wanted: stored.fingerprint() }),
        (_, Keys::Active(_)) => return Err(KeyError::AlreadyRunning),
    };
    let current = CurrentKey { fingerprint: ring.fingerprint(), key_version: ring.version() };
    if let Some((now_current, _)) = read_text(deployment, organization.id, &ring.stored().check).await?
        && now_current.matches(&text)
    {
        return unchanged(deployment, by, current, "already current").await;
    }
    let limit = deployment.key_limits.changes_per_hour;
    let changes = times_of_changes(organization).await?;
    quota(&changes, deployment.now(), limit, QUOTA_INTERVAL_SECONDS)
        .map_err(|retry_after_seconds| KeyError::ChangeQuota { limit, retry_after_seconds })?;
    key_text::check_rule(&text).map_err(|violations| KeyError::TextRule { violations, given_length: text.length() })?;
    if validate_only {
        return unchanged(deployment, by, current, VALIDATE_ONLY).await;
    }
    commit(deployment, by, &ring, text).await
}

/// Reads the times that the quota counts. The first key, which the service generated, doesn't count as a change.
pub(crate) async fn times_of_changes(organization: &Organization) -> Result<Vec<Timestamp>, Unavailable> {
    times(organization, KeyChangeRow::time(), KeyChangeRow::key_version().exceeds(1)).await
}

async fn commit(deployment: &Deployment, by: &Attempt, ring: &KeyRing, text: KeyText) -> Result<CurrentKey, KeyError> {
    let random = &*deployment.ports.random;
    let kdf = KdfParameters::draw(random);
    let (text, kek) = deployment.ports.key_derivation.derive(text, kdf).await;
    let kek = kek.map_err(StoreFailure::internal)?;
    let changed = ring.change(&kek, kdf, deployment.now(), random).map_err(StoreFailure::internal)?;
    let steps = ring_rows::replace(ring.revision(), changed.stored());
    install(deployment, by, NewKey { ring: changed, text, kek, details: None }, steps).await
}
