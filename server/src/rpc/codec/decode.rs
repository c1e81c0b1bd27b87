//! Decodes requests by a plan that is compiled from the descriptors of a method, once at start.
//!
//! A plan maps the number of each field to its encoding and to the part of the request that it fills. So decoding needs no names, maps
//! or messages of values. Texts stay in the bytes of the message until all fields are known. The value of an encrypted attribute is copied
//! once, from there to its secret type.
//!
//! The accepted bytes, and their meaning, are those of prost: the last value of a field wins, messages given twice are merged, fields that
//! the plan doesn't use are checked by their types, and unknown fields are skipped. Tests and a fuzzer compare it with prost-reflect.

use std::{collections::HashMap, sync::Arc};

use prost_reflect::{Kind as ProtoKind, MessageDescriptor};
use sealward_core::{
    crypto::secret::Plaintext,
    id::RecordId,
    mask::{ReadMask, not_settable},
    name::OrganizationName,
    record::{Draft, Given, Touched, given_text},
    schema::{Attribute, Entity, Kind, Value},
    violation::{Problem, Violation},
};

use super::{
    message::{
        BatchGetRequest, BatchItem, BatchRequest, CreateRequest, DeleteRequest, EntityRequest, GetRequest,
        ImportRequest, ListRequest, UpdateRequest, WriteOptions,
    },
    wire::{DEPTH_MAX, Malformed, Reader, Wire},
};
use crate::{
    rpc::name::{self, ParsedName},
    schema::{EntityMethod, StandardMethod, timestamp_from_proto},
};

/// The maximum numbers of elements in a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodecBounds {
    /// The maximum number of paths in a mask.
    pub(crate) mask_paths_max: usize,
    /// The maximum number of items in a batch, or in a message of an import.
    pub(crate) batch_items_max: usize,
}

/// Decodes the requests of one method.
pub(crate) struct RequestPlan {
    standard: StandardMethod,
    entity: Arc<Entity>,
    mask_paths_max: usize,
    /// The field with the name in the request of an update, for violations.
    name_field: String,
    /// The message of the request, and those in it. Fields refer to them by index.
    messages: Vec<MessagePlan>,
    /// The items of a batch or an import.
    items: Option<ItemsPlan>,
}

/// The items of a batch, in a field of its request. An item is decoded as a single request is.
struct ItemsPlan {
    number: u32,
    field: String,
    items_max: usize,
    /// The plan of a single request; `None` if the items are names.
    single: Option<Box<RequestPlan>>,
}

/// The fields of a message, by number.
#[derive(Default)]
struct MessagePlan(Vec<FieldPlan>);

struct FieldPlan {
    number: u32,
    form: Form,
    is_list: bool,
    target: Target,
    /// The other members of its oneof, which it clears.
    clears: Vec<Target>,
}

/// The type of a field, as far as decoding needs it.
#[derive(Clone, Copy)]
enum Form {
    Boolean,
    /// An int32 or an enum.
    Integer32,
    Integer64,
    /// Any other type that is encoded as a varint. No part of a request has such a type.
    Varint,
    Fixed32,
    Fixed64,
    Text,
    Bytes,
    /// A message, by its index in the plan.
    Message(usize),
    Group(usize),
    /// An entry of a map.
    Entry(usize),
}

/// The part of a request that a field fills.
#[derive(Clone, Copy)]
enum Target {
    /// None: the field is only checked.
    Nothing,
    Text(TextPart),
    Number(NumberPart),
    Mask,
    Path,
    Resource,
    /// The attribute with this index.
    Attribute(usize),
    /// The seconds of the time of an attribute.
    Seconds(usize),
    Nanos(usize),
}

#[derive(Clone, Copy)]
enum TextPart {
    Parent,
    Name,
    Id,
    PageToken,
    Filter,
    OrderBy,
    Etag,
    RequestId,
}

#[derive(Clone, Copy)]
enum NumberPart {
    PageSize,
    ReturnTotalSize,
    ValidateOnly,
}

/// The role of a message in a request: it determines the parts that its fields fill.
#[derive(Clone, Copy)]
enum Role {
    Request,
    Resource,
    Mask,
    /// The time of the attribute with this index.
    Time(usize),
    Unused,
}

