//! Abandon encrypted data: for a key that is lost for good, or a ring that no key opens any more.
//!
//! The organization gets a fresh ring under a new key, with one data key of a version that was never used, and the re-encryption's walk
//! clears every cell instead of sealing it again. Everything that is not encrypted stays. Whoever asks says which key he gives up.

use crate::{
    census,
    crypto::{kek::KdfParameters, key_text, ring::KeyRing, secret::KeyText},
    deployment::Deployment,
    id::KeyVersion,
    key::{
        error::KeyError,
        install::{Setting, install},
        outcome::{CurrentKey, VALIDATE_ONLY, audited, unchanged},
        scan::newer_cell,
    },
    layout::{CENSUS, DATA_KEY, KEY_CHANGE, KEY_RING, REENCRYPTION, RESTORE_ATTEMPT},
    organization::{
        handle::Organization,
        keys::{Keys, Obstacle},
        ring_rows,
        work::KeyWork,
    },
    permit::{Attempt, PermittedWork},
    policy,
    store::{Condition, Datum, Direction, Expect, Name, Select, Step, StoreFailure, Unavailable},
};

/// What is asked for.
pub struct Abandonment {
    /// The fingerprint of the key that is given up, as the caller repeats it.
    pub confirm_fingerprint: String,
    /// The text of the new key.
    pub text: KeyText,
    /// Whether only to check.
    pub validate_only: bool,
}

/// Gives up what the lost key has sealed, and makes `text` the organization's key. The work is given back, for the walk that clears cells.
///
/// # Errors
/// See [`KeyError`]: [`KeyError::AlreadyActive`] while the key is there, [`KeyError::Inaccessible`] while another server can use it,
/// [`KeyError::NotConfirmed`]; each refusal is in the trail.
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
    let (keys, looked_at) = organization.look_at_keys(deployment).await?;
    let lost = match keys {
        Keys::Active(_) => return Err(KeyError::AlreadyActive),
        Keys::Inaccessible(obstacle, _) => return Err(KeyError::Inaccessible(obstacle)),
        Keys::Inactive(stored) => Some(stored.fingerprint().to_string()),
        Keys::Damaged => last_fingerprint(organization).await?,
    };
    // Cells that a newer version sealed belong to a newer ring: this one is an older copy, or damaged.
    if let Some(format) = newer_cell(&*organization.store).await? {
        return Err(KeyError::Inaccessible(Obstacle::NewerCell { format }));
    }
    // Exactly the ring that was looked at goes, damaged or not.
    let mut steps = looked_at.require();
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
    let all =
        |table: &'static str| Step::Delete { table: table.into(), rows: Condition::EVERYTHING, expect: Expect::Any };
    steps.extend([all(KEY_RING), all(DATA_KEY), all(RESTORE_ATTEMPT)]);
    steps.extend(ring_rows::insert(ring.stored()));
    // What is given up, as the record of it says.
    let details = Some(census::told(&census::kept(&*organization.store).await?, &deployment.schema));
    install(deployment, by, Setting { ring, text, kek, details }, steps).await
}

/// The fingerprint of the key that was set last, as the organization's history has it.
async fn last_fingerprint(organization: &Organization) -> Result<Option<String>, Unavailable> {
    match highest(organization, KEY_CHANGE, "key_version", "fingerprint").await? {
        Some((_, Datum::Text(fingerprint))) => Ok(Some(fingerprint)),
        Some(_) | None => Ok(None),
    }
}

/// A version above all that were ever used: in the ring, in the history, by a re-encryption or in a cell's header.
async fn next_version(organization: &Organization) -> Result<KeyVersion, KeyError> {
    let mut last = 0;
    for (table, column) in
        [(DATA_KEY, "version"), (KEY_CHANGE, "key_version"), (REENCRYPTION, "target_version"), (CENSUS, "key_version")]
    {
        if let Some((version, _)) = highest(organization, table, column, column).await? {
            last = last.max(version);
        }
    }
    let next = u32::try_from(last.saturating_add(1)).ok().and_then(KeyVersion::new);
    next.ok_or(KeyError::Store(StoreFailure::Unavailable("the key versions are used up".into())))
}

/// The row with the highest number in `column`: that number, and what `other` holds.
async fn highest(
    organization: &Organization,
    table: &'static str,
    column: &'static str,
    other: &'static str,
) -> Result<Option<(i64, Datum)>, Unavailable> {
    let select = Select {
        table: table.into(),
        columns: [column, other].map(Name::from).into(),
        rows: Condition::EVERYTHING,
        order: vec![(column.into(), Direction::Descending)],
        limit: 1,
    };
    let row = organization.store.select(select).await?.into_iter().next();
    Ok(row.and_then(|row| match <[Datum; 2]>::try_from(row) {
        Ok([Datum::Integer(number), other]) => Some((number, other)),
        Ok(_) | Err(_) => None,
    }))
}
