//! Records and what can be done with them: create, get, list, update, delete, and reveal.
//!
//! No use case knows an entity: all go by the schema. Encrypted attributes come in as [`Given::Secret`], are sealed before they reach a
//! store, and leave only through [`reveal`].

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod reveal;
pub mod update;

use std::sync::Arc;

use crate::{
    crypto::{context::CellContext, kek::Fingerprint, ring::KeyRing, root_key::RootKeyError, secret::Plaintext},
    deployment::Deployment,
    id::RecordId,
    organization::{Keys, Organization, ring_rows},
    record::{Given, Problem, Record, Violation, field_violation},
    schema::{Attribute, Entity, Kind, Value},
    store::{Cause, CommitError, Condition, Datum, Name, Row, Select, Step, Unavailable},
};

/// Where a record is: its organization, its entity, its id.
#[derive(Clone)]
pub struct Place {
    /// The organization.
    pub organization: Arc<Organization>,
    /// The entity.
    pub entity: Arc<Entity>,
    /// The id.
    pub id: RecordId,
}

impl Place {
    /// The resource name.
    #[must_use]
    pub fn resource_name(&self) -> String {
        format!("{}/{}/{}", self.organization.resource_name(), self.entity.collection, self.id)
    }
}

/// Why a use case of records did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Fields are wrong: all of them are listed.
    #[error("the request is invalid")]
    Invalid(Vec<Violation>),
    /// The page token was not made for this list and this caller.
    #[error("the page token is invalid")]
    PageToken,
    /// There is no such record.
    #[error("the record does not exist")]
    NotFound,
    /// There is one with this id.
    #[error("the record exists")]
    AlreadyExists,
    /// The record changed since the etag was given.
    #[error("the record has changed")]
    EtagMismatch,
    /// Another record refers to it and does not let it go.
    #[error("the record is referred to")]
    ReferenceInUse {
        /// The entity of that record.
        entity: String,
        /// The attribute that refers.
        attribute: String,
    },
    /// An encrypted attribute can't be written or revealed while the key is missing.
    #[error("data encryption is inactive")]
    Inactive {
        /// The key the database needs.
        wanted: Fingerprint,
    },
    /// The key ring is missing or damaged.
    #[error("the key ring is missing or damaged")]
    RingDamaged,
    /// A stored cell can't be opened.
    #[error("a cell can't be opened")]
    CellUnreadable {
        /// The entity.
        entity: String,
        /// The attribute.
        attribute: String,
    },
    /// The audit record can't be written; nothing was given.
    #[error("the audit record can't be written")]
    AuditUnavailable(#[source] Cause),
    /// A database did not answer. Nothing changed.
    #[error("a database is unavailable")]
    Unavailable(#[source] Cause),
    /// A commit's outcome is unknown.
    #[error("the outcome is unknown")]
    Unknown(#[source] Cause),
}

impl From<Unavailable> for RecordError {
    fn from(Unavailable(cause): Unavailable) -> Self {
        RecordError::Unavailable(cause)
    }
}

impl From<RootKeyError> for RecordError {
    fn from(error: RootKeyError) -> Self {
        RecordError::Unavailable(Cause(Box::new(error)))
    }
}

/// How often a write is tried again when the key ring, or the record, changed under it.
const ATTEMPTS: usize = 32;

/// A commit in the making: the steps, and what a refusal of each means.
#[derive(Default)]
struct Plan {
    steps: Vec<Step>,
    refusals: Vec<Refusal>,
}

/// What it means that a step was refused.
enum Refusal {
    /// The ring the values were sealed under is no longer the one in place: seal again.
    StaleRing,
    /// The record changed since it was read: read it again.
    Moved,
    /// The call is answered with this.
    Answer(RecordError),
}

impl Plan {
    fn step(&mut self, step: Step, refusal: Refusal) {
        self.steps.push(step);
        self.refusals.push(refusal);
    }

    /// Commits; `Ok(None)` if it took effect, `Ok(Some(refusal))` if it did not.
    async fn commit(self, organization: &Organization) -> Result<Option<Refusal>, RecordError> {
        let Plan { steps, refusals } = self;
        match organization.commit(steps).await {
            Ok(()) => Ok(None),
            Err(CommitError::Refused { step }) => match refusals.into_iter().nth(step) {
                Some(refusal) => Ok(Some(refusal)),
                None => Err(RecordError::Unavailable("a step was refused that was not asked for".into())),
            },
            Err(CommitError::Unavailable(cause)) => Err(RecordError::Unavailable(cause)),
            Err(CommitError::Unknown(cause)) => Err(RecordError::Unknown(cause)),
        }
    }
}

fn exhausted() -> RecordError {
    RecordError::Unavailable("the record or its key ring kept changing".into())
}

/// The ring to seal with, loaded if it isn't in memory. An organization held for inactive is looked at again before it is refused.
async fn sealing_ring(deployment: &Deployment, organization: &Organization) -> Result<Arc<KeyRing>, RecordError> {
    if let Some(Keys::Active(ring)) = organization.keys() {
        return Ok(ring);
    }
    match organization.load_keys(deployment).await? {
        Keys::Active(ring) => Ok(ring),
        Keys::Inactive(stored) => Err(RecordError::Inactive { wanted: stored.fingerprint() }),
        Keys::Damaged => Err(RecordError::RingDamaged),
    }
}

/// What becomes of an attribute's column: a clear value, a sealed cell, or null.
fn stored_datum(
    deployment: &Deployment,
    place: &Place,
    attribute: &Attribute,
    given: Option<&Given>,
    ring: Option<&KeyRing>,
) -> Result<Datum, RecordError> {
    match given {
        None => Ok(Datum::Null),
        Some(Given::Clear(value)) => Ok(datum_of(value)),
        Some(Given::Secret(plaintext)) => match ring {
            Some(ring) => Ok(Datum::Bytes(seal(deployment, place, attribute, plaintext, ring))),
            None => Err(RecordError::Unavailable("a value was to be sealed without a ring".into())),
        },
        Some(Given::Wrong(problem)) => {
            Err(RecordError::Invalid(vec![field_violation(&place.entity, attribute, problem.clone())]))
        }
    }
}

fn seal(
    deployment: &Deployment,
    place: &Place,
    attribute: &Attribute,
    plaintext: &Plaintext,
    ring: &KeyRing,
) -> Vec<u8> {
    ring.seal(&context(place, attribute), plaintext, &*deployment.ports.random)
}

/// What a cell of this attribute of this record is bound to.
fn context<'a>(place: &'a Place, attribute: &'a Attribute) -> CellContext<'a> {
    CellContext {
        organization: place.organization.id,
        entity: &place.entity.storage_name,
        record: place.id,
        attribute: &attribute.storage_name,
    }
}

fn datum_of(value: &Value) -> Datum {
    match value {
        Value::Boolean(value) => Datum::Boolean(*value),
        Value::Integer(value) => Datum::Integer(*value),
        Value::Text(value) => Datum::Text(value.clone()),
        Value::Bytes(value) => Datum::Bytes(value.clone()),
        Value::Time(value) => Datum::Time(*value),
        Value::Reference(id) => Datum::Uuid(id.uuid()),
    }
}

/// Steps that hold every given reference against the record it names.
fn require_references(
    plan: &mut Plan,
    deployment: &Deployment,
    place: &Place,
    given: impl Iterator<Item = (usize, Value)>,
) {
    for (index, value) in given {
        let Some(attribute) = place.entity.attributes.get(index) else { continue };
        let (Kind::Reference { collection, .. }, Value::Reference(id)) = (&attribute.kind, &value) else { continue };
        let Some(target) = deployment.schema.by_collection(collection) else { continue };
        let violation = field_violation(&place.entity, attribute, Problem::ReferenceMissing);
        plan.step(
            Step::Require { table: target.storage_name.clone().into(), rows: is_record(*id) },
            Refusal::Answer(RecordError::Invalid(vec![violation])),
        );
    }
}

/// The step that holds a write of cells against the ring they were sealed under.
fn require_ring(plan: &mut Plan, ring: Option<&Arc<KeyRing>>) {
    if let Some(ring) = ring {
        plan.step(ring_rows::require(ring.revision()), Refusal::StaleRing);
    }
}

fn is_record(id: RecordId) -> Condition {
    Condition::equal("id", Datum::Uuid(id.uuid()))
}

fn table_of(entity: &Entity) -> Name {
    entity.storage_name.clone().into()
}

fn invalid_unless_empty(violations: Vec<Violation>) -> Result<(), RecordError> {
    if violations.is_empty() { Ok(()) } else { Err(RecordError::Invalid(violations)) }
}

/// The columns of a record, in the order [`parse_row`] expects.
fn record_columns(entity: &Entity) -> Vec<Name> {
    let system = ["id", "revision", "create_time", "update_time"].into_iter().map(Name::from);
    let attributes = entity.attributes.iter().filter(|attribute| attribute.stored());
    system.chain(attributes.map(|attribute| Name::from(attribute.storage_name.clone()))).collect()
}

/// Makes a record of a row. Cells are looked at only for whether they are there.
fn parse_row(entity: &Entity, row: Row) -> Result<Record, Unavailable> {
    let wrong = || Unavailable("a row is not what the schema says".into());
    let mut data = row.into_iter();
    let (
        Some(Datum::Uuid(id)),
        Some(Datum::Integer(revision)),
        Some(Datum::Time(create_time)),
        Some(Datum::Time(update_time)),
    ) = (data.next(), data.next(), data.next(), data.next())
    else {
        return Err(wrong());
    };
    let mut values = Vec::with_capacity(entity.attributes.len());
    let mut cells = Vec::new();
    for attribute in &entity.attributes {
        let value = match attribute.stored().then(|| data.next()).flatten() {
            Some(datum) if attribute.encrypted => {
                if datum != Datum::Null {
                    cells.push(attribute.name.as_str());
                }
                None
            }
            Some(datum) => value_of(&attribute.kind, datum).ok_or_else(wrong)?,
            None => None,
        };
        values.push(value);
    }
    report_set(entity, &mut values, |name| cells.contains(&name));
    Ok(Record { id: RecordId::from_uuid(id), revision, create_time, update_time, values })
}

/// Fills in the attributes that tell whether an encrypted one has a value.
fn report_set(entity: &Entity, values: &mut [Option<Value>], is_set: impl Fn(&str) -> bool) {
    for (attribute, value) in entity.attributes.iter().zip(values) {
        if let Kind::ReportsSet { attribute } = &attribute.kind {
            *value = Some(Value::Boolean(is_set(attribute)));
        }
    }
}

/// The value that a column of this kind holds; the outer `None` if it holds something else.
fn value_of(kind: &Kind, datum: Datum) -> Option<Option<Value>> {
    Some(Some(match (kind, datum) {
        (_, Datum::Null) => return Some(None),
        (Kind::Boolean, Datum::Boolean(value)) => Value::Boolean(value),
        (Kind::Integer32 | Kind::Integer64 | Kind::Choice(_), Datum::Integer(value)) => Value::Integer(value),
        (Kind::Text, Datum::Text(value)) => Value::Text(value),
        (Kind::Bytes, Datum::Bytes(value)) => Value::Bytes(value),
        (Kind::Time, Datum::Time(value)) => Value::Time(value),
        (Kind::Reference { .. }, Datum::Uuid(value)) => Value::Reference(RecordId::from_uuid(value)),
        _ => return None,
    }))
}

async fn read_record(place: &Place) -> Result<Option<Record>, Unavailable> {
    let select = Select {
        table: table_of(&place.entity),
        columns: record_columns(&place.entity),
        rows: is_record(place.id),
        order: Vec::new(),
        limit: 1,
    };
    let found = place.organization.store.select(select).await?;
    found.into_iter().next().map(|row| parse_row(&place.entity, row)).transpose()
}
