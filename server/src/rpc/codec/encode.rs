//! Encodes answers by a plan that is compiled from the descriptors of a method, once at start.
//!
//! A plan lists the fields of a record's message in the order of their numbers, with their keys. An answer is counted first, so that its
//! buffer is allocated once with the right size, and then written from the values of the records. Texts are copied once, into that buffer.
//! A page of a list is written by a [`PageWriter`] while its rows are read, so its values are not kept in between.

use std::sync::Arc;

use bytes::BufMut;
use prost_reflect::{FieldDescriptor, Kind as ProtoKind, MessageDescriptor};
use sealward_core::{
    id::{RecordId, Timestamp},
    mask::ReadMask,
    name::OrganizationName,
    record::{Record, RecordContent, RowContent, list},
    schema::{Entity, Kind, ValueRef},
};
use tonic::Status;

use super::{
    message::EntityReply,
    wire::{Buffer, ID_BYTES, Length, Sink, Stored, Wire, key, length, signed, varint_bytes},
};
use crate::schema::{CLEARED_FIELD, EntityMethod, ResultFields, list_field, timestamp_to_proto};

/// Encodes the answers of one method.
pub(crate) struct ReplyPlan {
    entity: Arc<Entity>,
    /// The fields of a record, in the order of their numbers.
    fields: Vec<FieldPlan>,
    /// The fields of a page, if the method lists or returns a batch.
    page: Option<PagePlan>,
    /// The keys of the results of an import.
    results: Option<ResultPlan>,
}

/// The keys of the fields of an import's response.
struct ResultPlan {
    results: u64,
    name: u64,
    error: u64,
}

/// A field of a record's message.
struct FieldPlan {
    key: u64,
    content: Content,
}

#[derive(Clone, Copy)]
enum Content {
    Name,
    Etag,
    CreateTime,
    UpdateTime,
    CreatedBy,
    ModifiedBy,
    /// The attribute with this index.
    Attribute(usize),
    /// The names of the attributes that an update cleared.
    Cleared,
}

/// The keys of the fields of a page. A field that the contract doesn't have isn't written.
struct PagePlan {
    records: u64,
    next_page_token: Option<u64>,
    total_size: Option<u64>,
}

/// The first segment of a record's name.
const ORGANIZATIONS: &str = "organizations";

/// The properties of an answer that all its records share.
struct Shared<'a> {
    organization: &'a OrganizationName,
    mask: &'a ReadMask,
    cleared: &'a [String],
}

impl ReplyPlan {
    /// Compiles the plan of a method.
    pub(crate) fn new(method: &EntityMethod) -> Self {
        let resource = &method.resource;
        let mut fields: Vec<_> = resource.message.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        let content = |field: &FieldDescriptor| {
            let attribute = resource.fields.iter().position(|attribute| attribute == field);
            attribute.map(Content::Attribute).or_else(|| system_content(field))
        };
        let planned =
            fields.iter().filter_map(|field| Some(FieldPlan { key: key_of(field), content: content(field)? }));
        let page = list_field(&method.output, &resource.message).map(|records| PagePlan::new(&method.output, &records));
        let results = method.results.as_ref().map(|ResultFields { results, name, error }| ResultPlan {
            results: key_of(results),
            name: key_of(name),
            error: key_of(error),
        });
        ReplyPlan { entity: Arc::clone(&method.entity), fields: planned.collect(), page, results }
    }

    /// Encodes an answer. `reserve` gets the length of the answer before anything is written.
    pub(crate) fn encode<B: BufMut>(&self, reply: &EntityReply, buffer: &mut B, reserve: impl FnOnce(&mut B, usize)) {
        let everything = ReadMask::default();
        match reply {
            EntityReply::Record(organization, record) => {
                self.one(record, &Shared::new(organization, &everything, &[]), buffer, reserve);
            }
            EntityReply::Updated(organization, updated) => {
                // Only this answer lists the attributes that the update cleared automatically.
                let shared = Shared::new(organization, &everything, &updated.cleared);
                self.one(&updated.record, &shared, buffer, reserve);
            }
            EntityReply::Read(organization, record, mask) => {
                self.one(record, &Shared::new(organization, mask, &[]), buffer, reserve);
            }
            EntityReply::Page(message) => {
                reserve(buffer, message.len());
                buffer.put_slice(message);
            }
            EntityReply::Batch(organization, records, mask) => {
                let shared = |record| (record, Shared::new(organization, mask, &[]));
                self.several(records.iter().map(shared), buffer, reserve);
            }
            EntityReply::BatchUpdated(organization, updated) => {
                let records = updated
                    .iter()
                    .map(|updated| (&updated.record, Shared::new(organization, &everything, &updated.cleared)));
                self.several(records, buffer, reserve);
            }
            EntityReply::Imported(organization, results) => {
                let Some(plan) = &self.results else { return reserve(buffer, 0) };
                let shared = Shared::new(organization, &everything, &[]);
                let lengths: Vec<_> = results.iter().map(|result| self.result_length(plan, result, &shared)).collect();
                let mut counted = Length::default();
                lengths.iter().for_each(|bytes| begin(plan.results, *bytes, &mut counted));
                reserve(buffer, lengths.iter().fold(counted.0, |all, bytes| all + bytes));
                let mut sink = Buffer(buffer);
                for (result, bytes) in results.iter().zip(lengths) {
                    begin(plan.results, bytes, &mut sink);
                    self.write_result(plan, result, &shared, &mut sink);
                }
            }
            EntityReply::Empty => reserve(buffer, 0),
        }
    }

