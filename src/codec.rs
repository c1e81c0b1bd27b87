//! The codec of all messages: prost, with small buffers.

use std::marker::PhantomData;

use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::{ProstCodec, ProstDecoder};

/// The initial size of a call's buffers in bytes: one for its request, one for its answer. Most messages fit. A larger message is counted
/// before it is written, so that its buffer grows once. tonic's default is 8 KiB, eight times what allocators serve fastest: glibc keeps
/// blocks of up to 1,032 bytes at hand for each thread.
const BUFFER_BYTES: usize = 1_000;

/// A stream sends its collected messages once they have this number of bytes: tonic's default.
const YIELD_BYTES: usize = 32 * 1_024;

/// The settings of the buffers of a call.
fn buffer_settings() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
}

/// Encodes messages of the type `T`, and decodes those of the type `U`.
#[derive(Debug)]
pub struct MessageCodec<T, U>(PhantomData<fn(T) -> U>);

impl<T, U> Default for MessageCodec<T, U> {
    fn default() -> Self {
        MessageCodec(PhantomData)
    }
}

impl<T, U> Codec for MessageCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = MessageEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(buffer_settings())
    }
}

/// Encodes messages.
#[derive(Debug)]
pub struct MessageEncoder<T>(PhantomData<fn(T)>);

impl<T: Message> Encoder for MessageEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, destination: &mut EncodeBuf<'_>) -> Result<(), Status> {
        destination.reserve(item.encoded_len());
        item.encode_raw(destination);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffer_settings()
    }
}
