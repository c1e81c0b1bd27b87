//! Any bytes, as JSON or on the wire, are a message of the contract in both forms, or are refused. The reference is prost-reflect's mapping.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use sealward_connect::json;

/// Messages that together have every kind of field of the contract: masks, times, maps, bytes, choices, numbers, lists, secrets.
static MESSAGES: LazyLock<Vec<MessageDescriptor>> = LazyLock::new(|| {
    let names = [
        "sealward.mail.v1.UpdateMailboxRequest",
        "sealward.mail.v1.ListEmailServerProfilesResponse",
        "sealward.v1.RevealAttributesResponse",
        "sealward.v1.SetDataEncryptionKeyRequest",
        "sealward.v1.IsDataEncryptionActiveResponse",
        "sealward.v1.ListAuditRecordsResponse",
    ];
    let pool = DescriptorPool::decode(sealward::FILE_DESCRIPTOR_SET).expect("the contract is valid");
    names.map(|name| pool.get_message_by_name(name).expect("the contract has the message")).into()
});

const WITH_DOUBLES: &str = "IsDataEncryptionActiveResponse";

fuzz_target!(|bytes: &[u8]| {
    for descriptor in MESSAGES.iter() {
        read(descriptor, bytes);
        write(descriptor, bytes);
    }
});

/// Reads the bytes as JSON.
fn read(descriptor: &MessageDescriptor, bytes: &[u8]) {
    let Ok(wire) = json::decode(descriptor, bytes) else { return };
    assert_eq!(wire.len(), wire.capacity());
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).expect("what is accepted is JSON");
    let text = json::encode(descriptor, &wire).expect("what was read can be written");
    // The parser of the reference rounds some numbers to a neighbour: doubles, and integers with a fraction or an exponent.
    let is_rounded = |pair: &[u8]| matches!(pair, [b'0'..=b'9', b'.' | b'e' | b'E']);
    if descriptor.name() == WITH_DOUBLES || bytes.windows(2).any(is_rounded) {
        return;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // The reference refuses some forms of numbers that the mapping allows.
    if let Ok(reference) = DynamicMessage::deserialize(descriptor.clone(), &mut deserializer) {
        let reference = json::encode(descriptor, &reference.encode_to_vec()).expect("the reference can be written");
        assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(&reference));
    }
}

/// Reads the bytes from the wire.
fn write(descriptor: &MessageDescriptor, bytes: &[u8]) {
    let Ok(text) = json::encode(descriptor, bytes) else { return };
    let wire = json::decode(descriptor, &text).expect("what was written can be read");
    let again = json::encode(descriptor, &wire).expect("what was read can be written");
    assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(&again));
}
