//! Retrieve the key text: recorded in the trail before it is given.

use crate::{
    audit::AuditAction,
    crypto::secret::KeyText,
    deployment::Deployment,
    identity::Caller,
    key::{CurrentKey, KeyError, entry, refuse},
    organization::{Keys, Organization, read_text},
    policy::{self, Permit},
};

/// The text that opens the organization's database, character for character as it was set, and which key it is.
///
/// # Errors
/// [`KeyError::NotPresent`], [`KeyError::RingDamaged`], [`KeyError::AuditUnavailable`], [`KeyError::Unavailable`].
pub async fn retrieve(
    deployment: &Deployment,
    organization: &Organization,
    _permit: Permit<policy::RetrieveKey>,
    caller: &Caller,
) -> Result<(KeyText, CurrentKey), KeyError> {
    let action = AuditAction::RetrieveKey;
    let ring = match organization.load_keys(deployment).await? {
        Keys::Active(ring) => ring,
        Keys::Inactive(stored) => {
            let wanted = stored.fingerprint();
            return refuse(deployment, organization, caller, action, KeyError::NotPresent { wanted }).await;
        }
        Keys::Damaged => return refuse(deployment, organization, caller, action, KeyError::RingDamaged).await,
    };
    let Some((text, _)) = read_text(deployment, organization.id, &ring.stored().check).await? else {
        let wanted = ring.fingerprint();
        return refuse(deployment, organization, caller, action, KeyError::NotPresent { wanted }).await;
    };
    let current = CurrentKey { fingerprint: ring.fingerprint(), key_version: ring.version() };
    let entry = entry(deployment, organization, Some(caller), action, Ok(current));
    organization.record(entry).await.map_err(KeyError::unaudited)?;
    Ok((text, current))
}
