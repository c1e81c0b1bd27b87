//! The history of an organization's key: the public ids of the keys it has had, with dates, so that the one that a copy needs is found.
//!
//! The organization's database remembers each change that was made in it. The configuration database remembers what it has seen, which
//! is more where an older copy was put back.

use std::collections::BTreeSet;

use crate::{
    configuration::of_organization,
    deployment::Deployment,
    id::{KeyVersion, Timestamp},
    layout::{FINGERPRINT, KEY_CHANGE},
    permit::Permit,
    policy,
    store::{Condition, Datum, Unavailable, rows},
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
    let columns = ["fingerprint", "key_version", "time"];
    let own = rows(&*organization.store, KEY_CHANGE, &columns, Condition::EVERYTHING).await?;
    let mut changes: Vec<KeyChange> = own.into_iter().filter_map(change).collect();
    let known: BTreeSet<String> = changes.iter().map(|change| change.fingerprint.clone()).collect();
    let configuration = &*deployment.ports.configuration;
    let seen = rows(configuration, FINGERPRINT, &["fingerprint", "time"], of_organization(organization.id)).await?;
    changes.extend(seen.into_iter().filter_map(|row| match <[Datum; 2]>::try_from(row) {
        Ok([Datum::Text(fingerprint), Datum::Time(time)]) if !known.contains(&fingerprint) => {
            Some(KeyChange { fingerprint, key_version: None, time })
        }
        Ok(_) | Err(_) => None,
    }));
    changes.sort_by(|one, other| (other.time, &other.fingerprint).cmp(&(one.time, &one.fingerprint)));
    Ok(changes)
}

fn change(row: Vec<Datum>) -> Option<KeyChange> {
    match <[Datum; 3]>::try_from(row).ok()? {
        [Datum::Text(fingerprint), Datum::Integer(version), Datum::Time(time)] => {
            Some(KeyChange { fingerprint, key_version: u32::try_from(version).ok().and_then(KeyVersion::new), time })
        }
        _ => None,
    }
}
