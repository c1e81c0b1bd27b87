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

use bytes::BytesMut;
use tonic::Status;

pub(crate) use self::message::{
    CreateRequest, DeleteRequest, EntityReply, EntityRequest, GetRequest, ListRequest, UpdateRequest, WriteOptions,
};
use self::{decode::RequestPlan, encode::ReplyPlan};
use crate::{schema::EntityMethod, status};

/// The codec of one method.
pub(crate) struct EntityCodec {
    request: RequestPlan,
    reply: ReplyPlan,
}

impl EntityCodec {
    /// Compiles the plans of a method. `mask_paths_max` is the maximum number of paths in a mask.
    pub(crate) fn new(method: &EntityMethod, mask_paths_max: usize) -> Self {
        EntityCodec { request: RequestPlan::new(method, mask_paths_max), reply: ReplyPlan::new(method) }
    }

    /// Decodes a request. The result contains violations of fields.
    ///
    /// # Errors
    /// The bytes aren't a message of the expected type.
    pub(crate) fn decode(&self, message: &[u8]) -> Result<EntityRequest, Status> {
        self.request.decode(message).map_err(|_| status::message_invalid())
    }

    /// Encodes an answer. `begin` creates the buffer for an answer of this length.
    pub(crate) fn encode(&self, reply: &EntityReply, begin: impl FnOnce(usize) -> BytesMut) -> BytesMut {
        let mut buffer = BytesMut::new();
        self.reply.encode(reply, &mut buffer, |buffer, length| *buffer = begin(length));
        buffer
    }
}
