//! The codec of the entity services: decodes requests to drafts of records, and encodes records, by plans that are compiled from the
//! descriptors of each method at start.
//!
//! Handlers use the types of `message`, so that decoding can change without changing them. The value of an encrypted attribute is copied
//! from the bytes of the request to a secret type, and has only one owner.

#[cfg(any(test, fuzzing))]
pub(crate) mod compare;
mod decode;
mod encode;
mod message;
#[cfg(any(test, fuzzing))]
mod reference;
mod wire;

use std::sync::Arc;

use bytes::Buf as _;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

pub(crate) use self::message::{
    CreateRequest, DeleteRequest, EntityReply, EntityRequest, GetRequest, ListRequest, UpdateRequest, WriteOptions,
};
use self::{decode::RequestPlan, encode::ReplyPlan};
use crate::{schema::EntityMethod, status};

/// The codec of one method.
#[derive(Clone)]
pub(crate) struct EntityCodec(Arc<Plans>);

struct Plans {
    request: RequestPlan,
    reply: ReplyPlan,
}

impl EntityCodec {
    /// Compiles the plans of a method. `mask_paths_max` is the maximum number of paths in a mask.
    pub(crate) fn new(method: &EntityMethod, mask_paths_max: usize) -> Self {
        let request = RequestPlan::new(method, mask_paths_max);
        EntityCodec(Arc::new(Plans { request, reply: ReplyPlan::new(method) }))
    }
}

impl Codec for EntityCodec {
    type Encode = EntityReply;
    type Decode = EntityRequest;
    type Encoder = EntityCodec;
    type Decoder = EntityCodec;

    fn encoder(&mut self) -> Self::Encoder {
        self.clone()
    }

    fn decoder(&mut self) -> Self::Decoder {
        self.clone()
    }
}

impl Decoder for EntityCodec {
    type Item = EntityRequest;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Self::Error> {
        // tonic collects a message in one buffer before it decodes it.
        let length = source.remaining();
        let bytes = source.chunk().get(..length).ok_or_else(status::broken)?;
        let request = self.0.request.decode(bytes).map_err(|_| status::message_invalid())?;
        source.advance(length);
        Ok(Some(request))
    }

    fn buffer_settings(&self) -> BufferSettings {
        sealward::codec::buffer_settings()
    }
}

impl Encoder for EntityCodec {
    type Item = EntityReply;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, destination: &mut EncodeBuf<'_>) -> Result<(), Self::Error> {
        self.0.reply.encode(&item, destination, |destination, bytes| destination.reserve(bytes));
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        sealward::codec::buffer_settings()
    }
}
