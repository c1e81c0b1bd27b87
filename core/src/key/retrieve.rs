//! Retrieves the key text. It is recorded in the trail before it is returned.

use crate::{
    crypto::secret::KeyText,
    deployment::Deployment,
    key::{
        error::KeyError,
        outcome::{CurrentKey, audited, done},
    },
    organization::{key_text::read_text, keys::Keys},
    permit::{Attempt, Permit},
    policy,
    store::StoreFailure,
};

/// Returns the text of the organization's key exactly as it was set, and its fingerprint.
///
/// # Errors
/// [`KeyError::NotPresent`], [`KeyError::RingDamaged`], [`KeyError::Inaccessible`], [`KeyError::Store`].
pub async fn retrieve(
    deployment: &Deployment,
    permit: Permit<policy::RetrieveKey>,
) -> Result<(KeyText, CurrentKey), KeyError> {
    let by = permit.attempt();
    let outcome = attempt(deployment, &by).await;
    audited(deployment, &by, outcome).await
}

async fn attempt(deployment: &Deployment, by: &Attempt) -> Result<(KeyText, CurrentKey), KeyError> {
    let organization = &by.organization;
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
    organization.record(done(deployment, by, current)).await.map_err(StoreFailure::unaudited)?;
    Ok((text, current))
}
