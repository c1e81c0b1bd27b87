//! The codec of the entity services: decodes requests into drafts of records, and encodes records, by descriptor.
//!
//! Handlers use the request types of this file, so that decoding can change without changing them. The value of an encrypted attribute is
//! moved from the message to a secret type, and has only one owner.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use prost::{
    Message as _,
    encoding::{self, DecodeContext, WireType},
};
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage as _, Value as ProtoValue};
use sealward_core::{
    crypto::secret::Plaintext,
    id::RecordId,
    mask::{ReadMask, not_settable},
    name::{OrganizationName, RecordName},
    record::{Draft, Given, Record, Touched, given_text, list::Listed, update::Updated},
    schema::{Attribute, Entity, Kind, Value},
    violation::{Problem, Violation},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::name::{self, ParsedName};
use crate::{
    schema::{
        CLEARED_FIELD, EntityMethod, ResourceMessage, StandardMethod, list_field, timestamp_from_proto,
        timestamp_to_proto,
    },
    status,
};

/// A request to one of the standard methods.
pub(crate) enum EntityRequest {
    Create(CreateRequest),
    Get(GetRequest),
    List(ListRequest),
    Update(UpdateRequest),
    Delete(DeleteRequest),
    BatchGet(BatchGetRequest),
    BatchCreate(BatchRequest<CreateRequest>),
    BatchUpdate(BatchRequest<UpdateRequest>),
    BatchDelete(BatchRequest<DeleteRequest>),
    Import(ImportRequest),
}

/// A record to create.
pub(crate) struct CreateRequest {
    /// The organization.
    pub(crate) parent: ParsedName<OrganizationName>,
    /// Whether the request names the organization, which is optional in a batch.
    pub(crate) parent_is_given: bool,
    /// The record's id; empty if the service generates it.
    pub(crate) id: String,
    /// The given attributes.
    pub(crate) draft: Draft,
    /// The options of the write.
    pub(crate) write: WriteOptions,
}

/// A record to read.
pub(crate) struct GetRequest {
    /// The record.
    pub(crate) name: ParsedName<RecordId>,
    /// The fields of the answer, or the violations of the mask.
    pub(crate) read_mask: Result<ReadMask, Vec<Violation>>,
}

/// A page of records to read.
pub(crate) struct ListRequest {
    /// The organization.
    pub(crate) parent: ParsedName<OrganizationName>,
    /// The requested number of records.
    pub(crate) page_size: i32,
    /// The token of the page; empty for the first page.
    pub(crate) page_token: String,
    /// The filter.
    pub(crate) filter: String,
    /// The order.
    pub(crate) order_by: String,
    /// The fields of the answer, or the violations of the mask.
    pub(crate) read_mask: Result<ReadMask, Vec<Violation>>,
    /// Whether to count the records of all pages.
    pub(crate) return_total_size: bool,
}

/// A record to change.
pub(crate) struct UpdateRequest {
    /// The record.
    pub(crate) name: ParsedName<RecordId>,
    /// The etag that the caller expects; empty if there is none.
    pub(crate) etag: String,
    /// The given attributes.
    pub(crate) draft: Draft,
    /// The attributes to change: those in the mask or, without a mask, the given ones.
    pub(crate) touched: Touched,
    /// The violations of the mask.
    pub(crate) mask_violations: Vec<Violation>,
    /// The options of the write.
    pub(crate) write: WriteOptions,
}

/// A record to delete.
pub(crate) struct DeleteRequest {
    /// The record.
    pub(crate) name: ParsedName<RecordId>,
    /// The etag that the caller expects; empty if there is none.
    pub(crate) etag: String,
    /// The options of the write.
    pub(crate) write: WriteOptions,
}

/// Records to read.
pub(crate) struct BatchGetRequest {
    /// The organization.
    pub(crate) parent: ParsedName<OrganizationName>,
    /// The records, or the violation if there are too many.
    pub(crate) names: Result<Vec<ParsedName<RecordId>>, Violation>,
    /// The fields of the answer, or the violations of the mask.
    pub(crate) read_mask: Result<ReadMask, Vec<Violation>>,
}

/// Records to write, all or none.
pub(crate) struct BatchRequest<T> {
    /// The organization.
    pub(crate) parent: ParsedName<OrganizationName>,
    /// The single requests, or the violation if there are too many.
    pub(crate) items: Result<Vec<BatchItem<T>>, Violation>,
    /// The options of the write.
    pub(crate) write: WriteOptions,
}

/// A single request of a batch or an import.
pub(crate) struct BatchItem<T> {
    pub(crate) request: T,
    /// The violations of fields that belong to the batch.
    pub(crate) violations: Vec<Violation>,
    /// The size of the encoded request.
    pub(crate) bytes: usize,
}

/// A message of an import.
pub(crate) struct ImportRequest {
    /// The organization; `None` if the message doesn't name one.
    pub(crate) parent: Option<ParsedName<OrganizationName>>,
    /// The records to create, or the violation if there are too many.
    pub(crate) items: Result<Vec<BatchItem<CreateRequest>>, Violation>,
    /// Whether the import is a dry run.
    pub(crate) validate_only: bool,
}

/// The options of every write.
pub(crate) struct WriteOptions {
    /// Whether the write is only validated (dry run).
    pub(crate) validate_only: bool,
    /// The idempotency key; empty if there is none.
    pub(crate) request_id: String,
}

/// An answer.
pub(crate) enum EntityReply {
    /// A record, in the organization of this name.
    Record(OrganizationName, Record),
    /// A record that was updated, in the organization of this name.
    Updated(OrganizationName, Updated),
    /// The selected fields of a record, in the organization of this name.
    Read(OrganizationName, Record, ReadMask),
    /// A page of records with the selected fields, in the organization of this name.
    List(OrganizationName, Listed, ReadMask),
    /// The selected fields of the records of a batch, in the organization of this name.
    Batch(OrganizationName, Vec<Record>, ReadMask),
    /// The records of a batch that were updated, in the organization of this name.
    BatchUpdated(OrganizationName, Vec<Updated>),
    /// The results of the next records of an import, in the organization of this name.
    Imported(OrganizationName, Vec<Result<RecordId, Status>>),
    /// Nothing.
    Empty,
}

/// The maximum numbers of elements in a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodecBounds {
    /// The maximum number of paths in a mask.
    pub(crate) mask_paths_max: usize,
    /// The maximum number of items in a batch, or in a message of an import.
    pub(crate) batch_items_max: usize,
}

