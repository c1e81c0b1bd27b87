//! Rows of records: the columns to read, and the conversion of a row to a record and its cells.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::RecordId,
    mask::ReadMask,
    record::{
        content::{Record, report_set},
        error::RecordError,
        place::RecordPlace,
    },
    schema::{
        column::value_of,
        entity::{Attribute, Entity},
        lookups::Part,
    },
    store::{Condition, Datum, Lookup, Name, Reader, Row, Scanned, Select, Unavailable},
    table::{
        declare::{Columns as _, Declared, TableRow as _},
        record::RecordColumns,
    },
};

/// Returns the condition that the column contains this cell, or null.
pub(crate) fn holds(column: &str, cell: Option<&Vec<u8>>) -> Condition {
    let column = Name::from(column.to_owned());
    match cell {
        Some(cell) => Condition::equal(column, Datum::Bytes(cell.clone())),
        None => Condition::IsNull(column),
    }
}

pub(crate) fn is_record(id: RecordId) -> Condition {
    RecordColumns::id().is(id)
}

pub(crate) fn table_of(entity: &Entity) -> Name {
    entity.storage_name.clone()
}

/// Returns the columns of the fields in the mask, in the order that [`parse_row`] expects.
pub(crate) fn record_columns(entity: &Entity, mask: &ReadMask) -> Vec<Name> {
    let mut columns = Vec::with_capacity(RecordColumns::COLUMNS.len().saturating_add(entity.attributes.len()));
    columns.extend(RecordColumns::COLUMNS.iter().map(Declared::name));
    let read = entity.attributes.iter().enumerate().filter(|(index, attribute)| is_read(*index, attribute, mask));
    columns.extend(read.map(|(_, attribute)| attribute.storage_name.clone()));
    columns
}

pub(crate) fn is_read(index: usize, attribute: &Attribute, mask: &ReadMask) -> bool {
    attribute.stored() && mask.reads(index)
}

/// The cells of a record, by index of their attributes.
pub(crate) type Cells = BTreeMap<usize, Vec<u8>>;

/// Converts a row that begins with the [`record_columns`] to a record with the fields in the mask. The record only
/// reports whether its cells exist.
pub(crate) fn parse_row(entity: &Entity, mask: &ReadMask, row: Row) -> Result<(Record, Cells), Unavailable> {
    let wrong = || Unavailable("a row doesn't match the schema".into());
    let mut data = row.into_iter();
    let RecordColumns { id, revision, create_time, update_time, created_by, modified_by } =
        RecordColumns::take(&mut data)?;
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
    let mut record = Record { id, revision, create_time, update_time, created_by, modified_by, values };
    mask.apply(&mut record);
    Ok((record, cells))
}

/// Reads all fields of a record, with its cells.
pub(crate) async fn read_record(place: &RecordPlace) -> Result<Option<(Record, Cells)>, Unavailable> {
    read_fields(place, &ReadMask::default()).await
}

/// Reads the cells of these encrypted attributes of a record.
pub(crate) async fn read_cells(place: &RecordPlace, wanted: &[&Attribute]) -> Result<Option<Vec<Datum>>, Unavailable> {
    let entity = &*place.entity;
    let indexes = wanted.iter().filter_map(|attribute| entity.position(&attribute.name)).collect();
    let lookup = entity.lookups.of(Part::Attributes, indexes, || {
        let columns = wanted.iter().map(|attribute| attribute.storage_name.clone()).collect();
        lookup(entity, columns)
    });
    place.organization.store.look_up(&lookup, key(place)).await
}

/// Reads the fields in the mask of these records, at most [`AMONG_MAX`], in one read. Missing records are absent.
///
/// # Errors
/// [`RecordError::BatchTooLarge`] if the stored records are larger than `bytes_max`. [`RecordError::Store`].
pub(crate) async fn read_records(
    place: &RecordPlace,
    ids: &[RecordId],
    mask: &ReadMask,
    bytes_max: usize,
) -> Result<BTreeMap<RecordId, (Record, Cells)>, RecordError> {
    let select = Select {
        table: table_of(&place.entity),
        columns: record_columns(&place.entity, mask),
        rows: RecordColumns::id().is_among(ids.iter().copied()),
        order: Vec::new(),
        limit: u32::try_from(ids.len()).unwrap_or(u32::MAX),
    };
    let Scanned { rows, is_cut } = place.organization.store.scan(select, bytes_max).await?;
    if is_cut {
        return Err(RecordError::BatchTooLarge { limit_bytes: bytes_max });
    }
    let parsed = rows.into_iter().map(|row| {
        let (record, cells) = parse_row(&place.entity, mask, row)?;
        Ok((record.id, (record, cells)))
    });
    Ok(parsed.collect::<Result<_, Unavailable>>()?)
}

/// Returns those of these ids, at most [`AMONG_MAX`], that records in this table have.
pub(crate) async fn existing(
    store: &dyn Reader,
    table: Name,
    ids: impl IntoIterator<Item = RecordId>,
) -> Result<BTreeSet<RecordId>, Unavailable> {
    let rows = RecordColumns::id().is_among(ids);
    let select = Select { table, ..RecordColumns::id().select(rows) };
    let found = store.select(select).await?.into_iter();
    Ok(found.map(|row| RecordColumns::id().values(row)).collect::<Result<_, _>>()?)
}

/// Reads the fields of a record in the mask.
pub(crate) async fn read_fields(place: &RecordPlace, mask: &ReadMask) -> Result<Option<(Record, Cells)>, Unavailable> {
    let entity = &*place.entity;
    let prepare = || lookup(entity, record_columns(entity, mask));
    let found = if mask.is_everything() {
        let lookup = entity.lookups.all_fields(prepare);
        place.organization.store.look_up(lookup, key(place)).await?
    } else {
        let read = entity.attributes.iter().enumerate().filter(|(index, attribute)| is_read(*index, attribute, mask));
        let lookup = entity.lookups.of(Part::Fields, read.map(|(index, _)| index).collect(), prepare);
        place.organization.store.look_up(&lookup, key(place)).await?
    };
    found.map(|row| parse_row(entity, mask, row)).transpose()
}

fn lookup(entity: &Entity, columns: Vec<Name>) -> Lookup {
    Lookup::new(table_of(entity), columns, RecordColumns::id().name())
}

fn key(place: &RecordPlace) -> Datum {
    Datum::Uuid(place.id.uuid())
}
