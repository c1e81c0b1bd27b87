//! Databases that open when they are used and close when they are idle.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    sync::mpsc,
    task::Poll,
};

use sealward_core::{layout, organization::open::inspect, schema::Schema, table::OrganizationRow};
use tokio::{runtime, task::JoinSet};

use super::*;

impl Fixture {
    fn is_open(&self) -> bool {
        self.databases.is_open(ID)
    }

    /// Counts the files in the folder that this process has open.
    fn open_files(&self) -> usize {
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.filter(|file| file.starts_with(self.folder.organizations())).count()
    }

    /// Creates databases with one table each, all closed.
    async fn created_many(&self, count: u8) -> Vec<Arc<dyn Store>> {
        let mut stores = Vec::new();
        for number in 1..=count {
            let id = numbered(number);
            self.databases.create(id, first()).await.unwrap();
            stores.push(self.databases.database(id) as Arc<dyn Store>);
        }
        stores
    }

    fn open_numbers(&self, count: u8) -> Vec<u8> {
        (1..=count).filter(|number| self.databases.is_open(numbered(*number))).collect()
    }
}

fn numbered(number: u8) -> OrganizationId {
    OrganizationId::from_bytes([number; 16])
}

#[tokio::test]
async fn idle_database_is_closed_and_the_next_call_opens_it() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    let before = Instant::now();
    store.commit(Commit::of(vec![insert(1, b"x"), reveal()])).await.unwrap();
    fixture.databases.close_idle(before + IDLE_MAX);
    assert!(fixture.is_open());
    fixture.databases.close_idle(Instant::now() + IDLE_MAX);
    assert!(!fixture.is_open());
    fixture.databases.closed(ID).await;
    assert_eq!(fixture.names(), [format!("{ID}.db")]);
    assert_eq!(fixture.open_files(), 0);

    store.commit(Commit::of(vec![insert(2, b"y"), reveal()])).await.unwrap();
    assert!(fixture.is_open());
    assert_eq!((count(&*store, "Entry").await, chain_length(&*store).await), (2, 2));
}

#[tokio::test]
async fn every_call_opens_a_closed_database() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    let select = || Select {
        table: "Entry".into(),
        columns: vec!["id".into()],
        rows: Condition::EVERYTHING,
        order: Vec::new(),
        limit: 1,
    };
    fixture.close().await;
    assert_eq!(store.select(select()).await.unwrap(), Vec::<Row>::new());
    fixture.close().await;
    assert_eq!(count(&*store, "Entry").await, 0);
    fixture.close().await;
    store.scrub().await.unwrap();
    fixture.close().await;
    store.commit(Commit::of(vec![insert(1, b"")])).await.unwrap();
    fixture.close().await;
    assert!(fixture.databases.try_lock(ID).await.unwrap().is_some());
    assert!(!fixture.is_open());
}

#[tokio::test]
async fn least_recently_used_databases_past_the_limit_are_closed() {
    let fixture = Fixture::new();
    let stores = fixture.created_many(5).await;
    for store in &stores[..3] {
        count(&**store, "Entry").await;
    }
    assert_eq!(fixture.open_numbers(5), [1, 2, 3]);
    count(&*stores[0], "Entry").await;
    count(&*stores[3], "Entry").await;
    assert_eq!(fixture.open_numbers(5), [1, 3, 4]);
    count(&*stores[4], "Entry").await;
    assert_eq!(fixture.open_numbers(5), [1, 4, 5]);
}

#[tokio::test]
async fn database_in_use_past_the_limit_is_closed_after_use() {
    let fixture = Fixture::new();
    let stores = fixture.created_many(4).await;
    let mut uses = Vec::new();
    for number in 1..=4 {
        uses.push(fixture.databases.database(numbered(number)).get().await.unwrap());
    }
    fixture.databases.close_idle(Instant::now() + IDLE_MAX);
    assert_eq!(fixture.open_numbers(4), [1, 2, 3, 4]);
    drop(uses);
    fixture.databases.close_idle(Instant::now());
    assert_eq!(fixture.open_numbers(4), [2, 3, 4]);
    count(&*stores[0], "Entry").await;
    assert_eq!(fixture.open_numbers(4), [1, 3, 4]);
}

/// Calls to more databases than may be open, while unused ones are closed continually.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn databases_closing_under_load_lose_no_commit_and_break_no_chain() {
    const CALLERS: u128 = 20;
    const COMMITS: u128 = 20;
    let fixture = Arc::new(Fixture::new());
    let stores = fixture.created_many(5).await;
    let mut callers = JoinSet::new();
    for store in &stores {
        for caller in 0..CALLERS {
            let (fixture, store) = (Arc::clone(&fixture), Arc::clone(store));
            callers.spawn(async move {
                for number in 0..COMMITS {
                    store.commit(Commit::of(vec![insert(caller * COMMITS + number, b""), reveal()])).await.unwrap();
                    fixture.databases.close_idle(Instant::now() + IDLE_MAX);
                }
            });
        }
    }
    callers.join_all().await;
    for store in &stores {
        let total = CALLERS * COMMITS;
        assert_eq!(u128::from(count(&**store, "Entry").await), total);
        assert_eq!(u128::try_from(chain_length(&**store).await).unwrap(), total);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reopened_database_keeps_one_audit_chain() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    for round in 0..50 {
        // Not awaited: the next open waits for the close.
        fixture.databases.close_idle(Instant::now() + IDLE_MAX);
        assert_eq!(chain_length(&*store).await, round);
        store.commit(Commit::of(vec![reveal()])).await.unwrap();
    }
}

