//! Retrieve the key text: recorded in the trail before it is given.

use crate::{
    audit::entry::AuditAction,
    crypto::secret::KeyText,
    deployment::Deployment,
    identity::Caller,
    key::{
        error::KeyError,
        outcome::{CurrentKey, audited, entry},
    },
    organization::{handle::Organization, key_text::read_text, keys::Keys},
    policy::{self, Permit},
    store::StoreFailure,
};

/// The text that opens the organization's database, character for character as it was set, and which key it is.
///
/// # Errors
/// [`KeyError::NotPresent`], [`KeyError::RingDamaged`], [`KeyError::Inaccessible`], [`KeyError::Store`].
pub async fn retrieve(
    deployment: &Deployment,
    organization: &Organization,
    _permit: Permit<policy::RetrieveKey>,
    caller: &Caller,
) -> Result<(KeyText, CurrentKey), KeyError> {
    let outcome = attempt(deployment, organization, caller).await;
    audited(deployment, organization, caller, AuditAction::RetrieveKey, outcome).await
}

async fn attempt(
    deployment: &Deployment,
    organization: &Organization,
    caller: &Caller,
) -> Result<(KeyText, CurrentKey), KeyError> {
    let ring = match organization.load_keys(deployment).await? {
        Keys::Active(ring) => ring,
        Keys::Inactive(stored) => return Err(KeyError::NotPresent { wanted: stored.fingerprint() }),
        Keys::Inaccessible(obstacle, _) => return Err(KeyError::Inaccessible(obstacle)),
        Keys::Damaged => return Err(KeyError::RingDamaged),
    };
    let Some((text, _)) = read_text(deployment, organization.id, &ring.stored().check).await? else {
        return Err(KeyError::NotPresent { wanted: ring.fingerprint() });
    };
    let current = CurrentKey { fingerprint: ring.fingerprint(), key_version: ring.version() };
    let entry = entry(deployment, organization, Some(caller), AuditAction::RetrieveKey, Ok(current));
    organization.record(entry).await.map_err(StoreFailure::unaudited)?;
    Ok((text, current))
}
