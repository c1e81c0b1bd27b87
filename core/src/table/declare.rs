//! Declarations of tables. [`table!`] defines the type of a table's rows. All other code about its columns is derived
//! from that type.
//!
//! * [`TableRow::table`] returns the table for the layout.
//! * [`TableRow::into_row`] and [`TableRow::take`] convert a row by position, without lookups of column names.
//! * A function per column, such as `DataKeyRow::version()`, returns the typed column for reads, conditions and
//!   assignments.

use std::marker::PhantomData;

use uuid::Uuid;

use crate::{
    id::{OrganizationId, RecordId, RequestId, Timestamp},
    name::OrganizationName,
    store::{
        Assignment, Cause, Column, ColumnType, Comparison, Condition, Datum, DatumRef, Direction, Expect, Index, Name,
        Reader, Row, Select, Step, Table, Unavailable,
    },
};

/// Declares a table: the type of its rows, its name, its columns in stored order, its key and its indexes.
///
/// ```ignore
/// table! {
///     /// A door of a building.
///     pub struct DoorRow = "sealward_door" {
///         /// The building.
///         building: Uuid,
///         /// The number of the door in the building.
///         number: i64,
///         /// The time when the door was last opened; `None` if it never was.
///         opened: Option<Timestamp> as "open_time",
///     }
///     key [building, number]
///     index "sealward_door_by_time" [opened]
/// }
///
/// let open = DoorRow { building, number: 1, opened: Some(now) }.insert();
/// let numbers: Vec<i64> = read(store, DoorRow::number(), DoorRow::building().is(building)).await?;
/// let doors: Vec<DoorRow> = read(store, DoorRow::all_columns(), Condition::EVERYTHING).await?;
/// ```
///
/// The name of a column is the name of its field, or the one after `as`. `Option` makes the column nullable. Names and
/// types are part of stored databases and never change.
macro_rules! table {
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $column:literal) => { $column };
    (
        $(#[$doc:meta])*
        $vis:vis struct $row:ident = $table:literal {
            $($(#[$field_doc:meta])* $field:ident: $kind:ty $(as $column:literal)?,)+
        }
        key [$($key:ident),+]
        $(index $index:literal [$($indexed:ident),+])*
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis struct $row {
            $($(#[$field_doc])* $vis $field: $kind,)+
        }

        impl $row {
            $(
                #[doc = concat!("Returns the column of `", stringify!($field), "`.")]
                #[must_use]
                $vis const fn $field() -> $crate::table::declare::TableColumn<$row, $kind> {
                    $crate::table::declare::TableColumn::named(
                        $crate::table::declare::table!(@name $field $($column)?)
                    )
                }
            )+
        }

        impl $crate::table::declare::TableRow for $row {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [$crate::table::declare::Declared] = &[$($row::$field().declared()),+];
            const KEY: &'static [&'static str] = &[$($row::$key().as_str()),+];
            const INDEXES: &'static [(&'static str, &'static [&'static str])] =
                &[$(($index, &[$($row::$indexed().as_str()),+])),*];

            fn take(
                data: &mut impl Iterator<Item = $crate::store::Datum>,
            ) -> Result<Self, $crate::table::declare::Damage> {
                Ok($row { $($field: $row::$field().take(data)?),+ })
            }

            fn into_row(self) -> Vec<($crate::store::Name, $crate::store::Datum)> {
                vec![$($row::$field().holding(self.$field)),+]
            }
        }
    };
}
pub(crate) use table;

/// The declaration of a column.
#[derive(Clone, Copy, Debug)]
pub struct Declared {
    name: &'static str,
    kind: ColumnType,
    nullable: bool,
}

impl Declared {
    /// Returns the name, for a step or a read.
    #[must_use]
    pub fn name(&self) -> Name {
        Name::Borrowed(self.name)
    }

    /// Returns the name as text.
    pub(crate) fn as_str(&self) -> &'static str {
        self.name
    }

    /// Returns whether a value has the type of the column.
    pub(crate) fn accepts(&self, datum: &DatumRef<'_>) -> bool {
        datum.kind().map_or(self.nullable, |kind| kind == self.kind)
    }
}

