//! The reference of the plans: the same requests and answers by prost-reflect, for tests and fuzzing.

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _, Value as ProtoValue};
use sealward_core::{
    crypto::secret::Plaintext,
    id::RecordId,
    mask::{ReadMask, not_settable},
    name::{OrganizationName, RecordName},
    record::{Draft, Given, Record, Touched, given_text, list::Listed, update::Updated},
    schema::{Attribute, Entity, Kind, Value},
    violation::{Problem, Violation},
};
use tonic::Status;

use super::{
    CodecBounds,
    decode::{VALIDATE_ONLY, not_of_parent, of_batch},
    message::{
        BatchGetRequest, BatchItem, BatchRequest, CreateRequest, DeleteRequest, EntityReply, EntityRequest, GetRequest,
        ImportRequest, ListRequest, UpdateRequest, WriteOptions,
    },
};
use crate::{
    rpc::name,
    schema::{
        CLEARED_FIELD, EntityMethod, ResourceMessage, StandardMethod, list_field, timestamp_from_proto,
        timestamp_to_proto,
    },
};

/// Encodes an answer.
pub(crate) fn encode(method: &EntityMethod, reply: EntityReply) -> Vec<u8> {
    let message = match reply {
        EntityReply::Record(organization, record) => {
            write_record(&method.entity, &method.resource, &organization, record, &ReadMask::default())
        }
        EntityReply::Updated(organization, updated) => write_updated(method, &organization, updated),
        EntityReply::Read(organization, record, mask) => {
            write_record(&method.entity, &method.resource, &organization, record, &mask)
        }
        EntityReply::Batch(organization, records, mask) => {
            let write = |record| write_record(&method.entity, &method.resource, &organization, record, &mask);
            write_batch(method, records.into_iter().map(write))
        }
        EntityReply::BatchUpdated(organization, updated) => {
            let write = |updated| write_updated(method, &organization, updated);
            write_batch(method, updated.into_iter().map(write))
        }
        EntityReply::Imported(organization, results) => write_results(method, &organization, results),
        // A page is already encoded: see `encode_list`.
        EntityReply::Page(_) | EntityReply::Empty => DynamicMessage::new(method.output.clone()),
    };
    message.encode_to_vec()
}

fn write_batch(method: &EntityMethod, records: impl Iterator<Item = DynamicMessage>) -> DynamicMessage {
    let mut message = DynamicMessage::new(method.output.clone());
    if let Some(field) = list_field(&method.output, &method.resource.message) {
        message.set_field(&field, ProtoValue::List(records.map(ProtoValue::Message).collect()));
    }
    message
}

fn write_results(
    method: &EntityMethod,
    organization: &OrganizationName,
    results: Vec<Result<RecordId, Status>>,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(method.output.clone());
    let Some(fields) = &method.results else { return message };
    let write = |result: Result<RecordId, Status>| {
        let mut written = DynamicMessage::new(fields.name.parent_message().clone());
        match result {
            Ok(id) => {
                let name = RecordName { organization: organization.clone(), collection: &method.entity.collection, id };
                written.set_field(&fields.name, ProtoValue::String(name.to_string()));
            }
            Err(status) => {
                let kind = fields.error.kind();
                let of = kind.as_message().expect("an error is a message");
                let error = DynamicMessage::decode(of.clone(), status.details()).expect("details are a message");
                written.set_field(&fields.error, ProtoValue::Message(error));
            }
        }
        ProtoValue::Message(written)
    };
    message.set_field(&fields.results, ProtoValue::List(results.into_iter().map(write).collect()));
    message
}

/// Encodes an updated record. Only this answer lists the attributes that the update cleared automatically.
fn write_updated(
    method: &EntityMethod,
    organization: &OrganizationName,
    Updated { record, cleared }: Updated,
) -> DynamicMessage {
    let mut message = write_record(&method.entity, &method.resource, organization, record, &ReadMask::default());
    if !cleared.is_empty()
        && let Some(field) = method.resource.message.get_field_by_name(CLEARED_FIELD)
    {
        message.set_field(&field, ProtoValue::List(cleared.into_iter().map(ProtoValue::String).collect()));
    }
    message
}

