//! Check an organization's encryption: whether it is active, under which key, and how far a re-encryption is.

use crate::{
    census,
    crypto::{
        kek::Fingerprint,
        ring::stored::{ReencryptionState as RingState, StoredRing},
    },
    deployment::Deployment,
    id::{KeyVersion, Timestamp},
    key::{error::KeyError, reencrypt::Cursor},
    organization::{handle::Organization, keys::Keys, pace, seen},
    permit::Permit,
    policy,
    schema::Schema,
    store::{Condition, Unavailable},
    table::{cell::UnreadableCellRow, declare::TableRow as _},
};

/// What is known of an organization's encryption.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Whether the key is present and proven to open the ring.
    pub is_active: bool,
    /// The key that is current or, while inactive, wanted; `None` if the ring is damaged.
    pub key: Option<KeyStatus>,
    /// The last re-encryption.
    pub reencryption: ReencryptionStatus,
    /// How many cells there are, by the names of their entity and attribute.
    pub census: Vec<CellCount>,
    /// Since when the database is known to be older than what was seen of it before; `None` if it isn't.
    pub rolled_back_time: Option<Timestamp>,
}

/// How many cells of an attribute there are under one key version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellCount {
    /// The entity's name.
    pub entity: String,
    /// The attribute's name.
    pub attribute: String,
    /// The version; `None` where the bytes are no cell's.
    pub key_version: Option<KeyVersion>,
    /// How many.
    pub cells: u64,
}

/// Which key it is, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its public id.
    pub fingerprint: Fingerprint,
    /// The version of the data key that seals.
    pub key_version: KeyVersion,
    /// When it became current.
    pub change_time: Timestamp,
    /// When it should be changed.
    pub change_due_time: Timestamp,
    /// Whether it should have been by now.
    pub is_change_due: bool,
}

/// How a re-encryption stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There was none.
    None,
    /// It is unfinished, and waits for the key to be restored.
    Waiting,
    /// It is sealing cells again.
    Running,
    /// It clears what a lost key has sealed.
    Clearing,
    /// It has destroyed the old data keys and is forgetting the old texts.
    Finishing,
    /// It is done: every cell is sealed under the current version, but for those that no key opens.
    Done,
}

/// How far a re-encryption is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReencryptionStatus {
    /// How it stands.
    pub state: State,
    /// The version it seals under.
    pub key_version: Option<KeyVersion>,
    /// How many cells there were to seal again; 0 until they are counted.
    pub cells_total: u64,
    /// How many of them are done.
    pub cells_done: u64,
    /// How many could not be opened.
    pub cells_unreadable: u64,
    /// Cells a second: of late while it runs, on the whole when it is over.
    pub cells_per_second: f64,
    /// When it will be over at that; `None` unless it runs, and it is known how fast.
    pub estimated_end_time: Option<Timestamp>,
    /// When it began.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
}

impl ReencryptionStatus {
    /// Whether it goes on by itself.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running | State::Clearing | State::Finishing)
    }
}

/// The organization's status.
///
/// # Errors
/// [`KeyError::Store`] if a database doesn't answer, [`KeyError::Inaccessible`] if this server can't use the key that is there.
pub async fn check(deployment: &Deployment, permit: &Permit<policy::ReadKeyStatus>) -> Result<Status, KeyError> {
    let organization = permit.organization();
    let keys = organization.load_keys(deployment).await?;
    let (stored, is_active) = match &keys {
        Keys::Active(ring) => (Some(ring.stored()), true),
        Keys::Inactive(stored) => (Some(&**stored), false),
        // Neither inactive nor damaged: whoever can't tell must not say either.
        Keys::Inaccessible(obstacle, _) => return Err(KeyError::Inaccessible(*obstacle)),
        Keys::Damaged => (None, false),
    };
    let key = stored.and_then(|stored| key_status(deployment, stored));
    let state = stored.map(|stored| stored.reencryption.state);
    let reencryption = reencryption(deployment, organization, state, is_active).await?;
    let census = census(deployment, organization).await?;
    let rolled_back_time = seen::rolled_back(deployment, organization).await?;
    Ok(Status { is_active, key, reencryption, census, rolled_back_time })
}

async fn census(deployment: &Deployment, organization: &Organization) -> Result<Vec<CellCount>, Unavailable> {
    let kinds = census::stored(&*organization.store).await?.into_iter();
    Ok(kinds
        .map(|(kind, cells)| {
            let (entity, attribute) = names(&deployment.schema, &kind.table, &kind.column);
            CellCount { entity, attribute, key_version: kind.version, cells: u64::try_from(cells).unwrap_or(0) }
        })
        .collect())
}

/// What an entity and an attribute with these storage names are called.
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

/// By when a key should be changed that was set at this time and came with this version.
#[must_use]
pub fn change_due_time(deployment: &Deployment, key_version: KeyVersion, change_time: Timestamp) -> Timestamp {
    // The first key is the one that the service made, which nobody has put away yet: its change is due at once.
    let days = if key_version == KeyVersion::FIRST { 0 } else { deployment.key_limits.change_due_days };
    let due_us = i64::from(days).saturating_mul(86_400_000_000);
    Timestamp::from_unix_micros(change_time.unix_micros().saturating_add(due_us))
}

/// How many cells of how many the last re-encryption has done; `None` if there was none, or the store doesn't answer.
pub async fn progress(organization: &Organization) -> Option<(u64, u64)> {
    let cursor = Cursor::read(&*organization.store).await.ok().flatten()?;
    Some((cursor.cells_done, cursor.cells_total.unwrap_or(0)))
}

async fn reencryption(
    deployment: &Deployment,
    organization: &Organization,
    ring_state: Option<RingState>,
    is_active: bool,
) -> Result<ReencryptionStatus, KeyError> {
    let Some(cursor) = Cursor::read(&*organization.store).await? else {
        return Ok(ReencryptionStatus {
            state: State::None,
            key_version: None,
            cells_total: 0,
            cells_done: 0,
            cells_unreadable: 0,
            cells_per_second: 0.0,
            estimated_end_time: None,
            start_time: None,
            end_time: None,
        });
    };
    let unreadable = organization.store.count(UnreadableCellRow::TABLE.into(), Condition::EVERYTHING).await?;
    let state = match ring_state {
        Some(RingState::Idle) | None => State::Done,
        Some(_) if !is_active => State::Waiting,
        Some(RingState::Running) => State::Running,
        Some(RingState::Clearing) => State::Clearing,
        Some(RingState::Finishing) => State::Finishing,
    };
    let now = deployment.now();
    let cells_total = cursor.cells_total.unwrap_or(0);
    let cells_left = cells_total.saturating_sub(cursor.cells_done);
    let of_late = organization.pace().cells_per_second(now, cursor.cells_done);
    let (cells_per_second, estimated_end_time) = match (cursor.end_time, of_late) {
        (Some(end), _) => {
            let elapsed_us = end.unix_micros().saturating_sub(cursor.start_time.unix_micros()).max(1);
            (cursor.cells_done as f64 * 1e6 / elapsed_us as f64, None)
        }
        (None, Some(rate)) if is_active => (rate, Some(pace::end(now, cells_left, rate))),
        (None, Some(_) | None) => (0.0, None),
    };
    Ok(ReencryptionStatus {
        state,
        key_version: Some(cursor.target),
        cells_total,
        cells_done: cursor.cells_done,
        cells_unreadable: unreadable,
        cells_per_second,
        estimated_end_time,
        start_time: Some(cursor.start_time),
        end_time: cursor.end_time,
    })
}
