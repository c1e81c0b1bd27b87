//! Answers as JSON, in the mapping of proto3 with the contract's own field names.
//!
//! In records an encrypted attribute is there and null, so that nobody wonders where it is; any other attribute without a value is
//! left out, as proto3 has it.

use std::io::{self, Write as _};

use fieldseal_client::{EntityType, built_in_pool};
use prost::Message;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::failure::Failure;

/// Prints a value to stdout.
pub(super) fn print(value: &Value) -> Result<(), Failure> {
    // Wiped, because a value may be an encryption key.
    let mut text = Zeroizing::new(serde_json::to_vec_pretty(value).map_err(|error| Failure::Output(error.into()))?);
    text.push(b'\n');
    print_bytes(&text)
}

/// Prints bytes to stdout as they are. A reader that has left, such as `head`, is no failure.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says something to the person, on stderr.
pub(super) fn notice(text: &str) {
    eprintln!("{text}");
}

/// A generated message of the contract, its false and zero fields included.
pub(super) fn message(name: &str, message: &impl Message) -> Value {
    let descriptor = built_in_pool().get_message_by_name(&format!("fieldseal.v1.{name}"));
    let dynamic = descriptor.map(|descriptor| DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()));
    let dynamic = dynamic.expect("it is of the contract").expect("it was encoded a line above");
    json(&dynamic, false)
}

/// A record of any entity.
pub(super) fn record(entity: &EntityType, record: &DynamicMessage) -> Value {
    let mut known = match json(record, true) {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    let fields = entity.message.fields().filter_map(|field| {
        let name = field.name().to_owned();
        let is_encrypted = entity.attribute(&name).is_some_and(|attribute| attribute.options.encrypted);
        known.remove(&name).or(is_encrypted.then_some(Value::Null)).map(|value| (name, value))
    });
    Value::Object(fields.collect())
}

fn json(message: &DynamicMessage, skip_default_fields: bool) -> Value {
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(skip_default_fields);
    message.serialize_with_options(serde_json::value::Serializer, &options).expect("every message has a JSON form")
}

#[cfg(test)]
mod tests {
    use fieldseal_client::v1;

    use super::*;

    #[test]
    fn an_encrypted_attribute_is_null_where_it_belongs_and_other_absent_ones_are_left_out() {
        let entities = EntityType::all(&built_in_pool()).unwrap();
        let mailbox = &entities[1];
        let typed = v1::Mailbox {
            name: "organizations/o/mailboxes/1".to_owned(),
            display_name: Some("Sales".to_owned()),
            is_password_set: Some(true),
            ..Default::default()
        };
        let dynamic = DynamicMessage::decode(mailbox.message.clone(), typed.encode_to_vec().as_slice()).unwrap();
        assert_eq!(
            record(mailbox, &dynamic).to_string(),
            r#"{"name":"organizations/o/mailboxes/1","display_name":"Sales","password":null,"is_password_set":true}"#
        );
    }

    #[test]
    fn what_is_false_or_zero_in_an_answer_is_shown() {
        let status = v1::IsDataEncryptionActiveResponse::default();
        let shown = message("IsDataEncryptionActiveResponse", &status).to_string();
        assert_eq!(shown, r#"{"is_active":false,"fingerprint":"","key_version":0}"#);
    }
}
