//! Imports an organization from an export. Its database is published only after all data is stored and verified.
//!
//! The order of writes allows a start to undo or complete an interrupted import: the row *importing*, the database
//! under a temporary name, the same database under its final name, the row *ready*. The imported data is untrusted.
//! Each table, column and value is checked against the schema of this deployment before it is written, and each record
//! against its rules before the database is published.

pub(crate) mod error;
mod records;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

pub use error::ImportError;

use crate::{
    audit::entry::{AuditAction, AuditEntry},
    catalog,
    census::{self, CellKind, Census},
    deployment::Deployment,
    fail_point::FailPoint,
    identity::Caller,
    layout::{self, TableLayout},
    metadata::setting::OrganizationSchema,
    name::OrganizationName,
    organization::{
        export::{Exported, tables},
        handle::Organization,
        open::admit,
        ring_rows,
        row::{Row, STATE_IMPORTING, STATE_READY},
    },
    policy::{self, DeploymentPermit},
    port::{OrganizationLock, PreparedDatabase},
    store::{Column, Commit, CommitError, Condition, Datum, Expect, Name, OpenError, Step, StoreFailure},
    table::{
        configuration::{ListedRow, TombstoneRow},
        declare::{TableRow as _, read_each},
        organization::OrganizationRow,
    },
};

/// An import in progress. It must be finished or aborted.
pub struct Import {
    caller: Caller,
    row: Row,
    database: Box<dyn PreparedDatabase>,
    /// The allowed tables.
    layout: HashMap<Name, TableLayout>,
    seen: HashSet<Name>,
    /// The current table, with the columns of its rows in order.
    present: Option<(Name, Vec<Column>)>,
    census: Census,
    lock: Box<dyn OrganizationLock>,
}

impl Import {
    /// Inserts the row *importing* and creates the database. `name` is the new name of the organization; `None` keeps
    /// the name in the export.
    ///
    /// # Errors
    /// [`ImportError`]. Nothing is left then.
    pub async fn begin(
        deployment: &Deployment,
        permit: DeploymentPermit<policy::CreateOrganization>,
        exported: &Exported,
        name: Option<&OrganizationName>,
    ) -> Result<Import, ImportError> {
        let name = name.or(exported.name.as_ref()).ok_or(ImportError::NotAName)?.clone();
        if let Some(why) = deployment.not_served(&name) {
            return Err(ImportError::NotServed { name, why });
        }
        let ports = &deployment.ports;
        let lock = ports.databases.try_lock(exported.id).await?.ok_or(ImportError::AlreadyExists)?;
        let state = STATE_IMPORTING.to_owned();
        let row = Row { name, id: exported.id, state, create_time: exported.create_time };
        if ports.databases.list().await?.contains(&exported.id) {
            return Err(ImportError::AlreadyExists);
        }
        let begin = vec![ListedRow::forbid(ListedRow::id().is(exported.id)), row.insert(&*ports.root_key)?];
        let listed = ports.configuration.commit(Commit::of(begin)).await;
        listed.map_err(|error| ImportError::of(error, ImportError::AlreadyExists))?;
        deployment.reached(FailPoint::ImportStarted);
        let layout = layout::organization(&deployment.schema);
        let first = catalog::first(&layout, deployment.now());
        match ports.databases.prepare(exported.id, first).await {
            Ok(database) => Ok(Import {
                caller: permit.into_caller(),
                row,
                database,
                layout: tables(layout).into_iter().map(|table| (table.table.name.clone(), table)).collect(),
                seen: HashSet::new(),
                present: None,
                census: Census::new(),
                lock,
            }),
            Err(error) => {
                unlist(deployment, &row).await;
                Err(ImportError::of(error, ImportError::AlreadyExists))
            }
        }
    }

    /// Starts a table. Its rows follow.
    ///
    /// # Errors
    /// [`ImportError::Invalid`] if the schema of this deployment has no such table or columns.
    pub fn table(&mut self, described: &TableLayout) -> Result<(), ImportError> {
        let name = &described.table.name;
        let known = self.layout.get(name);
        let known = known.ok_or_else(|| ImportError::Invalid(format!("the schema has no table {name}")))?;
        if !self.seen.insert(name.clone()) {
            return Err(ImportError::Invalid(format!("the table {name} appears twice")));
        }
        let mut columns = Vec::new();
        for column in &described.table.columns {
            let same = known.table.columns.iter().find(|other| other.name == column.name && other.kind == column.kind);
            let is_cell = |table_layout: &TableLayout| table_layout.cells.contains(&column.name);
            match same {
                Some(same) if is_cell(known) == is_cell(described) && !columns.contains(same) => {
                    columns.push(same.clone());
                }
                Some(_) | None => {
                    let column = &column.name;
                    return Err(ImportError::Invalid(format!("the schema has no such column {name}.{column}")));
                }
            }
        }
        self.present = Some((name.clone(), columns));
        Ok(())
    }

