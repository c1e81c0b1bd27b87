//! Reads the status of an organization's encryption: whether it is active, its current key, and the progress of a
//! re-encryption.

use std::sync::Arc;

use crate::{
    census::{self, Census},
    crypto::{
        kek::Fingerprint,
        ring::stored::{ReencryptionState as RingState, StoredRing},
    },
    deployment::Deployment,
    id::{KeyVersion, Timestamp},
    key::{error::KeyError, reencrypt::cursor::Cursor},
    organization::{
        encryption_facts::{EncryptionFacts, Generations, ReencryptionFacts},
        handle::Organization,
        keys::Keys,
        pace, seen,
    },
    permit::Permit,
    policy,
    schema::Schema,
    store::{Condition, Unavailable},
    table::{cell::UnreadableCellRow, declare::TableRow as _},
};

/// The status of an organization's encryption.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Whether the key is present and opens the ring.
    pub is_active: bool,
    /// The current key or, while inactive, the required key; `None` if the ring is damaged.
    pub key: Option<KeyStatus>,
    /// The last re-encryption.
    pub reencryption: ReencryptionStatus,
    /// The numbers of cells by the names of their entity and attribute.
    pub census: Vec<CellCount>,
    /// The time when a rollback of the database was detected; `None` if it isn't rolled back.
    pub rolled_back_time: Option<Timestamp>,
}

/// The number of cells of an attribute with one key version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellCount {
    /// The name of the entity.
    pub entity: String,
    /// The name of the attribute.
    pub attribute: String,
    /// The key version; `None` if the bytes aren't a cell.
    pub key_version: Option<KeyVersion>,
    /// The number of cells.
    pub cells: u64,
}

/// A key and its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// The fingerprint.
    pub fingerprint: Fingerprint,
    /// The version of the data key that seals.
    pub key_version: KeyVersion,
    /// The time when the key became current.
    pub change_time: Timestamp,
    /// The time when a change of the key is due.
    pub change_due_time: Timestamp,
    /// Whether a change of the key is overdue.
    pub is_change_due: bool,
}

/// The state of a re-encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There was no re-encryption.
    None,
    /// It is unfinished and waits until the key is restored.
    Waiting,
    /// It is sealing cells again.
    Running,
    /// It is clearing cells of a lost key.
    Clearing,
    /// It has destroyed the old data keys and is deleting the old texts.
    Finishing,
    /// It is complete. All cells are sealed under the current version, except those that no key opens.
    Done,
}

/// The progress of a re-encryption.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReencryptionStatus {
    /// The state.
    pub state: State,
    /// The key version that it seals with.
    pub key_version: Option<KeyVersion>,
    /// The number of cells to seal again; 0 until they are counted.
    pub cells_total: u64,
    /// The number of completed cells.
    pub cells_done: u64,
    /// The number of cells that can't be opened.
    pub cells_unreadable: u64,
    /// The rate in cells per second: the recent one while it is running, the average when it is complete.
    pub cells_per_second: f64,
    /// The estimated end time; `None` if it isn't running, or if its rate isn't known yet.
    pub estimated_end_time: Option<Timestamp>,
    /// The start time.
    pub start_time: Option<Timestamp>,
    /// The end time.
    pub end_time: Option<Timestamp>,
}

impl ReencryptionStatus {
    /// Returns whether it continues automatically.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running | State::Clearing | State::Finishing)
    }
}

/// Reads the status of an organization's encryption.
///
/// # Errors
/// [`KeyError::Store`] if a database is unavailable, [`KeyError::Inaccessible`] if this server can't use the key.
pub async fn check(deployment: &Deployment, permit: &Permit<policy::ReadKeyStatus>) -> Result<Status, KeyError> {
    let organization = permit.organization();
    // Before the first read: a commit during the reads makes the facts outdated at once.
    let generations = Generations::current(&*organization.store, &*deployment.ports.configuration);
    if let (Some(generations), Some(Keys::Active(ring))) = (generations, organization.keys())
        && let Some(facts) = organization.remembered.get(generations, &ring)
    {
        return Ok(status(deployment, organization, Some(ring.stored()), true, &facts));
    }
    let keys = organization.load_keys(deployment).await?;
    let (stored, is_active) = match &keys {
        Keys::Active(ring) => (Some(ring.stored()), true),
        Keys::Inactive(stored) => (Some(&**stored), false),
        // Reported as neither inactive nor damaged, because this server can't know.
        Keys::Inaccessible(obstacle, _) => return Err(KeyError::Inaccessible(*obstacle)),
        Keys::Damaged => (None, false),
    };
    let facts = Arc::new(EncryptionFacts {
        reencryption: reencryption_facts(organization).await?,
        census: census::stored(&*organization.store).await?,
        rolled_back_time: seen::rolled_back(deployment, organization).await?,
    });
    // Only with a present key: an absent one can come back without a commit, with a root key.
    if let (Some(generations), Keys::Active(ring)) = (generations, &keys) {
        organization.remembered.set(generations, ring, &facts);
    }
    Ok(status(deployment, organization, stored, is_active, &facts))
}

