//! Secrets: fields with protobuf's own option `debug_redact`.

use prost_reflect::{FieldDescriptor, Value};

/// The number of `debug_redact` in `google.protobuf.FieldOptions`, for pools with an older version of its descriptor.
const DEBUG_REDACT: u32 = 16;

/// Whether the field is a secret.
pub(crate) fn is_secret(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options.get_field_by_name("debug_redact").is_some_and(|value| *value == Value::Bool(true))
        || options.unknown_fields().any(|unknown| unknown.number() == DEBUG_REDACT)
}
