//! Deletes an organization: first its keys, so that nothing can be opened, then its data.
//!
//! The order of writes allows a start to complete an interrupted deletion: the row *deleting* with the audit record,
//! which is the point of no return; the ring and the key texts; the database; a tombstone, which replaces the row. The
//! tombstone prevents that a copy of the database, found later, is registered automatically.

use crate::{
    audit::entry::AuditEntry,
    configuration::require_root_key,
    deployment::Deployment,
    fail_point::FailPoint,
    organization::row::{Row, STATE_DELETING, STATE_READY},
    permit::PermittedWork,
    policy,
    port::OrganizationLock,
    store::{Commit, CommitError, Condition, Expect, OpenError, Step, StoreFailure, Unavailable},
    table::{
        configuration::{FingerprintRow, KeyTextRow, SeenRow, TombstoneRow},
        declare::TableRow as _,
        key::{DataKeyRow, KeyRingRow},
    },
};

/// Deletes the organization of this work. Afterwards only a tombstone is left.
///
/// # Errors
/// [`StoreFailure`]. After the first commit, the organization is no longer served, and the next start completes the
/// deletion.
pub async fn delete(
    deployment: &Deployment,
    work: PermittedWork<policy::DeleteOrganization>,
) -> Result<(), StoreFailure> {
    let (by, work) = work.spend();
    let organization = work.organization();
    let row = Row {
        name: organization.name.clone(),
        id: organization.id,
        state: STATE_READY.to_owned(),
        create_time: organization.create_time,
    };
    let entry = AuditEntry {
        caller: Some(by.caller),
        ..AuditEntry::done(deployment.now(), by.action, organization.resource_name())
    };
    let root_key = &*deployment.ports.root_key;
    let deleting = row.become_deleting(root_key)?;
    let begin = vec![require_root_key(root_key)?, deleting, Step::Audit(entry)];
    deployment.ports.configuration.commit(Commit::under_lock(organization.id, begin)).await?;
    deployment.reached(FailPoint::DeleteStarted);
    deployment.dismiss(&row.name);
    let (lock, _at_work) = work.into_parts();
    let row = Row { state: STATE_DELETING.to_owned(), ..row };
    Ok(finish(deployment, &row, lock).await?)
}

/// Completes the deletion after the row *deleting*, which this is, was written. Each step may already be done. The lock is released
/// last, with its file.
///
/// # Errors
/// [`StoreFailure`]. Everything can be repeated.
pub(super) async fn finish(
    deployment: &Deployment,
    row: &Row,
    lock: Box<dyn OrganizationLock>,
) -> Result<(), CommitError> {
    let (ports, id) = (&deployment.ports, row.id);
    let unavailable = |Unavailable(cause)| CommitError::Unavailable(cause);
    match ports.databases.open(id).await {
        Ok(store) => {
            let keys = vec![KeyRingRow::delete(Condition::EVERYTHING), DataKeyRow::delete(Condition::EVERYTHING)];
            store.commit(Commit::of(keys)).await?;
            store.scrub().await.map_err(unavailable)?;
            deployment.reached(FailPoint::RingDestroyed);
        }
        // A database that can't be opened is removed unopened.
        Err(OpenError::Missing | OpenError::Unavailable(_) | OpenError::WrongOrganization) => {}
    }
    let forget = vec![KeyTextRow::delete(KeyTextRow::organization().is(id))];
    ports.configuration.commit(Commit::under_lock(id, forget)).await?;
    ports.configuration.scrub().await.map_err(unavailable)?;
    deployment.reached(FailPoint::DeletedTextsForgotten);
    ports.databases.remove(id).await.map_err(unavailable)?;
    deployment.reached(FailPoint::DatabaseRemoved);
    let end = vec![
        row.unlist(Expect::Any),
        FingerprintRow::delete(FingerprintRow::organization().is(id)),
        SeenRow::delete(SeenRow::organization().is(id)),
        TombstoneRow::delete(TombstoneRow::organization().is(id)),
        TombstoneRow { organization: id, name: row.name.clone(), time: deployment.now() }.insert(),
    ];
    ports.configuration.commit(Commit::under_lock(id, end)).await?;
    deployment.reached(FailPoint::DeleteDone);
    // Only an unused lock file can be left, which the next start removes.
    let _left = lock.discard().await;
    Ok(())
}
