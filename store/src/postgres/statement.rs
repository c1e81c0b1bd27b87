//! A statement with its types, and the conversion of values.
//!
//! The types are those of the database's own definition of a table. The shared table may have more columns. This file
//! knows no connection.

use std::{collections::HashMap, error::Error, fmt};

use bytes::BytesMut;
use sealward_core::{
    id::Timestamp,
    store::{Column, ColumnType, Datum, DatumRef, Name, Rewrite, Row},
};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::error::PostgresError;
use crate::sql::{Each, Malformed, Sql, Value};

/// A database's own definition of a table: its columns by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Definition(pub(super) HashMap<String, Defined>);

/// A column of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Defined {
    pub(super) kind: ColumnType,
    pub(super) is_nullable: bool,
}

impl Definition {
    pub(super) fn of(columns: &[Column], key: &[Name]) -> Self {
        let defined = |column: &Column| {
            let is_nullable = column.nullable && !key.contains(&column.name);
            (column.name.to_string(), Defined { kind: column.kind, is_nullable })
        };
        Definition(columns.iter().map(defined).collect())
    }

    pub(super) fn kind(&self, column: &str) -> Option<ColumnType> {
        self.0.get(column).map(|defined| defined.kind)
    }

    /// Returns whether a column may contain nulls.
    pub(super) fn is_nullable(&self, column: &str) -> bool {
        self.0.get(column).is_none_or(|defined| defined.is_nullable)
    }
}

/// A statement whose columns and values agree with the definition of their table.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) text: String,
    pub(super) values: Vec<Value<'a>>,
    pub(super) types: Vec<Type>,
}

impl<'a> Statement<'a> {
    /// Checks a statement that uses columns of this table.
    pub(super) fn checked(sql: Sql<'a>, table: &str, definition: &Definition) -> Result<Self, PostgresError> {
        let wrong = |column: &str| PostgresError::WrongType { table: table.to_owned(), column: column.to_owned() };
        if let Some(column) = sql.columns.iter().find(|column| definition.kind(column).is_none()) {
            return Err(wrong(column));
        }
        if let Some((column, _)) = sql
            .values
            .iter()
            .filter_map(Value::claim)
            .find(|(column, claimed)| definition.kind(column) != Some(*claimed))
        {
            return Err(wrong(column));
        }
        let of_column = |column: &str| definition.kind(column).map(type_of);
        let types = sql.values.iter().map(|value| match value.column() {
            Some(column) => of_column(column).ok_or_else(|| wrong(column)),
            None => Ok(type_without_column(value)),
        });
        Ok(Statement { types: types.collect::<Result<_, _>>()?, text: sql.text, values: sql.values })
    }

    /// Continues a statement, whose text and values `more` begins with. The further values need no column to know their
    /// types.
    pub(super) fn continued(
        self,
        more: impl FnOnce(Sql<'a>) -> Result<Sql<'a>, Malformed>,
    ) -> Result<Self, PostgresError> {
        let Statement { text, values, mut types } = self;
        let Sql { text, values, .. } = more(Sql { text, values, columns: Vec::new() })?;
        types.extend(values.iter().skip(types.len()).map(type_without_column).collect::<Vec<_>>());
        Ok(Statement { text, values, types })
    }

    /// Returns the parameters of the statement.
    pub(super) fn parameters(&self) -> impl ExactSizeIterator<Item = Parameter<'_>> {
        self.values.iter().map(Parameter)
    }
}

fn type_of(kind: ColumnType) -> Type {
    match kind {
        ColumnType::Boolean => Type::BOOL,
        ColumnType::Integer | ColumnType::Time => Type::INT8,
        ColumnType::Text => Type::TEXT,
        ColumnType::Bytes => Type::BYTEA,
        ColumnType::Uuid => Type::UUID,
    }
}