/// Encodes a page.
pub(crate) fn encode_list(
    method: &EntityMethod,
    organization: &OrganizationName,
    listed: Listed<Vec<Record>>,
    mask: &ReadMask,
) -> Vec<u8> {
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
    message.encode_to_vec()
}

/// Decodes the request of a method. `None` if the bytes aren't a message of this type.
pub(crate) fn decode(method: &EntityMethod, bounds: CodecBounds, bytes: &[u8]) -> Option<EntityRequest> {
    let message = DynamicMessage::decode(method.input.clone(), bytes).ok()?;
    Some(read_request(method, bounds, message))
}

fn read_request(method: &EntityMethod, bounds: CodecBounds, mut message: DynamicMessage) -> EntityRequest {
    let (message, mask_paths_max) = (&mut message, bounds.mask_paths_max);
    match method.standard {
        StandardMethod::Create => EntityRequest::Create(read_create(method, message, None)),
        StandardMethod::Get => EntityRequest::Get(GetRequest {
            name: name::record("name", &take_text(message, "name"), &method.entity),
            read_mask: read_mask(&method.entity, mask_paths_max, message),
        }),
        StandardMethod::List => EntityRequest::List(ListRequest {
            parent: name::organization("parent", &take_text(message, "parent")),
            page_size: match take(message, "page_size") {
                Some(ProtoValue::I32(size)) => size,
                Some(_) | None => 0,
            },
            page_token: take_text(message, "page_token"),
            filter: take_text(message, "filter"),
            order_by: take_text(message, "order_by"),
            read_mask: read_mask(&method.entity, mask_paths_max, message),
            return_total_size: take_bool(message, "return_total_size"),
        }),
        StandardMethod::Update => EntityRequest::Update(read_update(method, mask_paths_max, message)),
        StandardMethod::Delete => EntityRequest::Delete(read_delete(method, message)),
        StandardMethod::BatchGet => EntityRequest::BatchGet(BatchGetRequest {
            parent: name::organization("parent", &take_text(message, "parent")),
            names: take_items(method, bounds, message).map(|names| {
                let name = |(index, name): (usize, ProtoValue)| {
                    let field = format!("names[{index}]");
                    name::record(&field, name.as_str().unwrap_or_default(), &method.entity)
                };
                names.into_iter().enumerate().map(name).collect()
            }),
            read_mask: read_mask(&method.entity, mask_paths_max, message),
        }),
        StandardMethod::BatchCreate => {
            let parent = name::organization("parent", &take_text(message, "parent"));
            let organization = parent.organization.as_ref().ok();
            let items = read_items(method, bounds, message, |item| {
                let request = read_create(method, item, organization);
                let violations = of_batch(&request.write).into_iter();
                let violations = violations.chain(of_other_parent(&request, organization)).collect();
                (request, violations)
            });
            EntityRequest::BatchCreate(BatchRequest { items, write: write_options(message), parent })
        }
        StandardMethod::BatchUpdate => EntityRequest::BatchUpdate(BatchRequest {
            parent: name::organization("parent", &take_text(message, "parent")),
            items: read_items(method, bounds, message, |item| {
                let request = read_update(method, mask_paths_max, item);
                let violations = of_batch(&request.write);
                (request, violations)
            }),
            write: write_options(message),
        }),
        StandardMethod::BatchDelete => EntityRequest::BatchDelete(BatchRequest {
            parent: name::organization("parent", &take_text(message, "parent")),
            items: read_items(method, bounds, message, |item| {
                let request = read_delete(method, item);
                let violations = of_batch(&request.write);
                (request, violations)
            }),
            write: write_options(message),
        }),
        StandardMethod::Import => {
            let parent_text = take_text(message, "parent");
            let parent = name::organization("parent", &parent_text);
            let organization = parent.resource.as_ref().ok();
            let items = read_items(method, bounds, message, |item| {
                let request = read_create(method, item, organization);
                let mut violations = of_batch(&request.write);
                // Each record of an import can have a request id.
                violations.retain(|violation| violation.field == VALIDATE_ONLY);
                violations.extend(of_other_parent(&request, organization));
                (request, violations)
            });
            EntityRequest::Import(ImportRequest {
                items,
                validate_only: take_bool(message, VALIDATE_ONLY),
                parent: (!parent_text.is_empty()).then_some(parent),
            })
        }
    }
}

