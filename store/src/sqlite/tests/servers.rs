//! Several servers over the databases of one deployment: what one does while another is in the middle of something.
//!
//! A second server on a data folder is refused, so these are several deployments in one process. They share the stores and
//! the locks, as servers over one database server will.

use std::sync::{Mutex, mpsc};

use sealward_core::{
    audit::{retention::cut_organization, sign::sign_organization},
    configuration::{ConfigurationError, has_listed_root_keys, prepare_configuration},
    crypto::{
        root_key::{MacPurpose, RootKey},
        secret::KeyText,
    },
    deployment::{Deployment, KeyLimits, NotServed},
    fail_point::FailPoint,
    identity::{Caller, Identity},
    key::{
        KeyError,
        abandon::{Abandonment, abandon},
        reseal::reseal,
        restore::restore,
        retrieve::retrieve,
    },
    name::OrganizationName,
    organization::{
        Keys, Obstacle, Organization,
        create::{CreateOrganizationError, create_first},
        delete::delete,
        export::Exported,
        import::Import,
        open::{OpenOrganizationError, Opened, open_all},
        seen::check_rollback,
    },
    permit::{Permit, PermittedWork},
    policy::{
        AbandonEncryptedData, Action, Binding, CreateOrganization, DeleteOrganization, Policy, RestoreKey, RetrieveKey,
        Role, Scope,
    },
    port::{Clock as _, OrganizationLock, PreparedDatabase},
    schema::Schema,
    store::{ColumnRows, ColumnScan, Name},
    table::{KeyTextRow, ListedRow, RootKeyRow, read},
};
use tokio::{runtime::Handle, sync::oneshot, task::block_in_place};

use super::{
    deployment::{KEY_LIMITS, TestPorts, new_configuration, organization_databases, ports, root_keys},
    *,
};

/// What another server does in between.
type Meanwhile = Box<dyn FnOnce() -> Pending<'static, ()> + Send>;

fn meanwhile<F: Future<Output = ()> + Send + 'static>(then: impl FnOnce() -> F + Send + 'static) -> Meanwhile {
    Box::new(move || Box::pin(then()))
}

/// One server's view of the shared databases. Another server can do something in between, once.
struct View {
    configuration: Arc<dyn Store>,
    databases: Arc<SqliteDatabases>,
    before_commit: Mutex<Option<Meanwhile>>,
    before_read: Mutex<Option<(&'static str, Meanwhile)>>,
    before_lock: Mutex<Option<Meanwhile>>,
}

impl View {
    /// Before the next commit to the configuration database.
    fn before_commit(&self, then: Meanwhile) {
        *self.before_commit.lock().unwrap() = Some(then);
    }

    /// Before the next read of this table of the configuration database.
    fn before_read(&self, table: &'static str, then: Meanwhile) {
        *self.before_read.lock().unwrap() = Some((table, then));
    }

    /// Before the next attempt to lock an organization.
    fn before_lock(&self, then: Meanwhile) {
        *self.before_lock.lock().unwrap() = Some(then);
    }
}

impl Reader for View {
    fn select(&self, select: Select) -> Pending<'_, Result<Vec<Row>, Unavailable>> {
        let then = self.before_read.lock().unwrap().take_if(|(table, _)| select.table == *table);
        Box::pin(async move {
            if let Some((_, then)) = then {
                then().await;
            }
            self.configuration.select(select).await
        })
    }

    fn count(&self, table: Name, rows: Condition) -> Pending<'_, Result<u64, Unavailable>> {
        self.configuration.count(table, rows)
    }

    fn scan_column(&self, scan: ColumnScan) -> Pending<'_, Result<ColumnRows, Unavailable>> {
        self.configuration.scan_column(scan)
    }
}

impl Store for View {
    fn commit(&self, commit: Commit) -> Pending<'_, Result<(), CommitError>> {
        let then = self.before_commit.lock().unwrap().take();
        Box::pin(async move {
            if let Some(then) = then {
                then().await;
            }
            self.configuration.commit(commit).await
        })
    }

    fn snapshot(&self) -> Pending<'_, Result<Arc<dyn Reader>, Unavailable>> {
        self.configuration.snapshot()
    }

    fn scrub(&self) -> Pending<'_, Result<(), Unavailable>> {
        self.configuration.scrub()
    }
}

