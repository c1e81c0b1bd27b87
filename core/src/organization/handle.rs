//! An open organization: its database, and cached copies of its schema and keys.
//!
//! The cache may be outdated or empty. Each write of a cell requires the ring revision that it was sealed under. A
//! reader reloads the ring if it lacks a key version. Each use case of keys first calls [`Organization::load_keys`].

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::{
    audit::entry::AuditEntry,
    id::{OrganizationId, Timestamp},
    metadata::setting::OrganizationSchema,
    name::OrganizationName,
    organization::{
        encryption_facts::Remembered,
        keys::{KeyFacts, Keys},
        pace::Pace,
        pending::PendingVersions,
    },
    schema::Schema,
    store::{Commit, CommitError, Step, Store, Submitted},
};

/// An open organization.
pub struct Organization {
    /// The id of the organization. It never changes, and moves with the database.
    pub id: OrganizationId,
    /// The name of the organization in this deployment.
    pub name: OrganizationName,
    /// The creation time.
    pub create_time: Timestamp,
    /// The database of the organization.
    pub store: Arc<dyn Store>,
    /// The schema as last loaded.
    schema: RwLock<Arc<OrganizationSchema>>,
    keys: RwLock<Option<Keys>>,
    /// The public facts of the keys as last loaded. They stay after the keys are dropped from memory.
    facts: RwLock<Option<KeyFacts>>,
    /// The number of [`AtWork`](crate::organization::work::AtWork) guards.
    at_work: AtomicUsize,
    /// Whether the audit trail may have records after the last signed head.
    is_trail_unsigned: AtomicBool,
    pace: Mutex<Pace>,
    /// The facts about the encryption as last read.
    pub(crate) remembered: Remembered,
    /// The records as updates that aren't durable yet will leave them.
    pub(crate) pending: PendingVersions,
}

impl Organization {
    /// Creates an open organization without loaded keys.
    pub(crate) fn new(
        id: OrganizationId,
        name: OrganizationName,
        create_time: Timestamp,
        store: Arc<dyn Store>,
        schema: &Arc<Schema>,
    ) -> Self {
        Organization {
            id,
            name,
            create_time,
            store,
            schema: RwLock::new(Arc::new(OrganizationSchema::of(schema))),
            keys: RwLock::new(None),
            facts: RwLock::new(None),
            at_work: AtomicUsize::new(0),
            is_trail_unsigned: AtomicBool::new(true),
            pace: Mutex::default(),
            remembered: Remembered::default(),
            pending: PendingVersions::default(),
        }
    }

    /// Returns the resource name.
    #[must_use]
    pub fn resource_name(&self) -> String {
        self.name.resource_name()
    }

    /// Returns whether work on the keys is in progress in this process, which blocks other work.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Acquire) > 0
    }

    /// Returns whether the audit trail may have records after the last signed head, without reading the database.
    #[must_use]
    pub fn is_trail_unsigned(&self) -> bool {
        self.is_trail_unsigned.load(Ordering::Acquire)
    }

    /// Called before the head is read. Later records are unsigned again.
    pub(crate) fn trail_is_being_signed(&self) {
        self.is_trail_unsigned.store(false, Ordering::Release);
    }

    pub(crate) fn trail_was_not_signed(&self) {
        self.is_trail_unsigned.store(true, Ordering::Release);
    }

    pub(crate) fn begin_work(&self) {
        self.at_work.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn end_work(&self) {
        self.at_work.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns the pace of the re-encryption.
    pub(crate) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the keys as last loaded; `None` if they weren't loaded yet, or were dropped.
    #[must_use]
    pub fn keys(&self) -> Option<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the public facts of the keys as last loaded in this process.
    #[must_use]
    pub fn key_facts(&self) -> Option<KeyFacts> {
        *self.facts.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_keys(&self, keys: Keys) -> Keys {
        *self.facts.write().unwrap_or_else(PoisonError::into_inner) = keys.facts();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(keys.clone());
        keys
    }

    /// Drops the keys of an idle organization from memory. The next use loads them. Does nothing while work on the keys
    /// is in progress.
    pub fn forget_keys(&self) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        // Checked under the lock. Work registers itself before it loads keys, so it is either visible here or loads
        // them afterwards.
        if !self.is_at_work() {
            *keys = None;
        }
    }

    /// Returns the schema with the organization's customizations. Writes based on it require in their commit that it is
    /// still current.
    #[must_use]
    pub fn schema(&self) -> Arc<OrganizationSchema> {
        Arc::clone(&self.schema.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the cached schema, unless the cached one is newer. Of two concurrent readers, the one with the older
    /// schema may finish last.
    pub(crate) fn set_schema(&self, schema: &Arc<OrganizationSchema>) {
        let mut present = self.schema.write().unwrap_or_else(PoisonError::into_inner);
        if schema.is_as_new_as(&present) {
            *present = Arc::clone(schema);
        }
    }

    /// Commits to the organization's database. If the outcome is unknown, drops the cached keys, so that the next use
    /// loads them.
    pub(crate) async fn commit(&self, steps: Vec<Step>) -> Result<(), CommitError> {
        self.submit(Commit::of(steps)).await.outcome().await
    }

    /// Hands a commit over to the organization's database. See [`Store::submit`].
    pub(crate) async fn submit(&self, commit: Commit) -> Submitted {
        if commit.steps.iter().any(|step| matches!(step, Step::Audit(_))) {
            self.is_trail_unsigned.store(true, Ordering::Release);
        }
        self.store.submit(commit).await
    }

    /// Writes an audit record to the organization's trail in a separate commit.
    ///
    /// # Errors
    /// If the record wasn't written, or if its outcome is unknown.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), CommitError> {
        self.commit(vec![Step::Audit(entry)]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ColumnRows, ColumnScan, Condition, Name, Pending, Reader, Row, Select, Unavailable};

    /// An unavailable database. These tests don't need one.
    struct Unreachable;

    impl Reader for Unreachable {
        fn select(&self, _: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
            Box::pin(async { Err(Unavailable("unreachable".into())) })
        }

        fn count(&self, _: Name, _: Condition) -> Pending<'_, Result<u64, Unavailable>> {
            Box::pin(async { Err(Unavailable("unreachable".into())) })
        }

        fn scan_column(&self, _: ColumnScan) -> Pending<'_, Result<ColumnRows, Unavailable>> {
            Box::pin(async { Err(Unavailable("unreachable".into())) })
        }
    }

    impl Store for Unreachable {
        fn commit(&self, _: Commit) -> Pending<'_, Result<(), CommitError>> {
            Box::pin(async { Err(CommitError::Unavailable("unreachable".into())) })
        }

        fn snapshot(&self) -> Pending<'_, Result<Arc<dyn Reader>, Unavailable>> {
            Box::pin(async { Err(Unavailable("unreachable".into())) })
        }

        fn scrub(&self) -> Pending<'_, Result<(), Unavailable>> {
            Box::pin(async { Err(Unavailable("unreachable".into())) })
        }
    }

    #[test]
    fn keys_are_removed_unless_they_are_in_use() {
        let id = OrganizationId::from_bytes([7; 16]);
        let time = Timestamp::from_unix_micros(1);
        let organization = Organization::new(
            id,
            "test".parse().unwrap(),
            time,
            Arc::new(Unreachable),
            &Arc::new(Schema::new(Vec::new()).unwrap()),
        );
        assert!(organization.keys().is_none());
        organization.set_keys(Keys::Damaged);
        organization.begin_work();
        organization.forget_keys();
        assert!(organization.keys().is_some());
        organization.end_work();
        organization.forget_keys();
        assert!(organization.keys().is_none());
    }
}