    /// Stores rows of the current table.
    ///
    /// # Errors
    /// [`ImportError::Invalid`] if they don't match the table, or if a row exists already.
    pub async fn rows(&mut self, deployment: &Deployment, given: Vec<Vec<Datum>>) -> Result<(), ImportError> {
        let Some((table, columns)) = &self.present else {
            return Err(ImportError::Invalid("rows appear before their table".to_owned()));
        };
        let cells = self.layout.get(table).map(|table_layout| &table_layout.cells);
        let mut steps = Vec::with_capacity(given.len());
        for row in given {
            if row.len() != columns.len() {
                return Err(ImportError::Invalid(format!("a row of {table} has the wrong number of values")));
            }
            for (column, datum) in columns.iter().zip(&row) {
                if !fits(column, datum) {
                    let column = &column.name;
                    return Err(ImportError::Invalid(format!("a value is invalid for {table}.{column}")));
                }
                if let (Datum::Bytes(cell), Some(cells)) = (datum, cells)
                    && cells.contains(&column.name)
                {
                    *self.census.entry(CellKind::of(table, &column.name, cell)).or_default() += 1;
                }
            }
            let row = columns.iter().map(|column| column.name.clone()).zip(row).collect();
            steps.push(Step::Insert { table: table.clone(), row });
        }
        let stored = self.database.store().commit(Commit::of(steps)).await;
        let twice = ImportError::Invalid(format!("a row of {table} appears twice, or lacks required values"));
        stored.map_err(|error| ImportError::of(error, twice))?;
        deployment.reached(FailPoint::ImportPartStored);
        Ok(())
    }

    /// Verifies the database, publishes it and serves the organization.
    ///
    /// # Errors
    /// [`ImportError`]. Nothing is left then, unless the outcome of a commit is unknown.
    pub async fn finish(self, deployment: &Deployment) -> Result<Arc<Organization>, ImportError> {
        if let Err(error) = self.verify(deployment).await {
            self.abort(deployment).await;
            return Err(error);
        }
        deployment.reached(FailPoint::ImportVerified);
        let Import { caller, row, database, census, lock: _lock, .. } = self;
        if let Err(error) = database.publish().await {
            if matches!(error, CommitError::Refused { .. }) {
                unlist(deployment, &row).await;
            }
            return Err(ImportError::of(error, ImportError::AlreadyExists));
        }
        deployment.reached(FailPoint::ImportPublished);
        let ports = &deployment.ports;
        let entry = AuditEntry {
            caller: Some(caller),
            details: Some(census::summary(&census, &deployment.schema)),
            ..AuditEntry::done(deployment.now(), AuditAction::ImportOrganization, row.name.resource_name())
        };
        let ready = vec![
            row.become_state(STATE_READY, &*ports.root_key)?,
            // Importing a deleted organization restores it.
            TombstoneRow::delete(TombstoneRow::organization().is(row.id)),
            Step::Audit(entry.clone()),
        ];
        let listed = ports.configuration.commit(Commit::of(ready)).await;
        listed.map_err(|error| ImportError::of(error, ImportError::AlreadyExists))?;
        deployment.reached(FailPoint::ImportReady);
        let store = ports.databases.open(row.id).await.map_err(|error| match error {
            OpenError::Missing => {
                ImportError::Store(StoreFailure::Unavailable("the published database is missing".into()))
            }
            OpenError::Unavailable(cause) => ImportError::Store(StoreFailure::Unavailable(cause)),
            error @ OpenError::WrongOrganization => ImportError::Store(StoreFailure::internal(error)),
        })?;
        let organization = admit(deployment, &row, store).await?;
        let recorded = organization.record(entry).await;
        recorded.map_err(|error| {
            ImportError::of(error, ImportError::Store(StoreFailure::Unavailable("an audit record was refused".into())))
        })?;
        Ok(organization)
    }

    /// Verifies the consistency of the database. Sets the name of the organization in this deployment, and creates its
    /// indexes and the census of its cells.
    async fn verify(&self, deployment: &Deployment) -> Result<(), ImportError> {
        let store = self.database.store();
        let invalid = |problem: &str| ImportError::Invalid(problem.to_owned());
        let inside = read_each(store, OrganizationRow::id(), Condition::EVERYTHING).await?;
        if inside != [Ok(self.row.id)] {
            return Err(invalid("the database belongs to another organization than the header"));
        }
        // A missing or unreadable ring is imported unchanged, because unencrypted attributes are useful without it.
        if let Ok(ring) = ring_rows::read(store).await?
            && ring.organization != self.row.id
        {
            return Err(invalid("its key ring belongs to another organization"));
        }
        let customized = OrganizationSchema::read(store, &deployment.schema).await?;
        records::check(store, &deployment.schema, &customized).await?;
        let name = vec![OrganizationRow::name().set(self.row.name.clone())];
        let mut steps = vec![OrganizationRow::update(Condition::EVERYTHING, name, Expect::One)];
        steps.extend(customized.create_indexes());
        steps.extend(self.census.iter().map(|(kind, cells)| kind.clone().insert(*cells)));
        let stored = store.commit(Commit::of(steps)).await;
        stored.map_err(|error| ImportError::of(error, invalid("it contains no organization")))?;
        Ok(())
    }

    /// Removes the imported data.
    pub async fn abort(self, deployment: &Deployment) {
        // The next start removes the rest, because the row has the state *importing*.
        let _left = self.database.discard().await;
        unlist(deployment, &self.row).await;
        let _left = self.lock.discard().await;
    }
}

async fn unlist(deployment: &Deployment, row: &Row) {
    // The lock is held, so the row is unchanged.
    let unlist = row.unlist(Expect::Any);
    let _left = deployment.ports.configuration.commit(Commit::of(vec![unlist])).await;
}

/// Returns whether the column accepts this value.
fn fits(column: &Column, datum: &Datum) -> bool {
    match datum.kind() {
        None => column.nullable,
        Some(kind) => kind == column.kind && !matches!(datum, Datum::Text(text) if text.contains('\0')),
    }
}
