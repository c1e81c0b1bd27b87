//! The databases: whether this server can serve them, and with which keys.
//!
//! They are only read, so a server that has them open continues undisturbed. The meaning of a row is core's matter.

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
    files,
    report::{OrganizationFacts, Report},
};
use crate::{config::Config, error_chain, ports::clock::SystemClock, schema};

const DATA_DIR: &str = "data_dir";
const ROOT_KEY_SOURCES: &str = "root_key.sources";
const FROM_BACKUP: &str = "restore it from a backup";

/// Checks everything below the data folder. `root_key` is `None` if a root key can't be used.
pub(super) async fn check(config: &Config, root_key: Option<&dyn RootKey>, report: &mut Report) {
    let schema = match schema::read(config.schema.descriptors()) {
        Ok(served) => served.schema,
        Err(error) => return report.error("schema", error_chain::text(&error), "install this release again"),
    };
    let path = config.data_dir.join("configuration.db");
    let found = databases_in(&config.data_dir);
    let configuration = match view(&path) {
        Ok(store) => store,
        Err(OpenError::Missing) => return without_configuration(&path, &found, report),
        Err(error) => return unopened(DATA_DIR, &path, &error, report),
    };
    files::database(DATA_DIR, &path, report);
    let look = Look { configuration, root_key, schema, data_dir: &config.data_dir };
    if let Err(error) = look.everything(config, found, report).await {
        let problem = format!("can't read {}: {}", path.display(), error_chain::text(&error));
        report.error(DATA_DIR, problem, FROM_BACKUP);
    }
}

fn unopened(subject: &str, path: &Path, error: &OpenError, report: &mut Report) {
    report.error(subject, format!("{}: {}", path.display(), error_chain::text(error)), FROM_BACKUP);
}

fn without_configuration(path: &Path, found: &HashSet<OrganizationId>, report: &mut Report) {
    if found.is_empty() {
        return report.fact(DATA_DIR, "there are no databases yet; the first start creates configuration.db");
    }
    let problem = format!(
        "{} is missing, but {} organizations' databases exist: a start registers them without their keys",
        path.display(),
        found.len()
    );
    report.warning(DATA_DIR, problem, format!("{FROM_BACKUP}, or start and restore each key: sealward key restore"));
}

/// The ids that files in the folder of organizations are named after.
fn databases_in(data_dir: &Path) -> HashSet<OrganizationId> {
    let entries = std::fs::read_dir(data_dir.join("organizations")).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".db")?.parse().ok()).collect()
}

/// What every look needs.
struct Look<'a> {
    configuration: Box<dyn Reader>,
    root_key: Option<&'a dyn RootKey>,
    schema: Arc<Schema>,
    data_dir: &'a Path,
}

