//! The configuration database: its first content, its migration, its check values of root keys, and the deployment's id.

use uuid::Uuid;

use crate::{
    catalog::{MigrateError, migrate},
    crypto::root_key::RootKey,
    id::{OrganizationId, Timestamp},
    layout::DEPLOYMENT,
    store::{Cause, Commit, CommitError, Condition, Datum, Reader, Step, Store, Unavailable, rows},
};

/// Makes the content of a new configuration database: its tables, and the id of the deployment, which is the writer of its chains.
#[must_use]
pub fn first_configuration(id: Uuid, now: Timestamp) -> Commit {
    let mut commit = crate::catalog::first(&crate::layout::configuration(), now);
    commit.steps.push(Step::Insert {
        table: DEPLOYMENT.into(),
        row: vec![
            ("slot".into(), Datum::Integer(1)),
            ("id".into(), Datum::Uuid(id)),
            ("create_time".into(), Datum::Time(now)),
        ],
    });
    commit
}

/// Why a deployment can't start on its configuration database.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// It doesn't answer, or is none.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It can't be brought to this version's tables.
    #[error("the configuration database can't be migrated")]
    Catalog(#[from] crate::catalog::CatalogError),
    /// A commit failed.
    #[error("the configuration database can't be written")]
    Commit(#[from] CommitError),
    /// Something in it is sealed under a root key that isn't at hand.
    #[error("key texts are sealed under a root key that is not given: give it too, after the one that is to seal")]
    OtherRootKey,
    /// The root key can't be used.
    #[error("the root key can't be used")]
    RootKey(#[from] crate::crypto::root_key::RootKeyError),
}

/// Brings the configuration database to this version's tables, and holds the root keys against those that seal there: each must be at
/// hand. A first root key that is new is remembered before it seals anything; see [`crate::key::reseal`] for when one is forgotten.
///
/// # Errors
/// See [`ConfigurationError`].
pub async fn prepare_configuration(
    store: &dyn Store,
    root_key: &dyn RootKey,
    now: Timestamp,
) -> Result<(), ConfigurationError> {
    migrate(store, &crate::layout::configuration(), Vec::new(), now).await?;
    let known = rows(store, crate::layout::ROOT_KEY, &["check_value"], Condition::EVERYTHING).await?;
    let mut current_known = false;
    let current = root_key.check_value()?;
    for row in known {
        let [Datum::Bytes(check)] = &row[..] else {
            return Err(Unavailable("a root key's check value is no bytes".into()).into());
        };
        if !root_key.recognizes(check)? {
            return Err(ConfigurationError::OtherRootKey);
        }
        current_known |= check[..] == current[..];
    }
    if !current_known {
        let row =
            vec![("check_value".into(), Datum::Bytes(current.to_vec())), ("create_time".into(), Datum::Time(now))];
        store.commit(Commit::of(vec![Step::Insert { table: crate::layout::ROOT_KEY.into(), row }])).await?;
    }
    Ok(())
}

impl From<MigrateError> for ConfigurationError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Unavailable(error) => error.into(),
            MigrateError::Catalog(error) => error.into(),
            MigrateError::Commit(error) => error.into(),
        }
    }
}

/// The id of the deployment that a configuration database belongs to.
///
/// # Errors
/// If the store doesn't answer or holds none.
pub async fn deployment_id(store: &dyn Reader) -> Result<Uuid, Unavailable> {
    match rows(store, DEPLOYMENT, &["id"], Condition::EVERYTHING).await?.first().map(Vec::as_slice) {
        Some([Datum::Uuid(id)]) => Ok(*id),
        Some(_) | None => Err(Unavailable("the configuration database names no deployment".into())),
    }
}

/// The condition that a row belongs to this organization.
pub(crate) fn of_organization(id: OrganizationId) -> Condition {
    Condition::equal("organization", Datum::Uuid(id.uuid()))
}

/// An [`Unavailable`] of something the root key could not do.
pub(crate) fn root_key_failed(error: crate::crypto::root_key::RootKeyError) -> Unavailable {
    Unavailable(Cause(Box::new(error)))
}
