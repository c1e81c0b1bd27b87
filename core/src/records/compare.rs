//! Compare an encrypted attribute with a value: is this the one that is stored, yes or no, without giving it.
//!
//! A comparison is a guess, so that each is recorded like a reveal, and there are so many for one attribute of one record in an interval.
//! They are counted in the audit trail: a restart forgets none. Compared are hashes, in constant time, so that neither a time nor a
//! length tells how near a guess is.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::reveal::{check, read_and_open, refusal_word};
use crate::{
    audit::{AUDIT_TABLE, AuditAction, AuditEntry, OUTCOME_DONE},
    crypto::secret::Plaintext,
    deployment::Deployment,
    identity::Caller,
    policy::{self, Permit},
    records::{Place, RecordError, record_access},
    store::{Condition, Datum},
};

/// Over how long comparisons are counted.
pub const INTERVAL_SECONDS: u32 = 900;

/// Whether the attribute has this value. One that is null has none.
///
/// # Errors
/// See [`RecordError`]; the refusal of a call that is well formed is in the trail too, but that there were too many.
pub async fn compare(
    deployment: &Deployment,
    _permit: Permit<policy::Compare>,
    caller: &Caller,
    place: &Place,
    attribute: &str,
    given: &Plaintext,
    purpose: &str,
) -> Result<bool, RecordError> {
    let name = [attribute.to_owned()];
    let wanted = check(place, &name, purpose)?;
    let limit = u64::from(deployment.key_limits.comparisons_per_quarter_hour);
    if limit > 0 && counted(deployment, place, attribute).await? >= limit {
        return Err(too_many(limit));
    }
    let outcome = read_and_open(deployment, place, &wanted).await.map(|values| {
        let stored = values.get(attribute).map(|value| Sha256::digest(value.plaintext.expose()));
        stored.is_some_and(|stored| stored.ct_eq(&Sha256::digest(given.expose())).into())
    });
    let entry = AuditEntry {
        caller: Some(caller.clone()),
        outcome: outcome.as_ref().map_or_else(refusal_word, |_| OUTCOME_DONE),
        attributes: Some(attribute.to_owned()),
        purpose: Some(purpose.to_owned()),
        details: outcome.as_ref().ok().map(|equal| if *equal { "equal" } else { "different" }.to_owned()),
        ..AuditEntry::done(deployment.now(), AuditAction::CompareAttribute, place.resource_name())
    };
    record_access(place, entry).await?;
    // Again, with this one: of many at once no more than the limit learn something.
    if limit > 0 && counted(deployment, place, attribute).await? > limit {
        return Err(too_many(limit));
    }
    outcome
}

fn too_many(limit: u64) -> RecordError {
    RecordError::ComparisonQuota { limit, retry_after_seconds: INTERVAL_SECONDS }
}

/// How often this attribute of this record was compared in the interval that ends now.
async fn counted(deployment: &Deployment, place: &Place, attribute: &str) -> Result<u64, RecordError> {
    let begin = deployment.seconds_ago(INTERVAL_SECONDS.into());
    let rows = Condition::greater("time", Datum::Time(begin))
        .and(Condition::equal("action", Datum::Text(AuditAction::CompareAttribute.name().to_owned())))
        .and(Condition::equal("subject", Datum::Text(place.resource_name())))
        .and(Condition::equal("attributes", Datum::Text(attribute.to_owned())))
        .and(Condition::equal("outcome", Datum::Text(OUTCOME_DONE.to_owned())));
    Ok(place.organization.store.count(AUDIT_TABLE.into(), rows).await?)
}
