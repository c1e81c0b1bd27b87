//! The codec of all calls, for bytes that are already encoded.
//!
//! A request is encoded once, before the first attempt, into memory that is wiped. Retries therefore don't copy secrets, and generated and
//! dynamic messages use the same codec.

use std::sync::Arc;

use bytes::{Buf, BufMut};
use prost::Message;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use zeroize::Zeroizing;

/// An encoded request. Clones share the bytes, which are wiped with the last clone.
#[derive(Clone)]
pub(crate) struct Encoded(Arc<Zeroizing<Vec<u8>>>);

impl Encoded {
    pub(crate) fn of(message: &impl Message) -> Self {
        // The exact capacity: growing would leave copies in memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(message.encoded_len()));
        message.encode(&mut *bytes).expect("the capacity is sufficient");
        Self(Arc::new(bytes))
    }
}

/// An encoded answer. Wiped on drop.
pub(crate) type Answer = Zeroizing<Vec<u8>>;

#[derive(Clone, Copy)]
pub(crate) struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Encoded;
    type Decode = Answer;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Encoded;
    type Error = Status;

    fn encode(&mut self, request: Encoded, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&request.0);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Answer;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Answer>, Status> {
        let mut answer = Zeroizing::new(vec![0; buffer.remaining()]);
        buffer.copy_to_slice(&mut answer);
        Ok(Some(answer))
    }
}
