//! Opens the organizations at a start: completes or undoes interrupted operations, registers databases that were copied
//! in, and serves the rest.
//!
//! A start deletes only the rows of organizations whose database was never created. A row is used only if its MAC is
//! valid (see [`row`]). A database is served only under the name and id that it contains. Databases that can't be
//! opened now are opened later by [`open_again`].
//!
//! An organization is changed only under its lock, which a creation, an import and a deletion hold until they end. What
//! the listing said is read again under the lock, because another server may have created, completed or deleted the
//! organization in between. An organization that needs no change is served without the lock, which another server may hold
//! for hours, for a re-encryption.
//!
//! Servers that share the databases [`follow`] each other: what one creates, deletes or leaves unfinished, the others find.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    audit::entry::{AuditAction, AuditEntry},
    catalog::{self, CatalogError, MigrateError, migrate},
    census,
    configuration::require_root_key,
    deployment::{Deployment, NotServed},
    fail_point::FailPoint,
    id::{OrganizationId, Timestamp},
    layout,
    name::OrganizationName,
    organization::{
        delete,
        handle::Organization,
        row::{self, Listed, Listing, Misnamed, Row, STATE_CREATING, STATE_DELETING, STATE_IMPORTING, STATE_READY},
        seen,
    },
    port::OrganizationLock,
    store::{Commit, CommitError, Condition, Expect, OpenError, Pending, Reader, Step, Store, Unavailable},
    table::{
        configuration::{FingerprintRow, KeyTextRow, TombstoneRow},
        declare::{Damage, TableRow as _, read_each},
        organization::OrganizationRow,
    },
};

/// The result of opening organizations.
#[derive(Default)]
pub struct Opened {
    /// The organizations that are now served.
    pub organizations: Vec<Arc<Organization>>,
    /// The organizations that aren't served.
    pub not_opened: Vec<NotOpened>,
}

/// An organization that can't be opened, with the reason. The others are served.
#[derive(Debug)]
pub struct NotOpened {
    /// The name of the organization; `None` if the configuration database doesn't list it, or lists it with an invalid
    /// name.
    pub name: Option<OrganizationName>,
    /// The id in the name of its database.
    pub id: OrganizationId,
    /// The reason.
    pub error: OpenOrganizationError,
}

impl NotOpened {
    /// Returns the name or, if it isn't known, the id of the database.
    #[must_use]
    pub fn shown(&self) -> String {
        self.name.as_ref().map_or_else(|| self.id.to_string(), ToString::to_string)
    }
}

/// Why an organization isn't served.
#[derive(Debug, thiserror::Error)]
pub enum OpenOrganizationError {
    /// The database can't be opened.
    #[error("its database can't be opened")]
    Open(#[from] OpenError),
    /// The database can't be migrated to the schema.
    #[error("its database can't be migrated to the schema")]
    Migrate(#[from] MigrateError),
    /// A database is unavailable.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A commit failed.
    #[error("it can't be registered")]
    Commit(#[from] CommitError),
    /// The row wasn't written by this deployment.
    #[error(
        "its row in configuration.db isn't authentic: it was changed, or written by a version without MACs; restore configuration.db from a backup, or move it away, start, and restore each key by its text"
    )]
    NotAuthentic,
    /// The name in the row isn't a valid name of an organization, so the row wasn't written by this deployment.
    #[error(
        "its row in configuration.db isn't authentic: its name, {name:?}, isn't the name of an organization; restore configuration.db from a backup"
    )]
    InvalidName {
        /// The name in the row.
        name: String,
    },
    /// The name in the database differs from the name in the row.
    #[error("its database belongs to organizations/{name}: rename each database to the UUID that it contains")]
    OtherName {
        /// The name in the database.
        name: OrganizationName,
    },
    /// A database found in the folder belongs to another organization than its file name.
    #[error("the database found there contains another organization")]
    WrongOrganization,
    /// A database found in the folder has the name of another organization.
    #[error("the database found there has the name of another organization")]
    NameTaken,
    /// The configuration database contains keys of a database, but no row of it.
    #[error(
        "configuration.db has keys of the database found there, but doesn't list it: its row was removed; restore configuration.db from a backup"
    )]
    RowRemoved,
    /// A database found in the folder belongs to an organization that was deleted in this deployment.
    #[error(
        "the database found there belongs to an organization that was deleted in this deployment: remove it, or import an export of it"
    )]
    Deleted,
    /// Another process holds the organization's lock.
    #[error("another process holds its lock")]
    Locked,
    /// The state in the row is unknown.
    #[error("its row in configuration.db has the state {state:?}, which a newer version wrote: run that version")]
    NewerState {
        /// The state.
        state: String,
    },
}

