//! Export an organization: every table of its database, as it is at one moment, row by row.
//!
//! What is read is what is stored: cells stay sealed and data keys wrapped; key texts are in the configuration database and have no way in
//! here. Left out is what has no meaning elsewhere, or can be made of the rest.

use std::sync::Arc;

use crate::{
    audit::entry::AuditEntry,
    deployment::Deployment,
    id::{OrganizationId, Timestamp},
    layout::{self, TableLayout},
    name::OrganizationName,
    organization::ring_rows,
    permit::Permit,
    policy::{self, Recorded as _},
    store::{Cause, Condition, Datum, Direction, Name, Reader, Row, ScanError, Select, StoreFailure},
    table::{
        catalog::{CatalogRow, MigrationRow},
        cell::CensusRow,
        declare::TableRow as _,
        key::RestoreAttemptRow,
        organization::RequestRow,
    },
};

/// Tables that an export leaves out: requests are remembered under this deployment's root key, attempts to restore are this deployment's,
/// and the others are made anew by an import.
const LEFT_OUT: [&str; 5] =
    [RequestRow::TABLE, RestoreAttemptRow::TABLE, CatalogRow::TABLE, MigrationRow::TABLE, CensusRow::TABLE];

/// Which organization an export holds, and as of when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Its id.
    pub id: OrganizationId,
    /// Its name; `None` in a file whose name isn't one, which can be imported under another name.
    pub name: Option<OrganizationName>,
    /// When it was created.
    pub create_time: Timestamp,
    /// When the snapshot was taken.
    pub export_time: Timestamp,
    /// The key that the export needs; empty if the ring doesn't read.
    pub fingerprint: String,
}

/// An export, under way. It holds a snapshot: take its parts, or drop it.
pub struct Export {
    snapshot: Arc<dyn Reader>,
    /// The tables that are left, the present one last.
    tables: Vec<TableLayout>,
    /// Whether the present table was described, and the key of its last row.
    place: Position,
    rows_total: u64,
}

enum Position {
    Described,
    After(Vec<Datum>),
    Undescribed,
}

/// The next piece of an export.
#[derive(Debug)]
pub enum Part {
    /// A table, whose rows follow.
    Table(TableLayout),
    /// Rows of it, with the values of its columns in order.
    Rows(Vec<Row>),
}

/// The tables that an export of this schema has.
#[must_use]
pub(super) fn tables(layout: layout::Layout) -> Vec<TableLayout> {
    layout.tables.into_iter().filter(|table_layout| !LEFT_OUT.contains(&&*table_layout.table.name)).collect()
}

impl Export {
    /// Takes the snapshot, once it is in the trail that it is taken.
    ///
    /// # Errors
    /// [`StoreFailure`].
    pub async fn begin(
        deployment: &Deployment,
        permit: Permit<policy::ExportOrganization>,
    ) -> Result<(Exported, Export), StoreFailure> {
        let organization = permit.organization();
        let export_time = deployment.now();
        let entry = AuditEntry {
            caller: Some(permit.caller().clone()),
            ..AuditEntry::done(export_time, policy::ExportOrganization::AUDIT, organization.resource_name())
        };
        organization.record(entry).await.map_err(StoreFailure::unaudited)?;
        let snapshot = organization.store.snapshot().await?;
        let ring = ring_rows::read(&*snapshot).await?;
        let exported = Exported {
            id: organization.id,
            name: Some(organization.name.clone()),
            create_time: organization.create_time,
            export_time,
            fingerprint: ring.map(|ring| ring.fingerprint().to_string()).unwrap_or_default(),
        };
        let mut tables = tables(layout::organization(&deployment.schema));
        let mut rows_total = 0;
        for table_layout in &tables {
            rows_total += snapshot.count(table_layout.table.name.clone(), Condition::EVERYTHING).await?;
        }
        tables.reverse();
        Ok((exported, Export { snapshot, tables, place: Position::Undescribed, rows_total }))
    }

    /// How many rows it has.
    #[must_use]
    pub fn rows_total(&self) -> u64 {
        self.rows_total
    }

    /// The next part; `None` after the last.
    ///
    /// # Errors
    /// If the store doesn't answer.
    pub async fn next(&mut self) -> Result<Option<Part>, StoreFailure> {
        loop {
            let Some(table_layout) = self.tables.last() else { return Ok(None) };
            let rows = match &self.place {
                Position::Undescribed => {
                    let described = table_layout.clone();
                    self.place = Position::Described;
                    return Ok(Some(Part::Table(described)));
                }
                Position::Described => Condition::EVERYTHING,
                Position::After(key) => {
                    Condition::later(table_layout.table.key.iter().cloned().zip(key.iter().cloned()))
                }
            };
            let table = &table_layout.table;
            let select = Select {
                table: table.name.clone(),
                columns: table.columns.iter().map(|column| column.name.clone()).collect(),
                rows,
                order: table.key.iter().map(|name| (name.clone(), Direction::Ascending)).collect(),
                limit: PAGE_ROWS,
            };
            let found = self.snapshot.scan(select, PAGE_BYTES).await.map_err(|error| match error {
                ScanError::Unavailable(error) => StoreFailure::from(error),
                // A snapshot has no bound for the time of one page.
                error @ ScanError::TooLong { .. } => StoreFailure::Unavailable(Cause(error.into())),
            })?;
            let found = found.rows;
            let position = |name: &Name| table.columns.iter().position(|column| column.name == *name);
            let Some(last) = found.last() else {
                self.tables.pop();
                self.place = Position::Undescribed;
                continue;
            };
            let key = table.key.iter().filter_map(position).filter_map(|index| last.get(index).cloned());
            self.place = Position::After(key.collect());
            return Ok(Some(Part::Rows(found)));
        }
    }
}

/// A part has so many rows at most, and ends with the row that exceeds so many bytes.
const PAGE_ROWS: u32 = 256;
const PAGE_BYTES: usize = 1024 * 1024;
