//! Checks the databases of a data folder or a backup: whether this server can serve them, and whether their keys are present.
//!
//! They are only read, so this doesn't disturb a server that has them open. Core defines the meaning of rows.

use std::{collections::HashSet, path::Path, sync::Arc};

use sealward_core::{
    catalog,
    crypto::{
        ring::{
            KeyRing,
            stored::{RingUnread, StoredRing},
        },
        root_key::{RootKey, RootKeyError},
    },
    id::OrganizationId,
    layout::{self, Layout},
    name::OrganizationName,
    organization::{
        open::{Inside, inside},
        ring_rows,
        row::{self, Listed, Listing, Misnamed, Row as OrganizationRow, STATE_READY},
    },
    policy::Scope,
    port::Clock,
    schema::Schema,
    store::{Condition, OpenError, Reader, Step, Unavailable},
    table::{CatalogRow, KeyTextRow, ListedRow, RootKeyRow, TableRow as _, read, read_each},
};
use sealward_store::view;

use super::{
    content, files,
    report::{OrganizationFacts, Report, counted},
};
use crate::{
    config::{Config, RootKeySource},
    error_chain,
    ports::clock::SystemClock,
    schema,
};

const ROOT_KEY_SOURCES: &str = "root_key.sources";

/// The folder with the databases, and how they are checked.
#[derive(Clone, Copy)]
pub(super) enum Databases<'a> {
    /// Those that a server serves, which may be running: only what a start needs.
    Served(&'a Path),
    /// Those of a backup: also every cell, the census and the audit trails.
    Backup(&'a Path),
}

/// What to do about a problem. A user of a backup has another way out than a user of a server.
impl<'a> Databases<'a> {
    fn folder(self) -> &'a Path {
        let (Self::Served(folder) | Self::Backup(folder)) = self;
        folder
    }

    /// What findings about the folder are about.
    fn subject(self) -> &'static str {
        self.choose("data_dir", "backup")
    }

    fn is_backup(self) -> bool {
        matches!(self, Self::Backup(_))
    }

    fn choose(self, served: &'static str, backup: &'static str) -> &'static str {
        if self.is_backup() { backup } else { served }
    }

    /// If a database is damaged or missing.
    fn replace(self) -> &'static str {
        self.choose("restore the database from a backup", ANOTHER_BACKUP)
    }

    /// If a row of the configuration database isn't as this deployment wrote it.
    fn replace_configuration(self) -> &'static str {
        self.choose("restore configuration.db from a backup", ANOTHER_BACKUP)
    }

    /// If a row has no valid MAC.
    fn authenticate(self) -> &'static str {
        self.choose(
            "restore configuration.db from a backup; or move it away, start the server, and restore each key: sealward -o NAME key restore",
            ANOTHER_BACKUP,
        )
    }

    /// If a root key is not configured.
    fn find_root_key(self) -> &'static str {
        self.choose(
            "add that root key; if it is lost, stop the server, move configuration.db away, start it, and restore each key: sealward -o NAME key restore",
            "add the root key from the time of the backup; if it is lost, don't use restore: see Backup and restore in docs/operations.md",
        )
    }

    /// If the key of an organization is not in the configuration database.
    fn restore_key(self, name: &OrganizationName) -> String {
        match self {
            Self::Served(_) => format!("start the server, and restore the key: sealward -o {name} key restore"),
            Self::Backup(_) => {
                format!("restore this backup, start the server, and restore the key: sealward -o {name} key restore")
            }
        }
    }
}

const ANOTHER_BACKUP: &str = "use another backup, or take a new one: sealward-server backup";