impl OpenOrganizationError {
    /// Returns the reason for callers.
    fn not_served(&self) -> NotServed {
        match self {
            Self::NotAuthentic
            | Self::InvalidName { .. }
            | Self::OtherName { .. }
            | Self::WrongOrganization
            | Self::NameTaken
            | Self::RowRemoved
            | Self::Deleted
            | Self::Open(OpenError::WrongOrganization) => NotServed::Mismatch,
            Self::Migrate(MigrateError::Catalog(
                CatalogError::UnknownCellColumn { .. } | CatalogError::UnknownColumn { .. },
            ))
            | Self::NewerState { .. } => NotServed::NewerVersion,
            Self::Open(OpenError::Missing | OpenError::Unavailable(_))
            | Self::Migrate(
                MigrateError::Catalog(CatalogError::Retyped { .. } | CatalogError::EncryptionSwitched { .. })
                | MigrateError::Unavailable(_)
                | MigrateError::Commit(_),
            )
            | Self::Unavailable(_)
            | Self::Commit(_)
            | Self::Locked => NotServed::Unavailable,
        }
    }
}

/// The identity of a database, as stored in it.
pub struct Inside {
    /// The id of the organization.
    pub id: OrganizationId,
    /// The name of the organization in the deployment that last wrote it.
    pub name: OrganizationName,
    /// The creation time of the organization.
    pub create_time: Timestamp,
}

/// Reads the identity of a database; `None` if it isn't the database of an organization.
///
/// # Errors
/// If the database is unavailable.
pub async fn inside(store: &dyn Reader) -> Result<Option<Inside>, Unavailable> {
    let found = read_each(store, OrganizationRow::all_columns(), Condition::EVERYTHING).await?;
    match <[Result<OrganizationRow, Damage>; 1]>::try_from(found) {
        Ok([Ok(OrganizationRow { id, name, create_time })]) => Ok(Some(Inside { id, name, create_time })),
        Ok([Err(_)]) | Err(_) => Ok(None),
    }
}

/// Reads the name in a database at the location of this organization's database. The store calls it at each open.
pub fn inspect(id: OrganizationId, store: &dyn Reader) -> Pending<'_, Result<OrganizationName, OpenError>> {
    Box::pin(async move {
        match inside(store).await {
            Ok(Some(inside)) if inside.id == id => Ok(inside.name),
            Ok(_) => Err(OpenError::WrongOrganization),
            Err(Unavailable(cause)) => Err(OpenError::Unavailable(cause)),
        }
    })
}

/// Opens all organizations that can be opened, and returns those that can't.
///
/// # Errors
/// If the configuration database or the folder of databases is unavailable.
pub async fn open_all(deployment: &Deployment) -> Result<Opened, Unavailable> {
    let ports = &deployment.ports;
    let Listing { organizations: listed, misnamed } = row::read_all(&*ports.configuration).await?;
    let found: HashSet<OrganizationId> = ports.databases.list().await?.into_iter().collect();
    let ids = listed.iter().map(|listed| listed.row.id);
    let known: HashSet<OrganizationId> = ids.chain(misnamed.iter().map(|row| row.id)).collect();
    let names: HashSet<OrganizationName> = listed.iter().map(|listed| listed.row.name.clone()).collect();
    let mut opened = Opened::default();
    for listed in listed {
        let outcome = open_listed(deployment, &listed).await;
        opened.note(deployment, Some(listed.row.name), listed.row.id, outcome);
    }
    for Misnamed { name, id, .. } in misnamed {
        opened.note(deployment, None, id, Err(OpenOrganizationError::InvalidName { name }));
    }
    for id in found.difference(&known) {
        let outcome = register(deployment, *id, &names).await;
        opened.note(deployment, None, *id, outcome);
    }
    opened.count_misnamed(deployment);
    Ok(opened)
}

