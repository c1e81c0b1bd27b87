//! Records and what can be done with them: create, get, list, update, delete, and reveal; how often a write is made is for
//! [`repetition`].
//!
//! No use case here knows an entity: all go by the schema, as the organization has it. Encrypted attributes come in as
//! [`Given::Secret`], are sealed before they reach a store, and leave only through [`reveal`] and what an application builds on it.

pub mod compare;
pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod repetition;
pub mod reveal;
mod secret_writes;
pub mod update;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    audit::AuditEntry,
    census::CellKind,
    crypto::{context::CellContext, kek::Fingerprint, ring::KeyRing, root_key::RootKeyError, secret::Plaintext},
    deployment::Deployment,
    id::RecordId,
    key::unreadable,
    mask::ReadMask,
    metadata::{OrganizationSchema, changes::Written},
    organization::{Keys, Obstacle, Organization, ring_rows},
    record::{Given, Problem, Record, Violation, field_violation},
    records::repetition::Mode,
    schema::{Attribute, Entity, Kind, SYSTEM_COLUMNS, Value},
    store::{Cause, CommitError, Condition, Datum, Expect, Name, Row, Select, Step, Unavailable},
};

/// Where a record is: its organization, its entity, its id.
#[derive(Clone)]
pub struct Place {
    /// The organization.
    pub organization: Arc<Organization>,
    /// The entity, as the organization has it.
    pub entity: Arc<Entity>,
    /// The id.
    pub id: RecordId,
    /// What the organization made of the schema: what is done at this place goes by it.
    schema: Arc<OrganizationSchema>,
}

impl Place {
    /// The place of a record of this entity, by the schema as the organization has it now.
    #[must_use]
    pub fn new(organization: &Arc<Organization>, entity: &Arc<Entity>, id: RecordId) -> Self {
        let schema = organization.schema();
        Place { organization: Arc::clone(organization), entity: schema.entity(entity), id, schema }
    }

