//! Compares the plans with the reference, for tests and fuzzing.

use std::sync::Arc;

use bytes::Buf as _;
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_reflect::{Kind as ProtoKind, MessageDescriptor};
use sealward::v1::ItemStatus;
use sealward_core::{
    id::{RecordId, Timestamp},
    mask::ReadMask,
    name::OrganizationName,
    record::{Draft, Given, Record, list::Listed, update::Updated},
    schema::{Entity, Kind, Value},
    violation::Violation,
};
use tonic::{Code, Status};

use super::{
    CodecBounds, EntityCodec,
    message::{
        BatchItem, BatchRequest, CreateRequest, DeleteRequest, EntityReply, EntityRequest, UpdateRequest, WriteOptions,
    },
    reference,
};
use crate::{
    rpc::name::ParsedName,
    schema::{EntityMethod, StandardMethod},
};

/// Small, so that inputs exceed them.
const BOUNDS: CodecBounds = CodecBounds { mask_paths_max: 3, batch_items_max: 3 };

/// The plans of a method, and their reference.
pub(crate) struct Compared {
    pub(super) method: EntityMethod,
    codec: Arc<EntityCodec>,
}

impl Compared {
    pub(crate) fn new(method: EntityMethod) -> Self {
        Compared { codec: Arc::new(EntityCodec::new(&method, BOUNDS)), method }
    }

    /// Panics unless both decode these bytes to the same request, or both refuse them. Returns whether they decoded them.
    pub(crate) fn request(&self, bytes: &[u8]) -> bool {
        let planned = self.codec.request.decode(bytes, &mut None).ok();
        let expected = reference::decode(&self.method, BOUNDS, bytes);
        let path = &self.method.path;
        if planned.as_ref().is_some_and(has_too_many_items) {
            // Their bytes aren't read. The reference reads them first.
            assert!(expected.as_ref().is_none_or(has_too_many_items), "{path}: whether there are too many items");
            return true;
        }
        assert_eq!(planned.is_some(), expected.is_some(), "{path}: whether plan and reference decode it");
        if let (Some(planned), Some(expected)) = (&planned, &expected) {
            assert!(is_same(planned, expected), "{path}: not the same request");
        }
        planned.is_some()
    }

    /// Like [`request`](Self::request), for a message that is mostly valid.
    pub(crate) fn chosen_request(&self, choices: &[u8]) -> bool {
        self.request(&Choices(choices).message(&self.method.input, 0))
    }

    /// Panics unless both encode the same bytes for an answer with chosen values, and the announced length is that of the bytes.
    pub(crate) fn chosen_reply(&self, choices: &[u8]) {
        if self.method.standard == StandardMethod::List {
            return self.chosen_page(choices);
        }
        let reply = || Choices(choices).reply(&self.method);
        let (mut planned, mut announced) = (Vec::new(), 0);
        self.codec.reply.encode(&reply(), &mut planned, |_, bytes| announced = bytes);
        assert_eq!(announced, planned.len(), "{}", self.method.path);
        assert_eq!(planned, reference::encode(&self.method, reply()), "{}", self.method.path);
    }

    /// Like [`chosen_reply`](Self::chosen_reply), for a page of chosen records, in a buffer that isn't empty.
    fn chosen_page(&self, choices: &[u8]) {
        let (choices, entity) = (&mut Choices(choices), &self.method.entity);
        let organization: OrganizationName = "contoso".parse().expect("the name is valid");
        let mask = choices.mask(entity);
        let records: Vec<Record> = (0..choices.below(4)).map(|_| choices.record(entity)).collect();
        let next_page_token = choices.printable();
        let total_size = choices.once_in(2).then(|| choices.number());
        let bytes_max = if choices.once_in(2) { usize::MAX } else { usize::from(choices.byte()) * 8 };
        let mut page = self.codec.page(organization.clone(), mask.clone(), b"head".to_vec(), bytes_max);
        let fitting = records.into_iter().take_while(|record| page.add_record(record)).collect();
        let planned = page.finish(&next_page_token, total_size);
        let listed = Listed { records: fitting, next_page_token, total_size };
        let expected = reference::encode_list(&self.method, &organization, listed, &mask);
        assert_eq!(planned, [&b"head"[..], &expected].concat(), "{}", self.method.path);
    }
}