/// Tries again to open the organizations that couldn't be opened before.
///
/// # Errors
/// If the configuration database or the folder of databases is unavailable.
pub async fn open_again(deployment: &Deployment, not_opened: &[NotOpened]) -> Result<Opened, Unavailable> {
    let ports = &deployment.ports;
    let Listing { organizations: listed, misnamed } = row::read_all(&*ports.configuration).await?;
    let mut misnamed: HashMap<OrganizationId, String> = misnamed.into_iter().map(|row| (row.id, row.name)).collect();
    let names: HashSet<OrganizationName> = listed.iter().map(|listed| listed.row.name.clone()).collect();
    let mut listed: HashMap<OrganizationName, Listed> =
        listed.into_iter().map(|listed| (listed.row.name.clone(), listed)).collect();
    let found: HashSet<OrganizationId> = ports.databases.list().await?.into_iter().collect();
    let mut opened = Opened::default();
    for NotOpened { name, id, .. } in not_opened {
        let outcome = match name {
            Some(name) => match listed.remove(name) {
                Some(listed) => open_listed(deployment, &listed).await,
                // The database was removed.
                None => {
                    deployment.forget_not_served(name);
                    continue;
                }
            },
            None => match misnamed.remove(id) {
                Some(name) => Err(OpenOrganizationError::InvalidName { name }),
                None if found.contains(id) => register(deployment, *id, &names).await,
                None => continue,
            },
        };
        opened.note(deployment, name.clone(), *id, outcome);
    }
    opened.count_misnamed(deployment);
    Ok(opened)
}

/// Brings the served organizations up to date with those that other servers have created, deleted or left unfinished.
/// `abandoned` are those whose lock has no holder, although its work isn't done.
///
/// Returns the organizations that were opened, and those that can't be.
///
/// # Errors
/// If the configuration database is unavailable.
pub async fn follow(deployment: &Deployment, abandoned: &[OrganizationId]) -> Result<Opened, Unavailable> {
    // Read before the listing: one that is admitted in between is listed later.
    let served = deployment.organizations();
    let Listing { organizations: listed, misnamed } = row::read_all(&*deployment.ports.configuration).await?;
    let is_listed = |organization: &Organization| {
        let is_same = |row: &Row| row.id == organization.id && row.name == organization.name;
        listed.iter().any(|listed| is_same(&listed.row) && listed.row.state == STATE_READY)
    };
    for organization in served.iter().filter(|organization| !is_listed(organization)) {
        deployment.dismiss_this(organization);
    }
    for id in abandoned.iter().filter(|id| listed.iter().all(|listed| listed.row.id != **id)) {
        // Nothing is left of the organization but its lock.
        if let Some(lock) = deployment.ports.databases.try_lock(*id).await? {
            lock.discard().await?;
        }
    }
    let mut opened = Opened::default();
    for listed in listed {
        let served = deployment.organization(&listed.row.name);
        if served.is_none_or(|served| served.id != listed.row.id) {
            let outcome = open_listed(deployment, &listed).await;
            opened.note(deployment, Some(listed.row.name), listed.row.id, outcome);
        }
    }
    for Misnamed { name, id, .. } in misnamed {
        opened.note(deployment, None, id, Err(OpenOrganizationError::InvalidName { name }));
    }
    opened.count_misnamed(deployment);
    Ok(opened)
}

