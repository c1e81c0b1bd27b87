//! Batches: cells of one column that are sealed again, or cleared, on threads for computations and written in one commit.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    cells::{CellColumn, CellPage, StoredCell},
    census::CellKind,
    concurrent::Computing,
    crypto::{
        cell,
        context::CellContext,
        ring::{KeyRing, stored::ReencryptionState},
    },
    deployment::Deployment,
    id::{KeyVersion, OrganizationId},
    key::{reencrypt::cursor::Cursor, unreadable::UnreadableCell},
    organization::handle::Organization,
    random::{self, Random},
    store::{Assignment, Rewrite, RowNumber, Step, Unavailable},
    table::record::RecordColumns,
};

/// A batch that is being sealed.
pub(super) struct Sealing {
    column: CellColumn,
    is_full: bool,
    is_last: bool,
    after: Option<RowNumber>,
    cells: u32,
    parts: Computing<Sealed>,
}

impl Sealing {
    pub(super) fn start(
        deployment: &Deployment,
        organization: &Organization,
        ring: &Arc<KeyRing>,
        page: CellPage,
    ) -> Sealing {
        let CellPage { column, cells, is_full, is_last } = page;
        let after = cells.last().map(|cell| cell.row);
        let count = u32::try_from(cells.len()).unwrap_or(u32::MAX);
        let (ring, random) = (Arc::clone(ring), Arc::clone(&deployment.ports.random));
        let (of, place) = (organization.id, column.clone());
        let parts = Computing::start(&*deployment.ports.computation, cells, move |cells| {
            Sealed::of(&ring, of, &place, cells, &*random)
        });
        Sealing { column, is_full, is_last, after, cells: count, parts }
    }

    pub(super) async fn batch(self) -> Result<Batch, Unavailable> {
        let Sealing { column, is_full, is_last, after, cells, parts } = self;
        let mut sealed = Sealed::default();
        parts.results().await?.into_iter().for_each(|part| sealed.extend(part));
        Ok(Batch { column, is_full, is_last, after, cells, sealed })
    }
}

/// The new content of cells.
#[derive(Default)]
struct Sealed {
    /// The cells to write, by the version that they had.
    rewritten: BTreeMap<Option<KeyVersion>, Vec<Rewrite>>,
    /// The cells that can't be opened, with their bytes.
    unreadable: Vec<(UnreadableCell, Vec<u8>)>,
}

impl Sealed {
    /// Seals cells of one column again, or clears them.
    fn of(
        ring: &KeyRing,
        organization: OrganizationId,
        column: &CellColumn,
        cells: Vec<StoredCell>,
        random: &dyn Random,
    ) -> Sealed {
        let nonces = random::Pooled::new(random);
        let mut sealed = Sealed::default();
        for cell in cells {
            let value = if is_clearing(ring) && cell::newer_format(&cell.bytes).is_none() {
                Ok(None)
            } else {
                // A cell of a newer version isn't cleared, but set aside like one that can't be opened.
                let (entity, attribute) = (&*column.table, &*column.column);
                let context = CellContext { organization, entity, record: cell.record, attribute };
                ring.open_cell(&context, &cell.bytes).map(|value| Some(ring.seal(&context, &value, &nonces)))
            };
            match value {
                Ok(value) => {
                    let version = cell::version_of(&cell.bytes).ok();
                    let rewrite = Rewrite { number: cell.row, former: cell.bytes, value };
                    sealed.rewritten.entry(version).or_default().push(rewrite);
                }
                Err(error) => sealed.unreadable.push((UnreadableCell::new(column, &cell, &error), cell.bytes)),
            }
        }
        sealed
    }

    fn extend(&mut self, other: Sealed) {
        for (version, rows) in other.rewritten {
            self.rewritten.entry(version).or_default().extend(rows);
        }
        self.unreadable.extend(other.unreadable);
    }
}

/// A sealed batch of one column.
pub(super) struct Batch {
    column: CellColumn,
    /// Whether it has as many cells as were allowed.
    pub(super) is_full: bool,
    /// Whether the column has no cells after these.
    is_last: bool,
    /// The last row.
    after: Option<RowNumber>,
    pub(super) cells: u32,
    sealed: Sealed,
}

impl Batch {
    /// Returns the progress after this batch.
    pub(super) fn cursor_after(&self, before: &Cursor) -> Cursor {
        let mut column = self.column.clone();
        if self.is_last {
            // The cursor leaves a completed column by naming the smallest possible next one.
            column.column.push('\u{1}');
        }
        Cursor {
            column,
            after: self.after.filter(|_| !self.is_last),
            after_id: None,
            cells_done: before.cells_done.saturating_add(self.cells.into()),
            ..before.clone()
        }
    }

    /// Returns the steps that write the cells, if they are unchanged since they were read.
    pub(super) fn steps(self, deployment: &Deployment, ring: &KeyRing) -> impl Iterator<Item = Step> {
        let Batch { column, sealed, .. } = self;
        let kind = |version| CellKind::new(&column, version);
        let mut steps = Vec::new();
        for (version, rows) in sealed.rewritten {
            let set = if is_clearing(ring) { cleared(deployment) } else { Vec::new() };
            let (table, name) = (column.table.clone().into(), column.column.clone().into());
            steps.push(Step::Rewrite { table, column: name, rows, set });
            if !is_clearing(ring) {
                steps.push(kind(Some(ring.version())).tally(1));
            }
            steps.push(kind(version).tally(-1));
        }
        steps.extend(sealed.unreadable.into_iter().flat_map(|(cell, bytes)| cell.set_aside(&bytes)));
        steps.into_iter()
    }
}

/// Returns the changes of a record whose cell is cleared. They are visible to readers, because the existence of a value
/// is no secret.
fn cleared(deployment: &Deployment) -> Vec<Assignment> {
    vec![
        RecordColumns::revision().add(1),
        RecordColumns::update_time().set(deployment.now()),
        // The service itself clears the value, possibly hours after the caller abandoned the data.
        RecordColumns::modified_by().set(None),
    ]
}

/// Returns whether the walk clears cells of a lost key instead of sealing them again.
pub(super) fn is_clearing(ring: &KeyRing) -> bool {
    ring.reencryption().state == ReencryptionState::Clearing
}