fn type_without_column(value: &Value<'_>) -> Type {
    match value {
        Value::Datum(_, datum) | Value::Literal(datum) => datum.kind().map_or(Type::UNKNOWN, type_of),
        Value::Bound(..) => Type::TEXT,
        Value::Bytes(..) => Type::BYTEA,
        Value::Owner(_) => Type::UUID,
        Value::Increment(..) | Value::Row(_) | Value::Limit(_) => Type::INT8,
        Value::Each(Each::Number, _) => Type::INT8_ARRAY,
        Value::Each(Each::Former | Each::Value, _) => Type::BYTEA_ARRAY,
    }
}

/// A value in the form that PostgreSQL stores. Its debug text, which the driver may log, is empty.
pub(super) struct Parameter<'a>(&'a Value<'a>);

impl fmt::Debug for Parameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Value::Datum(_, datum) | Value::Literal(datum) => match datum {
                Datum::Null => Ok(IsNull::Yes),
                Datum::Boolean(value) => value.to_sql(ty, out),
                Datum::Integer(value) => value.to_sql(ty, out),
                Datum::Text(value) => value.to_sql(ty, out),
                Datum::Bytes(value) => value.to_sql(ty, out),
                Datum::Uuid(value) => value.to_sql(ty, out),
                Datum::Time(value) => value.unix_micros().to_sql(ty, out),
            },
            Value::Increment(_, by) => by.to_sql(ty, out),
            Value::Bound(_, text) => text.to_sql(ty, out),
            Value::Bytes(_, bytes) => bytes.as_ref().to_sql(ty, out),
            Value::Owner(owner) => owner.0.to_sql(ty, out),
            Value::Row(number) => number.0.to_sql(ty, out),
            Value::Limit(rows) => i64::from(*rows).to_sql(ty, out),
            Value::Each(each, rows) => each_to_sql(*each, rows, ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // The types were compared with the definition of the table.
        true
    }

    to_sql_checked!();
}

fn each_to_sql(
    each: Each,
    rows: &[Rewrite],
    ty: &Type,
    out: &mut BytesMut,
) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
    match each {
        Each::Number => rows.iter().map(|row| row.number.0).collect::<Vec<i64>>().to_sql(ty, out),
        Each::Former => rows.iter().map(|row| &row.former[..]).collect::<Vec<&[u8]>>().to_sql(ty, out),
        Each::Value => rows.iter().map(|row| row.value.as_deref()).collect::<Vec<Option<&[u8]>>>().to_sql(ty, out),
    }
}

/// Returns the value of a column of a row.
pub(super) fn datum_ref(
    row: &tokio_postgres::Row,
    index: usize,
    kind: ColumnType,
) -> Result<DatumRef<'_>, PostgresError> {
    let datum = match kind {
        ColumnType::Boolean => row.try_get::<_, Option<bool>>(index)?.map(DatumRef::Boolean),
        ColumnType::Integer => row.try_get::<_, Option<i64>>(index)?.map(DatumRef::Integer),
        ColumnType::Text => row.try_get::<_, Option<&str>>(index)?.map(DatumRef::Text),
        ColumnType::Bytes => row.try_get::<_, Option<&[u8]>>(index)?.map(DatumRef::Bytes),
        ColumnType::Uuid => row.try_get::<_, Option<uuid::Uuid>>(index)?.map(DatumRef::Uuid),
        ColumnType::Time => {
            row.try_get::<_, Option<i64>>(index)?.map(|micros| DatumRef::Time(Timestamp::from_unix_micros(micros)))
        }
    };
    Ok(datum.unwrap_or(DatumRef::Null))
}

/// Returns the values of a row of columns of these types.
pub(super) fn datums(row: &tokio_postgres::Row, kinds: &[ColumnType]) -> Result<Row, PostgresError> {
    let datum = |(index, kind): (usize, &ColumnType)| datum_ref(row, index, *kind).map(Datum::from);
    kinds.iter().enumerate().map(datum).collect()
}