/// Opens an organization that another server may have created since the last look.
///
/// # Errors
/// If the configuration database is unavailable.
pub async fn look_for(deployment: &Deployment, name: &OrganizationName) -> Result<Opened, Unavailable> {
    let mut opened = Opened::default();
    if let Some(listed) = row::read_named(&*deployment.ports.configuration, name).await?
        && listed.row.state == STATE_READY
    {
        let outcome = open_listed(deployment, &listed).await;
        opened.note(deployment, Some(listed.row.name), listed.row.id, outcome);
    }
    Ok(opened)
}

impl Opened {
    /// Counts the rows with an invalid name as organizations that aren't served. They can't be stored by name.
    fn count_misnamed(&self, deployment: &Deployment) {
        let is_misnamed =
            |not_opened: &&NotOpened| matches!(not_opened.error, OpenOrganizationError::InvalidName { .. });
        deployment.set_misnamed_count(self.not_opened.iter().filter(is_misnamed).count());
    }

    fn note(
        &mut self,
        deployment: &Deployment,
        name: Option<OrganizationName>,
        id: OrganizationId,
        outcome: Result<Option<Arc<Organization>>, OpenOrganizationError>,
    ) {
        match outcome {
            Ok(organization) => {
                if let Some(name) = &name {
                    deployment.forget_not_served(name);
                }
                self.organizations.extend(organization);
            }
            Err(error) => {
                if let Some(name) = &name {
                    deployment.does_not_serve(name.clone(), error.not_served());
                }
                self.not_opened.push(NotOpened { name, id, error });
            }
        }
    }
}

/// Opens a listed organization and returns it, or `None` if it was removed.
async fn open_listed(
    deployment: &Deployment,
    listed: &Listed,
) -> Result<Option<Arc<Organization>>, OpenOrganizationError> {
    let ports = &deployment.ports;
    check_authentic(deployment, listed)?;
    let Some(lock) = ports.databases.try_lock(listed.row.id).await? else {
        return match listed.row.state == STATE_READY {
            true => open_unlocked(deployment, &listed.row).await.map(Some),
            // It isn't there yet, or no longer. If its server ends, the others find its lock.
            false if ports.databases.is_shared() => Ok(None),
            false => Err(OpenOrganizationError::Locked),
        };
    };
    // The previous holder of the lock may have opened it.
    if let Some(served) = deployment.organization(&listed.row.name) {
        return Ok(Some(served));
    }
    // Or completed, undone or deleted it, in this process or in another one.
    let Some(listed) = row::read_again(&*ports.configuration, &listed.row).await? else { return Ok(None) };
    // Checked before the state in the row is used.
    check_authentic(deployment, &listed)?;
    let row = &listed.row;
    if row.state == STATE_DELETING {
        delete::finish(deployment, row, lock).await?;
        return Ok(None);
    }
    if row.state == STATE_CREATING || row.state == STATE_IMPORTING {
        if !ports.databases.list().await?.contains(&row.id) {
            ports.databases.remove(row.id).await?;
            let steps = vec![
                row.unlist(Expect::One),
                KeyTextRow::delete(KeyTextRow::organization().is(row.id)),
                FingerprintRow::delete(FingerprintRow::organization().is(row.id)),
            ];
            ports.configuration.commit(Commit::under_lock(row.id, steps)).await?;
            lock.discard().await?;
            return Ok(None);
        }
        let ready = row.become_state(STATE_READY, &*ports.root_key)?;
        ports.configuration.commit(Commit::under_lock(row.id, vec![ready])).await?;
    }
    // Only a newer version writes another state, such as that of an organization that has moved elsewhere.
    if ![STATE_CREATING, STATE_IMPORTING, STATE_READY].contains(&&*row.state) {
        return Err(OpenOrganizationError::NewerState { state: row.state.clone() });
    }
    let store = ports.databases.open(row.id).await?;
    check_inside(&*store, row).await?;
    serve(deployment, row, store, lock).await.map(Some)
}