/// The parts of a request, in the bytes of its message.
#[derive(Default)]
struct Parts<'a> {
    parent: &'a str,
    name: &'a str,
    id: &'a str,
    page_size: i32,
    page_token: &'a str,
    filter: &'a str,
    order_by: &'a str,
    etag: &'a str,
    request_id: &'a str,
    return_total_size: bool,
    validate_only: bool,
    /// At most one more than the limit.
    paths: Vec<&'a str>,
    /// By index; empty without a resource.
    attributes: Vec<Option<Part<'a>>>,
}

/// The value of an attribute.
#[derive(Clone, Copy)]
enum Part<'a> {
    Boolean(bool),
    Integer(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Time { seconds: i64, nanos: i32 },
}

impl RequestPlan {
    /// Compiles the plan of a method.
    pub(crate) fn new(method: &EntityMethod, bounds: CodecBounds) -> Self {
        let mut compiler = Compiler { method, messages: Vec::new(), unused: HashMap::new() };
        compiler.message(&method.input, Role::Request);
        RequestPlan {
            standard: method.standard,
            entity: Arc::clone(&method.entity),
            mask_paths_max: bounds.mask_paths_max,
            items: ItemsPlan::of(method, bounds),
            name_field: format!("{}.name", method.entity.singular),
            messages: compiler.messages,
        }
    }

    /// Decodes a request. The result contains violations of fields. `import_parent` is the organization of an import, which its first
    /// message names.
    ///
    /// # Errors
    /// The bytes aren't a message of the expected type.
    pub(crate) fn decode(
        &self,
        bytes: &[u8],
        import_parent: &mut Option<OrganizationName>,
    ) -> Result<EntityRequest, Malformed> {
        match &self.items {
            None => Ok(self.request(&self.parts(bytes)?)),
            Some(items) => self.batch(items, bytes, import_parent),
        }
    }

