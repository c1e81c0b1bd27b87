//! The tables of PostgreSQL, which contain the rows of all databases, and their migration.
//!
//! Migrations only add. A role that owns the tables runs them; the role of the server owns none, so that row-level
//! security holds for it. A database's own definition of a table may have fewer columns: see
//! [`definitions`](super::definitions). An index that an organization wants is only recorded, because a table is shared:
//! building it would stop the writes of all organizations.

use std::collections::{HashMap, HashSet};

use sealward_core::store::{Column, ColumnType, Index, Step, Table};
use tokio::sync::Mutex;
use tokio_postgres::{Client, error::SqlState, types::Type};
use uuid::Uuid;

use super::{
    connection::Connection,
    definitions::{GUARD, INDEX, LANE, LEASE, TABLE},
    error::{PostgresError, VERSION_MIN},
    pool::Pool,
};
use crate::sql::{Dialect, Indexed, Owner, SCHEMA, contains_records};

/// The tables, and the role that migrates them.
#[derive(Debug)]
pub(super) struct Schema {
    pool: Pool,
    /// `None` if the server can't migrate.
    owner: Option<Pool>,
    /// The role of the server.
    user: String,
    /// What exists, as last read.
    known: Mutex<Option<Existing>>,
}

/// What exists in the schema.
#[derive(Clone, Debug, Default)]
struct Existing {
    /// The tables with the types of their columns.
    tables: HashMap<String, HashMap<String, String>>,
    indexes: HashSet<String>,
}

impl Existing {
    /// Returns a table of the store itself that doesn't exist.
    fn missing_own(&self) -> Option<&'static str> {
        [GUARD, LANE, TABLE, INDEX, LEASE].into_iter().find(|name| !self.tables.contains_key(*name))
    }
}

/// What the server and the role of its connections are like.
#[derive(Debug)]
pub(super) struct Facts {
    /// The major version.
    pub(super) version: u32,
    encoding: String,
    /// Whether row-level security doesn't restrict the role, or the role could lift it.
    is_privileged: bool,
}

impl Facts {
    pub(super) fn check(&self) -> Result<(), PostgresError> {
        if self.version < VERSION_MIN {
            return Err(PostgresError::TooOld { found: self.version.to_string() });
        }
        if self.encoding != "UTF8" {
            return Err(PostgresError::Encoding { found: self.encoding.clone() });
        }
        if self.is_privileged { Err(PostgresError::Privileged) } else { Ok(()) }
    }
}

/// What a step needs to exist.
#[derive(Debug)]
enum Need<'a> {
    Table(&'a Table),
    Column(&'a str, &'a Column),
    Index(&'a Table, &'a Index),
}

impl Schema {
    pub(super) fn new(pool: Pool, owner: Option<Pool>, user: String) -> Self {
        Schema { pool, owner, user, known: Mutex::new(None) }
    }

    /// Checks the server and the roles. Creates the store's own tables if they are missing. Returns the major version.
    pub(super) async fn open(&self) -> Result<u32, PostgresError> {
        let facts = self.facts().await?;
        // Before the first change.
        facts.check()?;
        if let Some(owner) = &self.owner {
            let installed = self.install(&mut *owner.get().await?).await;
            installed.map_err(|error| {
                if error.is(&SqlState::INSUFFICIENT_PRIVILEGE) { PostgresError::NotOwner } else { error }
            })?;
            // The role of the server may be a member of the one that owns the new tables.
            self.facts().await?.check()?;
        }
        let existing = self.read(&self.pool).await?;
        if let Some(missing) = existing.missing_own() {
            return Err(PostgresError::NotMigrated { missing: missing.to_owned() });
        }
        *self.known.lock().await = Some(existing);
        Ok(facts.version)
    }

    /// Reads what the server and the role must be like.
    pub(super) async fn facts(&self) -> Result<Facts, PostgresError> {
        let connection = self.pool.get().await?;
        let rows = connection.client().query_typed(FACTS, &[]).await?;
        let row = rows.first().ok_or(PostgresError::Gone)?;
        let version: i32 = row.try_get(0)?;
        let version = u32::try_from(version / 10_000).unwrap_or(0);
        Ok(Facts { version, encoding: row.try_get(1)?, is_privileged: row.try_get(2)? })
    }