impl OrganizationDatabases for View {
    fn create(&self, id: OrganizationId, first: Commit) -> Pending<'_, Result<(), CommitError>> {
        self.databases.create(id, first)
    }

    fn prepare(
        &self,
        id: OrganizationId,
        first: Commit,
    ) -> Pending<'_, Result<Box<dyn PreparedDatabase>, CommitError>> {
        self.databases.prepare(id, first)
    }

    fn open(&self, id: OrganizationId) -> Pending<'_, Result<Arc<dyn Store>, OpenError>> {
        self.databases.open(id)
    }

    fn list(&self) -> Pending<'_, Result<Vec<OrganizationId>, Unavailable>> {
        self.databases.list()
    }

    fn remove(&self, id: OrganizationId) -> Pending<'_, Result<(), Unavailable>> {
        self.databases.remove(id)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn try_lock(&self, id: OrganizationId) -> Pending<'_, Result<Option<Box<dyn OrganizationLock>>, Unavailable>> {
        let then = self.before_lock.lock().unwrap().take();
        Box::pin(async move {
            if let Some(then) = then {
                then().await;
            }
            self.databases.try_lock(id).await
        })
    }
}

/// The databases of a deployment.
struct Shared {
    fixture: Fixture,
    configuration: Arc<dyn Store>,
    databases: Arc<SqliteDatabases>,
}

impl Shared {
    async fn new() -> Self {
        let fixture = Fixture::new();
        let configuration = new_configuration(&fixture).await;
        let databases = Arc::new(organization_databases(&fixture.folder));
        Shared { fixture, configuration, databases }
    }

    fn view(&self) -> Arc<View> {
        let (before_commit, before_read, before_lock) = Default::default();
        let (configuration, databases) = (Arc::clone(&self.configuration), Arc::clone(&self.databases));
        Arc::new(View { configuration, databases, before_commit, before_read, before_lock })
    }

    /// A server whose start got as far as the organizations.
    async fn server(&self, seed: u64, root_key: Arc<dyn RootKey>, limits: KeyLimits) -> Arc<Server> {
        let (view, others) = (self.view(), Arc::new(TestPorts::seeded(seed)));
        let (configuration, databases) = (Arc::clone(&view), Arc::clone(&view));
        prepare_configuration(&*configuration, &*root_key, Timestamp::from_unix_micros(1)).await.unwrap();
        let ports = ports(configuration, databases, root_key, &others);
        let schema = Arc::new(Schema::new(Vec::new()).unwrap());
        Arc::new(Server { deployment: Deployment::new(ports, schema, limits), others, view })
    }

    /// Two servers with the same root key.
    async fn two(&self) -> (Arc<Server>, Arc<Server>) {
        (self.server(1, root_keys(7, &[]), KEY_LIMITS).await, self.server(2, root_keys(7, &[]), KEY_LIMITS).await)
    }

    async fn listed(&self) -> Vec<(String, String)> {
        read(&*self.configuration, (ListedRow::name(), ListedRow::state()), Condition::EVERYTHING).await.unwrap()
    }

    async fn root_keys_listed(&self) -> Vec<Vec<u8>> {
        read(&*self.configuration, RootKeyRow::check_value(), Condition::EVERYTHING).await.unwrap()
    }
}

/// A server.
struct Server {
    deployment: Deployment,
    others: Arc<TestPorts>,
    view: Arc<View>,
}

impl Server {
    async fn create(&self) -> Result<Arc<Organization>, CreateOrganizationError> {
        create_first(&self.deployment, &name()).await
    }

    async fn start(&self) -> Opened {
        open_all(&self.deployment).await.unwrap()
    }

    fn permit<A: Action<Of = ()>>(&self) -> Permit<A> {
        policy().check(&caller(), &name()).unwrap().enter(&self.deployment).unwrap()
    }

    async fn work<A: Action<Of = ()>>(&self) -> PermittedWork<A> {
        self.permit().begin_work(&self.deployment).await.unwrap()
    }

    async fn key_text(&self) -> (KeyText, String) {
        let (text, current) = retrieve(&self.deployment, self.permit::<RetrieveKey>()).await.unwrap();
        (text, current.fingerprint.to_string())
    }

    async fn restore(&self, text: &str) -> Result<(), KeyError> {
        let work = self.work::<RestoreKey>().await;
        restore(&self.deployment, work, KeyText::new(text.to_owned()), false).await.1.map(|_| ())
    }