    fn parts<'a>(&self, bytes: &'a [u8]) -> Result<Parts<'a>, Malformed> {
        let mut parts = Parts::default();
        self.read(0, &mut Reader::new(bytes), DEPTH_MAX, None, &mut parts)?;
        Ok(parts)
    }

    /// Decodes the request of a batch. Its items stay encoded until they are counted, so a request with too many of them takes no memory.
    fn batch(
        &self,
        items: &ItemsPlan,
        bytes: &[u8],
        import_parent: &mut Option<OrganizationName>,
    ) -> Result<EntityRequest, Malformed> {
        let message = self.messages.first().ok_or(Malformed)?;
        let (mut parts, mut found, mut count) = (Parts::default(), Vec::new(), 0_usize);
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            match reader.key()? {
                (number, Wire::Length) if number == items.number => {
                    let item = reader.bytes()?;
                    count += 1;
                    if count <= items.items_max {
                        found.push(item);
                    }
                }
                (_, Wire::GroupEnd) => return Err(Malformed),
                (number, wire) => match message.field(number) {
                    Some(field) => self.read_field(field, wire, &mut reader, DEPTH_MAX, &mut parts)?,
                    None => reader.skip(number, wire, DEPTH_MAX)?,
                },
            }
        }
        let problem = Problem::TooMany { limit: items.items_max };
        let found = if count > items.items_max { Err(Violation::new(&items.field, problem)) } else { Ok(found) };
        self.batch_request(items, &parts, found, import_parent)
    }

    fn batch_request(
        &self,
        items: &ItemsPlan,
        parts: &Parts<'_>,
        found: Result<Vec<&[u8]>, Violation>,
        import_parent: &mut Option<OrganizationName>,
    ) -> Result<EntityRequest, Malformed> {
        let parent = name::organization("parent", parts.parent);
        let of_parent = |request: &CreateRequest, organization: Option<&OrganizationName>| {
            let is_other = request.parent.organization.as_ref().ok() != organization;
            (is_other && request.parent_is_given).then(|| not_of_parent(organization))
        };
        Ok(match self.standard {
            StandardMethod::BatchGet => EntityRequest::BatchGet(BatchGetRequest {
                names: self.names(items, found)?,
                read_mask: self.read_mask(parts),
                parent,
            }),
            StandardMethod::BatchUpdate => EntityRequest::BatchUpdate(BatchRequest {
                items: items.read(found, |single, parts| {
                    let request = single.update(parts);
                    let violations = of_batch(&request.write);
                    (request, violations)
                })?,
                write: parts.write(),
                parent,
            }),
            StandardMethod::BatchDelete => EntityRequest::BatchDelete(BatchRequest {
                items: items.read(found, |single, parts| {
                    let request = single.delete(parts);
                    let violations = of_batch(&request.write);
                    (request, violations)
                })?,
                write: parts.write(),
                parent,
            }),
            StandardMethod::Import => {
                if import_parent.is_none() {
                    *import_parent = parent.resource.as_ref().ok().cloned();
                }
                let organization = import_parent.as_ref();
                let read = items.read(found, |single, parts| {
                    let request = single.create(parts, organization);
                    let is_of_batch = |violation: &Violation| violation.field == VALIDATE_ONLY;
                    let violations = of_batch(&request.write).into_iter().filter(is_of_batch);
                    let violations = violations.chain(of_parent(&request, organization)).collect();
                    (request, violations)
                })?;
                EntityRequest::Import(ImportRequest {
                    items: read,
                    validate_only: parts.validate_only,
                    parent: (!parts.parent.is_empty()).then_some(parent),
                })
            }
            // Only a batch has items.
            StandardMethod::BatchCreate
            | StandardMethod::Create
            | StandardMethod::Get
            | StandardMethod::List
            | StandardMethod::Update
            | StandardMethod::Delete => {
                let organization = parent.organization.as_ref().ok();
                EntityRequest::BatchCreate(BatchRequest {
                    items: items.read(found, |single, parts| {
                        let request = single.create(parts, organization);
                        let violations = of_batch(&request.write).into_iter();
                        let violations = violations.chain(of_parent(&request, organization)).collect();
                        (request, violations)
                    })?,
                    write: parts.write(),
                    parent,
                })
            }
        })
    }

    /// Reads items that are names of records.
    fn names(
        &self,
        items: &ItemsPlan,
        found: Result<Vec<&[u8]>, Violation>,
    ) -> Result<Result<Vec<ParsedName<RecordId>>, Violation>, Malformed> {
        let read = |(index, item): (usize, &[u8])| {
            let text = std::str::from_utf8(item).map_err(|_| Malformed)?;
            Ok(name::record(&format!("{}[{index}]", items.field), text, &self.entity))
        };
        match found {
            Ok(found) => found.into_iter().enumerate().map(read).collect::<Result<_, Malformed>>().map(Ok),
            Err(violation) => Ok(Err(violation)),
        }
    }

    /// Reads the fields of a message, to the end of the bytes or of the group. `depth` is the number of levels that it may contain.
    fn read<'a>(
        &self,
        message: usize,
        reader: &mut Reader<'a>,
        depth: u32,
        group: Option<u32>,
        parts: &mut Parts<'a>,
    ) -> Result<(), Malformed> {
        let message = self.messages.get(message).ok_or(Malformed)?;
        while group.is_some() || !reader.is_empty() {
            let (number, wire) = reader.key()?;
            if wire == Wire::GroupEnd {
                return if group == Some(number) { Ok(()) } else { Err(Malformed) };
            }
            match message.field(number) {
                Some(field) => self.read_field(field, wire, reader, depth, parts)?,
                None => reader.skip(number, wire, depth)?,
            }
        }
        Ok(())
    }

    fn read_field<'a>(
        &self,
        field: &FieldPlan,
        wire: Wire,
        reader: &mut Reader<'a>,
        depth: u32,
        parts: &mut Parts<'a>,
    ) -> Result<(), Malformed> {
        field.clears.iter().for_each(|other| parts.clear(*other));
        match field.form {
            Form::Boolean | Form::Integer32 | Form::Integer64 | Form::Varint | Form::Fixed32 | Form::Fixed64
                if field.is_list && wire == Wire::Length =>
            {
                let mut packed = Reader::new(reader.bytes()?);
                while !packed.is_empty() {
                    Self::read_number(field, field.form.wire(), &mut packed, parts)?;
                }
            }
            Form::Boolean | Form::Integer32 | Form::Integer64 | Form::Varint | Form::Fixed32 | Form::Fixed64 => {
                Self::read_number(field, wire, reader, parts)?;
            }
            Form::Text => {
                wire.must_be(Wire::Length)?;
                parts.text(field.target, reader.text()?, self.mask_paths_max);
            }
            Form::Bytes => {
                wire.must_be(Wire::Length)?;
                let bytes = reader.bytes()?;
                if let Target::Attribute(index) = field.target {
                    parts.attribute(index, Part::Bytes(bytes));
                }
            }
            Form::Message(message) => {
                wire.must_be(Wire::Length)?;
                let depth = depth.checked_sub(1).ok_or(Malformed)?;
                parts.begin(field.target, &self.entity);
                self.read(message, &mut Reader::new(reader.bytes()?), depth, None, parts)?;
            }
            Form::Group(message) => {
                wire.must_be(Wire::GroupStart)?;
                let depth = depth.checked_sub(1).ok_or(Malformed)?;
                parts.begin(field.target, &self.entity);
                self.read(message, reader, depth, Some(field.number), parts)?;
            }
            // As in prost-reflect, which neither checks the encoding of an entry nor counts its level.
            Form::Entry(message) => self.read(message, &mut Reader::new(reader.bytes()?), depth, None, parts)?,
        }
        Ok(())
    }

    fn read_number(
        field: &FieldPlan,
        wire: Wire,
        reader: &mut Reader<'_>,
        parts: &mut Parts<'_>,
    ) -> Result<(), Malformed> {
        wire.must_be(field.form.wire())?;
        match wire {
            Wire::Fixed32 => reader.take(4).map(|_| ()),
            Wire::Fixed64 => reader.take(8).map(|_| ()),
            Wire::Varint | Wire::Length | Wire::GroupStart | Wire::GroupEnd => {
                parts.number(field.target, field.form, reader.varint()?);
                Ok(())
            }
        }
    }

    fn request(&self, parts: &Parts<'_>) -> EntityRequest {
        match self.standard {
            StandardMethod::Create => EntityRequest::Create(self.create(parts, None)),
            StandardMethod::Get => EntityRequest::Get(GetRequest {
                name: name::record("name", parts.name, &self.entity),
                read_mask: self.read_mask(parts),
            }),
            StandardMethod::List => EntityRequest::List(ListRequest {
                parent: name::organization("parent", parts.parent),
                page_size: parts.page_size,
                page_token: parts.page_token.to_owned(),
                filter: parts.filter.to_owned(),
                order_by: parts.order_by.to_owned(),
                read_mask: self.read_mask(parts),
                return_total_size: parts.return_total_size,
            }),
            StandardMethod::Update => EntityRequest::Update(self.update(parts)),
            // A batch has items.
            StandardMethod::Delete
            | StandardMethod::BatchGet
            | StandardMethod::BatchCreate
            | StandardMethod::BatchUpdate
            | StandardMethod::BatchDelete
            | StandardMethod::Import => EntityRequest::Delete(self.delete(parts)),
        }
    }

    /// `organization` is that of a batch; without one, the request names it.
    fn create(&self, parts: &Parts<'_>, organization: Option<&OrganizationName>) -> CreateRequest {
        let parent = name::organization("parent", parts.parent);
        CreateRequest {
            id: parts.id.to_owned(),
            draft: parts.draft(&self.entity, organization.or(parent.organization.as_ref().ok())),
            write: parts.write(),
            parent_is_given: !parts.parent.is_empty(),
            parent,
        }
    }

    fn update(&self, parts: &Parts<'_>) -> UpdateRequest {
        let name = name::record(&self.name_field, parts.name, &self.entity);
        let draft = parts.draft(&self.entity, name.organization.as_ref().ok());
        let (touched, mask_violations) = self.update_mask(&draft, parts);
        UpdateRequest { name, etag: parts.etag.to_owned(), draft, touched, mask_violations, write: parts.write() }
    }

    fn delete(&self, parts: &Parts<'_>) -> DeleteRequest {
        let name = name::record("name", parts.name, &self.entity);
        DeleteRequest { name, etag: parts.etag.to_owned(), write: parts.write() }
    }

    fn read_mask(&self, parts: &Parts<'_>) -> Result<ReadMask, Vec<Violation>> {
        if parts.paths.is_empty() {
            // The mask of all fields, which parsing would make with more work.
            return Ok(ReadMask::default());
        }
        ReadMask::parse(parts.paths.iter().copied(), self.mask_paths_max, &self.entity)
    }

    /// The attributes that an update changes, and the violations of its mask.
    fn update_mask(&self, draft: &Draft, parts: &Parts<'_>) -> (Touched, Vec<Violation>) {
        let entity = &*self.entity;
        if parts.paths.is_empty() {
            // Without a mask, an update changes the given attributes. Output-only attributes are ignored, because a client may send back a
            // record that it has read.
            let settable = |index: &&usize| {
                entity.attributes.get(**index).is_some_and(|attribute| !attribute.output_only && attribute.stored())
            };
            return (draft.given.keys().filter(settable).copied().collect(), Vec::new());
        }
        if parts.paths.len() > self.mask_paths_max {
            let problem = Problem::TooMany { limit: self.mask_paths_max };
            return (Touched::new(), vec![Violation::new("update_mask", problem)]);
        }
        let (mut touched, mut violations) = (Touched::new(), Vec::new());
        for path in &parts.paths {
            match entity.position(path) {
                Some(index) => {
                    touched.insert(index);
                }
                None => violations.push(not_settable(path, entity)),
            }
        }
        (touched, violations)
    }
}

