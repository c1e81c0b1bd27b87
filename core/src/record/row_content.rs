//! Records in rows that are being read: their content without a copy of it.
//!
//! A page of a list has thousands of values. Lists therefore return no [`Record`](crate::record::Record)s: what a caller
//! gets is written from the values as the database has them.

use std::cell::Cell;

use crate::{
    id::{RecordId, Timestamp},
    mask::ReadMask,
    record::{content::RecordContent, row::is_read},
    schema::{
        column::{column_type, value_in},
        entity::{Attribute, Entity},
        value::ValueRef,
    },
    store::{ColumnType, DatumRef, Unavailable},
};

/// The places of a record's values in a row of the [`record_columns`](crate::record::row::record_columns).
pub(crate) struct RowLayout {
    /// By index of the attribute.
    places: Vec<Place>,
}

/// The place of an attribute's value.
#[derive(Clone, Copy)]
enum Place {
    /// The attribute is encrypted, or isn't requested.
    Nowhere,
    /// The value after the columns of every record at this position.
    Column(usize, ColumnType),
    /// The attribute reports whether this value is null.
    IsSet(usize),
}

impl RowLayout {
    /// Creates the layout of rows with the fields in the mask.
    pub(crate) fn new(entity: &Entity, mask: &ReadMask) -> Self {
        let mut positions = vec![None; entity.attributes.len()];
        let read = entity.attributes.iter().zip(&mut positions).enumerate();
        let read = read.filter(|(index, (attribute, _))| is_read(*index, attribute, mask));
        read.enumerate().for_each(|(count, (_, (_, position)))| *position = Some(count));
        let place = |(index, attribute): (usize, &Attribute)| {
            if attribute.encrypted || !mask.requests(index) {
                return Place::Nowhere;
            }
            let position_of = |index: usize| positions.get(index).copied().flatten();
            let place = match attribute.reports_set() {
                Some(reported) => entity.position(reported).and_then(position_of).map(Place::IsSet),
                None => position_of(index).map(|position| Place::Column(position, column_type(&attribute.kind))),
            };
            place.unwrap_or(Place::Nowhere)
        };
        RowLayout { places: entity.attributes.iter().enumerate().map(place).collect() }
    }

    /// Passes the record in a row to a function.
    ///
    /// # Errors
    /// If the row doesn't match the schema.
    pub(crate) fn read<T>(
        &self,
        row: &[DatumRef<'_>],
        read: impl FnOnce(&RowContent<'_>) -> T,
    ) -> Result<T, Unavailable> {
        let wrong = || Unavailable("a row doesn't match the schema".into());
        let [
            DatumRef::Uuid(id),
            DatumRef::Integer(revision),
            DatumRef::Time(create_time),
            DatumRef::Time(update_time),
            created_by,
            modified_by,
            values @ ..,
        ] = row
        else {
            return Err(wrong());
        };
        let identity = |datum: &DatumRef<'_>| matches!(datum, DatumRef::Text(_) | DatumRef::Null);
        if !identity(created_by) || !identity(modified_by) {
            return Err(wrong());
        }
        let content = RowContent {
            id: RecordId::from_uuid(*id),
            revision: *revision,
            create_time: *create_time,
            update_time: *update_time,
            created_by: *created_by,
            modified_by: *modified_by,
            values,
            layout: self,
            is_malformed: Cell::new(false),
        };
        let answer = read(&content);
        if content.is_malformed.get() { Err(wrong()) } else { Ok(answer) }
    }
}

/// A record in a row that is being read: all requested attributes that aren't encrypted.
pub struct RowContent<'a> {
    id: RecordId,
    revision: i64,
    create_time: Timestamp,
    update_time: Timestamp,
    created_by: DatumRef<'a>,
    modified_by: DatumRef<'a>,
    /// The values after the columns of every record.
    values: &'a [DatumRef<'a>],
    layout: &'a RowLayout,
    /// Whether a value had another type than its attribute.
    is_malformed: Cell<bool>,
}

impl RecordContent for RowContent<'_> {
    fn id(&self) -> RecordId {
        self.id
    }

    fn revision(&self) -> i64 {
        self.revision
    }

    fn create_time(&self) -> Timestamp {
        self.create_time
    }

    fn update_time(&self) -> Timestamp {
        self.update_time
    }

    fn created_by(&self) -> Option<&str> {
        text(self.created_by)
    }

    fn modified_by(&self) -> Option<&str> {
        text(self.modified_by)
    }

    fn value(&self, index: usize) -> Option<ValueRef<'_>> {
        let (position, column) = match self.layout.places.get(index)? {
            Place::Nowhere => return None,
            Place::Column(position, column) => (position, Some(column)),
            Place::IsSet(position) => (position, None),
        };
        match (self.values.get(*position), column) {
            (Some(datum), None) => Some(ValueRef::Boolean(*datum != DatumRef::Null)),
            (Some(DatumRef::Null), Some(_)) => None,
            (Some(datum), Some(column)) => {
                let value = value_in(*column, *datum);
                if value.is_none() {
                    self.is_malformed.set(true);
                }
                value
            }
            (None, _) => {
                self.is_malformed.set(true);
                None
            }
        }
    }
}

