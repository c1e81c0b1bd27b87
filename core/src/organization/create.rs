//! Creates an organization. It is active from the start, with a generated key.
//!
//! The order of writes allows a start to complete or undo an interrupted creation: a row *creating* in the
//! configuration database with the sealed text, the database, which appears complete, and the row *ready*.

use std::sync::Arc;

use crate::{
    audit::entry::{AuditAction, AuditEntry},
    catalog,
    crypto::{
        kek::{KdfParameters, KeyCheckValue},
        key_text,
        ring::KeyRing,
    },
    deployment::{Deployment, NotServed},
    fail_point::FailPoint,
    id::OrganizationId,
    identity::Caller,
    layout,
    name::OrganizationName,
    organization::{
        handle::Organization,
        key_text::write_text,
        keys::Keys,
        ring_rows::{self, key_change_row},
        row::{Row, STATE_CREATING, STATE_READY},
    },
    policy::{self, DeploymentPermit},
    port::OrganizationLock,
    store::{Commit, CommitError, OpenError, Step, StoreFailure, Unavailable},
    table::{declare::TableRow as _, organization::OrganizationRow},
};

/// Why an organization wasn't created.
#[derive(Debug, thiserror::Error)]
pub enum CreateOrganizationError {
    /// An organization with this name exists.
    #[error("the organization already exists")]
    AlreadyExists,
    /// An organization with this name exists, but isn't served at present.
    #[error("the organization exists, but isn't served at present")]
    NotServed(NotServed),
    /// A database, the root key or the audit trail failed.
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

impl From<Unavailable> for CreateOrganizationError {
    fn from(error: Unavailable) -> Self {
        CreateOrganizationError::Store(error.into())
    }
}

impl From<CommitError> for CreateOrganizationError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused { .. } => CreateOrganizationError::AlreadyExists,
            error @ (CommitError::Unavailable(_) | CommitError::Unknown(_)) => {
                CreateOrganizationError::Store(error.into())
            }
        }
    }
}

/// Creates an organization and serves it.
///
/// # Errors
/// See [`CreateOrganizationError`].
pub async fn create(
    deployment: &Deployment,
    permit: DeploymentPermit<policy::CreateOrganization>,
    name: &OrganizationName,
) -> Result<Arc<Organization>, CreateOrganizationError> {
    create_without_permit(deployment, Some(permit.caller()), name).await
}

/// Creates the first organization of a deployment, before any call is accepted.
///
/// # Errors
/// See [`CreateOrganizationError`].
pub async fn create_first(
    deployment: &Deployment,
    name: &OrganizationName,
) -> Result<Arc<Organization>, CreateOrganizationError> {
    create_without_permit(deployment, None, name).await
}

async fn create_without_permit(
    deployment: &Deployment,
    caller: Option<&Caller>,
    name: &OrganizationName,
) -> Result<Arc<Organization>, CreateOrganizationError> {
    if deployment.organization(name).is_some() {
        return Err(CreateOrganizationError::AlreadyExists);
    }
    if let Some(why) = deployment.not_served(name) {
        return Err(CreateOrganizationError::NotServed(why));
    }
    let ports = &deployment.ports;
    let random = &*ports.random;
    let id = OrganizationId::new_v4(random);
    let lock: Box<dyn OrganizationLock> =
        ports.databases.try_lock(id).await?.ok_or(CreateOrganizationError::AlreadyExists)?;

    let kdf = KdfParameters::draw(random);
    let (text, kek) = ports.key_derivation.derive(key_text::generate(random), kdf).await;
    let kek = kek.map_err(|error| CreateOrganizationError::Store(StoreFailure::internal(error)))?;
    let now = deployment.now();
    let ring = KeyRing::create(id, &kek, kdf, now, random)
        .map_err(|error| CreateOrganizationError::Store(StoreFailure::internal(error)))?;
    let check: KeyCheckValue = ring.stored().check;
    let entry = AuditEntry {
        caller: caller.cloned(),
        fingerprint: Some(ring.fingerprint().to_string()),
        key_version: Some(ring.version().get()),
        ..AuditEntry::done(now, AuditAction::CreateOrganization, name.resource_name())
    };

    let row = Row { name: name.clone(), id, state: STATE_CREATING.to_owned(), create_time: now };
    let mut steps = vec![row.insert(&*ports.root_key)?];
    steps.extend(write_text(deployment, id, &check, &text, &kek)?);
    steps.push(Step::Audit(entry.clone()));
    if let Err(error) = ports.configuration.commit(Commit::under_lock(id, steps)).await {
        if matches!(error, CommitError::Refused { .. }) {
            // If this fails, the next start removes the unused lock file.
            let _left = lock.discard().await;
        }
        return Err(match error {
            CommitError::Refused { step: 0 } => CreateOrganizationError::AlreadyExists,
            error @ (CommitError::Refused { .. } | CommitError::Unavailable(_) | CommitError::Unknown(_)) => {
                CreateOrganizationError::Store(error.into())
            }
        });
    }
    deployment.reached(FailPoint::CreateStarted);

    let mut first = catalog::first(&layout::organization(&deployment.schema), now);
    first.steps.push(OrganizationRow { id, name: name.clone(), create_time: now }.insert());
    first.steps.extend(ring_rows::insert(ring.stored()));
    first.steps.push(key_change_row(&ring));
    first.steps.push(Step::Audit(entry));
    ports.databases.create(id, first).await?;
    deployment.reached(FailPoint::DatabaseCreated);
    let ready = row.become_state(STATE_READY, &*ports.root_key)?;
    ports.configuration.commit(Commit::under_lock(id, vec![ready])).await?;
    deployment.reached(FailPoint::CreateReady);

    let store = ports.databases.open(id).await.map_err(|error| match error {
        OpenError::Missing => {
            CreateOrganizationError::Store(StoreFailure::Unavailable("the created database is missing".into()))
        }
        OpenError::Unavailable(cause) => CreateOrganizationError::Store(StoreFailure::Unavailable(cause)),
        error @ OpenError::WrongOrganization => CreateOrganizationError::Store(StoreFailure::internal(error)),
    })?;
    let organization = Arc::new(Organization::new(id, name.clone(), now, store, &deployment.schema));
    organization.set_keys(Keys::Active(Arc::new(ring)));
    deployment.admit(Arc::clone(&organization));
    drop(lock);
    Ok(organization)
}