impl ItemsPlan {
    /// Compiles the plan of the items, if the method has any.
    fn of(method: &EntityMethod, bounds: CodecBounds) -> Option<Self> {
        let field = method.items.as_ref()?;
        let single = match (field.kind(), method.standard.of_item()) {
            (ProtoKind::Message(input), Some(standard)) => {
                let single = EntityMethod { standard, input, items: None, results: None, ..method.clone() };
                Some(Box::new(RequestPlan::new(&single, bounds)))
            }
            (_, _) => None,
        };
        let (number, field) = (field.number(), field.name().to_owned());
        Some(ItemsPlan { number, field, items_max: bounds.batch_items_max, single })
    }

    /// Decodes items, and reads each with the violations of fields that belong to the batch.
    fn read<T>(
        &self,
        found: Result<Vec<&[u8]>, Violation>,
        read: impl Fn(&RequestPlan, &Parts<'_>) -> (T, Vec<Violation>),
    ) -> Result<Result<Vec<BatchItem<T>>, Violation>, Malformed> {
        let single = self.single.as_ref().ok_or(Malformed)?;
        let item = |bytes: &[u8]| {
            let (request, violations) = read(single, &single.parts(bytes)?);
            Ok(BatchItem { request, violations, bytes: bytes.len() })
        };
        match found {
            Ok(found) => found.into_iter().map(item).collect::<Result<_, Malformed>>().map(Ok),
            Err(violation) => Ok(Err(violation)),
        }
    }
}

/// The violations of a single request that sets options of its batch.
pub(super) fn of_batch(write: &WriteOptions) -> Vec<Violation> {
    let WriteOptions { validate_only, request_id } = write;
    let set = [(VALIDATE_ONLY, *validate_only), (REQUEST_ID, !request_id.is_empty())];
    let set = set.into_iter().filter(|(_, is_set)| *is_set);
    set.map(|(field, _)| Violation::new(field, Problem::OfBatch)).collect()
}

/// The violation of a single request that names another organization than its batch.
pub(super) fn not_of_parent(organization: Option<&OrganizationName>) -> Violation {
    let form = organization.map(OrganizationName::resource_name).unwrap_or_default();
    Violation::new("parent", Problem::NotAName { form })
}

pub(super) const VALIDATE_ONLY: &str = "validate_only";
const REQUEST_ID: &str = "request_id";

impl MessagePlan {
    fn field(&self, number: u32) -> Option<&FieldPlan> {
        // The fields of most messages are numbered from 1 without gaps, so the number is the position.
        let position = usize::try_from(number).ok()?.checked_sub(1)?;
        match self.0.get(position) {
            Some(field) if field.number == number => Some(field),
            Some(_) | None => {
                let position = self.0.binary_search_by_key(&number, |field| field.number).ok()?;
                self.0.get(position)
            }
        }
    }
}

impl Form {
    /// The encoding of one value.
    fn wire(self) -> Wire {
        match self {
            Form::Boolean | Form::Integer32 | Form::Integer64 | Form::Varint => Wire::Varint,
            Form::Fixed32 => Wire::Fixed32,
            Form::Fixed64 => Wire::Fixed64,
            Form::Text | Form::Bytes | Form::Message(_) | Form::Entry(_) => Wire::Length,
            Form::Group(_) => Wire::GroupStart,
        }
    }
}

impl<'a> Parts<'a> {
    fn text(&mut self, target: Target, text: &'a str, paths_max: usize) {
        match target {
            Target::Text(part) => *self.text_part(part) = text,
            // One more than the limit proves that there are too many.
            Target::Path if self.paths.len() <= paths_max => self.paths.push(text),
            Target::Attribute(index) => self.attribute(index, Part::Text(text)),
            Target::Path
            | Target::Nothing
            | Target::Number(_)
            | Target::Mask
            | Target::Resource
            | Target::Seconds(_)
            | Target::Nanos(_) => {}
        }
    }

