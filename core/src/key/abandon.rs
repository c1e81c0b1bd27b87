//! Abandons encrypted data, for a key that is permanently lost or a ring that no key opens.
//!
//! The organization gets a new ring under a new key, with one data key of an unused version. The re-encryption then
//! clears all cells instead of sealing them again. Unencrypted data stays. The caller must confirm the fingerprint of
//! the abandoned key.

use crate::{
    census,
    crypto::{kek::KdfParameters, key_text, ring::KeyRing, secret::KeyText},
    deployment::Deployment,
    id::KeyVersion,
    key::{
        error::KeyError,
        install::{NewKey, install},
        outcome::{CurrentKey, VALIDATE_ONLY, audited, unchanged},
        scan::newer_cell,
    },
    organization::{
        handle::Organization,
        keys::{Keys, Obstacle},
        ring_rows,
        work::KeyWork,
    },
    permit::{Attempt, PermittedWork},
    policy,
    store::{Condition, Direction, Name, Select, StoreFailure, Unavailable},
    table::{
        cell::{CensusRow, ReencryptionRow},
        declare::{Columns, TableColumn, TableRow},
        key::{DataKeyRow, KeyChangeRow, KeyRingRow, RestoreAttemptRow},
    },
};

/// The request to abandon encrypted data.
pub struct Abandonment {
    /// The fingerprint of the abandoned key, as confirmed by the caller.
    pub confirm_fingerprint: String,
    /// The text of the new key.
    pub text: KeyText,
    /// Whether to check only.
    pub validate_only: bool,
}

/// Abandons the data that the lost key sealed, and makes `text` the organization's key. Returns the work, for the
/// re-encryption that clears the cells.
///
/// # Errors
/// See [`KeyError`]: [`KeyError::AlreadyActive`] if the key is present, [`KeyError::Inaccessible`] if another server
/// can use it, [`KeyError::NotConfirmed`]. Each refusal is recorded in the trail.
pub async fn abandon(
    deployment: &Deployment,
    work: PermittedWork<policy::AbandonEncryptedData>,
    abandonment: Abandonment,
) -> (KeyWork, Result<CurrentKey, KeyError>) {
    let (by, work) = work.spend();
    let outcome = attempt(deployment, &by, abandonment).await;
    (work, audited(deployment, &by, outcome).await)
}

async fn attempt(
    deployment: &Deployment,
    by: &Attempt,
    Abandonment { confirm_fingerprint, text, validate_only }: Abandonment,
) -> Result<CurrentKey, KeyError> {
    let organization = &*by.organization;
    let (keys, ring_rows) = organization.load_keys_with_rows(deployment).await?;
    let lost = match keys {
        Keys::Active(_) => return Err(KeyError::AlreadyActive),
        Keys::Inaccessible(obstacle, _) => return Err(KeyError::Inaccessible(obstacle)),
        Keys::Inactive(stored) => Some(stored.fingerprint().to_string()),
        Keys::Damaged => last_fingerprint(organization).await?,
    };
    // Cells of a newer version belong to a newer ring, so this ring is an older copy, or damaged.
    if let Some(format) = newer_cell(&*organization.store).await? {
        return Err(KeyError::Inaccessible(Obstacle::NewerCell { format }));
    }
    // Replaces exactly the ring that was read, damaged or not.
    let mut steps = ring_rows.require();
    let lost = lost.unwrap_or_default();
    if confirm_fingerprint != lost {
        return Err(KeyError::NotConfirmed { expected: lost });
    }
    key_text::check_rule(&text).map_err(|violations| KeyError::TextRule { violations, given_length: text.length() })?;
    let version = next_version(organization).await?;

    let random = &*deployment.ports.random;
    let kdf = KdfParameters::draw(random);
    let (text, kek) = deployment.ports.key_derivation.derive(text, kdf).await;
    let kek = kek.map_err(StoreFailure::internal)?;
    let ring = KeyRing::start_over(organization.id, version, &kek, kdf, deployment.now(), random)
        .map_err(StoreFailure::internal)?;
    if validate_only {
        let current = CurrentKey { fingerprint: ring.fingerprint(), key_version: version };
        return unchanged(deployment, by, current, VALIDATE_ONLY).await;
    }
    let every = || Condition::EVERYTHING;
    steps.extend([KeyRingRow::delete(every()), DataKeyRow::delete(every()), RestoreAttemptRow::delete(every())]);
    steps.extend(ring_rows::insert(ring.stored()));
    // The details of the audit record: the abandoned cells.
    let details = Some(census::summary(&census::stored(&*organization.store).await?, &deployment.schema));
    install(deployment, by, NewKey { ring, text, kek, details }, steps).await
}

/// Reads the fingerprint of the key that was set last from the organization's history.
async fn last_fingerprint(organization: &Organization) -> Result<Option<String>, Unavailable> {
    let (version, fingerprint) = (KeyChangeRow::key_version(), KeyChangeRow::fingerprint());
    let order = version.descending();
    Ok(first(organization, (version, fingerprint), order).await?.map(|(_, fingerprint)| fingerprint))
}

/// Returns a version above all versions ever used in the ring, the history, a re-encryption or a cell header.
async fn next_version(organization: &Organization) -> Result<KeyVersion, KeyError> {
    let used = [
        highest(organization, DataKeyRow::version()).await?,
        highest(organization, KeyChangeRow::key_version()).await?,
        highest(organization, ReencryptionRow::target_version()).await?,
        highest(organization, CensusRow::key_version()).await?,
    ];
    let last = used.into_iter().flatten().fold(0, i64::max);
    let next = u32::try_from(last.saturating_add(1)).ok().and_then(KeyVersion::new);
    next.ok_or(KeyError::Store(StoreFailure::Unavailable("no key versions are left".into())))
}

/// Reads the highest number in a column.
async fn highest<R: TableRow>(
    organization: &Organization,
    column: TableColumn<R, i64>,
) -> Result<Option<i64>, Unavailable> {
    let order = column.descending();
    first(organization, column, order).await
}

/// Reads the first row in this order; `None` if there is none, or if it is malformed.
async fn first<C: Columns>(
    organization: &Organization,
    columns: C,
    order: (Name, Direction),
) -> Result<Option<C::Values>, Unavailable> {
    let select = Select { order: vec![order], limit: 1, ..columns.select(Condition::EVERYTHING) };
    let row = organization.store.select(select).await?.into_iter().next();
    Ok(row.and_then(|row| columns.values(row).ok()))
}
