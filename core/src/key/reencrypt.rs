//! Re-encryption: after a change, seals all cells under the new data key, verifies that no other cell is left, and
//! destroys the old keys.
//!
//! The work consists of steps. [`advance`] does one step, which is a commit, and a crash can follow any step. The
//! progress is stored only in the database. The steps follow the database's own catalog of cell columns, in the order
//! of primary keys. Each write compares the old cell, so that a concurrent update wins. The revision, time and trail of
//! a record don't change.
//!
//! Old data keys are destroyed only after a full scan of the stored headers, started after the last cell was done. The
//! scan must find no cell of another version, except cells that are set aside as unreadable.

use std::sync::Arc;

use crate::{
    audit::entry::AuditAction,
    catalog::cell_columns,
    census::CellKind,
    crypto::{
        cell,
        context::CellContext,
        ring::{KeyRing, stored::ReencryptionState},
    },
    deployment::Deployment,
    fail_point::FailPoint,
    id::{KeyVersion, RecordId, Timestamp},
    key::{
        outcome::{CurrentKey, entry},
        scan::{all_set_aside, others, select_cells},
        step::{NextStep, step},
        unreadable::{SetAside, UnreadableCell},
    },
    organization::{handle::Organization, keys::Keys, ring_rows, work::KeyWork},
    store::{Assignment, Commit, CommitError, Condition, Datum, Expect, Reader, Step, StoreFailure, Unavailable},
    table::{
        cell::ReencryptionRow,
        configuration::KeyTextRow,
        declare::{TableRow as _, read},
        record::RecordColumns,
    },
};

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

/// Does the next step of the organization's re-encryption, if there is one.
///
/// # Errors
/// [`StoreFailure`]. The step can be repeated.
pub async fn advance(deployment: &Deployment, work: &KeyWork) -> Result<Advance, StoreFailure> {
    let organization = &**work.organization();
    let keys = organization.refresh_keys(deployment).await?;
    match (step(&keys), keys) {
        (NextStep::Reseal(target) | NextStep::Clear(target), Keys::Active(ring)) => {
            reseal(deployment, organization, &ring, target).await
        }
        (NextStep::ForgetTexts, Keys::Active(ring)) => forget_texts(deployment, organization, &ring).await,
        (NextStep::Idle | NextStep::AwaitRestore { .. } | NextStep::AwaitOtherServer | NextStep::ReportDamage, _)
        | (_, Keys::Inactive(_) | Keys::Inaccessible(..) | Keys::Damaged) => Ok(Advance::Idle),
    }
}

async fn reseal(
    deployment: &Deployment,
    organization: &Organization,
    ring: &KeyRing,
    target: KeyVersion,
) -> Result<Advance, StoreFailure> {
    let store = &*organization.store;
    let cursor = match Cursor::read(store).await? {
        Some(cursor) if cursor.target == target => cursor,
        Some(_) | None => {
            let first = Cursor::first(target, deployment.now());
            organization.commit(guarded(ring, first.replace())).await?;
            return Ok(Advance::More);
        }
    };
    let columns = cell_columns(store).await?;
    if cursor.cells_total.is_none() {
        let mut total = 0;
        for (table, column) in &columns {
            total += store.count(table.clone().into(), others(column, target)).await?;
        }
        let counted = Cursor { cells_total: Some(total), ..cursor.clone() };
        organization.commit(guarded(ring, cursor.moved(&counted))).await?;
        deployment.reached(FailPoint::CellsCounted);
        return Ok(if total == 0 { Advance::More } else { Advance::Worked });
    }
    let place = (cursor.table.clone(), cursor.column.clone());
    let batch = Batch { deployment, organization, ring, target };
    // Columns without old cells need a read, but no separate transaction.
    for (table, column) in columns.into_iter().filter(|column| cursor.column.is_empty() || *column >= place) {
        let cells = batch.cells(&cursor, &table, &column).await?;
        if !cells.is_empty() {
            batch.run(cursor, &table, &column, cells).await?;
            return Ok(Advance::Worked);
        }
        deployment.reached(FailPoint::BatchDone);
    }
    finish(deployment, organization, ring, target, cursor).await
}

/// One batch of one column.
struct Batch<'a> {
    deployment: &'a Deployment,
    organization: &'a Organization,
    ring: &'a KeyRing,
    target: KeyVersion,
}