    fn text_part(&mut self, part: TextPart) -> &mut &'a str {
        match part {
            TextPart::Parent => &mut self.parent,
            TextPart::Name => &mut self.name,
            TextPart::Id => &mut self.id,
            TextPart::PageToken => &mut self.page_token,
            TextPart::Filter => &mut self.filter,
            TextPart::OrderBy => &mut self.order_by,
            TextPart::Etag => &mut self.etag,
            TextPart::RequestId => &mut self.request_id,
        }
    }

    fn number(&mut self, target: Target, form: Form, number: u64) {
        let wide = number.cast_signed();
        // Like every decoder of protobuf, which keep the low 32 bits of a longer varint.
        let narrow = wide as i32;
        match (target, form) {
            (Target::Number(part), _) => self.number_part(part, number),
            (Target::Attribute(index), Form::Boolean) => self.attribute(index, Part::Boolean(number != 0)),
            (Target::Attribute(index), Form::Integer32) => self.attribute(index, Part::Integer(narrow.into())),
            (Target::Attribute(index), _) => self.attribute(index, Part::Integer(wide)),
            (Target::Seconds(index), _) => {
                if let Some(Some(Part::Time { seconds, .. })) = self.attributes.get_mut(index) {
                    *seconds = wide;
                }
            }
            (Target::Nanos(index), _) => {
                if let Some(Some(Part::Time { nanos, .. })) = self.attributes.get_mut(index) {
                    *nanos = narrow;
                }
            }
            (Target::Nothing | Target::Text(_) | Target::Mask | Target::Path | Target::Resource, _) => {}
        }
    }

