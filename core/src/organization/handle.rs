//! An open organization: its database, and a copy in memory of its schema and keys.
//!
//! The copy may be old or dropped: every write of a cell names the ring revision it was sealed under, a reader reads again when its ring
//! lacks a version, and every use case of the key's life begins with [`Organization::load_keys`].

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
        comparisons::Comparisons,
        keys::{KeyFacts, Keys},
        pace::Pace,
    },
    schema::Schema,
    store::{Commit, CommitError, Step, Store},
};

/// An open organization.
pub struct Organization {
    /// Its id, which never changes and travels with its database.
    pub id: OrganizationId,
    /// Its name in this deployment.
    pub name: OrganizationName,
    /// When it was created.
    pub create_time: Timestamp,
    /// Its database.
    pub store: Arc<dyn Store>,
    /// The schema as it was when it was last looked at.
    schema: RwLock<Arc<OrganizationSchema>>,
    keys: RwLock<Option<Keys>>,
    /// What is public of the keys that were known last; stays when they are forgotten.
    facts: RwLock<Option<KeyFacts>>,
    /// How many are.
    at_work: AtomicUsize,
    /// Whether the audit trail may have records after the head that was signed last.
    is_trail_unsigned: AtomicBool,
    pace: Mutex<Pace>,
    /// How often attributes were compared lately.
    pub(crate) comparisons: Comparisons,
}

impl Organization {
    /// An organization whose keys are not known yet.
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
            comparisons: Comparisons::default(),
        }
    }

    /// Its resource name.
    #[must_use]
    pub fn resource_name(&self) -> String {
        self.name.resource_name()
    }

    /// Whether somebody in this process works on its keys, and would be in the way of whoever wants to.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Acquire) > 0
    }

    /// Whether the audit trail may have records after the head that was signed last; known without a look at the database.
    #[must_use]
    pub fn is_trail_unsigned(&self) -> bool {
        self.is_trail_unsigned.load(Ordering::Acquire)
    }

    /// Before the head is read: what is recorded from then on is unsigned again.
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

    /// How fast its re-encryption goes.
    pub(crate) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was known of the keys when they were last looked at; `None` if that was not yet, or was forgotten.
    #[must_use]
    pub fn keys(&self) -> Option<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was public of the keys when they were last looked at, in this process.
    #[must_use]
    pub fn key_facts(&self) -> Option<KeyFacts> {
        *self.facts.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_keys(&self, keys: Keys) -> Keys {
        *self.facts.write().unwrap_or_else(PoisonError::into_inner) = keys.facts();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(keys.clone());
        keys
    }

    /// Forgets the keys, so that those of an idle organization are not in memory: whoever needs them next loads them. Does nothing
    /// while somebody works on them.
    pub fn forget_keys(&self) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        // Asked under the lock. Whoever begins to work says so before he loads keys, and so either is seen here or comes after this.
        if !self.is_at_work() {
            *keys = None;
        }
    }

    /// The schema as the organization has it. Writes that go by it hold it against the database in their own commit.
    #[must_use]
    pub fn schema(&self) -> Arc<OrganizationSchema> {
        Arc::clone(&self.schema.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the schema, unless the one in memory is newer: of two readers at the same time, the one that saw less may be the last.
    pub(crate) fn set_schema(&self, schema: &Arc<OrganizationSchema>) {
        let mut present = self.schema.write().unwrap_or_else(PoisonError::into_inner);
        if schema.is_as_new_as(&present) {
            *present = Arc::clone(schema);
        }
    }

    /// Commits to the organization's database. A commit whose outcome is unknown makes the keys known in memory worthless: they are
    /// read anew when they are needed next.
    pub(crate) async fn commit(&self, steps: Vec<Step>) -> Result<(), CommitError> {
        if steps.iter().any(|step| matches!(step, Step::Audit(_))) {
            self.is_trail_unsigned.store(true, Ordering::Release);
        }
        self.store.commit(Commit::of(steps)).await
    }

    /// Records something in the organization's trail, in a commit of its own.
    ///
    /// # Errors
    /// Why it was not, or may not have been, recorded.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), CommitError> {
        self.commit(vec![Step::Audit(entry)]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Condition, Name, Pending, Reader, Row, Select, Unavailable};

    /// A database that can't be reached: nothing here needs it.
    struct Unreachable;

    impl Reader for Unreachable {
        fn select(&self, _: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
            Box::pin(async { Err(Unavailable("unreachable".into())) })
        }

        fn count(&self, _: Name, _: Condition) -> Pending<'_, Result<u64, Unavailable>> {
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
