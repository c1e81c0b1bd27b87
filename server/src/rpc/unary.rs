//! A call of an entity's method: one message in, one message out.
//!
//! The layers before have checked that a request is one complete message without compression, within the limits. So its frames are only
//! joined here, which is rarely needed, and its bytes are decoded. tonic's server is for streams in both directions, with several buffers
//! and boxed bodies, which took a twentieth of a short call.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, Version, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tonic::{Status, body::Body, metadata::GRPC_CONTENT_TYPE};

use crate::status;

/// The length of the header of a message: a flag for compression (1 byte), and the length of the message (4 bytes, big endian).
const HEADER_BYTES: usize = 5;

/// Reads the message of a request.
pub(super) async fn read(mut body: Body) -> Result<Bytes, Status> {
    let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        // Trailers of a request have no meaning.
        let Ok(data) = frame?.into_data() else { continue };
        if joined.is_empty() && first.is_empty() {
            first = data;
        } else {
            if joined.is_empty() {
                joined.put(std::mem::take(&mut first));
            }
            joined.put(data);
        }
    }
    let mut message = if joined.is_empty() { first } else { joined.freeze() };
    let is_whole = matches!(
        message.split_at_checked(HEADER_BYTES),
        Some(([0, length @ ..], content)) if *length == length_prefix(content.len())
    );
    if is_whole { Ok(message.split_off(HEADER_BYTES)) } else { Err(status::message_invalid()) }
}

/// Begins an answer of this length.
pub(super) fn begin(length: usize) -> BytesMut {
    let mut message = BytesMut::with_capacity(HEADER_BYTES + length);
    message.put_u8(0);
    message.put_slice(&length_prefix(length));
    message
}

/// Begins an answer of unknown length with at most this number of records.
pub(super) fn begin_page(records: u32) -> Vec<u8> {
    /// The space for a record with a few texts.
    const RECORD_BYTES: usize = 384;
    /// A larger page grows: most requests for one find fewer records.
    const RECORDS_MAX: u32 = 128;
    let records = usize::try_from(records.min(RECORDS_MAX)).unwrap_or_default();
    let mut message = Vec::with_capacity(records * RECORD_BYTES);
    message.extend_from_slice(&[0; HEADER_BYTES]);
    message
}

/// Writes the length of an answer that was begun without it.
pub(super) fn end_page(mut message: Vec<u8>) -> Vec<u8> {
    let length = length_prefix(message.len().saturating_sub(HEADER_BYTES));
    if let Some([_, place @ ..]) = message.first_chunk_mut::<HEADER_BYTES>() {
        *place = length;
    }
    // An answer may wait for its caller.
    if message.capacity() / 2 > message.len() {
        message.shrink_to_fit();
    }
    message
}

/// Refuses an answer that is larger than the limit.
pub(super) fn check_length(message: &[u8], limit: usize) -> Result<(), Status> {
    let bytes = message.len().saturating_sub(HEADER_BYTES);
    if bytes > limit { Err(status::answer_too_large(bytes, limit)) } else { Ok(()) }
}

fn length_prefix(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// The response with this answer.
pub(super) fn response(message: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Answer { message: Some(message), has_ended: false }));
    *response.version_mut() = Version::HTTP_2;
    response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

/// The message of an answer, and the trailers of a successful call.
struct Answer {
    message: Option<Bytes>,
    has_ended: bool,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        const OK: HeaderValue = HeaderValue::from_static("0");
        const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if std::mem::replace(&mut self.has_ended, true) {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::from_iter([(GRPC_STATUS, OK)])))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;
    use tonic::Code;

    use super::*;

    async fn read_frames(frames: &[&'static [u8]]) -> Result<Bytes, Code> {
        let frames: Vec<_> =
            frames.iter().map(|bytes| Ok::<_, Status>(Frame::data(Bytes::from_static(bytes)))).collect();
        read(Body::new(StreamBody::new(tokio_stream::iter(frames)))).await.map_err(|status| status.code())
    }

    #[tokio::test]
    async fn message_is_read_from_any_frames() {
        let message = Ok(Bytes::from_static(b"abc"));
        assert_eq!(read_frames(&[b"\0\0\0\0\x03abc"]).await, message);
        assert_eq!(read_frames(&[b"\0\0", b"", b"\0\0\x03", b"a", b"bc"]).await, message);
        assert_eq!(read_frames(&[b"", b"\0\0\0\0\0"]).await, Ok(Bytes::new()));
        for wrong in [&b"\0\0\0\0\x04abc"[..], b"\x01\0\0\0\x03abc", b"\0\0\0\0\x02abc", b"\0\0\0", b""] {
            assert_eq!(read_frames(&[wrong]).await, Err(Code::InvalidArgument), "{wrong:?}");
        }
    }

    #[test]
    fn page_has_its_length() {
        let mut message = begin_page(1);
        message.put_slice(b"abc");
        assert_eq!(end_page(message), b"\0\0\0\0\x03abc");
        assert_eq!(end_page(begin_page(1_000)), b"\0\0\0\0\0");
    }

    #[tokio::test]
    async fn answer_is_a_message_and_trailers() {
        let mut message = begin(3);
        message.put_slice(b"abc");
        let response = response(message.freeze());
        assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
        let answer = response.into_body().collect().await.unwrap();
        assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(answer.to_bytes(), &b"\0\0\0\0\x03abc"[..]);
    }
}
