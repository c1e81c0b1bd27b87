//! The life of an organization's encryption key: check, retrieve, change, restore, the re-encryption that follows a change, and the
//! re-sealing of key texts under another root key.
//!
//! Everything that writes works under the organization's one lock: a [`KeyWork`] holds it from the first check to the last step of the
//! re-encryption, whoever asked for it and whether that caller is still there or not.

pub mod abandon;
pub mod change;
pub mod check;
pub mod history;
pub(crate) mod pace;
pub mod reencrypt;
pub mod reseal;
pub mod restore;
pub mod retrieve;
pub mod unreadable;
pub mod verify;

use std::sync::Arc;

use crate::{
    audit::{AuditAction, AuditEntry, OUTCOME_DONE},
    crypto::{
        kek::Fingerprint,
        key_text::{GivenTextHint, KeyTextViolation, NotRestorable},
        ring::{KeyRing, stored::ReencryptionState},
        secret::{Kek, KeyText},
    },
    deployment::Deployment,
    fail_point::FailPoint,
    id::{KeyVersion, Timestamp},
    identity::Caller,
    key_change::{ConfigurationFacts, NextStep, RingFacts, next_step},
    organization::{Keys, Obstacle, Organization, ReadTextError, create::key_change_row, write_text},
    port::OrganizationLock,
    store::{Cause, Commit, CommitError, Condition, Datum, Step, Unavailable, rows},
};

/// What the trail says that a text was given for, where nothing was to be changed or restored.
const VALIDATE_ONLY: &str = "validate only";

/// Which key is current after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentKey {
    /// Its public id.
    pub fingerprint: Fingerprint,
    /// The version of the data key that seals.
    pub key_version: KeyVersion,
}

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

/// Why a use case of the key's life did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Another change or restore runs, or the re-encryption after one.
    #[error("another SetDataEncryptionKey, or its re-encryption, is running")]
    AlreadyRunning,
    /// A change was asked for while the key is missing.
    #[error("the key is missing: restore it before it can be changed")]
    Inactive {
        /// The key the database needs.
        wanted: Fingerprint,
    },
    /// The key was asked for while it is missing.
    #[error("data encryption is inactive: the key is missing")]
    NotPresent {
        /// The key the database needs.
        wanted: Fingerprint,
    },
    /// A restore was asked for while the key is present.
    #[error("the key is present and working: change it instead")]
    AlreadyActive,
    /// The key ring is missing or damaged.
    #[error("the key ring is missing or damaged")]
    RingDamaged,
    /// The key is there, and this server can't use it.
    #[error("this server can't use the key")]
    Inaccessible(#[source] Obstacle),
    /// The text doesn't open the ring.
    #[error("the key does not open the data")]
    Mismatch {
        /// The key that does.
        wanted: Fingerprint,
        /// How many characters (Unicode scalar values) were given.
        given_length: usize,
        /// What may not have been noticed about the given text.
        hints: Vec<GivenTextHint>,
    },
    /// Too many changes in an hour.
    #[error("the key was changed too often")]
    ChangeQuota {
        /// How many are allowed.
        limit: u32,
        /// In how many seconds one more will be.
        retry_after_seconds: u64,
    },
    /// Too many attempts to restore in a quarter of an hour.
    #[error("a restore was attempted too often")]
    RestoreQuota {
        /// How many are allowed.
        limit: u32,
        /// In how many seconds one more will be.
        retry_after_seconds: u64,
    },
    /// The caller did not name the key that he gives up.
    #[error("the fingerprint is not the one of the key that would be given up")]
    NotConfirmed {
        /// The fingerprint that says so; empty if no key is known.
        expected: String,
    },
    /// The text breaks the rule for new texts.
    #[error("the key text breaks the rule")]
    TextRule {
        /// All that is wrong with it.
        violations: Vec<KeyTextViolation>,
        /// How many characters (Unicode scalar values) were given.
        given_length: usize,
    },
    /// The text can't be the text of any key.
    #[error("the key text can't be restored")]
    TextNotRestorable {
        /// Why.
        violation: NotRestorable,
        /// How many characters (Unicode scalar values) were given.
        given_length: usize,
    },
    /// The audit record can't be written; nothing was given or done.
    #[error("the audit record can't be written")]
    AuditUnavailable(#[source] Cause),
    /// A database did not answer, or something else failed that isn't the caller's doing. Nothing changed.
    #[error("a database is unavailable")]
    Unavailable(#[source] Cause),
    /// A commit's outcome is unknown; the state of the key tells whether it took effect.
    #[error("the outcome is unknown")]
    Unknown(#[source] Cause),
}

impl KeyError {
    /// The word that the audit trail records, which is the reason that the caller gets.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            KeyError::AlreadyRunning => "SET_KEY_ALREADY_RUNNING",
            KeyError::Inactive { .. } => "KEY_INACTIVE",
            KeyError::NotPresent { .. } => "DATA_ENCRYPTION_INACTIVE",
            KeyError::AlreadyActive => "KEY_ALREADY_ACTIVE",
            KeyError::RingDamaged => "KEY_RING_DAMAGED",
            KeyError::Inaccessible(obstacle) => obstacle.reason(),
            KeyError::Mismatch { .. } => "KEY_MISMATCH",
            KeyError::ChangeQuota { .. } => "KEY_CHANGE_QUOTA",
            KeyError::RestoreQuota { .. } => "KEY_RESTORE_QUOTA",
            KeyError::NotConfirmed { .. } => "FIELD_INVALID",
            KeyError::TextRule { .. } | KeyError::TextNotRestorable { .. } => "KEY_VALIDATION",
            KeyError::AuditUnavailable(_) => "AUDIT_UNAVAILABLE",
            KeyError::Unavailable(_) => "STORE_UNAVAILABLE",
            KeyError::Unknown(_) => "OUTCOME_UNKNOWN",
        }
    }

    /// A failure inside the service that no input explains.
    fn internal(error: impl std::error::Error + Send + Sync + 'static) -> KeyError {
        KeyError::Unavailable(Cause(Box::new(error)))
    }

    /// What a commit of nothing but an audit record means when it fails.
    pub(crate) fn unaudited(error: CommitError) -> KeyError {
        match error {
            CommitError::Refused { .. } => KeyError::AuditUnavailable("an audit record was refused".into()),
            CommitError::Unavailable(cause) | CommitError::Unknown(cause) => KeyError::AuditUnavailable(cause),
        }
    }
}

impl From<Unavailable> for KeyError {
    fn from(Unavailable(cause): Unavailable) -> Self {
        KeyError::Unavailable(cause)
    }
}

impl From<ReadTextError> for KeyError {
    fn from(error: ReadTextError) -> Self {
        match error {
            ReadTextError::Unavailable(error) => error.into(),
            ReadTextError::Inaccessible(obstacle) => KeyError::Inaccessible(obstacle),
        }
    }
}

impl From<CommitError> for KeyError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused { .. } => KeyError::Unavailable("a commit under the lock was refused".into()),
            CommitError::Unavailable(cause) => KeyError::Unavailable(cause),
            CommitError::Unknown(cause) => KeyError::Unknown(cause),
        }
    }
}

