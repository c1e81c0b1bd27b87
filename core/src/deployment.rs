//! The deployment: the ports and settings that every use case works with, and the organizations that are open.

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
    port::{AuditGate, Clock, KeyDerivation, OrganizationDatabases},
    random::Random,
    schema::Schema,
    store::{Commit, CommitError, Step, Store},
};

/// Everything outside that use cases need.
pub struct Ports {
    /// The configuration database.
    pub configuration: Arc<dyn Store>,
    /// The organizations' databases.
    pub databases: Arc<dyn OrganizationDatabases>,
    /// The root key.
    pub root_key: Arc<dyn RootKey>,
    /// Key derivation.
    pub key_derivation: Arc<dyn KeyDerivation>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Whether anything that has to be recorded may be done now.
    pub audit_gate: Arc<dyn AuditGate>,
    /// Where a test makes things fail.
    pub fail_points: Arc<dyn FailPoints>,
}

/// Limits of the life of keys.
#[derive(Clone, Copy, Debug)]
pub struct KeyLimits {
    /// Changes of one organization's key in an hour; 0 lifts the limit.
    pub changes_per_hour: u32,
    /// Attempts to restore one organization's key in 15 minutes; 0 lifts the limit.
    pub restores_per_quarter_hour: u32,
    /// Comparisons of one encrypted attribute of one record in 15 minutes; 0 lifts the limit.
    pub comparisons_per_quarter_hour: u32,
    /// After how many days a change of the key is due.
    pub change_due_days: u32,
    /// How many cells a step of a re-encryption seals again, in one transaction.
    pub reencryption_batch_cells: u32,
}

/// One deployment of the service.
pub struct Deployment {
    /// The ports.
    pub ports: Ports,
    /// The schema of its records.
    pub schema: Arc<Schema>,
    /// The limits of the life of keys.
    pub key_limits: KeyLimits,
    /// How large a filter may be that a caller gives.
    pub filter_bounds: parser::Bounds,
    /// How many bytes the records of a page may have in an answer together, unless it is one.
    pub page_bytes_max: usize,
    organizations: RwLock<BTreeMap<OrganizationName, Arc<Organization>>>,
    not_served: RwLock<BTreeMap<OrganizationName, NotServed>>,
    /// How many rows list an organization with a name that isn't one.
    misnamed: AtomicUsize,
}

/// Why an organization that the configuration database lists isn't served now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotServed {
    /// Its database can't be opened. It is served once it can be.
    Unavailable,
    /// Its row isn't authentic, or its database is another organization's inside.
    Mismatch,
    /// Its database was written by a newer version, or with another schema.
    NewerVersion,
}

impl Deployment {
    /// A deployment with no organization open, and filters within their usual bounds.
    #[must_use]
    pub fn new(ports: Ports, schema: Arc<Schema>, key_limits: KeyLimits) -> Self {
        let filter_bounds = parser::Bounds::default();
        let (organizations, not_served, misnamed) = Default::default();
        let page_bytes_max = PAGE_BYTES_MAX;
        Deployment { ports, schema, key_limits, filter_bounds, page_bytes_max, organizations, not_served, misnamed }
    }

    /// The same with filters within other bounds.
    #[must_use]
    pub fn with_filter_bounds(self, filter_bounds: parser::Bounds) -> Self {
        Deployment { filter_bounds, ..self }
    }

    /// The same with pages of at most this many bytes.
    #[must_use]
    pub fn with_page_bytes_max(self, page_bytes_max: usize) -> Self {
        Deployment { page_bytes_max, ..self }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Tells that the step before is done.
    pub(crate) fn reached(&self, point: FailPoint) {
        self.ports.fail_points.reached(point);
    }

    /// The open organization of this name.
    #[must_use]
    pub fn organization(&self, name: &OrganizationName) -> Option<Arc<Organization>> {
        self.organizations.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The open organizations, by name.
    #[must_use]
    pub fn organizations(&self) -> Vec<Arc<Organization>> {
        self.organizations.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Why the organization of this name isn't served; `None` if it is, or if there is none.
    #[must_use]
    pub fn not_served(&self, name: &OrganizationName) -> Option<NotServed> {
        self.not_served.read().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// How many organizations are listed and not served.
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

    /// Serves an organization from now on.
    pub fn admit(&self, organization: Arc<Organization>) {
        let mut open = self.organizations.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(organization.name.clone(), organization);
    }

    /// Serves an organization no more. Calls that have it go on with what is left of it.
    pub(crate) fn dismiss(&self, name: &OrganizationName) {
        self.organizations.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The time so many seconds before now.
    pub(crate) fn seconds_ago(&self, seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(self.now().unix_micros().saturating_sub(seconds.saturating_mul(1_000_000)))
    }

    /// Records something in the deployment's own trail, for what belongs to no organization.
    ///
    /// # Errors
    /// Why it was not, or may not have been, recorded.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), CommitError> {
        self.ports.configuration.commit(Commit::of(vec![Step::Audit(entry)])).await
    }
}

/// How many bytes a page has at most, unless the deployment is told another bound: what gRPC clients take, less the rest of the message.
const PAGE_BYTES_MAX: usize = 4_000_000;