fn text(datum: DatumRef<'_>) -> Option<&str> {
    if let DatumRef::Text(text) = datum { Some(text) } else { None }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        record::row::{parse_row, record_columns},
        schema::{testing::thing, value::Value},
        store::Datum,
    };

    fn datum_of(kind: ColumnType, seed: u8) -> Datum {
        match (seed % 3, kind) {
            (0, _) => Datum::Null,
            (_, ColumnType::Boolean) => Datum::Boolean(seed.is_multiple_of(2)),
            (_, ColumnType::Integer) => Datum::Integer(seed.into()),
            (_, ColumnType::Text) => Datum::Text(seed.to_string()),
            (_, ColumnType::Bytes) => Datum::Bytes(vec![seed; 2]),
            (_, ColumnType::Uuid) => Datum::Uuid(Uuid::from_bytes([seed; 16])),
            (_, ColumnType::Time) => Datum::Time(Timestamp::from_unix_micros(seed.into())),
        }
    }

    /// A row with these fields. `seed` selects the values.
    fn row(entity: &Entity, mask: &ReadMask, seed: u8) -> Vec<Datum> {
        let time = || Datum::Time(Timestamp::from_unix_micros(9));
        let mut row = vec![Datum::Uuid(Uuid::from_bytes([seed; 16])), Datum::Integer(3), time(), time()];
        row.extend([datum_of(ColumnType::Text, seed), datum_of(ColumnType::Text, seed.wrapping_add(1))]);
        let read = entity.attributes.iter().enumerate().filter(|(index, attribute)| is_read(*index, attribute, mask));
        row.extend(read.map(|(index, attribute)| {
            let column = if attribute.encrypted { ColumnType::Bytes } else { column_type(&attribute.kind) };
            datum_of(column, seed.wrapping_add(u8::try_from(index).unwrap()))
        }));
        assert_eq!(row.len(), record_columns(entity, mask).len());
        row
    }

    #[test]
    fn content_of_a_row_is_that_of_its_record() {
        let entity = thing();
        for paths in [&[][..], &["is_secret_set"], &["name_1", "etag"], &["secret", "big", "link"], &["name"]] {
            let mask = ReadMask::parse(paths.iter().copied(), 9, &entity).unwrap();
            let layout = RowLayout::new(&entity, &mask);
            for seed in 0..9 {
                let row = row(&entity, &mask, seed);
                let read: Vec<_> = row.iter().map(DatumRef::from).collect();
                let (record, _) = parse_row(&entity, &mask, row.clone()).unwrap();
                layout
                    .read(&read, |content| {
                        let times = (content.create_time(), content.update_time());
                        assert_eq!((content.id(), content.revision()), (record.id, record.revision));
                        assert_eq!(times, (record.create_time, record.update_time));
                        assert_eq!(content.created_by(), record.created_by.as_deref());
                        assert_eq!(content.modified_by(), record.modified_by.as_deref());
                        for (index, value) in record.values.iter().enumerate() {
                            let name = &entity.attributes[index].name;
                            assert_eq!(content.value(index).map(Value::from), *value, "{name} {paths:?} {seed}");
                        }
                    })
                    .unwrap();
            }
        }
    }

    #[test]
    fn row_that_does_not_match_the_schema_is_refused() {
        let entity = thing();
        let mask = ReadMask::default();
        let layout = RowLayout::new(&entity, &mask);
        let row = row(&entity, &mask, 1);
        let is_read = |row: &[Datum]| {
            let row: Vec<_> = row.iter().map(DatumRef::from).collect();
            let indexes = 0..entity.attributes.len();
            layout.read(&row, |content| indexes.filter_map(|index| content.value(index)).count()).is_ok()
        };
        assert!(is_read(&row));
        assert!(!is_read(&row[..row.len() - 1]) && !is_read(&row[..5]) && !is_read(&[]));
        for position in 0..row.len() {
            let mut changed = row.clone();
            // No attribute and no column of every record has a value of each of these types.
            let others = [Datum::Boolean(true), Datum::Bytes(Vec::new())];
            let refused = others.into_iter().any(|other| {
                changed[position] = other;
                !is_read(&changed)
            });
            let of_cell = record_columns(&entity, &mask)[position].contains("secret");
            assert_eq!(refused, !of_cell, "{position}");
        }
    }
}
