//! How the system finds out that the peer of an accepted connection is gone, also one that vanished without closing it.
//!
//! HTTP/2 has a PING for this. HTTP/1.1 has nothing: without these options, a peer that vanishes during a quiet answer would keep its
//! connection until the maximum age.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

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

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Mutex};

    use super::*;
    use crate::transport::listener::{accept, bind};

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
