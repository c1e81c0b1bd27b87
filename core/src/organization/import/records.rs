//! Checks the records of an import against the schema: each value as in a write, and each link for its target.
//!
//! The check follows after all tables are stored, because a link may point to a later record, and because the
//! customizations of the organization determine the maximum lengths. An error contains the table, attribute and record,
//! but never a value. This file doesn't know the other parts of an export.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use uuid::Uuid;

use crate::{
    id::{RecordId, Timestamp},
    identity::Identity,
    mask::ReadMask,
    metadata::setting::OrganizationSchema,
    organization::import::error::ImportError,
    record::{
        check::check_stored,
        content::Record,
        row::{Cells, parse_row, record_columns},
    },
    schema::{
        Schema,
        entity::{Attribute, Entity, Kind},
        value::Value,
    },
    store::{Condition, Reader, ScanError, Select, StoreFailure, Unavailable},
    table::{declare::Columns as _, record::RecordColumns},
    violation::{Problem, Violation, field_violation},
};

/// Checks all records of the database.
///
/// # Errors
/// [`ImportError::Invalid`] with the first error.
pub(super) async fn check(
    store: &dyn Reader,
    schema: &Schema,
    customized: &OrganizationSchema,
) -> Result<(), ImportError> {
    for entity in schema.entities() {
        let storable = as_stored(entity, &customized.entity(entity));
        let mut after = None;
        loop {
            let page = page(store, &storable, after).await?;
            let Some(last) = page.ids.last() else { break };
            after = Some(*last);
            check_links(store, schema, &storable, &page.links).await?;
        }
    }
    Ok(())
}

/// Returns the entity for checks of stored records: with the requirements of the schema, and with the greatest maximum
/// lengths that the organization ever allowed. Older records may violate requirements that the organization added.
fn as_stored(entity: &Entity, customized: &Entity) -> Entity {
    let mut storable = entity.clone();
    for (attribute, customized) in storable.attributes.iter_mut().zip(&customized.attributes) {
        attribute.longest = customized.length_stored();
    }
    storable
}

/// Returns the violations of a stored record: values that a write refuses, and values that no message can contain. Only
/// the cell of an encrypted attribute is available. Its length limits the length of the value.
fn faults(entity: &Entity, record: &Record, cells: &Cells) -> Vec<Violation> {
    let mut found = check_stored(entity, &record.values);
    for (index, attribute) in entity.attributes.iter().enumerate().filter(|(_, attribute)| attribute.stored()) {
        let problem = match (record.values.get(index).and_then(Option::as_ref), cells.get(&index)) {
            (Some(value), _) => kind_problem(attribute, value),
            (None, Some(cell)) => cell_problem(attribute, cell),
            (None, None) => (attribute.encrypted && attribute.required).then_some(Problem::Required),
        };
        found.extend(problem.map(|problem| field_violation(entity, attribute, problem)));
    }
    let field = |name| format!("{}.{name}", entity.singular);
    for (name, time) in [("create_time", record.create_time), ("update_time", record.update_time)] {
        if !is_time(time) {
            found.push(Violation::new(field(name), Problem::NotATime));
        }
    }
    for (name, identity) in [("created_by", &record.created_by), ("modified_by", &record.modified_by)] {
        if identity.as_ref().is_some_and(|identity| identity.parse::<Identity>().is_err()) {
            let form = "spiffe:…, dns:…, cn:… or jwt:<issuer>#<subject>".to_owned();
            found.push(Violation::new(field(name), Problem::NotAName { form }));
        }
    }
    if record.revision < 1 {
        let problem = Problem::OutOfRange { minimum: 1, maximum: i64::MAX };
        found.push(Violation::new(field("revision"), problem));
    }
    found
}

/// Returns the violation of a value that no message can contain.
fn kind_problem(attribute: &Attribute, value: &Value) -> Option<Problem> {
    match (&attribute.kind, value) {
        (Kind::Integer32, Value::Integer(number)) if i32::try_from(*number).is_err() => {
            Some(Problem::OutOfRange { minimum: i32::MIN.into(), maximum: i32::MAX.into() })
        }
        (_, Value::Time(time)) if !is_time(*time) => Some(Problem::NotATime),
        _ => None,
    }
}

