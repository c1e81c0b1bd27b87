//! Checks the framing of a call's request: complete, uncompressed messages, and exactly one if the rpc takes one. Before this layer, the
//! framing of other protocols was changed to that of gRPC, and gzip was decompressed.
//!
//! tonic reads only what it needs, and reports broken requests as a failure of the server. This layer checks the frames as they pass, so
//! that a broken request is an error of the caller, and an interrupted request isn't an error. It doesn't check the content of messages.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderName, Request, Response, request::Parts};
use http_body::{Frame, SizeHint};
use sealward_connect::{RequestError, Unsupported};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{gate::Gate, permission::RpcTable, trace::CallFacts};
use crate::status::{self, BrokenMessage, Refusal};

/// The length of the header of each message: a compression flag (1 byte), and the message length (4 bytes, big endian).
const HEADER_LENGTH: usize = 5;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Refuses what the framing can't carry: streams of another protocol, and messages that are compressed with another coding than gzip.
#[derive(Clone, Copy)]
pub(crate) struct ServedFraming;

impl Gate for ServedFraming {
    fn admit(&self, head: &mut Parts) -> Result<(), Refusal> {
        if let Some(unsupported) = head.extensions.get::<Unsupported>() {
            return Err(Refusal::ProtocolUnsupported(*unsupported));
        }
        let is_identity = |value: &http::HeaderValue| value == "identity";
        if head.headers.get_all(GRPC_ENCODING).iter().all(is_identity) {
            Ok(())
        } else {
            Err(Refusal::CompressionNotServed)
        }
    }
}

/// Puts [`WholeMessages`] around a service.
#[derive(Clone)]
pub(crate) struct WholeMessagesLayer(pub(crate) Arc<RpcTable>);

/// A service that receives complete messages.
#[derive(Clone)]
pub(crate) struct WholeMessages<S> {
    rpcs: Arc<RpcTable>,
    inner: S,
}

impl<S> Layer<S> for WholeMessagesLayer {
    type Service = WholeMessages<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WholeMessages { rpcs: Arc::clone(&self.0), inner }
    }
}

impl<S> Service<Request<Body>> for WholeMessages<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // Health isn't in the table, and takes one message.
        let takes_stream = self.rpcs.get(request.uri().path()).is_some_and(|rpc| rpc.takes_stream);
        let facts = request.extensions().get::<CallFacts>().cloned().unwrap_or_default();
        let frames = Frames::new(takes_stream);
        self.inner.call(request.map(|inner| Body::new(Watched { inner, frames, facts, ended: false })))
    }
}