    fn number_part(&mut self, part: NumberPart, number: u64) {
        match part {
            NumberPart::PageSize => self.page_size = number.cast_signed() as i32,
            NumberPart::ReturnTotalSize => self.return_total_size = number != 0,
            NumberPart::ValidateOnly => self.validate_only = number != 0,
        }
    }

    fn attribute(&mut self, index: usize, part: Part<'a>) {
        if let Some(attribute) = self.attributes.get_mut(index) {
            *attribute = Some(part);
        }
    }

    /// Called before the fields of a message are read. A message that is given twice is merged.
    fn begin(&mut self, target: Target, entity: &Entity) {
        match target {
            Target::Resource => self.attributes.resize(entity.attributes.len(), None),
            Target::Attribute(index) => {
                if let Some(attribute @ None) = self.attributes.get_mut(index) {
                    *attribute = Some(Part::Time { seconds: 0, nanos: 0 });
                }
            }
            Target::Nothing
            | Target::Text(_)
            | Target::Number(_)
            | Target::Mask
            | Target::Path
            | Target::Seconds(_)
            | Target::Nanos(_) => {}
        }
    }

    fn clear(&mut self, target: Target) {
        match target {
            Target::Text(part) => *self.text_part(part) = "",
            Target::Number(part) => self.number_part(part, 0),
            Target::Mask => self.paths.clear(),
            Target::Resource => {
                // Its name and etag are parts of the request of an update.
                (self.name, self.etag) = ("", "");
                self.attributes.clear();
            }
            // The schema allows no oneof of attributes, and a list is in none.
            Target::Attribute(_) | Target::Path | Target::Seconds(_) | Target::Nanos(_) | Target::Nothing => {}
        }
    }

