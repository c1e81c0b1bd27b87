//! Reads and drops the rest of a request that was answered early, within limits.
//!
//! A client or a proxy that still sends its request often loses the answer if the server resets the stream, or closes the connection. So the
//! server reads on for a short time. The bytes are dropped as they come; nothing parses them. They count as a request that is arriving: if
//! that memory is short, less is read.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use h2::RecvStream;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    config::limits::Limits,
    transport::{
        budget::{Account, Budget, Payer, Reservation},
        connection::Connection,
    },
};

/// The smallest amount that is reserved: a frame of HTTP/2.
const LEAST_BYTES: u64 = 16 * 1024;

/// The limits of what is read of a request that was answered early.
#[derive(Clone, Debug)]
pub(super) struct Discard {
    max_bytes: u64,
    time_max: Duration,
    budget: Arc<Budget>,
}

/// The rest of a request.
pub(super) trait Rest: Send {
    /// Drops the next bytes, and returns their number; `None` at the end.
    fn poll_drop(&mut self, context: &mut Context<'_>) -> Poll<Option<usize>>;
}

/// The account of a connection's requests without a caller.
#[derive(Clone, Debug)]
pub(super) struct Unread {
    discard: Discard,
    account: Account,
}

impl Discard {
    /// The limits of the configuration. `budget` counts arriving requests.
    pub(super) fn new(limits: &Limits, budget: Arc<Budget>) -> Self {
        Self {
            max_bytes: limits.refused_request_read_max_bytes.into(),
            time_max: limits.refused_request_read_time_max(),
            budget,
        }
    }

    /// The same limits for one connection.
    pub(super) fn of(&self, connection: &Connection) -> Unread {
        let certificate = connection.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
        let payer = match certificate {
            // The certificate of a hop isn't that of the caller.
            Some(certificate) if connection.hop.is_none() => Payer::Identity(Arc::clone(&certificate.identity)),
            Some(_) | None => connection.unidentified(),
        };
        Unread { discard: self.clone(), account: self.budget.account(payer, connection.share.clone()) }
    }
}

impl Unread {
    /// The maximum number of bytes that are read.
    pub(super) fn max_bytes(&self) -> u64 {
        self.discard.max_bytes
    }

    /// Drops the rest of a request, once its reader has returned it.
    pub(super) async fn drop_returned(&self, returned: oneshot::Receiver<impl Rest>) {
        if let Ok(rest) = returned.await {
            self.drop_rest(rest).await;
        }
    }

    /// Drops the rest of a request.
    pub(super) async fn drop_rest(&self, mut rest: impl Rest) {
        let Some((_reservation, mut left)) = self.reserve() else { return };
        let drop_all = async {
            while let Some(count) = poll_fn(|context| rest.poll_drop(context)).await {
                match left.checked_sub(u64::try_from(count).unwrap_or(u64::MAX)) {
                    Some(less) => left = less,
                    None => return,
                }
            }
        };
        let _complete_or_late = timeout(self.discard.time_max, drop_all).await;
    }

    /// Reserves the maximum, or the half of it, and so on; `None` if there is hardly any memory.
    fn reserve(&self) -> Option<(Reservation, u64)> {
        let mut bytes = self.discard.max_bytes;
        loop {
            if let Ok(reservation) = self.account.reserve(bytes) {
                return Some((reservation, bytes));
            }
            bytes /= 2;
            if bytes < LEAST_BYTES {
                return None;
            }
        }
    }
}

impl Rest for RecvStream {
    fn poll_drop(&mut self, context: &mut Context<'_>) -> Poll<Option<usize>> {
        let Some(Ok(data)) = ready!(self.poll_data(context)) else { return Poll::Ready(None) };
        // The client may send as much again.
        let released = self.flow_control().release_capacity(data.len());
        Poll::Ready(released.is_ok().then_some(data.len()))
    }
}

impl Rest for Incoming {
    fn poll_drop(&mut self, context: &mut Context<'_>) -> Poll<Option<usize>> {
        let Some(Ok(frame)) = ready!(Pin::new(self).poll_frame(context)) else { return Poll::Ready(None) };
        Poll::Ready(Some(frame.data_ref().map_or(0, bytes::Bytes::len)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        telemetry::shed::Shed,
        transport::budget::{Bound, Bounds, Purpose},
    };

    /// A request that never ends, and counts what was read of it.
    struct Endless(Arc<std::sync::atomic::AtomicUsize>);

    const PIECE_BYTES: usize = 1_024;

    impl Rest for Endless {
        fn poll_drop(&mut self, _: &mut Context<'_>) -> Poll<Option<usize>> {
            self.0.fetch_add(PIECE_BYTES, std::sync::atomic::Ordering::SeqCst);
            Poll::Ready(Some(PIECE_BYTES))
        }
    }

    /// A request of which nothing arrives.
    struct Silent;

    impl Rest for Silent {
        fn poll_drop(&mut self, _: &mut Context<'_>) -> Poll<Option<usize>> {
            Poll::Pending
        }
    }

    fn unread(time_max: Duration) -> Unread {
        let bound = |name| Bound { name, bytes: 64 << 20 };
        let bounds = Bounds {
            process: bound("requests_max_bytes"),
            identity: bound("requests_per_identity_max_bytes"),
            connection: Bound { name: "requests_per_connection_max_bytes", bytes: 64 << 10 },
        };
        let budget = Budget::new(Purpose::Requests, bounds, Shed::default());
        let account = budget.account(Payer::Probe, Default::default());
        Unread { discard: Discard { max_bytes: 64 << 10, time_max, budget }, account }
    }

    async fn read_of_an_endless_request(unread: &Unread) -> usize {
        let read = Arc::default();
        let (sender, returned) = oneshot::channel();
        assert!(sender.send(Endless(Arc::clone(&read))).is_ok());
        unread.drop_returned(returned).await;
        read.load(std::sync::atomic::Ordering::SeqCst)
    }

    #[tokio::test]
    async fn less_is_read_when_memory_is_short() {
        let unread = unread(Duration::from_secs(3_600));
        let held = unread.account.reserve(0).unwrap();
        assert_eq!(read_of_an_endless_request(&unread).await, (64 << 10) + PIECE_BYTES);
        drop(held);
        let held = unread.account.reserve(40 << 10).unwrap();
        assert_eq!(read_of_an_endless_request(&unread).await, (16 << 10) + PIECE_BYTES);
        drop(held);
        let _all = unread.account.reserve(60 << 10).unwrap();
        assert_eq!(read_of_an_endless_request(&unread).await, 0);
    }

    #[tokio::test]
    async fn silent_client_is_not_waited_for_without_end() {
        let unread = unread(Duration::from_millis(1));
        let (sender, returned) = oneshot::channel();
        assert!(sender.send(Silent).is_ok());
        timeout(Duration::from_secs(60), unread.drop_returned(returned)).await.unwrap();
        // What was reserved is free again.
        unread.account.reserve(64 << 10).unwrap();
    }
}