/// The codec of one method.
#[derive(Clone)]
pub(crate) struct EntityCodec {
    method: Arc<EntityMethod>,
    bounds: CodecBounds,
    /// The organization of an import, which its first message names.
    parent: Option<OrganizationName>,
}

impl EntityCodec {
    pub(crate) fn new(method: Arc<EntityMethod>, bounds: CodecBounds) -> Self {
        EntityCodec { method, bounds, parent: None }
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
        decode_message(&self.method, self.bounds, &mut self.parent, source).map(Some)
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
            EntityReply::Batch(organization, records, mask) => {
                let write = |record| write_record(&method.entity, &method.resource, &organization, record, &mask);
                write_all(method, records.into_iter().map(write))
            }
            EntityReply::BatchUpdated(organization, updated) => {
                write_all(method, updated.into_iter().map(|updated| write_updated(method, &organization, updated)))
            }
            EntityReply::Imported(organization, results) => {
                encode_results(method, &organization, &results, destination);
                return Ok(());
            }
            EntityReply::Empty => DynamicMessage::new(method.output.clone()),
        };
        message.encode(destination).map_err(status::internal)
    }
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

fn write_list(
    method: &EntityMethod,
    organization: &OrganizationName,
    listed: Listed,
    mask: &ReadMask,
) -> DynamicMessage {
    let write = |record| write_record(&method.entity, &method.resource, organization, record, mask);
    let mut message = write_all(method, listed.records.into_iter().map(write));
    message.set_field_by_name("next_page_token", ProtoValue::String(listed.next_page_token));
    if let Some(total_size) = listed.total_size {
        let total_size = i64::try_from(total_size).unwrap_or(i64::MAX);
        message.set_field_by_name("total_size", ProtoValue::I64(total_size));
    }
    message
}

