//! How often a write is made: each time that it is asked for, once however often, or not at all.
//!
//! A write with a request id leaves a row in the organization's database, in the commit that makes it: whose request it was, which
//! record it was about, when, and a MAC of what was asked for. So there is no write without its row and no row without its write, and
//! the store lets exactly one of two through that come at the same time. Whoever comes later with the same id and asks for the same is
//! a repetition: nothing changes, and the answer is read anew. A refused write leaves no row.
//!
//! The MAC is made with the root key, so that it works while an organization is inactive and tells whoever has a copy of the database
//! nothing. Caller and id are among what it is made of: no two rows have the same, though the same password may be in both requests.
//!
//! A row is kept for [`REMEMBERED_US`]. A caller leaves one of some 150 bytes with each write it may make, and none without: what that
//! takes of the disk is bounded by how fast an authorized caller can write, as for the records themselves, and is given back a day later.

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

/// For how long a request is remembered, in microseconds: 24 hours.
pub const REMEMBERED_US: i64 = 24 * 3_600 * 1_000_000;

/// How many forgotten requests go with one write. One comes with it; so a day's worth goes this much faster than it came, and no write
/// waits for more.
const FORGOTTEN_MAX: u32 = 16;

/// What a request asks for: two that are equal in this ask for the same.
pub(super) struct Asked<'a> {
    pub(super) verb: Verb,
    pub(super) organization: OrganizationId,
    pub(super) entity: &'a Entity,
    /// The record that the caller named; `None` where the service draws an id.
    pub(super) named: Option<RecordId>,
    pub(super) etag_revision: Option<i64>,
    /// Every attribute that the request bears on, in the order of the schema, with what was given for it.
    pub(super) attributes: Vec<(&'a Attribute, Option<&'a Given>)>,
}

/// What is to be done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Update,
    Delete,
}

/// A write that is made once.
pub(super) struct Once {
    id: RequestId,
    identity: String,
    now: Timestamp,
    message: Zeroizing<Vec<u8>>,
    mac: [u8; 32],
}

impl Once {
    /// The write of a request, if its mode wants it made once.
    pub(super) fn of(
        deployment: &Deployment,
        mode: Mode,
        caller: &Caller,
        asked: &Asked<'_>,
    ) -> Result<Option<Once>, RecordError> {
        let Mode::MakeOnce(id) = mode else { return Ok(None) };
        let identity = caller.identity.to_string();
        let message = message(&identity, id, asked);
        let mac = deployment.ports.root_key.mac(MacPurpose::RequestDigest, &message)?;
        Ok(Some(Once { id, identity, now: deployment.now(), message, mac }))
    }

    /// The steps that remember it, before all others of a plan: a repetition is recognised as such before anything else is held
    /// against it. Forgotten requests go.
    ///
    /// `cleared` are the attributes that the write clears without having been asked to: the answer to a repetition names them too.
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

    /// The answer to a repetition: the record as it is now, and what the write cleared without having been asked to.
    ///
    /// # Errors
    /// As [`earlier`](Self::earlier), and [`RecordError::NotFound`] if the record is gone.
    pub(super) async fn answer(
        &self,
        deployment: &Deployment,
        place: &RecordPlace,
        refusal: RecordError,
    ) -> Result<(Record, Vec<String>), RecordError> {
        let Earlier { record: id, cleared } = self.earlier(deployment, place, refusal).await?;
        let (record, _) = read_record(&RecordPlace { id, ..place.clone() }).await?.ok_or(RecordError::NotFound)?;
        Ok((record, cleared))
    }

