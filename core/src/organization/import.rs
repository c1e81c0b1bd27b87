//! Imports an organization from an export. Its database is published only after all data is stored and verified.
//!
//! The order of writes allows a start to undo or complete an interrupted import: the row *importing*, the database
//! under a temporary name, the key text of a copy, the same database under its final name, the row *ready*. The imported
//! data is untrusted. Each table, column and value is checked against the schema of this deployment before it is written,
//! and each record against its rules before the database is published.

mod copy;
pub(crate) mod error;
mod records;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

pub use copy::CopyKeys;
use copy::Copying;
pub use error::ImportError;

use crate::{
    audit::entry::{AuditAction, AuditEntry},
    catalog,
    census::{self, CellKind, Census},
    configuration::require_root_key,
    deployment::Deployment,
    fail_point::FailPoint,
    id::OrganizationId,
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
        configuration::{FingerprintRow, KeyTextRow, ListedRow, TombstoneRow},
        declare::{TableRow as _, read_each},
        organization::OrganizationRow,
    },
};

/// An import in progress. It must be finished or aborted.
pub struct Import {
    caller: Caller,
    row: Row,
    /// What makes it an import as a copy; `None` if the organization keeps its identity.
    copying: Option<Copying>,
    database: Box<dyn PreparedDatabase>,
    /// The allowed tables.
    layout: HashMap<Name, TableLayout>,
    seen: HashSet<Name>,
    present: Option<Present>,
    census: Census,
    lock: Box<dyn OrganizationLock>,
}

/// The current table.
struct Present {
    table: Name,
    /// The columns of its rows, in order.
    columns: Vec<Column>,
    /// Those of them that have cells.
    cells: Vec<Name>,
}

impl Import {
    /// Inserts the row *importing* and creates the database. `name` is the new name of the organization; `None` keeps
    /// the name in the export. With `copy`, the organization gets a new UUID and a new key.
    ///
    /// # Errors
    /// [`ImportError`]. Nothing is left then.
    pub async fn begin(
        deployment: &Deployment,
        permit: DeploymentPermit<policy::CreateOrganization>,
        exported: &Exported,
        name: Option<&OrganizationName>,
        copy: Option<CopyKeys>,
    ) -> Result<Import, ImportError> {
        let name = name.or(exported.name.as_ref()).ok_or(ImportError::NotAName)?.clone();
        if let Some(why) = deployment.not_served(&name) {
            return Err(ImportError::NotServed { name, why });
        }
        let ports = &deployment.ports;
        let caller = permit.into_caller();
        let state = STATE_IMPORTING.to_owned();
        let (row, copying) = match copy {
            None => (Row { name, id: exported.id, state, create_time: exported.create_time }, None),
            Some(keys) => {
                let id = OrganizationId::new_v4(&*ports.random);
                let row = Row { name, id, state, create_time: deployment.now() };
                let copying = Copying::begin(deployment, caller.clone(), row.clone(), exported, keys).await?;
                (row, Some(copying))
            }
        };
        let id = row.id;
        let exists = || existing(deployment, &row);
        let lock = ports.databases.try_lock(id).await?.ok_or_else(exists)?;
        if ports.databases.list().await?.contains(&id) {
            return Err(exists());
        }
        let begin = vec![
            require_root_key(&*ports.root_key)?,
            ListedRow::forbid(ListedRow::id().is(id)),
            row.insert(&*ports.root_key)?,
        ];
        if let Err(error) = ports.configuration.commit(Commit::under_lock(id, begin)).await {
            if copying.is_some() && matches!(error, CommitError::Refused { .. }) {
                // No other organization has this UUID. If this fails, the next start removes the unused lock file.
                let _left = lock.discard().await;
            }
            return Err(unlisted(deployment, &row, error));
        }
        deployment.reached(FailPoint::ImportStarted);
        let layout = layout::organization(&deployment.schema);
        let first = catalog::first(&layout, deployment.now());
        match ports.databases.prepare(id, first).await {
            Ok(database) => Ok(Import {
                caller,
                row,
                copying,
                database,
                layout: tables(layout).into_iter().map(|table| (table.table.name.clone(), table)).collect(),
                seen: HashSet::new(),
                present: None,
                census: Census::new(),
                lock,
            }),
            Err(error) => {
                unlist(deployment, &row, copying.is_some()).await;
                Err(ImportError::of(error, existing(deployment, &row)))
            }
        }
    }

