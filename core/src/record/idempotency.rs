//! Idempotent writes: a write with a request id is executed once, regardless of the number of requests.
//!
//! A write with a request id inserts a row in the organization's database, in the same commit. The row contains the
//! caller, the record, the time and a MAC of the request. So a write and its row exist only together, and the store
//! commits exactly one of two concurrent writes with the same id. A later request with the same id and the same content
//! is a repetition: it changes nothing, and returns the current state of the record. A refused write inserts no row. A
//! batch has one row for all its records.
//!
//! The MAC uses the root key. It therefore works while an organization is inactive, and reveals nothing to a reader of
//! a database copy. The MAC includes the caller and the request id, so that equal passwords in two requests give
//! different MACs.
//!
//! A row is kept for 24 hours. Each row needs about 150 bytes and belongs to a committed write. The disk space
//! is therefore limited by the rate at which authorized callers write records, and becomes free after a day.

use std::{borrow::Cow, collections::BTreeMap};

use zeroize::Zeroizing;

use crate::{
    crypto::{encoding, root_key::MacPurpose},
    deployment::Deployment,
    id::{OrganizationId, RecordId, RequestId, Timestamp},
    identity::Caller,
    mask::ReadMask,
    record::{
        content::{Given, Record},
        error::{RecordError, exhausted, unless_refused},
        mode::Mode,
        place::RecordPlace,
        plan::{Plan, Refusal},
        row::{read_record, read_records},
        size::require_fitting,
    },
    schema::{
        entity::{Attribute, Entity},
        value::Value,
    },
    store::{Comparison, Condition, StoreFailure},
    table::{
        declare::{TableRow as _, read},
        organization::RequestRow,
    },
};

/// The time for which a request is remembered, in microseconds: 24 hours.
pub(crate) const REMEMBERED_US: i64 = 24 * 3_600 * 1_000_000;

/// The maximum number of expired rows that one write deletes. A write adds one row, so expired rows are deleted faster
/// than new ones are added, and no write waits for more.
const FORGOTTEN_MAX: u32 = 16;

/// The content of a request. Two requests with equal content are the same request.
pub(super) struct RequestContent<'a> {
    pub(super) verb: Verb,
    pub(super) organization: OrganizationId,
    pub(super) entity: &'a Entity,
    pub(super) items: Items<'a>,
}

/// The records of a request. A batch of one isn't the same request as a single write.
pub(super) enum Items<'a> {
    Single(ItemContent<'a>),
    Batch(Vec<ItemContent<'a>>),
}

impl<'a> Items<'a> {
    /// Returns these records as a batch, or the first of them as a single write.
    pub(super) fn of(shape: Shape, mut items: Vec<ItemContent<'a>>) -> Self {
        match (shape, items.len()) {
            (Shape::Single, 1) => items.pop().map_or(Items::Batch(Vec::new()), Items::Single),
            (Shape::Single | Shape::Batch, _) => Items::Batch(items),
        }
    }
}

/// Whether a request is a single write or a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Single,
    Batch,
}

/// The content of a request for one record.
pub(super) struct ItemContent<'a> {
    /// The record in the request; `None` if the service generates the id.
    pub(super) named: Option<RecordId>,
    pub(super) etag_revision: Option<i64>,
    /// All attributes of the request in schema order, with their input.
    pub(super) attributes: Vec<(&'a Attribute, Option<&'a Given>)>,
}

/// The operation of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Update,
    Delete,
}

/// The idempotency key of a write, with the MAC of the request.
pub(super) struct IdempotencyKey {
    id: RequestId,
    identity: String,
    now: Timestamp,
    message: Zeroizing<Vec<u8>>,
    mac: [u8; 32],
}