    /// The record that the request was about when it was made; if it was not, or was another, that is an error. `refusal` is what
    /// this call met: the plan's own, or one that was found before there was a plan, and that a repetition is not to be told of.
    pub(super) async fn earlier(
        &self,
        deployment: &Deployment,
        place: &RecordPlace,
        refusal: RecordError,
    ) -> Result<Earlier, RecordError> {
        if matches!(
            refusal,
            RecordError::Store(StoreFailure::Unavailable(_)) | RecordError::Store(StoreFailure::Unknown(_))
        ) {
            return Err(refusal);
        }
        let found = read(&*place.organization.store, RequestRow::all_columns(), self.rows()).await?;
        match found.into_iter().next().filter(|row| row.time >= self.forgotten_before()) {
            // It was remembered when this one was refused, and has been forgotten since.
            None if matches!(refusal, RecordError::RequestIdReused) => Err(exhausted()),
            None => Err(refusal),
            Some(row) => {
                let root_key = &deployment.ports.root_key;
                if root_key.verify_mac(MacPurpose::RequestDigest, &self.message, &row.mac)? {
                    Ok(Earlier { record: row.record_id, cleared: row.cleared.map(names).unwrap_or_default() })
                } else if matches!(refusal, RecordError::Invalid(_)) {
                    // What is wrong with it says more than that it is another one.
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

/// A write that was made.
pub(super) struct Earlier {
    record: RecordId,
    /// What it cleared without having been asked to.
    cleared: Vec<String>,
}

/// The names in a text of names joined by commas.
fn names(text: String) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// What the MAC of a request is made of. Names are those of the storage, which never change, so that a request that was made before
/// the server was exchanged for a newer one is still recognised.
fn message(identity: &str, id: RequestId, asked: &Asked<'_>) -> Zeroizing<Vec<u8>> {
    let verb = match asked.verb {
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Delete => "delete",
    };
    let named = asked.named.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
    let etag = asked.etag_revision.map(|revision| revision.to_be_bytes().to_vec()).unwrap_or_default();
    let mut parts: Vec<Cow<'_, [u8]>> = vec![
        identity.as_bytes().into(),
        id.as_bytes().into(),
        asked.organization.as_bytes().into(),
        verb.as_bytes().into(),
        asked.entity.storage_name.as_bytes().into(),
        named.into(),
        etag.into(),
    ];
    for (attribute, given) in &asked.attributes {
        let (kind, value) = value(*given);
        parts.extend([attribute.storage_name.as_bytes().into(), kind.as_bytes().into(), value]);
    }
    encoding::wiped(LABEL, &parts)
}

/// The type and the bytes of what was given. A secret is not copied.
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
        // Nothing that was made was asked for like this.
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

    fn asked<'a>(entity: &'a Entity, given: &'a [(usize, Option<Given>)]) -> Asked<'a> {
        Asked {
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
                messages.push(message("cn:a", ID, &asked(&mailbox, &[(attribute, value)])).to_vec());
            }
        }
        let both = || [(0, None), (1, Some(Given::Clear(Value::Text("x".to_owned()))))];
        messages.push(message("cn:a", ID, &asked(&mailbox, &[])).to_vec());
        messages.push(message("cn:a", ID, &asked(&mailbox, &both())).to_vec());
        messages.push(message("cn:a", ID, &asked(&queue, &both())).to_vec());
        messages.push(message("cn:b", ID, &asked(&mailbox, &both())).to_vec());
        messages.push(message("cn:a", RequestId::from_bytes([9; 16]), &asked(&mailbox, &both())).to_vec());
        let changes: [fn(&mut Asked<'_>); 7] = [
            |asked| asked.verb = Verb::Create,
            |asked| asked.verb = Verb::Delete,
            |asked| asked.organization = OrganizationId::from_bytes([9; 16]),
            |asked| asked.named = None,
            |asked| asked.named = Some(RecordId::from_bytes([9; 16])),
            |asked| asked.etag_revision = None,
            |asked| asked.etag_revision = Some(8),
        ];
        for change in changes {
            let given = both();
            let mut asked = asked(&mailbox, &given);
            change(&mut asked);
            messages.push(message("cn:a", ID, &asked).to_vec());
        }
        let count = messages.len();
        assert_eq!(messages.into_iter().collect::<HashSet<_>>().len(), count);
    }

    #[test]
    fn the_message_of_a_request_never_changes() {
        let mailbox = entity("M");
        let given = [(0, Some(Given::Secret(Plaintext::from("s".to_owned())))), (1, None)];
        let message = message("cn:a", ID, &asked(&mailbox, &given));
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
