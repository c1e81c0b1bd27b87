//! The codec of the entity services: wire bytes to drafts of records, and records to wire bytes, by descriptor.
//!
//! What handlers see is a request type of our own, so that how bytes become one can change without touching a handler. The value of an
//! encrypted attribute moves out of the message into a secret type and has one owner from then on.

use std::sync::Arc;

use bytes::Buf;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _, Value as ProtoValue};
use sealward_core::{
    crypto::secret::Plaintext,
    mask::{ReadMask, not_settable},
    record::{Draft, Given, Record, Touched, given_text, list::Listed, update::Updated},
    schema::{Attribute, Entity, Kind, Value},
    violation::{Problem, Violation},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::name;
use crate::{
    schema::{
        CLEARED_FIELD, EntityMethod, ResourceMessage, StandardMethod, list_field, timestamp_from_proto,
        timestamp_to_proto,
    },
    status,
};

/// A request to any of the five standard methods; what a method doesn't have is empty.
#[derive(Default)]
pub(crate) struct EntityRequest {
    /// The record's name, or the parent's.
    pub(crate) name: String,
    /// The id that a create gives.
    pub(crate) id: String,
    /// The etag that an update or a delete gives.
    pub(crate) etag: String,
    /// The attributes given.
    pub(crate) draft: Draft,
    /// What an update touches, resolved: the mask's fields or, without a mask, those given.
    pub(crate) touched: Touched,
    /// How many records a list should have.
    pub(crate) page_size: i32,
    /// Where a list should begin.
    pub(crate) page_token: String,
    /// Which records a list should have.
    pub(crate) filter: String,
    /// In which order a list should have them.
    pub(crate) order_by: String,
    /// Which fields a get or a list should answer with.
    pub(crate) read_mask: ReadMask,
    /// Whether a list should count the records of all pages.
    pub(crate) return_total_size: bool,
    /// Whether a write is only to be checked.
    pub(crate) validate_only: bool,
    /// What tells a repetition of a write from another request; empty if nothing is to be remembered.
    pub(crate) request_id: String,
    /// What is wrong with the request so far.
    pub(crate) violations: Vec<Violation>,
}

/// An answer.
pub(crate) enum EntityReply {
    /// A record, in the organization of this name.
    Record(String, Record),
    /// A record that was updated, in the organization of this name.
    Updated(String, Updated),
    /// The fields of a record that a read wanted, in the organization of this name.
    Read(String, Record, ReadMask),
    /// A page of records with the fields wanted, in the organization of this name.
    List(String, Listed, ReadMask),
    /// Nothing.
    Empty,
}

/// The codec of one method.
#[derive(Clone)]
pub(crate) struct EntityCodec {
    method: Arc<EntityMethod>,
    mask_paths_max: usize,
}

impl EntityCodec {
    /// `mask_paths_max` is how many paths a mask may have.
    pub(crate) fn new(method: Arc<EntityMethod>, mask_paths_max: usize) -> Self {
        EntityCodec { method, mask_paths_max }
    }
}

impl Codec for EntityCodec {
    type Encode = EntityReply;
    type Decode = EntityRequest;
    type Encoder = EntityCodec;
    type Decoder = EntityCodec;

    fn encoder(&mut self) -> Self::Encoder {
        self.clone()
    }

    fn decoder(&mut self) -> Self::Decoder {
        self.clone()
    }
}

impl Decoder for EntityCodec {
    type Item = EntityRequest;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Self::Error> {
        decode(&self.method, self.mask_paths_max, source).map(Some)
    }
}

impl Encoder for EntityCodec {
    type Item = EntityReply;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, destination: &mut EncodeBuf<'_>) -> Result<(), Self::Error> {
        let method = &self.method;
        let message = match item {
            EntityReply::Record(organization, record) => {
                write_record(&method.entity, &method.resource, &organization, record, &ReadMask::default())
            }
            EntityReply::Updated(organization, updated) => write_updated(method, &organization, updated),
            EntityReply::Read(organization, record, mask) => {
                write_record(&method.entity, &method.resource, &organization, record, &mask)
            }
            EntityReply::List(organization, listed, mask) => write_list(method, &organization, listed, &mask),
            EntityReply::Empty => DynamicMessage::new(method.output.clone()),
        };
        message.encode(destination).map_err(status::internal)
    }
}