    /// Starts a table. Its rows follow. The first table with cells of a copy opens the file with the given text.
    ///
    /// # Errors
    /// [`ImportError::Invalid`] if the schema of this deployment has no such table or columns, [`ImportError::Key`].
    pub async fn table(&mut self, deployment: &Deployment, described: &TableLayout) -> Result<(), ImportError> {
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
        // Only those in the file: the schema may have got more since.
        let cells: Vec<Name> =
            columns.iter().map(|column| &column.name).filter(|name| known.cells.contains(name)).cloned().collect();
        let has_cells = !cells.is_empty();
        self.present = Some(Present { table: name.clone(), columns, cells });
        match &mut self.copying {
            Some(copying) if has_cells => copying.open(deployment, self.database.store()).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Stores rows of the current table.
    ///
    /// # Errors
    /// [`ImportError::Invalid`] if they don't match the table, or if a row exists already.
    pub async fn rows(&mut self, deployment: &Deployment, given: Vec<Vec<Datum>>) -> Result<(), ImportError> {
        let Some(Present { table, columns, cells }) = &self.present else {
            return Err(ImportError::Invalid("rows appear before their table".to_owned()));
        };
        for row in &given {
            if row.len() != columns.len() {
                return Err(ImportError::Invalid(format!("a row of {table} has the wrong number of values")));
            }
            if let Some((column, _)) = columns.iter().zip(row).find(|(column, datum)| !fits(column, datum)) {
                let column = &column.name;
                return Err(ImportError::Invalid(format!("a value is invalid for {table}.{column}")));
            }
        }
        let rows = match &mut self.copying {
            Some(copying) => copying.rows(deployment, table, columns, cells, given).await?,
            None => given,
        };
        let mut steps = Vec::with_capacity(rows.len());
        for row in rows {
            for (column, datum) in columns.iter().zip(&row) {
                if let Datum::Bytes(cell) = datum
                    && cells.contains(&column.name)
                {
                    *self.census.entry(CellKind::of(table, &column.name, cell)).or_default() += 1;
                }
            }
            let row = columns.iter().map(|column| column.name.clone()).zip(row).collect();
            steps.push(Step::Insert { table: table.clone(), row });
        }
        // Rows of a table that a copy leaves out.
        if steps.is_empty() {
            return Ok(());
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
    pub async fn finish(mut self, deployment: &Deployment) -> Result<Arc<Organization>, ImportError> {
        let entry = match self.complete(deployment).await {
            Ok(entry) => entry,
            Err(error) => {
                self.abort(deployment).await;
                return Err(error);
            }
        };
        let Import { row, copying, database, lock: _lock, .. } = self;
        let is_copy = copying.is_some();
        if let Err(error) = database.publish().await {
            if matches!(error, CommitError::Refused { .. }) {
                unlist(deployment, &row, is_copy).await;
            }
            return Err(ImportError::of(error, existing(deployment, &row)));
        }
        deployment.reached(FailPoint::ImportPublished);
        let ports = &deployment.ports;
        let ready = vec![
            require_root_key(&*ports.root_key)?,
            row.become_state(STATE_READY, &*ports.root_key)?,
            // Importing a deleted organization restores it.
            TombstoneRow::delete(TombstoneRow::organization().is(row.id)),
            Step::Audit(entry.clone()),
        ];
        let listed = ports.configuration.commit(Commit::under_lock(row.id, ready)).await;
        listed.map_err(|error| unlisted(deployment, &row, error))?;
        deployment.reached(FailPoint::ImportReady);
        let store = ports.databases.open(row.id).await.map_err(|error| match error {
            OpenError::Missing => {
                ImportError::Store(StoreFailure::Unavailable("the published database is missing".into()))
            }
            OpenError::Unavailable(cause) => ImportError::Store(StoreFailure::Unavailable(cause)),
            error @ OpenError::WrongOrganization => ImportError::Store(StoreFailure::internal(error)),
        })?;
        let organization = admit(deployment, &row, store).await?;
        // The trail of a copy already begins with the record.
        if !is_copy {
            let recorded = organization.record(entry).await;
            recorded.map_err(|error| {
                ImportError::of(
                    error,
                    ImportError::Store(StoreFailure::Unavailable("an audit record was refused".into())),
                )
            })?;
        }
        Ok(organization)
    }

    /// Verifies and completes the unpublished database, and stores the key text of a copy. Returns the audit record.
    async fn complete(&mut self, deployment: &Deployment) -> Result<AuditEntry, ImportError> {
        if let Some(copying) = &mut self.copying {
            // The file of a schema without encrypted attributes isn't opened before.
            copying.open(deployment, self.database.store()).await?;
            copying.check_source()?;
        }
        let entry = AuditEntry {
            caller: Some(self.caller.clone()),
            details: Some(census::summary(&self.census, &deployment.schema)),
            ..AuditEntry::done(deployment.now(), AuditAction::ImportOrganization, self.row.name.resource_name())
        };
        let Some(copying) = &self.copying else {
            self.verify(deployment, None).await?;
            return Ok(entry);
        };
        let entry = copying.describe(entry);
        self.verify(deployment, Some(Step::Audit(entry.clone()))).await?;
        // Before the database is published, so that a copy is never visible without its key.
        let configuration = &deployment.ports.configuration;
        configuration
            .commit(Commit::under_lock(self.row.id, copying.text_steps(deployment)?))
            .await
            .map_err(StoreFailure::from)?;
        deployment.reached(FailPoint::CopyTextStored);
        Ok(entry)
    }

    /// Verifies the consistency of the database. Sets the name of the organization in this deployment, and creates its
    /// indexes and the census of its cells, with a last step if there is one.
    async fn verify(&self, deployment: &Deployment, last: Option<Step>) -> Result<(), ImportError> {
        let store = self.database.store();
        let invalid = |problem: &str| ImportError::Invalid(problem.to_owned());
        let inside = read_each(store, OrganizationRow::id(), Condition::EVERYTHING).await?;
        if inside != [Ok(self.row.id)] {
            return Err(ImportError::of_another_organization());
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
        steps.extend(last);
        let stored = store.commit(Commit::of(steps)).await;
        stored.map_err(|error| ImportError::of(error, invalid("it contains no organization")))?;
        deployment.reached(FailPoint::ImportVerified);
        Ok(())
    }

    /// Removes the imported data.
    pub async fn abort(self, deployment: &Deployment) {
        // The next start removes the rest, because the row has the state *importing*.
        let _left = self.database.discard().await;
        unlist(deployment, &self.row, self.copying.is_some()).await;
        let _left = self.lock.discard().await;
    }
}

async fn unlist(deployment: &Deployment, row: &Row, is_copy: bool) {
    // The lock is held, so the row is unchanged.
    let mut unlist = vec![row.unlist(Expect::Any)];
    if is_copy {
        // The key text of the copy, if it was stored. Another import has none, and its UUID may have had one before.
        unlist.push(KeyTextRow::delete(KeyTextRow::organization().is(row.id)));
        unlist.push(FingerprintRow::delete(FingerprintRow::organization().is(row.id)));
    }
    let _left = deployment.ports.configuration.commit(Commit::under_lock(row.id, unlist)).await;
}

/// Returns whether the column accepts this value.
fn fits(column: &Column, datum: &Datum) -> bool {
    match datum.kind() {
        None => column.nullable,
        Some(kind) => kind == column.kind && !matches!(datum, Datum::Text(text) if text.contains('\0')),
    }
}

/// Returns the error of a commit about the row that failed. Its first step requires the root key.
fn unlisted(deployment: &Deployment, row: &Row, error: CommitError) -> ImportError {
    match error {
        CommitError::Refused { step: 0 } => ImportError::Store(error.into()),
        error @ (CommitError::Refused { .. } | CommitError::Unavailable(_) | CommitError::Unknown(_)) => {
            ImportError::of(error, existing(deployment, row))
        }
    }
}

/// Returns the error of an import that an existing organization prevents, by its UUID or its name.
fn existing(deployment: &Deployment, row: &Row) -> ImportError {
    let same = deployment.organizations().into_iter().find(|organization| organization.id == row.id);
    ImportError::AlreadyExists { same: same.map(|organization| organization.name.clone()) }
}
