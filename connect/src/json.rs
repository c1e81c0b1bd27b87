//! The JSON mapping of protobuf, by descriptor: JSON text to wire bytes, and back.
//!
//! It follows the mapping of proto3, with these decisions where the mapping leaves a choice:
//!
//! * In JSON that is read, a field has either its JSON name or its name in the contract. Unknown fields and duplicate keys are refused, also
//!   a field under both of its names.
//! * In JSON that is written, a field has its JSON name ([`FieldNames`] has a choice for tables). Every field without presence is written,
//!   also with its default value: false, 0, an empty text or list. Of fields with presence, only those with a value are written, and a secret
//!   without one is null. Fields are in the order of their numbers, and entries of a map in the order of their keys, so that equal messages
//!   have equal JSON.
//! * Nesting has a bound: [`DEPTH_MAX`], and [`ANY_DEPTH_MAX`] for `google.protobuf.Any`.
//!
//! The text of a secret is copied from the input to the output, and nowhere else. Both outputs are wiped when they are dropped. Errors never
//! contain a value. The time is linear in the input, except for the order of keys of a map that is written. The memory is bounded by
//! [`DECODE_MEMORY_FACTOR`] and [`ENCODE_MEMORY_FACTOR`].
//!
//! Nothing here knows the meaning of a message, the transport, or the caller.

mod base64;
mod decode;
mod encode;
mod error;
mod mask;
mod number;
mod printer;
mod sink;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod token;
mod well_known;
mod wire;

use prost_reflect::MessageDescriptor;
use zeroize::Zeroizing;

pub use encode::{EncodeOptions, FieldNames};
pub use error::{JsonError, JsonProblem};
pub use printer::Layout;
pub use token::DEPTH_MAX;
pub use well_known::ANY_DEPTH_MAX;

/// The memory that [`decode`] allocates, including its result, is at most this multiple of the length of the JSON, and 4 KiB.
///
/// 16; not configurable. The worst texts are lists of `google.protobuf.Value` with one digit each, where 2 characters become 11 to 15 bytes
/// and the length of a message, and maps with a million short keys, which are compared.
pub const DECODE_MEMORY_FACTOR: usize = 16;

/// The memory that [`encode`] allocates, including its result, is at most this multiple of the length of the wire bytes and of the JSON
/// together, and 64 KiB for the descriptors of the messages.
///
/// 32; not configurable. The worst messages are maps with a million empty entries, which are sorted.
pub const ENCODE_MEMORY_FACTOR: usize = 32;

/// Converts the JSON text of a message to its wire bytes.
///
/// # Errors
/// [`JsonError`] if the text isn't the JSON form of such a message.
pub fn decode(descriptor: &MessageDescriptor, json: &[u8]) -> Result<Zeroizing<Vec<u8>>, JsonError> {
    decode_within(descriptor, json, |_| Ok(()))
}

/// As [`decode`]. `take_room` takes memory for the result, whose length it gets, before the result is allocated.
///
/// The other memory of a conversion is within [`DECODE_MEMORY_FACTOR`]. It isn't part of any room: a conversion doesn't wait, so there are
/// never more of them than threads.
///
/// # Errors
/// [`JsonError`] if the text isn't the JSON form of such a message; the error of `take_room`.
pub(crate) fn decode_within<E: From<JsonError>>(
    descriptor: &MessageDescriptor,
    json: &[u8],
    take_room: impl FnOnce(usize) -> Result<(), E>,
) -> Result<Zeroizing<Vec<u8>>, E> {
    decode::decode(descriptor, json, take_room)
}

/// Converts the wire bytes of a message to its JSON text, in one line and with JSON names.
///
/// # Errors
/// [`JsonError`] if the bytes aren't such a message, or have no JSON form.
pub fn encode(descriptor: &MessageDescriptor, wire: &[u8]) -> Result<Zeroizing<Vec<u8>>, JsonError> {
    encode_with(descriptor, wire, EncodeOptions::default())
}

/// As [`encode`], with options.
///
/// # Errors
/// [`JsonError`] if the bytes aren't such a message, or have no JSON form.
pub fn encode_with(
    descriptor: &MessageDescriptor,
    wire: &[u8],
    options: EncodeOptions,
) -> Result<Zeroizing<Vec<u8>>, JsonError> {
    encode::encode(descriptor, wire, options)
}
