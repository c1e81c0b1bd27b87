//! Opens the cells of a file under the source's UUID, and seals them under the copy's, on threads for computations.
//!
//! No plaintext leaves this file. A cell that doesn't open ends the import.

use std::sync::Arc;

use crate::{
    concurrent::Computing,
    crypto::{
        cell::{CellError, CellFormatError},
        context::CellContext,
        ring::KeyRing,
    },
    deployment::Deployment,
    id::{OrganizationId, RecordId},
    random::{self, Random},
    store::{Column, Datum, Name, Row, Unavailable},
    table::record::RecordColumns,
};

/// The rings of the source and of its copy, with their organizations.
#[derive(Clone)]
pub(super) struct Rings {
    pub(super) source: (OrganizationId, Arc<KeyRing>),
    pub(super) copy: (OrganizationId, Arc<KeyRing>),
}

/// Why rows can't be sealed again.
pub(super) enum Unsealed {
    /// A row has no record id.
    WithoutId,
    /// A cell of this column and record doesn't open.
    Cell { column: Name, record: RecordId, error: CellError },
    /// The computation failed.
    Unavailable(Unavailable),
}

impl Unsealed {
    /// Returns the format of the cell, if a newer version wrote it.
    pub(super) fn newer_format(&self) -> Option<u8> {
        match self {
            Unsealed::Cell { error: CellError::Malformed(CellFormatError::NewerFormat { format }), .. } => {
                Some(*format)
            }
            Unsealed::Cell { .. } | Unsealed::WithoutId | Unsealed::Unavailable(_) => None,
        }
    }
}

impl Rings {
    /// Returns rows of an entity's table with their cells sealed again. `cells` are the columns of cells.
    pub(super) async fn reseal(
        &self,
        deployment: &Deployment,
        table: &Name,
        columns: &[Column],
        cells: &[Name],
        rows: Vec<Row>,
    ) -> Result<Vec<Row>, Unsealed> {
        let id = RecordColumns::id().name();
        let id = columns.iter().position(|column| column.name == id).ok_or(Unsealed::WithoutId)?;
        let is_cell = |(position, column): (usize, &Column)| {
            cells.contains(&column.name).then(|| (position, column.name.clone()))
        };
        let cells: Arc<[(usize, Name)]> = columns.iter().enumerate().filter_map(is_cell).collect();
        let (rings, table, random) = (self.clone(), table.clone(), Arc::clone(&deployment.ports.random));
        let sealing = Computing::start(&*deployment.ports.computation, rows, move |mut rows: Vec<Row>| {
            let nonces = random::Pooled::new(&*random);
            for row in &mut rows {
                rings.reseal_row(&table, id, &cells, row, &nonces)?;
            }
            Ok(rows)
        });
        let parts = sealing.results().await.map_err(Unsealed::Unavailable)?;
        Ok(parts.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn reseal_row(
        &self,
        table: &Name,
        id: usize,
        cells: &[(usize, Name)],
        row: &mut Row,
        nonces: &dyn Random,
    ) -> Result<(), Unsealed> {
        let Some(Datum::Uuid(record)) = row.get(id) else { return Err(Unsealed::WithoutId) };
        let record = RecordId::from_uuid(*record);
        for (position, column) in cells {
            let Some(Datum::Bytes(cell)) = row.get_mut(*position) else { continue };
            let context = |organization| CellContext { organization, entity: table, record, attribute: column };
            let (source, copy) = (&self.source, &self.copy);
            let value = source.1.open_cell(&context(source.0), cell);
            let value = value.map_err(|error| Unsealed::Cell { column: column.clone(), record, error })?;
            *cell = copy.1.seal(&context(copy.0), &value, nonces);
        }
        Ok(())
    }
}