    async fn abandon(&self, confirm_fingerprint: String) -> Result<(), KeyError> {
        let work = self.work::<AbandonEncryptedData>().await;
        let text = KeyText::new("begun anew, number 2".to_owned());
        let abandonment = Abandonment { confirm_fingerprint, text, validate_only: false };
        abandon(&self.deployment, work, abandonment).await.1.map(|_| ())
    }

    async fn keys(&self) -> Keys {
        self.organization().load_keys(&self.deployment).await.unwrap()
    }

    fn organization(&self) -> Arc<Organization> {
        self.deployment.organization(&name()).unwrap()
    }

    async fn look(&self) -> Option<Timestamp> {
        check_rollback(&self.deployment, &self.organization()).await.unwrap()
    }

    /// Adds a record to the trail of the organization.
    async fn record(&self) {
        self.organization().store.commit(Commit::of(vec![reveal()])).await.unwrap();
    }
}

fn name() -> OrganizationName {
    "contoso".parse().unwrap()
}

fn caller() -> Caller {
    let identity = Identity::CommonName("tester".to_owned());
    Caller { identity: identity.into(), peer: None, hop: None, call_id: Arc::default() }
}

fn policy() -> Policy {
    let identity = Identity::CommonName("tester".to_owned());
    Policy::new(vec![Binding { identity, role: Role::SystemAdministrator.into(), scope: Scope::All }])
}

/// Runs a future to its end within a callback of a task.
fn now<T>(future: impl Future<Output = T>) -> T {
    block_in_place(|| Handle::current().block_on(future))
}

#[tokio::test]
async fn of_two_first_starts_with_different_root_keys_one_is_refused() {
    let shared = Shared::new().await;
    let (view, other) = (shared.view(), shared.view());
    let time = Timestamp::from_unix_micros(1);
    view.before_commit(meanwhile(move || async move {
        prepare_configuration(&*other, &*root_keys(1, &[]), time).await.unwrap();
    }));
    let outcome = prepare_configuration(&*view, &*root_keys(2, &[]), time).await;
    assert!(matches!(outcome, Err(ConfigurationError::OtherRootKey)), "{outcome:?}");
    assert_eq!(shared.root_keys_listed().await, [root_keys(1, &[]).check_value().unwrap()]);
    // The next start of either says the same.
    prepare_configuration(&*shared.view(), &*root_keys(1, &[]), time).await.unwrap();
    assert!(prepare_configuration(&*shared.view(), &*root_keys(2, &[]), time).await.is_err());
}

#[tokio::test]
async fn two_first_starts_with_one_root_key_list_it_once() {
    let shared = Shared::new().await;
    let (view, other) = (shared.view(), shared.view());
    let time = Timestamp::from_unix_micros(1);
    view.before_commit(meanwhile(move || async move {
        prepare_configuration(&*other, &*root_keys(1, &[]), time).await.unwrap();
    }));
    prepare_configuration(&*view, &*root_keys(1, &[]), time).await.unwrap();
    assert_eq!(shared.root_keys_listed().await.len(), 1);
}

#[tokio::test]
async fn server_without_the_current_root_key_restores_and_seals_nothing() {
    let shared = Shared::new().await;
    let old = shared.server(1, root_keys(1, &[]), KEY_LIMITS).await;
    old.create().await.unwrap();
    let (text, fingerprint) = old.key_text().await;

    // A second server starts with a new root key, and seals every text under it. The first one knows nothing of it.
    let new = shared.server(2, root_keys(2, &[1]), KEY_LIMITS).await;
    assert_eq!(new.start().await.organizations.len(), 1);
    assert_eq!(reseal(&new.deployment).await.unwrap().root_keys_retired.unwrap(), 1);
    assert!(has_listed_root_keys(&*new.view, &*root_keys(2, &[1])).await.unwrap());
    assert!(!has_listed_root_keys(&*old.view, &*root_keys(1, &[])).await.unwrap());
    let trail = async || count(&*old.organization().store, "sealward_restore_attempt").await;

    old.organization().forget_keys();
    let is_refused =
        |outcome: Result<(), KeyError>| matches!(outcome, Err(KeyError::Inaccessible(Obstacle::UnknownRootKey { .. })));
    assert!(matches!(old.keys().await, Keys::Inaccessible(Obstacle::UnknownRootKey { .. }, None)));
    assert!(is_refused(old.restore(text.expose()).await));
    assert!(is_refused(old.restore("another text, number 2").await));
    assert_eq!(trail().await, 0, "an attempt was counted");
    assert!(is_refused(old.abandon(fingerprint.clone()).await));
    assert!(is_refused(old.abandon(String::new()).await));
    // Nothing new is sealed or authenticated under a root key that was retired.
    let created = create_first(&old.deployment, &"fabrikam".parse().unwrap()).await;
    assert!(matches!(created, Err(CreateOrganizationError::Store(_))), "{:?}", created.err());
    assert!(delete(&old.deployment, old.work::<DeleteOrganization>().await).await.is_err());
    assert_eq!(shared.listed().await, [("contoso".to_owned(), "ready".to_owned())]);
    assert_eq!(read(&*shared.configuration, KeyTextRow::sealed(), Condition::EVERYTHING).await.unwrap().len(), 1);

    new.organization().forget_keys();
    assert!(matches!(new.keys().await, Keys::Active(_)));
    assert_eq!(new.key_text().await.1, fingerprint);
}

