//! Changes of attributes: who gave which value in the place of which, where an organization has an attribute audited.
//!
//! A change is recorded in the commit that makes it. Values are stored as texts that read back, and no encrypted attribute has any here:
//! [`Attribute::is_audited`] is never set of one.

use std::sync::{Arc, LazyLock};

use data_encoding::HEXLOWER;

use crate::{
    deployment::Deployment,
    id::{RecordId, Timestamp},
    identity::Caller,
    list::{
        log::{self, ListLogError, Log, Page, Reading},
        page::ListingError,
    },
    metadata::setting::resource_name,
    name::{OrganizationName, RecordName},
    order::Order,
    organization::handle::Organization,
    permit::Permit,
    policy,
    record::content::Record,
    schema::{
        Schema,
        entity::{Attribute, Choice, Entity, Kind},
        value::Value,
    },
    store::{ColumnType, Commit, CommitError, Comparison, Condition, Datum, Name, Row, Source, Step, Unavailable},
    table::{
        declare::{Columns as _, Damage, TableColumn, TableRow as _},
        metadata::AttributeChangeRow,
        record::RecordColumns,
    },
};

/// What was done to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It was created: there was no value before.
    Create,
    /// It was updated.
    Update,
    /// It was deleted: there is no value after.
    Delete,
}

impl Operation {
    const ALL: [Operation; 3] = [Operation::Create, Operation::Update, Operation::Delete];

    /// Its number and its name in the contract.
    #[must_use]
    pub fn number_and_name(self) -> (i32, &'static str) {
        match self {
            Operation::Create => (1, "OPERATION_CREATE"),
            Operation::Update => (2, "OPERATION_UPDATE"),
            Operation::Delete => (3, "OPERATION_DELETE"),
        }
    }
}

/// A write of a record.
pub(crate) struct Written<'a> {
    pub(crate) entity: &'a Entity,
    pub(crate) id: RecordId,
    pub(crate) operation: Operation,
    /// The revision that it made; the last one that a deleted record had.
    pub(crate) revision: i64,
    pub(crate) time: Timestamp,
    pub(crate) caller: &'a Caller,
}

impl Written<'_> {
    /// The steps that record what changed between two states of the record, of which the absent one is the one without it.
    pub(crate) fn steps(&self, before: Option<&Record>, after: Option<&Record>) -> Vec<Step> {
        let value = |record: Option<&Record>, index: usize| record.and_then(|record| record.values.get(index)?.clone());
        let audited = self.entity.attributes.iter().enumerate().filter(|(_, attribute)| attribute.is_audited);
        audited
            .map(|(index, attribute)| (attribute, value(before, index), value(after, index)))
            .filter(|(_, before, after)| before != after)
            .map(|(attribute, before, after)| self.step(attribute, before.as_ref(), after.as_ref()))
            .collect()
    }

    fn step(&self, attribute: &Attribute, before: Option<&Value>, after: Option<&Value>) -> Step {
        let row = AttributeChangeRow {
            record_id: self.id,
            revision: self.revision,
            ..row(self.time, self.caller, (self.entity, attribute), self.operation, (before, after))
        };
        row.insert()
    }
}

/// The step that records that an attribute becomes null in every row of a condition, each with its next revision. It goes before the update.
pub(crate) fn cleared(
    time: Timestamp,
    caller: &Caller,
    (entity, attribute): (&Entity, &Attribute),
    before: &Value,
    rows: Condition,
) -> Step {
    let row = row(time, caller, (entity, attribute), Operation::Update, (Some(before), None)).into_row();
    let (id, revision) = (AttributeChangeRow::record_id(), AttributeChangeRow::revision());
    let source = |(column, datum): (Name, Datum)| {
        let source = match &*column {
            name if name == id.as_str() => Source::Column(RecordColumns::id().name()),
            name if name == revision.as_str() => Source::Next(RecordColumns::revision().name()),
            _ => Source::Value(datum),
        };
        (column, source)
    };
    let row = row.into_iter().map(source).collect();
    Step::InsertFrom { table: AttributeChangeRow::TABLE.into(), row, from: entity.storage_name.clone().into(), rows }
}