/// The row type of a declared table.
pub trait TableRow: Sized {
    /// The name of the table.
    const TABLE: &'static str;
    /// The columns, in order.
    const COLUMNS: &'static [Declared];
    /// The names of the key's columns, in order.
    const KEY: &'static [&'static str];
    /// The names and columns of the indexes.
    const INDEXES: &'static [(&'static str, &'static [&'static str])];

    /// Reads a row from the next values, in the order of [`all_columns`](Self::all_columns).
    ///
    /// # Errors
    /// [`Damage`] for the first value that is invalid for its column.
    fn take(data: &mut impl Iterator<Item = Datum>) -> Result<Self, Damage>;

    /// Returns the names and values of the columns, in order.
    fn into_row(self) -> Vec<(Name, Datum)>;

    /// Returns all columns, for a read of complete rows.
    #[must_use]
    fn all_columns() -> AllColumns<Self> {
        AllColumns(PhantomData)
    }

    /// Returns the names of all columns, in order.
    #[must_use]
    fn names() -> Vec<Name> {
        Self::COLUMNS.iter().map(Declared::name).collect()
    }

    /// Returns the names of the key's columns.
    #[must_use]
    fn key() -> Vec<Name> {
        names(Self::KEY.iter().copied())
    }

    /// Returns the table, for a layout.
    #[must_use]
    fn table() -> Table {
        let column = |column: &Declared| Column { name: column.name(), kind: column.kind, nullable: column.nullable };
        let index = |(name, columns): &(&'static str, &'static [&'static str])| Index {
            name: Name::Borrowed(name),
            columns: names(columns.iter().copied()),
        };
        Table {
            name: Self::TABLE.into(),
            columns: Self::COLUMNS.iter().map(column).collect(),
            key: Self::key(),
            indexes: Self::INDEXES.iter().map(index).collect(),
        }
    }

    /// Returns the step that inserts the row.
    fn insert(self) -> Step {
        Step::Insert { table: Self::TABLE.into(), row: self.into_row() }
    }

    /// Returns assignments for all columns except those of the key.
    fn into_assignments(self) -> Vec<Assignment> {
        let row = self.into_row().into_iter();
        let row = row.filter(|(name, _)| !Self::KEY.contains(&&**name));
        row.map(|(name, datum)| Assignment::Set(name, datum)).collect()
    }

    /// Returns the step that updates the rows that meet the condition.
    #[must_use]
    fn update(rows: Condition, set: Vec<Assignment>, expect: Expect) -> Step {
        Step::Update { table: Self::TABLE.into(), rows, set, expect }
    }

    /// Returns the step that deletes all rows that meet the condition.
    #[must_use]
    fn delete(rows: Condition) -> Step {
        Step::Delete { table: Self::TABLE.into(), rows, expect: Expect::Any }
    }

    /// Returns the step that deletes at most `at_most` of the rows that meet the condition.
    #[must_use]
    fn prune(rows: Condition, at_most: u32) -> Step {
        Step::Prune { table: Self::TABLE.into(), key: Self::key(), rows, at_most }
    }

    /// Returns the step that fails if no row meets the condition.
    #[must_use]
    fn require(rows: Condition) -> Step {
        Step::Require { table: Self::TABLE.into(), rows }
    }

    /// Returns the step that fails if a row meets the condition.
    #[must_use]
    fn forbid(rows: Condition) -> Step {
        Step::Forbid { table: Self::TABLE.into(), rows }
    }

    /// Returns the steps that fail unless each of these rows is unchanged. They are complete, malformed or not, and the
    /// result of a read with this condition. If there are none, the steps fail if a row meets the condition.
    #[must_use]
    fn require_unchanged(found: &[Row], read_with: Condition) -> Vec<Step> {
        if found.is_empty() {
            return vec![Self::forbid(read_with)];
        }
        let equal = |(name, datum): (_, &Datum)| {
            if *datum == Datum::Null { Condition::IsNull(name) } else { Condition::equal(name, datum.clone()) }
        };
        let is_there = |row: &Row| Condition::All(Self::names().into_iter().zip(row).map(equal).collect());
        found.iter().map(|row| Self::require(is_there(row))).collect()
    }
}

fn names(names: impl Iterator<Item = &'static str>) -> Vec<Name> {
    names.map(Name::Borrowed).collect()
}

