//! The databases, read and damaged with SQLite or psql directly, as a user with a shell on the machine would.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, Row, params};
use serde_json::Value;

use super::{
    Folder,
    postgresql::{self, Rows, bytes},
};

/// A database of a deployment.
pub(crate) enum Inside {
    Files(Connection),
    Postgres(Rows),
}

/// A record of an audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trail {
    pub writer: Vec<u8>,
    pub sequence: i64,
    pub time_us: i64,
    pub previous_hash: Vec<u8>,
    pub hash: Vec<u8>,
    pub identity: Option<String>,
    pub peer: Option<String>,
    pub call_id: Option<String>,
    pub action: String,
    pub outcome: String,
    pub subject: String,
    pub attributes: Option<String>,
    pub purpose: Option<String>,
    pub fingerprint: Option<String>,
    pub key_version: Option<u32>,
    pub details: Option<String>,
    pub records: Option<String>,
    pub hop: Option<String>,
}

impl Inside {
    pub(crate) fn open(path: &Path) -> Self {
        Inside::Files(Connection::open(path).unwrap())
    }

    /// The database of the one organization of a folder.
    pub(crate) fn organization(folder: &Folder) -> Self {
        match postgresql::database_of(&folder.path()) {
            None => Self::open(&folder.organization_database()),
            Some(database) => Inside::Postgres(Rows::of_organization(&database)),
        }
    }

    /// The database of the organization with this UUID in a folder.
    pub(crate) fn of(folder: &Path, uid: &str) -> Self {
        match postgresql::database_of(folder) {
            None => Self::open(&folder.join(format!("organizations/{uid}.db"))),
            Some(database) => Inside::Postgres(Rows::of(&database, uid)),
        }
    }

    pub(crate) fn configuration(folder: &Folder) -> Self {
        match postgresql::database_of(&folder.path()) {
            None => Self::open(&folder.path().join("configuration.db")),
            Some(database) => Inside::Postgres(Rows::of_configuration(&database)),
        }
    }

    /// The connection of SQLite, for other statements. Tests with it are [`sqlite_only`](postgresql::sqlite_only).
    #[track_caller]
    pub(crate) fn sqlite(&self) -> &Connection {
        match self {
            Inside::Files(sqlite) => sqlite,
            Inside::Postgres(_) => panic!("the data is in PostgreSQL: begin the test with sqlite_only!"),
        }
    }

    /// The rows of a query of which every store has the same text: by SQLite's function, or by that of JSON objects.
    fn rows<T>(
        &self,
        sql: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        parse: impl FnMut(&Value) -> T,
    ) -> Vec<T> {
        match self {
            Inside::Files(sqlite) => {
                sqlite.prepare(sql).unwrap().query_map([], read).unwrap().map(Result::unwrap).collect()
            }
            Inside::Postgres(rows) => rows.query(sql).iter().map(parse).collect(),
        }
    }

    /// Executes SQL.
    pub(crate) fn execute(&self, sql: &str) {
        match self {
            Inside::Files(sqlite) => sqlite.execute_batch(sql).unwrap(),
            Inside::Postgres(rows) => drop(rows.execute(&postgres_text(sql))),
        }
    }

    /// Executes a statement that must change this many rows.
    pub(crate) fn change(&self, rows: usize, sql: &str) {
        let changed = match self {
            Inside::Files(sqlite) => sqlite.execute(sql, []).unwrap(),
            Inside::Postgres(rows) => rows.change(&postgres_text(sql)),
        };
        assert_eq!(changed, rows, "{sql}");
    }

