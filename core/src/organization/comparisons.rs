//! Counts recent comparisons of encrypted attributes of an organization's records in memory.
//!
//! The limit is exact, because a comparison is reserved before a cell is opened. The audit trail is the source of the
//! counts; see [`compare`](crate::record::compare). A comparison whose time is still to come counts if it is at most one
//! interval ahead, for the same reasons as in a quota of key changes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::id::{RecordId, Timestamp};

/// The interval in which comparisons are counted.
pub const INTERVAL_SECONDS: u32 = 900;

const INTERVAL_US: i64 = 900 * 1_000_000;

/// The entity's table, the record and the attribute.
type Key = (String, RecordId, String);

/// The recent and running comparisons of attributes of an organization's records.
///
/// A comparison is admitted only after its window was loaded. From then on, the window contains all admitted
/// comparisons. The count is therefore exact under concurrency.
#[derive(Default)]
pub(crate) struct Comparisons(Mutex<HashMap<Key, Window>>);

/// The comparisons of one attribute.
#[derive(Debug, Default)]
struct Window {
    /// The times of the recorded comparisons, oldest first unless the clock was set back.
    times: VecDeque<Timestamp>,
    /// The number of running comparisons.
    reserved: u32,
}

/// The maximum number of windows in memory, unless more comparisons are running. A window needs about 300 bytes. A
/// dropped window is loaded again from the trail.
const WINDOWS_MAX: usize = 10_000;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    Place,
    Full { retry_after_seconds: u32 },
    NotLoaded,
}

impl Comparisons {
    pub(crate) fn reserve(&self, key: &Key, now: Timestamp, limit: u32) -> Reserved {
        let mut windows = self.windows();
        let Some(window) = windows.get_mut(key) else { return Reserved::NotLoaded };
        window.forget(now);
        let counted = window.counted(now);
        let made = u32::try_from(counted.len()).unwrap_or(u32::MAX);
        if made.saturating_add(window.reserved) >= limit {
            // The comparison that must leave the interval.
            let last = counted.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
            return Reserved::Full { retry_after_seconds: counted.get(last).map_or(1, |time| left_of(*time, now)) };
        }
        window.reserved += 1;
        Reserved::Place
    }

    pub(crate) fn load(&self, key: &Key, mut times: Vec<Timestamp>) {
        let mut windows = self.windows();
        if windows.len() >= WINDOWS_MAX {
            let newest = windows.values().filter_map(|window| window.times.back().copied()).max();
            windows.retain(|_, window| {
                if let Some(newest) = newest {
                    window.forget(newest);
                }
                window.reserved > 0 || !window.times.is_empty()
            });
        }
        if windows.len() >= WINDOWS_MAX {
            windows.retain(|_, window| window.reserved > 0);
        }
        times.sort_unstable();
        // If two calls load a window concurrently, the first one is kept, because it has the comparisons admitted
        // since.
        windows.entry(key.clone()).or_insert_with(|| Window { times: times.into(), reserved: 0 });
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<Key, Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// Removes times before the interval.
    fn forget(&mut self, now: Timestamp) {
        while self.times.front().is_some_and(|time| age_us(*time, now) >= INTERVAL_US) {
            self.times.pop_front();
        }
    }

    /// Returns the times that count, oldest first.
    fn counted(&self, now: Timestamp) -> Vec<Timestamp> {
        let is_counted = |time: &Timestamp| (-INTERVAL_US..INTERVAL_US).contains(&age_us(*time, now));
        let mut counted: Vec<Timestamp> = self.times.iter().copied().filter(is_counted).collect();
        // A clock that was set back leaves them in another order.
        counted.sort_unstable();
        counted
    }
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

/// A reserved comparison. Dropping it releases the reservation: a comparison without a result isn't a guess.
pub(crate) struct Reservation<'a> {
    pub(crate) comparisons: &'a Comparisons,
    pub(crate) key: Key,
}

impl Reservation<'_> {
    /// Marks the comparison as executed and recorded at `time`.
    pub(crate) fn spend(self, time: Timestamp) {
        if let Some(window) = self.comparisons.windows().get_mut(&self.key) {
            window.times.push_back(time);
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(window) = self.comparisons.windows().get_mut(&self.key) {
            window.reserved = window.reserved.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        ("Mailbox".to_owned(), RecordId::from_bytes([number; 16]), "password".to_owned())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    #[test]
    fn running_and_recorded_comparisons_share_the_limit() {
        let comparisons = Comparisons::default();
        assert_eq!(comparisons.reserve(&key(1), at(1_000), 3), Reserved::NotLoaded);
        comparisons.load(&key(1), vec![at(500), at(10)]);
        // The older one left the interval.
        let reserve = || match comparisons.reserve(&key(1), at(1_000), 3) {
            Reserved::Place => Ok(Reservation { comparisons: &comparisons, key: key(1) }),
            refused @ (Reserved::Full { .. } | Reserved::NotLoaded) => Err(refused),
        };
        let first = reserve().ok().unwrap();
        let second = reserve().ok().unwrap();
        assert_eq!(reserve().err().unwrap(), Reserved::Full { retry_after_seconds: 400 });
        // A reservation without a result is released. One with a result counts.
        drop(first);
        second.spend(at(1_000));
        let third = reserve().ok().unwrap();
        third.spend(at(1_001));
        assert_eq!(reserve().err().unwrap(), Reserved::Full { retry_after_seconds: 400 });
        // Another record has another secret.
        assert_eq!(comparisons.reserve(&key(2), at(1_000), 3), Reserved::NotLoaded);
        assert_eq!(comparisons.reserve(&key(1), at(1_401), 3), Reserved::Place);
    }

    #[test]
    fn comparison_recorded_by_a_clock_ahead_counts_for_at_most_two_intervals() {
        let comparisons = Comparisons::default();
        comparisons.load(&key(1), vec![at(1_005)]);
        assert_eq!(comparisons.reserve(&key(1), at(1_000), 1), Reserved::Full { retry_after_seconds: 905 });
        // More than an interval ahead, so that a clock that was wrong by a year blocks no caller for a year.
        comparisons.load(&key(2), vec![at(31_536_000)]);
        assert_eq!(comparisons.reserve(&key(2), at(1_000), 1), Reserved::Place);
    }

    #[test]
    fn loading_a_window_twice_forgets_no_comparison() {
        let comparisons = Comparisons::default();
        comparisons.load(&key(1), Vec::new());
        assert_eq!(comparisons.reserve(&key(1), at(1), 1), Reserved::Place);
        comparisons.load(&key(1), Vec::new());
        assert_eq!(comparisons.reserve(&key(1), at(1), 1), Reserved::Full { retry_after_seconds: 1 });
    }

    #[test]
    fn windows_in_memory_are_limited_and_used_ones_are_kept() {
        let comparisons = Comparisons::default();
        let numbered = |number: u32| (number.to_string(), RecordId::from_bytes([0; 16]), String::new());
        for number in 0..20_000 {
            comparisons.load(&numbered(number), vec![at(1)]);
            if number == 7 {
                assert_eq!(comparisons.reserve(&numbered(7), at(1), 5), Reserved::Place);
            }
        }
        assert!(comparisons.windows().len() <= WINDOWS_MAX);
        assert!(comparisons.windows().contains_key(&numbered(7)));
    }
}