    /// Returns whether the store's own tables exist. Changes nothing. The roles must be able to connect.
    pub(super) async fn is_installed(&self) -> Result<bool, PostgresError> {
        if let Some(owner) = &self.owner {
            drop(owner.get().await?);
        }
        Ok(self.read(&self.pool).await?.missing_own().is_none())
    }

    /// Creates the store's own tables if they are missing.
    async fn install(&self, connection: &mut Connection) -> Result<(), PostgresError> {
        let client = connection.occupy();
        client.batch_execute(&install(&quoted(&self.user))).await?;
        let protected = client.query_typed(PROTECTED, &[(&SCHEMA, Type::TEXT)]).await?;
        let protected = protected.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        for table in [LANE, TABLE, INDEX].into_iter().filter(|table| !protected.iter().any(|name| name == table)) {
            client.batch_execute(&DIALECT.protect(table)?.text).await?;
        }
        client.batch_execute("COMMIT").await?;
        connection.release();
        Ok(())
    }

    /// Returns the names of all tables that contain rows of databases, in their order.
    pub(super) async fn tables(&self) -> Result<Vec<String>, PostgresError> {
        let existing = self.read(&self.pool).await?;
        let mut names: Vec<String> = existing.tables.into_keys().filter(|name| !name.starts_with('_')).collect();
        names.sort();
        Ok(names)
    }

    /// Makes what the steps need exist. Nothing is removed if they are refused later.
    pub(super) async fn prepare<'a>(&self, steps: impl Iterator<Item = &'a Step>) -> Result<(), PostgresError> {
        let needs: Vec<Need<'a>> = steps.flat_map(needs).collect();
        let mut known = self.known.lock().await;
        let existing = match known.take() {
            Some(existing) => existing,
            None => self.read(&self.pool).await?,
        };
        if missing(&needs, &existing)?.is_empty() {
            *known = Some(existing);
            return Ok(());
        }
        // Another server may have migrated.
        let existing = self.read(&self.pool).await?;
        let missing = missing(&needs, &existing)?;
        if missing.is_empty() {
            *known = Some(existing);
            return Ok(());
        }
        let Some(owner) = &self.owner else {
            let names: Vec<String> = missing.iter().map(|need| need.shown()).collect();
            return Err(PostgresError::NotMigrated { missing: names.join(", ") });
        };
        self.migrate(owner, &needs).await?;
        *known = Some(self.read(&self.pool).await?);
        Ok(())
    }

    /// Creates what is missing, in one transaction. Only one process at a time does.
    async fn migrate(&self, owner: &Pool, needs: &[Need<'_>]) -> Result<(), PostgresError> {
        let mut connection = owner.get().await?;
        let client = connection.occupy();
        let locked = format!(
            "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIME_MAX}'; LOCK TABLE {SCHEMA}.{MIGRATION} IN EXCLUSIVE MODE"
        );
        client.batch_execute(&locked).await?;
        let migrated = async {
            let existing = existing(client).await?;
            let user = quoted(&self.user);
            for need in missing(needs, &existing)? {
                client.batch_execute(&need.statements(&existing, &user)?).await?;
                tracing::info!(created = need.shown(), "PostgreSQL schema extended");
            }
            Ok(())
        };
        let migrated: Result<(), PostgresError> = migrated.await;
        client.batch_execute(if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        connection.release();
        migrated
    }

    async fn read(&self, pool: &Pool) -> Result<Existing, PostgresError> {
        let connection = pool.get().await?;
        existing(connection.client()).await
    }
}

async fn existing(client: &Client) -> Result<Existing, PostgresError> {
    let mut existing = Existing::default();
    for row in client.query_typed(COLUMNS, &[(&SCHEMA, Type::TEXT)]).await? {
        let (table, column, kind): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        existing.tables.entry(table).or_default().insert(column, kind);
    }
    for row in client.query_typed(INDEXES, &[(&SCHEMA, Type::TEXT)]).await? {
        existing.indexes.insert(row.try_get(0)?);
    }
    Ok(existing)
}

/// Returns what a step needs.
fn needs(step: &Step) -> Vec<Need<'_>> {
    match step {
        Step::CreateTable(table) => {
            let of_table = std::iter::once(Need::Table(table));
            let of_columns = table.columns.iter().map(|column| Need::Column(&table.name, column));
            of_table.chain(of_columns).chain(table.indexes.iter().map(|index| Need::Index(table, index))).collect()
        }
        Step::AddColumn { table, column } => vec![Need::Column(table, column)],
        Step::After(_)
        | Step::Require { .. }
        | Step::Forbid { .. }
        | Step::Insert { .. }
        | Step::InsertFrom { .. }
        | Step::Update { .. }
        | Step::Rewrite { .. }
        | Step::Delete { .. }
        | Step::Prune { .. }
        | Step::Tally(_)
        | Step::CreateIndex { .. }
        | Step::DropIndex { .. }
        | Step::Audit(_) => Vec::new(),
    }
}

