//! Quotas of key changes and restores, counted from the times of earlier ones.

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

/// Returns `Ok` if the quota allows another event after these. Otherwise returns the number of seconds until it does.
pub(crate) fn quota(times: &[Timestamp], now: Timestamp, limit: u32, interval_seconds: u32) -> Result<(), u64> {
    let interval_us = i64::from(interval_seconds).saturating_mul(1_000_000);
    let age_us = |time: &Timestamp| now.unix_micros().saturating_sub(time.unix_micros());
    let mut recent: Vec<i64> = times.iter().map(age_us).filter(|age| (0..interval_us).contains(age)).collect();
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
    fn limit_of_zero_removes_the_quota_and_future_times_do_not_count() {
        assert_eq!(quota(&[at(10)], at(20), 0, 100), Ok(()));
        assert_eq!(quota(&[at(30)], at(20), 1, 100), Ok(()));
    }
}