/// Encodes a response with these records.
fn write_all(method: &EntityMethod, records: impl Iterator<Item = DynamicMessage>) -> DynamicMessage {
    let mut message = DynamicMessage::new(method.output.clone());
    if let Some(field) = list_field(&method.output, &method.resource.message) {
        message.set_field(&field, ProtoValue::List(records.map(ProtoValue::Message).collect()));
    }
    message
}

/// Encodes results of an import: names, and errors in the form of `google.rpc.Status`, which is also the form of a status' details.
fn encode_results(
    method: &EntityMethod,
    organization: &OrganizationName,
    results: &[Result<RecordId, Status>],
    destination: &mut impl BufMut,
) {
    let Some(fields) = &method.results else { return };
    let collection = &method.entity.collection;
    for result in results {
        let name;
        let (field, content) = match result {
            Ok(id) => {
                name = RecordName { organization: organization.clone(), collection, id: *id }.to_string();
                (&fields.name, name.as_bytes())
            }
            Err(status) => (&fields.error, status.details()),
        };
        let length = content.len() as u64;
        let inner = encoding::key_len(field.number()) + encoding::encoded_len_varint(length) + content.len();
        encoding::encode_key(fields.results.number(), WireType::LengthDelimited, destination);
        encoding::encode_varint(inner as u64, destination);
        encoding::encode_key(field.number(), WireType::LengthDelimited, destination);
        encoding::encode_varint(length, destination);
        destination.put_slice(content);
    }
}

/// Decodes the request of a method, for an import its first message. The result contains violations of fields. Bytes that aren't a message
/// of this type are an error.
#[cfg(fuzzing)]
pub(crate) fn decode(method: &EntityMethod, bounds: CodecBounds, source: impl Buf) -> Result<EntityRequest, Status> {
    decode_message(method, bounds, &mut None, source)
}

/// Decodes a message. `parent` is the organization of an import, which its first message names.
fn decode_message(
    method: &EntityMethod,
    bounds: CodecBounds,
    parent: &mut Option<OrganizationName>,
    mut source: impl Buf,
) -> Result<EntityRequest, Status> {
    match &method.items {
        None => {
            let message = decoded(&method.input, source)?;
            Ok(read_request(method, bounds.mask_paths_max, message))
        }
        Some(field) => {
            let source = source.copy_to_bytes(source.remaining());
            let (mut message, items) = split(&method.input, field, bounds.batch_items_max, source)?;
            let batch = Batch { method, bounds, field, items };
            batch.read(&mut message, parent)
        }
    }
}

fn decoded(descriptor: &MessageDescriptor, source: impl Buf) -> Result<DynamicMessage, Status> {
    DynamicMessage::decode(descriptor.clone(), source).map_err(invalid)
}

fn invalid<E>(_: E) -> Status {
    status::message_invalid()
}

/// The items of a batch, still encoded, or the violation if there are too many.
type EncodedItems = Result<Vec<Bytes>, Violation>;