    fn write(&self) -> WriteOptions {
        WriteOptions { validate_only: self.validate_only, request_id: self.request_id.to_owned() }
    }

    /// The attributes of the resource, which may refer to records of this organization.
    fn draft(&self, entity: &Entity, organization: Option<&OrganizationName>) -> Draft {
        let given = entity.attributes.iter().zip(&self.attributes).enumerate();
        let given =
            given.filter_map(|(index, (attribute, part))| Some((index, (*part)?.given(attribute, organization))));
        Draft { given: given.collect() }
    }
}

impl Part<'_> {
    fn given(self, attribute: &Attribute, organization: Option<&OrganizationName>) -> Given {
        match (&attribute.kind, self) {
            (_, Part::Text(text)) if attribute.encrypted => Given::Secret(Plaintext::new(text.as_bytes().to_vec())),
            (_, Part::Bytes(bytes)) if attribute.encrypted => Given::Secret(Plaintext::new(bytes.to_vec())),
            (Kind::Reference { collection, .. }, Part::Text(text)) => {
                match organization.and_then(|organization| name::reference(text, organization, collection)) {
                    Some(id) => Given::Clear(Value::Reference(id)),
                    None => Given::Wrong(Problem::NotAReference { collection: collection.clone() }),
                }
            }
            (_, Part::Time { seconds, nanos }) => match timestamp_from_proto(seconds, nanos) {
                Some(time) => Given::Clear(Value::Time(time)),
                None => Given::Wrong(Problem::NotATime),
            },
            (_, Part::Boolean(value)) => Given::Clear(Value::Boolean(value)),
            (_, Part::Integer(value)) => Given::Clear(Value::Integer(value)),
            (_, Part::Text(text)) => given_text(attribute, text.to_owned()),
            (_, Part::Bytes(bytes)) => Given::Clear(Value::Bytes(bytes.to_vec())),
        }
    }
}

/// Compiles the messages of a request.
struct Compiler<'a> {
    method: &'a EntityMethod,
    messages: Vec<MessagePlan>,
    /// The index of each message without a role, by its full name: such messages can contain themselves.
    unused: HashMap<String, usize>,
}