impl Look<'_> {
    async fn everything(
        &self,
        config: &Config,
        mut found: HashSet<OrganizationId>,
        report: &mut Report,
    ) -> Result<(), Unavailable> {
        self.migration("configuration.db", &*self.configuration, &layout::configuration(), report).await;
        self.root_key(report).await?;
        let mut names = HashSet::new();
        let Listing { organizations, misnamed } = self.listed().await?;
        for Misnamed { name, id, is_ready } in misnamed {
            let subject = format!("organizations/{name}");
            let problem = "its row in configuration.db is not authentic: its name is not the name of an organization";
            report.error(&subject, problem, "restore configuration.db from a backup");
            if !found.remove(&id) && is_ready {
                report.error(&subject, self.missing(id), FROM_BACKUP);
            }
        }
        for listed in organizations {
            let OrganizationRow { name, id, state, .. } = &listed.row;
            if !self.is_authentic(&listed)? {
                report.error(
                    name.resource_name(),
                    "its row in configuration.db is not authentic: it was changed, or it is from a build before rows had a MAC",
                    "restore configuration.db from a backup; or move it away, start, and restore each key: sealward key restore",
                );
            }
            if found.remove(id) {
                self.organization(name, *id, report).await;
            } else if state == STATE_READY {
                report.error(name.resource_name(), self.missing(*id), FROM_BACKUP);
            }
            names.insert(name.clone());
        }
        let mut unknown: Vec<_> = found.into_iter().collect();
        unknown.sort();
        for id in unknown {
            names.extend(self.unknown(id, &names, report).await);
        }
        bound_names(config, &names, report);
        Ok(())
    }

    /// The organizations listed. The rows of a configuration database from before they had MACs have none.
    async fn listed(&self) -> Result<Listing, Unavailable> {
        let catalog = catalog::read(&*self.configuration).await?.0;
        let mac = ListedRow::mac();
        if catalog.iter().any(|row| row.table_name == ListedRow::TABLE && row.column_name == mac.as_str()) {
            row::read_all(&*self.configuration).await
        } else {
            row::read_without_macs(&*self.configuration).await
        }
    }

    /// Whether a row is the deployment's own; without a root key it can't be told.
    fn is_authentic(&self, listed: &Listed) -> Result<bool, Unavailable> {
        self.root_key.map_or(Ok(true), |root_key| listed.is_authentic(root_key))
    }

    fn missing(&self, id: OrganizationId) -> String {
        format!("its database, {}, is missing", self.path(id).display())
    }

    fn path(&self, id: OrganizationId) -> std::path::PathBuf {
        self.data_dir.join("organizations").join(format!("{id}.db"))
    }

    /// Whether the root keys at hand are all that ever sealed here.
    async fn root_key(&self, report: &mut Report) -> Result<(), Unavailable> {
        let Some(root_key) = self.root_key else { return Ok(()) };
        for check in read(&*self.configuration, RootKeyRow::check_value(), Condition::EVERYTHING).await? {
            if !matches!(root_key.recognizes(&check), Ok(true)) {
                report.error(
                    ROOT_KEY_SOURCES,
                    "configuration.db was sealed under a root key that is not among these sources",
                    "add that root key; if it is lost, remove configuration.db and restore each key by its text",
                );
            }
        }
        Ok(())
    }

    /// How many columns a start would add; `None` if it can't bring the database to this release's tables, or can't tell.
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
                report.error(subject, format!("can't read its catalog: {}", error_chain::text(&error)), FROM_BACKUP);
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
        files::database(&subject, &path, report);
        let store = match view(&path) {
            Ok(store) => store,
            Err(error) => return unopened(&subject, &path, &error, report),
        };
        match inside(&*store).await {
            Ok(Some(inside)) if inside.id == id && inside.name == *name => {}
            Ok(Some(inside)) => {
                let problem =
                    format!("{} contains the database of organizations/{}, {}", path.display(), inside.name, inside.id);
                report.error(
                    &subject,
                    problem,
                    "name each database after the UUID in it; until then, it is not served",
                );
            }
            Ok(None) => report.error(&subject, format!("{} contains no organization", path.display()), FROM_BACKUP),
            Err(error) => {
                report.error(&subject, format!("{}: {}", path.display(), error_chain::text(&error)), FROM_BACKUP)
            }
        }
        let columns_to_add = self.migration(&subject, &*store, &layout::organization(&self.schema), report).await;
        let (fingerprint, is_key_present) = self.key(&subject, id, &*store, report).await;
        let (name, id) = (name.to_string(), id.to_string());
        report.organizations.push(OrganizationFacts { name, id, columns_to_add, fingerprint, is_key_present });
    }

    /// The fingerprint of the key that a database needs, and whether it is at hand and opens the ring.
    async fn key(
        &self,
        subject: &str,
        id: OrganizationId,
        store: &dyn Reader,
        report: &mut Report,
    ) -> (Option<String>, bool) {
        let damaged = |why: String, report: &mut Report| {
            report.error(subject, format!("its key ring is missing or damaged: {why}"), FROM_BACKUP);
            (None, false)
        };
        let ring = match ring_rows::read(store).await {
            Ok(Ok(ring)) => ring,
            Ok(Err(newer @ RingUnread::Newer { .. })) => {
                report.error(subject, error_chain::text(&newer), "serve it with the version that wrote it");
                return (None, false);
            }
            Ok(Err(damage @ RingUnread::Damaged(_))) => return damaged(error_chain::text(&damage), report),
            Err(error) => return damaged(error_chain::text(&error), report),
        };
        let fingerprint = ring.fingerprint().to_string();
        let is_present = match self.opens(id, &ring).await {
            Ok(Ok(is_present)) => is_present,
            Ok(Err(error)) => {
                let remedy = "serve it with the version that wrote it; or add its root key to root_key.sources";
                report.error(subject, format!("this server can't use its key: {}", error_chain::text(&error)), remedy);
                return (Some(fingerprint), false);
            }
            Err(why) => return damaged(why, report),
        };
        if !is_present && self.root_key.is_some() {
            report.warning(
                subject,
                format!("data encryption is inactive: the key with the fingerprint {fingerprint} is missing"),
                "start the server and restore the key: sealward key restore",
            );
        }
        (Some(fingerprint), is_present)
    }

    /// Whether the configuration database has the ring's text, or why another server has to open that; the outer error is that the ring
    /// doesn't open with it.
    async fn opens(&self, id: OrganizationId, ring: &StoredRing) -> Result<Result<bool, RootKeyError>, String> {
        let Some(root_key) = self.root_key else { return Ok(Ok(false)) };
        let of_ring =
            KeyTextRow::organization().is(id).and(KeyTextRow::key_check_value().is(ring.check.as_bytes().to_vec()));
        let texts = read_each(&*self.configuration, KeyTextRow::sealed(), of_ring).await;
        let texts = texts.map_err(|error| error_chain::text(&error))?;
        let Some(Ok(sealed)) = texts.first() else { return Ok(Ok(false)) };
        let kek = match root_key.open_key(sealed, id, &ring.check) {
            Ok((_, kek)) => kek,
            Err(error @ (RootKeyError::NewerFormat { .. } | RootKeyError::UnknownRootKey { .. })) => {
                return Ok(Err(error));
            }
            Err(RootKeyError::Malformed | RootKeyError::DoesNotVerify | RootKeyError::Unavailable(_)) => {
                return Ok(Ok(false));
            }
        };
        KeyRing::open(ring, id, &kek).map(|_| Ok(true)).map_err(|error| error_chain::text(&error))
    }

    /// A database that the configuration database doesn't know: its name, if a start would register it.
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
                unopened(DATA_DIR, &path, &error, report);
                return None;
            }
        };
        let inside = inside(&*store).await.ok().flatten();
        let shown = path.display();
        match &inside {
            Some(Inside { id: inner, name, .. }) if *inner == id => {
                if names.contains(name) {
                    let problem = format!("{shown} has the name of another organization, {name}: it is not served");
                    report.warning(DATA_DIR, problem, "move it out of the folder");
                    return None;
                }
                let texts = KeyTextRow::organization().is(id);
                if self.configuration.count(KeyTextRow::TABLE.into(), texts).await.is_ok_and(|texts| texts > 0) {
                    let problem =
                        format!("configuration.db has keys of {shown} but doesn't list it: its row was removed");
                    report.error(DATA_DIR, problem, "restore configuration.db from a backup");
                    return None;
                }
                self.organization(name, id, report).await;
                Some(name.clone())
            }
            Some(_) | None => {
                let problem = format!("{shown} is not named after the organization in it: it is not served");
                report.warning(DATA_DIR, problem, "name it after the UUID in it, or move it out of the folder");
                None
            }
        }
    }
}

fn is_catalog_row(step: &Step) -> bool {
    matches!(step, Step::Insert { table, .. } if *table == CatalogRow::TABLE)
}

/// A binding to an organization that doesn't exist is a mistake, or comes too early.
fn bound_names(config: &Config, names: &HashSet<OrganizationName>, report: &mut Report) {
    for (index, binding) in config.bindings.iter().enumerate() {
        let Scope::Organizations(bound) = &binding.scope else { continue };
        for name in bound.iter().filter(|name| !names.contains(*name)) {
            let problem = format!("there is no organization {name}");
            report.warning(
                format!("bindings[{index}].organizations"),
                problem,
                "fix the name, or create the organization",
            );
        }
    }
}