/// The row of a change, without the record and its revision.
fn row(
    time: Timestamp,
    caller: &Caller,
    (entity, attribute): (&Entity, &Attribute),
    operation: Operation,
    (before, after): (Option<&Value>, Option<&Value>),
) -> AttributeChangeRow {
    AttributeChangeRow {
        time,
        identity: caller.identity.to_string(),
        call_id: caller.call_id.clone(),
        table_name: entity.storage_name.clone(),
        record_id: RecordId::from_bytes([0; 16]),
        column_name: attribute.storage_name.clone(),
        operation: operation.number_and_name().0.into(),
        revision: 0,
        old_value: before.map(text_of),
        new_value: after.map(text_of),
    }
}

/// What changes are ordered by, all of it descending: the key.
const ORDER: [(&str, ColumnType); 6] = [
    AttributeChangeRow::time().name_and_type(),
    AttributeChangeRow::table_name().name_and_type(),
    AttributeChangeRow::record_id().name_and_type(),
    AttributeChangeRow::column_name().name_and_type(),
    AttributeChangeRow::operation().name_and_type(),
    AttributeChangeRow::revision().name_and_type(),
];

/// A value as a text that [`value_of`] reads back.
fn text_of(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Text(value) => value.clone(),
        Value::Bytes(value) => HEXLOWER.encode(value),
        Value::Time(value) => value.unix_micros().to_string(),
        Value::Reference(id) => id.to_string(),
    }
}

/// The value of this kind that a text says; `None` if it says none.
fn value_of(kind: &Kind, text: String) -> Option<Value> {
    Some(match kind {
        Kind::Boolean => Value::Boolean(text.parse().ok()?),
        Kind::Integer32 | Kind::Integer64 | Kind::Choice(_) => Value::Integer(text.parse().ok()?),
        Kind::Text => Value::Text(text),
        Kind::Bytes => Value::Bytes(HEXLOWER.decode(text.as_bytes()).ok()?),
        Kind::Time => Value::Time(Timestamp::from_unix_micros(text.parse().ok()?)),
        Kind::Reference { .. } => Value::Reference(text.parse().ok()?),
        Kind::ReportsSet { .. } => return None,
    })
}

/// A change as it is stored.
#[derive(Clone, Debug)]
pub struct AttributeChange {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub identity: String,
    /// In which call.
    pub call_id: String,
    /// Of a record of this entity.
    pub entity: Arc<Entity>,
    /// Of this one.
    pub record: RecordId,
    /// The index of the attribute.
    pub attribute: usize,
    /// By what.
    pub operation: Operation,
    /// The revision that it made; the last one that a deleted record had.
    pub revision: i64,
    /// What it was.
    pub old_value: Option<Value>,
    /// What it became.
    pub new_value: Option<Value>,
}

impl AttributeChange {
    fn from_row(row: Row, schema: &Schema) -> Result<Self, Damage> {
        let row = AttributeChangeRow::all_columns().values(row)?;
        let entity = schema.by_storage_name(&row.table_name);
        let entity = entity.ok_or_else(|| AttributeChangeRow::table_name().damaged())?;
        let attribute = entity.stored_in(&row.column_name);
        let (index, attribute) = attribute.ok_or_else(|| AttributeChangeRow::column_name().damaged())?;
        let operation = Operation::ALL.into_iter().find(|known| i64::from(known.number_and_name().0) == row.operation);
        let value = |text: Option<String>, column: TableColumn<AttributeChangeRow, Option<String>>| {
            text.map(|text| value_of(&attribute.kind, text).ok_or_else(|| column.damaged())).transpose()
        };
        Ok(AttributeChange {
            time: row.time,
            identity: row.identity,
            call_id: row.call_id,
            record: row.record_id,
            attribute: index,
            operation: operation.ok_or_else(|| AttributeChangeRow::operation().damaged())?,
            revision: row.revision,
            old_value: value(row.old_value, AttributeChangeRow::old_value())?,
            new_value: value(row.new_value, AttributeChangeRow::new_value())?,
            entity: Arc::clone(entity),
        })
    }
}

/// What a filter can look at.
static FIELDS: LazyLock<Entity> = LazyLock::new(|| {
    let choice = |operation: Operation| {
        let (number, name) = operation.number_and_name();
        Choice::new(number, name)
    };
    let fields = vec![
        Attribute::new("time", Kind::Time),
        Attribute::new("identity", Kind::Text),
        Attribute::new("call_id", Kind::Text),
        Attribute::new("operation", Kind::Choice(Operation::ALL.map(choice).to_vec())),
        Attribute::new("revision", Kind::Integer64),
    ];
    Entity::new("AttributeChange", "attributeChanges", "attribute_change", fields)
});