/// Checks all databases in a folder. `root_key` is `None` if a root key can't be used.
pub(super) async fn check(
    config: &Config,
    databases: Databases<'_>,
    root_key: Option<&dyn RootKey>,
    report: &mut Report,
) {
    let schema = match schema::read(config.schema.descriptors()) {
        Ok(served) => served.schema,
        Err(error) => return report.error("schema", error_chain::text(&error), "install this release again"),
    };
    let (folder, subject, is_backup) = (databases.folder(), databases.subject(), databases.is_backup());
    let path = folder.join("configuration.db");
    let found = databases_in(folder);
    let configuration: Arc<dyn Reader> = match view(&path) {
        Ok(store) => Arc::from(store),
        Err(OpenError::Missing) if !is_backup => return without_configuration(subject, &path, &found, report),
        Err(error) => return unopened(databases, subject, &path, &error, report),
    };
    if !is_backup {
        files::database(subject, &path, report);
    }
    if is_backup && root_key.is_none() {
        report.error(ROOT_KEY_SOURCES, "no root key, so the cells weren't opened", without_root_key(config));
    }
    let check = DatabaseCheck { configuration, root_key, schema, databases };
    match check.all_by_known_root_key(found, report).await {
        Ok(names) if !is_backup => bound_names(config, &names, report),
        Ok(_) => {}
        Err(error) => {
            let problem = format!("can't read {}: {}", path.display(), error_chain::text(&error));
            report.error(subject, problem, databases.replace());
        }
    }
}

/// What to do if a root key of this configuration can't be loaded.
fn without_root_key(config: &Config) -> String {
    let credential = config.root_key_sources.iter().find_map(|source| match source {
        RootKeySource::Credential { name, .. } if !source.is_complete() => Some(name),
        RootKeySource::Credential { .. } | RootKeySource::File(_) | RootKeySource::MountedSecret(_) => None,
    });
    match credential {
        Some(name) => format!(
            "name the folder that has the credential {name}: CREDENTIALS_DIRECTORY=FOLDER sealward-server …; for the \
             systemd unit, see Backup and restore in docs/operations.md"
        ),
        None => "fix root_key.sources, and check again".to_owned(),
    }
}

fn unopened(databases: Databases<'_>, subject: &str, path: &Path, error: &OpenError, report: &mut Report) {
    let shown = path.display();
    let problem = match error {
        OpenError::Missing => format!("{shown} is missing"),
        OpenError::Unavailable(_) | OpenError::WrongOrganization => format!("{shown}: {}", error_chain::text(error)),
    };
    report.error(subject, problem, databases.replace());
}

fn without_configuration(subject: &str, path: &Path, found: &HashSet<OrganizationId>, report: &mut Report) {
    if found.is_empty() {
        return report.fact(subject, "there are no databases yet; the first start creates configuration.db");
    }
    let problem = format!(
        "{} is missing, but {} exist{}: a start registers each without its key",
        path.display(),
        counted(found.len(), "database of an organization", "databases of organizations"),
        if found.len() == 1 { "s" } else { "" },
    );
    report.warning(
        subject,
        problem,
        "restore the database from a backup, or start the server and restore each key: sealward -o NAME key restore",
    );
}

/// The organization ids in the names of the files in the folder `organizations`.
fn databases_in(data_dir: &Path) -> HashSet<OrganizationId> {
    let entries = std::fs::read_dir(data_dir.join("organizations")).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".db")?.parse().ok()).collect()
}

/// The context of the checks.
struct DatabaseCheck<'a> {
    configuration: Arc<dyn Reader>,
    root_key: Option<&'a dyn RootKey>,
    schema: Arc<Schema>,
    databases: Databases<'a>,
}

