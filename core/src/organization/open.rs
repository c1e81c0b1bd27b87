//! Open the organizations at a start: finish or undo what was half-way, register databases that were copied in, and serve the rest.
//!
//! A start deletes nothing but the row of an organization whose database was never made. A row is believed only with its MAC (see
//! [`row`]), and a database is served only under the name and id that it has inside. What can't be opened now is opened once it can be,
//! by [`open_again`].

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    audit::entry::{AuditAction, AuditEntry},
    catalog::{CatalogError, MigrateError, migrate},
    census,
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
        configuration::{KeyTextRow, TombstoneRow},
        declare::{Damage, TableRow as _, read_each},
        organization::OrganizationRow,
    },
};

/// What became of the organizations that were to be opened.
#[derive(Default)]
pub struct Opened {
    /// Those that are served from now on.
    pub organizations: Vec<Arc<Organization>>,
    /// Those that are not.
    pub not_opened: Vec<NotOpened>,
}

/// An organization that could not be opened, and why. The others are served.
#[derive(Debug)]
pub struct NotOpened {
    /// Its name; `None` if the configuration database doesn't list it, or lists it with a name that isn't one.
    pub name: Option<OrganizationName>,
    /// The id that its database is named after.
    pub id: OrganizationId,
    /// Why.
    pub error: OpenOrganizationError,
}

impl NotOpened {
    /// Its name or, if that isn't known, its database's id.
    #[must_use]
    pub fn shown(&self) -> String {
        self.name.as_ref().map_or_else(|| self.id.to_string(), ToString::to_string)
    }
}

/// Why an organization isn't served.
#[derive(Debug, thiserror::Error)]
pub enum OpenOrganizationError {
    /// Its database can't be opened.
    #[error("its database can't be opened")]
    Open(#[from] OpenError),
    /// Its database can't be brought to the schema.
    #[error("its database can't be brought to the schema")]
    Migrate(#[from] MigrateError),
    /// A database doesn't answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A commit failed.
    #[error("it can't be registered")]
    Commit(#[from] CommitError),
    /// Its row was not written by this deployment.
    #[error(
        "its row in configuration.db isn't authentic: somebody changed it, or it is older than such rows have a MAC. Put a backup of configuration.db back; or move it away, start, and restore each key by its text"
    )]
    NotAuthentic,
    /// Its row has a name that no organization has, and so was not written by this deployment.
    #[error(
        "its row in configuration.db isn't authentic: its name, {name:?}, isn't the name of an organization. Put a backup of configuration.db back"
    )]
    InvalidName {
        /// The name in the row.
        name: String,
    },
    /// Its database names another organization inside than the one it is listed as.
    #[error(
        "its database is that of organizations/{name} inside: each database belongs under the name and id that it has inside"
    )]
    OtherName {
        /// The name inside.
        name: OrganizationName,
    },
    /// A database found in the folder names another organization than its file does.
    #[error("the database found there names another organization inside")]
    OtherInside,
    /// A database found in the folder has a name that is taken.
    #[error("the database found there has the name of another organization")]
    NameTaken,
    /// The configuration database keeps keys of a database that it doesn't list.
    #[error(
        "configuration.db has keys of the database found there, but doesn't list it: its row was removed. Put a backup of configuration.db back"
    )]
    RowRemoved,
    /// A database found in the folder is that of an organization which was deleted here.
    #[error(
        "the database found there is that of an organization that was deleted here; remove it, or import an export of it"
    )]
    Deleted,
    /// Somebody holds the organization's lock.
    #[error("its lock is held by somebody else")]
    Locked,
}

