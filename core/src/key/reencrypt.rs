//! Re-encryption: after a change, seals all cells under the new data key, verifies that no other cell is left, and
//! destroys the old keys.
//!
//! The work consists of steps. [`Reencryption::advance`] does one step, which is a commit, and a crash can follow any
//! step. The progress is stored only in the database. The steps follow the walk over all cells in `cells.rs`. Each
//! write compares the old cell, so that a concurrent update wins. The revision, time and trail of a record don't change.
//!
//! Old data keys are destroyed only after a full scan of the stored headers, started after the last cell was done. The
//! scan must find no cell of another version, except cells that are set aside as unreadable.

use std::sync::Arc;

use batch::{Batch, Sealing, is_clearing};
use cursor::Cursor;
use size::BatchSize;

use crate::{
    audit::entry::AuditAction,
    cells::{CellColumn, CellPage, CellWalk},
    census,
    concurrent::join,
    crypto::ring::KeyRing,
    deployment::Deployment,
    fail_point::FailPoint,
    id::KeyVersion,
    key::{
        outcome::{CurrentKey, entry},
        scan::all_set_aside,
        step::{NextStep, step},
        unreadable::SetAside,
    },
    organization::{handle::Organization, keys::Keys, ring_rows, work::KeyWork},
    store::{Commit, CommitError, Condition, Expect, Step, StoreFailure},
    table::{
        cell::ReencryptionRow,
        configuration::KeyTextRow,
        declare::{TableRow as _, read},
    },
};

mod batch;
pub(crate) mod cursor;
mod size;

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// Cells were counted, sealed again or cleared, and work is left. Pause first, so that other callers can proceed.
    Worked,
    /// No cell was touched, and work is left.
    More,
    /// No work is left, or none until the key is restored.
    Idle,
}

/// Returns whether a re-encryption is unfinished and its key present, according to the state in memory.
#[must_use]
pub fn is_running(organization: &Organization) -> bool {
    organization
        .keys()
        .is_some_and(|keys| matches!(step(&keys), NextStep::Reseal(_) | NextStep::Clear(_) | NextStep::ForgetTexts))
}

/// A re-encryption in progress. Its batches are a pipeline: while one is committed, the next is sealed on threads for
/// computations, and the one after that is read.
pub struct Reencryption<'a> {
    deployment: &'a Deployment,
    organization: &'a Organization,
    size: BatchSize,
    pipeline: Option<Box<Pipeline>>,
}

impl<'a> Reencryption<'a> {
    /// Begins the re-encryption, or continues it.
    #[must_use]
    pub fn of(deployment: &'a Deployment, work: &'a KeyWork) -> Self {
        let size = BatchSize::first(&deployment.key_limits);
        Reencryption { deployment, organization: work.organization(), size, pipeline: None }
    }

    /// Does the next step, if there is one.
    ///
    /// # Errors
    /// [`StoreFailure`]. The step can be repeated.
    pub async fn advance(&mut self) -> Result<Advance, StoreFailure> {
        let Self { deployment, organization, .. } = *self;
        let keys = organization.refresh_keys(deployment).await?;
        match (step(&keys), keys) {
            (NextStep::Reseal(target) | NextStep::Clear(target), Keys::Active(ring)) => {
                self.reseal(&ring, target).await
            }
            (NextStep::ForgetTexts, Keys::Active(ring)) => forget_texts(deployment, organization, &ring).await,
            (
                NextStep::Idle | NextStep::AwaitRestore { .. } | NextStep::AwaitOtherServer | NextStep::ReportDamage,
                _,
            )
            | (_, Keys::Inactive(_) | Keys::Inaccessible(..) | Keys::Damaged) => Ok(Advance::Idle),
        }
    }