impl DatabaseCheck<'_> {
    /// Without the right root key, rows and keys can't be judged, so the missing root key is the only error about them.
    async fn all_by_known_root_key(
        mut self,
        found: HashSet<OrganizationId>,
        report: &mut Report,
    ) -> Result<HashSet<OrganizationName>, Unavailable> {
        self.migration("configuration.db", &*self.configuration, &layout::configuration(), report).await;
        if !self.knows_root_keys(report).await? {
            self.root_key = None;
        }
        self.all(found, report).await
    }

    /// Returns the names of the organizations.
    async fn all(
        &self,
        mut found: HashSet<OrganizationId>,
        report: &mut Report,
    ) -> Result<HashSet<OrganizationName>, Unavailable> {
        if self.databases.is_backup() {
            content::trail("configuration.db", &self.configuration, None, report).await;
        }
        let mut names = HashSet::new();
        let Listing { organizations, misnamed } = self.listed().await?;
        for Misnamed { name, id, is_ready } in misnamed {
            let subject = format!("organizations/{name}");
            let problem = "its row in configuration.db is not authentic: its name is not the name of an organization";
            report.error(&subject, problem, self.databases.replace_configuration());
            if !found.remove(&id) && is_ready {
                report.error(&subject, self.missing(id), self.databases.replace());
            }
        }
        for listed in organizations {
            let OrganizationRow { name, id, state, .. } = &listed.row;
            if !self.is_authentic(&listed)? {
                report.error(
                    name.resource_name(),
                    "its row in configuration.db is not authentic: it was changed, or written by a version without MACs",
                    self.databases.authenticate(),
                );
            }
            if found.remove(id) {
                self.organization(name, *id, report).await;
            } else if state == STATE_READY {
                report.error(name.resource_name(), self.missing(*id), self.databases.replace());
            }
            names.insert(name.clone());
        }
        let mut unknown: Vec<_> = found.into_iter().collect();
        unknown.sort();
        for id in unknown {
            names.extend(self.unknown(id, &names, report).await);
        }
        Ok(names)
    }

    /// The listed organizations. An old configuration database has rows without MACs.
    async fn listed(&self) -> Result<Listing, Unavailable> {
        let catalog = catalog::read(&*self.configuration).await?.0;
        let mac = ListedRow::mac();
        if catalog.iter().any(|row| row.table_name == ListedRow::TABLE && row.column_name == mac.as_str()) {
            row::read_all(&*self.configuration).await
        } else {
            row::read_without_macs(&*self.configuration).await
        }
    }

    /// Whether this deployment wrote a row. Without a root key, it counts as authentic.
    fn is_authentic(&self, listed: &Listed) -> Result<bool, Unavailable> {
        self.root_key.map_or(Ok(true), |root_key| listed.is_authentic(root_key))
    }

    fn missing(&self, id: OrganizationId) -> String {
        format!("its database, {}, is missing", self.path(id).display())
    }

    fn path(&self, id: OrganizationId) -> std::path::PathBuf {
        self.databases.folder().join("organizations").join(format!("{id}.db"))
    }

    /// Checks that the configured root keys include every root key that ever sealed in this deployment.
    async fn knows_root_keys(&self, report: &mut Report) -> Result<bool, Unavailable> {
        let Some(root_key) = self.root_key else { return Ok(true) };
        let mut knows_all = true;
        for check in read(&*self.configuration, RootKeyRow::check_value(), Condition::EVERYTHING).await? {
            if !matches!(root_key.recognizes(&check), Ok(true)) {
                knows_all = false;
                report.error(
                    ROOT_KEY_SOURCES,
                    "configuration.db was sealed under a root key that is not among these sources",
                    self.databases.find_root_key(),
                );
            }
        }
        Ok(knows_all)
    }

    /// The number of columns that a start would add; `None` if the catalog can't be read or migrated to this release.
    async fn migration(
        &self,
        subject: &str,
        store: &dyn Reader,
        layout: &Layout,
        report: &mut Report,
    ) -> Option<usize> {
        let (catalog, version) = match catalog::read(store).await {
            Ok(read) => read,
            Err(error) => {
                let problem = format!("can't read its catalog: {}", error_chain::text(&error));
                report.error(subject, problem, self.databases.replace());
                return None;
            }
        };
        match catalog::migration(&catalog, version, layout, SystemClock.now()) {
            Ok(None) => Some(0),
            Ok(Some(commit)) => Some(commit.steps.iter().filter(|step| is_catalog_row(step)).count()),
            Err(error) => {
                let remedy = "serve it with the release and schema that wrote it, or with newer ones";
                report.error(subject, error_chain::text(&error), remedy);
                None
            }
        }
    }

    async fn organization(&self, name: &OrganizationName, id: OrganizationId, report: &mut Report) {
        let subject = name.resource_name();
        let path = self.path(id);
        if !self.databases.is_backup() {
            files::database(&subject, &path, report);
        }
        let store: Arc<dyn Reader> = match view(&path) {
            Ok(store) => Arc::from(store),
            Err(error) => return unopened(self.databases, &subject, &path, &error, report),
        };
        match inside(&*store).await {
            Ok(Some(inside)) if inside.id == id && inside.name == *name => {}
            Ok(Some(inside)) => {
                let problem =
                    format!("{} contains the database of organizations/{}, {}", path.display(), inside.name, inside.id);
                report.error(
                    &subject,
                    problem,
                    self.databases.choose(
                        "rename each database to the UUID that it contains; until then, it is not served",
                        ANOTHER_BACKUP,
                    ),
                );
            }
            Ok(None) => {
                let problem = format!("{} contains no organization", path.display());
                report.error(&subject, problem, self.databases.replace());
            }
            Err(error) => {
                let problem = format!("{}: {}", path.display(), error_chain::text(&error));
                report.error(&subject, problem, self.databases.replace());
            }
        }
        let columns_to_add = self.migration(&subject, &*store, &layout::organization(&self.schema), report).await;
        let (fingerprint, ring) = self.key(name, id, &*store, report).await;
        // Without a root key, no key can be opened.
        let is_key_present = self.root_key.map(|_| ring.is_some());
        if self.databases.is_backup() {
            if let Some(ring) = ring {
                content::cells(&subject, id, &store, ring, report).await;
            }
            content::trail(&subject, &store, Some((id, &*self.configuration)), report).await;
        }
        let (name, id) = (name.to_string(), id.to_string());
        report.organizations.push(OrganizationFacts { name, id, columns_to_add, fingerprint, is_key_present });
    }

    /// The fingerprint of the key that a database needs, and the ring if the key is present and opens it.
    async fn key(
        &self,
        name: &OrganizationName,
        id: OrganizationId,
        store: &dyn Reader,
        report: &mut Report,
    ) -> (Option<String>, Option<KeyRing>) {
        let subject = &name.resource_name();
        let damaged = |why: String, report: &mut Report| {
            report.error(subject, format!("its key ring is missing or damaged: {why}"), self.databases.replace());
            (None, None)
        };
        let ring = match ring_rows::read(store).await {
            Ok(Ok(ring)) => ring,
            Ok(Err(newer @ RingUnread::Newer { .. })) => {
                report.error(subject, error_chain::text(&newer), "serve it with the version that wrote it");
                return (None, None);
            }
            Ok(Err(damage @ RingUnread::Damaged(_))) => return damaged(error_chain::text(&damage), report),
            Err(error) => return damaged(error_chain::text(&error), report),
        };
        let fingerprint = ring.fingerprint().to_string();
        let opened = match self.open_ring(id, &ring).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                let remedy = "serve it with the version that wrote it; or add its root key to root_key.sources";
                report.error(subject, format!("this server can't use its key: {}", error_chain::text(&error)), remedy);
                return (Some(fingerprint), None);
            }
            Err(why) => return damaged(why, report),
        };
        if opened.is_none() && self.root_key.is_some() {
            let unopened = self.databases.choose("", ", so its cells weren't opened");
            report.warning(
                subject,
                format!("data encryption is inactive: the key with the fingerprint {fingerprint} is missing{unopened}"),
                self.databases.restore_key(name),
            );
        }
        (Some(fingerprint), opened)
    }

    /// The opened ring; `None` if the configuration database doesn't have its key text. The inner error: this server can't open the text,
    /// but another one can, or this one later. The outer error: the text doesn't open the ring.
    async fn open_ring(
        &self,
        id: OrganizationId,
        ring: &StoredRing,
    ) -> Result<Result<Option<KeyRing>, RootKeyError>, String> {
        let Some(root_key) = self.root_key else { return Ok(Ok(None)) };
        let of_ring =
            KeyTextRow::organization().is(id).and(KeyTextRow::key_check_value().is(ring.check.as_bytes().to_vec()));
        let texts = read_each(&*self.configuration, KeyTextRow::sealed(), of_ring).await;
        let texts = texts.map_err(|error| error_chain::text(&error))?;
        let Some(Ok(sealed)) = texts.first() else { return Ok(Ok(None)) };
        let kek = match root_key.open_key(sealed, id, &ring.check) {
            Ok((_, kek)) => kek,
            Err(
                error @ (RootKeyError::NewerFormat { .. }
                | RootKeyError::UnknownRootKey { .. }
                | RootKeyError::Unavailable(_)),
            ) => return Ok(Err(error)),
            Err(RootKeyError::Malformed | RootKeyError::DoesNotVerify) => return Ok(Ok(None)),
        };
        KeyRing::open(ring, id, &kek).map(|opened| Ok(Some(opened))).map_err(|error| error_chain::text(&error))
    }

    /// Checks a database that isn't in the configuration database. Returns its name if a start would register it.
    async fn unknown(
        &self,
        id: OrganizationId,
        names: &HashSet<OrganizationName>,
        report: &mut Report,
    ) -> Option<OrganizationName> {
        let path = self.path(id);
        let store = match view(&path) {
            Ok(store) => store,
            Err(error) => {
                unopened(self.databases, self.databases.subject(), &path, &error, report);
                return None;
            }
        };
        let inside = inside(&*store).await.ok().flatten();
        let shown = path.display();
        match &inside {
            Some(Inside { id: inner, name, .. }) if *inner == id => {
                if names.contains(name) {
                    let problem = format!("{shown} has the name of another organization, {name}: it is not served");
                    report.warning(self.databases.subject(), problem, "move it out of the folder");
                    return None;
                }
                let texts = KeyTextRow::organization().is(id);
                if self.configuration.count(KeyTextRow::TABLE.into(), texts).await.is_ok_and(|texts| texts > 0) {
                    let problem =
                        format!("configuration.db has keys of {shown} but doesn't list it: its row was removed");
                    report.error(self.databases.subject(), problem, self.databases.replace_configuration());
                    return None;
                }
                self.organization(name, id, report).await;
                Some(name.clone())
            }
            Some(_) | None => {
                let problem =
                    format!("the name of {shown} is not the UUID of the organization in it: it is not served");
                report.warning(
                    self.databases.subject(),
                    problem,
                    self.databases.choose(
                        "rename it to the UUID that it contains, or move it out of the folder",
                        "move it out of the folder",
                    ),
                );
                None
            }
        }
    }
}

fn is_catalog_row(step: &Step) -> bool {
    matches!(step, Step::Insert { table, .. } if *table == CatalogRow::TABLE)
}

/// Warns of bindings to organizations that don't exist: they are misspelled, or not created yet.
fn bound_names(config: &Config, names: &HashSet<OrganizationName>, report: &mut Report) {
    for (index, binding) in config.bindings.iter().enumerate() {
        let Scope::Organizations(bound) = &binding.scope else { continue };
        for name in bound.iter().filter(|name| !names.contains(*name)) {
            let problem = format!("organization {name} doesn't exist");
            report.warning(
                format!("bindings[{index}].organizations"),
                problem,
                "fix the name, or create the organization",
            );
        }
    }
}