impl IdempotencyKey {
    /// Returns the idempotency key if the mode requires one.
    pub(super) fn of<'a>(
        deployment: &Deployment,
        mode: Mode,
        caller: &Caller,
        content: impl FnOnce() -> RequestContent<'a>,
    ) -> Result<Option<Self>, RecordError> {
        let Mode::ExecuteOnce(id) = mode else { return Ok(None) };
        let identity = caller.identity.to_string();
        let message = message(&identity, id, &content());
        let mac = deployment.ports.root_key.mac(MacPurpose::RequestDigest, &message)?;
        Ok(Some(Self { id, identity, now: deployment.now(), message, mac }))
    }

    /// Adds the steps that store the request. They come before all other steps of a plan, so that a repetition is
    /// detected before any other check. Also deletes expired rows.
    ///
    /// `cleared` are the attributes that the write clears in each record although the request doesn't ask for it. A
    /// repetition returns them too.
    pub(super) fn remember(&self, plan: &mut Plan, records: &[RecordId], cleared: &[Vec<String>]) {
        self.forget(plan, 1);
        self.insert(plan, records, cleared);
    }

    /// Adds the step that deletes expired rows, for this number of requests in a plan.
    pub(super) fn forget(&self, plan: &mut Plan, requests: usize) {
        let at_most = FORGOTTEN_MAX.saturating_mul(u32::try_from(requests).unwrap_or(u32::MAX));
        plan.step(RequestRow::prune(self.are_forgotten(), at_most), Refusal::Moved);
    }

    /// Adds the steps that store the request, without those that delete other expired rows.
    pub(super) fn insert(&self, plan: &mut Plan, records: &[RecordId], cleared: &[Vec<String>]) {
        let Some(first) = records.first() else { return };
        plan.step(RequestRow::delete(self.rows().and(self.are_forgotten())), Refusal::Moved);
        let lists = cleared.iter().map(|names| names.join(",")).collect::<Vec<_>>().join(";");
        let row = RequestRow {
            id: self.id,
            identity: self.identity.clone(),
            record_id: *first,
            mac: self.mac.to_vec(),
            time: self.now,
            cleared: cleared.iter().any(|names| !names.is_empty()).then_some(lists),
            records: (records.len() > 1).then(|| records.iter().flat_map(|id| *id.as_bytes()).collect()),
        };
        plan.step(row.insert(), Refusal::Answer(RecordError::RequestIdReused));
    }

    /// Returns the request id.
    pub(super) fn id(&self) -> RequestId {
        self.id
    }

    /// Returns the results of a repetition: the current records, each with the attributes that the write cleared
    /// automatically.
    ///
    /// # Errors
    /// See [`earlier`](Self::earlier). [`RecordError::Items`] with each [`RecordError::NotFound`] if records were
    /// deleted. [`RecordError::BatchTooLarge`].
    pub(super) async fn answer(
        &self,
        deployment: &Deployment,
        place: &RecordPlace,
        refusal: RecordError,
    ) -> Result<Vec<(Record, Vec<String>)>, RecordError> {
        let EarlierWrite { records: ids, cleared } = self.earlier(deployment, place, refusal).await?;
        if let [id] = ids.as_slice() {
            let found = read_record(&place.at(*id)).await?;
            let (record, _) = found.ok_or(RecordError::of_item(0, RecordError::NotFound))?;
            return Ok(vec![(record, cleared.into_iter().next().unwrap_or_default())]);
        }
        let mut found = read_records(place, &ids, &ReadMask::default(), deployment.page_bytes_max).await?;
        let (mut records, mut missing) = (Vec::with_capacity(ids.len()), Vec::new());
        let cleared = cleared.into_iter().chain(std::iter::repeat(Vec::new()));
        for ((index, id), cleared) in ids.iter().enumerate().zip(cleared) {
            match found.remove(id) {
                Some((record, _)) => records.push((record, cleared)),
                None => missing.push((index, RecordError::NotFound)),
            }
        }
        unless_refused(missing)?;
        require_fitting(deployment, &place.entity, records.iter().map(|(record, _)| record))?;
        Ok(records)
    }

    /// Returns the earlier write with this id and content. Returns an error if there is none, or if its content
    /// differs. `refusal` is the error of the current call, from the plan or from an earlier check. A repetition
    /// doesn't return it.
    pub(super) async fn earlier(
        &self,
        deployment: &Deployment,
        place: &RecordPlace,
        refusal: RecordError,
    ) -> Result<EarlierWrite, RecordError> {
        if matches!(
            refusal,
            RecordError::Store(StoreFailure::Unavailable(_)) | RecordError::Store(StoreFailure::Unknown(_))
        ) {
            return Err(refusal);
        }
        let found = read(&*place.organization.store, RequestRow::all_columns(), self.rows()).await?;
        match found.into_iter().next().filter(|row| row.time >= self.forgotten_before()) {
            // The row existed when this call was refused, and has expired since.
            None if matches!(refusal, RecordError::RequestIdReused) => Err(exhausted()),
            None => Err(refusal),
            Some(row) => {
                if self.made(deployment, &row)? {
                    Ok(EarlierWrite::of(row))
                } else if refusal.is_invalid() {
                    // The violations are more useful than the reused id.
                    Err(refusal)
                } else {
                    Err(RecordError::RequestIdReused)
                }
            }
        }
    }

    /// Returns the earlier writes that have the ids of these requests of one caller, by request id, and whether each had
    /// the content of its request. For requests that write one record each.
    pub(super) async fn earlier_writes(
        deployment: &Deployment,
        place: &RecordPlace,
        requests: &[&IdempotencyKey],
    ) -> Result<BTreeMap<RequestId, EarlierRequest>, RecordError> {
        let Some(first) = requests.first() else { return Ok(BTreeMap::new()) };
        let ids = RequestRow::id().is_among(requests.iter().map(|request| request.id));
        let rows = ids.and(RequestRow::identity().is(first.identity.clone()));
        let by_id: BTreeMap<RequestId, &IdempotencyKey> = requests.iter().map(|key| (key.id, *key)).collect();
        let mut earlier = BTreeMap::new();
        for row in read(&*place.organization.store, RequestRow::all_columns(), rows).await? {
            let Some(key) = by_id.get(&row.id).filter(|key| row.time >= key.forgotten_before()) else { continue };
            let found = if key.made(deployment, &row)? {
                EarlierRequest::Same(row.record_id)
            } else {
                EarlierRequest::Different
            };
            earlier.insert(row.id, found);
        }
        Ok(earlier)
    }

    /// Returns whether this request made the write in a row.
    fn made(&self, deployment: &Deployment, row: &RequestRow) -> Result<bool, RecordError> {
        Ok(deployment.ports.root_key.verify_mac(MacPurpose::RequestDigest, &self.message, &row.mac)?)
    }

    fn are_forgotten(&self) -> Condition {
        RequestRow::time().compares(Comparison::Less, self.forgotten_before())
    }

    fn rows(&self) -> Condition {
        RequestRow::id().is(self.id).and(RequestRow::identity().is(self.identity.clone()))
    }

    fn forgotten_before(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.now.unix_micros().saturating_sub(REMEMBERED_US))
    }
}

