//! The mapping against prost-reflect's own, on random messages and on a table of edge cases; hostile texts; secrets in errors.

use std::{path::Path, sync::LazyLock};

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage as _, SerializeOptions, Value,
};

use super::*;

mod edge_cases;
mod hostile;
mod random;

fn contract() -> DescriptorPool {
    static CONTRACT: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(sealward::FILE_DESCRIPTOR_SET).unwrap());
    CONTRACT.clone()
}

/// The descriptor of a message with every kind of field.
fn kinds() -> MessageDescriptor {
    static KINDS: LazyLock<MessageDescriptor> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let mut compiler = protox::Compiler::new([folder]).unwrap();
        compiler.include_imports(true).open_file("kinds.proto").unwrap();
        compiler.descriptor_pool().get_message_by_name("sealward.test.v1.Kinds").unwrap()
    });
    KINDS.clone()
}

fn decoded(descriptor: &MessageDescriptor, json: &str) -> Result<DynamicMessage, JsonError> {
    let wire = decode(descriptor, json.as_bytes())?;
    Ok(DynamicMessage::decode(descriptor.clone(), wire.as_slice()).unwrap())
}

fn encoded(message: &DynamicMessage, options: EncodeOptions) -> Result<String, JsonError> {
    let json = encode_with(&message.descriptor(), &message.encode_to_vec(), options)?;
    Ok(String::from_utf8(json.to_vec()).unwrap())
}

/// The reference: prost-reflect's own mapping.
fn reference(descriptor: &MessageDescriptor, json: &str) -> Result<DynamicMessage, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let options = DeserializeOptions::new();
    let message = DynamicMessage::deserialize_with_options(descriptor.clone(), &mut deserializer, &options)?;
    deserializer.end()?;
    Ok(message)
}

fn reference_json(message: &DynamicMessage, options: &SerializeOptions) -> String {
    let mut serializer = serde_json::Serializer::new(Vec::new());
    message.serialize_with_options(&mut serializer, options).unwrap();
    String::from_utf8(serializer.into_inner()).unwrap()
}

/// The message without fields that have the default value and no presence, which the reference keeps.
fn normal(message: &DynamicMessage) -> DynamicMessage {
    DynamicMessage::decode(message.descriptor(), message.encode_to_vec().as_slice()).unwrap()
}
