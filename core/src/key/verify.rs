//! Verifies all cells of a snapshot by opening them, and compares the census of the snapshot with the cells.
//!
//! A snapshot keeps ring, cells and census consistent during concurrent writes. Only the audit trail is written, and no
//! plaintext leaves this file.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    audit::entry::AuditAction,
    cells::{CellColumn, CellPage, CellWalk, PAGE_CELLS, StoredCell},
    census::{self, CellKind, Census, versions},
    concurrent::Computing,
    crypto::{
        context::CellContext,
        ring::{KeyRing, RingError, stored::RingUnread},
    },
    deployment::Deployment,
    id::{KeyVersion, OrganizationId},
    key::{
        error::KeyError,
        outcome::{CurrentKey, audited, done},
        unreadable::UnreadableCell,
    },
    organization::{key_text::read_text, keys::Obstacle, ring_rows},
    permit::{Attempt, Permit},
    policy,
    port::Computation,
    store::{Condition, Reader, StoreFailure, Unavailable},
};

/// A verification in progress. It holds a snapshot, so complete its steps or drop it. While the cells of a page are opened
/// on threads for computations, the next page is read.
pub struct Verification {
    snapshot: Arc<dyn Reader>,
    computation: Arc<dyn Computation>,
    organization: OrganizationId,
    ring: Arc<KeyRing>,
    walk: CellWalk,
    /// The cells to check next; `None` before the first and after the last.
    page: Option<CellPage>,
    cells_total: u64,
    cells_checked: u64,
    counted: Census,
    /// The unreadable cells that aren't reported yet.
    unreadable: Vec<UnreadableCell>,
    is_complete: bool,
}

/// The maximum number of unreadable cells in one step. They fit in the smallest message that a deployment may choose.
const REPORTED_MAX: usize = 1_024;

/// The progress of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The number of cells.
    pub cells_total: u64,
    /// The number of checked cells, readable or not.
    pub cells_checked: u64,
    /// The unreadable cells since the previous step.
    pub unreadable: Vec<UnreadableCell>,
    /// The errors of the census after all cells were checked; `None` before.
    pub census: Option<Vec<Miscount>>,
}

/// A kind of cell with a wrong count in the census.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miscount {
    /// The kind of cell.
    pub kind: CellKind,
    /// The count in the census.
    pub counted: i64,
    /// The actual number of cells.
    pub found: i64,
}

impl Verification {
    /// Creates the snapshot, and opens its ring.
    ///
    /// # Errors
    /// [`KeyError::NotPresent`] without the key, [`KeyError::RingDamaged`]. Each refusal is recorded in the trail.
    pub async fn begin(
        deployment: &Deployment,
        permit: Permit<policy::ReadKeyStatus>,
    ) -> Result<Verification, KeyError> {
        let by = permit.attempt_as(AuditAction::VerifyCells);
        let begun = Self::open(deployment, &by).await;
        let verification = audited(deployment, &by, begun).await?;
        let ring = &verification.ring;
        let key = CurrentKey { fingerprint: ring.fingerprint(), key_version: ring.version() };
        by.organization.record(done(deployment, &by, key)).await.map_err(StoreFailure::unaudited)?;
        Ok(verification)
    }

    async fn open(deployment: &Deployment, by: &Attempt) -> Result<Verification, KeyError> {
        let organization = &by.organization;
        let snapshot = organization.store.snapshot().await?;
        let stored = ring_rows::read(&*snapshot).await?.map_err(|unread| match unread {
            RingUnread::Newer { format } => KeyError::Inaccessible(Obstacle::NewerRing { format }),
            RingUnread::Damaged(_) => KeyError::RingDamaged,
        })?;
        let wanted = stored.fingerprint();
        let text = read_text(deployment, organization.id, &stored.check).await?;
        let (_, kek) = text.ok_or(KeyError::NotPresent { wanted })?;
        let ring = KeyRing::open(&stored, organization.id, &kek).map_err(|error| match error {
            RingError::Newer { format } => KeyError::Inaccessible(Obstacle::NewerRing { format }),
            // The text was sealed for this key-check value, so a mismatch is damage too.
            RingError::KeyMismatch | RingError::Damaged(_) => KeyError::RingDamaged,
        })?;
        Ok(Self::of_copy(snapshot, Arc::clone(&deployment.ports.computation), organization.id, ring).await?)
    }

