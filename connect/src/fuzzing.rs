//! The entry point for the fuzzer in `fuzz/`. Built for fuzzing only.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use tonic::{Status, body::Body};

use crate::{
    buffer::{BufferBound, Room},
    methods::Methods,
    request::{Form, body},
};

/// The maximum size of a message.
const MESSAGE_SIZE_MAX: usize = 64 * 1024;

/// Changes a body to gRPC. The lowest bits of `form` select what is changed. The result must not depend on the sizes of the pieces, except
/// for which of several faults is found first. No message is larger than the limit.
pub fn request(form: u8, pieces: &[&[u8]]) {
    let whole = pieces.concat();
    let (in_pieces, at_once) = (outcome(form, pieces), outcome(form, &[&whole]));
    assert!(in_pieces == at_once || in_pieces.is_err() && at_once.is_err(), "{in_pieces:?}, but {at_once:?} at once");
}

fn outcome(form: u8, pieces: &[&[u8]]) -> Result<Vec<u8>, String> {
    let is = |bit: u8| form & bit != 0;
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let json = Methods::new([]).expect("the types of error details are valid").message("google.rpc.ErrorInfo");
    let form = Form {
        is_bare: is(1),
        is_text: is(2),
        is_gzip: is(4),
        json: json.filter(|_| is(8)),
        content_length: (is(16) && !is(2)).then_some(length),
        takes_stream: is(32),
    };
    let inner = Body::new(Pieces(pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect()));
    let mut changed = body(inner, form, Room::new(MESSAGE_SIZE_MAX, BufferBound::default()));
    let mut bytes = Vec::new();
    loop {
        match Pin::new(&mut changed).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Poll::Ready(Some(Err(status))) => return Err(status.message().to_owned()),
            Poll::Ready(None) => return Ok(bytes),
            Poll::Pending => unreachable!("the body is complete"),
        }
    }
}

struct Pieces(VecDeque<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}