fn has_too_many_items(request: &EntityRequest) -> bool {
    match request {
        EntityRequest::BatchGet(request) => request.names.is_err(),
        EntityRequest::BatchCreate(request) => request.items.is_err(),
        EntityRequest::BatchUpdate(request) => request.items.is_err(),
        EntityRequest::BatchDelete(request) => request.items.is_err(),
        EntityRequest::Import(request) => request.items.is_err(),
        EntityRequest::Create(_)
        | EntityRequest::Get(_)
        | EntityRequest::List(_)
        | EntityRequest::Update(_)
        | EntityRequest::Delete(_) => false,
    }
}

fn is_same(one: &EntityRequest, other: &EntityRequest) -> bool {
    match (one, other) {
        (EntityRequest::Create(one), EntityRequest::Create(other)) => is_same_create(one, other),
        (EntityRequest::Get(one), EntityRequest::Get(other)) => {
            is_same_name(&one.name, &other.name) && is_same_mask(&one.read_mask, &other.read_mask)
        }
        (EntityRequest::List(one), EntityRequest::List(other)) => {
            is_same_name(&one.parent, &other.parent)
                && (one.page_size, one.return_total_size) == (other.page_size, other.return_total_size)
                && [&one.page_token, &one.filter, &one.order_by] == [&other.page_token, &other.filter, &other.order_by]
                && is_same_mask(&one.read_mask, &other.read_mask)
        }
        (EntityRequest::Update(one), EntityRequest::Update(other)) => is_same_update(one, other),
        (EntityRequest::Delete(one), EntityRequest::Delete(other)) => is_same_delete(one, other),
        (EntityRequest::BatchGet(one), EntityRequest::BatchGet(other)) => {
            is_same_name(&one.parent, &other.parent)
                && match (&one.names, &other.names) {
                    (Ok(one), Ok(other)) => are_same(one, other, is_same_name),
                    (one, other) => one.is_err() && other.is_err(),
                }
                && is_same_mask(&one.read_mask, &other.read_mask)
        }
        (EntityRequest::BatchCreate(one), EntityRequest::BatchCreate(other)) => {
            is_same_batch(one, other, is_same_create)
        }
        (EntityRequest::BatchUpdate(one), EntityRequest::BatchUpdate(other)) => {
            is_same_batch(one, other, is_same_update)
        }
        (EntityRequest::BatchDelete(one), EntityRequest::BatchDelete(other)) => {
            is_same_batch(one, other, is_same_delete)
        }
        (EntityRequest::Import(one), EntityRequest::Import(other)) => {
            let parents = [&one.parent, &other.parent].map(|parent| parent.as_ref().map(|parent| &parent.resource));
            parents[0] == parents[1]
                && one.validate_only == other.validate_only
                && are_same_items(&one.items, &other.items, is_same_create)
        }
        _ => false,
    }
}

fn is_same_batch<T>(one: &BatchRequest<T>, other: &BatchRequest<T>, is_same: impl Fn(&T, &T) -> bool) -> bool {
    is_same_name(&one.parent, &other.parent)
        && are_same_items(&one.items, &other.items, is_same)
        && is_same_write(&one.write, &other.write)
}

/// The items of a batch, or the violation if there are too many.
type Items<T> = Result<Vec<BatchItem<T>>, Violation>;

fn are_same_items<T>(one: &Items<T>, other: &Items<T>, is_same: impl Fn(&T, &T) -> bool) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => are_same(one, other, |one, other| {
            is_same(&one.request, &other.request) && one.violations == other.violations
        }),
        (one, other) => one.is_err() && other.is_err(),
    }
}

fn are_same<T>(one: &[T], other: &[T], is_same: impl Fn(&T, &T) -> bool) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
}

