//! Durations that are shortened at random, so that what begins at the same time doesn't repeat or end at the same time.

use std::time::Duration;

use sealward_core::random::{self, Random};

/// The duration, shortened by a random part of at most this share of it, from 0 to 1.
pub(crate) fn shortened(duration: Duration, share_max: f64, random: &dyn Random) -> Duration {
    let part = f64::from(u16::from_le_bytes(random::bytes(random))) / f64::from(u16::MAX);
    duration - duration.mul_f64(part * share_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shortened_by_at_most_the_share() {
        struct All(u8);
        impl Random for All {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(self.0);
            }
        }
        let duration = Duration::from_secs(100);
        for (share, least) in [(0.1, 90), (0.5, 50), (1.0, 0)] {
            assert_eq!(shortened(duration, share, &All(0)), duration);
            assert_eq!(shortened(duration, share, &All(255)), Duration::from_secs(least));
            assert!((Duration::from_secs(least)..duration).contains(&shortened(duration, share, &All(85))));
        }
    }
}
