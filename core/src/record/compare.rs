//! Compares an encrypted attribute with a value, without revealing the stored value.
//!
//! A comparison is a guess. Each one is therefore recorded like a reveal, and their number per attribute and record is
//! limited in an interval. A comparison is reserved before the cell is opened, so that concurrent calls can't exceed
//! the limit. A comparison over the limit opens nothing and isn't recorded. The count comes from the audit trail and
//! survives a restart. The comparison uses hashes and constant time, so that its duration depends neither on the length
//! nor on matching bytes.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    audit::entry::{AuditEntry, OUTCOME_DONE},
    crypto::secret::Plaintext,
    deployment::Deployment,
    id::{RecordId, Timestamp},
    organization::comparisons::{INTERVAL_SECONDS, Reservation, Reserved},
    permit::Permit,
    policy::{self, Recorded as _},
    record::{
        error::{RecordError, exhausted},
        place::RecordPlace,
        reveal::{check, read_and_open, record_access, refusal_word},
    },
    schema::entity::Entity,
    store::Unavailable,
    table::{audit::AuditRecord, declare::read_each},
};

/// Returns whether the attribute has this value. A null attribute has no value.
///
/// # Errors
/// See [`RecordError`]. The refusal of a well-formed call is recorded in the trail, except
/// [`RecordError::ComparisonQuota`].
pub async fn compare(
    deployment: &Deployment,
    permit: Permit<policy::Compare>,
    (entity, id): (&Arc<Entity>, RecordId),
    attribute: &str,
    given: &Plaintext,
    purpose: &str,
) -> Result<bool, RecordError> {
    let place = &permit.record_of(entity, id);
    let name = [attribute.to_owned()];
    let wanted = check(place, &name, purpose)?;
    let limit = deployment.key_limits.comparisons_per_quarter_hour;
    let reservation = if limit > 0 { Some(reserve(deployment, place, attribute, limit).await?) } else { None };
    let outcome = read_and_open(deployment, place, &wanted).await.map(|values| {
        let stored = values.get(attribute).map(|value| Sha256::digest(value.plaintext.expose()));
        stored.is_some_and(|stored| stored.ct_eq(&Sha256::digest(given.expose())).into())
    });
    let entry = AuditEntry {
        caller: Some(permit.caller().clone()),
        outcome: outcome.as_ref().map_or_else(refusal_word, |_| OUTCOME_DONE),
        attributes: Some(attribute.to_owned()),
        purpose: Some(purpose.to_owned()),
        details: outcome.as_ref().ok().map(|equal| if *equal { "equal" } else { "different" }.to_owned()),
        ..AuditEntry::done(deployment.now(), policy::Compare::AUDIT, place.resource_name())
    };
    let time = entry.time;
    record_access(place, entry).await?;
    if let (Some(reservation), Ok(_)) = (reservation, &outcome) {
        reservation.spend(time);
    }
    outcome
}

/// Reserves one comparison. Earlier comparisons from before the start of this process are read from the trail.
pub(crate) async fn reserve<'a>(
    deployment: &Deployment,
    place: &'a RecordPlace,
    attribute: &str,
    limit: u32,
) -> Result<Reservation<'a>, RecordError> {
    let comparisons = &place.organization.comparisons;
    let key = (place.entity.storage_name.to_string(), place.id, attribute.to_owned());
    for _ in 0..LOADS_MAX {
        match comparisons.reserve(&key, deployment.now(), limit) {
            Reserved::Place => return Ok(Reservation { comparisons, key }),
            Reserved::Full { retry_after_seconds } => {
                return Err(RecordError::ComparisonQuota { limit: limit.into(), retry_after_seconds });
            }
            Reserved::NotLoaded => {
                let times = recorded(deployment, place, attribute).await?;
                comparisons.load(&key, times);
            }
        }
    }
    Err(exhausted())
}

/// The maximum number of loads of a window for one call. Other calls can evict it from memory in the meantime.
const LOADS_MAX: usize = 8;

/// Reads from the trail the times of comparisons of this attribute and record in the current interval.
async fn recorded(
    deployment: &Deployment,
    place: &RecordPlace,
    attribute: &str,
) -> Result<Vec<Timestamp>, Unavailable> {
    let begin = deployment.seconds_ago(INTERVAL_SECONDS.into());
    let compared = AuditRecord::time()
        .exceeds(begin)
        .and(AuditRecord::action().is(policy::Compare::AUDIT.name().to_owned()))
        .and(AuditRecord::subject().is(place.resource_name()))
        .and(AuditRecord::attributes().is(Some(attribute.to_owned())))
        .and(AuditRecord::outcome().is(OUTCOME_DONE.to_owned()));
    let found = read_each(&*place.organization.store, AuditRecord::time(), compared).await?;
    Ok(found.into_iter().flatten().collect())
}
