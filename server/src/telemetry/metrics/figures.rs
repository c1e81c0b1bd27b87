//! The figures that a scrape has to read: those in organizations' databases, sizes of files, free space, and the process.
//!
//! A database is read only if it is open and has changed since it was last read, so that scrapes neither open databases nor keep idle ones
//! open. A store or a file system that doesn't answer delays a scrape for [`READ_MAX`] at most; the scrape then has the last values.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sealward_core::{
    deployment::Deployment, id::OrganizationId, key::figures::Figures, organization::Organization, store::Generation,
};
use sealward_store::{FileBytes, OnDemand};
use tokio::{task::spawn_blocking, time::timeout};

use super::process::ProcessFigures;
use crate::files::disk;

/// The maximum time that a scrape waits for values.
const READ_MAX: Duration = Duration::from_secs(2);

/// Reads figures, and keeps the last ones.
pub(super) struct FigureReader {
    deployment: Arc<Deployment>,
    databases: Arc<dyn OnDemand>,
    data_dir: PathBuf,
    /// One scrape reads at a time.
    turn: tokio::sync::Mutex<()>,
    organizations: Mutex<HashMap<OrganizationId, Known>>,
    files: Mutex<Arc<FileFigures>>,
}

/// The figures of an organization, and the generation that they were read in.
struct Known {
    generation: Option<Generation>,
    figures: Arc<Figures>,
}

/// The figures that come from files.
#[derive(Debug, Default)]
pub(super) struct FileFigures {
    /// `None` if databases aren't files.
    pub(super) configuration: Option<FileBytes>,
    pub(super) organizations: HashMap<OrganizationId, FileBytes>,
    pub(super) available_bytes: Option<u64>,
    pub(super) process: ProcessFigures,
}

impl FigureReader {
    pub(super) fn new(deployment: Arc<Deployment>, databases: Arc<dyn OnDemand>, data_dir: PathBuf) -> Self {
        let (turn, organizations, files) = Default::default();
        Self { deployment, databases, data_dir, turn, organizations, files }
    }

    /// Reads what has changed, within [`READ_MAX`].
    pub(super) async fn refresh(&self) {
        let read = async {
            let _turn = self.turn.lock().await;
            let organizations = self.deployment.organizations();
            self.read_files(&organizations).await;
            self.read_databases(&organizations).await;
        };
        if timeout(READ_MAX, read).await.is_err() {
            tracing::debug!("some metrics have their last values: a store or a file system doesn't answer");
        }
    }

    /// The figures of an organization as last read.
    pub(super) fn of(&self, organization: OrganizationId) -> Option<Arc<Figures>> {
        self.organizations().get(&organization).map(|known| Arc::clone(&known.figures))
    }

    /// The figures of files as last read.
    pub(super) fn files(&self) -> Arc<FileFigures> {
        Arc::clone(&self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read_files(&self, organizations: &[Arc<Organization>]) {
        let (databases, data_dir) = (Arc::clone(&self.databases), self.data_dir.clone());
        let ids: Vec<OrganizationId> = organizations.iter().map(|organization| organization.id).collect();
        let read = spawn_blocking(move || FileFigures {
            configuration: databases.file_bytes(None),
            organizations: ids.into_iter().filter_map(|id| Some((id, databases.file_bytes(Some(id))?))).collect(),
            available_bytes: disk::available_bytes(&data_dir),
            process: ProcessFigures::read(),
        });
        if let Ok(files) = read.await {
            *self.files.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(files);
        }
    }

    async fn read_databases(&self, organizations: &[Arc<Organization>]) {
        let served: HashSet<OrganizationId> = organizations.iter().map(|organization| organization.id).collect();
        self.organizations().retain(|id, _| served.contains(id));
        for organization in organizations {
            // Before the read: a commit during it makes the figures outdated at once.
            let generation = self.databases.generation(organization.id);
            let is_known = self.organizations().get(&organization.id).is_some_and(|known| {
                // Without a generation, the content is changing.
                known.generation == generation && generation.is_some()
            });
            if is_known || !self.databases.is_open(organization.id) {
                continue;
            }
            match Figures::read(organization).await {
                Ok(figures) => {
                    let known = Known { generation, figures: Arc::new(figures) };
                    self.organizations().insert(organization.id, known);
                }
                Err(error) => {
                    let organization = organization.name.as_str();
                    tracing::debug!(organization, %error, "figures of organization not read");
                }
            }
        }
    }

    fn organizations(&self) -> MutexGuard<'_, HashMap<OrganizationId, Known>> {
        self.organizations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
