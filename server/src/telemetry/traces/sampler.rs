//! The decision whether a call is recorded, before anything of a span exists.
//!
//! A caller that sent no context is recorded by chance. A caller that sent one has decided: its flag counts, but only within a rate, so that
//! no caller can make the server record every call.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

use super::context::Parent;
use crate::{config::limits::Limits, telemetry::shed::Shed};

const MILLION: u64 = 1_000_000;

/// The calls that callers may request per second.
const REQUESTS: &str = "trace_requests_per_second";

pub(super) struct Sampler {
    calls_per_million: u64,
    /// `None` if callers can't request it.
    requests: Option<DefaultDirectRateLimiter>,
    shed: Shed,
}

impl Sampler {
    pub(super) fn new(limits: &Limits, shed: Shed) -> Self {
        let requests = NonZeroU32::new(limits.trace_requests_per_second);
        Self {
            calls_per_million: limits.trace_calls_per_million.into(),
            requests: requests.map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            shed,
        }
    }

    /// Whether to record a call with this parent and this id, whose last 62 bits are random.
    pub(super) fn samples(&self, parent: Option<&Parent>, call: Uuid) -> bool {
        match parent {
            None => draw(call) < self.calls_per_million,
            Some(parent) if parent.is_sampled => {
                let is_admitted = self.requests.as_ref().is_some_and(|rate| rate.check().is_ok());
                if !is_admitted {
                    self.shed.count(REQUESTS);
                }
                is_admitted
            }
            Some(_) => false,
        }
    }
}

/// A number below a million, from the random bits of the id.
fn draw(call: Uuid) -> u64 {
    let (_, low) = call.as_u64_pair();
    let random = low & u64::from(u32::MAX);
    (random * MILLION) >> u32::BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::traces::context::{SpanId, TraceId};

    fn sampler(calls_per_million: u32, requests_per_second: u32) -> (Sampler, Shed) {
        let limits = Limits {
            trace_calls_per_million: calls_per_million,
            trace_requests_per_second: requests_per_second,
            ..Limits::default()
        };
        let shed = Shed::default();
        (Sampler::new(&limits, shed.clone()), shed)
    }

    fn call(random: u32) -> Uuid {
        Uuid::from_u64_pair(7, 0x8000_0000_0000_0000 | u64::from(random))
    }

    fn parent(is_sampled: bool) -> Parent {
        Parent { trace: TraceId::new([1; 16]), span: SpanId::new(1), is_sampled }
    }

    #[test]
    fn share_of_calls_is_recorded() {
        let recorded = |per_million| {
            let (sampler, _) = sampler(per_million, 0);
            let calls = (0..10_000_u32).map(|number| call(number * (u32::MAX / 10_000)));
            calls.filter(|call| sampler.samples(None, *call)).count()
        };
        assert_eq!((recorded(0), recorded(1_000_000)), (0, 10_000));
        assert!((99..=101).contains(&recorded(10_000)), "{}", recorded(10_000));
        let (all, _) = sampler(1_000_000, 0);
        assert!(all.samples(None, call(u32::MAX)));
        let (none, _) = sampler(0, 0);
        assert!(!none.samples(None, call(0)));
    }

    #[test]
    fn flag_of_a_caller_counts_within_a_rate() {
        let (sampler, shed) = sampler(1_000_000, 3);
        let recorded = (0..100).filter(|_| sampler.samples(Some(&parent(true)), call(0))).count();
        // A second may pass.
        assert!((3..=9).contains(&recorded), "{recorded}");
        assert_eq!(shed.refused_by(REQUESTS), 100 - u64::try_from(recorded).unwrap());
        assert!(!sampler.samples(Some(&parent(false)), call(0)));
    }

    #[test]
    fn no_caller_can_request_recordings_at_a_rate_of_zero() {
        let (sampler, shed) = sampler(1_000_000, 0);
        assert!(!sampler.samples(Some(&parent(true)), call(0)));
        assert_eq!(shed.refused_by(REQUESTS), 1);
    }
}