/// A malformed row: a value is missing, has another type or is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed row in {table}: invalid value of {column}")]
pub struct Damage {
    /// The table.
    pub table: &'static str,
    /// The first column with an invalid value.
    pub column: &'static str,
}

impl From<Damage> for Unavailable {
    fn from(damage: Damage) -> Self {
        Unavailable(Cause(Box::new(damage)))
    }
}

/// A column of type `T` in the table of `R`.
pub struct TableColumn<R, T> {
    name: &'static str,
    of: PhantomData<fn() -> (R, T)>,
}

impl<R: TableRow, T: ColumnValue> TableColumn<R, T> {
    pub(crate) const fn named(name: &'static str) -> Self {
        TableColumn { name, of: PhantomData }
    }

    pub(crate) const fn declared(&self) -> Declared {
        Declared { name: self.name, kind: T::KIND, nullable: T::NULLABLE }
    }

    /// Returns the name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.name
    }

    /// Returns the name, for a step or a read.
    #[must_use]
    pub const fn name(&self) -> Name {
        Name::Borrowed(self.name)
    }

    /// Returns the name and type, for an order.
    pub(crate) const fn name_and_type(&self) -> (&'static str, ColumnType) {
        (self.name, T::KIND)
    }

    /// Reads the next value.
    pub(crate) fn take(&self, data: &mut impl Iterator<Item = Datum>) -> Result<T, Damage> {
        data.next().and_then(T::from_datum).ok_or_else(|| self.damaged())
    }

    /// Returns the stored value of this column in a complete row, which may be malformed.
    pub(crate) fn datum_in<'a>(&self, row: &'a [Datum]) -> Option<&'a Datum> {
        row.get(R::COLUMNS.iter().position(|column| column.name == self.name)?)
    }

    /// Returns the error for an invalid value of this column.
    pub(crate) fn damaged(&self) -> Damage {
        Damage { table: R::TABLE, column: self.name }
    }

    /// Returns the column with a value.
    pub(crate) fn holding(&self, value: T) -> (Name, Datum) {
        (self.name(), value.into_datum())
    }

    /// Returns the condition that the column has this value, which may be null.
    #[must_use]
    pub fn is(&self, value: T) -> Condition {
        let datum = value.into_datum();
        if datum == Datum::Null { Condition::IsNull(self.name()) } else { Condition::equal(self.name, datum) }
    }

    /// Returns the condition that the column has one of these values, which must not be null.
    pub(crate) fn is_among(&self, values: impl IntoIterator<Item = T>) -> Condition {
        let mut values: Vec<Datum> = values.into_iter().map(T::into_datum).collect();
        match (values.len(), values.pop()) {
            (1, Some(only)) => Condition::equal(self.name, only),
            (_, last) => {
                values.extend(last);
                Condition::Among { column: self.name(), values }
            }
        }
    }

    /// Returns the condition that compares the column with this value, which must not be null.
    pub(crate) fn compares(&self, comparison: Comparison, value: T) -> Condition {
        Condition::Compare { column: self.name(), comparison, value: value.into_datum() }
    }

    /// Returns the condition that the column is greater than this value, which must not be null.
    pub(crate) fn exceeds(&self, value: T) -> Condition {
        self.compares(Comparison::Greater, value)
    }

    /// Returns the assignment of this value.
    pub(crate) fn set(&self, value: T) -> Assignment {
        Assignment::Set(self.name(), value.into_datum())
    }

    /// Returns the ascending order by this column.
    pub(crate) fn ascending(&self) -> (Name, Direction) {
        (self.name(), Direction::Ascending)
    }

    /// Returns the descending order by this column.
    #[must_use]
    pub fn descending(&self) -> (Name, Direction) {
        (self.name(), Direction::Descending)
    }
}

impl<R: TableRow> TableColumn<R, i64> {
    /// Returns the assignment that adds this number.
    pub(crate) fn add(&self, by: i64) -> Assignment {
        Assignment::Add(self.name(), by)
    }
}

/// The columns of one table to read: one to four columns, or [all columns](TableRow::all_columns).
pub trait Columns {
    /// The table.
    type Row: TableRow;
    /// The values of these columns in a row.
    type Values;

