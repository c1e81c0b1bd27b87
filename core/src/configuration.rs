//! The configuration database: its first content, its migration, the check values of root keys, and the id of the
//! deployment.

use uuid::Uuid;

use crate::{
    catalog::{MigrateError, migrate},
    crypto::root_key::RootKey,
    id::Timestamp,
    store::{Cause, Commit, CommitError, Condition, Reader, Step, Store, Unavailable},
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
/// is configured. A new first root key is listed before it seals anything. [`crate::key::reseal`] removes root keys that
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
    let current = root_key.check_value()?.to_vec();
    loop {
        let known = read(store, RootKeyRow::check_value(), Condition::EVERYTHING).await?;
        for check in &known {
            if !root_key.recognizes(check)? {
                return Err(ConfigurationError::OtherRootKey);
            }
        }
        if known.contains(&current) {
            return Ok(());
        }
        // Exactly the root keys that were checked: of two first starts with different root keys, one is refused.
        let is_known = |check: &Vec<u8>| RootKeyRow::check_value().is(check.clone());
        let mut steps: Vec<Step> = known.iter().map(|check| RootKeyRow::require(is_known(check))).collect();
        steps.push(RootKeyRow::forbid(Condition::Any(known.iter().map(is_known).collect()).negated()));
        steps.push(RootKeyRow { check_value: current.clone(), create_time: now }.insert());
        match store.commit(Commit::of(steps)).await {
            Err(CommitError::Refused { .. }) => {}
            outcome => return Ok(outcome?),
        }
    }
}

/// Returns the step that requires that the root key that seals is listed. A commit of values that are sealed or
/// authenticated under it contains the step, so that no server uses a root key after another one has retired it.
pub(crate) fn require_root_key(root_key: &dyn RootKey) -> Result<Step, Unavailable> {
    let current = root_key.check_value().map_err(root_key_failed)?;
    Ok(RootKeyRow::require(RootKeyRow::check_value().is(current.to_vec())))
}

/// Returns whether the root key that seals is listed, and every listed root key is configured. If not, another server has
/// changed the root key since this one started.
///
/// # Errors
/// If the configuration database or the root key is unavailable.
pub async fn has_listed_root_keys(store: &dyn Reader, root_key: &dyn RootKey) -> Result<bool, Unavailable> {
    let current = root_key.check_value().map_err(root_key_failed)?;
    let mut is_current_listed = false;
    for check in read(store, RootKeyRow::check_value(), Condition::EVERYTHING).await? {
        if !root_key.recognizes(&check).map_err(root_key_failed)? {
            return Ok(false);
        }
        is_current_listed |= check == current;
    }
    Ok(is_current_listed)
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