#[tokio::test]
async fn commit_without_its_caller_completes_before_the_database_closes() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    {
        let mut commit = pin!(store.commit(Commit::of(vec![insert(1, b"x"), reveal()])));
        // The commit is queued, and its caller leaves.
        assert!(poll_fn(|context| Poll::Ready(commit.as_mut().poll(context).is_pending())).await);
    }
    fixture.databases.close_idle(Instant::now() + IDLE_MAX);
    assert_eq!((count(&*store, "Entry").await, chain_length(&*store).await), (1, 1));
}

#[test]
fn opening_continues_without_its_caller_and_happens_once() {
    // A single thread for blocking work, which is busy until the caller has left.
    let runtime = runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let fixture = Fixture::new();
        let store = fixture.created().await;
        fixture.close().await;
        let (release, busy) = mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || busy.recv());
        {
            let mut opening = pin!(store.commit(Commit::of(vec![insert(1, b"x")])));
            assert!(poll_fn(|context| Poll::Ready(opening.as_mut().poll(context).is_pending())).await);
        }
        drop(release);
        assert!(busy.await.unwrap().is_err());
        store.commit(Commit::of(vec![insert(2, b"y"), reveal()])).await.unwrap();
        assert_eq!((count(&*store, "Entry").await, chain_length(&*store).await), (1, 1));
        fixture.close().await;
        assert_eq!(fixture.open_files(), 0);
    });
}

#[tokio::test]
async fn missing_or_damaged_database_is_unavailable_until_repaired() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    store.commit(Commit::of(vec![insert(1, b"x"), reveal()])).await.unwrap();
    fixture.close().await;
    let content = fs::read(fixture.database()).unwrap();
    let closed = || async {
        assert!(store.count("Entry".into(), Condition::EVERYTHING).await.is_err());
        assert!(store.scrub().await.is_err());
        let outcome = store.commit(Commit::of(vec![insert(2, b"")])).await;
        assert!(matches!(outcome, Err(CommitError::Unavailable(_))), "{outcome:?}");
        assert!(!fixture.is_open());
    };
    fs::remove_file(fixture.database()).unwrap();
    closed().await;
    fs::write(fixture.database(), b"no database at all, but long enough to look for a header").unwrap();
    closed().await;
    fs::write(fixture.database(), content).unwrap();
    assert_eq!((count(&*store, "Entry").await, chain_length(&*store).await), (1, 1));
}

/// Returns the first commit of an organization's database, with its id and name.
fn organization(id: OrganizationId, name: &str) -> Commit {
    let layout = layout::organization(&Schema::new(Vec::new()).unwrap());
    let table_layout =
        layout.tables.into_iter().find(|table_layout| table_layout.table.name == OrganizationRow::TABLE).unwrap();
    let row = OrganizationRow { id, name: name.parse().unwrap(), create_time: Timestamp::from_unix_micros(1) };
    Commit::of(vec![Step::CreateTable(table_layout.table), Step::CreateTable(AuditRecord::table()), row.insert()])
}

#[tokio::test]
async fn database_replaced_while_closed_is_not_opened() {
    let fixture = Fixture::new();
    let limits = OpenLimits { open_max: OPEN_MAX, idle_max: IDLE_MAX };
    let databases = SqliteDatabases::new(
        Arc::clone(&fixture.folder),
        WRITER,
        SqliteOptions::default(),
        limits,
        no_witnesses(),
        inspect,
    )
    .unwrap();
    let (one, other) = (numbered(1), numbered(2));
    let mut stores = Vec::new();
    for (id, name) in [(one, "one"), (other, "other")] {
        databases.create(id, organization(id, name)).await.unwrap();
        stores.push(databases.open(id).await.unwrap());
    }
    let close = || async {
        databases.close_idle(Instant::now() + IDLE_MAX);
        databases.closed(one).await;
        databases.closed(other).await;
    };
    let path = |id: OrganizationId| fixture.path(&format!("{id}.db"));
    let exchange = || {
        let aside = fixture.path("aside");
        fs::rename(path(one), &aside).unwrap();
        fs::rename(path(other), path(one)).unwrap();
        fs::rename(aside, path(other)).unwrap();
    };
    close().await;
    exchange();
    for store in &stores {
        assert!(store.count(OrganizationRow::TABLE.into(), Condition::EVERYTHING).await.is_err());
        let Err(CommitError::Unavailable(cause)) = store.commit(Commit::of(vec![reveal()])).await else {
            panic!("committed to another organization's database")
        };
        assert!(matches!(cause.0.downcast_ref(), Some(OpenError::WrongOrganization)), "{cause}");
    }
    close().await;
    exchange();
    assert_eq!(count(&*stores[0], OrganizationRow::TABLE).await, 1);

    // Changes the name under the same id.
    close().await;
    rusqlite::Connection::open(path(one))
        .unwrap()
        .execute("UPDATE sealward_organization SET name = 'other'", [])
        .unwrap();
    assert!(stores[0].count(OrganizationRow::TABLE.into(), Condition::EVERYTHING).await.is_err());
}
