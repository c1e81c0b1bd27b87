//! An organization that is open: its database, and what is known of its keys.
//!
//! What is in memory is a copy of what the databases say, and may be old or forgotten: every write of a cell names the ring revision it was sealed
//! under, a reader looks again when its ring lacks a version, and every use case of the key's life begins with [`Organization::load_keys`].

pub mod create;
pub mod delete;
pub mod export;
pub mod import;
pub mod open;
pub mod ring_rows;
pub mod row;
pub mod seen;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::{
    audit::AuditEntry,
    crypto::{
        kek::{Fingerprint, KeyCheckValue},
        ring::stored::{RingUnread, StoredRing},
        ring::{KeyRing, RingError},
        root_key::{RootKeyError, RootKeyId},
        secret::{Kek, KeyText},
    },
    deployment::{Deployment, of_organization, root_key_failed},
    id::{KeyVersion, OrganizationId, Timestamp},
    key::pace::Pace,
    layout::{FINGERPRINT, KEY_TEXT},
    metadata::OrganizationSchema,
    organization::ring_rows::RingRows,
    records::compare::Comparisons,
    schema::Schema,
    store::{Commit, CommitError, Condition, Datum, Expect, Step, Store, Unavailable, rows},
};

/// An open organization.
pub struct Organization {
    /// Its id, which never changes and travels with its database.
    pub id: OrganizationId,
    /// Its name in this deployment.
    pub name: String,
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

/// What is public of an organization's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Whether the key is present.
    pub is_active: bool,
    /// Which version seals, and when the key was set; `None` if the ring is missing or damaged.
    pub set: Option<(KeyVersion, Timestamp)>,
}

/// What is known of an organization's keys.
#[derive(Clone)]
pub enum Keys {
    /// The key is present and proven: it opened the ring.
    Active(Arc<KeyRing>),
    /// The key is missing.
    Inactive(Arc<StoredRing>),
    /// The key is there, and this server can't use it. Nothing is lost. The ring, if it reads.
    Inaccessible(Obstacle, Option<Arc<StoredRing>>),
    /// The ring is missing or damaged, and no key opens it.
    Damaged,
}

/// Why a server can't use what another server, or this one with other root keys, can. It is never a reason to give anything up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// A newer version wrote the key ring.
    #[error("the key ring has format {format}, which a newer version wrote")]
    NewerRing {
        /// The format as stored.
        format: i64,
    },
    /// A newer version sealed a cell.
    #[error("a cell has format {format}, which a newer version wrote")]
    NewerCell {
        /// The format as stored.
        format: u8,
    },
    /// A newer version sealed the key's text.
    #[error("the sealed key text has format {format}, which a newer version wrote")]
    NewerKeyText {
        /// The format as stored.
        format: u8,
    },
    /// The key's text is sealed under a root key that isn't given.
    #[error("the key text is sealed under root key {id}, which the server doesn't have: add it to root_key.sources")]
    UnknownRootKey {
        /// The root key.
        id: RootKeyId,
    },
}

impl Obstacle {
    /// The word that the audit trail records, which is the reason that the caller gets.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Obstacle::NewerRing { .. } | Obstacle::NewerCell { .. } | Obstacle::NewerKeyText { .. } => {
                "WRITTEN_BY_NEWER_VERSION"
            }
            Obstacle::UnknownRootKey { .. } => "ROOT_KEY_UNKNOWN",
        }
    }
}

impl Keys {
    /// What is public of them; `None` where this server can't tell.
    fn facts(&self) -> Option<KeyFacts> {
        let (stored, is_active) = match self {
            Keys::Active(ring) => (Some(ring.stored()), true),
            Keys::Inactive(stored) => (Some(&**stored), false),
            Keys::Inaccessible(..) => return None,
            Keys::Damaged => (None, false),
        };
        let set = stored.and_then(|stored| Some((stored.version()?, stored.key_change_time)));
        Some(KeyFacts { is_active, set })
    }
}