fn is_same_create(one: &CreateRequest, other: &CreateRequest) -> bool {
    is_same_name(&one.parent, &other.parent)
        && (one.parent_is_given, &one.id) == (other.parent_is_given, &other.id)
        && is_same_draft(&one.draft, &other.draft)
        && is_same_write(&one.write, &other.write)
}

fn is_same_update(one: &UpdateRequest, other: &UpdateRequest) -> bool {
    is_same_name(&one.name, &other.name)
        && one.etag == other.etag
        && is_same_draft(&one.draft, &other.draft)
        && (&one.touched, &one.mask_violations) == (&other.touched, &other.mask_violations)
        && is_same_write(&one.write, &other.write)
}

fn is_same_delete(one: &DeleteRequest, other: &DeleteRequest) -> bool {
    is_same_name(&one.name, &other.name) && one.etag == other.etag && is_same_write(&one.write, &other.write)
}

fn is_same_mask(one: &Result<ReadMask, Vec<Violation>>, other: &Result<ReadMask, Vec<Violation>>) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

fn is_same_name<T: PartialEq>(one: &ParsedName<T>, other: &ParsedName<T>) -> bool {
    one.organization == other.organization && one.resource == other.resource
}

fn is_same_write(one: &WriteOptions, other: &WriteOptions) -> bool {
    one.validate_only == other.validate_only && one.request_id == other.request_id
}

fn is_same_draft(one: &Draft, other: &Draft) -> bool {
    one.given.keys().eq(other.given.keys())
        && one.given.values().zip(other.given.values()).all(|pair| match pair {
            (Given::Clear(one), Given::Clear(other)) => one == other,
            (Given::Secret(one), Given::Secret(other)) => one.matches(other),
            (Given::Wrong(one), Given::Wrong(other)) => one == other,
            _ => false,
        })
}