    /// Encodes the records of a batch.
    fn several<'r, B: BufMut>(
        &self,
        records: impl Iterator<Item = (&'r Record, Shared<'r>)>,
        buffer: &mut B,
        reserve: impl FnOnce(&mut B, usize),
    ) {
        let Some(page) = &self.page else { return reserve(buffer, 0) };
        let counted = records.map(|(record, shared)| (record, self.length(record, &shared), shared));
        let records: Vec<_> = counted.collect();
        let mut counted = Length::default();
        records.iter().for_each(|(_, bytes, _)| begin(page.records, *bytes, &mut counted));
        reserve(buffer, records.iter().fold(counted.0, |all, (_, bytes, _)| all + bytes));
        let mut sink = Buffer(buffer);
        for (record, bytes, shared) in &records {
            begin(page.records, *bytes, &mut sink);
            self.write(*record, shared, &mut sink);
        }
    }

    fn result_length(&self, plan: &ResultPlan, result: &Result<RecordId, Status>, shared: &Shared<'_>) -> usize {
        let mut counted = Length::default();
        self.write_result(plan, result, shared, &mut counted);
        counted.0
    }

    /// Writes a result: a name, or an error in the form of `google.rpc.Status`, which is also the form of a status' details.
    fn write_result<S: Sink>(
        &self,
        plan: &ResultPlan,
        result: &Result<RecordId, Status>,
        shared: &Shared<'_>,
        sink: &mut S,
    ) {
        match result {
            Ok(id) => shared.name(plan.name, &self.entity.collection, *id, sink),
            Err(status) => bytes(plan.error, status.details(), sink),
        }
    }

    fn one<B: BufMut>(
        &self,
        record: &Record,
        shared: &Shared<'_>,
        buffer: &mut B,
        reserve: impl FnOnce(&mut B, usize),
    ) {
        reserve(buffer, self.length(record, shared));
        self.write(record, shared, &mut Buffer(buffer));
    }

    fn length(&self, record: &Record, shared: &Shared<'_>) -> usize {
        let mut counted = Length::default();
        self.write(record, shared, &mut counted);
        counted.0
    }

    /// Writes the selected fields of a record. Attributes that aren't selected have no value in it.
    fn write<R: RecordContent, S: Sink>(&self, record: &R, shared: &Shared<'_>, sink: &mut S) {
        let mask = shared.mask;
        for FieldPlan { key, content } in &self.fields {
            match content {
                Content::Name => shared.name(*key, &self.entity.collection, record.id(), sink),
                Content::Etag if mask.has_etag() => decimal(*key, record.revision(), sink),
                Content::CreateTime if mask.has_create_time() => time(*key, record.create_time(), sink),
                Content::UpdateTime if mask.has_update_time() => time(*key, record.update_time(), sink),
                Content::CreatedBy if mask.has_created_by() => identity(*key, record.created_by(), sink),
                Content::ModifiedBy if mask.has_modified_by() => identity(*key, record.modified_by(), sink),
                Content::Attribute(index) => {
                    if let Some(value) = record.value(*index) {
                        self.value(*key, *index, value, shared, sink);
                    }
                }
                Content::Cleared => shared.cleared.iter().for_each(|name| text(*key, name, sink)),
                Content::Etag
                | Content::CreateTime
                | Content::UpdateTime
                | Content::CreatedBy
                | Content::ModifiedBy => {}
            }
        }
    }

    fn value<S: Sink>(&self, key: u64, index: usize, value: ValueRef<'_>, shared: &Shared<'_>, sink: &mut S) {
        match value {
            ValueRef::Boolean(value) => number(key, u64::from(value), sink),
            ValueRef::Integer(value) => number(key, signed(value), sink),
            ValueRef::Text(value) => text(key, value, sink),
            ValueRef::Bytes(value) => bytes(key, value, sink),
            ValueRef::Time(value) => time(key, value, sink),
            ValueRef::Reference(id) => {
                let attribute = self.entity.attributes.get(index);
                if let Some(Kind::Reference { collection, .. }) = attribute.map(|attribute| &attribute.kind) {
                    shared.name(key, collection, id, sink);
                }
            }
        }
    }
}

