//! Destroys data keys that were kept for unreadable cells, once no such cell needs them.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    audit::entry::AuditAction,
    crypto::ring::{KeyRing, stored::ReencryptionState},
    deployment::Deployment,
    fail_point::FailPoint,
    id::KeyVersion,
    key::{
        outcome::{CurrentKey, entry},
        scan::all_aside,
        unreadable::Aside,
    },
    organization::{handle::Organization, keys::Keys, ring_rows, work::KeyWork},
    store::{Step, StoreFailure, Unavailable},
};

/// Whether the ring, as far as is known without looking again, keeps data keys for nothing but unreadable cells.
#[must_use]
pub fn keeps_former_keys(organization: &Organization) -> bool {
    matches!(organization.keys(), Some(Keys::Active(ring)) if keeps(&ring))
}

fn keeps(ring: &KeyRing) -> bool {
    ring.reencryption().state == ReencryptionState::Idle && ring.stored().keys.len() > 1
}

/// Whether a data key is kept that no unreadable cell needs any more, as far as is known without looking again.
///
/// # Errors
/// If the database doesn't answer.
pub async fn is_healed(organization: &Organization) -> Result<bool, Unavailable> {
    match organization.keys() {
        Some(Keys::Active(ring)) if keeps(&ring) => {
            let needed = Aside::read(&*organization.store).await?.needed(&ring);
            Ok(unneeded(&ring, &needed))
        }
        Some(Keys::Active(_) | Keys::Inactive(_) | Keys::Inaccessible(..) | Keys::Damaged) | None => Ok(false),
    }
}

fn unneeded(ring: &KeyRing, needed: &BTreeSet<KeyVersion>) -> bool {
    ring.stored().keys.iter().any(|key| key.version != ring.version() && !needed.contains(&key.version))
}

/// Destroys the data keys that were kept for unreadable cells and that none needs any more. A full scan makes sure of it.
///
/// # Errors
/// [`StoreFailure`]: it can be done again.
pub async fn retire(deployment: &Deployment, work: &KeyWork) -> Result<(), StoreFailure> {
    let organization = &**work.organization();
    let Keys::Active(ring) = organization.load_keys(deployment).await? else { return Ok(()) };
    let store = &*organization.store;
    let aside = Aside::read(store).await?;
    let needed = aside.needed(&ring);
    if !keeps(&ring) || !unneeded(&ring, &needed) || !all_aside(store, ring.version(), &aside).await? {
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