/// Splits the request of a batch into a message without items, and the items. So a request with too many items takes little memory, and an
/// item is decoded as a single request is.
fn split(
    descriptor: &MessageDescriptor,
    field: &FieldDescriptor,
    items_max: usize,
    mut source: Bytes,
) -> Result<(DynamicMessage, EncodedItems), Status> {
    let (mut rest, mut items, mut count) = (Vec::new(), Vec::new(), 0_usize);
    while source.has_remaining() {
        let begun = source.clone();
        let (number, wire_type) = encoding::decode_key(&mut source).map_err(invalid)?;
        if number == field.number() && wire_type == WireType::LengthDelimited {
            let length = encoding::decode_varint(&mut source).map_err(invalid)?;
            let length = usize::try_from(length).ok().filter(|length| *length <= source.remaining());
            let item = source.split_to(length.ok_or_else(status::message_invalid)?);
            count += 1;
            if count <= items_max {
                items.push(item);
            }
        } else {
            encoding::skip_field(wire_type, number, &mut source, DecodeContext::default()).map_err(invalid)?;
            rest.extend_from_slice(begun.get(..begun.len() - source.len()).unwrap_or_default());
        }
    }
    let too_many = || Violation::new(field.name(), Problem::TooMany { limit: items_max });
    let items = if count > items_max { Err(too_many()) } else { Ok(items) };
    Ok((decoded(descriptor, rest.as_slice())?, items))
}

/// The request of a batch or an import, with encoded items.
struct Batch<'a> {
    method: &'a EntityMethod,
    bounds: CodecBounds,
    field: &'a FieldDescriptor,
    items: EncodedItems,
}

impl Batch<'_> {
    /// `import_parent` is the organization of an import, which its first message names.
    fn read(
        self,
        message: &mut DynamicMessage,
        import_parent: &mut Option<OrganizationName>,
    ) -> Result<EntityRequest, Status> {
        let Batch { method, bounds, .. } = self;
        let parent_text = take_text(message, "parent");
        let parent = name::organization("parent", &parent_text);
        let create = |item: &mut DynamicMessage, organization: Option<&OrganizationName>| {
            let request = read_create(method, item, organization);
            let is_other = request.parent.organization.as_ref().ok() != organization;
            let wrong_parent = is_other && request.parent_is_given;
            (request, wrong_parent.then(|| not_of_parent(organization)))
        };
        Ok(match method.standard {
            StandardMethod::BatchGet => EntityRequest::BatchGet(BatchGetRequest {
                names: self.names()?,
                read_mask: read_mask(&method.entity, bounds.mask_paths_max, message),
                parent,
            }),
            StandardMethod::BatchUpdate => EntityRequest::BatchUpdate(BatchRequest {
                items: self.items(|item| {
                    let request = read_update(method, bounds.mask_paths_max, item);
                    let violations = of_batch(&request.write);
                    (request, violations)
                })?,
                write: write_options(message),
                parent,
            }),
            StandardMethod::BatchDelete => EntityRequest::BatchDelete(BatchRequest {
                items: self.items(|item| {
                    let request = read_delete(method, item);
                    let violations = of_batch(&request.write);
                    (request, violations)
                })?,
                write: write_options(message),
                parent,
            }),
            StandardMethod::Import => {
                if import_parent.is_none() {
                    *import_parent = parent.resource.as_ref().ok().cloned();
                }
                let items = self.items(|item| {
                    let (request, wrong_parent) = create(item, import_parent.as_ref());
                    let is_of_batch = |violation: &Violation| violation.field == VALIDATE_ONLY;
                    let of_batch = of_batch(&request.write).into_iter().filter(is_of_batch);
                    let violations = of_batch.chain(wrong_parent).collect();
                    (request, violations)
                })?;
                EntityRequest::Import(ImportRequest {
                    items,
                    validate_only: take_bool(message, VALIDATE_ONLY),
                    parent: (!parent_text.is_empty()).then_some(parent),
                })
            }
            // Only a batch has items.
            StandardMethod::BatchCreate
            | StandardMethod::Create
            | StandardMethod::Get
            | StandardMethod::List
            | StandardMethod::Update
            | StandardMethod::Delete => EntityRequest::BatchCreate(BatchRequest {
                items: self.items(|item| {
                    let (request, wrong_parent) = create(item, parent.organization.as_ref().ok());
                    let violations = of_batch(&request.write).into_iter().chain(wrong_parent).collect();
                    (request, violations)
                })?,
                write: write_options(message),
                parent,
            }),
        })
    }

    /// Decodes the items as messages, and reads each with the violations of fields that belong to the batch.
    fn items<T>(
        self,
        read: impl Fn(&mut DynamicMessage) -> (T, Vec<Violation>),
    ) -> Result<Result<Vec<BatchItem<T>>, Violation>, Status> {
        let prost_reflect::Kind::Message(descriptor) = self.field.kind() else { return Err(status::message_invalid()) };
        let read = |item: Bytes| {
            let bytes = item.len();
            let (request, violations) = read(&mut decoded(&descriptor, item)?);
            Ok(BatchItem { request, violations, bytes })
        };
        match self.items {
            Ok(items) => items.into_iter().map(read).collect::<Result<_, Status>>().map(Ok),
            Err(violation) => Ok(Err(violation)),
        }
    }

    /// Decodes the items as names of records.
    fn names(self) -> Result<Result<Vec<ParsedName<RecordId>>, Violation>, Status> {
        let read = |(index, item): (usize, Bytes)| {
            let text = std::str::from_utf8(&item).map_err(invalid)?;
            Ok(name::record(&format!("{}[{index}]", self.field.name()), text, &self.method.entity))
        };
        match self.items {
            Ok(items) => items.into_iter().enumerate().map(read).collect::<Result<_, Status>>().map(Ok),
            Err(violation) => Ok(Err(violation)),
        }
    }
}

