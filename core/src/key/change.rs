//! Change the key: a new text, a new data key, and from then on a re-encryption that the caller need not wait for.
//!
//! First the new text goes into the configuration database, sealed; then one transaction of the organization's database puts the new
//! ring in place, and that is the point of no return. Whatever breaks between the two leaves a text that nobody uses.

use std::sync::Arc;

use crate::{
    audit::AuditAction,
    crypto::{kek::KdfParameters, key_text, ring::KeyRing, secret::KeyText},
    deployment::Deployment,
    identity::Caller,
    key::{CurrentKey, KeyError, KeyWork, VALIDATE_ONLY, audited, entry, quota, reencrypt, step, times},
    key_change::NextStep,
    layout::{KEY_CHANGE, UNREADABLE_CELL},
    organization::{Keys, Organization, create::key_change_row, read_text, ring_rows, write_text},
    policy::{self, Permit},
    store::{Commit, CommitError, Condition, Datum, Expect, Step},
};

const QUOTA_INTERVAL_SECONDS: u64 = 3_600;

/// Makes `text` the organization's key. A text that is current already changes nothing, so that a repeat is safe. With `validate_only`
/// everything is checked and nothing is done.
///
/// # Errors
/// See [`KeyError`]; each refusal is in the trail.
pub async fn change(
    deployment: &Deployment,
    work: &KeyWork,
    _permit: Permit<policy::ChangeKey>,
    caller: &Caller,
    text: KeyText,
    validate_only: bool,
) -> Result<CurrentKey, KeyError> {
    let organization = &**work.organization();
    let outcome = attempt(deployment, organization, caller, text, validate_only).await;
    audited(deployment, organization, caller, AuditAction::ChangeKey, outcome).await
}

async fn attempt(
    deployment: &Deployment,
    organization: &Organization,
    caller: &Caller,
    text: KeyText,
    validate_only: bool,
) -> Result<CurrentKey, KeyError> {
    let keys = organization.load_keys(deployment).await?;
    let ring = match (step(&keys), keys) {
        (NextStep::Rest, Keys::Active(ring)) => ring,
        (NextStep::ReportDamage, _) | (_, Keys::Damaged) => return Err(KeyError::RingDamaged),
        (_, Keys::Inactive(stored)) => return Err(KeyError::Inactive { wanted: stored.fingerprint() }),
        (_, Keys::Active(_)) => return Err(KeyError::AlreadyRunning),
    };
    let current = CurrentKey { fingerprint: ring.fingerprint(), key_version: ring.version() };
    if let Some((now_current, _)) = read_text(deployment, organization.id, &ring.stored().check).await?
        && now_current.matches(&text)
    {
        return unchanged(deployment, organization, caller, current, "already current").await;
    }
    let limit = deployment.key_limits.changes_per_hour;
    // The first key, which the service made, is no change.
    let changes = times(organization, KEY_CHANGE, Condition::greater("key_version", Datum::Integer(1))).await?;
    quota(&changes, deployment.now(), limit, QUOTA_INTERVAL_SECONDS)
        .map_err(|retry_after_seconds| KeyError::ChangeQuota { limit, retry_after_seconds })?;
    key_text::check_rule(&text).map_err(|violations| KeyError::TextRule { violations, given_length: text.length() })?;
    if validate_only {
        return unchanged(deployment, organization, caller, current, VALIDATE_ONLY).await;
    }
    commit(deployment, organization, caller, &ring, text).await
}

/// Records a call that changed nothing, with why it didn't.
async fn unchanged(
    deployment: &Deployment,
    organization: &Organization,
    caller: &Caller,
    current: CurrentKey,
    why: &str,
) -> Result<CurrentKey, KeyError> {
    let mut entry = entry(deployment, organization, Some(caller), AuditAction::ChangeKey, Ok(current));
    entry.purpose = Some(why.to_owned());
    organization.record(entry).await.map_err(KeyError::unaudited)?;
    Ok(current)
}

async fn commit(
    deployment: &Deployment,
    organization: &Organization,
    caller: &Caller,
    ring: &KeyRing,
    text: KeyText,
) -> Result<CurrentKey, KeyError> {
    let random = &*deployment.ports.random;
    let kdf = KdfParameters::draw(random);
    let (text, kek) = deployment.ports.key_derivation.derive(text, kdf).await;
    let kek = kek.map_err(KeyError::internal)?;
    let changed = ring.change(&kek, kdf, deployment.now(), random).map_err(KeyError::internal)?;
    let check = changed.stored().check;
    let current = CurrentKey { fingerprint: changed.fingerprint(), key_version: changed.version() };

    let text_steps = write_text(deployment, organization.id, &check, &text, &kek)?;
    deployment.ports.configuration.commit(Commit::of(text_steps)).await?;

    let mut steps = ring_rows::replace(ring.revision(), changed.stored());
    steps.push(key_change_row(&changed));
    steps.extend(reencrypt::Cursor::first(changed.version(), deployment.now()).replace());
    steps.push(Step::Delete { table: UNREADABLE_CELL.into(), rows: Condition::EVERYTHING, expect: Expect::Any });
    steps.push(Step::Audit(entry(deployment, organization, Some(caller), AuditAction::ChangeKey, Ok(current))));
    match organization.commit(steps).await {
        Ok(()) => {
            organization.set_keys(Keys::Active(Arc::new(changed)));
            Ok(current)
        }
        Err(CommitError::Unknown(cause)) => {
            // Which ring is in place now is read from the database, here for whoever comes next and by the re-encryption after this.
            organization.load_keys(deployment).await?;
            Err(KeyError::Unknown(cause))
        }
        Err(error) => Err(error.into()),
    }
}