    /// Returns the names, in order.
    fn names(&self) -> Vec<Name>;

    /// Converts a row of these columns to values.
    ///
    /// # Errors
    /// [`Damage`] for the first invalid value.
    fn values(&self, row: Row) -> Result<Self::Values, Damage>;

    /// Returns a read of all rows that meet the condition, in unspecified order.
    fn select(&self, rows: Condition) -> Select {
        Select { table: Self::Row::TABLE.into(), columns: self.names(), rows, order: Vec::new(), limit: u32::MAX }
    }
}

/// All columns of a table.
pub struct AllColumns<R>(PhantomData<fn() -> R>);

impl<R: TableRow> Columns for AllColumns<R> {
    type Row = R;
    type Values = R;

    fn names(&self) -> Vec<Name> {
        R::names()
    }

    fn values(&self, row: Row) -> Result<R, Damage> {
        R::take(&mut row.into_iter())
    }
}

impl<R: TableRow, T: ColumnValue> Columns for TableColumn<R, T> {
    type Row = R;
    type Values = T;

    fn names(&self) -> Vec<Name> {
        vec![self.name()]
    }

    fn values(&self, row: Row) -> Result<T, Damage> {
        self.take(&mut row.into_iter())
    }
}

macro_rules! columns {
    ($($column:ident: $kind:ident),+) => {
        impl<R: TableRow, $($kind: ColumnValue),+> Columns for ($(TableColumn<R, $kind>,)+) {
            type Row = R;
            type Values = ($($kind,)+);

            fn names(&self) -> Vec<Name> {
                let ($($column,)+) = self;
                vec![$($column.name()),+]
            }

            fn values(&self, row: Row) -> Result<Self::Values, Damage> {
                let ($($column,)+) = self;
                let mut data = row.into_iter();
                Ok(($($column.take(&mut data)?,)+))
            }
        }
    };
}
columns!(a: A, b: B);
columns!(a: A, b: B, c: C);
columns!(a: A, b: B, c: C, d: D);

/// Reads all rows of a small table that meet a condition, in unspecified order.
///
/// # Errors
/// If the store is unavailable or a row is malformed.
pub async fn read<C: Columns>(store: &dyn Reader, columns: C, rows: Condition) -> Result<Vec<C::Values>, Unavailable> {
    let found = store.select(columns.select(rows)).await?.into_iter();
    Ok(found.map(|row| columns.values(row)).collect::<Result<_, _>>()?)
}

/// Like [`read`], but returns malformed rows as [`Damage`].
///
/// # Errors
/// If the store is unavailable.
pub async fn read_each<C: Columns>(
    store: &dyn Reader,
    columns: C,
    rows: Condition,
) -> Result<Vec<Result<C::Values, Damage>>, Unavailable> {
    let found = store.select(columns.select(rows)).await?.into_iter();
    Ok(found.map(|row| columns.values(row)).collect())
}

/// The type of a column's values.
pub trait ColumnValue: Sized {
    /// The type of the column.
    const KIND: ColumnType;
    /// Whether the column may be null.
    const NULLABLE: bool = false;

    /// Returns the stored form of the value.
    fn into_datum(self) -> Datum;

    /// Converts a stored value. Returns `None` if it has another type or is out of range.
    fn from_datum(datum: Datum) -> Option<Self>;
}

impl<T: ColumnValue> ColumnValue for Option<T> {
    const KIND: ColumnType = T::KIND;
    const NULLABLE: bool = true;

    fn into_datum(self) -> Datum {
        self.map_or(Datum::Null, T::into_datum)
    }

    fn from_datum(datum: Datum) -> Option<Self> {
        if datum == Datum::Null { Some(None) } else { T::from_datum(datum).map(Some) }
    }
}

impl<const N: usize> ColumnValue for [u8; N] {
    const KIND: ColumnType = ColumnType::Bytes;

    fn into_datum(self) -> Datum {
        Datum::Bytes(self.to_vec())
    }

    fn from_datum(datum: Datum) -> Option<Self> {
        Vec::from_datum(datum)?.try_into().ok()
    }
}

