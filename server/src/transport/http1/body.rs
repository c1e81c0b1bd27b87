//! The bodies of a call: the request's, which returns what isn't read of it, and the answer's, whose bytes are counted until they are sent.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tonic::body::Body;

use super::exchange::Exchange;
use crate::transport::calls::OpenCall;

/// The body of a request. It returns the rest if it is dropped before its end.
pub(super) struct RequestBody {
    rest: Option<Incoming>,
    returned: Option<oneshot::Sender<Incoming>>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, returned: oneshot::Sender<Incoming>) -> Self {
        Self { rest: Some(body), returned: Some(returned) }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(body) = &mut self.rest else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.rest = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let (Some(rest), Some(returned)) = (self.rest.take(), self.returned.take())
            && !rest.is_end_stream()
        {
            let _dropped_or_not = returned.send(rest);
        }
    }
}

/// The body of an answer. The call is open until its last byte is sent.
pub(super) struct AnswerBody {
    inner: Body,
    open: Arc<OpenCall>,
    exchange: Arc<Exchange>,
}

impl AnswerBody {
    pub(super) fn new(inner: Body, open: Arc<OpenCall>, exchange: Arc<Exchange>) -> Self {
        Self { inner, open, exchange }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|bytes| {
                    let queued = Arc::clone(self.exchange.queued_bytes());
                    Bytes::from_owner(Queued::new(bytes, queued, Arc::clone(&self.open)))
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.exchange.end_answer();
    }
}

/// Bytes of an answer that the protocol holds.
struct Queued {
    bytes: Bytes,
    count: u64,
    queued: Arc<AtomicU64>,
    _open: Arc<OpenCall>,
}

impl Queued {
    fn new(bytes: Bytes, queued: Arc<AtomicU64>, open: Arc<OpenCall>) -> Self {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        queued.fetch_add(count, Ordering::SeqCst);
        Self { bytes, count, queued, _open: open }
    }
}

impl AsRef<[u8]> for Queued {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.count, Ordering::SeqCst);
    }
}