    /// Starts the verification of a database at rest, such as a backup, with its opened ring. Nothing is recorded.
    ///
    /// # Errors
    /// If the store is unavailable.
    pub async fn of_copy(
        snapshot: Arc<dyn Reader>,
        computation: Arc<dyn Computation>,
        organization: OrganizationId,
        ring: KeyRing,
    ) -> Result<Verification, Unavailable> {
        let walk = CellWalk::over_all(&*snapshot).await?;
        let mut cells_total = 0;
        for CellColumn { table, column } in walk.columns() {
            let set = Condition::IsNull(column.clone().into()).negated();
            cells_total += snapshot.count(table.clone().into(), set).await?;
        }
        Ok(Verification {
            snapshot,
            computation,
            organization,
            ring: Arc::new(ring),
            walk,
            page: None,
            cells_total,
            cells_checked: 0,
            counted: Census::new(),
            unreadable: Vec::new(),
            is_complete: false,
        })
    }

    /// Checks the next cells. Returns `None` after the last step.
    ///
    /// # Errors
    /// If the store is unavailable.
    pub async fn step(&mut self) -> Result<Option<Verified>, KeyError> {
        if self.is_complete {
            return Ok(None);
        }
        if self.unreadable.is_empty() {
            self.check_page().await?;
        }
        let later = self.unreadable.split_off(self.unreadable.len().min(REPORTED_MAX));
        let unreadable = std::mem::replace(&mut self.unreadable, later);
        self.is_complete = self.page.is_none() && self.unreadable.is_empty();
        let census = if self.is_complete { Some(self.miscounts().await?) } else { None };
        Ok(Some(Verified { cells_total: self.cells_total, cells_checked: self.cells_checked, unreadable, census }))
    }

    /// Checks a page, and reads the next one at the same time.
    async fn check_page(&mut self) -> Result<(), KeyError> {
        if self.page.is_none() {
            self.page = self.walk.next(&*self.snapshot, PAGE_CELLS).await?;
        }
        let Some(CellPage { column, cells, .. }) = self.page.take() else { return Ok(()) };
        self.cells_checked += u64::try_from(cells.len()).unwrap_or(0);
        let (organization, ring, place) = (self.organization, Arc::clone(&self.ring), column.clone());
        let checking =
            Computing::start(&*self.computation, cells, move |cells| Checked::of(&ring, organization, &place, &cells));
        self.page = self.walk.next(&*self.snapshot, PAGE_CELLS).await?;
        for Checked { versions, unreadable } in checking.results().await? {
            for (version, cells) in versions {
                *self.counted.entry(CellKind::new(&column, version)).or_default() += cells;
            }
            self.unreadable.extend(unreadable);
        }
        Ok(())
    }

    async fn miscounts(&self) -> Result<Vec<Miscount>, KeyError> {
        let stored = census::stored(&*self.snapshot).await?;
        let kinds: BTreeSet<&CellKind> = stored.keys().chain(self.counted.keys()).collect();
        let count = |census: &Census, kind: &CellKind| census.get(kind).copied().unwrap_or(0);
        let miscounts = kinds.into_iter().map(|kind| Miscount {
            kind: kind.clone(),
            counted: count(&stored, kind),
            found: count(&self.counted, kind),
        });
        Ok(miscounts.filter(|miscount| miscount.counted != miscount.found).collect())
    }
}

/// The result of checking some cells of one column.
struct Checked {
    versions: BTreeMap<Option<KeyVersion>, i64>,
    unreadable: Vec<UnreadableCell>,
}

impl Checked {
    fn of(ring: &KeyRing, organization: OrganizationId, column: &CellColumn, cells: &[StoredCell]) -> Checked {
        let opens = |cell: &StoredCell| {
            let (entity, attribute) = (&*column.table, &*column.column);
            let context = CellContext { organization, entity, record: cell.record, attribute };
            ring.open_cell(&context, &cell.bytes).err().map(|error| UnreadableCell::new(column, cell, &error))
        };
        Checked { versions: versions(cells), unreadable: cells.iter().filter_map(opens).collect() }
    }
}
