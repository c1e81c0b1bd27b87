//! The definitions of a database's tables.
//!
//! The tables of PostgreSQL contain the rows of all databases. Each database has its own definition of each of its
//! tables: the columns that exist for it. A definition is a row of the table [`TABLE`], which is read and written as any
//! other table. Columns are only ever added, so a definition in memory can be incomplete but not wrong.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use sealward_core::store::{
    Assignment, Column, ColumnType, Condition, Datum, Expect, Index, Name, Select, Step, Table,
};

use super::{error::PostgresError, statement::Definition};

/// The definitions of a database that are in memory.
#[derive(Debug, Default)]
pub(super) struct Definitions(Mutex<HashMap<String, Arc<Definition>>>);

impl Definitions {
    /// Returns the definition of a table, if it is in memory and has these columns.
    pub(super) fn get<'a>(&self, table: &str, mut columns: impl Iterator<Item = &'a str>) -> Option<Arc<Definition>> {
        if let Some(definition) = built_in(table) {
            return Some(definition);
        }
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let definition = known.get(table)?;
        columns.all(|column| definition.kind(column).is_some()).then(|| Arc::clone(definition))
    }

    /// Returns all definitions.
    pub(super) fn all(&self) -> HashMap<String, Arc<Definition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces all definitions.
    pub(super) fn set(&self, definitions: HashMap<String, Arc<Definition>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = definitions;
    }
}

/// The table of the definitions.
pub(super) const TABLE: &str = "_table";
/// The table of the indexes that databases want.
pub(super) const INDEX: &str = "_index";
/// The table of the lanes.
pub(super) const LANE: &str = "_lane";
/// The table of the databases. It isn't protected by row-level security, because it also is the list of the databases.
pub(super) const GUARD: &str = "_guard";

/// The table of the leases. It isn't protected by row-level security, because it contains no data of organizations.
pub(super) const LEASE: &str = "_lease";

const NAME: &str = "name";
const COLUMNS: &str = "columns";
const TABLE_NAME: &str = "table_name";
pub(super) const STATE: &str = "state";
pub(super) const EPOCH: &str = "epoch";

/// Returns the definition of a table of the store itself.
pub(super) fn built_in(table: &str) -> Option<Arc<Definition>> {
    static BUILT_IN: LazyLock<[(&str, Arc<Definition>); 5]> = LazyLock::new(|| {
        let column = |name: &'static str, kind, nullable| Column { name: name.into(), kind, nullable };
        let text = |name| column(name, ColumnType::Text, false);
        let integer = |name| column(name, ColumnType::Integer, false);
        let mut lane = ["lane", "fence", "commit_seq", EPOCH, "audit_sequence"].map(integer).to_vec();
        lane.push(column("audit_writer", ColumnType::Uuid, true));
        lane.extend(["audit_hash", "writers"].map(|name| column(name, ColumnType::Bytes, true)));
        [
            (TABLE, vec![text(NAME), text(COLUMNS)]),
            (INDEX, vec![text(NAME), text(TABLE_NAME)]),
            (GUARD, vec![text(STATE), integer(EPOCH)]),
            (LEASE, vec![column("holder", ColumnType::Uuid, false), integer("fence")]),
            (LANE, lane),
        ]
        .map(|(table, columns)| (table, Arc::new(Definition::of(&columns, &[]))))
    });
    BUILT_IN.iter().find(|(name, _)| *name == table).map(|(_, definition)| Arc::clone(definition))
}

/// The state of a database that can be used.
pub(super) const READY: &str = "ready";
/// The state of a database that isn't published yet.
pub(super) const IMPORTING: &str = "importing";
/// The state of a database that is being deleted.
pub(super) const DELETING: &str = "deleting";

/// The state of a database that was deleted. Its row stays, so that no later database with this id has its epochs.
pub(super) const DELETED: &str = "deleted";

/// The guard of a read or a write: the database is still the one that was opened.
pub(super) fn is_current(epoch: i64) -> Condition {
    Condition::equal(EPOCH, Datum::Integer(epoch))
}

/// Reads the definitions, or the indexes.
pub(super) fn select(table: &'static str) -> Select {
    let other = if table == TABLE { COLUMNS } else { TABLE_NAME };
    Select {
        table: table.into(),
        columns: vec![NAME.into(), other.into()],
        rows: Condition::EVERYTHING,
        order: Vec::new(),
        limit: u32::MAX,
    }
}

/// Parses the rows of definitions.
pub(super) fn parse(rows: Vec<Vec<Datum>>) -> Result<HashMap<String, Arc<Definition>>, PostgresError> {
    let mut definitions = HashMap::new();
    for row in rows {
        let [Datum::Text(table), Datum::Text(columns)] = &row[..] else { continue };
        let columns = columns.split(',').map(parse_column).collect::<Option<Vec<_>>>();
        let columns = columns.ok_or_else(|| PostgresError::Differs { difference: table.clone() })?;
        definitions.insert(table.clone(), Arc::new(Definition::of(&columns, &[])));
    }
    Ok(definitions)
}

/// The text of a column: its name, its type, and `null` if it may contain nulls.
fn column_text(column: &Column, is_nullable: bool) -> String {
    format!("{} {}{}", column.name, column.kind.name(), if is_nullable { " null" } else { "" })
}

