//! Compares an encrypted attribute with a value, without revealing the stored value.
//!
//! A comparison is a guess. Each one is therefore recorded like a reveal, and their number per attribute and record is
//! limited in an interval. The result is disclosed only after a commit that records it and takes one of as many places as
//! the limit allows, so that concurrent calls can't exceed the limit, at any server. A comparison over the limit opens
//! nothing and isn't recorded. The comparison uses hashes and constant time, so that its duration depends neither on the
//! length nor on matching bytes.

use std::{collections::HashMap, sync::Arc};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    audit::entry::{AuditEntry, OUTCOME_DONE},
    crypto::secret::Plaintext,
    deployment::Deployment,
    id::{RecordId, Timestamp},
    permit::Permit,
    policy::{self, Recorded as _},
    random,
    record::{
        error::{RecordError, exhausted},
        place::RecordPlace,
        reveal::{check, read_and_open, record_access, refusal_word},
    },
    schema::entity::Entity,
    store::{CommitError, Comparison, Condition, Expect, Step, StoreFailure},
    table::{
        declare::{TableRow as _, read},
        record::ComparisonRow,
    },
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
    let places = Places { place, attribute, limit };
    let mut free = if limit > 0 { Some(places.free(deployment).await?) } else { None };
    let outcome = read_and_open(deployment, place, &wanted).await.map(|values| {
        let stored = values.get(attribute).map(|value| Sha256::digest(value.plaintext.expose()));
        stored.is_some_and(|stored| stored.ct_eq(&Sha256::digest(given.expose())).into())
    });
    let entry = || AuditEntry {
        caller: Some(permit.caller().clone()),
        outcome: outcome.as_ref().map_or_else(refusal_word, |_| OUTCOME_DONE),
        attributes: Some(attribute.to_owned()),
        purpose: Some(purpose.to_owned()),
        details: outcome.as_ref().ok().map(|equal| if *equal { "equal" } else { "different" }.to_owned()),
        ..AuditEntry::done(deployment.now(), policy::Compare::AUDIT, place.resource_name())
    };
    // A comparison without a result isn't a guess.
    if outcome.is_err() {
        free = None;
    }
    for _ in 0..ATTEMPTS_MAX {
        let Some(place) = free else {
            record_access(places.place, entry()).await?;
            return outcome;
        };
        match places.take(deployment, place, entry()).await {
            Ok(()) => return outcome,
            // Another comparison has taken it.
            Err(CommitError::Refused { .. }) => free = Some(places.free(deployment).await?),
            Err(error) => return Err(StoreFailure::unaudited(error).into()),
        }
    }
    Err(exhausted())
}

/// The interval in which comparisons are counted.
pub const INTERVAL_SECONDS: u32 = 900;

const INTERVAL_US: i64 = 900 * 1_000_000;

/// The maximum number of attempts to take a place. Each fails only if another comparison succeeds.
const ATTEMPTS_MAX: u32 = 100;

/// The maximum number of old places that a comparison removes: more than it adds.
const PRUNED_MAX: u32 = 10;

/// The places for the comparisons of an attribute of a record.
struct Places<'a> {
    place: &'a RecordPlace,
    attribute: &'a str,
    limit: u32,
}

/// A place that can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Free {
    number: i64,
    /// The time of the comparison that had it and no longer counts.
    former: Option<Timestamp>,
}

impl Places<'_> {
    /// Returns a place that can be taken, a random one, because concurrent callers would take the same one otherwise.
    async fn free(&self, deployment: &Deployment) -> Result<Free, RecordError> {
        let columns = (ComparisonRow::place(), ComparisonRow::time());
        let rows = read(&*self.place.organization.store, columns, self.rows()).await?;
        let draw = u32::from_be_bytes(random::bytes(&*deployment.ports.random));
        choose(&rows, deployment.now(), self.limit, draw).map_err(|retry_after_seconds| RecordError::ComparisonQuota {
            limit: self.limit.into(),
            retry_after_seconds,
        })
    }

    /// Records a comparison, and takes the place. Refused at the first step if another one has taken it.
    async fn take(&self, deployment: &Deployment, free: Free, entry: AuditEntry) -> Result<(), CommitError> {
        let time = entry.time;
        let taken = match free.former {
            Some(former) => {
                let rows =
                    self.rows().and(ComparisonRow::place().is(free.number)).and(ComparisonRow::time().is(former));
                ComparisonRow::update(rows, vec![ComparisonRow::time().set(time)], Expect::One)
            }
            None => ComparisonRow {
                table_name: self.place.entity.storage_name.to_string(),
                record_id: self.place.id,
                column_name: self.attribute.to_owned(),
                place: free.number,
                time,
            }
            .insert(),
        };
        let old =
            ComparisonRow::time().compares(Comparison::Less, deployment.seconds_ago(2 * i64::from(INTERVAL_SECONDS)));
        let prune = ComparisonRow::prune(old, PRUNED_MAX);
        self.place.organization.commit(vec![taken, prune, Step::Audit(entry)]).await
    }

    fn rows(&self) -> Condition {
        ComparisonRow::table_name()
            .is(self.place.entity.storage_name.to_string())
            .and(ComparisonRow::record_id().is(self.place.id))
            .and(ComparisonRow::column_name().is(self.attribute.to_owned()))
    }
}