/// Reads the items of a batch.
fn read_items<T>(
    method: &EntityMethod,
    bounds: CodecBounds,
    message: &mut DynamicMessage,
    read: impl Fn(&mut DynamicMessage) -> (T, Vec<Violation>),
) -> Result<Vec<BatchItem<T>>, Violation> {
    let items = take_items(method, bounds, message)?.into_iter().filter_map(|item| {
        let ProtoValue::Message(mut item) = item else { return None };
        let (request, violations) = read(&mut item);
        Some(BatchItem { request, violations, bytes: 0 })
    });
    Ok(items.collect())
}

fn take_items(
    method: &EntityMethod,
    bounds: CodecBounds,
    message: &mut DynamicMessage,
) -> Result<Vec<ProtoValue>, Violation> {
    let Some(field) = &method.items else { return Ok(Vec::new()) };
    let items = match message.take_field(field) {
        Some(ProtoValue::List(items)) => items,
        Some(_) | None => Vec::new(),
    };
    let limit = bounds.batch_items_max;
    if items.len() > limit { Err(Violation::new(field.name(), Problem::TooMany { limit })) } else { Ok(items) }
}

/// The violation of a single request that names another organization than its batch.
fn of_other_parent(request: &CreateRequest, organization: Option<&OrganizationName>) -> Option<Violation> {
    let is_other = request.parent_is_given && request.parent.organization.as_ref().ok() != organization;
    is_other.then(|| not_of_parent(organization))
}

/// `organization` is that of a batch; without one, the request names it.
fn read_create(
    method: &EntityMethod,
    message: &mut DynamicMessage,
    organization: Option<&OrganizationName>,
) -> CreateRequest {
    let entity = &method.entity;
    let parent_text = take_text(message, "parent");
    let parent = name::organization("parent", &parent_text);
    let resource = take(message, &entity.singular);
    let organization = organization.or(parent.organization.as_ref().ok());
    CreateRequest {
        parent_is_given: !parent_text.is_empty(),
        id: take_text(message, &format!("{}_id", entity.singular)),
        draft: read_draft(entity, &method.resource, resource, organization),
        write: write_options(message),
        parent,
    }
}

fn read_delete(method: &EntityMethod, message: &mut DynamicMessage) -> DeleteRequest {
    DeleteRequest {
        name: name::record("name", &take_text(message, "name"), &method.entity),
        etag: take_text(message, "etag"),
        write: write_options(message),
    }
}

fn read_update(method: &EntityMethod, mask_paths_max: usize, message: &mut DynamicMessage) -> UpdateRequest {
    let entity = &method.entity;
    // The resource contains the record's name.
    let mut resource = take(message, &entity.singular);
    let (name, etag) = match &mut resource {
        Some(ProtoValue::Message(resource)) => (take_text(resource, "name"), take_text(resource, "etag")),
        Some(_) | None => (String::new(), String::new()),
    };
    let name = name::record(&format!("{}.name", entity.singular), &name, entity);
    let draft = read_draft(entity, &method.resource, resource, name.organization.as_ref().ok());
    let (touched, mask_violations) = read_update_mask(entity, mask_paths_max, &draft, message);
    UpdateRequest { name, etag, draft, touched, mask_violations, write: write_options(message) }
}