/// Writes the records of a page to a message, one by one.
pub(crate) struct PageWriter {
    plan: Arc<ReplyPlan>,
    organization: OrganizationName,
    mask: ReadMask,
    /// The message. It begins with what its buffer contained.
    message: Vec<u8>,
    start: usize,
    /// The maximum size of the records together, except for a single record.
    bytes_max: usize,
}

impl PageWriter {
    /// Begins a page in a buffer, whose content is kept.
    pub(super) fn new(
        plan: Arc<ReplyPlan>,
        organization: OrganizationName,
        mask: ReadMask,
        message: Vec<u8>,
        bytes_max: usize,
    ) -> Self {
        let start = message.len();
        PageWriter { plan, organization, mask, message, start, bytes_max }
    }

    /// Adds a record. Returns `false` without adding it if it doesn't fit.
    pub(super) fn add_record(&mut self, record: &impl RecordContent) -> bool {
        let ReplyPlan { page: Some(page), .. } = &*self.plan else { return true };
        let before = self.message.len();
        let shared = Shared::new(&self.organization, &self.mask, &[]);
        Stored(&mut self.message).varint(page.records);
        message(&mut self.message, |message| self.plan.write(record, &shared, &mut Stored(message)));
        let fits = before == self.start || self.message.len() - self.start <= self.bytes_max;
        if !fits {
            self.message.truncate(before);
        }
        fits
    }

    /// Adds the fields after the records, and returns the buffer.
    pub(crate) fn finish(mut self, next_page_token: &str, total_size: Option<u64>) -> Vec<u8> {
        if let Some(page) = &self.plan.page {
            page.end(next_page_token, total_size, &mut Stored(&mut self.message));
        }
        self.message
    }
}

impl list::PageWriter for PageWriter {
    fn add(&mut self, record: &RowContent<'_>) -> bool {
        self.add_record(record)
    }

    fn clear(&mut self) {
        self.message.truncate(self.start);
    }
}

/// Writes the length of a message and the message, which is written only once. Most messages of a page have lengths with
/// the same number of bytes.
fn message(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    /// The bytes of the length of a message of 128 to 16,383 bytes.
    const USUAL: usize = 2;
    let start = buffer.len();
    buffer.extend_from_slice(&[0; USUAL]);
    write(buffer);
    let bytes = buffer.len() - start - USUAL;
    if let Some(place) = buffer.get_mut(start..start + USUAL)
        && (0x80..0x4000).contains(&bytes)
    {
        let [low, high, ..] = bytes.to_le_bytes();
        place.copy_from_slice(&[low | 0x80, high << 1 | low >> 7]);
    } else {
        let mut head = Vec::new();
        Stored(&mut head).varint(length(bytes));
        buffer.splice(start..start + USUAL, head);
    }
}

impl PagePlan {
    fn new(output: &MessageDescriptor, records: &FieldDescriptor) -> Self {
        let key = |name, kind: ProtoKind| {
            let field = output.get_field_by_name(name).filter(|field| !field.is_list() && field.kind() == kind);
            field.map(|field| key_of(&field))
        };
        PagePlan {
            records: key_of(records),
            next_page_token: key("next_page_token", ProtoKind::String),
            total_size: key("total_size", ProtoKind::Int64),
        }
    }

    /// Writes the fields after the records.
    fn end<S: Sink>(&self, next_page_token: &str, total_size: Option<u64>, sink: &mut S) {
        if let Some(key) = self.next_page_token
            && !next_page_token.is_empty()
        {
            text(key, next_page_token, sink);
        }
        if let (Some(key), Some(total_size)) = (self.total_size, total_size) {
            number(key, signed(i64::try_from(total_size).unwrap_or(i64::MAX)), sink);
        }
    }
}

impl<'a> Shared<'a> {
    fn new(organization: &'a OrganizationName, mask: &'a ReadMask, cleared: &'a [String]) -> Self {
        Shared { organization, mask, cleared }
    }

    /// Writes the name of a record.
    fn name<S: Sink>(&self, key: u64, collection: &str, id: RecordId, sink: &mut S) {
        let segments = [ORGANIZATIONS, self.organization.as_str(), collection];
        sink.varint(key);
        sink.varint(length(segments.iter().map(|segment| segment.len() + 1).sum::<usize>() + ID_BYTES));
        for segment in segments {
            sink.bytes(segment.as_bytes());
            sink.bytes(b"/");
        }
        sink.id(id);
    }
}