/// An earlier write.
pub(super) struct EarlierWrite {
    records: Vec<RecordId>,
    /// The attributes that it cleared automatically in each record; empty if it cleared none.
    cleared: Vec<Vec<String>>,
}

impl EarlierWrite {
    fn of(row: RequestRow) -> Self {
        let ids = row.records.as_deref().unwrap_or_default().chunks_exact(16);
        let ids: Vec<RecordId> = ids.filter_map(|id| Some(RecordId::from_bytes(id.try_into().ok()?))).collect();
        let records = if ids.is_empty() { vec![row.record_id] } else { ids };
        let cleared = row.cleared.map(|lists| lists.split(';').map(names).collect()).unwrap_or_default();
        EarlierWrite { records, cleared }
    }
}

/// An earlier request with the id of another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EarlierRequest {
    /// It had the same content, and wrote this record.
    Same(RecordId),
    /// It had another content.
    Different,
}

/// Splits a comma-separated list of names, which may be empty.
fn names(text: &str) -> Vec<String> {
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Returns the message of a request's MAC. It uses storage names, which never change, so that a request is recognized
/// after an upgrade of the server.
fn message(identity: &str, id: RequestId, content: &RequestContent<'_>) -> Zeroizing<Vec<u8>> {
    let verb = match (content.verb, &content.items) {
        (Verb::Create, Items::Single(_)) => "create",
        (Verb::Update, Items::Single(_)) => "update",
        (Verb::Delete, Items::Single(_)) => "delete",
        (Verb::Create, Items::Batch(_)) => "batch-create",
        (Verb::Update, Items::Batch(_)) => "batch-update",
        (Verb::Delete, Items::Batch(_)) => "batch-delete",
    };
    let mut parts: Vec<Cow<'_, [u8]>> = vec![
        identity.as_bytes().into(),
        id.as_bytes().into(),
        content.organization.as_bytes().into(),
        verb.as_bytes().into(),
        content.entity.storage_name.as_bytes().into(),
    ];
    match &content.items {
        Items::Single(item) => item_parts(item, &mut parts),
        Items::Batch(items) => {
            for item in items {
                // The number of attributes separates the records.
                parts.push(item.attributes.len().to_be_bytes().to_vec().into());
                item_parts(item, &mut parts);
            }
        }
    }
    encoding::wiped(LABEL, &parts)
}

