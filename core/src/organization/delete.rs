//! Delete an organization: its keys first, so that nothing can be opened any more, then its data.
//!
//! The order of writes lets a start finish what a crash left half-way: the row *deleting* with the audit record, from where there is no
//! way back; the ring, and the key texts; the database; a tombstone in the place of the row, which keeps a copy that is found later from
//! coming back by itself.

use crate::{
    audit::entry::AuditEntry,
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

/// Deletes the organization that is worked on. When this returns, nothing of it is left but a tombstone.
///
/// # Errors
/// [`StoreFailure`]: from the first commit on the organization is served no more, and the next start
/// finishes.
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
    let begin = vec![row.become_state(STATE_DELETING, &*deployment.ports.root_key)?, Step::Audit(entry)];
    deployment.ports.configuration.commit(Commit::of(begin)).await?;
    deployment.reached(FailPoint::DeleteStarted);
    deployment.dismiss(&row.name);
    let (lock, _at_work) = work.into_parts();
    Ok(finish(deployment, &row, lock).await?)
}

/// Does what is left to do once the row says *deleting*. Each step may have been done before. The lock goes last, with its file.
///
/// # Errors
/// What failed; all of it can be done again.
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
        // One that can't be opened is removed as it is.
        Err(OpenError::Missing | OpenError::Unavailable(_) | OpenError::OtherInside) => {}
    }
    ports.configuration.commit(Commit::of(vec![KeyTextRow::delete(KeyTextRow::organization().is(id))])).await?;
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
    ports.configuration.commit(Commit::of(end)).await?;
    deployment.reached(FailPoint::DeleteDone);
    // What is left of it now is the file of a lock that nobody has: a start removes those too.
    let _left = lock.discard().await;
    Ok(())
}