/// Returns whether the time is between year 1 and year 9999.
fn is_time(time: Timestamp) -> bool {
    (-62_135_596_800_000_000..253_402_300_800_000_000).contains(&time.unix_micros())
}

/// Returns the violation of a cell by its length. The limit is the cell of a value of the maximum length in UTF-8.
fn cell_problem(attribute: &Attribute, cell: &[u8]) -> Option<Problem> {
    let limit = attribute.max_length?;
    let bytes = if attribute.kind == Kind::Text { limit.saturating_mul(4) } else { limit };
    // Format, version, nonce and tag, and padding to the next multiple of 32.
    let limit = bytes.saturating_add(45 + 32);
    let is_longer = usize::try_from(limit).is_ok_and(|limit| cell.len() > limit);
    is_longer.then_some(Problem::TooLong { given: cell.len(), limit })
}

/// A page of records that are valid individually.
struct Page {
    ids: Vec<Uuid>,
    /// The targets of links by attribute, each with a record that contains the link.
    links: BTreeMap<usize, BTreeMap<Uuid, RecordId>>,
}

async fn page(store: &dyn Reader, entity: &Entity, after: Option<Uuid>) -> Result<Page, ImportError> {
    let mask = ReadMask::default();
    let select = Select {
        table: entity.storage_name.clone(),
        columns: record_columns(entity, &mask),
        rows: after.map_or(Condition::EVERYTHING, |last| RecordColumns::id().exceeds(RecordId::from_uuid(last))),
        order: vec![RecordColumns::id().ascending()],
        limit: PAGE_ROWS,
    };
    let found = store.scan(select, PAGE_BYTES).await.map_err(|error| match error {
        ScanError::Unavailable(error) => ImportError::from(error),
        error @ ScanError::TooLong { .. } => {
            ImportError::Store(StoreFailure::Unavailable(crate::store::Cause(error.into())))
        }
    })?;
    let mut page = Page { ids: Vec::with_capacity(found.rows.len()), links: BTreeMap::new() };
    for row in found.rows {
        let unreadable = |Unavailable(_)| invalid(entity, None, "is malformed");
        let (record, cells) = parse_row(entity, &mask, row).map_err(unreadable)?;
        if let Some(Violation { field, problem }) = faults(entity, &record, &cells).into_iter().next() {
            return Err(invalid(entity, Some((&field, record.id)), &problem.to_string()));
        }
        for (index, value) in record.values.iter().enumerate() {
            if let Some(Value::Reference(target)) = value {
                page.links.entry(index).or_default().insert(target.uuid(), record.id);
            }
        }
        page.ids.push(record.id.uuid());
    }
    Ok(page)
}

async fn check_links(
    store: &dyn Reader,
    schema: &Schema,
    entity: &Entity,
    links: &BTreeMap<usize, BTreeMap<Uuid, RecordId>>,
) -> Result<(), ImportError> {
    for (index, targets) in links {
        let Some(attribute) = entity.attributes.get(*index) else { continue };
        let Kind::Reference { collection, .. } = &attribute.kind else { continue };
        let Some(target) = schema.by_collection(collection) else { continue };
        let ids: Vec<Uuid> = targets.keys().copied().collect();
        for ids in ids.chunks(LINKS_AT_ONCE) {
            let existing = existing(store, target, ids).await?;
            if let Some(missing) = ids.iter().find(|id| !existing.contains(id))
                && let Some(record) = targets.get(missing)
            {
                return Err(invalid(entity, Some((&attribute.name, *record)), "links to a record that doesn't exist"));
            }
        }
    }
    Ok(())
}

/// Returns the ids that exist among these ids.
async fn existing(store: &dyn Reader, entity: &Arc<Entity>, ids: &[Uuid]) -> Result<BTreeSet<Uuid>, Unavailable> {
    let select = Select {
        table: entity.storage_name.clone(),
        columns: RecordColumns::id().names(),
        rows: Condition::Any(ids.iter().map(|id| RecordColumns::id().is(RecordId::from_uuid(*id))).collect()),
        order: Vec::new(),
        limit: u32::MAX,
    };
    let rows = store.select(select).await?;
    Ok(rows.into_iter().filter_map(|row| RecordColumns::id().values(row).ok()).map(|id| id.uuid()).collect())
}

