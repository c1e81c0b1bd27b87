//! The JSON mapping of protobuf, by descriptor: JSON to wire bytes, and back.

use std::fmt;

use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use zeroize::Zeroizing;

/// Why a JSON text or a message can't be converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The path of the field: names of fields and indexes, separated by dots. Empty for the message itself.
    pub path: String,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.problem) } else { write!(f, "{}: {}", self.path, self.problem) }
    }
}

impl std::error::Error for JsonError {}

fn error(problem: impl fmt::Display) -> JsonError {
    JsonError { path: String::new(), problem: problem.to_string() }
}

/// Converts the JSON text of a message to its wire bytes.
///
/// # Errors
/// The text isn't the JSON form of such a message.
pub fn decode(descriptor: &MessageDescriptor, json: &[u8]) -> Result<Zeroizing<Vec<u8>>, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize(descriptor.clone(), &mut deserializer).map_err(error)?;
    deserializer.end().map_err(error)?;
    Ok(Zeroizing::new(message.encode_to_vec()))
}

/// Converts the wire bytes of a message to its JSON text.
///
/// # Errors
/// The bytes aren't such a message.
pub fn encode(descriptor: &MessageDescriptor, wire: &[u8]) -> Result<Zeroizing<Vec<u8>>, JsonError> {
    let message = DynamicMessage::decode(descriptor.clone(), wire).map_err(error)?;
    serde_json::to_vec(&message).map(Zeroizing::new).map_err(error)
}