/// Chooses a place by a random number. Otherwise returns the number of seconds until one is free, at most two intervals.
///
/// The times come from the clocks of all servers. A comparison whose time is still to come counts if it is at most one
/// interval ahead, for the same reasons as in a quota of key changes.
fn choose(rows: &[(i64, Timestamp)], now: Timestamp, limit: u32, draw: u32) -> Result<Free, u32> {
    let is_counted = |time: &Timestamp| (-INTERVAL_US..INTERVAL_US).contains(&age_us(*time, now));
    let mut counted: Vec<Timestamp> = rows.iter().map(|(_, time)| *time).filter(is_counted).collect();
    // Also those in places above a limit that was lowered.
    let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(counted.len());
    if free == 0 {
        counted.sort_unstable();
        // The comparison that must leave the interval.
        let last = counted.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        return Err(counted.get(last).map_or(1, |time| left_of(*time, now)));
    }
    let known: HashMap<i64, Timestamp> = rows.iter().copied().collect();
    let is_free = |number: &i64| known.get(number).is_none_or(|time| !is_counted(time));
    let drawn = usize::try_from(draw).unwrap_or_default() % free;
    let number = (0..i64::from(limit)).filter(is_free).nth(drawn).or_else(|| (0..i64::from(limit)).find(is_free));
    number.map(|number| Free { number, former: known.get(&number).copied() }).ok_or(1)
}

/// Returns the age of a comparison in microseconds, below 0 if its time is still to come.
fn age_us(time: Timestamp, now: Timestamp) -> i64 {
    now.unix_micros().saturating_sub(time.unix_micros())
}

/// Returns the number of seconds until a comparison at `time` leaves the interval, at least one.
fn left_of(time: Timestamp, now: Timestamp) -> u32 {
    let left = INTERVAL_US.saturating_sub(age_us(time, now)).max(0).unsigned_abs().div_ceil(1_000_000);
    u32::try_from(left).unwrap_or(INTERVAL_SECONDS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    #[test]
    fn places_are_free_until_the_limit_and_when_their_comparison_has_left_the_interval() {
        let mut rows = Vec::new();
        for number in 0..3 {
            let free = choose(&rows, at(1_000), 3, 7).unwrap();
            assert!(free.former.is_none() && rows.iter().all(|(taken, _)| *taken != free.number));
            rows.push((free.number, at(1_000 + number)));
        }
        assert_eq!(choose(&rows, at(1_003), 3, 7), Err(897));
        assert_eq!(choose(&rows, at(1_899), 3, 7), Err(1));
        assert_eq!(choose(&rows, at(1_900), 3, 7), Ok(Free { number: rows[0].0, former: Some(at(1_000)) }));
    }

    #[test]
    fn place_is_drawn_from_all_that_are_free() {
        let rows = [(1, at(1_000))];
        let drawn = |draw| choose(&rows, at(1_000), 4, draw).unwrap().number;
        assert_eq!([0, 1, 2, 3].map(drawn), [0, 2, 3, 0]);
    }

    #[test]
    fn comparison_recorded_by_a_clock_ahead_counts_for_at_most_two_intervals() {
        assert_eq!(choose(&[(0, at(1_005))], at(1_000), 1, 0), Err(905));
        // More than an interval ahead, so that a clock that was wrong by a year blocks no caller for a year.
        let far = at(31_536_000);
        assert_eq!(choose(&[(0, far)], at(1_000), 1, 0), Ok(Free { number: 0, former: Some(far) }));
    }

    #[test]
    fn lowered_limit_counts_the_places_above_it() {
        let rows = [0, 1, 2].map(|number| (number, at(1_000 + number)));
        assert_eq!(choose(&rows, at(1_010), 2, 0), Err(891));
        assert_eq!(choose(&rows, at(1_900), 2, 0), Err(1));
        assert_eq!(choose(&rows, at(1_901), 2, 0).map(|free| free.number), Ok(0));
    }
}
