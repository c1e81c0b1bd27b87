//! Messages and errors by descriptor: JSON to bytes and back. The descriptors are those of `sealward-server descriptors`.

use std::sync::LazyLock;

use data_encoding::BASE64_NOPAD;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use serde_json::{Map, Value, json};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let set = sealward_server::descriptors::complete(sealward::FILE_DESCRIPTOR_SET).unwrap();
    DescriptorPool::decode(&set[..]).unwrap()
});

/// The method of a call: `sealward.v1.AccessService/WhoAmI`.
pub(super) fn method(call: &str) -> MethodDescriptor {
    let (service, method) = call.split_once('/').unwrap();
    let service = POOL.get_service_by_name(service).unwrap_or_else(|| panic!("no service {service}"));
    service.methods().find(|one| one.name() == method).unwrap_or_else(|| panic!("no method {call}"))
}

/// The message that the JSON describes.
pub(super) fn parse(descriptor: MessageDescriptor, json: &Value) -> DynamicMessage {
    DynamicMessage::deserialize(descriptor, json).unwrap_or_else(|error| panic!("a request: {error}"))
}

/// The JSON of an encoded message, with the field names of the contract.
pub(super) fn decode(descriptor: MessageDescriptor, encoded: &[u8]) -> Value {
    json_of(&DynamicMessage::decode(descriptor, encoded).unwrap())
}

/// The JSON of a message, with the field names of the contract.
pub(super) fn json_of(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().use_proto_field_name(true);
    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
}

/// The error of a `google.rpc.Status`.
pub(super) fn error_of_status(code: &str, status: &[u8]) -> Value {
    let status = DynamicMessage::decode(POOL.get_message_by_name("google.rpc.Status").unwrap(), status).unwrap();
    let details = status.get_field_by_name("details").unwrap();
    let details = details.as_list().unwrap().iter().map(|detail| {
        let detail = detail.as_message().unwrap();
        let text = detail.get_field_by_name("type_url").unwrap();
        let name = text.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let value = detail.get_field_by_name("value").unwrap();
        (name, value.as_bytes().unwrap().to_vec())
    });
    error(code, details.collect())
}

/// The error of Connect's JSON.
pub(super) fn error_of_connect(json: &Value) -> Value {
    let details = json["details"].as_array().into_iter().flatten().map(|detail| {
        let value = BASE64_NOPAD.decode(detail["value"].as_str().unwrap().as_bytes()).unwrap();
        (detail["type"].as_str().unwrap().to_owned(), value)
    });
    error(&json["code"].as_str().unwrap().to_uppercase(), details.collect())
}

/// An error as a scenario describes it, with the id of the call.
fn error(code: &str, details: Vec<(String, Vec<u8>)>) -> Value {
    let mut error = Map::from_iter([("code".to_owned(), Value::from(code))]);
    for (name, encoded) in details {
        let detail = decode(POOL.get_message_by_name(&name).unwrap(), &encoded);
        match name.as_str() {
            "google.rpc.ErrorInfo" => {
                for field in ["reason", "domain", "metadata"] {
                    error.insert(field.to_owned(), detail[field].clone());
                }
            }
            "google.rpc.BadRequest" => {
                error.insert("field_violations".to_owned(), detail["field_violations"].clone());
            }
            "google.rpc.RetryInfo" => {
                error.insert("retry".to_owned(), json!(true));
            }
            "google.rpc.RequestInfo" => {
                error.insert("request_id".to_owned(), detail["request_id"].clone());
            }
            _ => panic!("a detail of an unknown type: {name}"),
        }
    }
    Value::Object(error)
}
