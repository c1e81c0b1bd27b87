//! Exports an organization: all tables of its database in one snapshot, row by row.
//!
//! The export contains the stored values: cells are sealed, and data keys are wrapped. Key texts are in the
//! configuration database, and this file has no access to them. Tables without meaning elsewhere, and tables that an
//! import can rebuild, are left out.

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
        record::ComparisonRow,
    },
};

/// The tables that an export leaves out. Request ids depend on this deployment's root key, and restore attempts and
/// comparisons belong to this deployment. An import rebuilds the others.
const LEFT_OUT: [&str; 6] = [
    RequestRow::TABLE,
    RestoreAttemptRow::TABLE,
    ComparisonRow::TABLE,
    CatalogRow::TABLE,
    MigrationRow::TABLE,
    CensusRow::TABLE,
];

/// The exported organization, and the time of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The id of the organization.
    pub id: OrganizationId,
    /// The name of the organization; `None` if the name in the file is invalid. It can then be imported with another
    /// name.
    pub name: Option<OrganizationName>,
    /// The creation time.
    pub create_time: Timestamp,
    /// The time of the snapshot.
    pub export_time: Timestamp,
    /// The fingerprint of the required key; empty if the ring can't be read.
    pub fingerprint: String,
}

/// An export in progress. It holds a snapshot, so read all its parts or drop it.
pub struct Export {
    snapshot: Arc<dyn Reader>,
    /// The remaining tables in reverse order. The current table is the last.
    tables: Vec<TableLayout>,
    /// The position in the current table.
    place: Position,
    rows_total: u64,
}

enum Position {
    Described,
    After(Vec<Datum>),
    Undescribed,
}

/// A part of an export.
#[derive(Debug)]
pub enum Part {
    /// A table. Its rows follow.
    Table(TableLayout),
    /// Rows of the table, with the values of its columns in order.
    Rows(Vec<Row>),
}

/// Returns the tables in an export of this layout.
#[must_use]
pub(super) fn tables(layout: layout::Layout) -> Vec<TableLayout> {
    layout.tables.into_iter().filter(|table_layout| !LEFT_OUT.contains(&&*table_layout.table.name)).collect()
}

impl Export {
    /// Records the export in the trail, then creates the snapshot.
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

    /// Returns the number of rows in the export.
    #[must_use]
    pub fn rows_total(&self) -> u64 {
        self.rows_total
    }

    /// Returns the next part; `None` after the last.
    ///
    /// # Errors
    /// If the store is unavailable.
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
                // Reads of a snapshot have no time limit.
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

/// The maximum number of rows in a part. A part also ends with the row that exceeds the maximum number of bytes.
const PAGE_ROWS: u32 = 256;
const PAGE_BYTES: usize = 1024 * 1024;
