//! The decision whether a call is recorded, before anything of a span exists.
//!
//! A caller that sent no context is recorded by chance. A caller that sent one has decided: its flag counts, but only within a rate, so that
//! no caller can make the server record every call, or leave nothing to the other callers.

use std::{num::NonZeroU32, sync::Arc};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use sealward_core::identity::Identity;
use uuid::Uuid;

use super::context::Parent;
use crate::{bounds::keyed_rate::KeyedRate, config::limits::Limits, telemetry::shed::Shed};

const MILLION: u64 = 1_000_000;

/// The calls that callers may request per second: one caller, and all of them.
const OF_ONE: &str = "trace_requests_per_second_per_identity";
const OF_ALL: &str = "trace_requests_per_second";

pub(super) struct Sampler {
    calls_per_million: u64,
    /// `None` if no caller can request it.
    requests: Option<Requests>,
    shed: Shed,
}

/// The rates of requests.
struct Requests {
    of_one: KeyedRate<Arc<Identity>>,
    of_all: DefaultDirectRateLimiter,
}

impl Requests {
    /// `None` if one of the rates is 0.
    fn new(limits: &Limits) -> Option<Self> {
        let quota = |limit| NonZeroU32::new(limit).map(Quota::per_second);
        Some(Self {
            of_one: KeyedRate::new(quota(limits.trace_requests_per_second_per_identity)?),
            of_all: RateLimiter::direct(quota(limits.trace_requests_per_second)?),
        })
    }

    /// Counts a request of this caller, or returns the limit that refuses it.
    fn admit(&self, caller: &Arc<Identity>) -> Result<(), &'static str> {
        self.of_one.admit(caller).map_err(|_| OF_ONE)?;
        self.of_all.check().map_err(|_| OF_ALL)
    }
}

impl Sampler {
    pub(super) fn new(limits: &Limits, shed: Shed) -> Self {
        Self { calls_per_million: limits.trace_calls_per_million.into(), requests: Requests::new(limits), shed }
    }

    /// Whether to record a call of this caller with this parent and this id, whose last 62 bits are random.
    pub(super) fn samples(&self, caller: &Arc<Identity>, parent: Option<&Parent>, call: Uuid) -> bool {
        match parent {
            None => draw(call) < self.calls_per_million,
            Some(parent) if parent.is_sampled => {
                let admitted = self.requests.as_ref().map_or(Err(OF_ALL), |requests| requests.admit(caller));
                admitted.map_err(|limit| self.shed.count(limit)).is_ok()
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

    fn sampler(calls_per_million: u32, of_one: u32, of_all: u32) -> (Sampler, Shed) {
        let limits = Limits {
            trace_calls_per_million: calls_per_million,
            trace_requests_per_second_per_identity: of_one,
            trace_requests_per_second: of_all,
            ..Limits::default()
        };
        let shed = Shed::default();
        (Sampler::new(&limits, shed.clone()), shed)
    }

    fn caller(name: &str) -> Arc<Identity> {
        Arc::new(Identity::CommonName(name.to_owned()))
    }

    fn call(random: u32) -> Uuid {
        Uuid::from_u64_pair(7, 0x8000_0000_0000_0000 | u64::from(random))
    }

    fn parent(is_sampled: bool) -> Parent {
        Parent { trace: TraceId::new([1; 16]), span: SpanId::new(1), is_sampled }
    }

    #[test]
    fn share_of_calls_is_recorded() {
        let ada = caller("ada");
        let recorded = |per_million| {
            let (sampler, _) = sampler(per_million, 0, 0);
            let calls = (0..10_000_u32).map(|number| call(number * (u32::MAX / 10_000)));
            calls.filter(|call| sampler.samples(&ada, None, *call)).count()
        };
        assert_eq!((recorded(0), recorded(1_000_000)), (0, 10_000));
        assert!((99..=101).contains(&recorded(10_000)), "{}", recorded(10_000));
        let (all, _) = sampler(1_000_000, 0, 0);
        assert!(all.samples(&ada, None, call(u32::MAX)));
        let (none, _) = sampler(0, 0, 0);
        assert!(!none.samples(&ada, None, call(0)));
    }

    #[test]
    fn flag_of_a_caller_counts_within_a_rate_of_its_own() {
        let (sampler, shed) = sampler(1_000_000, 3, 100);
        let recorded = |caller| (0..50).filter(|_| sampler.samples(&caller, Some(&parent(true)), call(0))).count();
        for name in ["ada", "bob"] {
            // A second may pass.
            assert!((3..=9).contains(&recorded(caller(name))), "{name}");
        }
        assert!(shed.refused_by(OF_ONE) > 80);
        assert_eq!(shed.refused_by(OF_ALL), 0);
        assert!(!sampler.samples(&caller("eve"), Some(&parent(false)), call(0)));
    }

    #[test]
    fn flags_of_all_callers_count_within_a_rate() {
        let (sampler, shed) = sampler(1_000_000, 3, 4);
        let callers = (0..50).map(|number| caller(&number.to_string()));
        let recorded = callers.filter(|caller| sampler.samples(caller, Some(&parent(true)), call(0))).count();
        assert!((4..=12).contains(&recorded), "{recorded}");
        assert_eq!(shed.refused_by(OF_ALL), 50 - u64::try_from(recorded).unwrap());
    }

    #[test]
    fn no_caller_can_request_recordings_at_a_rate_of_zero() {
        for (of_one, of_all) in [(0, 100), (100, 0)] {
            let (sampler, shed) = sampler(1_000_000, of_one, of_all);
            assert!(!sampler.samples(&caller("ada"), Some(&parent(true)), call(0)));
            assert_eq!(shed.refused_by(OF_ALL), 1);
        }
    }
}
