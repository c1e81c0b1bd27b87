//! Import an organization: what an export holds becomes a database that nobody sees before all of it is there and verified.
//!
//! The order of writes lets a start undo or finish what a crash left half-way: the row *importing*, the database under a name of its own,
//! the same where it belongs, the row *ready*. What is imported is data from elsewhere: every table, column and value is held against the
//! schema of this deployment before it is written, and every record against its rules before it is published.

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

/// An import, under way. It is to be finished or aborted.
pub struct Import {
    caller: Caller,
    row: Row,
    database: Box<dyn PreparedDatabase>,
    /// The tables there may be.
    layout: HashMap<Name, TableLayout>,
    seen: HashSet<Name>,
    /// The table whose rows come, with the columns that its rows have, in order.
    present: Option<(Name, Vec<Column>)>,
    census: Census,
    lock: Box<dyn OrganizationLock>,
}

impl Import {
    /// Lists the organization as *importing*, and begins its database. `name` is what it is to be called, `None` if as it was.
    ///
    /// # Errors
    /// [`ImportError`]; nothing is left then.
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

    /// Begins with the rows of a table.
    ///
    /// # Errors
    /// [`ImportError::Invalid`] if it isn't one that the schema here has, with these columns.
    pub fn table(&mut self, described: &TableLayout) -> Result<(), ImportError> {
        let name = &described.table.name;
        let known = self.layout.get(name);
        let known = known.ok_or_else(|| ImportError::Invalid(format!("the schema here has no table {name}")))?;
        if !self.seen.insert(name.clone()) {
            return Err(ImportError::Invalid(format!("the table {name} comes twice")));
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
                    return Err(ImportError::Invalid(format!("the schema here has no such column {name}.{column}")));
                }
            }
        }
        self.present = Some((name.clone(), columns));
        Ok(())
    }

    /// Takes rows of the table that was begun with.
    ///
    /// # Errors
    /// [`ImportError::Invalid`] if they are none of that table, or one is there already.
    pub async fn rows(&mut self, deployment: &Deployment, given: Vec<Vec<Datum>>) -> Result<(), ImportError> {
        let Some((table, columns)) = &self.present else {
            return Err(ImportError::Invalid("rows come before their table".to_owned()));
        };
        let cells = self.layout.get(table).map(|table_layout| &table_layout.cells);
        let mut steps = Vec::with_capacity(given.len());
        for row in given {
            if row.len() != columns.len() {
                return Err(ImportError::Invalid(format!("a row of {table} has not one value for each column")));
            }
            for (column, datum) in columns.iter().zip(&row) {
                if !fits(column, datum) {
                    let column = &column.name;
                    return Err(ImportError::Invalid(format!("a value is none that {table}.{column} can have")));
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
        let twice = ImportError::Invalid(format!("a row of {table} comes twice, or lacks what every row has"));
        stored.map_err(|error| ImportError::of(error, twice))?;
        deployment.reached(FailPoint::ImportPartStored);
        Ok(())
    }

    /// Verifies what is there, puts it where it belongs, and serves it.
    ///
    /// # Errors
    /// [`ImportError`]; nothing is left then, unless the outcome is unknown.
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
            // Whoever imports an organization that was deleted here wants it back.
            TombstoneRow::delete(TombstoneRow::organization().is(row.id)),
            Step::Audit(entry.clone()),
        ];
        let listed = ports.configuration.commit(Commit::of(ready)).await;
        listed.map_err(|error| ImportError::of(error, ImportError::AlreadyExists))?;
        deployment.reached(FailPoint::ImportReady);
        let store = ports.databases.open(row.id).await.map_err(|error| match error {
            OpenError::Missing => {
                ImportError::Store(StoreFailure::Unavailable("the database just published is missing".into()))
            }
            OpenError::Unavailable(cause) => ImportError::Store(StoreFailure::Unavailable(cause)),
            error @ OpenError::OtherInside => ImportError::Store(StoreFailure::internal(error)),
        })?;
        let organization = admit(deployment, &row, store).await?;
        let recorded = organization.record(entry).await;
        recorded.map_err(|error| {
            ImportError::of(error, ImportError::Store(StoreFailure::Unavailable("an audit record was refused".into())))
        })?;
        Ok(organization)
    }

    /// Holds the database against itself, and gives it the name it has here, the indexes that it wants and the census of its cells.
    async fn verify(&self, deployment: &Deployment) -> Result<(), ImportError> {
        let store = self.database.store();
        let invalid = |problem: &str| ImportError::Invalid(problem.to_owned());
        let inside = read_each(store, OrganizationRow::id(), Condition::EVERYTHING).await?;
        if inside != [Ok(self.row.id)] {
            return Err(invalid("what is inside is another organization than the header says"));
        }
        // A ring that doesn't read, or is missing, is imported as it is: ordinary attributes are of use without it.
        if let Ok(ring) = ring_rows::read(store).await?
            && ring.organization != self.row.id
        {
            return Err(invalid("its key ring is another organization's"));
        }
        let customized = OrganizationSchema::read(store, &deployment.schema).await?;
        records::check(store, &deployment.schema, &customized).await?;
        let name = vec![OrganizationRow::name().set(self.row.name.clone())];
        let mut steps = vec![OrganizationRow::update(Condition::EVERYTHING, name, Expect::One)];
        steps.extend(customized.make_indexes());
        steps.extend(self.census.iter().map(|(kind, cells)| kind.clone().insert(*cells)));
        let stored = store.commit(Commit::of(steps)).await;
        stored.map_err(|error| ImportError::of(error, invalid("it has no organization inside")))?;
        Ok(())
    }

    /// Removes what there is of it.
    pub async fn abort(self, deployment: &Deployment) {
        // What can't be removed now goes at the next start: the row says what it is.
        let _left = self.database.discard().await;
        unlist(deployment, &self.row).await;
        let _left = self.lock.discard().await;
    }
}

async fn unlist(deployment: &Deployment, row: &Row) {
    // The lock is held: nobody else has moved the row on.
    let unlist = row.unlist(Expect::Any);
    let _left = deployment.ports.configuration.commit(Commit::of(vec![unlist])).await;
}

/// Whether a column may hold this.
fn fits(column: &Column, datum: &Datum) -> bool {
    match datum.kind() {
        None => column.nullable,
        Some(kind) => kind == column.kind && !matches!(datum, Datum::Text(text) if text.contains('\0')),
    }
}