/// Records the refusal of a call in the organization's trail, and answers with it. For refusals that no use case saw, like that of the
/// layer that lets one call in at a time.
///
/// # Errors
/// Always: the refusal, or that it could not be recorded.
pub async fn refuse<T>(
    deployment: &Deployment,
    organization: &Organization,
    caller: &Caller,
    action: AuditAction,
    error: KeyError,
) -> Result<T, KeyError> {
    let entry = entry(deployment, organization, Some(caller), action, Err(error.reason()));
    organization.record(entry).await.map_err(KeyError::unaudited)?;
    Err(error)
}

/// The outcome of a call, once a refusal of it is in the organization's trail.
async fn audited<T>(
    deployment: &Deployment,
    organization: &Organization,
    caller: &Caller,
    action: AuditAction,
    outcome: Result<T, KeyError>,
) -> Result<T, KeyError> {
    match outcome {
        Ok(answer) => Ok(answer),
        // What failed for want of a record can't be recorded either; what may have happened is read from the ring.
        Err(error @ (KeyError::AuditUnavailable(_) | KeyError::Unavailable(_) | KeyError::Unknown(_))) => Err(error),
        Err(error) => refuse(deployment, organization, caller, action, error).await,
    }
}

/// Records a call that changed nothing, with why it didn't.
async fn unchanged(
    deployment: &Deployment,
    organization: &Organization,
    caller: &Caller,
    action: AuditAction,
    current: CurrentKey,
    why: &str,
) -> Result<CurrentKey, KeyError> {
    let mut entry = entry(deployment, organization, Some(caller), action, Ok(current));
    entry.purpose = Some(why.to_owned());
    organization.record(entry).await.map_err(KeyError::unaudited)?;
    Ok(current)
}

/// A ring that is about to be put in place, with the key that it is locked with.
struct Setting {
    action: AuditAction,
    ring: KeyRing,
    text: KeyText,
    kek: Kek,
    /// What else the record of it says.
    details: Option<String>,
}