/// Returns what doesn't exist. A column of a new table is created with it, and a column of no table is of no use.
fn missing<'a, 'b>(needs: &'b [Need<'a>], existing: &Existing) -> Result<Vec<&'b Need<'a>>, PostgresError> {
    let mut missing = Vec::new();
    for need in needs {
        let is_missing = match need {
            Need::Table(table) => match existing.tables.get(&*table.name) {
                None => true,
                Some(columns) => match table.key.iter().find(|column| !columns.contains_key(&***column)) {
                    None => false,
                    Some(column) => {
                        return Err(PostgresError::Differs { difference: format!("{}.{column}", table.name) });
                    }
                },
            },
            Need::Column(table, column) => {
                match existing.tables.get(*table).map(|columns| columns.get(&*column.name)) {
                    None => false,
                    Some(None) => true,
                    Some(Some(kind)) if kind == DIALECT.bare_type(column.kind) => false,
                    Some(Some(_)) => {
                        return Err(PostgresError::Differs { difference: format!("{table}.{}", column.name) });
                    }
                }
            }
            Need::Index(_, index) => !existing.indexes.contains(&*index.name),
        };
        if is_missing {
            missing.push(need);
        }
    }
    Ok(missing)
}

impl Need<'_> {
    fn shown(&self) -> String {
        match self {
            Need::Table(table) => table.name.to_string(),
            Need::Column(table, column) => format!("{table}.{}", column.name),
            Need::Index(_, index) => index.name.to_string(),
        }
    }

    /// Returns the statements that create it.
    fn statements(&self, existing: &Existing, user: &str) -> Result<String, PostgresError> {
        Ok(match self {
            Need::Table(table) => {
                let mut texts = vec![DIALECT.create_table(table)?.text, DIALECT.protect(&table.name)?.text];
                if contains_records(table) {
                    texts.push(DIALECT.number_rows(&table.name)?.text);
                }
                for column in &table.columns {
                    texts.extend(DIALECT.uncompressed(&table.name, column)?.map(|sql| sql.text));
                }
                texts.push(format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {SCHEMA}.\"{}\" TO {user}", table.name));
                texts.join("; ")
            }
            // With the table.
            Need::Column(table, _) if !existing.tables.contains_key(*table) => String::new(),
            Need::Column(table, column) => {
                let table = (*table).to_owned().into();
                // Rows of other databases have no value for it.
                let column = Column { nullable: true, ..(*column).clone() };
                let mut texts = vec![DIALECT.add_column(&table, &column)?.text];
                texts.extend(DIALECT.uncompressed(&table, &column)?.map(|sql| sql.text));
                texts.join("; ")
            }
            Need::Index(table, index) => {
                // The texts of a key are short, or the key couldn't be indexed.
                let piece = |name: &str| match table.columns.iter().find(|column| column.name == name) {
                    Some(column) if !table.key.contains(&column.name) => Indexed {
                        is_nullable: column.nullable,
                        prefix: (column.kind == ColumnType::Text).then_some(INDEXED_CHARS_MAX),
                    },
                    Some(_) | None => Indexed::default(),
                };
                DIALECT.create_shared_index(&table.name, index, piece)?.text
            }
        })
    }
}