/// Bytes that determine a message or an answer. Without bytes, every choice is the first.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        self.0.try_get_u8().unwrap_or(0)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    /// Whether an event happens that happens once in `times`.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 1
    }

    fn number(&mut self) -> u64 {
        let number = self.0.try_get_u64().unwrap_or(1);
        number >> (self.byte() % 64)
    }

    /// Some text that occurs in requests, or any bytes.
    fn text(&mut self) -> Vec<u8> {
        const TEXTS: [&str; 16] = [
            "",
            "organizations/contoso",
            "organizations/contoso/mailboxes/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506",
            "organizations/contoso/emailServerProfiles/0191E2A4-5B6C-7D8E-9FA0-B1C2D3E4F506",
            "organizations/fabrikam/emailServerProfiles/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506",
            "0191E2A4-5B6C-7D8E-9FA0-B1C2D3E4F506",
            "display_name",
            "password",
            "name",
            "*",
            "nothing",
            "create_time",
            "12",
            "é\u{0}",
            "organizations/",
            "x",
        ];
        match TEXTS.get(self.below(TEXTS.len() + 2)) {
            Some(text) => text.as_bytes().to_vec(),
            None => {
                let length = self.below(200);
                (0..length).map(|_| self.byte()).collect()
            }
        }
    }

    /// A message of this type. Some of its fields have another type, are unknown, or end too early.
    fn message(&mut self, descriptor: &MessageDescriptor, depth: usize) -> Vec<u8> {
        let mut message = Vec::new();
        let mut fields: Vec<_> = descriptor.fields().collect();
        fields.sort_by_key(prost_reflect::FieldDescriptor::number);
        for _ in 0..self.below(10) {
            let field = fields.get(self.below(fields.len())).filter(|_| !self.once_in(12));
            let number = field.map_or_else(|| u32::from(self.byte()) + 1, |field| field.number());
            let expected = match field {
                Some(field) if field.is_group() => WireType::StartGroup,
                Some(field) => field.kind().wire_type(),
                None => WireType::Varint,
            };
            let wire = if self.once_in(20) { self.wire_type() } else { expected };
            encode_key(number, wire, &mut message);
            match wire {
                WireType::Varint => self.varint(&mut message),
                WireType::SixtyFourBit => message.extend(self.number().to_le_bytes()),
                WireType::ThirtyTwoBit => message.extend([self.byte(), 0, 0, 1]),
                WireType::LengthDelimited => {
                    let content = match field.map(|field| field.kind()) {
                        Some(ProtoKind::Message(of)) if depth < 5 => self.message(&of, depth + 1),
                        _ => self.text(),
                    };
                    encode_varint(u64::try_from(content.len()).unwrap_or(0), &mut message);
                    message.extend(content);
                }
                WireType::StartGroup => {
                    match field.map(|field| field.kind()) {
                        Some(ProtoKind::Message(of)) if depth < 5 => message.extend(self.message(&of, depth + 1)),
                        _ => encode_key(7, WireType::StartGroup, &mut message),
                    }
                    if self.once_in(2) {
                        encode_key(7, WireType::EndGroup, &mut message);
                    }
                    encode_key(if self.once_in(9) { 9 } else { number }, WireType::EndGroup, &mut message);
                }
                WireType::EndGroup => {}
            }
        }
        if self.once_in(30) {
            message.truncate(self.below(message.len() + 1));
        }
        if self.once_in(30) {
            let (position, byte) = (self.below(message.len()), self.byte());
            message.get_mut(position).into_iter().for_each(|place| *place = byte);
        }
        message
    }

    fn wire_type(&mut self) -> WireType {
        self.one_of(&[
            WireType::Varint,
            WireType::SixtyFourBit,
            WireType::LengthDelimited,
            WireType::StartGroup,
            WireType::EndGroup,
            WireType::ThirtyTwoBit,
        ])
    }

    fn one_of<T: Copy>(&mut self, options: &[T]) -> T {
        *options.get(self.below(options.len())).expect("there are options")
    }

    /// A varint, sometimes with more bytes than it needs.
    fn varint(&mut self, message: &mut Vec<u8>) {
        encode_varint(self.number(), message);
        if self.once_in(8)
            && let Some(last) = message.last_mut()
        {
            *last |= 0x80;
            message.push(self.byte() % 4);
        }
    }

    /// An answer of this method.
    fn reply(&mut self, method: &EntityMethod) -> EntityReply {
        let entity = &method.entity;
        let organization = "contoso".parse().expect("the name is valid");
        match method.standard {
            StandardMethod::Create => EntityReply::Record(organization, self.record(entity)),
            StandardMethod::Update => EntityReply::Updated(organization, self.updated(entity)),
            StandardMethod::Get => EntityReply::Read(organization, self.record(entity), self.mask(entity)),
            StandardMethod::BatchGet | StandardMethod::BatchCreate => {
                EntityReply::Batch(organization, self.several(|choices| choices.record(entity)), self.mask(entity))
            }
            StandardMethod::BatchUpdate => {
                EntityReply::BatchUpdated(organization, self.several(|choices| choices.updated(entity)))
            }
            StandardMethod::Import => EntityReply::Imported(organization, self.several(Choices::result)),
            // A page has no reply: see `chosen_page`.
            StandardMethod::List | StandardMethod::Delete | StandardMethod::BatchDelete => EntityReply::Empty,
        }
    }

    fn several<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| one(self)).collect()
    }

    fn updated(&mut self, entity: &Entity) -> Updated {
        Updated { record: self.record(entity), cleared: self.several(Choices::printable) }
    }

    /// The result of an item of an import.
    #[expect(clippy::disallowed_methods, reason = "any details, but no map: the order of its entries is random")]
    fn result(&mut self) -> Result<RecordId, Status> {
        if self.once_in(2) {
            let (code, message) = (Code::from_i32(i32::from(self.byte() % 17)), self.printable());
            let details = ItemStatus { code: code.into(), message: message.clone(), details: Vec::new() };
            return Err(Status::with_details(code, message, details.encode_to_vec().into()));
        }
        Ok(RecordId::from_bytes([self.byte(); 16]))
    }

    fn mask(&mut self, entity: &Entity) -> ReadMask {
        let names: Vec<&str> = entity.attributes.iter().map(|attribute| attribute.name.as_str()).collect();
        let system = ["etag", "create_time", "update_time", "created_by", "modified_by"];
        let all: Vec<&str> = system.into_iter().chain(names).collect();
        let paths: Vec<&str> = (0..self.below(6)).map(|_| self.one_of(&all)).collect();
        ReadMask::parse(paths.into_iter(), 100, entity).expect("the paths are valid")
    }

    fn record(&mut self, entity: &Entity) -> Record {
        let mut values: Vec<_> = (0..entity.attributes.len()).map(|_| None).collect();
        for (attribute, value) in entity.attributes.iter().zip(&mut values) {
            if !attribute.encrypted && self.once_in(2) {
                *value = Some(self.value(&attribute.kind));
            }
        }
        Record {
            id: RecordId::from_bytes([self.byte(); 16]),
            revision: self.number().cast_signed(),
            create_time: self.time(),
            update_time: self.time(),
            created_by: self.once_in(2).then(|| self.printable()),
            modified_by: self.once_in(2).then(|| self.printable()),
            values,
        }
    }

    fn value(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Boolean | Kind::ReportsSet { .. } => Value::Boolean(self.once_in(2)),
            Kind::Integer32 | Kind::Choice(_) => Value::Integer(i64::from(self.number() as i32)),
            Kind::Integer64 => Value::Integer(self.number().cast_signed()),
            Kind::Text => Value::Text(self.printable()),
            Kind::Bytes => Value::Bytes(self.text()),
            Kind::Time => Value::Time(self.time()),
            Kind::Reference { .. } => Value::Reference(RecordId::from_bytes([self.byte(); 16])),
        }
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_unix_micros(self.number().cast_signed())
    }

    fn printable(&mut self) -> String {
        String::from_utf8_lossy(&self.text()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::{collection::vec, prelude::*, strategy::ValueTree as _};
    use prost_reflect::DescriptorPool;
    use prost_types::{
        DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions,
        OneofDescriptorProto,
        field_descriptor_proto::{Label, Type},
    };

    use super::*;
    use crate::schema;

    static COMPARED: LazyLock<Vec<Compared>> = LazyLock::new(|| {
        let served = schema::read(sealward::FILE_DESCRIPTOR_SET).unwrap();
        served.methods.into_iter().map(Compared::new).collect()
    });

    static PECULIAR: LazyLock<Compared> = LazyLock::new(|| {
        let served = schema::read(sealward::FILE_DESCRIPTOR_SET).unwrap();
        let get = served.methods.into_iter().find(|method| method.standard == StandardMethod::Get).unwrap();
        Compared::new(EntityMethod { input: peculiar_input(), ..get })
    });

    /// The request of a schema that has fields of all types beside those of the contract: in a oneof, packed, as a map, as a group, and of
    /// the message's own type.
    fn peculiar_input() -> MessageDescriptor {
        fn field(number: i32, name: &str, of: Type, label: Label, type_name: Option<&str>) -> FieldDescriptorProto {
            FieldDescriptorProto {
                name: Some(name.to_owned()),
                number: Some(number),
                label: Some(label.into()),
                r#type: Some(of.into()),
                type_name: type_name.map(str::to_owned),
                ..FieldDescriptorProto::default()
            }
        }
        let in_oneof = |mut field: FieldDescriptorProto| {
            field.oneof_index = Some(0);
            field
        };
        let scalars = [
            Type::Double,
            Type::Float,
            Type::Int64,
            Type::Uint64,
            Type::Int32,
            Type::Fixed64,
            Type::Fixed32,
            Type::Bool,
            Type::Bytes,
            Type::Uint32,
            Type::Sfixed32,
            Type::Sfixed64,
            Type::Sint32,
            Type::Sint64,
        ];
        let lists = scalars
            .iter()
            .zip(20..)
            .map(|(of, number)| field(number, &format!("list_{number}"), *of, Label::Repeated, None));
        let singles = scalars
            .iter()
            .zip(40..)
            .map(|(of, number)| field(number, &format!("single_{number}"), *of, Label::Optional, None));
        let fields = [
            in_oneof(field(1, "name", Type::String, Label::Optional, None)),
            in_oneof(field(2, "number", Type::Int32, Label::Optional, None)),
            in_oneof(field(3, "read_mask", Type::Message, Label::Optional, Some(".Mask"))),
            field(4, "again", Type::Message, Label::Optional, Some(".Request")),
            field(5, "entries", Type::Message, Label::Repeated, Some(".Request.EntriesEntry")),
            field(7, "group", Type::Group, Label::Optional, Some(".Request.Group")),
        ];
        let entry = DescriptorProto {
            name: Some("EntriesEntry".to_owned()),
            field: vec![
                field(1, "key", Type::String, Label::Optional, None),
                field(2, "value", Type::Message, Label::Optional, Some(".Request")),
            ],
            options: Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() }),
            ..DescriptorProto::default()
        };
        let group = DescriptorProto {
            name: Some("Group".to_owned()),
            field: vec![field(1, "again", Type::Message, Label::Optional, Some(".Request"))],
            ..DescriptorProto::default()
        };
        let fields: Vec<_> = fields.into_iter().chain(lists).chain(singles).collect();
        let request = DescriptorProto {
            name: Some("Request".to_owned()),
            field: fields,
            nested_type: vec![entry, group],
            oneof_decl: vec![OneofDescriptorProto { name: Some("one".to_owned()), ..OneofDescriptorProto::default() }],
            ..DescriptorProto::default()
        };
        let mask = DescriptorProto {
            name: Some("Mask".to_owned()),
            field: vec![field(1, "paths", Type::String, Label::Repeated, None)],
            ..DescriptorProto::default()
        };
        let file = FileDescriptorProto {
            name: Some("peculiar.proto".to_owned()),
            message_type: vec![request, mask],
            ..FileDescriptorProto::default()
        };
        let pool = DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file: vec![file] }).unwrap();
        pool.get_message_by_name("Request").unwrap()
    }

    proptest! {
        #[test]
        fn any_bytes_are_the_same_request(bytes in vec(any::<u8>(), 0..64)) {
            COMPARED.iter().chain([&*PECULIAR]).for_each(|compared| {
                compared.request(&bytes);
            });
        }

        #[test]
        fn any_message_is_the_same_request(choices in vec(any::<u8>(), 0..1_000)) {
            COMPARED.iter().chain([&*PECULIAR]).for_each(|compared| {
                compared.chosen_request(&choices);
            });
        }

        #[test]
        fn any_answer_is_encoded_to_the_same_bytes(choices in vec(any::<u8>(), 0..1_000)) {
            COMPARED.iter().for_each(|compared| compared.chosen_reply(&choices));
        }
    }

    /// Guards the tests above: most messages must be accepted, and some refused.
    #[test]
    fn chosen_messages_are_accepted_and_refused() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..200 {
            let choices = vec(any::<u8>(), 200..1_000).new_tree(&mut runner).unwrap().current();
            for compared in COMPARED.iter().chain([&*PECULIAR]) {
                if compared.chosen_request(&choices) { accepted += 1 } else { refused += 1 }
            }
        }
        assert!(accepted > 1_000 && refused > 300, "{accepted} accepted, {refused} refused");
    }

    #[test]
    fn nested_messages_are_refused_beyond_the_same_depth() {
        let (mut messages, mut groups) = (Vec::new(), Vec::new());
        for depth in 1..=102 {
            // The field `again`, and an unknown group.
            let mut outer = vec![0x22];
            encode_varint(u64::try_from(messages.len()).unwrap(), &mut outer);
            outer.append(&mut messages);
            messages = outer;
            groups.splice(0..0, [0xf3, 0x07]);
            groups.extend([0xf4, 0x07]);
            assert_eq!([PECULIAR.request(&messages), PECULIAR.request(&groups)], [depth <= 100; 2], "{depth}");
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_refused() {
        // In a field that the plan uses, and in one that it doesn't.
        for bytes in [&[0x0a, 1, 0xff][..], &[0x22, 3, 0x0a, 1, 0xff]] {
            assert!(!PECULIAR.request(bytes));
        }
    }
}