/// The violations of a single request that sets options of its batch.
fn of_batch(write: &WriteOptions) -> Vec<Violation> {
    let WriteOptions { validate_only, request_id } = write;
    let set = [(VALIDATE_ONLY, *validate_only), (REQUEST_ID, !request_id.is_empty())];
    let set = set.into_iter().filter(|(_, is_set)| *is_set);
    set.map(|(field, _)| Violation::new(field, Problem::OfBatch)).collect()
}

/// The violation of a single request that names another organization than its batch.
fn not_of_parent(organization: Option<&OrganizationName>) -> Violation {
    let form = organization.map(OrganizationName::resource_name).unwrap_or_default();
    Violation::new("parent", Problem::NotAName { form })
}

const VALIDATE_ONLY: &str = "validate_only";
const REQUEST_ID: &str = "request_id";

fn read_request(method: &EntityMethod, mask_paths_max: usize, mut message: DynamicMessage) -> EntityRequest {
    let message = &mut message;
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
        // A batch has items.
        StandardMethod::Delete
        | StandardMethod::BatchGet
        | StandardMethod::BatchCreate
        | StandardMethod::BatchUpdate
        | StandardMethod::BatchDelete
        | StandardMethod::Import => EntityRequest::Delete(read_delete(method, message)),
    }
}

/// Reads a create. `organization` is that of a batch; without one, the request names it.
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
        id: take_text(message, &format!("{}_id", entity.singular)),
        draft: read_draft(entity, &method.resource, resource, organization),
        write: write_options(message),
        parent,
        parent_is_given: !parent_text.is_empty(),
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
    WriteOptions { validate_only: take_bool(message, VALIDATE_ONLY), request_id: take_text(message, REQUEST_ID) }
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

#[cfg(test)]
mod tests {
    use sealward::mail::v1::{BatchCreateMailboxesRequest, CreateMailboxRequest, ImportMailboxesResponse, Mailbox};
    use tonic::Code;

    use super::*;

    const BOUNDS: CodecBounds = CodecBounds { mask_paths_max: 2, batch_items_max: 2 };
    const PROFILE: &str = "organizations/contoso/emailServerProfiles/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506";

    fn method(name: &str) -> EntityMethod {
        let served = crate::schema::read(sealward::FILE_DESCRIPTOR_SET).unwrap();
        served.methods.into_iter().find(|method| method.path.ends_with(&format!("/{name}"))).unwrap()
    }

    fn create(parent: &str) -> CreateMailboxRequest {
        let mailbox = Mailbox { email_server_profile: Some(PROFILE.to_owned()), ..Mailbox::default() };
        CreateMailboxRequest { parent: parent.to_owned(), mailbox: Some(mailbox), ..CreateMailboxRequest::default() }
    }