/// Returns an error with the position and the problem, but without a value.
fn invalid(entity: &Entity, place: Option<(&str, RecordId)>, problem: &str) -> ImportError {
    let table = &entity.storage_name;
    ImportError::Invalid(match place {
        Some((field, record)) => {
            let attribute = field.rsplit('.').next().unwrap_or(field);
            format!("{table}.{attribute} of the record {record} {problem}")
        }
        None => format!("a row of {table} {problem}"),
    })
}

/// The maximum number of records in a page. A page also ends with the record that exceeds the maximum number of bytes.
const PAGE_ROWS: u32 = 256;
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The number of links per lookup.
const LINKS_AT_ONCE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::testing::thing;

    fn sound() -> Record {
        let entity = thing();
        let time = Timestamp::from_unix_micros(1);
        let values = vec![None; entity.attributes.len()];
        let id = RecordId::from_bytes([7; 16]);
        Record { id, revision: 1, create_time: time, update_time: time, created_by: None, modified_by: None, values }
    }

    /// Returns the violations of a record with this value.
    fn problems(entity: &Entity, name: &str, value: Value) -> Vec<String> {
        let mut record = sound();
        record.values[entity.position(name).unwrap()] = Some(value);
        let found = faults(entity, &record, &BTreeMap::new());
        found.into_iter().map(|violation| format!("{} {}", violation.field, violation.problem.reason())).collect()
    }

    #[test]
    fn stored_values_are_checked_like_written_ones() {
        let entity = thing();
        for (name, value, wrong) in [
            ("name_1", Value::Text("é".repeat(250)), None),
            ("name_1", Value::Text("é".repeat(251)), Some("TOO_LONG")),
            ("name_1", Value::Text("\0".to_owned()), Some("HAS_NUL")),
            ("color", Value::Integer(2), None),
            ("color", Value::Integer(3), Some("NOT_A_CHOICE")),
            ("small", Value::Integer(i32::MAX.into()), None),
            ("small", Value::Integer(i64::from(i32::MAX) + 1), Some("OUT_OF_RANGE")),
            ("seen", Value::Time(Timestamp::from_unix_micros(253_402_300_799_999_999)), None),
            ("seen", Value::Time(Timestamp::from_unix_micros(253_402_300_800_000_000)), Some("NOT_A_TIME")),
        ] {
            let wanted: Vec<_> = wrong.map(|reason| format!("thing.{name} {reason}")).into_iter().collect();
            assert_eq!(problems(&entity, name, value), wanted, "{name}");
        }
    }

    #[test]
    fn stored_record_needs_required_values_and_cells_within_limits() {
        let mut entity = thing();
        let name = entity.position("name_1").unwrap();
        let secret = entity.position("secret").unwrap();
        let reasons = |entity: &Entity, record: &Record, cells: &BTreeMap<usize, Vec<u8>>| {
            let found = faults(entity, record, cells);
            found.into_iter().map(|violation| violation.problem.reason().to_owned()).collect::<Vec<_>>()
        };
        let none = BTreeMap::new();
        entity.attributes[name] = Attribute { required: true, ..entity.attributes[name].clone() };
        assert_eq!(reasons(&entity, &sound(), &none), ["REQUIRED"]);
        entity.attributes[name].required = false;
        assert!(reasons(&entity, &sound(), &none).is_empty());
        let by = |identity: &str| Record { created_by: Some(identity.to_owned()), ..sound() };
        assert!(reasons(&entity, &by("cn:ada"), &none).is_empty());
        assert_eq!(reasons(&entity, &by("ada"), &none), ["NOT_A_NAME"]);
        let cell = |bytes| BTreeMap::from([(secret, vec![0; bytes])]);
        // 100 characters of up to 4 bytes, padded to 416 bytes, and 45 additional bytes.
        assert!(reasons(&entity, &sound(), &cell(416 + 45)).is_empty());
        assert_eq!(reasons(&entity, &sound(), &cell(100_000)), ["TOO_LONG"]);
    }
}