/// Returns a name in quotes, for the name of a role, which an administrator chose.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Begins a transaction that creates the store's own tables.
fn install(user: &str) -> String {
    format!(
        "BEGIN;
         CREATE SCHEMA IF NOT EXISTS {SCHEMA};
         CREATE TABLE IF NOT EXISTS {SCHEMA}.{MIGRATION} (slot integer PRIMARY KEY);
         LOCK TABLE {SCHEMA}.{MIGRATION} IN EXCLUSIVE MODE;
         CREATE TABLE IF NOT EXISTS {SCHEMA}.\"{GUARD}\" (
            \"_organization_id\" uuid PRIMARY KEY,
            state text COLLATE \"C\" NOT NULL,
            epoch bigint NOT NULL
         ) WITH (fillfactor = 50);
         CREATE TABLE IF NOT EXISTS {SCHEMA}.\"{LANE}\" (
            \"_organization_id\" uuid NOT NULL,
            lane bigint NOT NULL,
            fence bigint NOT NULL,
            commit_seq bigint NOT NULL,
            epoch bigint NOT NULL,
            writers bytea,
            audit_writer uuid,
            audit_sequence bigint NOT NULL DEFAULT 0,
            audit_hash bytea,
            last_commit_time timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (\"_organization_id\", lane)
         ) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
         CREATE TABLE IF NOT EXISTS {SCHEMA}.\"{TABLE}\" (
            \"_organization_id\" uuid NOT NULL,
            name text COLLATE \"C\" NOT NULL,
            columns text COLLATE \"C\" NOT NULL,
            PRIMARY KEY (\"_organization_id\", name)
         );
         CREATE TABLE IF NOT EXISTS {SCHEMA}.\"{INDEX}\" (
            \"_organization_id\" uuid NOT NULL,
            name text COLLATE \"C\" NOT NULL,
            table_name text COLLATE \"C\" NOT NULL,
            PRIMARY KEY (\"_organization_id\", name)
         );
         CREATE TABLE IF NOT EXISTS {SCHEMA}.\"{LEASE}\" (
            \"_organization_id\" uuid PRIMARY KEY,
            fence bigint NOT NULL,
            holder uuid NOT NULL,
            expires timestamptz NOT NULL
         ) WITH (fillfactor = 20);
         GRANT USAGE ON SCHEMA {SCHEMA} TO {user};
         GRANT SELECT, INSERT, UPDATE, DELETE ON {SCHEMA}.\"{GUARD}\", {SCHEMA}.\"{LANE}\", {SCHEMA}.\"{TABLE}\",
            {SCHEMA}.\"{INDEX}\", {SCHEMA}.\"{LEASE}\" TO {user}"
    )
}

/// The table that a migration locks.
const MIGRATION: &str = "\"_migration\"";

/// The maximum wait of a migration for transactions that use a table. Other transactions wait behind it.
const LOCK_TIME_MAX: &str = "5s";

/// The number of characters of a text in an index. PostgreSQL refuses rows whose index entry is longer than a third of a
/// page, and another organization may store longer texts. Three texts of this length fit.
const INDEXED_CHARS_MAX: u32 = 200;

/// The texts of migrations are the same for every database.
const DIALECT: Dialect = Dialect::Postgres(Owner(Uuid::nil()));

/// The version, the encoding, and whether the role isn't restricted by row-level security or could lift it.
const FACTS: &str = "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), \
    (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) \
    OR EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = 'sealward' AND pg_has_role(current_user, c.relowner, 'MEMBER'))";

const PROTECTED: &str = "SELECT tablename::text FROM pg_policies WHERE schemaname = $1";

const COLUMNS: &str = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL) FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid \
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped";

const INDEXES: &str = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relkind IN ('i', 'I')";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_encoding_and_role_are_checked() {
        let check = |version, encoding: &str, is_privileged| {
            Facts { version, encoding: encoding.to_owned(), is_privileged }.check().err().map(|error| error.to_string())
        };
        assert_eq!(check(15, "UTF8", false), None);
        assert_eq!(check(18, "UTF8", false), None);
        assert!(check(14, "UTF8", false).is_some_and(|error| error.contains("version 14: version 15 or later")));
        assert!(check(15, "SQL_ASCII", false).is_some_and(|error| error.contains("SQL_ASCII")));
        assert!(check(15, "UTF8", true).is_some_and(|error| error.contains("superuser")));
    }
}
