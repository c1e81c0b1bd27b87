//! Quotas of key changes and restores, counted from the times of earlier ones.
//!
//! The times come from the clocks of all servers that have used the database, and a clock can be wrong. An event counts
//! until it is one interval old. One whose time is still to come counts too, so that a clock that is behind admits no
//! more events. It counts only if it is at most one interval ahead. So after a clock that was ahead is corrected, its
//! events count for at most two intervals, and no caller waits longer than that.

use crate::{
    id::Timestamp,
    organization::handle::Organization,
    store::{Condition, Unavailable},
    table::declare::{TableColumn, TableRow, read_each},
};

/// The interval in which attempts to restore a key, or to copy an organization with its key, are counted.
pub const RESTORE_INTERVAL_SECONDS: u32 = 900;

/// Reads the times in a column, which a quota counts.
pub(crate) async fn times<R: TableRow>(
    organization: &Organization,
    column: TableColumn<R, Timestamp>,
    condition: Condition,
) -> Result<Vec<Timestamp>, Unavailable> {
    Ok(read_each(&*organization.store, column, condition).await?.into_iter().flatten().collect())
}

/// Returns the number of events that count for a quota at this time.
pub(crate) fn used(times: &[Timestamp], now: Timestamp, interval_seconds: u32) -> usize {
    recent_ages_us(times, now, interval_us(interval_seconds)).count()
}

fn interval_us(interval_seconds: u32) -> i64 {
    i64::from(interval_seconds).saturating_mul(1_000_000)
}

fn recent_ages_us(times: &[Timestamp], now: Timestamp, interval_us: i64) -> impl Iterator<Item = i64> {
    let ages = times.iter().map(move |time| now.unix_micros().saturating_sub(time.unix_micros()));
    // An age below 0 is that of an event in the future.
    ages.filter(move |age| (-interval_us..interval_us).contains(age))
}

/// Returns `Ok` if the quota allows another event after these. Otherwise returns the number of seconds until it does, at
/// most two intervals.
pub(crate) fn quota(times: &[Timestamp], now: Timestamp, limit: u32, interval_seconds: u32) -> Result<(), u64> {
    let interval_us = interval_us(interval_seconds);
    let mut recent: Vec<i64> = recent_ages_us(times, now, interval_us).collect();
    recent.sort_unstable();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // The event that must leave the interval: the `limit`-th newest.
    match limit.checked_sub(1).and_then(|last| recent.get(last)) {
        None => Ok(()),
        Some(age) => Err(u64::try_from(interval_us - age).unwrap_or(0).div_ceil(1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    #[test]
    fn quota_allows_its_number_and_returns_the_time_of_the_next() {
        let times = [at(10), at(20), at(30)];
        assert_eq!(quota(&times, at(40), 4, 100), Ok(()));
        assert_eq!(quota(&times, at(40), 3, 100), Err(70));
        assert_eq!(quota(&times, at(110), 3, 100), Ok(()));
    }

    #[test]
    fn events_count_until_they_leave_the_interval() {
        let times = [at(10), at(20), at(30)];
        let counted = |now| used(&times, now, 100);
        assert_eq!([at(20), at(109), at(110), at(130)].map(counted), [3, 3, 2, 0]);
    }

    #[test]
    fn limit_of_zero_removes_the_quota() {
        assert_eq!(quota(&[at(10)], at(20), 0, 100), Ok(()));
    }

    #[test]
    fn clock_that_is_behind_admits_no_more_events() {
        // Recorded by a server whose clock is 5 seconds ahead.
        let times = [at(1_004), at(1_005)];
        for now in [at(1_000), at(1_004), at(1_005), at(1_103)] {
            assert!(quota(&times, now, 2, 100).is_err(), "{now:?}");
        }
        assert_eq!(quota(&times, at(1_000), 2, 100), Err(104));
        assert_eq!(quota(&times, at(1_104), 2, 100), Ok(()));
    }

    #[test]
    fn corrected_clock_leaves_no_wait_of_more_than_two_intervals() {
        for seconds_ahead in [0, 1, 99, 100, 101, 3_600, 86_400 * 365] {
            let times = [at(1_000 + seconds_ahead); 5];
            let mut waited = 0;
            for now in 1_000..1_000 + seconds_ahead.min(4_000) + 300 {
                waited = if let Err(left) = quota(&times, at(now), 5, 100) {
                    assert!(left <= 200, "{seconds_ahead}: {left}");
                    waited + 1
                } else {
                    0
                };
                assert!(waited <= 200, "{seconds_ahead}: {waited}");
            }
        }
    }
}