    /// The number in the only column and row of a query.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let only = |row: &Value| row.as_object().unwrap().values().next().unwrap().as_i64().unwrap();
        self.rows(sql, |row| row.get(0), only).remove(0)
    }

    /// Bytes as a literal in SQL.
    pub(crate) fn literal(&self, bytes: &[u8]) -> String {
        let digits = data_encoding::HEXLOWER.encode(bytes);
        match self {
            Inside::Files(_) => format!("x'{digits}'"),
            Inside::Postgres(_) => format!("'\\x{digits}'"),
        }
    }

    /// Every row of every table.
    pub(crate) fn everything(&self) -> BTreeMap<String, BTreeSet<String>> {
        match self {
            Inside::Files(sqlite) => {
                let mut tables = sqlite.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
                let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap);
                let rows = tables.map(|table| {
                    let mut read = sqlite.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
                    let columns = read.column_count();
                    let row = |row: &Row<'_>| -> rusqlite::Result<String> {
                        (0..columns).map(|column| Ok(format!("{:?} ", row.get_ref(column)?))).collect()
                    };
                    let rows = read.query_map([], row).unwrap().map(Result::unwrap).collect();
                    (table, rows)
                });
                rows.collect()
            }
            Inside::Postgres(rows) => {
                let tables = "SELECT relname FROM pg_class WHERE relnamespace = 'sealward'::regnamespace AND relkind = 'r' \
                              AND relname NOT LIKE '\\_%'";
                let tables = rows.query(tables);
                let tables = tables.iter().map(|table| table["relname"].as_str().unwrap().to_owned());
                let of = |table: &str| {
                    rows.query(&format!("SELECT * FROM \"{table}\"")).iter().map(Value::to_string).collect()
                };
                tables.map(|table| (table.clone(), of(&table))).collect()
            }
        }
    }

    /// The columns that hold cells: table and column.
    pub(crate) fn cell_columns(&self) -> Vec<(String, String)> {
        let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
        self.rows(
            "SELECT table_name, column_name FROM sealward_catalog WHERE cell ORDER BY 1, 2",
            |row| Ok((row.get(0)?, row.get(1)?)),
            |row| (text(row, "table_name"), text(row, "column_name")),
        )
    }

    /// The bytes in the only column of a query.
    pub(crate) fn bytes(&self, sql: &str) -> Vec<Vec<u8>> {
        let only = |row: &Value| bytes(row.as_object().unwrap().values().next().unwrap());
        self.rows(sql, |row| row.get::<_, Vec<u8>>(0), only)
    }

    /// The key version in the header of every stored cell.
    pub(crate) fn cell_versions(&self) -> Vec<u32> {
        let cells = self.cell_columns().into_iter().flat_map(|(table, column)| {
            self.bytes(&format!("SELECT \"{column}\" FROM \"{table}\" WHERE \"{column}\" IS NOT NULL"))
        });
        cells.map(|cell| u32::from_be_bytes(cell[1..5].try_into().unwrap())).collect()
    }

    /// The versions of the data keys in the ring.
    pub(crate) fn data_key_versions(&self) -> Vec<u32> {
        let version = |row: &Value| u32::try_from(row["version"].as_u64().unwrap()).unwrap();
        self.rows("SELECT version FROM sealward_data_key ORDER BY 1", |row| row.get(0), version)
    }

    /// The password's cell of the mailbox of this resource name.
    pub(crate) fn password_cell(&self, name: &str) -> Vec<u8> {
        match self {
            Inside::Files(sqlite) => {
                let sql = "SELECT password FROM \"Mailbox\" WHERE id = ?1";
                sqlite.query_row(sql, params![record_id(name)], |row| row.get(0)).unwrap()
            }
            Inside::Postgres(_) => {
                let id = name.rsplit('/').next().unwrap();
                self.bytes(&format!("SELECT password FROM \"Mailbox\" WHERE id = '{id}'")).remove(0)
            }
        }
    }

    pub(crate) fn set_password_cell(&self, name: &str, cell: &[u8]) {
        let changed = match self {
            Inside::Files(sqlite) => {
                let sql = "UPDATE \"Mailbox\" SET password = ?2 WHERE id = ?1";
                sqlite.execute(sql, params![record_id(name), cell]).unwrap()
            }
            Inside::Postgres(rows) => {
                let (id, cell) = (name.rsplit('/').next().unwrap(), data_encoding::HEXLOWER.encode(cell));
                rows.change(&format!("UPDATE \"Mailbox\" SET password = '\\x{cell}' WHERE id = '{id}'"))
            }
        };
        assert_eq!(changed, 1);
    }

    /// The sealed key texts of a configuration database.
    pub(crate) fn key_texts(&self) -> Vec<Vec<u8>> {
        self.bytes("SELECT sealed FROM sealward_key_text")
    }

    /// The wrapped data keys of the ring.
    pub(crate) fn wrapped_keys(&self) -> Vec<Vec<u8>> {
        self.bytes("SELECT wrapped FROM sealward_data_key ORDER BY version")
    }

    /// The audit trail, oldest first, of all writers.
    pub(crate) fn trail(&self) -> Vec<Trail> {
        let sql = "SELECT sequence, previous_hash, hash, identity, peer, call_id, action, outcome, subject, attributes, \
                   purpose, fingerprint, key_version, writer, time, details, records, hop FROM sealward_audit \
                   ORDER BY time, sequence";
        let read = |row: &Row<'_>| {
            Ok(Trail {
                sequence: row.get(0)?,
                previous_hash: row.get(1)?,
                hash: row.get(2)?,
                identity: row.get(3)?,
                peer: row.get(4)?,
                call_id: row.get(5)?,
                action: row.get(6)?,
                outcome: row.get(7)?,
                subject: row.get(8)?,
                attributes: row.get(9)?,
                purpose: row.get(10)?,
                fingerprint: row.get(11)?,
                key_version: row.get(12)?,
                writer: row.get(13)?,
                time_us: row.get(14)?,
                details: row.get(15)?,
                records: row.get(16)?,
                hop: row.get(17)?,
            })
        };
        let parse = |row: &Value| {
            let optional = |column: &str| row[column].as_str().map(str::to_owned);
            let text = |column: &str| optional(column).unwrap();
            Trail {
                sequence: row["sequence"].as_i64().unwrap(),
                previous_hash: bytes(&row["previous_hash"]),
                hash: bytes(&row["hash"]),
                identity: optional("identity"),
                peer: optional("peer"),
                call_id: optional("call_id"),
                action: text("action"),
                outcome: text("outcome"),
                subject: text("subject"),
                attributes: optional("attributes"),
                purpose: optional("purpose"),
                fingerprint: optional("fingerprint"),
                key_version: row["key_version"].as_u64().map(|version| version.try_into().unwrap()),
                writer: text("writer").parse::<uuid::Uuid>().unwrap().as_bytes().to_vec(),
                time_us: row["time"].as_i64().unwrap(),
                details: optional("details"),
                records: optional("records"),
                hop: optional("hop"),
            }
        };
        self.rows(sql, read, parse)
    }
}

