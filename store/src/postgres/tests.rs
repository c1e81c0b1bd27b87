//! Tests of PostgreSQL beyond the contract: its barriers, lanes, outcomes and plans. They start a server of their own.

use std::sync::Arc;

use sealward_core::{
    audit::{AuditAction, AuditEntry, AuditRecord, OUTCOME_DONE},
    id::{OrganizationId, Timestamp},
    name::OrganizationName,
    port::OrganizationDatabases,
    store::{
        Assignment, Cause, Column, ColumnType, Commit, CommitError, Condition, Datum, Direction, Expect, Index, Name,
        OpenError, Pending, Reader, Select, Step, Store, Table,
    },
    table::TableRow as _,
};
use uuid::Uuid;

use self::cluster::Database;
use super::*;
use crate::{
    OnDemand as _,
    committer::Witness,
    contract::{Subject, contract_tests},
};

mod barriers;
mod cluster;
mod lanes;
mod outcomes;
mod plans;
mod proxy;
mod transport;

const ID: OrganizationId = OrganizationId::from_bytes([7; 16]);
const OTHER_ID: OrganizationId = OrganizationId::from_bytes([8; 16]);
const WRITER: Uuid = Uuid::from_bytes([1; 16]);

/// The organizations' databases of a server process, in a database of the test's own.
struct Fixture {
    database: Database,
    databases: tokio::sync::OnceCell<PostgresDatabases>,
}

impl Fixture {
    fn new() -> Self {
        Fixture { database: Database::new(), databases: tokio::sync::OnceCell::new() }
    }

    async fn databases(&self) -> &PostgresDatabases {
        self.databases.get_or_init(async || self.server(self.database.login()).await.unwrap()).await
    }

    /// Starts a server process.
    async fn server(&self, login: PostgresLogin) -> Result<PostgresDatabases, Cause> {
        self.server_of(Uuid::from_bytes([9; 16]), login).await
    }

    /// Starts the server process with this id.
    async fn server_of(&self, id: Uuid, login: PostgresLogin) -> Result<PostgresDatabases, Cause> {
        let postgres = Postgres::open(login, Some(self.database.owner()), limits(), id).await?;
        let databases = databases_of(postgres).await?;
        databases.started().await;
        Ok(databases)
    }

    /// Creates a database with one table of keys and values, and one for an audit trail.
    async fn created(&self, id: OrganizationId) -> Arc<dyn Store> {
        let databases = self.databases().await;
        databases.create(id, first()).await.unwrap();
        databases.open(id).await.unwrap()
    }
}

async fn databases_of(postgres: Postgres) -> Result<PostgresDatabases, Cause> {
    PostgresDatabases::new(postgres, WRITER, Box::new(|_| Witness::none()), not_inspected).await
}

/// Few connections, because all tests share a server.
fn limits() -> PostgresLimits {
    PostgresLimits {
        connections_max: 4,
        scans_max: 2,
        start_wait_max: std::time::Duration::ZERO,
        ..PostgresLimits::default()
    }
}

/// The databases of these tests contain no organization.
fn not_inspected(_: OrganizationId, _: &dyn Reader) -> Pending<'_, Result<OrganizationName, OpenError>> {
    Box::pin(async { Ok("any".parse().unwrap()) })
}

fn table() -> Table {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: true };
    Table {
        name: "Entry".into(),
        columns: vec![
            column("id", ColumnType::Uuid),
            column("name", ColumnType::Text),
            column("data", ColumnType::Bytes),
            column("rank", ColumnType::Integer),
        ],
        key: vec!["id".into()],
        indexes: vec![
            Index { name: "Entry_by_name".into(), columns: vec!["name".into(), "id".into()] },
            Index { name: "Entry_by_rank".into(), columns: vec!["rank".into(), "id".into()] },
        ],
    }
}

fn first() -> Commit {
    Commit::of(vec![Step::CreateTable(table()), Step::CreateTable(AuditRecord::table())])
}

fn insert(id: u128, name: &str) -> Step {
    let row = vec![("id".into(), Datum::Uuid(Uuid::from_u128(id))), ("name".into(), Datum::Text(name.to_owned()))];
    Step::Insert { table: "Entry".into(), row }
}

fn named(name: &str) -> Condition {
    Condition::equal("name", Datum::Text(name.to_owned()))
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

async fn commit(store: &dyn Store, steps: Vec<Step>) -> Result<(), CommitError> {
    store.commit(Commit::of(steps)).await
}

async fn count(store: &dyn Reader, table: &'static str) -> u64 {
    store.count(table.into(), Condition::EVERYTHING).await.unwrap()
}

mod contract {
    use super::*;

    impl Subject for Fixture {
        fn open(&self) -> Pending<'_, Arc<dyn Store>> {
            Box::pin(async {
                let databases = self.databases().await;
                if databases.list().await.unwrap().is_empty() {
                    databases.create(ID, Commit::default()).await.unwrap();
                }
                databases.open(ID).await.unwrap()
            })
        }
    }

    contract_tests!(Fixture::new());
}