/// Whose changes.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// Those of every record.
    Organization,
    /// Those of one record, which need not be there any more.
    Record(&'a Entity, RecordId),
    /// Those of one attribute, in every record.
    Attribute(&'a Entity, &'a Attribute),
}

impl Of<'_> {
    /// The resource name of what they are changes of.
    fn resource_name(self, organization: &OrganizationName) -> String {
        match self {
            Of::Organization => organization.resource_name(),
            Of::Record(entity, id) => {
                RecordName { organization: organization.clone(), collection: &entity.collection, id }.to_string()
            }
            Of::Attribute(entity, attribute) => resource_name(organization, entity, attribute),
        }
    }

    fn rows(self) -> Condition {
        let table = |entity: &Entity| AttributeChangeRow::table_name().is(entity.storage_name.clone());
        match self {
            Of::Organization => Condition::EVERYTHING,
            Of::Record(entity, id) => table(entity).and(AttributeChangeRow::record_id().is(id)),
            Of::Attribute(entity, attribute) => {
                table(entity).and(AttributeChangeRow::column_name().is(attribute.storage_name.clone()))
            }
        }
    }
}

/// One page of changes, the newest first, and the token of the next one, empty if this is the last.
///
/// # Errors
/// See [`ListLogError`].
pub async fn list(
    deployment: &Deployment,
    permit: Permit<policy::ReadAttributeChanges>,
    of: Of<'_>,
    wanted: &Page<'_>,
) -> Result<(Vec<AttributeChange>, String), ListLogError> {
    let organization = permit.organization();
    let parent = of.resource_name(&organization.name);
    let reading = Reading { store: &*organization.store, parent: &parent, identity: &permit.caller().identity };
    let changes = Log {
        table: AttributeChangeRow::TABLE.into(),
        columns: AttributeChangeRow::names(),
        order: Order::descending(ORDER),
        fields: &FIELDS,
        translate: Ok,
        // The name of the record, and two values that may be names of records.
        overhead_bytes: 768,
    };
    let (rows, token) = log::page(deployment, reading, changes, of.rows(), wanted).await?;
    let rows = rows.into_iter().map(|row| AttributeChange::from_row(row, &deployment.schema));
    let changes = rows.collect::<Result<_, _>>().map_err(|damage| ListingError::from(Unavailable::from(damage)))?;
    Ok((changes, token))
}

/// Removes changes that are older than `before`, and tells how many went.
///
/// # Errors
/// Why not; some may be gone. The next try goes on.
pub async fn forget(organization: &Organization, before: Timestamp) -> Result<u64, CommitError> {
    let older = || AttributeChangeRow::time().compares(Comparison::Less, before);
    let count = || async {
        let counted = organization.store.count(AttributeChangeRow::TABLE.into(), older()).await;
        counted.map_err(|Unavailable(cause)| CommitError::Unavailable(cause))
    };
    let found = count().await?;
    let mut left = found;
    while left > 0 {
        let prune = Step::Prune {
            table: AttributeChangeRow::TABLE.into(),
            key: AttributeChangeRow::key(),
            rows: older(),
            at_most: BATCH,
        };
        organization.store.commit(Commit::of(vec![prune])).await?;
        left = left.saturating_sub(BATCH.into());
    }
    Ok(found)
}

/// How many go in one commit: no writer waits for long.
const BATCH: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::testing::thing;

    #[test]
    fn every_value_parses_from_its_text() {
        let values = [
            ("flag", Value::Boolean(true)),
            ("small", Value::Integer(-7)),
            ("big", Value::Integer(i64::MIN)),
            ("color", Value::Integer(2)),
            ("name_1", Value::Text(String::new())),
            ("letter", Value::Text("\u{10FFFF}".to_owned())),
            ("data", Value::Bytes(vec![0, 255])),
            ("seen", Value::Time(Timestamp::from_unix_micros(-1))),
            ("link", Value::Reference(RecordId::from_bytes([7; 16]))),
        ];
        for (name, value) in values {
            let entity = thing();
            let kind = &entity.attribute(name).unwrap().kind;
            assert_eq!(value_of(kind, text_of(&value)), Some(value), "{name}");
        }
        assert_eq!(value_of(&Kind::Boolean, "maybe".to_owned()), None);
    }
}