impl Batch<'_> {
    /// Reads the next cells of a column.
    async fn cells(&self, cursor: &Cursor, table: &str, column: &str) -> Result<Vec<(RecordId, Vec<u8>)>, Unavailable> {
        let limit = self.deployment.key_limits.reencryption_batch_cells;
        let after = cursor.after.filter(|_| cursor.table == table && cursor.column == column);
        select_cells(&*self.organization.store, table, column, self.target, after, limit).await
    }

    async fn run(
        &self,
        cursor: Cursor,
        table: &str,
        column: &str,
        cells: Vec<(RecordId, Vec<u8>)>,
    ) -> Result<(), StoreFailure> {
        let limit = self.deployment.key_limits.reencryption_batch_cells;
        let last = cells.last().map(|(id, _)| *id);
        let count = u64::try_from(cells.len()).unwrap_or(u64::MAX);
        let mut steps = Vec::with_capacity(cells.len() * 3 + 4);
        for (id, cell) in cells {
            steps.extend(self.reseal_cell(table, column, id, cell));
        }
        let more_in_column = count >= u64::from(limit);
        let moved = Cursor {
            table: table.to_owned(),
            // The cursor leaves a completed column by naming the smallest possible next one.
            column: if more_in_column { column.to_owned() } else { format!("{column}\u{1}") },
            after: last.filter(|_| more_in_column),
            cells_done: cursor.cells_done.saturating_add(count),
            ..cursor.clone()
        };
        steps.extend(cursor.moved(&moved));
        match self.organization.commit(guarded(self.ring, steps)).await {
            Ok(()) => {
                self.deployment.reached(FailPoint::BatchDone);
                self.organization.pace().note(self.deployment.now(), moved.cells_done);
                Ok(())
            }
            // A cell to set aside has changed, or another walk has moved the cursor: read again.
            Err(CommitError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn reseal_cell(&self, table: &str, column: &str, id: RecordId, cell: Vec<u8>) -> Vec<Step> {
        let context = CellContext { organization: self.organization.id, entity: table, record: id, attribute: column };
        let former = CellKind::of(table, column, &cell);
        let replace = |set| Step::Update {
            table: table.to_owned().into(),
            rows: RecordColumns::id().is(id).and(Condition::equal(column.to_owned(), Datum::Bytes(cell.clone()))),
            set,
            expect: Expect::Any,
        };
        let into = |datum| Assignment::Set(column.to_owned().into(), datum);
        // A cell of a newer version isn't cleared, but set aside like one that can't be opened.
        if is_clearing(self.ring) && cell::newer_format(&cell).is_none() {
            // The change is visible to readers, because the existence of a value is no secret.
            let set = vec![
                into(Datum::Null),
                RecordColumns::revision().add(1),
                RecordColumns::update_time().set(self.deployment.now()),
                // The service itself clears the value, possibly hours after the caller abandoned the data.
                RecordColumns::modified_by().set(None),
            ];
            return vec![replace(set), former.tally(-1)];
        }
        match self.ring.open_cell(&context, &cell) {
            Ok(plaintext) => {
                let resealed = self.ring.seal(&context, &plaintext, &*self.deployment.ports.random);
                let now = CellKind { version: Some(self.target), ..former.clone() };
                vec![replace(vec![into(Datum::Bytes(resealed))]), now.tally(1), former.tally(-1)]
            }
            Err(error) => UnreadableCell::new(table, column, id, &cell, &error).set_aside(&cell),
        }
    }
}

/// Returns whether the walk clears cells of a lost key instead of sealing them again.
fn is_clearing(ring: &KeyRing) -> bool {
    ring.reencryption().state == ReencryptionState::Clearing
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
        let again = Cursor { table: String::new(), column: String::new(), after: None, ..cursor.clone() };
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
    configuration.commit(Commit::of(vec![forget])).await?;
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

/// The stored progress of the last re-encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) target: KeyVersion,
    /// The current table; empty before the first.
    table: String,
    /// The current column; empty before the first.
    column: String,
    /// The last completed record of the current column.
    after: Option<RecordId>,
    /// The number of all cells; `None` until they are counted.
    pub(crate) cells_total: Option<u64>,
    pub(crate) cells_done: u64,
    pub(crate) start_time: Timestamp,
    pub(crate) end_time: Option<Timestamp>,
}

impl Cursor {
    pub(crate) fn first(target: KeyVersion, now: Timestamp) -> Cursor {
        Cursor {
            target,
            table: String::new(),
            column: String::new(),
            after: None,
            cells_total: None,
            cells_done: 0,
            start_time: now,
            end_time: None,
        }
    }

    pub(crate) async fn read(store: &dyn Reader) -> Result<Option<Cursor>, Unavailable> {
        let Some(row) = read(store, ReencryptionRow::all_columns(), Condition::EVERYTHING).await?.into_iter().next()
        else {
            return Ok(None);
        };
        let target = u32::try_from(row.target_version).ok().and_then(KeyVersion::new);
        Ok(Some(Cursor {
            target: target.ok_or_else(|| ReencryptionRow::target_version().damaged())?,
            table: row.table_name.unwrap_or_default(),
            column: row.column_name.unwrap_or_default(),
            after: row.after_id,
            cells_total: row.cells_total.and_then(|total| u64::try_from(total).ok()),
            cells_done: u64::try_from(row.cells_done).unwrap_or(0),
            start_time: row.start_time,
            end_time: row.end_time,
        }))
    }

    fn row(&self) -> ReencryptionRow {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        ReencryptionRow {
            slot: 1,
            target_version: self.target.get().into(),
            table_name: Some(self.table.clone()),
            column_name: Some(self.column.clone()),
            after_id: self.after,
            cells_total: self.cells_total.map(count),
            cells_done: count(self.cells_done),
            start_time: self.start_time,
            end_time: self.end_time,
        }
    }

    /// Returns the step that requires that the stored progress is unchanged. Together with the revision of the ring, it
    /// distinguishes this walk from any other, including that of a restored copy.
    fn require(&self) -> Step {
        let row = self.row();
        ReencryptionRow::require(Condition::All(vec![
            ReencryptionRow::target_version().is(row.target_version),
            ReencryptionRow::table_name().is(row.table_name),
            ReencryptionRow::column_name().is(row.column_name),
            ReencryptionRow::after_id().is(row.after_id),
            ReencryptionRow::cells_total().is(row.cells_total),
            ReencryptionRow::cells_done().is(row.cells_done),
        ]))
    }

    /// Returns the steps that move the progress from here to `there`.
    fn moved(&self, there: &Cursor) -> Vec<Step> {
        std::iter::once(self.require()).chain(there.replace()).collect()
    }

    /// Returns the steps that replace the stored progress with this one.
    pub(crate) fn replace(&self) -> [Step; 2] {
        [ReencryptionRow::delete(Condition::EVERYTHING), self.row().insert()]
    }
}
