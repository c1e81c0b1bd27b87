//! The body of a request, as frames of gRPC without compression.
//!
//! A message that arrives in another form is collected, within the room of the request, and passed on as one frame. The first byte of its
//! frame is passed on as soon as the message begins, so that a service can limit the time of its arrival.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use prost_reflect::MessageDescriptor;
use tonic::{Status, body::Body};

use crate::{
    buffer::{Buffer, Room},
    envelope::{COMPRESSED, Envelopes, Event, PREFIX_BYTES, prefix},
    gzip, json,
    request_error::RequestError,
    text::TextDecoder,
};

/// The form of the messages in a request.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// Whether the body is one message without a prefix.
    pub(crate) is_bare: bool,
    /// Whether the body is in base64.
    pub(crate) is_text: bool,
    /// Whether messages are compressed with gzip, or may be.
    pub(crate) is_gzip: bool,
    /// The type of the messages, if they are JSON.
    pub(crate) json: Option<MessageDescriptor>,
    /// The size of the body, if it is known.
    pub(crate) content_length: Option<usize>,
    /// Whether the method takes more than one message.
    pub(crate) takes_stream: bool,
}

impl Form {
    /// Whether the body has the form already.
    pub(crate) fn is_grpc(&self) -> bool {
        !self.is_bare && !self.is_text && !self.is_gzip && self.json.is_none()
    }
}

/// A body in this form as one of gRPC.
pub(crate) fn body(inner: Body, form: Form, room: Room) -> Body {
    if form.is_grpc() {
        return inner;
    }
    let text = form.is_text.then(TextDecoder::default);
    Body::new(RequestBody {
        inner,
        text,
        form,
        room,
        arrived: Bytes::new(),
        state: State::Begin,
        envelopes: Envelopes::default(),
        has_begun: false,
        out: VecDeque::new(),
    })
}

struct RequestBody {
    inner: Body,
    text: Option<TextDecoder>,
    form: Form,
    room: Room,
    /// The received bytes that aren't processed yet.
    arrived: Bytes,
    state: State,
    envelopes: Envelopes,
    /// Whether a message has begun.
    has_begun: bool,
    /// The frames to pass on.
    out: VecDeque<Bytes>,
}

/// The position in the body.
enum State {
    /// Nothing was read.
    Begin,
    /// Messages have prefixes.
    Enveloped,
    /// The message is collected.
    Collecting(Buffer),
    /// The bytes of the message are passed on unchanged, behind its prefix.
    Passing,
    /// The body has ended.
    Ended,
    /// The body was reset, or has failed.
    Cut,
}

impl RequestBody {
    /// Starts the body, before anything is read.
    fn begin(&mut self) -> Result<(), RequestError> {
        let is_changed = self.form.is_gzip || self.form.json.is_some();
        self.state = match self.form.content_length {
            _ if !self.form.is_bare => State::Enveloped,
            Some(length) if !is_changed => {
                // The service judges the length before the message arrives.
                self.out.push_back(prefix(0, length).ok_or(RequestError::TooLarge { limit: PREFIX_MAX })?);
                State::Passing
            }
            Some(length) => {
                self.room.take(length, 0)?;
                State::Collecting(Buffer::default())
            }
            None => State::Collecting(Buffer::default()),
        };
        Ok(())
    }

    /// Processes the received bytes, until there is something to pass on, or until nothing is left.
    fn process(&mut self) -> Result<(), RequestError> {
        match &mut self.state {
            State::Passing => {
                if !self.arrived.is_empty() {
                    self.out.push_back(std::mem::take(&mut self.arrived));
                }
            }
            State::Collecting(message) => {
                if !self.arrived.is_empty() {
                    self.room.take(message.len().saturating_add(self.arrived.len()), 0)?;
                    message.extend(&self.arrived);
                    self.arrived.clear();
                }
            }
            State::Enveloped => match self.envelopes.next(&mut self.arrived, &self.room)? {
                // The service charges the first message until it is answered, and no other beside it.
                Some(Event::Begun) if self.has_begun && !self.form.takes_stream => return Err(RequestError::Second),
                Some(Event::Begun) => {
                    self.has_begun = true;
                    self.out.push_back(Bytes::from_static(&[0]));
                }
                Some(Event::Message(flags, data)) => {
                    let is_compressed = match flags {
                        0 => false,
                        COMPRESSED if self.form.is_gzip => true,
                        COMPRESSED => return Err(RequestError::Compressed),
                        _ => return Err(RequestError::Flags),
                    };
                    let message = self.decode(data, is_compressed)?;
                    // The first byte was passed on when the message began.
                    self.out.push_back(length_prefix(message.len())?.slice(1..));
                    self.out.push_back(message);
                }
                None => {}
            },
            State::Begin | State::Ended | State::Cut => {}
        }
        Ok(())
    }