/// The content of a field that isn't an attribute. `None` for a field of another type than the contract's.
fn system_content(field: &FieldDescriptor) -> Option<Content> {
    let is_time = matches!(field.kind(), ProtoKind::Message(of) if of.full_name() == "google.protobuf.Timestamp");
    let is_text = field.kind() == ProtoKind::String;
    match field.name() {
        CLEARED_FIELD if field.is_list() && is_text => Some(Content::Cleared),
        _ if field.is_list() => None,
        "name" if is_text => Some(Content::Name),
        "etag" if is_text => Some(Content::Etag),
        "create_time" if is_time => Some(Content::CreateTime),
        "update_time" if is_time => Some(Content::UpdateTime),
        "created_by" if is_text => Some(Content::CreatedBy),
        "modified_by" if is_text => Some(Content::ModifiedBy),
        _ => None,
    }
}

/// The key of a field of a record or a page. They are numbers, or have a length: texts, bytes, times and records.
fn key_of(field: &FieldDescriptor) -> u64 {
    let is_number = matches!(field.kind(), ProtoKind::Bool | ProtoKind::Int32 | ProtoKind::Int64 | ProtoKind::Enum(_));
    key(field.number(), if is_number { Wire::Varint } else { Wire::Length })
}

/// Writes the key and the length of a message.
fn begin<S: Sink>(key: u64, bytes: usize, sink: &mut S) {
    sink.varint(key);
    sink.varint(length(bytes));
}

fn number<S: Sink>(key: u64, value: u64, sink: &mut S) {
    sink.varint(key);
    sink.varint(value);
}

fn bytes<S: Sink>(key: u64, value: &[u8], sink: &mut S) {
    sink.varint(key);
    sink.varint(length(value.len()));
    sink.bytes(value);
}

fn text<S: Sink>(key: u64, value: &str, sink: &mut S) {
    bytes(key, value.as_bytes(), sink);
}

fn identity<S: Sink>(key: u64, identity: Option<&str>, sink: &mut S) {
    if let Some(identity) = identity {
        text(key, identity, sink);
    }
}

/// Writes a number as text. The formatting of the standard library would take five times as many instructions.
fn decimal<S: Sink>(key: u64, value: i64, sink: &mut S) {
    const LENGTH_MAX: usize = "-9223372036854775808".len();
    let mut text = [0; LENGTH_MAX];
    let (mut rest, mut used) = (value.unsigned_abs(), 0);
    for place in text.iter_mut().rev() {
        let [digit, ..] = (rest % 10).to_le_bytes();
        (*place, rest, used) = (b'0' + digit, rest / 10, used + 1);
        if rest == 0 {
            break;
        }
    }
    if value < 0
        && let Some(place) = text.iter_mut().rev().nth(used)
    {
        (*place, used) = (b'-', used + 1);
    }
    bytes(key, text.get(LENGTH_MAX - used..).unwrap_or_default(), sink);
}

/// Writes a time as a google.protobuf.Timestamp.
fn time<S: Sink>(key: u64, value: Timestamp, sink: &mut S) {
    const SECONDS: u64 = 1 << 3;
    const NANOS: u64 = 2 << 3;
    let proto = timestamp_to_proto(value);
    let (seconds, nanos) = (signed(proto.seconds), signed(proto.nanos.into()));
    let bytes = |value| if value == 0 { 0 } else { 1 + varint_bytes(value) };
    sink.varint(key);
    sink.varint(length(bytes(seconds) + bytes(nanos)));
    if seconds != 0 {
        number(SECONDS, seconds, sink);
    }
    if nanos != 0 {
        number(NANOS, nanos, sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_is_the_number_as_text() {
        for value in [0, 1, -1, 9, 10, 99, 100, 1_234_567, -10, i64::MAX, i64::MIN, i64::MIN + 1] {
            let mut written = Vec::new();
            decimal(1, value, &mut Stored(&mut written));
            assert_eq!(str::from_utf8(&written[2..]).unwrap(), value.to_string());
            assert_eq!(usize::from(written[1]), written.len() - 2);
        }
    }

    #[test]
    fn message_has_the_shortest_length() {
        for bytes in [0, 1, 127, 128, 129, 255, 256, 16_383, 16_384, 100_000] {
            let (mut written, mut expected) = (b"before".to_vec(), b"before".to_vec());
            message(&mut written, |buffer| buffer.resize(buffer.len() + bytes, 7));
            Stored(&mut expected).varint(length(bytes));
            expected.resize(expected.len() + bytes, 7);
            assert!(written == expected, "{bytes}");
        }
    }
}
