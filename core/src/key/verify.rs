//! Verifies all cells of a snapshot by opening them, and compares the census of the snapshot with the cells.
//!
//! A snapshot keeps ring, cells and census consistent during concurrent writes. Only the audit trail is written, and no
//! plaintext leaves this file.

use std::collections::BTreeSet;

use crate::{
    audit::entry::AuditAction,
    catalog::cell_columns,
    census::{self, CellKind, Census},
    crypto::{
        context::CellContext,
        ring::{KeyRing, stored::RingUnread},
    },
    deployment::Deployment,
    id::OrganizationId,
    key::{
        error::KeyError,
        outcome::{CurrentKey, audited, done},
        unreadable::UnreadableCell,
    },
    organization::{key_text::read_text, keys::Obstacle, ring_rows},
    permit::{Attempt, Permit},
    policy,
    store::{Condition, Reader, StoreFailure},
};

/// A verification in progress. It holds a snapshot, so complete its steps or drop it.
pub struct Verification {
    snapshot: std::sync::Arc<dyn Reader>,
    organization: OrganizationId,
    ring: KeyRing,
    walk: census::Walk,
    cells_total: u64,
    cells_checked: u64,
    counted: Census,
}

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
        let ring = KeyRing::open(&stored, organization.id, &kek).map_err(|_| KeyError::RingDamaged)?;
        let columns = cell_columns(&*snapshot).await?;
        let mut cells_total = 0;
        for (table, column) in &columns {
            let set = Condition::IsNull(column.clone().into()).negated();
            cells_total += snapshot.count(table.clone().into(), set).await?;
        }
        Ok(Verification {
            snapshot,
            organization: organization.id,
            ring,
            walk: census::Walk::of(columns),
            cells_total,
            cells_checked: 0,
            counted: Census::new(),
        })
    }

    /// Checks the next cells. Returns `None` after the last step.
    ///
    /// # Errors
    /// If the store is unavailable.
    pub async fn step(&mut self) -> Result<Option<Verified>, KeyError> {
        let Some(page) = self.walk.next(&*self.snapshot).await? else { return Ok(None) };
        let (table, column) = (&page.table, &page.column);
        let mut unreadable = Vec::new();
        for (record, cell) in &page.cells {
            *self.counted.entry(CellKind::of(table, column, cell)).or_default() += 1;
            let context =
                CellContext { organization: self.organization, entity: table, record: *record, attribute: column };
            if let Err(error) = self.ring.open_cell(&context, cell) {
                unreadable.push(UnreadableCell::new(table, column, *record, cell, &error));
            }
        }
        self.cells_checked += u64::try_from(page.cells.len()).unwrap_or(0);
        let census = if self.walk.is_over() { Some(self.miscounts().await?) } else { None };
        Ok(Some(Verified { cells_total: self.cells_total, cells_checked: self.cells_checked, unreadable, census }))
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
