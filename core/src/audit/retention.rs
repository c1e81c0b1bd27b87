//! Retention: removes records that are older than the configured age from the old end of the deployment's own chain, up
//! to a signed head.
//!
//! The removal is recorded in the commit that removes the first records, so that a verification knows where the trail
//! begins. Chains of other writers stay, because this deployment can't vouch for them.

use crate::{
    audit::{
        entry::{AuditAction, AuditEntry},
        sign::{SignError, use_signing_key},
    },
    configuration::deployment_id,
    deployment::Deployment,
    id::Timestamp,
    organization::handle::Organization,
    store::{Commit, Comparison, Condition, Direction, Name, Reader, Select, Step, Store, Unavailable},
    table::{
        audit::{AuditRecord, SignedHead},
        declare::{Columns as _, TableColumn, TableRow},
    },
};

/// The number of records removed in one commit, which limits the wait of other writers.
const BATCH: i64 = 1_000;

/// The prefix in the details of a record of a removal. The position of the last removed record follows.
const THROUGH: &str = "through ";

/// Returns the position of the last removed record from the details of such a record.
pub(super) fn cut_through(details: &str) -> Option<i64> {
    details.strip_prefix(THROUGH)?.parse().ok()
}

/// Removes the records of an organization's trail that are older than `before`, up to the last signed head of that age.
/// Returns the number of removed records.
///
/// # Errors
/// If a database is unavailable. The next attempt continues.
pub async fn cut_organization(
    deployment: &Deployment,
    organization: &Organization,
    before: Timestamp,
) -> Result<u64, SignError> {
    cut(deployment, &*organization.store, organization.resource_name(), before).await
}

/// Removes old records of the deployment's own trail in the same way.
///
/// # Errors
/// If the configuration database is unavailable.
pub async fn cut_deployment(deployment: &Deployment, before: Timestamp) -> Result<u64, SignError> {
    cut(deployment, &*deployment.ports.configuration, "organizations".to_owned(), before).await
}

async fn cut(deployment: &Deployment, store: &dyn Store, subject: String, before: Timestamp) -> Result<u64, SignError> {
    let writer = deployment_id(&*deployment.ports.configuration).await?;
    let older = SignedHead::time().compares(Comparison::Less, before);
    // The last head that is old enough. A head is signed after its record, so that record and all earlier ones are old
    // enough too.
    let heads = SignedHead::writer().is(writer).and(older);
    let position = SignedHead::sequence();
    let Some(through) = sequence(store, &position, heads, position.descending()).await? else { return Ok(0) };
    let position = AuditRecord::sequence();
    let records = AuditRecord::writer().is(writer);
    let Some(first) = sequence(store, &position, records, position.ascending()).await? else { return Ok(0) };
    if first > through {
        return Ok(0);
    }
    let entry = AuditEntry {
        details: Some(format!("{THROUGH}{through}")),
        ..AuditEntry::done(deployment.now(), AuditAction::CutAuditTrail, subject.clone())
    };
    // The record of the public key may be among the removed ones, so it is written again.
    let mut first_steps = vec![Step::Audit(entry), Step::Audit(use_signing_key(deployment, writer, subject)?)];
    let mut next = first;
    while next <= through {
        let last = next.saturating_add(BATCH - 1).min(through);
        let mut steps = std::mem::take(&mut first_steps);
        let up_to = AuditRecord::sequence().compares(Comparison::LessOrEqual, last);
        steps.push(AuditRecord::delete(AuditRecord::writer().is(writer).and(up_to)));
        // The head of the last removed record stays: it vouches for the next record.
        let up_to = SignedHead::sequence().compares(Comparison::LessOrEqual, last.min(through - 1));
        steps.push(SignedHead::delete(SignedHead::writer().is(writer).and(up_to)));
        store.commit(Commit::of(steps)).await?;
        next = last.saturating_add(1);
    }
    Ok(u64::try_from(through - first + 1).unwrap_or_default())
}

/// Reads the first value of this column in this order, among these rows.
async fn sequence<R: TableRow>(
    store: &dyn Reader,
    column: &TableColumn<R, i64>,
    rows: Condition,
    order: (Name, Direction),
) -> Result<Option<i64>, Unavailable> {
    let select = Select { order: vec![order], limit: 1, ..column.select(rows) };
    let first = store.select(select).await?.into_iter().next();
    Ok(first.and_then(|row| column.values(row).ok()))
}
