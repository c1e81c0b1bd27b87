//! Changes of audited attributes: the caller, the time, and the values before and after.
//!
//! A change is recorded in the commit that makes it. Values are stored in a text form that can be parsed again.
//! Encrypted attributes have no changes here, because [`Attribute::is_audited`] is never set for them.

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

/// The kind of a change of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The record was created. There was no value before.
    Create,
    /// The record was updated.
    Update,
    /// The record was deleted. There is no value after.
    Delete,
}

impl Operation {
    const ALL: [Operation; 3] = [Operation::Create, Operation::Update, Operation::Delete];

    /// Returns the number and the name in the contract.
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
pub(crate) struct RecordWrite<'a> {
    pub(crate) entity: &'a Entity,
    pub(crate) id: RecordId,
    pub(crate) operation: Operation,
    /// The revision of the record after the change; the last revision of a deleted record.
    pub(crate) revision: i64,
    pub(crate) time: Timestamp,
    pub(crate) caller: &'a Caller,
}

impl RecordWrite<'_> {
    /// Returns the steps that record the differences between two states of the record: its values, by index of the
    /// entity's attributes. There are none before a creation and after a deletion.
    pub(crate) fn steps(&self, before: &[Option<Value>], after: &[Option<Value>]) -> impl Iterator<Item = Step> {
        let audited = self.entity.attributes.iter().enumerate().filter(|(_, attribute)| attribute.is_audited);
        audited.filter_map(move |(index, attribute)| {
            let [before, after] = [before, after].map(|values| values.get(index).and_then(Option::as_ref));
            (before != after).then(|| self.step(attribute, before, after))
        })
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

/// Returns the step that records that an attribute becomes null in all rows that meet a condition, each with its next
/// revision. It must precede the update.
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
    Step::InsertFrom { table: AttributeChangeRow::TABLE.into(), row, from: entity.storage_name.clone(), rows }
}

/// Returns the row of a change, without the record and its revision.
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
        call_id: caller.call_id.to_string(),
        table_name: entity.storage_name.to_string(),
        record_id: RecordId::from_bytes([0; 16]),
        column_name: attribute.storage_name.to_string(),
        operation: operation.number_and_name().0.into(),
        revision: 0,
        old_value: before.map(text_of),
        new_value: after.map(text_of),
    }
}

/// The order of changes in lists, all columns of the key descending.
const ORDER: [(&str, ColumnType); 6] = [
    AttributeChangeRow::time().name_and_type(),
    AttributeChangeRow::table_name().name_and_type(),
    AttributeChangeRow::record_id().name_and_type(),
    AttributeChangeRow::column_name().name_and_type(),
    AttributeChangeRow::operation().name_and_type(),
    AttributeChangeRow::revision().name_and_type(),
];

/// Converts a value to a text, for [`value_of`].
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

/// Parses a text as a value of this kind. Returns `None` if it is invalid.
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

/// A stored change.
#[derive(Clone, Debug)]
pub struct AttributeChange {
    /// The time of the change.
    pub time: Timestamp,
    /// The identity of the caller.
    pub identity: String,
    /// The id of the call.
    pub call_id: String,
    /// The entity of the record.
    pub entity: Arc<Entity>,
    /// The id of the record.
    pub record: RecordId,
    /// The index of the attribute.
    pub attribute: usize,
    /// The kind of change.
    pub operation: Operation,
    /// The revision of the record after the change; the last revision of a deleted record.
    pub revision: i64,
    /// The value before the change.
    pub old_value: Option<Value>,
    /// The value after the change.
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

/// The fields that a filter can use.
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

/// The scope of a list of changes.
#[derive(Clone, Copy, Debug)]
pub enum ChangeScope<'a> {
    /// The changes of all records.
    Organization,
    /// The changes of one record, which may be deleted.
    Record(&'a Entity, RecordId),
    /// The changes of one attribute in all records.
    Attribute(&'a Entity, &'a Attribute),
}

impl ChangeScope<'_> {
    /// Returns the resource name of the scope.
    fn resource_name(self, organization: &OrganizationName) -> String {
        match self {
            ChangeScope::Organization => organization.resource_name(),
            ChangeScope::Record(entity, id) => {
                RecordName { organization: organization.clone(), collection: &entity.collection, id }.to_string()
            }
            ChangeScope::Attribute(entity, attribute) => resource_name(organization, entity, attribute),
        }
    }

    fn rows(self) -> Condition {
        let table = |entity: &Entity| AttributeChangeRow::table_name().is(entity.storage_name.to_string());
        match self {
            ChangeScope::Organization => Condition::EVERYTHING,
            ChangeScope::Record(entity, id) => table(entity).and(AttributeChangeRow::record_id().is(id)),
            ChangeScope::Attribute(entity, attribute) => {
                table(entity).and(AttributeChangeRow::column_name().is(attribute.storage_name.to_string()))
            }
        }
    }
}

/// Lists one page of changes, newest first. Returns them with the token of the next page, which is empty after the last
/// page.
///
/// # Errors
/// See [`ListLogError`].
pub async fn list(
    deployment: &Deployment,
    permit: Permit<policy::ReadAttributeChanges>,
    of: ChangeScope<'_>,
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
        // For the name of the record, and for two values that may be names of records.
        overhead_bytes: 768,
    };
    let (rows, token) = log::page(deployment, reading, changes, of.rows(), wanted).await?;
    let rows = rows.into_iter().map(|row| AttributeChange::from_row(row, &deployment.schema));
    let changes = rows.collect::<Result<_, _>>().map_err(|damage| ListingError::from(Unavailable::from(damage)))?;
    Ok((changes, token))
}

/// Removes changes that are older than `before`. Returns their number.
///
/// # Errors
/// If a commit failed. Some changes may be removed. The next attempt continues.
pub async fn forget(organization: &Organization, before: Timestamp) -> Result<u64, CommitError> {
    let older = || AttributeChangeRow::time().compares(Comparison::Less, before);
    let count = || async {
        let counted = organization.store.count(AttributeChangeRow::TABLE.into(), older()).await;
        counted.map_err(|Unavailable(cause)| CommitError::Unavailable(cause))
    };
    let found = count().await?;
    let mut left = found;
    while left > 0 {
        let prune = AttributeChangeRow::prune(older(), BATCH);
        organization.store.commit(Commit::of(vec![prune])).await?;
        left = left.saturating_sub(BATCH.into());
    }
    Ok(found)
}

/// The number of changes removed in one commit, which limits the wait of other writers.
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
