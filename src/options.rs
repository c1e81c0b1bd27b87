//! Reads the options of the contract from descriptors, as generated messages of `sealward.schema.v1`.
//!
//! The server, the client and the reference documents use it. Nothing here knows the meaning of the options.

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumValueDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor,
    ReflectMessage as _, ServiceDescriptor, Value,
};

use crate::{
    SCHEMA_PACKAGE,
    schema::v1::{Attribute, Entity, Method},
};

/// An option can't be read.
#[derive(Debug, thiserror::Error)]
pub enum OptionError {
    /// The descriptors don't declare the option.
    #[error("the descriptor set lacks `{0}`: compile it with sealward/schema/v1/annotations.proto")]
    Undeclared(String),
    /// The descriptors declare the option with an unexpected type.
    #[error("the option `{name}` has an unexpected type")]
    OtherType {
        /// The full name of the option.
        name: String,
        /// The decode error, if the option is a message.
        #[source]
        source: Option<prost::DecodeError>,
    },
}

/// Returns the option `entity` of a message. `None`: the message isn't an entity.
///
/// # Errors
/// See [`OptionError`].
pub fn entity(message: &MessageDescriptor) -> Result<Option<Entity>, OptionError> {
    decoded(&message.options(), "entity")
}

/// Returns the option `attribute` of a field. `None`: the field isn't an attribute.
///
/// # Errors
/// See [`OptionError`].
pub fn attribute(field: &FieldDescriptor) -> Result<Option<Attribute>, OptionError> {
    decoded(&field.options(), "attribute")
}

/// Returns the number of an enum value in Dynamics 365.
///
/// # Errors
/// See [`OptionError`].
pub fn option_number(value: &EnumValueDescriptor) -> Result<Option<i32>, OptionError> {
    typed(&value.options(), "option", Value::as_i32)
}

/// Returns the name of the state that a status belongs to.
///
/// # Errors
/// See [`OptionError`].
pub fn state(value: &EnumValueDescriptor) -> Result<Option<String>, OptionError> {
    typed(&value.options(), "state", text)
}

/// Returns the full name of the entity that a service serves.
///
/// # Errors
/// See [`OptionError`].
pub fn entity_service(service: &ServiceDescriptor) -> Result<Option<String>, OptionError> {
    typed(&service.options(), "entity_service", text)
}

/// Returns the option `method` of a method: the privileges and the audit actions.
///
/// # Errors
/// See [`OptionError`].
pub fn method(method: &MethodDescriptor) -> Result<Option<Method>, OptionError> {
    decoded(&method.options(), "method")
}

/// The effect of repeated calls: protobuf's own `idempotency_level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// The effect depends on the request.
    Unknown,
    /// A call changes nothing.
    NoSideEffects,
    /// A repetition changes nothing that the first call didn't change, except that it adds another audit record.
    Idempotent,
}

/// Returns the `idempotency_level` of a method.
#[must_use]
pub fn idempotency(method: &MethodDescriptor) -> Idempotency {
    match method.options().get_field_by_name("idempotency_level").and_then(|level| level.as_enum_number()) {
        Some(1) => Idempotency::NoSideEffects,
        Some(2) => Idempotency::Idempotent,
        Some(_) | None => Idempotency::Unknown,
    }
}

/// Returns whether a field contains a secret: protobuf's own `debug_redact`.
#[must_use]
pub fn is_secret(field: &FieldDescriptor) -> bool {
    field.options().get_field_by_name("debug_redact").is_some_and(|value| *value == Value::Bool(true))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn decoded<M: Message + Default>(options: &DynamicMessage, name: &str) -> Result<Option<M>, OptionError> {
    let Some(value) = given(options, name)? else { return Ok(None) };
    let message = value.as_message().ok_or_else(|| other_type(name, None))?;
    message.transcode_to().map(Some).map_err(|error| other_type(name, Some(error)))
}

fn typed<T>(
    options: &DynamicMessage,
    name: &str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, OptionError> {
    let Some(value) = given(options, name)? else { return Ok(None) };
    read(&value).map(Some).ok_or_else(|| other_type(name, None))
}

fn given(options: &DynamicMessage, name: &str) -> Result<Option<Value>, OptionError> {
    let descriptor = options.descriptor();
    let pool: &DescriptorPool = descriptor.parent_pool();
    let full_name = full_name(name);
    let extension = pool.get_extension_by_name(&full_name).ok_or(OptionError::Undeclared(full_name))?;
    Ok(options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned()))
}

fn full_name(name: &str) -> String {
    format!("{SCHEMA_PACKAGE}.{name}")
}

fn other_type(name: &str, source: Option<prost::DecodeError>) -> OptionError {
    OptionError::OtherType { name: full_name(name), source }
}