async fn reencryption_facts(organization: &Organization) -> Result<Option<ReencryptionFacts>, Unavailable> {
    let Some(cursor) = Cursor::read(&*organization.store).await? else { return Ok(None) };
    Ok(Some(ReencryptionFacts {
        target: cursor.target,
        cells_total: cursor.cells_total,
        cells_done: cursor.cells_done,
        cells_unreadable: organization.store.count(UnreadableCellRow::TABLE.into(), Condition::EVERYTHING).await?,
        start_time: cursor.start_time,
        end_time: cursor.end_time,
    }))
}

/// Computes the status at this time.
fn status(
    deployment: &Deployment,
    organization: &Organization,
    stored: Option<&StoredRing>,
    is_active: bool,
    facts: &EncryptionFacts,
) -> Status {
    let ring_state = stored.map(|stored| stored.reencryption.state);
    Status {
        is_active,
        key: stored.and_then(|stored| key_status(deployment, stored)),
        reencryption: reencryption(deployment, organization, ring_state, is_active, facts.reencryption),
        census: cell_counts(deployment, &facts.census),
        rolled_back_time: facts.rolled_back_time,
    }
}

fn cell_counts(deployment: &Deployment, census: &Census) -> Vec<CellCount> {
    let counts = census.iter().map(|(kind, cells)| {
        let (entity, attribute) = names(&deployment.schema, &kind.table, &kind.column);
        CellCount { entity, attribute, key_version: kind.version, cells: u64::try_from(*cells).unwrap_or(0) }
    });
    counts.collect()
}

/// Returns the names of the entity and the attribute with these storage names.
#[must_use]
pub fn names(schema: &Schema, table: &str, column: &str) -> (String, String) {
    let entity = schema.by_storage_name(table);
    let attribute = entity.and_then(|entity| entity.stored_in(column));
    (
        entity.map_or(table, |entity| &entity.name).to_owned(),
        attribute.map_or(column, |(_, attribute)| &attribute.name).to_owned(),
    )
}

fn key_status(deployment: &Deployment, stored: &StoredRing) -> Option<KeyStatus> {
    let (key_version, change_time) = (stored.version()?, stored.key_change_time);
    let change_due_time = change_due_time(deployment, key_version, change_time);
    Some(KeyStatus {
        fingerprint: stored.fingerprint(),
        key_version,
        change_time,
        change_due_time,
        is_change_due: change_due_time <= deployment.now(),
    })
}

/// Returns the time when a change of a key is due, from the time when it was set and its version.
#[must_use]
pub fn change_due_time(deployment: &Deployment, key_version: KeyVersion, change_time: Timestamp) -> Timestamp {
    // The service generated the first key, so there is no copy of it yet: its change is due immediately.
    let days = if key_version == KeyVersion::FIRST { 0 } else { deployment.key_limits.change_due_days };
    let due_us = i64::from(days).saturating_mul(86_400_000_000);
    Timestamp::from_unix_micros(change_time.unix_micros().saturating_add(due_us))
}

/// Returns the numbers of completed and of all cells of the last re-encryption; `None` if there was none, or if the
/// store is unavailable.
pub async fn progress(organization: &Organization) -> Option<(u64, u64)> {
    let cursor = Cursor::read(&*organization.store).await.ok().flatten()?;
    Some((cursor.cells_done, cursor.cells_total.unwrap_or(0)))
}

fn reencryption(
    deployment: &Deployment,
    organization: &Organization,
    ring_state: Option<RingState>,
    is_active: bool,
    facts: Option<ReencryptionFacts>,
) -> ReencryptionStatus {
    let Some(facts) = facts else {
        return ReencryptionStatus {
            state: State::None,
            key_version: None,
            cells_total: 0,
            cells_done: 0,
            cells_unreadable: 0,
            cells_per_second: 0.0,
            estimated_end_time: None,
            start_time: None,
            end_time: None,
        };
    };
    let state = match ring_state {
        Some(RingState::Idle) | None => State::Done,
        Some(_) if !is_active => State::Waiting,
        Some(RingState::Running) => State::Running,
        Some(RingState::Clearing) => State::Clearing,
        Some(RingState::Finishing) => State::Finishing,
    };
    let now = deployment.now();
    let cells_total = facts.cells_total.unwrap_or(0);
    let cells_left = cells_total.saturating_sub(facts.cells_done);
    let of_late = organization.pace().cells_per_second(now, facts.cells_done);
    let (cells_per_second, estimated_end_time) = match (facts.end_time, of_late) {
        (Some(end), _) => {
            let elapsed_us = end.unix_micros().saturating_sub(facts.start_time.unix_micros()).max(1);
            (facts.cells_done as f64 * 1e6 / elapsed_us as f64, None)
        }
        (None, Some(rate)) if is_active => (rate, Some(pace::end(now, cells_left, rate))),
        (None, Some(_) | None) => (0.0, None),
    };
    ReencryptionStatus {
        state,
        key_version: Some(facts.target),
        cells_total,
        cells_done: facts.cells_done,
        cells_unreadable: facts.cells_unreadable,
        cells_per_second,
        estimated_end_time,
        start_time: Some(facts.start_time),
        end_time: facts.end_time,
    }
}
