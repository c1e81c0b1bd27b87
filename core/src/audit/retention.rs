//! Retention: records that are older than a deployment keeps them go, from the old end of its own chain, and up to a signed head only.
//!
//! That they go is recorded in the same commit that takes the first of them, so that a verification knows where the trail begins. Chains of
//! other writers stay: this deployment can't vouch for them.

use crate::{
    audit::{
        entry::{AuditAction, AuditEntry},
        record::AUDIT_TABLE,
        sign::{SignError, use_signing_key},
    },
    configuration::deployment_id,
    deployment::Deployment,
    id::Timestamp,
    layout::AUDIT_HEAD,
    organization::handle::Organization,
    store::{Commit, Comparison, Condition, Datum, Direction, Expect, Name, Reader, Select, Step, Store, Unavailable},
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
    let of_writer = || Condition::equal("writer", Datum::Uuid(writer));
    let older = |column| Condition::Compare {
        column: Name::Borrowed(column),
        comparison: Comparison::Less,
        value: Datum::Time(before),
    };
    // The last head whose record, and so every one before it, is old enough: a head is signed after its record.
    let Some(through) = sequence(store, AUDIT_HEAD, of_writer().and(older("time")), Direction::Descending).await?
    else {
        return Ok(0);
    };
    let Some(first) = sequence(store, AUDIT_TABLE, of_writer(), Direction::Ascending).await? else { return Ok(0) };
    if first > through {
        return Ok(0);
    }
    let up_to = |sequence| {
        of_writer().and(Condition::Compare {
            column: "sequence".into(),
            comparison: Comparison::LessOrEqual,
            value: Datum::Integer(sequence),
        })
    };
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
        for table in [AUDIT_TABLE, AUDIT_HEAD] {
            // The head at the cut stays: it vouches for the record after it.
            let last = if table == AUDIT_HEAD { last.min(through - 1) } else { last };
            steps.push(Step::Delete { table: table.into(), rows: up_to(last), expect: Expect::Any });
        }
        store.commit(Commit::of(steps)).await?;
        next = last.saturating_add(1);
    }
    Ok(u64::try_from(through - first + 1).unwrap_or_default())
}

async fn sequence(
    store: &dyn Reader,
    table: &'static str,
    rows: Condition,
    direction: Direction,
) -> Result<Option<i64>, Unavailable> {
    let select = Select {
        table: table.into(),
        columns: vec!["sequence".into()],
        rows,
        order: vec![("sequence".into(), direction)],
        limit: 1,
    };
    Ok(match store.select(select).await?.into_iter().next().as_deref() {
        Some([Datum::Integer(sequence)]) => Some(*sequence),
        Some(_) | None => None,
    })
}
