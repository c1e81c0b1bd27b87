//! Retention: records that are older than a deployment keeps them go, from the old end of its own chain, and up to a signed head only.
//!
//! That they go is recorded in the same commit that takes the first of them, so that a verification knows where the trail begins. Chains of
//! other writers stay: this deployment can't vouch for them.

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

/// How many go in one commit: no writer waits for long.
const BATCH: i64 = 1_000;

/// What the details of the record of a cut begin with; the place of the last record that goes follows.
const THROUGH: &str = "through ";

/// The place of the last record that went with the cut of these details.
pub(super) fn cut_through(details: &str) -> Option<i64> {
    details.strip_prefix(THROUGH)?.parse().ok()
}

/// Cuts an organization's trail: what is older than `before` goes, as far as a head was signed since. Tells how many went.
///
/// # Errors
/// If a database doesn't answer; the next try goes on.
pub async fn cut_organization(
    deployment: &Deployment,
    organization: &Organization,
    before: Timestamp,
) -> Result<u64, SignError> {
    cut(deployment, &*organization.store, organization.resource_name(), before).await
}

/// Cuts the deployment's own trail, in the same way.
///
/// # Errors
/// If the configuration database doesn't answer.
pub async fn cut_deployment(deployment: &Deployment, before: Timestamp) -> Result<u64, SignError> {
    cut(deployment, &*deployment.ports.configuration, "organizations".to_owned(), before).await
}

async fn cut(deployment: &Deployment, store: &dyn Store, subject: String, before: Timestamp) -> Result<u64, SignError> {
    let writer = deployment_id(&*deployment.ports.configuration).await?;
    let older = SignedHead::time().compares(Comparison::Less, before);
    // The last head whose record, and so every one before it, is old enough: a head is signed after its record.
    let heads = SignedHead::writer().is(writer).and(older);
    let place = SignedHead::sequence();
    let Some(through) = sequence(store, &place, heads, place.descending()).await? else { return Ok(0) };
    let place = AuditRecord::sequence();
    let records = AuditRecord::writer().is(writer);
    let Some(first) = sequence(store, &place, records, place.ascending()).await? else { return Ok(0) };
    if first > through {
        return Ok(0);
    }
    let entry = AuditEntry {
        details: Some(format!("{THROUGH}{through}")),
        ..AuditEntry::done(deployment.now(), AuditAction::CutAuditTrail, subject.clone())
    };
    // The record that names the key may be among those that go.
    let mut first_steps = vec![Step::Audit(entry), Step::Audit(use_signing_key(deployment, writer, subject)?)];
    let mut next = first;
    while next <= through {
        let last = next.saturating_add(BATCH - 1).min(through);
        let mut steps = std::mem::take(&mut first_steps);
        let up_to = AuditRecord::sequence().compares(Comparison::LessOrEqual, last);
        steps.push(AuditRecord::delete(AuditRecord::writer().is(writer).and(up_to)));
        // The head at the cut stays: it vouches for the record after it.
        let up_to = SignedHead::sequence().compares(Comparison::LessOrEqual, last.min(through - 1));
        steps.push(SignedHead::delete(SignedHead::writer().is(writer).and(up_to)));
        store.commit(Commit::of(steps)).await?;
        next = last.saturating_add(1);
    }
    Ok(u64::try_from(through - first + 1).unwrap_or_default())
}

/// The first number of this column, in this order, among these rows.
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
