//! Open the organizations at a start: finish or undo what was half-way, register databases that were copied in, and serve the rest.
//!
//! A start deletes nothing but the row of an organization whose database was never made.

use std::{collections::HashSet, sync::Arc};

use super::{
    Organization,
    create::{STATE_CREATING, STATE_DELETING, STATE_IMPORTING, STATE_READY, become_ready, is_organization_name},
    delete, seen,
};
use crate::{
    audit::{AuditAction, AuditEntry},
    catalog::{MigrateError, migrate},
    census,
    deployment::{Deployment, of_organization},
    fail_point::FailPoint,
    id::{OrganizationId, Timestamp},
    layout::{self, KEY_TEXT, ORGANIZATION, ORGANIZATIONS, TOMBSTONE},
    store::{Commit, CommitError, Condition, Datum, Expect, OpenError, Reader, Step, Store, Unavailable, rows},
};

/// An organization that could not be opened, and why. The others are served.
#[derive(Debug)]
pub struct NotOpened {
    /// Its name or, if that isn't known, its database's id.
    pub name: String,
    /// Why.
    pub error: OpenOrganizationError,
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
    /// A database found in the folder names another organization than its file does.
    #[error("the database found there names another organization inside")]
    OtherInside,
    /// A database found in the folder has a name that is taken.
    #[error("the database found there has the name of another organization")]
    NameTaken,
    /// A database found in the folder is that of an organization which was deleted here.
    #[error(
        "the database found there is that of an organization that was deleted here; remove it, or import an export of it"
    )]
    Deleted,
    /// Somebody holds the organization's lock.
    #[error("its lock is held by somebody else")]
    Locked,
}

pub(super) struct Row {
    pub(super) name: String,
    pub(super) id: OrganizationId,
    pub(super) state: String,
    pub(super) create_time: Timestamp,
}

impl Row {
    /// The step that lists it.
    pub(super) fn insert(&self) -> Step {
        Step::Insert {
            table: ORGANIZATIONS.into(),
            row: vec![
                ("name".into(), Datum::Text(self.name.clone())),
                ("id".into(), Datum::Uuid(self.id.uuid())),
                ("state".into(), Datum::Text(self.state.clone())),
                ("create_time".into(), Datum::Time(self.create_time)),
            ],
        }
    }
}

/// Opens every organization that can be opened, and tells of those that can't.
///
/// # Errors
/// If the configuration database or the folder of databases doesn't answer.
pub async fn open_all(deployment: &Deployment) -> Result<Vec<NotOpened>, Unavailable> {
    let ports = &deployment.ports;
    let listed = read_rows(&*ports.configuration).await?;
    let found: HashSet<OrganizationId> = ports.databases.list().await?.into_iter().collect();
    let mut not_opened = Vec::new();
    let known: HashSet<OrganizationId> = listed.iter().map(|row| row.id).collect();
    let names: HashSet<String> = listed.iter().map(|row| row.name.clone()).collect();
    for row in listed {
        if let Err(error) = open_listed(deployment, &row, found.contains(&row.id)).await {
            not_opened.push(NotOpened { name: row.name, error });
        }
    }
    for id in found.difference(&known) {
        if let Err(error) = register(deployment, *id, &names).await {
            not_opened.push(NotOpened { name: id.to_string(), error });
        }
    }
    Ok(not_opened)
}

async fn open_listed(deployment: &Deployment, row: &Row, found: bool) -> Result<(), OpenOrganizationError> {
    let configuration = &deployment.ports.configuration;
    if row.state == STATE_DELETING {
        let _lock = deployment.ports.databases.try_lock(row.id).await?.ok_or(OpenOrganizationError::Locked)?;
        return Ok(delete::finish(deployment, row.id, &row.name).await?);
    }
    if row.state == STATE_CREATING || row.state == STATE_IMPORTING {
        if !found {
            let steps = vec![
                Step::Delete { table: KEY_TEXT.into(), rows: of_organization(row.id), expect: Expect::Any },
                Step::Delete {
                    table: ORGANIZATIONS.into(),
                    rows: Condition::equal("name", Datum::Text(row.name.clone())),
                    expect: Expect::One,
                },
            ];
            return Ok(configuration.commit(Commit::of(steps)).await?);
        }
        configuration.commit(Commit::of(vec![become_ready(&row.name)])).await?;
    }
    let store = deployment.ports.databases.open(row.id).await?;
    serve(deployment, row, store).await
}

/// Registers a database that was copied in, or whose configuration was lost: inactive until its key is restored.
async fn register(
    deployment: &Deployment,
    id: OrganizationId,
    names: &HashSet<String>,
) -> Result<(), OpenOrganizationError> {
    let ports = &deployment.ports;
    let store = ports.databases.open(id).await?;
    let inside = rows(&*store, ORGANIZATION, &["id", "name", "create_time"], Condition::EVERYTHING).await?;
    let Some([Datum::Uuid(inner), Datum::Text(name), Datum::Time(create_time)]) = inside.first().map(Vec::as_slice)
    else {
        return Err(OpenOrganizationError::OtherInside);
    };
    if *inner != id.uuid() || !is_organization_name(name) {
        return Err(OpenOrganizationError::OtherInside);
    }
    if ports.configuration.count(TOMBSTONE.into(), of_organization(id)).await? > 0 {
        return Err(OpenOrganizationError::Deleted);
    }
    if names.contains(name) || deployment.organization(name).is_some() {
        return Err(OpenOrganizationError::NameTaken);
    }
    let row = Row { name: name.clone(), id, state: STATE_READY.to_owned(), create_time: *create_time };
    let subject = format!("organizations/{name}");
    let entry = AuditEntry::done(deployment.now(), AuditAction::RegisterOrganization, subject);
    ports.configuration.commit(Commit::of(vec![row.insert(), Step::Audit(entry)])).await?;
    serve(deployment, &row, store).await
}

async fn serve(deployment: &Deployment, row: &Row, store: Arc<dyn Store>) -> Result<(), OpenOrganizationError> {
    let lock = deployment.ports.databases.try_lock(row.id).await?.ok_or(OpenOrganizationError::Locked)?;
    deployment.reached(FailPoint::MigrationDue);
    let census = census::first(&*store).await?;
    migrate(&*store, &layout::organization(&deployment.schema), census, deployment.now()).await?;
    deployment.reached(FailPoint::Migrated);
    drop(lock);
    admit(deployment, row, store).await?;
    Ok(())
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

async fn read_rows(configuration: &dyn Reader) -> Result<Vec<Row>, Unavailable> {
    rows(configuration, ORGANIZATIONS, &["name", "id", "state", "create_time"], Condition::EVERYTHING)
        .await?
        .into_iter()
        .map(|row| match <[Datum; 4]>::try_from(row) {
            Ok([Datum::Text(name), Datum::Uuid(id), Datum::Text(state), Datum::Time(create_time)]) => {
                Ok(Row { name, id: OrganizationId::from_uuid(id), state, create_time })
            }
            Ok(_) | Err(_) => {
                Err(Unavailable("the configuration database lists something that is no organization".into()))
            }
        })
        .collect()
}