    /// The same place, by the schema as the organization has it now.
    fn renewed(&self) -> Self {
        Place::new(&self.organization, &self.entity, self.id)
    }

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
    /// Finding the records of a list took longer than a list may take.
    #[error("the list took longer than {limit_ms} ms")]
    ListTooLong {
        /// How long it may take.
        limit_ms: u64,
    },
    /// There is no such record.
    #[error("the record does not exist")]
    NotFound,
    /// There is one with this id.
    #[error("the record exists")]
    AlreadyExists,
    /// The record changed since the etag was given.
    #[error("the record has changed")]
    EtagMismatch,
    /// Another request of this caller had the same id.
    #[error("the request id belongs to another request")]
    RequestIdReused,
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
    /// The key or the value is there, and this server can't use it.
    #[error("this server can't use what is stored")]
    Inaccessible(#[source] Obstacle),
    /// A stored cell can't be opened.
    #[error("a cell can't be opened")]
    CellUnreadable {
        /// The entity.
        entity: String,
        /// The attribute.
        attribute: String,
    },
    /// The attribute was compared too often.
    #[error("the attribute was compared too often")]
    ComparisonQuota {
        /// How often it may be.
        limit: u64,
        /// When it may be again.
        retry_after_seconds: u32,
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
    /// The organization's metadata changed since the write was checked: check it again.
    StaleSchema,
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

    /// Commits; `Ok(None)` if it took effect, or would have, `Ok(Some(refusal))` if it did not.
    async fn commit(self, organization: &Organization, mode: Mode<'_>) -> Result<Option<Refusal>, RecordError> {
        let Plan { steps, refusals } = match mode {
            Mode::Make | Mode::MakeOnce(_) => self,
            Mode::ValidateOnly => self.without_effects(),
        };
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

impl Plan {
    /// What the steps expect, without what they do.
    fn without_effects(self) -> Plan {
        let mut plan = Plan::default();
        for (step, refusal) in self.steps.into_iter().zip(self.refusals) {
            if let Some(step) = expectation(step) {
                plan.step(step, refusal);
            }
        }
        plan
    }
}

/// What a step expects of the rows that are there; `None` if it takes them as they come.
fn expectation(step: Step) -> Option<Step> {
    match step {
        Step::Require { .. } | Step::Forbid { .. } => Some(step),
        Step::Insert { table, row } => {
            let id = row.into_iter().find(|(column, _)| column == "id");
            id.map(|(column, id)| Step::Forbid { table, rows: Condition::equal(column, id) })
        }
        Step::Update { table, rows, expect: Expect::One, .. } | Step::Delete { table, rows, expect: Expect::One } => {
            Some(Step::Require { table, rows })
        }
        Step::InsertFrom { .. }
        | Step::Update { expect: Expect::Any, .. }
        | Step::Delete { expect: Expect::Any, .. }
        | Step::Prune { .. }
        | Step::Tally(_)
        | Step::CreateTable(_)
        | Step::AddColumn { .. }
        | Step::CreateIndex { .. }
        | Step::DropIndex { .. }
        | Step::Audit(_) => None,
    }
}

/// Records what was asked of a record's secrets, before anything of them is answered.
pub(crate) async fn record_access(place: &Place, entry: AuditEntry) -> Result<(), RecordError> {
    place.organization.record(entry).await.map_err(|error| match error {
        CommitError::Refused { .. } => RecordError::AuditUnavailable("an audit record was refused".into()),
        CommitError::Unavailable(cause) | CommitError::Unknown(cause) => RecordError::AuditUnavailable(cause),
    })
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
        Keys::Inaccessible(obstacle, _) => Err(RecordError::Inaccessible(obstacle)),
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

pub(crate) fn datum_of(value: &Value) -> Datum {
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
fn require_references(plan: &mut Plan, place: &Place, given: impl Iterator<Item = (usize, Value)>) {
    for (index, value) in given {
        let Some(attribute) = place.entity.attributes.get(index) else { continue };
        let (Kind::Reference { collection, .. }, Value::Reference(id)) = (&attribute.kind, &value) else { continue };
        let Some(target) = place.schema.schema.by_collection(collection) else { continue };
        let violation = field_violation(&place.entity, attribute, Problem::ReferenceMissing);
        plan.step(
            Step::Require { table: target.storage_name.clone().into(), rows: is_record(*id) },
            Refusal::Answer(RecordError::Invalid(vec![violation])),
        );
    }
}

/// The step that holds a write against the metadata that it was checked by.
fn require_schema(plan: &mut Plan, place: &Place) {
    plan.step(place.schema.require(), Refusal::StaleSchema);
}

/// Records what a write changed of audited attributes, in its own commit.
fn record_changes(plan: &mut Plan, written: &Written<'_>, before: Option<&Record>, after: Option<&Record>) {
    for step in written.steps(before, after) {
        plan.step(step, Refusal::Moved);
    }
}

/// The step that holds a write of cells against the ring they were sealed under.
fn require_ring(plan: &mut Plan, ring: Option<&Arc<KeyRing>>) {
    if let Some(ring) = ring {
        plan.step(ring_rows::require(ring.revision()), Refusal::StaleRing);
    }
}

/// The column holds this cell, or none.
fn holds(column: &str, cell: Option<&Vec<u8>>) -> Condition {
    let column = Name::from(column.to_owned());
    match cell {
        Some(cell) => Condition::equal(column, Datum::Bytes(cell.clone())),
        None => Condition::IsNull(column),
    }
}

/// Counts what the step before did to a record's column: it put `new` in the place of `old`.
fn count_cells(plan: &mut Plan, place: &Place, column: &str, old: Option<&Vec<u8>>, new: Option<&[u8]>) {
    let table = &place.entity.storage_name;
    for (cell, by) in [(old.map(Vec::as_slice), -1), (new, 1)] {
        if let Some(cell) = cell {
            plan.step(CellKind::of(table, column, cell).counted(by), Refusal::Moved);
        }
    }
}

/// The step that forgets about the unreadable cell in a record's column, if there was one.
fn healed(plan: &mut Plan, place: &Place, column: &str) {
    let step = unreadable::forget(&place.entity.storage_name, column, place.id);
    plan.step(step, Refusal::Moved);
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

/// The columns of a record's wanted fields, in the order [`parse_row`] expects.
pub(crate) fn record_columns(entity: &Entity, mask: &ReadMask) -> Vec<Name> {
    let mut columns = Vec::with_capacity(SYSTEM_COLUMNS.len().saturating_add(entity.attributes.len()));
    columns.extend(SYSTEM_COLUMNS.map(Name::from));
    let read = entity.attributes.iter().enumerate().filter(|(index, attribute)| is_read(*index, attribute, mask));
    columns.extend(read.map(|(_, attribute)| Name::from(attribute.storage_name.clone())));
    columns
}

fn is_read(index: usize, attribute: &Attribute, mask: &ReadMask) -> bool {
    attribute.stored() && mask.reads(index)
}

/// The cells of a record, by the position of their attributes.
pub(crate) type Cells = BTreeMap<usize, Vec<u8>>;

/// Makes a record, as far as it is wanted, of a row that begins with its [`record_columns`]. Of its cells the record tells only whether
/// they are there.
pub(crate) fn parse_row(entity: &Entity, mask: &ReadMask, row: Row) -> Result<(Record, Cells), Unavailable> {
    let wrong = || Unavailable("a row is not what the schema says".into());
    let mut data = row.into_iter();
    let (
        Some(Datum::Uuid(id)),
        Some(Datum::Integer(revision)),
        Some(Datum::Time(create_time)),
        Some(Datum::Time(update_time)),
        Some(created_by),
        Some(modified_by),
    ) = (data.next(), data.next(), data.next(), data.next(), data.next(), data.next())
    else {
        return Err(wrong());
    };
    let created_by = text_or_null(created_by).ok_or_else(wrong)?;
    let modified_by = text_or_null(modified_by).ok_or_else(wrong)?;
    let mut values = Vec::with_capacity(entity.attributes.len());
    let mut cells = Cells::new();
    for (index, attribute) in entity.attributes.iter().enumerate() {
        let value = match is_read(index, attribute, mask).then(|| data.next()).flatten() {
            Some(Datum::Bytes(cell)) if attribute.encrypted => {
                cells.insert(index, cell);
                None
            }
            Some(datum) => value_of(&attribute.kind, datum).ok_or_else(wrong)?,
            None => None,
        };
        values.push(value);
    }
    let has_cell = |name: &str| {
        cells.keys().any(|index| entity.attributes.get(*index).is_some_and(|attribute| attribute.name == name))
    };
    report_set(entity, &mut values, has_cell);
    let id = RecordId::from_uuid(id);
    let mut record = Record { id, revision, create_time, update_time, created_by, modified_by, values };
    mask.apply(&mut record);
    Ok((record, cells))
}

/// The text of a column, or none; the outer `None` if it holds something else.
fn text_or_null(datum: Datum) -> Option<Option<String>> {
    match datum {
        Datum::Text(text) => Some(Some(text)),
        Datum::Null => Some(None),
        Datum::Boolean(_) | Datum::Integer(_) | Datum::Bytes(_) | Datum::Uuid(_) | Datum::Time(_) => None,
    }
}

/// Fills in the attributes that tell whether an encrypted one has a value.
pub(crate) fn report_set(entity: &Entity, values: &mut [Option<Value>], is_set: impl Fn(&str) -> bool) {
    for (attribute, value) in entity.attributes.iter().zip(values) {
        if let Some(attribute) = attribute.reports_set() {
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

/// The whole record, with its cells.
pub(crate) async fn read_record(place: &Place) -> Result<Option<(Record, Cells)>, Unavailable> {
    read_fields(place, &ReadMask::default()).await
}

/// The cells of these encrypted attributes of the record.
async fn read_cells(place: &Place, wanted: &[&Attribute]) -> Result<Option<Vec<Datum>>, Unavailable> {
    let select = Select {
        table: table_of(&place.entity),
        columns: wanted.iter().map(|attribute| Name::from(attribute.storage_name.clone())).collect(),
        rows: is_record(place.id),
        order: Vec::new(),
        limit: 1,
    };
    Ok(place.organization.store.select(select).await?.into_iter().next())
}

/// The record, as far as it is wanted.
async fn read_fields(place: &Place, mask: &ReadMask) -> Result<Option<(Record, Cells)>, Unavailable> {
    let select = Select {
        table: table_of(&place.entity),
        columns: record_columns(&place.entity, mask),
        rows: is_record(place.id),
        order: Vec::new(),
        limit: 1,
    };
    let found = place.organization.store.select(select).await?;
    found.into_iter().next().map(|row| parse_row(&place.entity, mask, row)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Assignment;

    #[test]
    fn a_plan_without_effects_expects_the_same_and_refuses_alike() {
        let id = || Datum::Uuid(uuid::Uuid::from_u128(7));
        let table = || Name::from("Mailbox");
        let rows = || Condition::equal("id", id());
        let steps = vec![
            Step::Prune { table: table(), key: vec!["id".into()], rows: rows(), at_most: 1 },
            CellKind::of("Mailbox", "password", &[]).counted(1),
            Step::Require { table: table(), rows: rows() },
            Step::Insert { table: table(), row: vec![("name".into(), Datum::Null), ("id".into(), id())] },
            Step::Update { table: table(), rows: rows(), set: Vec::new(), expect: Expect::One },
            Step::Update {
                table: table(),
                rows: rows(),
                set: vec![Assignment::Add("revision".into(), 1)],
                expect: Expect::Any,
            },
            Step::Delete { table: table(), rows: rows(), expect: Expect::One },
            Step::Forbid { table: table(), rows: rows() },
        ];
        let mut plan = Plan::default();
        for (index, step) in steps.into_iter().enumerate() {
            let attribute = index.to_string();
            let answer = RecordError::ReferenceInUse { entity: String::new(), attribute };
            plan.step(step, Refusal::Answer(answer));
        }
        let Plan { steps, refusals } = plan.without_effects();
        let steps: Vec<_> = steps.iter().map(|step| format!("{step:?}")).collect();
        let require = format!("{:?}", Step::Require { table: table(), rows: rows() });
        let forbid = format!("{:?}", Step::Forbid { table: table(), rows: rows() });
        assert_eq!(steps, [&require, &forbid, &require, &require, &forbid].map(String::as_str));
        let answers = refusals.iter().map(|refusal| match refusal {
            Refusal::Answer(RecordError::ReferenceInUse { attribute, .. }) => attribute.as_str(),
            Refusal::Answer(_) | Refusal::Moved | Refusal::StaleRing | Refusal::StaleSchema => "",
        });
        assert_eq!(answers.collect::<Vec<_>>(), ["2", "3", "4", "6", "7"]);
    }
}