impl Organization {
    /// An organization whose keys are not known yet.
    pub(crate) fn new(
        id: OrganizationId,
        name: String,
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
        format!("organizations/{}", self.name)
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

    /// Reads anew what the organization has customized of the schema.
    ///
    /// # Errors
    /// If the database doesn't answer.
    pub async fn load_schema(&self, deployment: &Deployment) -> Result<Arc<OrganizationSchema>, Unavailable> {
        let schema = Arc::new(OrganizationSchema::read(&*self.store, &deployment.schema).await?);
        let mut present = self.schema.write().unwrap_or_else(PoisonError::into_inner);
        // Of two who look at the same time, the one that saw less may come last.
        if schema.is_as_new_as(&present) {
            *present = Arc::clone(&schema);
        }
        Ok(schema)
    }

    /// Reads the ring anew and opens it with the text that the configuration database holds for it.
    ///
    /// # Errors
    /// If one of the databases doesn't answer: that is never taken for a missing key.
    pub async fn load_keys(&self, deployment: &Deployment) -> Result<Keys, Unavailable> {
        Ok(self.look_at_keys(deployment).await?.0)
    }

    /// As [`load_keys`](Self::load_keys), with the rows that the answer was made of.
    pub(crate) async fn look_at_keys(&self, deployment: &Deployment) -> Result<(Keys, RingRows), Unavailable> {
        let rows = RingRows::read(&*self.store).await?;
        let keys = match rows.parse() {
            Ok(stored) => self.open_ring(deployment, stored).await?,
            Err(RingUnread::Newer { format }) => {
                self.set_keys(Keys::Inaccessible(Obstacle::NewerRing { format }, None))
            }
            Err(RingUnread::Damaged(_)) => self.set_keys(Keys::Damaged),
        };
        Ok((keys, rows))
    }

    async fn open_ring(&self, deployment: &Deployment, stored: StoredRing) -> Result<Keys, Unavailable> {
        if let Some(Keys::Active(ring)) = self.keys()
            && ring.revision() == stored.revision
        {
            return Ok(Keys::Active(ring));
        }
        let keys = match read_text(deployment, self.id, &stored.check).await {
            Ok(None) => Keys::Inactive(Arc::new(stored)),
            Ok(Some((_, kek))) => match KeyRing::open(&stored, self.id, &kek) {
                Ok(ring) => Keys::Active(Arc::new(ring)),
                Err(RingError::Newer { format }) => Keys::Inaccessible(Obstacle::NewerRing { format }, None),
                // The text was sealed for this very key-check value, so a mismatch is damage as well.
                Err(RingError::KeyMismatch | RingError::Damaged(_)) => Keys::Damaged,
            },
            Err(ReadTextError::Inaccessible(obstacle)) => Keys::Inaccessible(obstacle, Some(Arc::new(stored))),
            Err(ReadTextError::Unavailable(error)) => return Err(error),
        };
        Ok(self.set_keys(keys))
    }

    /// As [`load_keys`](Self::load_keys), but believes the ring in memory if the database has its revision still: for whoever looks
    /// again and again.
    pub(crate) async fn follow_keys(&self, deployment: &Deployment) -> Result<Keys, Unavailable> {
        if let Some(Keys::Active(ring)) = self.keys()
            && ring_rows::has(&*self.store, ring.revision()).await?
        {
            return Ok(Keys::Active(ring));
        }
        self.load_keys(deployment).await
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

/// Why a key text that is there isn't given.
#[derive(Debug)]
pub(crate) enum ReadTextError {
    /// A database or the root key doesn't answer.
    Unavailable(Unavailable),
    /// Another server could open it.
    Inaccessible(Obstacle),
}

impl From<Unavailable> for ReadTextError {
    fn from(error: Unavailable) -> Self {
        ReadTextError::Unavailable(error)
    }
}

/// The key text, and its KEK, that the configuration database holds for this key-check value. One that is damaged counts as missing: a
/// restore puts it back.
pub(crate) async fn read_text(
    deployment: &Deployment,
    organization: OrganizationId,
    check: &KeyCheckValue,
) -> Result<Option<(KeyText, Kek)>, ReadTextError> {
    let condition =
        of_organization(organization).and(Condition::equal("key_check_value", Datum::Bytes(check.as_bytes().to_vec())));
    let found = rows(&*deployment.ports.configuration, KEY_TEXT, &["sealed"], condition).await?;
    let Some([Datum::Bytes(sealed)]) = found.first().map(Vec::as_slice) else { return Ok(None) };
    match deployment.ports.root_key.open_key(sealed, organization, check) {
        Ok(opened) => Ok(Some(opened)),
        Err(RootKeyError::NewerFormat { format }) => {
            Err(ReadTextError::Inaccessible(Obstacle::NewerKeyText { format }))
        }
        Err(RootKeyError::UnknownRootKey { id }) => Err(ReadTextError::Inaccessible(Obstacle::UnknownRootKey { id })),
        Err(error @ RootKeyError::Unavailable(_)) => Err(root_key_failed(error).into()),
        Err(RootKeyError::Malformed | RootKeyError::DoesNotVerify) => Ok(None),
    }
}

/// The steps that put a text into the configuration database, sealed, and remember its fingerprint.
pub(crate) fn write_text(
    deployment: &Deployment,
    organization: OrganizationId,
    check: &KeyCheckValue,
    text: &KeyText,
    kek: &Kek,
) -> Result<Vec<Step>, Unavailable> {
    let now = Datum::Time(deployment.now());
    let ports = &deployment.ports;
    let sealed = ports.root_key.seal_key(text, kek, organization, check, &*ports.random).map_err(root_key_failed)?;
    let check_bytes = Datum::Bytes(check.as_bytes().to_vec());
    let fingerprint = Datum::Text(check.fingerprint().to_string());
    let replace = |table: &'static str, key: (&'static str, Datum), rest: Option<(&'static str, Datum)>| {
        let mut row = vec![("organization".into(), Datum::Uuid(organization.uuid())), (key.0.into(), key.1.clone())];
        row.extend(rest.map(|(column, datum)| (column.into(), datum)));
        row.push((if table == KEY_TEXT { "create_time".into() } else { "time".into() }, now.clone()));
        let same = of_organization(organization).and(Condition::equal(key.0, key.1));
        [
            Step::Delete { table: table.into(), rows: same, expect: Expect::Any },
            Step::Insert { table: table.into(), row },
        ]
    };
    let mut steps =
        Vec::from(replace(KEY_TEXT, ("key_check_value", check_bytes), Some(("sealed", Datum::Bytes(sealed)))));
    steps.extend(replace(FINGERPRINT, ("fingerprint", fingerprint), None));
    Ok(steps)
}

/// The fingerprint of the key that keys want, where there is one.
#[must_use]
pub fn wanted_fingerprint(keys: &Keys) -> Option<Fingerprint> {
    match keys {
        Keys::Active(ring) => Some(ring.fingerprint()),
        Keys::Inactive(stored) => Some(stored.fingerprint()),
        Keys::Inaccessible(_, stored) => stored.as_ref().map(|stored| stored.fingerprint()),
        Keys::Damaged => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        port::Pending,
        store::{Name, Reader, Row, Select},
    };

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
    fn keys_are_forgotten_but_not_while_somebody_works_on_them() {
        let id = OrganizationId::from_bytes([7; 16]);
        let time = Timestamp::from_unix_micros(1);
        let organization = Organization::new(
            id,
            "test".to_owned(),
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