#[tokio::test]
async fn text_under_a_lost_root_key_can_be_restored() {
    let shared = Shared::new().await;
    let server = shared.server(1, root_keys(1, &[]), KEY_LIMITS).await;
    server.create().await.unwrap();
    let (text, fingerprint) = server.key_text().await;
    let mut sealed = read(&*shared.configuration, KeyTextRow::sealed(), Condition::EVERYTHING).await.unwrap().remove(0);
    // The id of a root key that isn't listed, so that no other server has it.
    sealed[1] ^= 1;
    let set = vec![Assignment::Set("sealed".into(), Datum::Bytes(sealed))];
    let change = KeyTextRow::update(Condition::EVERYTHING, set, Expect::One);
    shared.configuration.commit(Commit::of(vec![change])).await.unwrap();

    server.organization().forget_keys();
    assert!(matches!(server.keys().await, Keys::Inaccessible(Obstacle::UnknownRootKey { .. }, Some(_))));
    let refused = server.abandon(fingerprint).await;
    assert!(matches!(refused, Err(KeyError::Inaccessible(_))), "{refused:?}");
    server.restore(text.expose()).await.unwrap();
    assert!(matches!(server.keys().await, Keys::Active(_)));
}

#[tokio::test]
async fn ring_that_was_replaced_in_between_is_not_abandoned() {
    for (damage, is_damaged) in [("reencryption_state = 'resting'", true), ("slot = slot", false)] {
        let shared = Shared::new().await;
        let server = shared.server(1, root_keys(1, &[]), KEY_LIMITS).await;
        let organization = server.create().await.unwrap();
        let fingerprint = server.key_text().await.1;
        let path = shared.fixture.path(&format!("{}.db", organization.id));
        let sql = format!("UPDATE sealward_key_ring SET {damage}");
        rusqlite::Connection::open(&path).unwrap().execute(&sql, []).unwrap();
        let forget = KeyTextRow::delete(Condition::EVERYTHING);
        shared.configuration.commit(Commit::of(vec![forget])).await.unwrap();
        organization.forget_keys();
        assert_eq!(matches!(server.keys().await, Keys::Damaged), is_damaged);

        // After it was looked at, and before it is replaced: the server commits the new text in between.
        let before = "UPDATE sealward_key_ring SET revision = zeroblob(16)";
        server.view.before_commit(meanwhile(move || async move {
            rusqlite::Connection::open(path).unwrap().execute(before, []).unwrap();
        }));
        let refused = server.abandon(fingerprint).await;
        assert!(matches!(refused, Err(KeyError::Store(_))), "{refused:?}");
        let revision = Select {
            table: "sealward_key_ring".into(),
            columns: vec!["revision".into()],
            rows: Condition::EVERYTHING,
            order: Vec::new(),
            limit: 2,
        };
        assert_eq!(organization.store.select(revision).await.unwrap(), [[Datum::Bytes(vec![0; 16])]]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn start_leaves_a_creation_of_another_server_alone() {
    for point in [FailPoint::CreateStarted, FailPoint::DatabaseCreated, FailPoint::CreateReady] {
        let shared = Shared::new().await;
        let (one, other) = shared.two().await;
        let (send, starts) = mpsc::channel();
        one.others.at(point, move || send.send(now(other.start())).unwrap());
        one.create().await.unwrap();
        let Opened { organizations, not_opened } = starts.recv().unwrap();
        // It is served from its last step on, without the lock.
        assert_eq!((organizations.len(), not_opened.len()), (usize::from(point == FailPoint::CreateReady), 0));
        assert_eq!(shared.listed().await, [("contoso".to_owned(), "ready".to_owned())]);
        one.organization().forget_keys();
        assert!(matches!(one.keys().await, Keys::Active(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn creation_that_ends_during_the_start_of_another_server_is_not_undone() {
    let shared = Shared::new().await;
    let (one, other) = shared.two().await;
    // The other server has read the unfinished row, and gets the lock after the creation has ended.
    let (has_read, other_has_read) = mpsc::channel();
    let (created, is_created) = oneshot::channel::<()>();
    other.view.before_lock(meanwhile(move || async move {
        has_read.send(()).unwrap();
        is_created.await.unwrap();
    }));
    let (send, starts) = mpsc::channel();
    one.others.at(FailPoint::CreateStarted, move || {
        send.send(tokio::spawn(async move { (other.start().await, other) })).unwrap();
        block_in_place(|| other_has_read.recv().unwrap());
    });
    one.create().await.unwrap();
    created.send(()).unwrap();
    let (opened, other) = starts.recv().unwrap().await.unwrap();
    assert!(opened.not_opened.is_empty(), "{:?}", opened.not_opened);
    assert_eq!(shared.listed().await, [("contoso".to_owned(), "ready".to_owned())]);
    assert_eq!(other.organization().id, one.organization().id);
    for server in [one, other] {
        server.organization().forget_keys();
        assert!(matches!(server.keys().await, Keys::Active(_)));
    }
}

#[tokio::test]
async fn start_leaves_an_import_of_another_server_alone() {
    let shared = Shared::new().await;
    let (one, other) = shared.two().await;
    let exported = Exported {
        id: ID,
        name: Some(name()),
        create_time: Timestamp::from_unix_micros(1),
        export_time: Timestamp::from_unix_micros(2),
        fingerprint: String::new(),
    };
    let permit = policy().check_deployment::<CreateOrganization>(&caller()).unwrap();
    let import = Import::begin(&one.deployment, permit, &exported, None, None).await.unwrap();
    let opened = other.start().await;
    assert!(opened.organizations.is_empty() && opened.not_opened.is_empty(), "{:?}", opened.not_opened);
    assert_eq!(shared.listed().await, [("contoso".to_owned(), "importing".to_owned())]);

    // Once the import has ended in failure, the name is free for both.
    import.abort(&one.deployment).await;
    assert_eq!(shared.listed().await, []);
    assert_eq!(other.deployment.not_served(&name()), None);
}

#[tokio::test]
async fn organization_that_is_deleted_during_the_start_of_another_server_is_not_listed() {
    let shared = Shared::new().await;
    let (one, other) = shared.two().await;
    one.create().await.unwrap();
    other.view.before_lock(meanwhile(move || async move {
        delete(&one.deployment, one.work::<DeleteOrganization>().await).await.unwrap();
    }));
    let opened = other.start().await;
    assert!(opened.organizations.is_empty() && opened.not_opened.is_empty(), "{:?}", opened.not_opened);
    assert_eq!(other.deployment.not_served(&name()), None);
    assert_eq!(shared.listed().await, []);
}

#[tokio::test]
async fn organization_in_a_state_of_a_newer_version_is_not_served() {
    let shared = Shared::new().await;
    let (one, other) = shared.two().await;
    let organization = one.create().await.unwrap();
    let time = organization.create_time.unix_micros().to_be_bytes();
    let mut message = Vec::new();
    let parts: [&[u8]; 5] = [b"sealward organization row v1", b"contoso", organization.id.as_bytes(), b"moved", &time];
    for part in parts {
        message.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
        message.extend_from_slice(part);
    }
    let mac = root_keys(7, &[]).mac(MacPurpose::OrganizationRow, &message).unwrap().to_vec();
    let set = vec![
        Assignment::Set("state".into(), Datum::Text("moved".to_owned())),
        Assignment::Set("mac".into(), Datum::Bytes(mac)),
    ];
    shared
        .configuration
        .commit(Commit::of(vec![ListedRow::update(Condition::EVERYTHING, set, Expect::One)]))
        .await
        .unwrap();
    let opened = other.start().await;
    assert!(matches!(opened.not_opened[0].error, OpenOrganizationError::NewerState { .. }), "{:?}", opened.not_opened);
    assert_eq!(other.deployment.not_served(&name()), Some(NotServed::NewerVersion));
    assert_eq!(shared.listed().await, [("contoso".to_owned(), "moved".to_owned())]);
}

/// The length of the trail as last seen.
async fn seen(shared: &Shared) -> Vec<Row> {
    let (table, columns) = ("sealward_seen".into(), vec!["audit_sequence".into()]);
    let select = Select { table, columns, rows: Condition::EVERYTHING, order: Vec::new(), limit: 2 };
    shared.configuration.select(select).await.unwrap()
}

/// Two servers with one organization, which both have seen.
async fn with_organization(shared: &Shared) -> (Arc<Server>, Arc<Server>) {
    let (one, other) = shared.two().await;
    one.create().await.unwrap();
    assert_eq!(one.look().await, None);
    assert_eq!(other.start().await.organizations.len(), 1);
    (one, other)
}

#[tokio::test]
async fn older_look_replaces_no_newer_one() {
    let shared = Shared::new().await;
    let (one, other) = with_organization(&shared).await;
    one.record().await;
    let then = Arc::clone(&one);
    other.view.before_commit(meanwhile(move || async move {
        then.record().await;
        assert_eq!(then.look().await, None);
    }));
    assert_eq!(other.look().await, None);
    let length = count(&*one.organization().store, "sealward_audit").await;
    assert_eq!(seen(&shared).await, [[Datum::Integer(length.try_into().unwrap())]]);
    assert_eq!(one.look().await, None);
}

#[tokio::test]
async fn change_between_the_reads_of_a_look_is_not_a_rollback() {
    let shared = Shared::new().await;
    let (one, other) = with_organization(&shared).await;
    other.view.before_read(
        "sealward_seen",
        meanwhile(move || async move {
            one.record().await;
            assert_eq!(one.look().await, None);
        }),
    );
    assert_eq!(other.look().await, None);
}

#[tokio::test]
async fn look_at_a_deleted_organization_is_not_saved() {
    let shared = Shared::new().await;
    let (one, other) = with_organization(&shared).await;
    one.record().await;
    let organization = other.organization();
    other.view.before_commit(meanwhile(move || async move {
        delete(&one.deployment, one.work::<DeleteOrganization>().await).await.unwrap();
    }));
    assert_eq!(check_rollback(&other.deployment, &organization).await.unwrap(), None);
    assert_eq!(seen(&shared).await, [] as [Row; 0]);
}

#[tokio::test]
async fn trail_whose_records_have_all_expired_is_not_rolled_back() {
    let shared = Shared::new().await;
    let server = shared.server(1, root_keys(7, &[]), KEY_LIMITS).await;
    let organization = server.create().await.unwrap();
    sign_organization(&server.deployment, &organization).await.unwrap();
    assert_eq!(server.look().await, None);
    server.others.move_clock(1);
    let before = server.others.now();
    assert!(cut_organization(&server.deployment, &organization, before).await.unwrap() > 0);
    assert_eq!(server.look().await, None);
}

#[tokio::test]
async fn wrong_clock_neither_adds_attempts_nor_blocks_for_long() {
    const LIMIT: u32 = 2;
    let limits = KeyLimits { restores_per_quarter_hour: LIMIT, ..KEY_LIMITS };
    let is_over = |outcome: &Result<(), KeyError>| match outcome {
        Err(KeyError::RestoreQuota { retry_after_seconds, .. }) => Some(*retry_after_seconds),
        _ => None,
    };
    for (seconds_ahead, counts) in [(5, true), (900, true), (86_400, false)] {
        let shared = Shared::new().await;
        let ahead = shared.server(1, root_keys(7, &[]), limits).await;
        let other = shared.server(2, root_keys(7, &[]), limits).await;
        ahead.create().await.unwrap();
        let forget = KeyTextRow::delete(Condition::EVERYTHING);
        shared.configuration.commit(Commit::of(vec![forget])).await.unwrap();
        ahead.organization().forget_keys();
        other.start().await;
        ahead.others.move_clock(seconds_ahead);
        for _ in 0..LIMIT {
            let refused = ahead.restore("another text, number 2").await;
            assert!(matches!(refused, Err(KeyError::Mismatch { .. })), "{refused:?}");
        }
        let outcome = other.restore("another text, number 2").await;
        let wait = is_over(&outcome);
        assert_eq!(wait.is_some(), counts, "{seconds_ahead}: {outcome:?}");
        // At most two intervals of 15 minutes, however wrong the clock was.
        assert!(wait.unwrap_or_default() <= 1_800, "{seconds_ahead}: {outcome:?}");
    }
}
