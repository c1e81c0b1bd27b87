//! A rate for each key, such as an identity, counted with the generic cell rate algorithm: a rate of 60 a minute admits 60 at once, and one
//! more each second.
//!
//! Callers choose the number of keys, so keys are forgotten, but only those whose rate is whole again: a new entry is the same for them. So
//! a key that is forgotten gets no more than its rate, however many other keys there are. Nothing here knows what is counted, or who counts refusals.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

/// Beyond this number, keys whose rate is whole are forgotten. An entry takes some 150 bytes.
const KNOWN_MAX: usize = 10_000;

/// The number of checks between two looks at the number of keys. A look takes the lock of the table, as each check does.
const LOOK_INTERVAL: u32 = 1_024;

/// The rate of each key.
pub(crate) struct KeyedRate<K: Clone + Eq + Hash> {
    limiter: DefaultKeyedRateLimiter<K>,
    /// The number of checks. It may wrap.
    checks: AtomicU32,
    /// That number when keys were last forgotten.
    forgotten_at: AtomicU32,
}

/// Why more isn't admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// Not now, but after this time.
    For(Duration),
    /// Never so many at once.
    Always,
}

impl<K: Clone + Eq + Hash> KeyedRate<K> {
    pub(crate) fn new(quota: Quota) -> Self {
        Self { limiter: RateLimiter::keyed(quota), checks: AtomicU32::new(0), forgotten_at: AtomicU32::new(0) }
    }

    /// Counts one of this key.
    ///
    /// # Errors
    /// The time until one is admitted.
    pub(crate) fn admit(&self, key: &K) -> Result<(), Duration> {
        self.forget();
        self.limiter.check_key(key).map_err(|not_until| wait(&not_until))
    }

    /// Counts this number of this key: all or none.
    ///
    /// # Errors
    /// [`Exceeded`]
    pub(crate) fn admit_many(&self, key: &K, number: NonZeroU32) -> Result<(), Exceeded> {
        self.forget();
        match self.limiter.check_key_n(key, number) {
            Ok(admitted) => admitted.map_err(|not_until| Exceeded::For(wait(&not_until))),
            Err(_) => Err(Exceeded::Always),
        }
    }

    /// Forgets keys, if there are many. That reads the whole table, so it happens at most once in half as many checks as there are keys: a
    /// check costs the same on average while all keys are in use.
    fn forget(&self) {
        let checks = self.checks.fetch_add(1, Ordering::Relaxed);
        if !checks.is_multiple_of(LOOK_INTERVAL) {
            return;
        }
        let (known, since) = (self.limiter.len(), checks.wrapping_sub(self.forgotten_at.load(Ordering::Relaxed)));
        if known > KNOWN_MAX && usize::try_from(since).is_ok_and(|since| since >= known / 2) {
            self.forgotten_at.store(checks, Ordering::Relaxed);
            self.limiter.retain_recent();
        }
    }
}

fn wait(not_until: &NotUntil<<DefaultClock as Clock>::Instant>) -> Duration {
    not_until.wait_time_from(DefaultClock::default().now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_hour: u32) -> KeyedRate<u32> {
        KeyedRate::new(Quota::per_hour(NonZeroU32::new(per_hour).unwrap()))
    }

    #[test]
    fn key_is_refused_until_its_time() {
        let rate = rate(2);
        assert_eq!((rate.admit(&1), rate.admit(&1)), (Ok(()), Ok(())));
        let wait = rate.admit(&1).unwrap_err();
        assert!(wait > Duration::from_secs(1_700) && wait <= Duration::from_secs(1_800), "{wait:?}");
        rate.admit(&2).unwrap();
        let [two, three] = [2, 3].map(|number| NonZeroU32::new(number).unwrap());
        assert!(matches!(rate.admit_many(&1, two), Err(Exceeded::For(_))));
        assert_eq!(rate.admit_many(&3, two), Ok(()));
        assert_eq!(rate.admit_many(&4, three), Err(Exceeded::Always));
    }

    #[test]
    fn exhausted_key_stays_so_among_any_number_of_others() {
        const ADA: u32 = u32::MAX;
        let (fast, slow) = (KeyedRate::new(Quota::per_second(NonZeroU32::new(1_000_000).unwrap())), rate(1));
        slow.admit(&ADA).unwrap();
        let mut known_max = 0;
        for key in 0..200_000 {
            // The rate of each of these keys is whole again after a microsecond.
            fast.admit(&key).unwrap();
            known_max = known_max.max(fast.limiter.len());
            if key < 30_000 {
                slow.admit(&key).unwrap();
            }
        }
        // They are forgotten, and keys in use are not.
        assert!(known_max < 3 * KNOWN_MAX, "{known_max}");
        assert_eq!(slow.limiter.len(), 30_001);
        slow.admit(&ADA).unwrap_err();
        slow.admit(&7).unwrap_err();
    }
}
