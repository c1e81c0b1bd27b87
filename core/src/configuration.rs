//! The configuration database: its first content, its migration, the check values of root keys, and the id of the
//! deployment.

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

/// Returns the commit with the content of a new configuration database: its tables and the id of the deployment. The id
/// is the writer of the deployment's audit chains.
#[must_use]
pub fn first_configuration(id: Uuid, now: Timestamp) -> Commit {
    let mut commit = crate::catalog::first(&crate::layout::configuration(), now);
    commit.steps.push(DeploymentRow { slot: 1, id, create_time: now }.insert());
    commit
}

/// Why a deployment can't start on its configuration database.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The database is unavailable or isn't a configuration database.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The database can't be migrated to the tables of this version.
    #[error("the configuration database can't be migrated")]
    Catalog(#[from] crate::catalog::CatalogError),
    /// A commit failed.
    #[error("the configuration database can't be written")]
    Commit(#[from] CommitError),
    /// Values in the database are sealed under a root key that isn't configured.
    #[error(
        "key texts are sealed under a root key that isn't configured: add it to root_key.sources, after the first key"
    )]
    OtherRootKey,
    /// The root key is unavailable.
    #[error("the root key is unavailable")]
    RootKey(#[from] crate::crypto::root_key::RootKeyError),
}

/// Migrates the configuration database to the tables of this version. Checks that every root key that seals values in it
/// is configured. A new first root key is recorded before it seals anything. [`crate::key::reseal`] removes root keys that
/// are no longer needed.
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

/// Reads the id of the deployment that a configuration database belongs to.
///
/// # Errors
/// If the store is unavailable or has no id.
pub async fn deployment_id(store: &dyn Reader) -> Result<Uuid, Unavailable> {
    let found = read(store, DeploymentRow::id(), Condition::EVERYTHING).await?;
    found.first().copied().ok_or(Unavailable("the configuration database has no deployment id".into()))
}

/// Converts an error of the root key to [`Unavailable`].
pub(crate) fn root_key_failed(error: crate::crypto::root_key::RootKeyError) -> Unavailable {
    Unavailable(Cause(Box::new(error)))
}