/// Puts a ring in place whose cells are to be walked: its text first, then, in one transaction, the steps that take the place of the
/// former ring and everything that belongs to the new one.
async fn install(
    deployment: &Deployment,
    organization: &Organization,
    caller: &Caller,
    Setting { action, ring, text, kek, details }: Setting,
    mut steps: Vec<Step>,
) -> Result<CurrentKey, KeyError> {
    let current = CurrentKey { fingerprint: ring.fingerprint(), key_version: ring.version() };
    deployment.reached(FailPoint::KeyWorkBegun);
    let text_steps = write_text(deployment, organization.id, &ring.stored().check, &text, &kek)?;
    deployment.ports.configuration.commit(Commit::of(text_steps)).await?;
    deployment.reached(FailPoint::KeyTextStored);

    steps.push(key_change_row(&ring));
    steps.extend(reencrypt::Cursor::first(ring.version(), deployment.now()).replace());
    steps.push(unreadable::forget_all());
    let entry = entry(deployment, organization, Some(caller), action, Ok(current));
    steps.push(Step::Audit(AuditEntry { details, ..entry }));
    match organization.commit(steps).await {
        Ok(()) => {
            deployment.reached(FailPoint::RingReplaced);
            organization.set_keys(Keys::Active(Arc::new(ring)));
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

fn entry(
    deployment: &Deployment,
    organization: &Organization,
    caller: Option<&Caller>,
    action: AuditAction,
    outcome: Result<CurrentKey, &'static str>,
) -> AuditEntry {
    AuditEntry {
        caller: caller.cloned(),
        outcome: outcome.err().unwrap_or(OUTCOME_DONE),
        fingerprint: outcome.ok().map(|key| key.fingerprint.to_string()),
        key_version: outcome.ok().map(|key| key.key_version.get()),
        ..AuditEntry::done(deployment.now(), action, organization.resource_name())
    }
}

/// What to do next for an organization whose keys were just loaded.
pub(crate) fn step(keys: &Keys) -> NextStep {
    let whole = |reencryption: ReencryptionState, version: Option<KeyVersion>| match version {
        Some(version) => RingFacts::Whole { reencryption, version },
        None => RingFacts::Damaged,
    };
    match keys {
        Keys::Active(ring) => {
            let facts = whole(ring.reencryption().state, Some(ring.version()));
            next_step(ConfigurationFacts { has_current_text: true }, facts)
        }
        Keys::Inactive(stored) => {
            let facts = whole(stored.reencryption.state, stored.version());
            next_step(ConfigurationFacts { has_current_text: false }, facts)
        }
        Keys::Inaccessible(..) => next_step(ConfigurationFacts { has_current_text: false }, RingFacts::Inaccessible),
        Keys::Damaged => next_step(ConfigurationFacts { has_current_text: false }, RingFacts::Damaged),
    }
}

/// The times in a table of them, which a quota counts.
async fn times(
    organization: &Organization,
    table: &'static str,
    condition: Condition,
) -> Result<Vec<Timestamp>, Unavailable> {
    let found = rows(&*organization.store, table, &["time"], condition).await?;
    Ok(found
        .into_iter()
        .filter_map(|row| match row.first() {
            Some(Datum::Time(time)) => Some(*time),
            Some(_) | None => None,
        })
        .collect())
}

/// Whether one more of something is allowed, given when the others were; if not, in how many seconds.
fn quota(times: &[Timestamp], now: Timestamp, limit: u32, interval_seconds: u64) -> Result<(), u64> {
    let interval_us = i64::try_from(interval_seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    let age_us = |time: &Timestamp| now.unix_micros().saturating_sub(time.unix_micros());
    let mut recent: Vec<i64> = times.iter().map(age_us).filter(|age| (0..interval_us).contains(age)).collect();
    recent.sort_unstable();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // The one that has to age out of the interval: the limit-th youngest.
    match limit.checked_sub(1).and_then(|last| recent.get(last)) {
        None => Ok(()),
        Some(age) => Err(u64::try_from(interval_us - age).unwrap_or(0).div_ceil(1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_quota_lets_as_many_through_as_it_says_and_tells_when_the_next_may() {
        let times = [at(10), at(20), at(30)];
        assert_eq!(quota(&times, at(40), 4, 100), Ok(()));
        assert_eq!(quota(&times, at(40), 3, 100), Err(70));
        assert_eq!(quota(&times, at(110), 3, 100), Ok(()));
    }

    #[test]
    fn a_limit_of_zero_lifts_the_quota_and_a_time_to_come_does_not_count() {
        assert_eq!(quota(&[at(10)], at(20), 0, 100), Ok(()));
        assert_eq!(quota(&[at(30)], at(20), 1, 100), Ok(()));
    }
}