/// An updated record. What the update cleared without having been asked to is in the answer to it and nowhere else.
fn write_updated(method: &EntityMethod, organization: &str, Updated { record, cleared }: Updated) -> DynamicMessage {
    let mut message = write_record(&method.entity, &method.resource, organization, record, &ReadMask::default());
    if !cleared.is_empty()
        && let Some(field) = method.resource.message.get_field_by_name(CLEARED_FIELD)
    {
        message.set_field(&field, ProtoValue::List(cleared.into_iter().map(ProtoValue::String).collect()));
    }
    message
}

fn write_list(method: &EntityMethod, organization: &str, listed: Listed, mask: &ReadMask) -> DynamicMessage {
    let mut message = DynamicMessage::new(method.output.clone());
    let write = |record| write_record(&method.entity, &method.resource, organization, record, mask);
    let records = listed.records.into_iter().map(|record| ProtoValue::Message(write(record))).collect();
    if let Some(field) = list_field(&method.output, &method.resource.message) {
        message.set_field(&field, ProtoValue::List(records));
    }
    message.set_field_by_name("next_page_token", ProtoValue::String(listed.next_page_token));
    if let Some(total_size) = listed.total_size {
        let total_size = i64::try_from(total_size).unwrap_or(i64::MAX);
        message.set_field_by_name("total_size", ProtoValue::I64(total_size));
    }
    message
}

/// Decodes the request of a method. What is wrong with its fields is in the request; what isn't a message of its type is refused.
pub(crate) fn decode(method: &EntityMethod, mask_paths_max: usize, source: impl Buf) -> Result<EntityRequest, Status> {
    let message = DynamicMessage::decode(method.input.clone(), source).map_err(|_| status::message_invalid())?;
    Ok(read_request(method, mask_paths_max, message))
}

fn read_request(method: &EntityMethod, mask_paths_max: usize, mut message: DynamicMessage) -> EntityRequest {
    let entity = &method.entity;
    let name_field = if method.input.get_field_by_name("parent").is_some() { "parent" } else { "name" };
    let mut request = EntityRequest {
        page_size: match take(&mut message, "page_size") {
            Some(ProtoValue::I32(size)) => size,
            Some(_) | None => 0,
        },
        page_token: take_text(&mut message, "page_token"),
        validate_only: matches!(take(&mut message, "validate_only"), Some(ProtoValue::Bool(true))),
        request_id: take_text(&mut message, "request_id"),
        id: take_text(&mut message, &format!("{}_id", entity.singular)),
        etag: take_text(&mut message, "etag"),
        name: take_text(&mut message, name_field),
        ..EntityRequest::default()
    };
    let resource = take(&mut message, &entity.singular);
    if let Some(ProtoValue::Message(mut resource)) = resource {
        // An update names its record in the resource; a create names the parent beside it, and nothing else stands for that.
        if method.standard == StandardMethod::Update {
            request.name = take_text(&mut resource, "name");
            request.etag = take_text(&mut resource, "etag");
        }
        let organization = name::organization_of(&request.name).unwrap_or_default().to_owned();
        request.draft = read_draft(entity, &method.resource, resource, &organization);
    }
    match method.standard {
        StandardMethod::Get => read_mask(&mut request, entity, mask_paths_max, &mut message),
        StandardMethod::List => {
            request.filter = take_text(&mut message, "filter");
            request.order_by = take_text(&mut message, "order_by");
            request.return_total_size = matches!(take(&mut message, "return_total_size"), Some(ProtoValue::Bool(true)));
            read_mask(&mut request, entity, mask_paths_max, &mut message);
        }
        StandardMethod::Create | StandardMethod::Update | StandardMethod::Delete => {}
    }
    let paths = take_paths(&mut message, "update_mask");
    if paths.is_empty() {
        // Without a mask, an update touches what it gives; what only the service sets comes back from a read and is let pass.
        let settable = |index: &&usize| {
            entity.attributes.get(**index).is_some_and(|attribute| !attribute.output_only && attribute.stored())
        };
        request.touched = request.draft.given.keys().filter(settable).copied().collect();
    }
    if paths.len() > mask_paths_max {
        request.violations.push(Violation::new("update_mask", Problem::TooMany { limit: mask_paths_max }));
        return request;
    }
    for path in &paths {
        let path = path.as_str().unwrap_or_default();
        match entity.position(path) {
            Some(index) => {
                request.touched.insert(index);
            }
            None => request.violations.push(not_settable(path, entity)),
        }
    }
    request
}