    fn decoded(method: &EntityMethod, bytes: &[u8]) -> Result<EntityRequest, Status> {
        decode_message(method, BOUNDS, &mut None, bytes)
    }

    fn batch(bytes: &[u8]) -> BatchRequest<CreateRequest> {
        match decoded(&method("BatchCreateMailboxes"), bytes).unwrap() {
            EntityRequest::BatchCreate(batch) => batch,
            _ => panic!("another request"),
        }
    }

    #[test]
    fn items_are_read_in_the_organization_of_their_batch_wherever_it_is() {
        let items = BatchCreateMailboxesRequest {
            requests: vec![create(""), create("organizations/fabrikam")],
            ..BatchCreateMailboxesRequest::default()
        };
        let rest = BatchCreateMailboxesRequest {
            parent: "organizations/contoso".to_owned(),
            validate_only: true,
            ..BatchCreateMailboxesRequest::default()
        };
        let (items, rest) = (items.encode_to_vec(), rest.encode_to_vec());
        for bytes in [[items.clone(), rest.clone()].concat(), [rest, items].concat()] {
            let batch = batch(&bytes);
            assert!(batch.parent.resource.is_ok() && batch.write.validate_only);
            let items = batch.items.unwrap();
            let found: Vec<_> = items.iter().map(|item| item.violations.len()).collect();
            assert_eq!(found, [0, 1]);
            for item in &items {
                let given: Vec<_> = item.request.draft.given.values().collect();
                assert!(matches!(given[..], [Given::Clear(Value::Reference(_))]));
            }
        }
    }

    #[test]
    fn too_many_items_are_a_violation_without_being_decoded() {
        // The items aren't messages.
        let item = [0x12, 0x01, 0xff];
        let batch = batch(&item.repeat(3));
        let problem = Problem::TooMany { limit: 2 };
        assert_eq!(batch.items.err().unwrap(), Violation::new("requests", problem));
        assert!(decoded(&method("BatchCreateMailboxes"), &item.repeat(2)).is_err());
    }

    #[test]
    fn bytes_that_are_no_batch_are_refused() {
        for name in ["BatchGetMailboxes", "BatchCreateMailboxes", "ImportMailboxes"] {
            let method = method(name);
            assert!(decoded(&method, &[]).is_ok(), "{name}");
            // A length beyond the end, a wrong wire type, a truncated key, a name that isn't UTF-8.
            for bytes in
                [&[0x12, 0x05, 0x0a][..], &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x0a], &[0x80], &[0x0a, 1, 0xff]]
            {
                let error = decoded(&method, bytes).err().unwrap();
                assert_eq!(error.code(), Code::InvalidArgument, "{name} {bytes:?}");
            }
        }
    }

    #[test]
    fn results_of_an_import_are_names_and_errors_with_their_details() {
        let organization: OrganizationName = "contoso".parse().unwrap();
        let id = RecordId::from_bytes([7; 16]);
        let refused = status::invalid(vec![Violation::new("mailbox.display_name", Problem::Required)]);
        let mut bytes = Vec::new();
        encode_results(&method("ImportMailboxes"), &organization, &[Ok(id), Err(refused.clone())], &mut bytes);
        let response = ImportMailboxesResponse::decode(bytes.as_slice()).unwrap();
        let [created, error] = &response.results[..] else { panic!("{response:?}") };
        use sealward::mail::v1::import_mailboxes_result::Result as Case;
        let name = format!("organizations/contoso/mailboxes/{id}");
        assert_eq!(created.result, Some(Case::Name(name)));
        let Some(Case::Error(error)) = &error.result else { panic!("{error:?}") };
        assert_eq!((error.code, error.message.as_str()), (refused.code() as i32, refused.message()));
        assert_eq!(error.encode_to_vec(), refused.details());
    }
}
