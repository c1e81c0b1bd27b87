//! The history of an organization's key: the public ids of the keys it has had, with dates, so that the one that a copy needs is found.
//!
//! The organization's database remembers each change that was made in it. The configuration database remembers what it has seen, which
//! is more where an older copy was put back.

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

/// A key that the organization has, had, or was about to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// Its public id.
    pub fingerprint: String,
    /// The version of the data key that came with it; `None` if this database doesn't know the key: it was set in a later state of it
    /// that isn't there any more, or by a change that did not come through.
    pub key_version: Option<KeyVersion>,
    /// When it was set.
    pub time: Timestamp,
}

/// Every key, the youngest first.
///
/// # Errors
/// If a database doesn't answer.
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