fn take(message: &mut DynamicMessage, name: &str) -> Option<ProtoValue> {
    let field = message.descriptor().get_field_by_name(name)?;
    message.take_field(&field)
}

fn take_text(message: &mut DynamicMessage, name: &str) -> String {
    match take(message, name) {
        Some(ProtoValue::String(text)) => text,
        Some(_) | None => String::new(),
    }
}

/// The paths of a field mask; none if it is absent.
fn take_paths(message: &mut DynamicMessage, name: &str) -> Vec<ProtoValue> {
    let paths = match take(message, name) {
        Some(ProtoValue::Message(mut mask)) => take(&mut mask, "paths"),
        Some(_) | None => None,
    };
    match paths {
        Some(ProtoValue::List(paths)) => paths,
        Some(_) | None => Vec::new(),
    }
}

fn read_mask(request: &mut EntityRequest, entity: &Entity, paths_max: usize, message: &mut DynamicMessage) {
    let paths = take_paths(message, "read_mask");
    match ReadMask::parse(paths.iter().map(|path| path.as_str().unwrap_or_default()), paths_max, entity) {
        Ok(mask) => request.read_mask = mask,
        Err(violations) => request.violations.extend(violations),
    }
}

fn read_draft(entity: &Entity, resource: &ResourceMessage, mut message: DynamicMessage, organization: &str) -> Draft {
    let mut draft = Draft::default();
    for (index, (attribute, field)) in entity.attributes.iter().zip(resource.fields.iter()).enumerate() {
        if let Some(value) = message.take_field(field) {
            draft.given.insert(index, read_value(attribute, value, organization));
        }
    }
    draft
}

fn read_value(attribute: &Attribute, value: ProtoValue, organization: &str) -> Given {
    match (&attribute.kind, value) {
        (_, ProtoValue::String(text)) if attribute.encrypted => Given::Secret(Plaintext::from(text)),
        (_, ProtoValue::Bytes(bytes)) if attribute.encrypted => Given::Secret(Plaintext::new(bytes.to_vec())),
        (Kind::Reference { collection, .. }, ProtoValue::String(text)) => {
            match name::reference(&text, organization, collection) {
                Some(id) => Given::Clear(Value::Reference(id)),
                None => Given::Wrong(Problem::NotAReference { collection: collection.clone() }),
            }
        }
        (Kind::Time, ProtoValue::Message(time)) => match read_time(&time) {
            Some(time) => Given::Clear(Value::Time(time)),
            None => Given::Wrong(Problem::NotATime),
        },
        (_, ProtoValue::Bool(value)) => Given::Clear(Value::Boolean(value)),
        (_, ProtoValue::I32(value) | ProtoValue::EnumNumber(value)) => Given::Clear(Value::Integer(value.into())),
        (_, ProtoValue::I64(value)) => Given::Clear(Value::Integer(value)),
        (_, ProtoValue::String(value)) => given_text(attribute, value),
        (_, ProtoValue::Bytes(value)) => Given::Clear(Value::Bytes(value.to_vec())),
        // No other type passes the schema's own check at the start.
        _ => Given::Wrong(Problem::NoSuchField { path: None, suggestion: None }),
    }
}