impl Compiler<'_> {
    /// Compiles a message, and those in it. Returns its index.
    fn message(&mut self, message: &MessageDescriptor, role: Role) -> usize {
        if let (Role::Unused, Some(known)) = (role, self.unused.get(message.full_name())) {
            return *known;
        }
        let index = self.messages.len();
        self.messages.push(MessagePlan::default());
        if let Role::Unused = role {
            self.unused.insert(message.full_name().to_owned(), index);
        }
        let mut fields: Vec<_> = message.fields().map(|field| self.field(&field, role)).collect();
        fields.sort_by_key(|field| field.number);
        if let Some(plan) = self.messages.get_mut(index) {
            *plan = MessagePlan(fields);
        }
        index
    }

    fn field(&mut self, field: &prost_reflect::FieldDescriptor, role: Role) -> FieldPlan {
        let target = self.target(field, role);
        let message = match target {
            Target::Resource => Role::Resource,
            Target::Mask => Role::Mask,
            Target::Attribute(index) => Role::Time(index),
            Target::Nothing
            | Target::Text(_)
            | Target::Number(_)
            | Target::Path
            | Target::Seconds(_)
            | Target::Nanos(_) => Role::Unused,
        };
        let form = match field.kind() {
            ProtoKind::Bool => Form::Boolean,
            ProtoKind::Int32 | ProtoKind::Enum(_) => Form::Integer32,
            ProtoKind::Int64 => Form::Integer64,
            ProtoKind::Uint32 | ProtoKind::Uint64 | ProtoKind::Sint32 | ProtoKind::Sint64 => Form::Varint,
            ProtoKind::Fixed32 | ProtoKind::Sfixed32 | ProtoKind::Float => Form::Fixed32,
            ProtoKind::Fixed64 | ProtoKind::Sfixed64 | ProtoKind::Double => Form::Fixed64,
            ProtoKind::String => Form::Text,
            ProtoKind::Bytes => Form::Bytes,
            ProtoKind::Message(of) if field.is_map() => Form::Entry(self.message(&of, Role::Unused)),
            ProtoKind::Message(of) if field.is_group() => Form::Group(self.message(&of, message)),
            ProtoKind::Message(of) => Form::Message(self.message(&of, message)),
        };
        let others = field.containing_oneof().into_iter().flat_map(|oneof| oneof.fields().collect::<Vec<_>>());
        let clears = others.filter(|other| other.number() != field.number()).map(|other| self.target(&other, role));
        FieldPlan { number: field.number(), form, is_list: field.is_list(), target, clears: clears.collect() }
    }

    /// The part that a field of a message with this role fills. A field of another type than the contract's fills none.
    fn target(&self, field: &prost_reflect::FieldDescriptor, role: Role) -> Target {
        let (entity, standard) = (&self.method.entity, self.method.standard);
        if field.is_list() || field.is_map() {
            let is_path = matches!(role, Role::Mask) && field.name() == "paths" && field.kind() == ProtoKind::String;
            return if is_path { Target::Path } else { Target::Nothing };
        }
        match (role, field.kind(), field.name()) {
            (Role::Request, ProtoKind::String, name) => self.text(name).map_or(Target::Nothing, Target::Text),
            (Role::Request, ProtoKind::Int32, "page_size") => Target::Number(NumberPart::PageSize),
            (Role::Request, ProtoKind::Bool, "return_total_size") => Target::Number(NumberPart::ReturnTotalSize),
            (Role::Request, ProtoKind::Bool, "validate_only") => Target::Number(NumberPart::ValidateOnly),
            (Role::Request, ProtoKind::Message(_), name) => match (standard, name) {
                (StandardMethod::Get | StandardMethod::List | StandardMethod::BatchGet, "read_mask") => Target::Mask,
                (StandardMethod::Update, "update_mask") => Target::Mask,
                (StandardMethod::Create | StandardMethod::Update, name) if name == entity.singular => Target::Resource,
                _ => Target::Nothing,
            },
            (Role::Resource, kind, name) => {
                let fields = self.method.resource.fields.iter();
                match (fields.zip(0..).find(|(attribute, _)| *attribute == field), kind, name) {
                    (Some((_, index)), _, _) => Target::Attribute(index),
                    (None, ProtoKind::String, "name") if standard == StandardMethod::Update => {
                        Target::Text(TextPart::Name)
                    }
                    (None, ProtoKind::String, "etag") if standard == StandardMethod::Update => {
                        Target::Text(TextPart::Etag)
                    }
                    (None, _, _) => Target::Nothing,
                }
            }
            (Role::Time(index), ProtoKind::Int64, "seconds") => Target::Seconds(index),
            (Role::Time(index), ProtoKind::Int32, "nanos") => Target::Nanos(index),
            (Role::Request | Role::Mask | Role::Time(_) | Role::Unused, _, _) => Target::Nothing,
        }
    }

    /// The part that a text of the request fills.
    fn text(&self, name: &str) -> Option<TextPart> {
        use StandardMethod::{
            BatchCreate, BatchDelete, BatchGet, BatchUpdate, Create, Delete, Get, Import, List, Update,
        };
        match (self.method.standard, name) {
            (Create | List | BatchGet | BatchCreate | BatchUpdate | BatchDelete | Import, "parent") => {
                Some(TextPart::Parent)
            }
            (Get | Delete, "name") => Some(TextPart::Name),
            (Create, name) if name.strip_suffix("_id") == Some(&self.method.entity.singular) => Some(TextPart::Id),
            (List, "page_token") => Some(TextPart::PageToken),
            (List, "filter") => Some(TextPart::Filter),
            (List, "order_by") => Some(TextPart::OrderBy),
            (Delete, "etag") => Some(TextPart::Etag),
            (Create | Update | Delete | BatchCreate | BatchUpdate | BatchDelete, "request_id") => {
                Some(TextPart::RequestId)
            }
            _ => None,
        }
    }
}