fn item_parts<'a>(item: &ItemContent<'a>, parts: &mut Vec<Cow<'a, [u8]>>) {
    let named = item.named.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
    let etag = item.etag_revision.map(|revision| revision.to_be_bytes().to_vec()).unwrap_or_default();
    parts.extend([named.into(), etag.into()]);
    for (attribute, given) in &item.attributes {
        let (kind, value) = value(*given);
        parts.extend([attribute.storage_name.as_bytes().into(), kind.as_bytes().into(), value]);
    }
}

/// Returns the type and the bytes of an input. A secret isn't copied.
fn value(given: Option<&Given>) -> (&'static str, Cow<'_, [u8]>) {
    match given {
        Some(Given::Secret(plaintext)) => ("secret", plaintext.expose().into()),
        Some(Given::Clear(Value::Boolean(value))) => ("boolean", vec![u8::from(*value)].into()),
        Some(Given::Clear(Value::Integer(value))) => ("integer", value.to_be_bytes().to_vec().into()),
        Some(Given::Clear(Value::Text(value))) => ("text", value.as_bytes().into()),
        Some(Given::Clear(Value::Bytes(value))) => ("bytes", value.as_slice().into()),
        Some(Given::Clear(Value::Time(value))) => ("time", value.unix_micros().to_be_bytes().to_vec().into()),
        Some(Given::Clear(Value::Reference(id))) => ("reference", id.as_bytes().to_vec().into()),
        None => ("null", Cow::default()),
        // A request with invalid input is never executed.
        Some(Given::Wrong(_)) => ("wrong", Cow::default()),
    }
}

