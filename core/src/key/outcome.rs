//! The outcome of a call on the key: the current key after it, and its audit record.

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

/// The details in the trail of a call that only validated a text.
pub(crate) const VALIDATE_ONLY: &str = "validate only";

/// The current key after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentKey {
    /// The fingerprint.
    pub fingerprint: Fingerprint,
    /// The version of the data key that seals.
    pub key_version: KeyVersion,
}

/// Records the refusal of a call in the organization's trail, and returns it. Used for refusals outside of use cases,
/// such as that of the layer that admits one call at a time.
///
/// # Errors
/// Always: the refusal, or an error if it can't be recorded.
pub async fn refuse<T>(deployment: &Deployment, by: &Attempt, error: KeyError) -> Result<T, KeyError> {
    let entry = entry(deployment, &by.organization, Some(&by.caller), by.action, Err(error.reason()));
    by.organization.record(entry).await.map_err(StoreFailure::unaudited)?;
    Err(error)
}

/// Records a refusal in the organization's trail, and returns the outcome.
pub(crate) async fn audited<T>(
    deployment: &Deployment,
    by: &Attempt,
    outcome: Result<T, KeyError>,
) -> Result<T, KeyError> {
    match outcome {
        Ok(answer) => Ok(answer),
        // After a failure of the store, no record can be written. The state is read from the ring.
        Err(error @ KeyError::Store(_)) => Err(error),
        Err(error) => refuse(deployment, by, error).await,
    }
}

/// Returns the audit record of a successful call, with the current key after it.
pub(crate) fn done(deployment: &Deployment, by: &Attempt, current: CurrentKey) -> AuditEntry {
    entry(deployment, &by.organization, Some(&by.caller), by.action, Ok(current))
}

/// Records a call that changed nothing, with the reason.
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