fn read_time(time: &DynamicMessage) -> Option<sealward_core::id::Timestamp> {
    let seconds = match time.get_field_by_name("seconds").as_deref() {
        Some(ProtoValue::I64(seconds)) => *seconds,
        Some(_) | None => return None,
    };
    let nanos = match time.get_field_by_name("nanos").as_deref() {
        Some(ProtoValue::I32(nanos)) => *nanos,
        Some(_) | None => return None,
    };
    timestamp_from_proto(seconds, nanos)
}

/// A record's wanted fields; what isn't wanted of its attributes has no value in it.
fn write_record(
    entity: &Entity,
    resource: &ResourceMessage,
    organization: &str,
    record: Record,
    mask: &ReadMask,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(resource.message.clone());
    let name = format!("organizations/{organization}/{}/{}", entity.collection, record.id);
    message.set_field_by_name("name", ProtoValue::String(name));
    if mask.has_etag() {
        message.set_field_by_name("etag", ProtoValue::String(record.revision.to_string()));
    }
    for (field, time, wanted) in [
        ("create_time", record.create_time, mask.has_create_time()),
        ("update_time", record.update_time, mask.has_update_time()),
    ] {
        if let Some(field) = resource.message.get_field_by_name(field).filter(|_| wanted) {
            set_time(&mut message, &field, time);
        }
    }
    for (field, identity, wanted) in [
        ("created_by", record.created_by, mask.has_created_by()),
        ("modified_by", record.modified_by, mask.has_modified_by()),
    ] {
        if let Some(identity) = identity.filter(|_| wanted) {
            message.set_field_by_name(field, ProtoValue::String(identity));
        }
    }
    for (field, value) in resource.fields.iter().zip(record.values) {
        let Some(value) = value else { continue };
        match value {
            Value::Boolean(value) => message.set_field(field, ProtoValue::Bool(value)),
            Value::Text(value) => message.set_field(field, ProtoValue::String(value)),
            Value::Bytes(value) => message.set_field(field, ProtoValue::Bytes(value.into())),
            Value::Time(value) => set_time(&mut message, field, value),
            Value::Integer(value) => set_integer(&mut message, field, value),
            Value::Reference(id) => {
                if let Some(Kind::Reference { collection, .. }) =
                    entity.attribute(field.name()).map(|attribute| &attribute.kind)
                {
                    let name = format!("organizations/{organization}/{collection}/{id}");
                    message.set_field(field, ProtoValue::String(name));
                }
            }
        }
    }
    message
}

fn set_integer(message: &mut DynamicMessage, field: &FieldDescriptor, value: i64) {
    // Only an int64 can hold what doesn't fit: the schema gives the others no such value.
    let narrow = i32::try_from(value).unwrap_or_default();
    let kind = field.kind();
    let value = if matches!(kind, prost_reflect::Kind::Enum(_)) {
        ProtoValue::EnumNumber(narrow)
    } else if kind == prost_reflect::Kind::Int32 {
        ProtoValue::I32(narrow)
    } else {
        ProtoValue::I64(value)
    };
    message.set_field(field, value);
}

fn set_time(message: &mut DynamicMessage, field: &FieldDescriptor, time: sealward_core::id::Timestamp) {
    if let prost_reflect::Kind::Message(descriptor) = field.kind() {
        let proto = timestamp_to_proto(time);
        let mut value = DynamicMessage::new(descriptor);
        value.set_field_by_name("seconds", ProtoValue::I64(proto.seconds));
        value.set_field_by_name("nanos", ProtoValue::I32(proto.nanos));
        message.set_field(field, ProtoValue::Message(value));
    }
}