const LABEL: &str = "sealward request v1";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{crypto::secret::Plaintext, schema::entity::Kind};

    const ORGANIZATION: OrganizationId = OrganizationId::from_bytes([1; 16]);
    const ID: RequestId = RequestId::from_bytes([2; 16]);
    const RECORD: RecordId = RecordId::from_bytes([3; 16]);

    fn entity(storage_name: &str) -> Entity {
        let attributes = vec![Attribute::new("a", Kind::Text), Attribute::new("b", Kind::Text)];
        Entity::new(storage_name, storage_name, storage_name, attributes)
    }

    fn item<'a>(entity: &'a Entity, given: &'a [(usize, Option<Given>)]) -> ItemContent<'a> {
        ItemContent {
            named: Some(RECORD),
            etag_revision: Some(7),
            attributes: given.iter().map(|(index, given)| (&entity.attributes[*index], given.as_ref())).collect(),
        }
    }

    fn content<'a>(entity: &'a Entity, given: &'a [(usize, Option<Given>)]) -> RequestContent<'a> {
        let items = Items::Single(item(entity, given));
        RequestContent { verb: Verb::Update, organization: ORGANIZATION, entity, items }
    }

    /// Returns the content of an update of several records.
    fn batch<'a>(entity: &'a Entity, items: &[&'a [(usize, Option<Given>)]]) -> RequestContent<'a> {
        let items = Items::Batch(items.iter().map(|given| item(entity, given)).collect());
        RequestContent { verb: Verb::Update, organization: ORGANIZATION, entity, items }
    }

    fn single<'a, 'b>(content: &'b mut RequestContent<'a>) -> &'b mut ItemContent<'a> {
        match &mut content.items {
            Items::Single(item) => item,
            Items::Batch(_) => panic!("a batch"),
        }
    }

    #[test]
    fn different_requests_have_different_digests() {
        let (mailbox, queue) = (entity("Mailbox"), entity("Queue"));
        let values = || {
            [
                None,
                Some(Given::Secret(Plaintext::from("x".to_owned()))),
                Some(Given::Secret(Plaintext::from(String::new()))),
                Some(Given::Clear(Value::Text("x".to_owned()))),
                Some(Given::Clear(Value::Text(String::new()))),
                Some(Given::Clear(Value::Bytes(b"x".to_vec()))),
                Some(Given::Clear(Value::Boolean(false))),
                Some(Given::Clear(Value::Boolean(true))),
                Some(Given::Clear(Value::Integer(0))),
                Some(Given::Clear(Value::Time(Timestamp::from_unix_micros(0)))),
                Some(Given::Clear(Value::Reference(RecordId::from_bytes([0; 16])))),
            ]
        };
        let mut messages = Vec::new();
        for attribute in [0, 1] {
            for value in values() {
                messages.push(message("cn:a", ID, &content(&mailbox, &[(attribute, value)])).to_vec());
            }
        }
        let both = || [(0, None), (1, Some(Given::Clear(Value::Text("x".to_owned()))))];
        messages.push(message("cn:a", ID, &content(&mailbox, &[])).to_vec());
        messages.push(message("cn:a", ID, &content(&mailbox, &both())).to_vec());
        messages.push(message("cn:a", ID, &content(&queue, &both())).to_vec());
        messages.push(message("cn:b", ID, &content(&mailbox, &both())).to_vec());
        messages.push(message("cn:a", RequestId::from_bytes([9; 16]), &content(&mailbox, &both())).to_vec());
        let changes: [fn(&mut RequestContent<'_>); 7] = [
            |content| content.verb = Verb::Create,
            |content| content.verb = Verb::Delete,
            |content| content.organization = OrganizationId::from_bytes([9; 16]),
            |content| single(content).named = None,
            |content| single(content).named = Some(RecordId::from_bytes([9; 16])),
            |content| single(content).etag_revision = None,
            |content| single(content).etag_revision = Some(8),
        ];
        for change in changes {
            let given = both();
            let mut content = content(&mailbox, &given);
            change(&mut content);
            messages.push(message("cn:a", ID, &content).to_vec());
        }
        let (none, one, two) = (&[][..], &[(0, None)][..], &[(0, None), (1, None)][..]);
        for items in [&[none][..], &[one], &[two], &[one, one], &[none, one], &[one, none], &[two, none], &[none, two]]
        {
            messages.push(message("cn:a", ID, &batch(&mailbox, items)).to_vec());
        }
        let count = messages.len();
        assert_eq!(messages.into_iter().collect::<HashSet<_>>().len(), count);
    }

    #[test]
    fn earlier_batch_has_its_records_and_what_it_cleared_in_each() {
        let ids = [RecordId::from_bytes([1; 16]), RecordId::from_bytes([2; 16])];
        let row = |records: Option<Vec<u8>>, cleared: Option<&str>| RequestRow {
            id: ID,
            identity: "cn:a".to_owned(),
            record_id: ids[0],
            mac: vec![0; 32],
            time: Timestamp::from_unix_micros(0),
            cleared: cleared.map(str::to_owned),
            records,
        };
        let both = || Some(ids.iter().flat_map(|id| *id.as_bytes()).collect());
        let earlier = |row| {
            let EarlierWrite { records, cleared } = EarlierWrite::of(row);
            (records, cleared)
        };
        assert_eq!(earlier(row(None, None)), (vec![ids[0]], Vec::new()));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(earlier(row(None, Some("a,b"))), (vec![ids[0]], vec![names(&["a", "b"])]));
        assert_eq!(earlier(row(both(), Some("a,b;"))), (ids.to_vec(), vec![names(&["a", "b"]), Vec::new()]));
        assert_eq!(earlier(row(both(), Some(";b"))), (ids.to_vec(), vec![Vec::new(), names(&["b"])]));
    }

    #[test]
    fn message_of_a_request_never_changes() {
        let mailbox = entity("M");
        let given = [(0, Some(Given::Secret(Plaintext::from("s".to_owned())))), (1, None)];
        let message = message("cn:a", ID, &content(&mailbox, &given));
        let mut expected = Vec::new();
        let parts: [&[u8]; 14] = [
            b"sealward request v1",
            b"cn:a",
            &[2; 16],
            &[1; 16],
            b"update",
            b"M",
            &[3; 16],
            &[0, 0, 0, 0, 0, 0, 0, 7],
            b"a",
            b"secret",
            b"s",
            b"b",
            b"null",
            b"",
        ];
        for part in parts {
            expected.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            expected.extend(part);
        }
        assert_eq!(*message, expected);
    }
}
