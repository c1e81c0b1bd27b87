//! Errors of the JSON mapping: the path of a field, and a typed problem. Neither contains a value.

use std::fmt;

use prost_reflect::FieldDescriptor;

use crate::secret::is_secret;

/// A JSON text isn't the JSON form of the message, or wire bytes can't be converted to JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The JSON path of the field, such as `mailbox.displayName`, `attributes[2]` or `values["password"]`. Empty for the message itself.
    /// It ends at a field with the option `debug_redact`.
    pub path: String,
    /// The problem. It contains no value.
    pub problem: JsonProblem,
}

/// What is wrong in a JSON text, or in wire bytes. No variant contains a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonProblem {
    /// The text isn't UTF-8.
    #[error("the JSON isn't UTF-8: invalid byte at offset {offset}")]
    NotUtf8 {
        /// The number of valid bytes before the first invalid one.
        offset: usize,
    },
    /// The text isn't JSON.
    #[error("invalid JSON at line {line}, column {column}: expected {expected}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What JSON requires there.
        expected: &'static str,
    },
    /// Half of a surrogate pair is missing in a string.
    #[error("invalid JSON at line {line}, column {column}: a surrogate without its pair")]
    LoneSurrogate {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// More levels than [`DEPTH_MAX`](super::DEPTH_MAX).
    #[error("nested more than {limit} levels deep")]
    TooDeep {
        /// The maximum.
        limit: usize,
    },
    /// More values of the type `google.protobuf.Any` inside each other than [`ANY_DEPTH_MAX`](super::ANY_DEPTH_MAX).
    #[error("more than {limit} values of the type google.protobuf.Any inside each other")]
    AnyTooDeep {
        /// The maximum.
        limit: usize,
    },
    /// The message has no field with this name.
    #[error("unknown field {name:?}: {message} has no such field")]
    UnknownField {
        /// The beginning of the name.
        name: String,
        /// The full name of the message.
        message: String,
    },
    /// A key occurs twice in an object, or a field occurs under both of its names.
    #[error("duplicate key {name:?}")]
    DuplicateKey {
        /// The beginning of the key.
        name: String,
    },
    /// Two fields of a oneof are set.
    #[error("more than one field of the oneof {oneof} is set")]
    OneofConflict {
        /// The name of the oneof.
        oneof: String,
    },
    /// The value has another JSON type.
    #[error("expected {expected}")]
    WrongType {
        /// The JSON types that the field accepts.
        expected: &'static str,
    },
    /// An element of a list, or a value of a map, is null.
    #[error("null isn't allowed here: remove the element, or set a value")]
    NullNotAllowed,
    /// The number isn't an integer.
    #[error("expected an integer")]
    NotAnInteger,
    /// The number is too small or too large.
    #[error("the number is out of range: expected {expected}")]
    OutOfRange {
        /// The type of the field.
        expected: &'static str,
    },
    /// The enum has no value with this name.
    #[error("unknown name of a value of the enum {name}")]
    UnknownEnumValue {
        /// The full name of the enum.
        name: String,
    },
    /// The string isn't base64.
    #[error("expected base64, in the standard or the URL-safe alphabet")]
    InvalidBase64,
    /// The string isn't a timestamp.
    #[error("expected a time from year 1 to year 9999, such as \"2026-01-31T12:00:00Z\", with up to 9 decimal places")]
    InvalidTimestamp,
    /// The string isn't a duration.
    #[error("expected a duration of at most 315576000000 seconds, such as \"1.5s\", with up to 9 decimal places")]
    InvalidDuration,
    /// The string isn't a field mask.
    #[error("expected a field mask: names in lowerCamelCase, separated by commas, such as \"displayName,stateCode\"")]
    InvalidFieldMask,
    /// The key of a map isn't of the type of the map.
    #[error("invalid key of a map: expected {expected}")]
    InvalidMapKey {
        /// The type of the key.
        expected: &'static str,
    },
    /// A value of the type `google.protobuf.Any` lacks a member.
    #[error("google.protobuf.Any needs the member {name:?}")]
    IncompleteAny {
        /// `@type` or `value`.
        name: &'static str,
    },
    /// A value of the type `google.protobuf.Any` has a type that isn't in the descriptors.
    #[error("unknown type of google.protobuf.Any")]
    UnknownType,
    /// The message exceeds 2 GiB on the wire.
    #[error("the message exceeds 2 GiB")]
    TooLarge,
    /// The wire bytes aren't a message of this type.
    #[error("the bytes aren't a valid protobuf message of this type")]
    InvalidWire,
    /// The message can't be written as JSON: a time or duration out of range, a number that isn't finite in a `google.protobuf.Value`, or a
    /// field mask with a name that has no lowerCamelCase form.
    #[error("the value has no JSON form")]
    NoJsonForm,
    /// A field has a type that the mapping doesn't support: a group of proto2.
    #[error("the type of the field isn't supported in JSON")]
    Unsupported,
}

impl fmt::Display for JsonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return self.problem.fmt(formatter);
        }
        write!(formatter, "{}: {}", self.path, self.problem)
    }
}

impl std::error::Error for JsonError {}

impl From<JsonProblem> for JsonError {
    fn from(problem: JsonProblem) -> Self {
        JsonError { path: String::new(), problem }
    }
}

impl JsonError {
    /// Puts the name of a field before the path. The path inside a secret is dropped, with the names that the caller wrote there.
    pub(super) fn in_field(mut self, field: &FieldDescriptor) -> Self {
        if is_secret(field) {
            self.path = String::new();
            if let JsonProblem::UnknownField { name, .. } | JsonProblem::DuplicateKey { name } = &mut self.problem {
                *name = String::new();
            }
        }
        self.before(field.json_name())
    }

    /// Puts an index before the path.
    pub(super) fn in_element(self, index: usize) -> Self {
        self.before(&format!("[{index}]"))
    }

    /// Puts the key of a map before the path.
    pub(super) fn in_entry(self, key: impl Iterator<Item = char>) -> Self {
        self.before(&format!("[{:?}]", excerpt(key)))
    }

    fn before(mut self, segment: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = [segment, separator, &self.path].concat();
        self
    }
}

/// Returns the beginning of a name that a caller wrote, up to the first character that no name of a contract or of a setting has. So an error
/// shows a misspelled name, nothing invisible, and hardly anything of a text that was put in the place of a name.
pub(super) fn excerpt(name: impl Iterator<Item = char>) -> String {
    let is_of_name = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | '@');
    let mut name = name.peekable();
    let mut shown: String = std::iter::from_fn(|| name.next_if(is_of_name)).take(NAME_SHOWN_MAX).collect();
    if name.peek().is_some() {
        shown.push('…');
    }
    shown
}

/// The maximum number of characters of a caller's name in an error. Every name of the contract is shorter.
const NAME_SHOWN_MAX: usize = 64;
