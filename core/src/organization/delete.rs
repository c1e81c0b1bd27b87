//! Delete an organization: its keys first, so that nothing can be opened any more, then its data.
//!
//! The order of writes lets a start finish what a crash left half-way: the row *deleting* with the audit record, from where there is no
//! way back; the ring, and the key texts; the database; a tombstone in the place of the row, which keeps a copy that is found later from
//! coming back by itself.

use super::create::STATE_DELETING;
use crate::{
    audit::{AuditAction, AuditEntry},
    deployment::{Deployment, of_organization},
    fail_point::FailPoint,
    id::OrganizationId,
    identity::Caller,
    key::{KeyError, KeyWork},
    layout::{DATA_KEY, FINGERPRINT, KEY_RING, KEY_TEXT, ORGANIZATIONS, SEEN, TOMBSTONE},
    policy::{self, Permit},
    store::{Assignment, Commit, CommitError, Condition, Datum, Expect, OpenError, Step, Unavailable},
};

/// Deletes the organization that is worked on. When this returns, nothing of it is left but a tombstone.
///
/// # Errors
/// [`KeyError::Unavailable`] or [`KeyError::Unknown`]: from the first commit on the organization is served no more, and the next start
/// finishes.
pub async fn delete(
    deployment: &Deployment,
    work: KeyWork,
    _permit: Permit<policy::DeleteOrganization>,
    caller: &Caller,
) -> Result<(), KeyError> {
    let organization = work.organization();
    let (id, name) = (organization.id, organization.name.clone());
    let entry = AuditEntry {
        caller: Some(caller.clone()),
        ..AuditEntry::done(deployment.now(), AuditAction::DeleteOrganization, organization.resource_name())
    };
    let begin = vec![
        Step::Update {
            table: ORGANIZATIONS.into(),
            rows: is_row(id),
            set: vec![Assignment::Set("state".into(), Datum::Text(STATE_DELETING.to_owned()))],
            expect: Expect::One,
        },
        Step::Audit(entry),
    ];
    deployment.ports.configuration.commit(Commit::of(begin)).await?;
    deployment.reached(FailPoint::DeleteBegun);
    deployment.dismiss(&name);
    Ok(finish(deployment, id, &name).await?)
}

/// Does what is left to do once the row says *deleting*. Each step may have been done before.
///
/// # Errors
/// What failed; all of it can be done again.
pub(super) async fn finish(deployment: &Deployment, id: OrganizationId, name: &str) -> Result<(), CommitError> {
    let ports = &deployment.ports;
    let all = |table: &'static str, rows| Step::Delete { table: table.into(), rows, expect: Expect::Any };
    let unavailable = |Unavailable(cause)| CommitError::Unavailable(cause);
    match ports.databases.open(id).await {
        Ok(store) => {
            let keys = [KEY_RING, DATA_KEY].map(|table| all(table, Condition::EVERYTHING));
            store.commit(Commit::of(keys.into())).await?;
            store.scrub().await.map_err(unavailable)?;
            deployment.reached(FailPoint::RingDestroyed);
        }
        // One that can't be opened is removed as it is.
        Err(OpenError::Missing | OpenError::Unavailable(_)) => {}
    }
    ports.configuration.commit(Commit::of(vec![all(KEY_TEXT, of_organization(id))])).await?;
    ports.configuration.scrub().await.map_err(unavailable)?;
    deployment.reached(FailPoint::DeletedTextsForgotten);
    ports.databases.remove(id).await.map_err(unavailable)?;
    deployment.reached(FailPoint::DatabaseRemoved);
    let end = vec![
        all(ORGANIZATIONS, is_row(id)),
        all(FINGERPRINT, of_organization(id)),
        all(SEEN, of_organization(id)),
        all(TOMBSTONE, of_organization(id)),
        Step::Insert {
            table: TOMBSTONE.into(),
            row: vec![
                ("organization".into(), Datum::Uuid(id.uuid())),
                ("name".into(), Datum::Text(name.to_owned())),
                ("time".into(), Datum::Time(deployment.now())),
            ],
        },
    ];
    ports.configuration.commit(Commit::of(end)).await?;
    deployment.reached(FailPoint::DeleteDone);
    Ok(())
}

fn is_row(id: OrganizationId) -> Condition {
    Condition::equal("id", Datum::Uuid(id.uuid()))
}
