//! Tests of SQLite beyond the contract: its files, locks and query plans, and the effect of failed commits.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sealward_core::{
    audit::{AuditAction, AuditEntry, AuditRecord, ChainHead, OUTCOME_DONE},
    id::{OrganizationId, Timestamp},
    name::OrganizationName,
    port::OrganizationDatabases,
    store::{
        Assignment, Cause, Column, ColumnType, Commit, CommitError, Comparison, Condition, Datum, Direction, Expect,
        Index, OpenError, Pending, Reader, Row, Select, Step, Store, Table, Unavailable,
    },
    table::TableRow as _,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::{file::suffixed, writer::SqliteWriter, *};
use crate::{
    OnDemand,
    committer::{Backend, Committer, Failure, SyncFailure, Undo, Witness},
    contract::{Subject, chain_length, contract_tests},
};

mod deployment;
mod failures;
mod files;
mod lanes;
mod lists;
mod locks;
mod on_demand;
mod plans;
mod servers;

const ID: OrganizationId = OrganizationId::from_bytes([7; 16]);
const WRITER: Uuid = Uuid::from_bytes([1; 16]);
const OPEN_MAX: usize = 3;
const IDLE_MAX: Duration = Duration::from_secs(300);

/// Organizations' databases in a temporary folder.
struct Fixture {
    databases: SqliteDatabases,
    folder: Arc<DataFolder>,
    _temporary: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let temporary = TempDir::new().unwrap();
        let folder = Arc::new(DataFolder::open(temporary.path().join("data")).unwrap());
        let databases = open_databases(&folder);
        Fixture { databases, folder, _temporary: temporary }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.organizations().join(name)
    }

    fn database(&self) -> PathBuf {
        self.path(&format!("{ID}.db"))
    }

    /// Creates a database with one table of keys and values.
    async fn created(&self) -> Arc<dyn Store> {
        self.databases.create(ID, first()).await.unwrap();
        self.databases.open(ID).await.unwrap()
    }

    /// Closes unused open databases, and waits until the database is closed.
    async fn close(&self) {
        self.databases.close_idle(Instant::now() + IDLE_MAX);
        self.databases.closed(ID).await;
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.organizations()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Opens the databases of a folder. No test waits long enough for one to become idle.
fn open_databases(folder: &Arc<DataFolder>) -> SqliteDatabases {
    let limits = OpenLimits { open_max: OPEN_MAX, idle_max: IDLE_MAX };
    SqliteDatabases::new(Arc::clone(folder), WRITER, SqliteOptions::default(), limits, no_witnesses(), not_inspected)
        .unwrap()
}

/// The databases of these tests contain no organization.
fn not_inspected(_: OrganizationId, _: &dyn Reader) -> Pending<'_, Result<OrganizationName, OpenError>> {
    Box::pin(async { Ok("any".parse().unwrap()) })
}

fn no_witnesses() -> crate::Witnesses {
    Box::new(|_| Witness::none())
}

fn table() -> Table {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: true };
    Table {
        name: "Entry".into(),
        columns: vec![
            column("id", ColumnType::Uuid),
            column("name", ColumnType::Text),
            column("data", ColumnType::Bytes),
        ],
        key: vec!["id".into()],
        indexes: vec![Index { name: "Entry_by_name".into(), columns: vec!["name".into()] }],
    }
}

fn first() -> Commit {
    Commit::of(vec![Step::CreateTable(table()), Step::CreateTable(AuditRecord::table())])
}

fn insert(id: u128, data: &[u8]) -> Step {
    let row = vec![("id".into(), Datum::Uuid(Uuid::from_u128(id))), ("data".into(), Datum::Bytes(data.to_vec()))];
    Step::Insert { table: "Entry".into(), row }
}

fn delete(rows: Condition) -> Step {
    Step::Delete { table: "Entry".into(), rows, expect: Expect::Any }
}

fn reveal() -> Step {
    Step::Audit(AuditEntry {
        time: Timestamp::from_unix_micros(1),
        caller: None,
        action: AuditAction::RevealAttributes,
        outcome: OUTCOME_DONE,
        subject: "organizations/test/mailboxes/1".to_owned(),
        attributes: None,
        purpose: None,
        fingerprint: None,
        key_version: None,
        details: None,
        records: None,
    })
}

async fn count(store: &dyn Reader, table: &'static str) -> u64 {
    store.count(table.into(), Condition::EVERYTHING).await.unwrap()
}

mod contract {
    use super::*;

    impl Subject for Fixture {
        fn open(&self) -> Pending<'_, Arc<dyn Store>> {
            Box::pin(async {
                if fs::exists(self.database()).unwrap() {
                    self.close().await;
                } else {
                    self.databases.create(ID, Commit::default()).await.unwrap();
                }
                self.databases.open(ID).await.unwrap()
            })
        }
    }

    contract_tests!(Fixture::new());
}
