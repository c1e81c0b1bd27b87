//! Destroys data keys that were kept for unreadable cells, when no such cell needs them.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    audit::entry::AuditAction,
    crypto::ring::{KeyRing, stored::ReencryptionState},
    deployment::Deployment,
    fail_point::FailPoint,
    id::KeyVersion,
    key::{
        outcome::{CurrentKey, entry},
        scan::all_set_aside,
        unreadable::SetAside,
    },
    organization::{handle::Organization, keys::Keys, ring_rows, work::KeyWork},
    store::{Step, StoreFailure, Unavailable},
};

/// Returns whether the ring keeps data keys only for unreadable cells, according to the state in memory.
#[must_use]
pub fn keeps_former_keys(organization: &Organization) -> bool {
    matches!(organization.keys(), Some(Keys::Active(ring)) if keeps(&ring))
}

fn keeps(ring: &KeyRing) -> bool {
    ring.reencryption().state == ReencryptionState::Idle && ring.stored().keys.len() > 1
}

/// Returns whether a kept data key is no longer needed by any unreadable cell, according to the state in memory.
///
/// # Errors
/// If the database is unavailable.
pub async fn is_healed(organization: &Organization) -> Result<bool, Unavailable> {
    match organization.keys() {
        Some(Keys::Active(ring)) if keeps(&ring) => {
            let needed = SetAside::read(&*organization.store).await?.needed(&ring);
            Ok(unneeded(&ring, &needed))
        }
        Some(Keys::Active(_) | Keys::Inactive(_) | Keys::Inaccessible(..) | Keys::Damaged) | None => Ok(false),
    }
}

fn unneeded(ring: &KeyRing, needed: &BTreeSet<KeyVersion>) -> bool {
    ring.stored().keys.iter().any(|key| key.version != ring.version() && !needed.contains(&key.version))
}

/// Destroys the kept data keys that no unreadable cell needs. A full scan verifies this first.
///
/// # Errors
/// [`StoreFailure`]. It can be repeated.
pub async fn retire(deployment: &Deployment, work: &KeyWork) -> Result<(), StoreFailure> {
    let organization = &**work.organization();
    let Keys::Active(ring) = organization.load_keys(deployment).await? else { return Ok(()) };
    let store = &*organization.store;
    let aside = SetAside::read(store).await?;
    let needed = aside.needed(&ring);
    if !keeps(&ring) || !unneeded(&ring, &needed) || !all_set_aside(store, ring.version(), &aside).await? {
        return Ok(());
    }
    let retired = ring.retire(&needed, &*deployment.ports.random).map_err(StoreFailure::internal)?;
    let key = CurrentKey { fingerprint: retired.fingerprint(), key_version: retired.version() };
    let mut steps = ring_rows::replace(ring.revision(), retired.stored());
    steps.push(Step::Audit(entry(deployment, organization, None, AuditAction::DestroyDataKeys, Ok(key))));
    organization.commit(steps).await?;
    deployment.reached(FailPoint::KeptKeysDestroyed);
    organization.set_keys(Keys::Active(Arc::new(retired)));
    Ok(store.scrub().await?)
}