/// Text of SQL that tests write for SQLite, for PostgreSQL.
fn postgres_text(sql: &str) -> String {
    sql.replace("zeroblob(32)", "decode(repeat('00', 32), 'hex')").replace("x'00'", "'\\x00'")
}

/// The id at the end of a record's resource name, as it is stored.
pub(crate) fn record_id(name: &str) -> Vec<u8> {
    let id: uuid::Uuid = name.rsplit('/').next().unwrap().parse().unwrap();
    id.as_bytes().to_vec()
}

/// Flips one bit of the last byte: of the tag, if these are a cell's bytes.
pub(crate) fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    flipped
}

/// The UUIDs of the organizations with a database in a folder.
pub(crate) fn organizations(folder: &Path) -> Vec<String> {
    if let Some(database) = postgresql::database_of(folder) {
        return postgresql::organizations(&database);
    }
    let files = std::fs::read_dir(folder.join("organizations")).unwrap().map(|entry| entry.unwrap().path());
    let databases = files.filter(|path| path.extension().is_some_and(|extension| extension == "db"));
    databases.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Removes the configuration database with its side files.
pub(crate) fn lose_configuration(folder: &Path) {
    if let Some(database) = postgresql::database_of(folder) {
        return postgresql::lose_configuration(folder, &database);
    }
    std::fs::remove_file(folder.join("configuration.db")).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _absent = std::fs::remove_file(folder.join(format!("configuration.db{suffix}")));
    }
}

/// Every file below a folder that contains these bytes, and its database in PostgreSQL. Not for the folder of a server in this process: closing
/// a file releases the locks of the process on it.
pub(crate) fn files_with(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Some(database) = postgresql::database_of(folder) {
        let (dump, digits) = (postgresql::dump(&database), data_encoding::HEXLOWER.encode(bytes));
        if dump.contains(&digits) || dump.as_bytes().windows(bytes.len()).any(|window| window == bytes) {
            found.push("PostgreSQL".into());
        }
    }
    if !folder.exists() && postgresql::is_selected() {
        // The folder `organizations`, which a data folder over PostgreSQL doesn't have.
        return found;
    }
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if holds(&path, bytes) {
            found.push(path);
        }
    }
    found
}

/// A file that was removed meanwhile, such as a checkpointed log, contains nothing.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    match std::fs::read(path) {
        Ok(content) => content.windows(bytes.len()).any(|window| window == bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}
