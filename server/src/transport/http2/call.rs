//! One call: its request as a body, its answer into the stream, and the end of both.
//!
//! In HTTP/2, the client decides how fast it reads an answer. So only as much of an answer is passed to the protocol as the client's window
//! allows, waiting answers are counted, and the stream is reset after the deadline of the call or when the client reads nothing for too
//! long. The rest of a request that was answered early is read and dropped before the stream is.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use crate::{
    drain::Drain,
    telemetry::shed::Shed,
    transport::{
        budget::{Account, Reservation},
        calls::EndsAt,
        discard::Unread,
    },
};

/// The maximum part of the connection's window that an answer claims at a time, so that no stream blocks the others.
const CLAIM_BYTES: usize = 32 * 1024;

/// The maximum time that an answer waits for its caller when the server stops.
const LAST_STALL_MAX: Duration = Duration::from_secs(2);

/// The bounds of each call.
#[derive(Clone, Debug)]
pub(crate) struct CallBounds {
    /// The maximum time that an answer waits for a caller that reads nothing of it.
    pub(crate) stall_max: Duration,
    /// When it drains, answers wait for a shorter time.
    pub(crate) drain: Drain,
    /// Counts refusals.
    pub(crate) shed: Shed,
}

/// The bounds for the ends of the calls of a connection.
pub(super) struct Ends {
    pub(super) bounds: CallBounds,
    /// For requests that are answered early.
    pub(super) unread: Unread,
}

/// Serves one call. The request has its extensions already.
pub(super) async fn serve<S>(
    service: S,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    Ends { bounds, unread }: &Ends,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let (sender, returned) = oneshot::channel();
    let request = request.map(|stream| Body::new(RequestBody { stream: Some(stream), returned: Some(sender) }));
    let answer = tokio::select! {
        biased;
        // First, so that a call whose caller has left is dropped before it fails because of a missing message.
        _ = poll_fn(|context| respond.poll_reset(context)) => return,
        answer = service.oneshot(request) => answer,
    };
    let Ok(response) = answer;
    let (head, body) = response.into_parts();
    let ends_at = head.extensions.get::<EndsAt>().map(|ends_at| ends_at.0);
    let account = head.extensions.get::<Account>().cloned();
    let is_complete = body.is_end_stream();
    let Ok(stream) = respond.send_response(Response::from_parts(head, ()), is_complete) else { return };
    if !is_complete {
        let mut answer = Answer { stream, ends_at, account, bounds };
        if let Err(Unsent(Some(reason))) = answer.send(body).await {
            answer.stream.send_reset(reason);
            return;
        }
    }
    // The answer has ended. The stream is reset only after this, with NO_ERROR, if the request hasn't ended by then.
    unread.drop_returned(returned).await;
}

/// An answer on its way.
struct Answer<'a> {
    stream: SendStream<Bytes>,
    ends_at: Option<Instant>,
    /// The account that is charged while the answer waits.
    account: Option<Account>,
    bounds: &'a CallBounds,
}

/// An answer can't be sent completely. It has the reason to reset the stream; `None` if the stream is already gone.
struct Unsent(Option<Reason>);

impl From<h2::Error> for Unsent {
    fn from(_: h2::Error) -> Self {
        Unsent(None)
    }
}

impl Answer<'_> {
    async fn send(&mut self, mut body: Body) -> Result<(), Unsent> {
        loop {
            let frame = tokio::select! {
                biased;
                _ = poll_fn(|context| self.stream.poll_reset(context)) => return Err(Unsent(None)),
                frame = body.frame() => frame,
            };
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.send_data(data).await?,
                Some(Ok(Err(frame))) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return Ok(self.stream.send_trailers(trailers)?);
                    }
                }
                Some(Err(_)) => return Err(Unsent(Some(Reason::INTERNAL_ERROR))),
                None => return Ok(self.stream.send_data(Bytes::new(), true)?),
            }
        }
    }

    async fn send_data(&mut self, mut data: Bytes) -> Result<(), Unsent> {
        let mut waiting: Option<Reservation> = None;
        // All of it stays in memory until the last part is read.
        let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
        while !data.is_empty() {
            self.stream.reserve_capacity(data.len().min(CLAIM_BYTES));
            let room = match self.stream.capacity() {
                0 => {
                    if let (None, Some(account)) = (&waiting, &self.account) {
                        let reserved = account.reserve(size);
                        // gRPC reads this as RESOURCE_EXHAUSTED.
                        waiting = Some(reserved.map_err(|_| Unsent(Some(Reason::ENHANCE_YOUR_CALM)))?);
                    }
                    self.wait_for_window().await?
                }
                room => room,
            };
            self.stream.send_data(data.split_to(room.min(data.len())), false)?;
        }
        Ok(())
    }

    /// Waits until the caller's window allows more data.
    async fn wait_for_window(&mut self) -> Result<usize, Unsent> {
        let CallBounds { stall_max, drain, shed, .. } = self.bounds;
        let stalled_at = Instant::now() + *stall_max;
        let ends_at = self.ends_at.map_or(stalled_at, |ends_at| ends_at.min(stalled_at));
        let stream = &mut self.stream;
        let made = poll_fn(|context| {
            loop {
                match ready!(stream.poll_capacity(context)) {
                    Some(Ok(0)) => {}
                    Some(Ok(room)) => return Poll::Ready(Some(room)),
                    Some(Err(_)) | None => return Poll::Ready(None),
                }
            }
        });
        let ending = async {
            drain.begun().await;
            let _never = timeout(LAST_STALL_MAX, std::future::pending::<()>()).await;
        };
        let made = tokio::select! {
            made = timeout_at(ends_at, made) => made.ok(),
            () = ending => None,
        };
        match made {
            Some(Some(room)) => Ok(room),
            Some(None) => Err(Unsent(None)),
            None => {
                if Instant::now() >= stalled_at {
                    shed.count("answer_stall_max_ms");
                }
                Err(Unsent(Some(Reason::CANCEL)))
            }
        }
    }
}

/// The body of a request. It returns the stream if it is dropped before its end.
struct RequestBody {
    stream: Option<RecvStream>,
    returned: Option<oneshot::Sender<RecvStream>>,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        match ready!(stream.poll_data(context)) {
            Some(Ok(data)) => {
                let released = stream.flow_control().release_capacity(data.len());
                return Poll::Ready(Some(released.map(|()| Frame::data(data))));
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => {}
        }
        let trailers = ready!(stream.poll_trailers(context)).transpose();
        self.stream = None;
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.as_ref().is_none_or(RecvStream::is_end_stream)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let (Some(stream), Some(returned)) = (self.stream.take(), self.returned.take())
            && !stream.is_end_stream()
        {
            let _dropped_or_not = returned.send(stream);
        }
    }
}