    /// Ends a complete body.
    fn end(&mut self) -> Result<(), RequestError> {
        if self.text.as_ref().is_some_and(TextDecoder::is_within) {
            return Err(RequestError::Base64);
        }
        if self.envelopes.is_within() {
            return Err(RequestError::CutOff);
        }
        if let State::Collecting(message) = std::mem::replace(&mut self.state, State::Ended) {
            let message = self.decode(message.into_bytes(), self.form.is_gzip)?;
            self.out.push_back(length_prefix(message.len())?);
            self.out.push_back(message);
        }
        Ok(())
    }

    /// The binary form of a message.
    fn decode(&self, data: Bytes, is_compressed: bool) -> Result<Bytes, RequestError> {
        let data = if is_compressed {
            let message = gzip::decompress(&data, &self.room)?;
            drop(data);
            message
        } else {
            data
        };
        match &self.form.json {
            Some(descriptor) => {
                let wire = json::decode_within(descriptor, &data, |size| self.room.take(size, data.len()))?;
                Ok(Bytes::from_owner(wire))
            }
            None => Ok(data),
        }
    }

    /// Processes the next frame of the body; `false` at its end.
    fn take(&mut self, frame: Option<Frame<Bytes>>) -> Result<bool, RequestError> {
        match frame {
            Some(frame) => {
                // Trailers of a request mean nothing.
                if let Ok(data) = frame.into_data() {
                    self.arrived = match &mut self.text {
                        Some(text) => text.decode(&data)?,
                        None => data,
                    };
                }
                Ok(true)
            }
            // A body that ends without its end was reset by the caller. Nothing of it may be taken for a message.
            None if !self.inner.is_end_stream() => {
                self.state = State::Cut;
                Ok(false)
            }
            None => {
                self.end()?;
                self.state = State::Ended;
                Ok(false)
            }
        }
    }

    fn fail(&mut self, error: RequestError) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.state = State::Cut;
        self.out.clear();
        Poll::Ready(Some(Err(error.into_status())))
    }
}

/// The maximum length that a prefix can say.
const PREFIX_MAX: usize = u32::MAX as usize;

fn length_prefix(length: usize) -> Result<Bytes, RequestError> {
    let prefix = prefix(0, length).ok_or(RequestError::TooLarge { limit: PREFIX_MAX })?;
    debug_assert_eq!(prefix.len(), PREFIX_BYTES);
    Ok(prefix)
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if matches!(this.state, State::Begin)
            && let Err(error) = this.begin()
        {
            return this.fail(error);
        }
        loop {
            if let Some(data) = this.out.pop_front() {
                if data.is_empty() {
                    continue;
                }
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if matches!(this.state, State::Ended | State::Cut) {
                return Poll::Ready(None);
            }
            if let Err(error) = this.process() {
                return this.fail(error);
            }
            if !this.out.is_empty() || !this.arrived.is_empty() {
                continue;
            }
            let frame = match ready!(Pin::new(&mut this.inner).poll_frame(context)).transpose() {
                Ok(frame) => frame,
                Err(status) => {
                    this.state = State::Cut;
                    return Poll::Ready(Some(Err(status)));
                }
            };
            if let Err(error) = this.take(frame) {
                return this.fail(error);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended) && self.out.iter().all(Bytes::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http_body_util::{BodyExt as _, Full};

    use super::*;
    use crate::buffer::BufferBound;

    fn form() -> Form {
        Form { is_bare: false, is_text: false, is_gzip: true, json: None, content_length: None, takes_stream: false }
    }

    /// The messages of a request in this form, or the fault, and the sizes for which memory was taken.
    async fn read(form: Form, sent: &[u8]) -> (Result<Bytes, Status>, Vec<usize>) {
        let (bound, taken) = (BufferBound::default(), Arc::new(Mutex::new(Vec::new())));
        let sizes = Arc::clone(&taken);
        bound.set(move |message, _| {
            sizes.lock().unwrap().push(message);
            Ok(())
        });
        let inner = Body::new(Full::new(Bytes::copy_from_slice(sent)));
        let read = body(inner, form, Room::new(100, bound)).collect().await.map(|body| body.to_bytes());
        let sizes = taken.lock().unwrap().clone();
        (read, sizes)
    }

    #[tokio::test]
    async fn second_message_of_a_unary_call_is_refused_before_memory_is_taken() {
        let [first, second] = [[&[0, 0, 0, 0, 3][..], b"one"].concat(), [&[0, 0, 0, 0, 6][..], b"second"].concat()];
        let both = [first, second].concat();
        let (read_both, sizes) = read(Form { takes_stream: true, ..form() }, &both).await;
        assert_eq!((read_both.unwrap(), sizes), (Bytes::from(both.clone()), vec![3, 6]));
        for length in 9..both.len() {
            let (refused, sizes) = read(form(), &both[..length]).await;
            assert!(matches!(RequestError::of(&refused.unwrap_err()), Some(RequestError::Second)), "{length}");
            assert_eq!(sizes, [3]);
        }
    }
}
