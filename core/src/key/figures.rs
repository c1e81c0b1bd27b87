//! Figures about an organization's keys and cells for monitoring: numbers only, and for no caller.

use std::collections::BTreeMap;

use crate::{
    census,
    deployment::Deployment,
    id::{KeyVersion, Timestamp},
    key::{
        change,
        quota::{RESTORE_INTERVAL_SECONDS, used},
        reencrypt::cursor::Cursor,
        restore,
    },
    organization::handle::Organization,
    store::{Condition, Unavailable},
    table::{cell::UnreadableCellRow, declare::TableRow as _},
};

/// The figures in an organization's database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The numbers of cells by key version; `None` for bytes that aren't a cell.
    pub cells: BTreeMap<Option<KeyVersion>, u64>,
    /// The number of cells that the last re-encryption couldn't open, and that weren't replaced since.
    pub cells_unreadable: u64,
    /// The progress of the last re-encryption; `None` if there was none.
    pub reencryption: Option<Progress>,
    /// The times of changes of the key.
    changes: Vec<Timestamp>,
    /// The times of attempts to restore the key.
    restores: Vec<Timestamp>,
}

/// The progress of a re-encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The number of cells to seal again; 0 until they are counted.
    pub cells: u64,
    /// The number of completed cells.
    pub cells_done: u64,
    /// Whether it has not ended.
    pub is_unfinished: bool,
}

impl Figures {
    /// Reads the figures. Opens the database if it is closed.
    ///
    /// # Errors
    /// If the store is unavailable.
    pub async fn read(organization: &Organization) -> Result<Self, Unavailable> {
        let store = &*organization.store;
        let mut cells = BTreeMap::new();
        for (kind, count) in census::stored(store).await? {
            let sum: &mut u64 = cells.entry(kind.version).or_default();
            *sum = sum.saturating_add(u64::try_from(count).unwrap_or(0));
        }
        Ok(Figures {
            cells,
            cells_unreadable: store.count(UnreadableCellRow::TABLE.into(), Condition::EVERYTHING).await?,
            reencryption: Cursor::read(store).await?.map(|cursor| Progress {
                cells: cursor.cells_total.unwrap_or(0),
                cells_done: cursor.cells_done,
                is_unfinished: cursor.end_time.is_none(),
            }),
            changes: change::times_of_changes(organization).await?,
            restores: restore::times_of_attempts(organization).await?,
        })
    }

    /// Returns the number of changes of the key that count for its quota at this time.
    #[must_use]
    pub fn changes_counted(&self, now: Timestamp) -> usize {
        used(&self.changes, now, change::QUOTA_INTERVAL_SECONDS)
    }

    /// Returns the number of attempts to restore the key that count for their quota at this time.
    #[must_use]
    pub fn restores_counted(&self, now: Timestamp) -> usize {
        used(&self.restores, now, RESTORE_INTERVAL_SECONDS)
    }
}

/// Returns the recent rate of a re-encryption in cells per second; `None` if it isn't known.
#[must_use]
pub fn reencryption_rate(deployment: &Deployment, organization: &Organization, progress: &Progress) -> Option<f64> {
    organization.pace().cells_per_second(deployment.now(), progress.cells_done).filter(|_| progress.is_unfinished)
}
