//! Idempotent writes: a write with a request id is executed once, regardless of the number of requests.
//!
//! A write with a request id inserts a row in the organization's database, in the same commit. The row contains the
//! caller, the record, the time and a MAC of the request. So a write and its row exist only together, and the store
//! commits exactly one of two concurrent writes with the same id. A later request with the same id and the same content
//! is a repetition: it changes nothing, and returns the current state of the record. A refused write inserts no row.
//!
//! The MAC uses the root key. It therefore works while an organization is inactive, and reveals nothing to a reader of
//! a database copy. The MAC includes the caller and the request id, so that equal passwords in two requests give
//! different MACs.
//!
//! A row is kept for 24 hours. Each row needs about 150 bytes and belongs to a committed write. The disk space
//! is therefore limited by the rate at which authorized callers write records, and becomes free after a day.

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::{
    crypto::{encoding, root_key::MacPurpose},
    deployment::Deployment,
    id::{OrganizationId, RecordId, RequestId, Timestamp},
    identity::Caller,
    record::{
        content::{Given, Record},
        error::{RecordError, exhausted},
        mode::Mode,
        place::RecordPlace,
        plan::{Plan, Refusal},
        row::read_record,
    },
    schema::{
        entity::{Attribute, Entity},
        value::Value,
    },
    store::{Comparison, Condition, Step, StoreFailure},
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
    pub(super) fn of(
        deployment: &Deployment,
        mode: Mode,
        caller: &Caller,
        content: &RequestContent<'_>,
    ) -> Result<Option<Self>, RecordError> {
        let Mode::ExecuteOnce(id) = mode else { return Ok(None) };
        let identity = caller.identity.to_string();
        let message = message(&identity, id, content);
        let mac = deployment.ports.root_key.mac(MacPurpose::RequestDigest, &message)?;
        Ok(Some(Self { id, identity, now: deployment.now(), message, mac }))
    }

    /// Adds the steps that store the request. They come before all other steps of a plan, so that a repetition is
    /// detected before any other check. Also deletes expired rows.
    ///
    /// `cleared` are the attributes that the write clears although the request doesn't ask for it. A repetition returns
    /// them too.
    pub(super) fn remember(&self, plan: &mut Plan, record: RecordId, cleared: &[String]) {
        let forgotten = RequestRow::time().compares(Comparison::Less, self.forgotten_before());
        plan.step(RequestRow::delete(self.rows().and(forgotten.clone())), Refusal::Moved);
        let (table, key) = (RequestRow::TABLE.into(), RequestRow::key());
        plan.step(Step::Prune { table, key, rows: forgotten, at_most: FORGOTTEN_MAX }, Refusal::Moved);
        let row = RequestRow {
            id: self.id,
            identity: self.identity.clone(),
            record_id: record,
            mac: self.mac.to_vec(),
            time: self.now,
            cleared: (!cleared.is_empty()).then(|| cleared.join(",")),
        };
        plan.step(row.insert(), Refusal::Answer(RecordError::RequestIdReused));
    }

    /// Returns the result of a repetition: the current record, and the attributes that the write cleared automatically.
    ///
    /// # Errors
    /// See [`earlier`](Self::earlier). [`RecordError::NotFound`] if the record was deleted.
    pub(super) async fn answer(
        &self,
        deployment: &Deployment,
        place: &RecordPlace,
        refusal: RecordError,
    ) -> Result<(Record, Vec<String>), RecordError> {
        let EarlierWrite { record: id, cleared } = self.earlier(deployment, place, refusal).await?;
        let (record, _) = read_record(&RecordPlace { id, ..place.clone() }).await?.ok_or(RecordError::NotFound)?;
        Ok((record, cleared))
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
                let root_key = &deployment.ports.root_key;
                if root_key.verify_mac(MacPurpose::RequestDigest, &self.message, &row.mac)? {
                    Ok(EarlierWrite { record: row.record_id, cleared: row.cleared.map(names).unwrap_or_default() })
                } else if matches!(refusal, RecordError::Invalid(_)) {
                    // The violations are more useful than the reused id.
                    Err(refusal)
                } else {
                    Err(RecordError::RequestIdReused)
                }
            }
        }
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
    record: RecordId,
    /// The attributes that it cleared automatically.
    cleared: Vec<String>,
}

/// Splits a comma-separated list of names.
fn names(text: String) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// Returns the message of a request's MAC. It uses storage names, which never change, so that a request is recognized
/// after an upgrade of the server.
fn message(identity: &str, id: RequestId, content: &RequestContent<'_>) -> Zeroizing<Vec<u8>> {
    let verb = match content.verb {
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Delete => "delete",
    };
    let named = content.named.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
    let etag = content.etag_revision.map(|revision| revision.to_be_bytes().to_vec()).unwrap_or_default();
    let mut parts: Vec<Cow<'_, [u8]>> = vec![
        identity.as_bytes().into(),
        id.as_bytes().into(),
        content.organization.as_bytes().into(),
        verb.as_bytes().into(),
        content.entity.storage_name.as_bytes().into(),
        named.into(),
        etag.into(),
    ];
    for (attribute, given) in &content.attributes {
        let (kind, value) = value(*given);
        parts.extend([attribute.storage_name.as_bytes().into(), kind.as_bytes().into(), value]);
    }
    encoding::wiped(LABEL, &parts)
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

    fn content<'a>(entity: &'a Entity, given: &'a [(usize, Option<Given>)]) -> RequestContent<'a> {
        RequestContent {
            verb: Verb::Update,
            organization: ORGANIZATION,
            entity,
            named: Some(RECORD),
            etag_revision: Some(7),
            attributes: given.iter().map(|(index, given)| (&entity.attributes[*index], given.as_ref())).collect(),
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
            |content| content.named = None,
            |content| content.named = Some(RecordId::from_bytes([9; 16])),
            |content| content.etag_revision = None,
            |content| content.etag_revision = Some(8),
        ];
        for change in changes {
            let given = both();
            let mut content = content(&mailbox, &given);
            change(&mut content);
            messages.push(message("cn:a", ID, &content).to_vec());
        }
        let count = messages.len();
        assert_eq!(messages.into_iter().collect::<HashSet<_>>().len(), count);
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