macro_rules! column_value {
    ($($kind:ident: $value:ty),+) => {
        $(impl ColumnValue for $value {
            const KIND: ColumnType = ColumnType::$kind;

            fn into_datum(self) -> Datum {
                Datum::$kind(self)
            }

            fn from_datum(datum: Datum) -> Option<Self> {
                if let Datum::$kind(value) = datum { Some(value) } else { None }
            }
        })+
    };
}
column_value!(Boolean: bool, Integer: i64, Text: String, Bytes: Vec<u8>, Uuid: Uuid, Time: Timestamp);

macro_rules! id_value {
    ($($id:ty),+) => {
        $(impl ColumnValue for $id {
            const KIND: ColumnType = ColumnType::Uuid;

            fn into_datum(self) -> Datum {
                Datum::Uuid(self.uuid())
            }

            fn from_datum(datum: Datum) -> Option<Self> {
                Uuid::from_datum(datum).map(Self::from_uuid)
            }
        })+
    };
}
id_value!(OrganizationId, RecordId, RequestId);

impl ColumnValue for OrganizationName {
    const KIND: ColumnType = ColumnType::Text;

    fn into_datum(self) -> Datum {
        Datum::Text(self.to_string())
    }

    fn from_datum(datum: Datum) -> Option<Self> {
        String::from_datum(datum)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    table! {
        /// A door of a building.
        struct DoorRow = "door" {
            /// The building.
            building: Uuid,
            /// The number of the door in the building.
            number: i64,
            /// The time when the door was last opened.
            opened: Option<Timestamp> as "open_time",
        }
        key [building, number]
        index "door_by_time" [opened, number]
    }

    const BUILDING: Uuid = Uuid::from_bytes([1; 16]);

    fn row(number: Datum, opened: Datum) -> Row {
        vec![Datum::Uuid(BUILDING), number, opened]
    }

    #[test]
    fn declaration_defines_the_table() {
        let column = |name: &'static str, kind, nullable| Column { name: name.into(), kind, nullable };
        let table = Table {
            name: "door".into(),
            columns: vec![
                column("building", ColumnType::Uuid, false),
                column("number", ColumnType::Integer, false),
                column("open_time", ColumnType::Time, true),
            ],
            key: vec!["building".into(), "number".into()],
            indexes: vec![Index { name: "door_by_time".into(), columns: vec!["open_time".into(), "number".into()] }],
        };
        assert_eq!(DoorRow::table(), table);
    }

    #[test]
    fn written_row_reads_back_unchanged() {
        for opened in [None, Some(Timestamp::from_unix_micros(5))] {
            let door = DoorRow { building: BUILDING, number: 7, opened };
            let (written, data): (Vec<Name>, Row) = door.clone().into_row().into_iter().unzip();
            assert_eq!(written, DoorRow::names());
            assert_eq!(DoorRow::all_columns().values(data), Ok(door));
        }
    }

    #[test]
    fn malformed_row_is_reported_with_table_and_column() {
        let damage = |column| Err(Damage { table: "door", column });
        let read = |row: Row| DoorRow::all_columns().values(row);
        assert_eq!(read(row(Datum::Null, Datum::Null)), damage("number"));
        assert_eq!(read(row(Datum::Text("7".to_owned()), Datum::Null)), damage("number"));
        assert_eq!(read(row(Datum::Integer(7), Datum::Integer(5))), damage("open_time"));
        assert_eq!(read(vec![Datum::Uuid(BUILDING)]), damage("number"));
        assert_eq!(<[u8; 2]>::from_datum(Datum::Bytes(vec![1])), None);
    }

    #[test]
    fn read_of_some_columns_names_and_converts_only_them() {
        let columns = (DoorRow::opened(), DoorRow::number());
        assert_eq!(columns.names(), [Name::from("open_time"), Name::from("number")]);
        assert_eq!(columns.values(vec![Datum::Null, Datum::Integer(7)]), Ok((None, 7)));
    }

    #[test]
    fn conditions_and_assignments_name_the_column() {
        assert_eq!(DoorRow::opened().is(None), Condition::IsNull("open_time".into()));
        assert_eq!(DoorRow::number().is(7), Condition::equal("number", Datum::Integer(7)));
        let door = DoorRow { building: BUILDING, number: 7, opened: None };
        assert_eq!(door.into_assignments(), [DoorRow::opened().set(None)]);
    }
}