struct Watched {
    inner: Body,
    frames: Frames,
    facts: CallFacts,
    ended: bool,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let checked = match &polled {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => self.frames.take(data).map_err(status::broken_message),
                None => Ok(()),
            },
            // In HTTP/2, a body ends with a flag. A body that ends without it was reset by the client.
            None if self.inner.is_end_stream() => self.frames.end().map_err(status::broken_message),
            Some(Err(status)) if let Some(error) = RequestError::of(status) => Err(status::broken_request(error)),
            None | Some(Err(_)) => {
                self.facts.request_cut();
                Err(Refusal::Cancelled.into())
            }
        };
        match checked {
            Ok(()) => {
                self.ended = polled.is_none();
                Poll::Ready(polled)
            }
            Err(status) => {
                self.ended = true;
                Poll::Ready(Some(Err(status)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // If the end is invalid, the body must be polled once more to report it.
        self.ended || self.inner.is_end_stream() && self.frames.end().is_ok()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The position in the messages of a request.
#[derive(Debug)]
pub(crate) struct Frames {
    takes_stream: bool,
    messages: u64,
    header: [u8; HEADER_LENGTH],
    /// The number of received bytes of the next header.
    header_length: usize,
    /// The number of missing bytes of the message.
    missing: usize,
}

impl Frames {
    pub(crate) fn new(takes_stream: bool) -> Self {
        Self { takes_stream, messages: 0, header: [0; HEADER_LENGTH], header_length: 0, missing: 0 }
    }

    pub(crate) fn take(&mut self, mut data: &[u8]) -> Result<(), BrokenMessage> {
        while !data.is_empty() {
            let passed = self.missing.min(data.len());
            self.missing -= passed;
            data = data.get(passed..).unwrap_or_default();
            if self.missing > 0 {
                break;
            }
            for byte in data.iter().take(HEADER_LENGTH - self.header_length) {
                if let Some(slot) = self.header.get_mut(self.header_length) {
                    *slot = *byte;
                }
                self.header_length += 1;
                data = data.get(1..).unwrap_or_default();
            }
            if self.header_length == HEADER_LENGTH {
                self.begin_message()?;
            }
        }
        Ok(())
    }

    fn begin_message(&mut self) -> Result<(), BrokenMessage> {
        let [compressed, length @ ..] = self.header;
        match compressed {
            0 => {}
            1 => return Err(BrokenMessage::Compressed),
            _ => return Err(BrokenMessage::Flag),
        }
        self.messages += 1;
        if self.messages > 1 && !self.takes_stream {
            return Err(BrokenMessage::Second);
        }
        self.header_length = 0;
        self.missing = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        Ok(())
    }

    pub(crate) fn end(&self) -> Result<(), BrokenMessage> {
        if self.missing > 0 || self.header_length > 0 {
            return Err(BrokenMessage::CutOff);
        }
        if self.messages == 0 && !self.takes_stream {
            return Err(BrokenMessage::Missing);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, Full, StreamBody};
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;

    fn message(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[0][..], &length, bytes].concat()
    }

    fn checked_frames(takes_stream: bool, pieces: &[&[u8]]) -> Result<(), BrokenMessage> {
        let mut frames = Frames::new(takes_stream);
        pieces.iter().try_for_each(|piece| frames.take(piece))?;
        frames.end()
    }

    #[test]
    fn second_message_of_a_unary_call_is_refused() {
        let one = message(b"one");
        let two = [message(b"one"), message(b"")].concat();
        assert_eq!(checked_frames(false, &[&one]), Ok(()));
        assert_eq!(checked_frames(false, &[&message(b"")]), Ok(()));
        assert_eq!(checked_frames(false, &[&two]), Err(BrokenMessage::Second));
        assert_eq!(checked_frames(true, &[&two]), Ok(()));
        assert_eq!(checked_frames(false, &[]), Err(BrokenMessage::Missing));
        assert_eq!(checked_frames(true, &[]), Ok(()));
    }

    #[test]
    fn message_that_is_cut_off_or_compressed_is_refused() {
        let whole = message(b"message");
        for length in 1..whole.len() {
            for takes_stream in [false, true] {
                assert_eq!(checked_frames(takes_stream, &[&whole[..length]]), Err(BrokenMessage::CutOff), "{length}");
            }
        }
        assert_eq!(checked_frames(false, &[&[1, 0, 0, 0, 0]]), Err(BrokenMessage::Compressed));
        assert_eq!(checked_frames(false, &[&[2, 0, 0, 0, 0]]), Err(BrokenMessage::Flag));
    }

    proptest! {
        #[test]
        fn framing_of_a_request_makes_no_difference(
            lengths in prop::collection::vec(0_usize..20, 0..5),
            cuts in prop::collection::vec(1_usize..8, 1..10),
        ) {
            let whole: Vec<u8> = lengths.iter().flat_map(|length| message(&vec![7; *length])).collect();
            let mut pieces = Vec::new();
            let mut rest = &whole[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, more) = rest.split_at(rest.len().min(*cut));
                pieces.push(piece);
                rest = more;
            }
            prop_assert_eq!(checked_frames(true, &pieces), Ok(()));
            prop_assert_eq!(checked_frames(false, &pieces), checked_frames(false, &[&whole]));
        }
    }

    async fn read(inner: Body, facts: &CallFacts) -> Result<Bytes, Status> {
        let body = Watched { inner, frames: Frames::new(false), facts: facts.clone(), ended: false };
        Ok(body.collect().await?.to_bytes())
    }

    #[tokio::test]
    async fn reset_request_is_cut_off_and_counts_as_cancelled() {
        let facts = CallFacts::default();
        let whole = Body::new(Full::new(Bytes::from(message(b"whole"))));
        assert_eq!(read(whole, &facts).await.unwrap(), message(b"whole"));
        assert!(!facts.was_cut());
        // This body ends without the end flag of HTTP/2.
        let reset =
            StreamBody::new(tokio_stream::once(Ok::<_, Infallible>(Frame::data(Bytes::from(message(b"reset"))))));
        assert_eq!(read(Body::new(reset), &facts).await.unwrap_err().code(), Code::Cancelled);
        assert!(facts.was_cut());
    }

    #[test]
    fn only_the_identity_encoding_is_admitted() {
        // gzip was decompressed before.
        let admitted = |encodings: &[&str]| {
            let request =
                encodings.iter().fold(Request::builder(), |request, value| request.header(GRPC_ENCODING, *value));
            ServedFraming.admit(&mut request.body(()).unwrap().into_parts().0)
        };
        assert_eq!(admitted(&[]), Ok(()));
        assert_eq!(admitted(&["identity"]), Ok(()));
        for encodings in [&["gzip"][..], &["deflate"], &["zstd"], &[""], &["identity", "gzip"]] {
            assert_eq!(admitted(encodings), Err(Refusal::CompressionNotServed), "{encodings:?}");
        }
    }
}