    async fn reseal(&mut self, ring: &Arc<KeyRing>, target: KeyVersion) -> Result<Advance, StoreFailure> {
        // After an error or a refusal, the pipeline is dropped, and the walk continues from the stored cursor.
        let pipeline = self.pipeline.take().filter(|pipeline| pipeline.ring.revision() == ring.revision());
        let mut pipeline = match pipeline {
            Some(pipeline) => pipeline,
            None => match self.begin(ring, target).await? {
                Begun::Pipeline(pipeline) => pipeline,
                Begun::Advanced(advance) => return Ok(advance),
            },
        };
        loop {
            match self.pass(&mut pipeline).await? {
                Pass::Filling => {}
                Pass::Committed => {
                    self.pipeline = Some(pipeline);
                    return Ok(Advance::Worked);
                }
                Pass::Refused => return Ok(Advance::Worked),
                Pass::Over => return finish(self.deployment, self.organization, ring, target, pipeline.cursor).await,
            }
        }
    }

    /// Stores the first progress and the number of cells. Afterwards, fills a pipeline from the stored progress.
    async fn begin(&self, ring: &Arc<KeyRing>, target: KeyVersion) -> Result<Begun, StoreFailure> {
        let Self { deployment, organization, .. } = self;
        let store = &*organization.store;
        let cursor = match Cursor::read(store).await? {
            Some(cursor) if cursor.target == target => cursor,
            Some(_) | None => {
                let first = Cursor::first(target, deployment.now());
                organization.commit(guarded(ring, first.replace())).await?;
                return Ok(Begun::Advanced(Advance::More));
            }
        };
        if cursor.cells_total.is_none() {
            // The number is only for display, and so is the census.
            let others = census::stored(store).await?.into_iter().filter(|(kind, _)| kind.version != Some(target));
            let total = others.map(|(_, cells)| cells.unsigned_abs()).sum();
            let counted = Cursor { cells_total: Some(total), ..cursor.clone() };
            organization.commit(guarded(ring, cursor.moved(&counted))).await?;
            deployment.reached(FailPoint::CellsCounted);
            return Ok(Begun::Advanced(if total == 0 { Advance::More } else { Advance::Worked }));
        }
        let mut walk = CellWalk::over_others(store, target).await?;
        walk.skip_to(&cursor.column, cursor.after);
        let pipeline = Pipeline { ring: Arc::clone(ring), cursor, walk, read: None, sealed: None };
        Ok(Begun::Pipeline(Box::new(pipeline)))
    }

    /// Commits the sealed batch, seals the batch that was read, and reads the next one, all at the same time.
    async fn pass(&mut self, pipeline: &mut Pipeline) -> Result<Pass, StoreFailure> {
        let Self { deployment, organization, size, .. } = self;
        let Pipeline { ring, cursor, walk, read, sealed } = pipeline;
        let sealing = read.take().map(|page| Sealing::start(deployment, organization, ring, page));
        let (ready, limit) = (sealed.take(), size.cells);
        if ready.is_none() && sealing.is_none() && walk.is_over() {
            return Ok(Pass::Over);
        }
        let commit = async {
            let Some(batch) = ready else { return Ok(Pass::Filling) };
            let begun = deployment.now();
            let (moved, cells, is_full) = (batch.cursor_after(cursor), batch.cells, batch.is_full);
            let steps = batch.steps(deployment, ring).chain(cursor.moved(&moved));
            match organization.commit(guarded(ring, steps)).await {
                Ok(()) => {
                    let now = deployment.now();
                    deployment.reached(FailPoint::BatchDone);
                    organization.pace().note(now, moved.cells_done);
                    // The last batch of a column says nothing about larger ones.
                    if is_full {
                        size.note(cells, now.unix_micros().saturating_sub(begun.unix_micros()));
                    }
                    *cursor = moved;
                    Ok(Pass::Committed)
                }
                // A cell to set aside has changed, or another walk has moved the cursor: read again.
                Err(CommitError::Refused { .. }) => Ok(Pass::Refused),
                Err(error) => Err(StoreFailure::from(error)),
            }
        };
        let (pass, page) = join(commit, walk.next(&*organization.store, limit)).await;
        let (pass, page) = (pass?, page?);
        if let Some(sealing) = sealing {
            *sealed = Some(sealing.batch().await?);
        }
        match page {
            // A column without further cells needs a read, but no transaction.
            Some(page) if page.cells.is_empty() => deployment.reached(FailPoint::BatchDone),
            page => *read = page,
        }
        Ok(pass)
    }
}