/// Opens an organization while another server holds its lock.
async fn open_unlocked(deployment: &Deployment, row: &Row) -> Result<Arc<Organization>, OpenOrganizationError> {
    let store = deployment.ports.databases.open(row.id).await?;
    check_inside(&*store, row).await?;
    if !catalog::is_current(&*store, &layout::organization(&deployment.schema), deployment.now()).await? {
        return Err(OpenOrganizationError::Locked);
    }
    Ok(admit(deployment, row, store).await?)
}

async fn check_inside(store: &dyn Reader, row: &Row) -> Result<(), OpenOrganizationError> {
    match inside(store).await? {
        Some(inside) if inside.id == row.id && inside.name == row.name => Ok(()),
        Some(inside) if inside.id == row.id => Err(OpenOrganizationError::OtherName { name: inside.name }),
        Some(_) | None => Err(OpenOrganizationError::WrongOrganization),
    }
}

fn check_authentic(deployment: &Deployment, listed: &Listed) -> Result<(), OpenOrganizationError> {
    if listed.is_authentic(&*deployment.ports.root_key)? { Ok(()) } else { Err(OpenOrganizationError::NotAuthentic) }
}

/// Registers a database that was copied in, or whose configuration was lost. It is inactive until its key is restored.
async fn register(
    deployment: &Deployment,
    id: OrganizationId,
    names: &HashSet<OrganizationName>,
) -> Result<Option<Arc<Organization>>, OpenOrganizationError> {
    let ports = &deployment.ports;
    let lock = ports.databases.try_lock(id).await?.ok_or(OpenOrganizationError::Locked)?;
    if row::is_listed(&*ports.configuration, id).await? {
        return Ok(None);
    }
    let store = ports.databases.open(id).await?;
    let Some(Inside { id: inner, name, create_time }) = inside(&*store).await? else {
        return Err(OpenOrganizationError::WrongOrganization);
    };
    if inner != id {
        return Err(OpenOrganizationError::WrongOrganization);
    }
    if ports.configuration.count(TombstoneRow::TABLE.into(), TombstoneRow::organization().is(id)).await? > 0 {
        return Err(OpenOrganizationError::Deleted);
    }
    if names.contains(&name) || deployment.organization(&name).is_some() {
        return Err(OpenOrganizationError::NameTaken);
    }
    // A row and its first key text are committed together, and the row is removed after the texts. The name in a
    // database isn't authenticated: with the stored keys, the database would be served under that name immediately.
    if ports.configuration.count(KeyTextRow::TABLE.into(), KeyTextRow::organization().is(id)).await? > 0 {
        return Err(OpenOrganizationError::RowRemoved);
    }
    let row = Row { name, id, state: STATE_READY.to_owned(), create_time };
    let subject = row.name.resource_name();
    let entry = AuditEntry::done(deployment.now(), AuditAction::RegisterOrganization, subject);
    let root_key = &*ports.root_key;
    let steps = vec![require_root_key(root_key)?, row.insert(root_key)?, Step::Audit(entry)];
    ports.configuration.commit(Commit::under_lock(id, steps)).await?;
    serve(deployment, &row, store, lock).await.map(Some)
}

async fn serve(
    deployment: &Deployment,
    row: &Row,
    store: Arc<dyn Store>,
    lock: Box<dyn OrganizationLock>,
) -> Result<Arc<Organization>, OpenOrganizationError> {
    deployment.reached(FailPoint::MigrationDue);
    let census = census::first(&*store).await?;
    migrate(&*store, &layout::organization(&deployment.schema), census, deployment.now()).await?;
    deployment.reached(FailPoint::Migrated);
    drop(lock);
    Ok(admit(deployment, row, store).await?)
}

/// Serves an organization whose database matches the schema.
pub(super) async fn admit(
    deployment: &Deployment,
    row: &Row,
    store: Arc<dyn Store>,
) -> Result<Arc<Organization>, Unavailable> {
    let organization =
        Arc::new(Organization::new(row.id, row.name.clone(), row.create_time, store, &deployment.schema));
    organization.load_schema(deployment).await?;
    organization.load_keys(deployment).await?;
    seen::check_rollback(deployment, &organization).await?;
    deployment.admit(Arc::clone(&organization));
    Ok(organization)
}
