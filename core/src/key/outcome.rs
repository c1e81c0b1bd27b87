//! The outcome of a call on the key: which key is current after it, and its audit record.

use crate::{
    audit::entry::{AuditAction, AuditEntry, OUTCOME_DONE},
    crypto::kek::Fingerprint,
    deployment::Deployment,
    id::KeyVersion,
    identity::Caller,
    key::error::KeyError,
    organization::handle::Organization,
    permit::Attempt,
    store::StoreFailure,
};

/// What the trail says that a text was given for, where nothing was to be changed or restored.
pub(crate) const VALIDATE_ONLY: &str = "validate only";

/// Which key is current after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentKey {
    /// Its public id.
    pub fingerprint: Fingerprint,
    /// The version of the data key that seals.
    pub key_version: KeyVersion,
}

/// Records the refusal of a call in the organization's trail, and answers with it. For refusals that no use case saw, like that of the
/// layer that lets one call in at a time.
///
/// # Errors
/// Always: the refusal, or that it could not be recorded.
pub async fn refuse<T>(deployment: &Deployment, by: &Attempt, error: KeyError) -> Result<T, KeyError> {
    let entry = entry(deployment, &by.organization, Some(&by.caller), by.action, Err(error.reason()));
    by.organization.record(entry).await.map_err(StoreFailure::unaudited)?;
    Err(error)
}

/// The outcome of a call, once a refusal of it is in the organization's trail.
pub(crate) async fn audited<T>(
    deployment: &Deployment,
    by: &Attempt,
    outcome: Result<T, KeyError>,
) -> Result<T, KeyError> {
    match outcome {
        Ok(answer) => Ok(answer),
        // What failed for want of a record can't be recorded either; what may have happened is read from the ring.
        Err(error @ KeyError::Store(_)) => Err(error),
        Err(error) => refuse(deployment, by, error).await,
    }
}

/// The record of a call that succeeded, with the key that is current after it.
pub(crate) fn done(deployment: &Deployment, by: &Attempt, current: CurrentKey) -> AuditEntry {
    entry(deployment, &by.organization, Some(&by.caller), by.action, Ok(current))
}

/// Records a call that changed nothing, with why it didn't.
pub(crate) async fn unchanged(
    deployment: &Deployment,
    by: &Attempt,
    current: CurrentKey,
    why: &str,
) -> Result<CurrentKey, KeyError> {
    let entry = AuditEntry { purpose: Some(why.to_owned()), ..done(deployment, by, current) };
    by.organization.record(entry).await.map_err(StoreFailure::unaudited)?;
    Ok(current)
}

pub(crate) fn entry(
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