/// The result of [`Reencryption::begin`].
enum Begun {
    /// Cells can be sealed.
    Pipeline(Box<Pipeline>),
    /// The progress was stored.
    Advanced(Advance),
}

/// The result of [`Reencryption::pass`].
enum Pass {
    /// No batch was ready to be committed.
    Filling,
    /// A batch was committed.
    Committed,
    /// A batch was not committed, because the database has changed.
    Refused,
    /// No batch is left.
    Over,
}

/// The batches in progress, sealed under one revision of the ring.
struct Pipeline {
    ring: Arc<KeyRing>,
    /// The stored progress.
    cursor: Cursor,
    walk: CellWalk,
    /// The cells to seal next.
    read: Option<CellPage>,
    /// The batch to commit next.
    sealed: Option<Batch>,
}

/// Does the full scan and, if it finds no old cell, destroys the old data keys. A ring after an abandonment has none.
async fn finish(
    deployment: &Deployment,
    organization: &Organization,
    ring: &KeyRing,
    target: KeyVersion,
    cursor: Cursor,
) -> Result<Advance, StoreFailure> {
    let store = &*organization.store;
    let aside = SetAside::read(store).await?;
    if !all_set_aside(store, target, &aside).await? {
        // The scan found a cell that this walk didn't visit: walk again.
        let again = Cursor { column: CellColumn::default(), after: None, after_id: None, ..cursor.clone() };
        organization.commit(guarded(ring, cursor.moved(&again))).await?;
        return Ok(Advance::More);
    }
    deployment.reached(FailPoint::ScanDone);
    if is_clearing(ring) {
        return forget_texts(deployment, organization, ring).await;
    }
    let finished = ring.finish(&aside.needed(ring), &*deployment.ports.random).map_err(StoreFailure::internal)?;
    let mut steps = ring_rows::replace(ring.revision(), finished.stored());
    steps.push(cursor.require());
    organization.commit(steps).await?;
    deployment.reached(FailPoint::DataKeysDestroyed);
    organization.set_keys(Keys::Active(Arc::new(finished)));
    Ok(Advance::More)
}

/// Deletes the texts that the ring no longer uses, and completes the change.
async fn forget_texts(
    deployment: &Deployment,
    organization: &Organization,
    ring: &KeyRing,
) -> Result<Advance, StoreFailure> {
    // Only the texts that exist now: a later text belongs to a later change.
    let configuration = &deployment.ports.configuration;
    let of_organization = || KeyTextRow::organization().is(organization.id);
    let held = read(&**configuration, KeyTextRow::key_check_value(), of_organization()).await?;
    let former = held.into_iter().filter(|check| check != ring.stored().check.as_bytes());
    let former = former.map(|check| KeyTextRow::key_check_value().is(check)).collect();
    let forget = KeyTextRow::delete(of_organization().and(Condition::Any(former)));
    configuration.commit(Commit::under_lock(organization.id, vec![forget])).await?;
    deployment.reached(FailPoint::TextsForgotten);
    configuration.scrub().await?;
    organization.store.scrub().await?;
    deployment.reached(FailPoint::FilesScrubbed);

    let settled = ring.settle(&*deployment.ports.random).map_err(StoreFailure::internal)?;
    let key = CurrentKey { fingerprint: settled.fingerprint(), key_version: settled.version() };
    let mut steps = ring_rows::replace(ring.revision(), settled.stored());
    let end = vec![ReencryptionRow::end_time().set(Some(deployment.now()))];
    steps.push(ReencryptionRow::update(Condition::EVERYTHING, end, Expect::Any));
    steps.push(Step::Audit(entry(deployment, organization, None, AuditAction::CompleteReencryption, Ok(key))));
    organization.commit(steps).await?;
    deployment.reached(FailPoint::ReencryptionSettled);
    organization.set_keys(Keys::Active(Arc::new(settled)));
    Ok(Advance::Idle)
}

/// Adds the condition that the ring is unchanged to the steps of a re-encryption.
fn guarded(ring: &KeyRing, steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    std::iter::once(ring_rows::require(ring.revision())).chain(steps).collect()
}
