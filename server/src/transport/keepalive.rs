//! How the system finds out that the peer of an accepted connection is gone, also one that vanished without closing it.
//!
//! HTTP/2 has a PING for this. HTTP/1.1 has nothing: without these options, a peer that vanishes during a quiet answer would keep its
//! connection until the maximum age.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::Instant};

use crate::config::limits::Limits;

/// The number of probes in the time that a peer has for its answer: one of them may be lost.
const PROBES: u32 = 4;

/// The options of accepted connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    interval: Duration,
    timeout: Duration,
    /// The maximum time for sent data, or a probe, without an acknowledgement.
    unacknowledged_max: Duration,
}

impl Keepalive {
    /// The times of HTTP/2's PING. A caller that doesn't read is left to its own limit.
    pub(crate) fn of(limits: &Limits) -> Self {
        let (interval, timeout) = (limits.keepalive_interval(), limits.keepalive_timeout());
        Self { interval, timeout, unacknowledged_max: (interval + timeout).max(limits.answer_stall_max()) }
    }

    /// Sets the options.
    pub(super) fn set(&self, stream: &TcpStream) -> io::Result<()> {
        let socket = SockRef::from(stream);
        let between = (self.timeout / PROBES).max(Duration::from_secs(1));
        let probes = TcpKeepalive::new().with_time(self.interval).with_interval(between).with_retries(PROBES);
        socket.set_tcp_keepalive(&probes)?;
        socket.set_tcp_user_timeout(Some(self.unacknowledged_max))
    }
}

/// When data arrived last from a peer. It costs no timer, only a look at the clock for each read.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    begun: Instant,
    /// The time of the last data, since then.
    last_us: Arc<AtomicU64>,
}

impl Activity {
    /// A connection that begins at this time.
    pub(super) fn new(begun: Instant) -> Self {
        Self { begun, last_us: Arc::default() }
    }

    /// Records that data arrived.
    pub(super) fn note(&self, now: Instant) {
        let since = now.saturating_duration_since(self.begun).as_micros();
        self.last_us.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When data arrived last, or the connection began.
    pub(super) fn last(&self) -> Instant {
        self.begun + Duration::from_micros(self.last_us.load(Ordering::Relaxed))
    }

    /// When the peer will have been silent for this time, if no data arrives until then; `None` if it was.
    pub(super) fn silent_at(&self, silence: Duration, now: Instant) -> Option<Instant> {
        Some(self.last() + silence).filter(|at| *at > now)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Mutex};

    use super::*;
    use crate::transport::listener::{accept, bind};

    #[test]
    fn silence_is_counted_from_the_last_data() {
        let (begun, interval) = (Instant::now(), Duration::from_secs(60));
        let at = |seconds: f64| begun + Duration::from_secs_f64(seconds);
        // The times of data, and when the peer gets its PING.
        for (arrivals, ping) in [(&[][..], 60.0), (&[0.25], 60.25), (&[59.5], 119.5), (&[0.25, 60.0, 119.5], 179.5)] {
            let (activity, mut arrivals) = (Activity::new(begun), arrivals.iter().copied().peekable());
            let (mut now, mut looks) = (begun, 0);
            while let Some(next) = activity.silent_at(interval, now) {
                (now, looks) = (next, looks + 1);
                while let Some(arrival) = arrivals.next_if(|arrival| at(*arrival) <= now) {
                    activity.note(at(arrival));
                }
            }
            assert_eq!(now, at(ping));
            // Data costs no timer: there is at most one look in an interval, and one for the silence.
            assert!(f64::from(looks) <= ping / 60.0 + 1.0, "{looks}");
        }
    }

    #[tokio::test]
    async fn every_accepted_connection_is_probed() {
        let limits = Limits {
            keepalive_interval_seconds: 30,
            keepalive_timeout_seconds: 10,
            answer_stall_max_ms: 50_000,
            ..Limits::default()
        };
        let (listener, address) = bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        let accepted = Mutex::new(None);
        let take = |stream, _| *accepted.lock().unwrap() = Some(stream);
        accept(listener, Keepalive::of(&limits), || accepted.lock().unwrap().is_some(), take).await;
        let stream = accepted.into_inner().unwrap().unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(2));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(50)));
    }
}
