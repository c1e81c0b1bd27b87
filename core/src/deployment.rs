//! The deployment: the ports and settings of all use cases, and the open organizations.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    audit::entry::AuditEntry,
    crypto::root_key::RootKey,
    fail_point::{FailPoint, FailPoints},
    filter::parser,
    id::Timestamp,
    name::OrganizationName,
    organization::handle::Organization,
    port::{AuditGate, Clock, Computation, KeyDerivation, KeyUse, KeyUseObserver, OrganizationDatabases},
    random::Random,
    schema::Schema,
    store::{Commit, CommitError, Step, Store},
};

/// The external dependencies of use cases.
pub struct Ports {
    /// The configuration database.
    pub configuration: Arc<dyn Store>,
    /// The organizations' databases.
    pub databases: Arc<dyn OrganizationDatabases>,
    /// The root key.
    pub root_key: Arc<dyn RootKey>,
    /// Key derivation.
    pub key_derivation: Arc<dyn KeyDerivation>,
    /// Threads for computations.
    pub computation: Arc<dyn Computation>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The random number generator.
    pub random: Arc<dyn Random>,
    /// Whether audit records can be written at present.
    pub audit_gate: Arc<dyn AuditGate>,
    /// The observer of uses of keys.
    pub key_uses: Arc<dyn KeyUseObserver>,
    /// The fail points for tests.
    pub fail_points: Arc<dyn FailPoints>,
}

/// Limits of operations on keys.
#[derive(Clone, Copy, Debug)]
pub struct KeyLimits {
    /// The maximum number of changes of an organization's key per hour; 0 for no limit.
    pub changes_per_hour: u32,
    /// The maximum number of attempts to restore an organization's key in 15 minutes, and of attempts to import a copy of
    /// it; 0 for no limit.
    pub restores_per_quarter_hour: u32,
    /// The maximum number of comparisons of one encrypted attribute of one record in 15 minutes; 0 for no limit.
    pub comparisons_per_quarter_hour: u32,
    /// The number of days after which a change of the key is due.
    pub change_due_days: u32,
    /// The maximum number of cells that a re-encryption seals again in one transaction.
    pub reencryption_batch_cells: u32,
    /// The time in milliseconds that such a transaction should take at most.
    pub reencryption_batch_ms: u32,
}

/// One deployment of the service.
pub struct Deployment {
    /// The ports.
    pub ports: Ports,
    /// The schema of its records.
    pub schema: Arc<Schema>,
    /// The limits of operations on keys.
    pub key_limits: KeyLimits,
    /// The bounds of a filter from a caller.
    pub filter_bounds: parser::Bounds,
    /// The maximum total size of the records in a page in bytes, unless it is a single record.
    pub page_bytes_max: usize,
    organizations: RwLock<BTreeMap<OrganizationName, Arc<Organization>>>,
    not_served: RwLock<BTreeMap<OrganizationName, NotServed>>,
    /// The number of rows with an invalid name of an organization.
    misnamed: AtomicUsize,
}

/// Why a listed organization isn't served at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotServed {
    /// The database can't be opened. The organization is served when it can be opened again.
    Unavailable,
    /// The row isn't authentic, or the database belongs to another organization.
    Mismatch,
    /// The database was written by a newer version, or with another schema.
    NewerVersion,
}

impl Deployment {
    /// Creates a deployment without open organizations and with the default bounds of filters.
    #[must_use]
    pub fn new(ports: Ports, schema: Arc<Schema>, key_limits: KeyLimits) -> Self {
        let filter_bounds = parser::Bounds::default();
        let (organizations, not_served, misnamed) = Default::default();
        let page_bytes_max = PAGE_BYTES_MAX;
        Deployment { ports, schema, key_limits, filter_bounds, page_bytes_max, organizations, not_served, misnamed }
    }

    /// Sets the bounds of filters.
    #[must_use]
    pub fn with_filter_bounds(self, filter_bounds: parser::Bounds) -> Self {
        Deployment { filter_bounds, ..self }
    }

    /// Measures a use of keys until the returned value is dropped.
    pub(crate) fn begin(&self, key_use: KeyUse) -> Option<Box<dyn Send>> {
        self.ports.key_uses.begin(key_use)
    }

    /// Sets the maximum size of a page in bytes.
    #[must_use]
    pub fn with_page_bytes_max(self, page_bytes_max: usize) -> Self {
        Deployment { page_bytes_max, ..self }
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Reports a fail point: the previous step is done.
    pub(crate) fn reached(&self, point: FailPoint) {
        self.ports.fail_points.reached(point);
    }

    /// Returns the open organization with this name.
    #[must_use]
    pub fn organization(&self, name: &OrganizationName) -> Option<Arc<Organization>> {
        self.organizations.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Returns the open organizations, ordered by name.
    #[must_use]
    pub fn organizations(&self) -> Vec<Arc<Organization>> {
        self.organizations.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Returns why the organization with this name isn't served; `None` if it is served or doesn't exist.
    #[must_use]
    pub fn not_served(&self, name: &OrganizationName) -> Option<NotServed> {
        self.not_served.read().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// Returns the organizations that are listed but not served, ordered by name. Those with an invalid name are missing.
    #[must_use]
    pub fn all_not_served(&self) -> Vec<(OrganizationName, NotServed)> {
        let not_served = self.not_served.read().unwrap_or_else(PoisonError::into_inner);
        not_served.iter().map(|(name, why)| (name.clone(), *why)).collect()
    }

    /// Returns the number of listed organizations that aren't served.
    #[must_use]
    pub fn not_served_count(&self) -> usize {
        let named = self.not_served.read().unwrap_or_else(PoisonError::into_inner).len();
        named.saturating_add(self.misnamed.load(Ordering::Relaxed))
    }

    pub(crate) fn set_misnamed_count(&self, count: usize) {
        self.misnamed.store(count, Ordering::Relaxed);
    }

    pub(crate) fn does_not_serve(&self, name: OrganizationName, why: NotServed) {
        self.not_served.write().unwrap_or_else(PoisonError::into_inner).insert(name, why);
    }

    pub(crate) fn forget_not_served(&self, name: &OrganizationName) {
        self.not_served.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Starts to serve an organization.
    pub fn admit(&self, organization: Arc<Organization>) {
        let mut open = self.organizations.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(organization.name.clone(), organization);
    }

    /// Stops serving an organization. Running calls keep their handle.
    pub(crate) fn dismiss(&self, name: &OrganizationName) {
        self.organizations.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Stops serving this organization, unless another one is served under its name.
    pub(crate) fn dismiss_this(&self, organization: &Organization) {
        let mut open = self.organizations.write().unwrap_or_else(PoisonError::into_inner);
        if open.get(&organization.name).is_some_and(|served| served.id == organization.id) {
            open.remove(&organization.name);
        }
    }

    /// Returns the time this number of seconds ago.
    pub(crate) fn seconds_ago(&self, seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(self.now().unix_micros().saturating_sub(seconds.saturating_mul(1_000_000)))
    }

    /// Writes an audit record that belongs to no organization to the deployment's own trail.
    ///
    /// # Errors
    /// If the record wasn't written, or if its outcome is unknown.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), CommitError> {
        self.ports.configuration.commit(Commit::of(vec![Step::Audit(entry)])).await
    }
}

/// The default maximum size of a page in bytes: the limit of gRPC clients, less the rest of the message.
const PAGE_BYTES_MAX: usize = 4_000_000;
