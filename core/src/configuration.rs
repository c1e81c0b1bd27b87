//! The configuration database: its first content, its migration, its check values of root keys, and the deployment's id.

use uuid::Uuid;

use crate::{
    catalog::{MigrateError, migrate},
    crypto::root_key::RootKey,
    id::Timestamp,
    store::{Cause, Commit, CommitError, Condition, Reader, Store, Unavailable},
    table::{
        configuration::{DeploymentRow, RootKeyRow},
        declare::{TableRow as _, read},
    },
};

/// Makes the content of a new configuration database: its tables, and the id of the deployment, which is the writer of its chains.
#[must_use]
pub fn first_configuration(id: Uuid, now: Timestamp) -> Commit {
    let mut commit = crate::catalog::first(&crate::layout::configuration(), now);
    commit.steps.push(DeploymentRow { slot: 1, id, create_time: now }.insert());
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
    let known = read(store, RootKeyRow::check_value(), Condition::EVERYTHING).await?;
    let mut current_known = false;
    let current = root_key.check_value()?;
    for check in known {
        if !root_key.recognizes(&check)? {
            return Err(ConfigurationError::OtherRootKey);
        }
        current_known |= check[..] == current[..];
    }
    if !current_known {
        let first = RootKeyRow { check_value: current.to_vec(), create_time: now };
        store.commit(Commit::of(vec![first.insert()])).await?;
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
    let found = read(store, DeploymentRow::id(), Condition::EVERYTHING).await?;
    found.first().copied().ok_or(Unavailable("the configuration database names no deployment".into()))
}

/// An [`Unavailable`] of something the root key could not do.
pub(crate) fn root_key_failed(error: crate::crypto::root_key::RootKeyError) -> Unavailable {
    Unavailable(Cause(Box::new(error)))
}
