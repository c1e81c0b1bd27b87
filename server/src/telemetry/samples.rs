//! Samples of what is refused, for the log: the first refusal of a kind at once, its repeats as a count once a minute.
//!
//! A caller that is refused 100,000 times fills no disk then, and hides no other caller. Callers with an identity and callers without have
//! a share of the lines each. Nothing here decides what is refused, or how its line reads.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::MissedTickBehavior;

use crate::{drain::Drain, telemetry::shed::Shed};

/// How often repeats are reported.
const INTERVAL: Duration = Duration::from_secs(60);

/// The limit whose name counts the lines that are not written.
const BOUND: &str = "refusal_log_lines_per_minute";

/// Which refusals have had their line; shared by everything that refuses.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    state: Arc<Mutex<State>>,
    lines_max: usize,
    shed: Shed,
}

/// What makes refusals repeats of each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    /// The refused caller.
    pub(crate) who: Who,
    /// The message of the refusal's line in the log.
    pub(crate) event: &'static str,
    /// Why it was refused, in a word.
    pub(crate) reason: Cow<'static, str>,
}

/// The caller, by the best that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// An identity, as bindings write it.
    Identity(String),
    /// A connection without an identity.
    Connection(SocketAddr),
    /// An address, where each attempt is a connection of its own.
    Address(IpAddr),
    /// Nothing is known.
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
    /// How often each kind was repeated after its first time.
    repeats: HashMap<Kind, u64>,
    /// Refusals of kinds past the limit.
    others: u64,
}

/// What was not logged in an interval.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    repeats: Vec<(Kind, u64)>,
    others: u64,
}

impl Samples {
    /// Samples of at most this many kinds a minute, for callers with an identity and for callers without each.
    pub(crate) fn new(lines_max: u32, shed: Shed) -> Self {
        let lines_max = usize::try_from(lines_max).unwrap_or(usize::MAX);
        Self { state: Arc::default(), lines_max, shed }
    }

    /// Whether the refusal is the first of its kind in this interval, so that its line is to be written. Counts it otherwise.
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

    /// Reports the repeats since the last report, and begins a new interval.
    pub(crate) fn report(&self) {
        let Summary { repeats, others } = self.take();
        for (Kind { who, event, reason }, repeats) in repeats {
            tracing::info!(caller = %who, event, reason = &*reason, repeats, "refusals repeated");
        }
        if others > 0 {
            tracing::info!(refusals = others, "refusals of more callers");
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
        Who::Connection(SocketAddr::from(([192, 0, 2, 1], port)))
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
