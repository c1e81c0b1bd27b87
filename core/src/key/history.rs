//! The history of an organization's keys: their fingerprints with dates, to find the key that a copy needs.
//!
//! The organization's database contains the changes made in it. The configuration database contains all keys that it
//! has seen, which are more if an older copy of the organization's database was restored.

use std::collections::BTreeSet;

use crate::{
    deployment::Deployment,
    id::{KeyVersion, Timestamp},
    permit::Permit,
    policy,
    store::{Condition, Unavailable},
    table::{
        configuration::FingerprintRow,
        declare::{TableRow as _, read_each},
        key::KeyChangeRow,
    },
};

/// A current or former key of the organization, or one of an incomplete change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The fingerprint.
    pub fingerprint: String,
    /// The version of the data key that was added with it; `None` if this database doesn't know the key. It was then
    /// set in a later state of the database that was lost, or by a change that didn't complete.
    pub key_version: Option<KeyVersion>,
    /// The time when the key was set.
    pub time: Timestamp,
}

/// Returns all keys, newest first.
///
/// # Errors
/// If a database is unavailable.
pub async fn history(
    deployment: &Deployment,
    permit: &Permit<policy::ReadKeyStatus>,
) -> Result<Vec<KeyChange>, Unavailable> {
    let organization = permit.organization();
    let own = read_each(&*organization.store, KeyChangeRow::all_columns(), Condition::EVERYTHING).await?;
    let mut changes: Vec<KeyChange> = own.into_iter().flatten().map(change).collect();
    let known: BTreeSet<String> = changes.iter().map(|change| change.fingerprint.clone()).collect();
    let configuration = &*deployment.ports.configuration;
    let of_organization = FingerprintRow::organization().is(organization.id);
    let seen = read_each(configuration, FingerprintRow::all_columns(), of_organization).await?.into_iter().flatten();
    let seen = seen.filter(|row| !known.contains(&row.fingerprint));
    changes.extend(seen.map(|row| KeyChange { fingerprint: row.fingerprint, key_version: None, time: row.time }));
    changes.sort_by(|one, other| (other.time, &other.fingerprint).cmp(&(one.time, &one.fingerprint)));
    Ok(changes)
}

fn change(row: KeyChangeRow) -> KeyChange {
    let key_version = u32::try_from(row.key_version).ok().and_then(KeyVersion::new);
    KeyChange { fingerprint: row.fingerprint, key_version, time: row.time }
}
