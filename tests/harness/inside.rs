//! The databases, read and damaged with SQLite directly, as a user with a shell on the machine would.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, params};

use super::Folder;

/// A database of a deployment.
pub(crate) struct Inside {
    sqlite: Connection,
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
        Inside { sqlite: Connection::open(path).unwrap() }
    }

    /// The database of the one organization of a folder.
    pub(crate) fn organization(folder: &Folder) -> Self {
        Self::open(&folder.organization_database())
    }

    pub(crate) fn configuration(folder: &Folder) -> Self {
        Self::open(&folder.path().join("configuration.db"))
    }

    /// The connection of SQLite, for other statements.
    pub(crate) fn sqlite(&self) -> &Connection {
        &self.sqlite
    }

    fn rows<T>(&self, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        self.sqlite.prepare(sql).unwrap().query_map([], read).unwrap().map(Result::unwrap).collect()
    }

    /// Executes SQL.
    pub(crate) fn execute(&self, sql: &str) {
        self.sqlite.execute_batch(sql).unwrap();
    }

    /// Executes a statement that must change this many rows.
    pub(crate) fn change(&self, rows: usize, sql: &str) {
        assert_eq!(self.sqlite.execute(sql, []).unwrap(), rows, "{sql}");
    }

    /// The columns that hold cells: table and column.
    pub(crate) fn cell_columns(&self) -> Vec<(String, String)> {
        self.rows("SELECT table_name, column_name FROM sealward_catalog WHERE cell = 1 ORDER BY 1, 2", |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
    }

    /// The key version in the header of every stored cell.
    pub(crate) fn cell_versions(&self) -> Vec<u32> {
        let cells = self.cell_columns().into_iter().flat_map(|(table, column)| {
            let sql = format!("SELECT \"{column}\" FROM \"{table}\" WHERE \"{column}\" IS NOT NULL");
            self.rows(&sql, |row| row.get::<_, Vec<u8>>(0))
        });
        cells.map(|cell| u32::from_be_bytes(cell[1..5].try_into().unwrap())).collect()
    }

    /// The versions of the data keys in the ring.
    pub(crate) fn data_key_versions(&self) -> Vec<u32> {
        self.rows("SELECT version FROM sealward_data_key ORDER BY 1", |row| row.get(0))
    }

    /// The password's cell of the mailbox of this resource name.
    pub(crate) fn password_cell(&self, name: &str) -> Vec<u8> {
        let sql = "SELECT password FROM \"Mailbox\" WHERE id = ?1";
        self.sqlite.query_row(sql, params![record_id(name)], |row| row.get(0)).unwrap()
    }

    pub(crate) fn set_password_cell(&self, name: &str, cell: &[u8]) {
        let sql = "UPDATE \"Mailbox\" SET password = ?2 WHERE id = ?1";
        assert_eq!(self.sqlite.execute(sql, params![record_id(name), cell]).unwrap(), 1);
    }

    /// The sealed key texts of a configuration database.
    pub(crate) fn key_texts(&self) -> Vec<Vec<u8>> {
        self.rows("SELECT sealed FROM sealward_key_text", |row| row.get(0))
    }

    /// The wrapped data keys of the ring.
    pub(crate) fn wrapped_keys(&self) -> Vec<Vec<u8>> {
        self.rows("SELECT wrapped FROM sealward_data_key ORDER BY version", |row| row.get(0))
    }

    /// The audit trail, oldest first, of all writers.
    pub(crate) fn trail(&self) -> Vec<Trail> {
        let sql = "SELECT sequence, previous_hash, hash, identity, peer, call_id, action, outcome, subject, attributes, \
                   purpose, fingerprint, key_version, writer, time, details, records, hop FROM sealward_audit \
                   ORDER BY time, sequence";
        self.rows(sql, |row| {
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
        })
    }
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

/// Removes the configuration database with its side files.
pub(crate) fn lose_configuration(folder: &Path) {
    std::fs::remove_file(folder.join("configuration.db")).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _absent = std::fs::remove_file(folder.join(format!("configuration.db{suffix}")));
    }
}

/// Every file below a folder that contains these bytes. Not for the folder of a server in this process: closing a file
/// releases the locks of the process on it.
pub(crate) fn files_with(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
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