fn parse_column(text: &str) -> Option<Column> {
    let mut parts = text.split(' ');
    let (name, kind, nullable) = (parts.next()?, parts.next()?, parts.next());
    let kind = ColumnType::ALL.into_iter().find(|other| other.name() == kind)?;
    Some(Column { name: name.to_owned().into(), kind, nullable: nullable.is_some() })
}

fn text_of(table: &Table) -> String {
    let columns = table.columns.iter();
    let texts = columns.map(|column| column_text(column, column.nullable && !table.key.contains(&column.name)));
    texts.collect::<Vec<_>>().join(",")
}

/// The definitions as the steps of a transaction change them.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) tables: HashMap<String, Arc<Definition>>,
    /// The text of each definition, and the names of the indexes. Read again before a transaction that changes them.
    texts: HashMap<String, String>,
    indexes: Vec<String>,
}

impl Changed {
    pub(super) fn new(tables: HashMap<String, Arc<Definition>>) -> Self {
        Changed { tables, texts: HashMap::new(), indexes: Vec::new() }
    }

    /// Begins with what was just read.
    pub(super) fn of_rows(tables: Vec<Vec<Datum>>, indexes: Vec<Vec<Datum>>) -> Result<Self, PostgresError> {
        let text = |datum: Option<Datum>| match datum {
            Some(Datum::Text(text)) => text,
            _ => String::new(),
        };
        let named = |row: Vec<Datum>| {
            let mut row = row.into_iter();
            (text(row.next()), text(row.next()))
        };
        let texts = tables.iter().cloned().map(named).collect();
        Ok(Changed { tables: parse(tables)?, texts, indexes: indexes.into_iter().map(|row| named(row).0).collect() })
    }

    /// Returns the definition of a table.
    pub(super) fn definition(&self, table: &str) -> Option<Arc<Definition>> {
        built_in(table).or_else(|| self.tables.get(table).cloned())
    }

    /// Returns the steps that define a table. A table that exists refuses the first one. An index whose name is taken is
    /// an error.
    pub(super) fn create_table(&mut self, table: &Table) -> Result<Vec<Step>, PostgresError> {
        let defined = Definition::of(&table.columns, &table.key);
        for index in &table.indexes {
            check_index(&table.name, &defined, index)?;
        }
        let text = text_of(table);
        let row = vec![(NAME.into(), Datum::Text(table.name.to_string())), (COLUMNS.into(), Datum::Text(text.clone()))];
        let mut steps = vec![Step::Insert { table: TABLE.into(), row }];
        if !self.tables.contains_key(&*table.name) {
            for index in &table.indexes {
                if self.indexes.iter().any(|other| *other == index.name) {
                    return Err(PostgresError::Differs { difference: format!("index {}", index.name) });
                }
                steps.push(self.add_index(&table.name, index));
            }
            self.texts.insert(table.name.to_string(), text);
            self.tables.insert(table.name.to_string(), Arc::new(defined));
        }
        Ok(steps)
    }

    /// Returns the step that adds a column. It is refused if the column exists or the table doesn't.
    pub(super) fn add_column(&mut self, table: &Name, column: &Column) -> Step {
        let Some((definition, text)) = self.tables.get(&**table).zip(self.texts.get(&**table)) else {
            return refused();
        };
        if definition.kind(&column.name).is_some() {
            return refused();
        }
        let mut columns = (**definition).clone();
        columns.0.extend(Definition::of(std::slice::from_ref(column), &[]).0);
        let with_column = format!("{text},{}", column_text(column, column.nullable));
        let rows = Condition::equal(NAME, Datum::Text(table.to_string()))
            .and(Condition::equal(COLUMNS, Datum::Text(text.clone())));
        let set = vec![Assignment::Set(COLUMNS.into(), Datum::Text(with_column.clone()))];
        self.texts.insert(table.to_string(), with_column);
        self.tables.insert(table.to_string(), Arc::new(columns));
        Step::Update { table: TABLE.into(), rows, set, expect: Expect::One }
    }

    /// Returns the step that records an index; `None` if it exists.
    pub(super) fn create_index(&mut self, table: &Name, index: &Index) -> Result<Option<Step>, PostgresError> {
        let definition = self.tables.get(&**table);
        let definition = definition.ok_or_else(|| PostgresError::NoTable { table: table.to_string() })?;
        check_index(table, definition, index)?;
        let exists = self.indexes.iter().any(|other| *other == index.name);
        Ok((!exists).then(|| self.add_index(table, index)))
    }

    /// Returns the step that forgets an index.
    pub(super) fn drop_index(&mut self, name: &Name) -> Step {
        self.indexes.retain(|other| other != name);
        let rows = Condition::equal(NAME, Datum::Text(name.to_string()));
        Step::Delete { table: INDEX.into(), rows, expect: Expect::Any }
    }

    fn add_index(&mut self, table: &Name, index: &Index) -> Step {
        self.indexes.push(index.name.to_string());
        let row = vec![
            (NAME.into(), Datum::Text(index.name.to_string())),
            (TABLE_NAME.into(), Datum::Text(table.to_string())),
        ];
        Step::Insert { table: INDEX.into(), row }
    }
}

fn check_index(table: &Name, definition: &Definition, index: &Index) -> Result<(), PostgresError> {
    match index.columns.iter().find(|column| definition.kind(column).is_none()) {
        Some(column) => Err(PostgresError::WrongType { table: table.to_string(), column: column.to_string() }),
        None => Ok(()),
    }
}

/// A step that is always refused.
fn refused() -> Step {
    Step::Require { table: TABLE.into(), rows: Condition::Any(Vec::new()) }
}
