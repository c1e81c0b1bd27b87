//! Samples of refusals for the log: the first refusal of a kind at once, its repeats as a count once a minute.
//!
//! So a caller that is refused 100,000 times neither fills the disk nor hides other callers. Callers with and without an identity have
//! separate shares of the lines. This module neither decides on refusals nor words their lines.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::MissedTickBehavior;

use crate::{drain::Drain, telemetry::shed::Shed, transport::peer::Peer};

/// The interval between reports of repeats.
const INTERVAL: Duration = Duration::from_secs(60);

/// The limit under which dropped lines are counted.
const BOUND: &str = "refusal_log_lines_per_minute";

/// The refusals that were logged in this interval. All code that refuses calls shares it.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    state: Arc<Mutex<State>>,
    lines_max: usize,
    shed: Shed,
}

/// The kind of a refusal: refusals of the same kind are repeats.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    /// The refused caller.
    pub(crate) who: Who,
    /// The message of the refusal's log line.
    pub(crate) event: &'static str,
    /// The reason, in one word.
    pub(crate) reason: Cow<'static, str>,
}

/// The caller, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// An identity, as in bindings.
    Identity(String),
    /// A connection without an identity.
    Connection(Peer),
    /// An address, for attempts that each open a new connection.
    Address(IpAddr),
    /// Unknown.
    Unknown,
}

#[derive(Debug, Default)]
struct State {
    identified: Share,
    unidentified: Share,
}

/// The refusals of one interval.
#[derive(Debug, Default)]
struct Share {
    /// The number of repeats of each kind, without the first refusal.
    repeats: HashMap<Kind, u64>,
    /// Refusals of kinds beyond the limit.
    others: u64,
}

/// The refusals that were not logged in an interval.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    repeats: Vec<(Kind, u64)>,
    others: u64,
}

impl Samples {
    /// Samples at most this many kinds per minute, separately for callers with and without an identity.
    pub(crate) fn new(lines_max: u32, shed: Shed) -> Self {
        let lines_max = usize::try_from(lines_max).unwrap_or(usize::MAX);
        Self { state: Arc::default(), lines_max, shed }
    }

    /// Returns whether the refusal is the first of its kind in this interval and should be logged. Otherwise counts it.
    pub(crate) fn is_first(&self, kind: Kind) -> bool {
        let mut state = self.state();
        let share = match &kind.who {
            Who::Identity(_) => &mut state.identified,
            Who::Connection(_) | Who::Address(_) | Who::Unknown => &mut state.unidentified,
        };
        if let Some(repeats) = share.repeats.get_mut(&kind) {
            *repeats += 1;
            return false;
        }
        if share.repeats.len() < self.lines_max {
            share.repeats.insert(kind, 0);
            return true;
        }
        share.others += 1;
        drop(state);
        self.shed.count(BOUND);
        false
    }

    /// Reports repeats once a minute until the server drains.
    pub(crate) async fn keep_reporting(self, drain: Drain) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.report(),
                () = drain.begun() => return,
            }
        }
    }

    /// Reports the repeats since the last report, and starts a new interval.
    pub(crate) fn report(&self) {
        let Summary { repeats, others } = self.take();
        for (Kind { who, event, reason }, repeats) in repeats {
            tracing::info!(caller = %who, event, reason = &*reason, repeats, "refusals repeated");
        }
        if others > 0 {
            tracing::info!(refusals = others, "refusals of further callers");
        }
    }

    fn take(&self) -> Summary {
        let State { identified, unidentified } = std::mem::take(&mut *self.state());
        let others = identified.others + unidentified.others;
        let all = identified.repeats.into_iter().chain(unidentified.repeats);
        Summary { repeats: all.filter(|(_, repeats)| *repeats > 0).collect(), others }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(identity) => f.write_str(identity),
            Self::Connection(peer) => peer.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(who: Who) -> Kind {
        Kind { who, event: "answered", reason: "PRIVILEGE_MISSING".into() }
    }

    fn connection(port: u16) -> Who {
        Who::Connection(Peer::Address(([192, 0, 2, 1], port).into()))
    }

    #[test]
    fn first_refusal_is_logged_and_repeats_are_counted() {
        let samples = Samples::new(10, Shed::default());
        assert!(samples.is_first(kind(connection(1))));
        for _ in 0..100_000 {
            assert!(!samples.is_first(kind(connection(1))));
        }
        assert!(samples.is_first(Kind { reason: "IDENTITY_REQUIRED".into(), ..kind(connection(1)) }));
        let summary = samples.take();
        assert_eq!(summary, Summary { repeats: vec![(kind(connection(1)), 100_000)], others: 0 });
        // The next interval begins.
        assert!(samples.is_first(kind(connection(1))));
        assert_eq!(samples.take(), Summary::default());
    }

    #[test]
    fn kinds_of_refusals_are_logged_up_to_the_limit() {
        let shed = Shed::default();
        let samples = Samples::new(2, shed.clone());
        assert!(samples.is_first(kind(connection(1))));
        assert!(samples.is_first(kind(connection(2))));
        assert!(!samples.is_first(kind(connection(3))));
        assert_eq!(shed.refused_by(BOUND), 1);
        assert_eq!(samples.take().others, 1);
    }

    #[test]
    fn refusals_without_identity_do_not_hide_those_with_one() {
        let samples = Samples::new(1, Shed::default());
        assert!(samples.is_first(kind(connection(1))));
        assert!(!samples.is_first(kind(connection(2))));
        assert!(samples.is_first(kind(Who::Identity("cn:ada".to_owned()))));
    }
}