impl OpenOrganizationError {
    /// What callers are told.
    fn not_served(&self) -> NotServed {
        match self {
            Self::NotAuthentic
            | Self::InvalidName { .. }
            | Self::OtherName { .. }
            | Self::OtherInside
            | Self::NameTaken
            | Self::RowRemoved
            | Self::Deleted
            | Self::Open(OpenError::OtherInside) => NotServed::Mismatch,
            Self::Migrate(MigrateError::Catalog(
                CatalogError::UnknownCellColumn { .. } | CatalogError::UnknownColumn { .. },
            )) => NotServed::NewerVersion,
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

/// What a database says that it is.
pub struct Inside {
    /// Its organization's id.
    pub id: OrganizationId,
    /// Its organization's name, where it was written last.
    pub name: OrganizationName,
    /// When its organization was created.
    pub create_time: Timestamp,
}

/// What a database says that it is; `None` if it isn't an organization's.
///
/// # Errors
/// If it doesn't answer.
pub async fn inside(store: &dyn Reader) -> Result<Option<Inside>, Unavailable> {
    let found = read_each(store, OrganizationRow::all_columns(), Condition::EVERYTHING).await?;
    match <[Result<OrganizationRow, Damage>; 1]>::try_from(found) {
        Ok([Ok(OrganizationRow { id, name, create_time })]) => Ok(Some(Inside { id, name, create_time })),
        Ok([Err(_)]) | Err(_) => Ok(None),
    }
}

/// The name inside a database that lies where this organization's belongs. What keeps databases asks at each opening.
pub fn inspect(id: OrganizationId, store: &dyn Reader) -> Pending<'_, Result<OrganizationName, OpenError>> {
    Box::pin(async move {
        match inside(store).await {
            Ok(Some(inside)) if inside.id == id => Ok(inside.name),
            Ok(_) => Err(OpenError::OtherInside),
            Err(Unavailable(cause)) => Err(OpenError::Unavailable(cause)),
        }
    })
}

/// Opens every organization that can be opened, and tells of those that can't.
///
/// # Errors
/// If the configuration database or the folder of databases doesn't answer.
pub async fn open_all(deployment: &Deployment) -> Result<Opened, Unavailable> {
    let ports = &deployment.ports;
    let Listing { organizations: listed, misnamed } = row::read_all(&*ports.configuration).await?;
    let found: HashSet<OrganizationId> = ports.databases.list().await?.into_iter().collect();
    let ids = listed.iter().map(|listed| listed.row.id);
    let known: HashSet<OrganizationId> = ids.chain(misnamed.iter().map(|row| row.id)).collect();
    let names: HashSet<OrganizationName> = listed.iter().map(|listed| listed.row.name.clone()).collect();
    let mut opened = Opened::default();
    for listed in listed {
        let outcome = open_listed(deployment, &listed, found.contains(&listed.row.id)).await;
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

/// Tries those again that could not be opened before.
///
/// # Errors
/// If the configuration database or the folder of databases doesn't answer.
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
                Some(listed) => open_listed(deployment, &listed, found.contains(&listed.row.id)).await,
                // It is gone.
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

impl Opened {
    /// Counts the rows with an invalid name as organizations that aren't served. There is no name to keep them under.
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

/// Opens an organization that is listed, and answers with it; with `None` if it is gone.
async fn open_listed(
    deployment: &Deployment,
    listed: &Listed,
    found: bool,
) -> Result<Option<Arc<Organization>>, OpenOrganizationError> {
    let ports = &deployment.ports;
    let row = &listed.row;
    // Before anything is done for what the row says.
    if !listed.is_authentic(&*ports.root_key)? {
        return Err(OpenOrganizationError::NotAuthentic);
    }
    let lock = ports.databases.try_lock(row.id).await?.ok_or(OpenOrganizationError::Locked)?;
    // Whoever had the lock before may have done it.
    if let Some(served) = deployment.organization(&row.name) {
        return Ok(Some(served));
    }
    if row.state == STATE_DELETING {
        delete::finish(deployment, row, lock).await?;
        return Ok(None);
    }
    if row.state == STATE_CREATING || row.state == STATE_IMPORTING {
        if !found {
            let steps = vec![KeyTextRow::delete(KeyTextRow::organization().is(row.id)), row.unlist(Expect::One)];
            ports.configuration.commit(Commit::of(steps)).await?;
            lock.discard().await?;
            return Ok(None);
        }
        let ready = row.become_state(STATE_READY, &*ports.root_key)?;
        ports.configuration.commit(Commit::of(vec![ready])).await?;
    }
    let store = ports.databases.open(row.id).await?;
    match inside(&*store).await? {
        Some(inside) if inside.id == row.id && inside.name == row.name => {}
        Some(inside) if inside.id == row.id => return Err(OpenOrganizationError::OtherName { name: inside.name }),
        Some(_) | None => return Err(OpenOrganizationError::OtherInside),
    }
    serve(deployment, row, store, lock).await.map(Some)
}

/// Registers a database that was copied in, or whose configuration was lost: inactive until its key is restored.
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
        return Err(OpenOrganizationError::OtherInside);
    };
    if inner != id {
        return Err(OpenOrganizationError::OtherInside);
    }
    if ports.configuration.count(TombstoneRow::TABLE.into(), TombstoneRow::organization().is(id)).await? > 0 {
        return Err(OpenOrganizationError::Deleted);
    }
    if names.contains(&name) || deployment.organization(&name).is_some() {
        return Err(OpenOrganizationError::NameTaken);
    }
    // A row and the first key text come in one commit, and go after the texts. Nobody proves the name inside a database; with the keys
    // that are here it would be served under that name at once.
    if ports.configuration.count(KeyTextRow::TABLE.into(), KeyTextRow::organization().is(id)).await? > 0 {
        return Err(OpenOrganizationError::RowRemoved);
    }
    let row = Row { name, id, state: STATE_READY.to_owned(), create_time };
    let subject = row.name.resource_name();
    let entry = AuditEntry::done(deployment.now(), AuditAction::RegisterOrganization, subject);
    let steps = vec![row.insert(&*ports.root_key)?, Step::Audit(entry)];
    ports.configuration.commit(Commit::of(steps)).await?;
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

/// Serves an organization whose database is as the schema wants it.
pub(super) async fn admit(
    deployment: &Deployment,
    row: &Row,
    store: Arc<dyn Store>,
) -> Result<Arc<Organization>, Unavailable> {
    let organization =
        Arc::new(Organization::new(row.id, row.name.clone(), row.create_time, store, &deployment.schema));
    organization.load_schema(deployment).await?;
    organization.load_keys(deployment).await?;
    seen::look(deployment, &organization).await?;
    deployment.admit(Arc::clone(&organization));
    Ok(organization)
}
