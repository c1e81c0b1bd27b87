//! The messages of `google.protobuf` that have a JSON form of their own.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};

/// A message with its own JSON form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WellKnown {
    Any,
    Duration,
    Empty,
    FieldMask,
    ListValue,
    Struct,
    Timestamp,
    Value,
    /// A message with one field, `value`, whose JSON form is that of the field.
    Wrapper,
}

impl WellKnown {
    /// Returns `None` if the JSON form is an object with a member for each field.
    pub(super) fn of(message: &MessageDescriptor) -> Option<WellKnown> {
        match message.full_name().strip_prefix("google.protobuf.")? {
            "Any" => Some(WellKnown::Any),
            "Duration" => Some(WellKnown::Duration),
            "Empty" => Some(WellKnown::Empty),
            "FieldMask" => Some(WellKnown::FieldMask),
            "ListValue" => Some(WellKnown::ListValue),
            "Struct" => Some(WellKnown::Struct),
            "Timestamp" => Some(WellKnown::Timestamp),
            "Value" => Some(WellKnown::Value),
            "BoolValue" | "BytesValue" | "DoubleValue" | "FloatValue" | "Int32Value" | "Int64Value" | "StringValue"
            | "UInt32Value" | "UInt64Value" => Some(WellKnown::Wrapper),
            _ => None,
        }
    }
}

/// Returns whether null is a value of the type, and doesn't mean that the field is absent.
pub(super) fn has_null(kind: &Kind) -> bool {
    kind.as_message().is_some_and(|message| WellKnown::of(message) == Some(WellKnown::Value))
        || kind.as_enum().is_some_and(|kind| kind.full_name() == NULL_VALUE)
}

/// Returns the oneof of the field, unless it is that of an optional field.
pub(super) fn real_oneof(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field.containing_oneof().filter(|oneof| !oneof.is_synthetic())
}

/// The enum whose only value is null in JSON.
pub(super) const NULL_VALUE: &str = "google.protobuf.NullValue";

/// The member of an object that names the type of a `google.protobuf.Any`.
pub(super) const TYPE: &str = "@type";

/// The member of a `google.protobuf.Any` that has the JSON form of a well-known type.
pub(super) const VALUE: &str = "value";

/// The maximum number of values of the type `google.protobuf.Any` inside each other.
///
/// 8 values; not configurable. The type of a value may be written after its fields, so that a text is searched once more for each level. The
/// contract has no such field; details of errors have one level.
pub const ANY_DEPTH_MAX: usize = 8;

/// Returns the full name of the message in a type URL.
pub(super) fn message_name(type_url: &str) -> Option<&str> {
    type_url.rsplit_once('/').map(|(_, name)| name)
}