/// The attributes that an update changes, and the violations of its mask.
fn read_update_mask(
    entity: &Entity,
    paths_max: usize,
    draft: &Draft,
    message: &mut DynamicMessage,
) -> (Touched, Vec<Violation>) {
    let paths = take_paths(message, "update_mask");
    if paths.is_empty() {
        // Without a mask, an update changes the given attributes. Output-only attributes are ignored, because a client may send back a
        // record that it has read.
        let settable = |index: &&usize| {
            entity.attributes.get(**index).is_some_and(|attribute| !attribute.output_only && attribute.stored())
        };
        return (draft.given.keys().filter(settable).copied().collect(), Vec::new());
    }
    if paths.len() > paths_max {
        return (Touched::new(), vec![Violation::new("update_mask", Problem::TooMany { limit: paths_max })]);
    }
    let (mut touched, mut violations) = (Touched::new(), Vec::new());
    for path in paths.iter().map(|path| path.as_str().unwrap_or_default()) {
        match entity.position(path) {
            Some(index) => {
                touched.insert(index);
            }
            None => violations.push(not_settable(path, entity)),
        }
    }
    (touched, violations)
}

fn write_options(message: &mut DynamicMessage) -> WriteOptions {
    WriteOptions { validate_only: take_bool(message, "validate_only"), request_id: take_text(message, "request_id") }
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

fn take_bool(message: &mut DynamicMessage, name: &str) -> bool {
    matches!(take(message, name), Some(ProtoValue::Bool(true)))
}

/// The paths of a field mask. Empty if it is absent.
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

fn read_mask(entity: &Entity, paths_max: usize, message: &mut DynamicMessage) -> Result<ReadMask, Vec<Violation>> {
    let paths = take_paths(message, "read_mask");
    ReadMask::parse(paths.iter().map(|path| path.as_str().unwrap_or_default()), paths_max, entity)
}

/// The attributes of a resource, which may refer to records of this organization; empty if there is no resource.
fn read_draft(
    entity: &Entity,
    resource: &ResourceMessage,
    given: Option<ProtoValue>,
    organization: Option<&OrganizationName>,
) -> Draft {
    let mut draft = Draft::default();
    let Some(ProtoValue::Message(mut message)) = given else { return draft };
    for (index, (attribute, field)) in entity.attributes.iter().zip(resource.fields.iter()).enumerate() {
        if let Some(value) = message.take_field(field) {
            draft.given.insert(index, read_value(attribute, value, organization));
        }
    }
    draft
}

fn read_value(attribute: &Attribute, value: ProtoValue, organization: Option<&OrganizationName>) -> Given {
    match (&attribute.kind, value) {
        (_, ProtoValue::String(text)) if attribute.encrypted => Given::Secret(Plaintext::from(text)),
        (_, ProtoValue::Bytes(bytes)) if attribute.encrypted => Given::Secret(Plaintext::new(bytes.to_vec())),
        (Kind::Reference { collection, .. }, ProtoValue::String(text)) => {
            match organization.and_then(|organization| name::reference(&text, organization, collection)) {
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
        // The check of the schema at the start allows no other type.
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

/// Writes the selected fields of a record. Attributes that aren't selected have no value in it.
fn write_record(
    entity: &Entity,
    resource: &ResourceMessage,
    organization: &OrganizationName,
    record: Record,
    mask: &ReadMask,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(resource.message.clone());
    let name = |collection, id| RecordName { organization: organization.clone(), collection, id }.to_string();
    message.set_field_by_name("name", ProtoValue::String(name(&entity.collection, record.id)));
    if mask.has_etag() {
        message.set_field_by_name("etag", ProtoValue::String(record.revision.to_string()));
    }
    for (field, time, is_selected) in [
        ("create_time", record.create_time, mask.has_create_time()),
        ("update_time", record.update_time, mask.has_update_time()),
    ] {
        if let Some(field) = resource.message.get_field_by_name(field).filter(|_| is_selected) {
            set_time(&mut message, &field, time);
        }
    }
    for (field, identity, is_selected) in [
        ("created_by", record.created_by, mask.has_created_by()),
        ("modified_by", record.modified_by, mask.has_modified_by()),
    ] {
        if let Some(identity) = identity.filter(|_| is_selected) {
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
                    message.set_field(field, ProtoValue::String(name(collection, id)));
                }
            }
        }
    }
    message
}

fn set_integer(message: &mut DynamicMessage, field: &FieldDescriptor, value: i64) {
    // Only an int64 can have a value outside this range: the schema limits the others.
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
