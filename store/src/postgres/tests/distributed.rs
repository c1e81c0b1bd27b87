//! What a distributed engine would do: it refuses some statements, refuses transactions as in conflict with others, and ends
//! connections, each at any time.

use sealward_core::store::{ColumnScan, Rewrite, Tally};
use tokio::sync::OnceCell;

use super::{
    proxy::{At, Fault, Proxy},
    *,
};
use crate::contract::chain_length;

const FIRST: Uuid = Uuid::from_bytes([9; 16]);
const SECOND: Uuid = Uuid::from_bytes([4; 16]);

/// An engine, and a database in it.
struct Engine {
    database: Database,
    proxy: Proxy,
}

impl Engine {
    fn new() -> Self {
        Engine { database: Database::new(), proxy: Proxy::new() }
    }

    /// Starts a server process, all of whose connections pass the proxy.
    async fn server(&self, id: Uuid) -> PostgresDatabases {
        let (login, owner) = (self.proxy.login(&self.database), self.proxy.owner(&self.database));
        let databases = databases_of(Postgres::open(login, Some(owner), limits(), id).await.unwrap()).await.unwrap();
        databases.started().await;
        databases
    }

    /// Creates a database with one audited row.
    async fn created(&self) -> (PostgresDatabases, Arc<dyn Store>) {
        let databases = self.server(FIRST).await;
        databases.create(ID, first()).await.unwrap();
        let store = databases.open(ID).await.unwrap();
        commit(&*store, vec![insert(1, "a"), reveal()]).await.unwrap();
        self.proxy.executed();
        self.proxy.round_trips();
        (databases, store)
    }

    fn commit_seq(&self) -> i64 {
        self.database.administer("SELECT commit_seq FROM sealward._lane").parse().unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.proxy.refused(), [""; 0]);
        }
    }
}

fn counters() -> Table {
    let column = |name: &'static str, kind| Column { name: name.into(), kind, nullable: false };
    Table {
        name: "Counter".into(),
        columns: vec![column("name", ColumnType::Text), column("number", ColumnType::Integer)],
        key: vec!["name".into()],
        indexes: Vec::new(),
    }
}

fn tally(name: &str) -> Step {
    let key = vec![("name".into(), Datum::Text(name.to_owned()))];
    Step::Tally(Tally { table: "Counter".into(), key, counter: "number".into(), by: 1 })
}

fn renamed(from: &str, to: &str, expect: Expect) -> Step {
    let set = vec![Assignment::Set("name".into(), Datum::Text(to.to_owned()))];
    Step::Update { table: "Entry".into(), rows: named(from), set, expect }
}

/// The contract suite, where no statement may be refused.
mod contract {
    use super::*;

    struct Refusing(OnceCell<(Engine, PostgresDatabases)>);

    impl Subject for Refusing {
        fn open(&self) -> Pending<'_, Arc<dyn Store>> {
            Box::pin(async {
                let created = async || {
                    let engine = Engine::new();
                    let databases = engine.server(FIRST).await;
                    databases.create(ID, Commit::default()).await.unwrap();
                    (engine, databases)
                };
                let (_, databases) = self.0.get_or_init(created).await;
                databases.open(ID).await.unwrap()
            })
        }
    }

    contract_tests!(Refusing(OnceCell::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_refuses_what_an_engine_would() {
    let engine = Engine::new();
    let _created = engine.created().await;
    let login = engine.proxy.login(&engine.database);
    let open = connection::Connection::open(login, limits(), &tokio::runtime::Handle::current()).await.unwrap();
    let client = open.client();
    for text in ["LISTEN changes", "SELECT pg_advisory_lock(1)", "SELECT name FROM sealward.\"Entry\""] {
        let refused = client.batch_execute(text).await.unwrap_err();
        assert_eq!(refused.code().map(|code| code.code()), Some("0A000"), "{text}");
        let refused = client.prepare(text).await.map(drop).unwrap_err();
        assert_eq!(refused.code().map(|code| code.code()), Some("0A000"), "{text}");
        assert_eq!(engine.proxy.refused().len(), 2, "{text}");
    }
    client.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_is_refused_by_a_distributed_engine() {
    let engine = Engine::new();
    let databases = engine.server(FIRST).await;
    let lock = databases.try_lock(ID).await.unwrap().unwrap();
    databases.create(ID, first()).await.unwrap();
    let one = databases.open(ID).await.unwrap();
    lock.hand_over().await;
    let others = engine.server(SECOND).await;
    assert_eq!(others.others().await.unwrap().unwrap().abandoned, [ID]);
    let lock = others.try_lock(ID).await.unwrap().unwrap();
    let other = others.open(ID).await.unwrap();
    other.commit(Commit::under_lock(ID, vec![insert(1, "a"), reveal()])).await.unwrap();
    // Definitions.
    let column = Column { name: "more".into(), kind: ColumnType::Bytes, nullable: true };
    let index = Index { name: "Entry_by_more".into(), columns: vec!["more".into()] };
    let define = vec![
        Step::CreateTable(counters()),
        Step::AddColumn { table: "Entry".into(), column },
        Step::CreateIndex { table: "Entry".into(), index },
        insert(2, "b"),
        tally("entries"),
    ];
    commit(&*one, define).await.unwrap();
    commit(&*one, vec![Step::DropIndex { name: "Entry_by_more".into() }]).await.unwrap();
    // Rows, by both servers, so that the lane is locked as well.
    for (store, number) in [&one, &other, &one, &other].into_iter().zip(10..) {
        let copy = Step::InsertFrom {
            table: "Entry".into(),
            row: vec![("id".into(), Datum::Uuid(Uuid::from_u128(100 + number)).into())],
            from: "Entry".into(),
            rows: named("a"),
        };
        let delete = Step::Delete { table: "Entry".into(), rows: named("old"), expect: Expect::Any };
        let prune = Step::Prune { table: "Entry".into(), key: vec!["id".into()], rows: named("c"), at_most: 1 };
        let steps = vec![
            Step::Require { table: "Entry".into(), rows: named("a") },
            Step::Forbid { table: "Entry".into(), rows: named("old") },
            insert(number, "c"),
            tally("entries"),
            renamed("b", "b", Expect::One),
            renamed("c", "old", Expect::Any),
            tally("renamed"),
            copy,
            tally("copied"),
            delete,
            insert(1000 + number, "c"),
            prune,
            reveal(),
        ];
        commit(&**store, steps).await.unwrap();
    }
    let data = Assignment::Set("data".into(), Datum::Bytes(vec![1]));
    let set = Step::Update { table: "Entry".into(), rows: named("a"), set: vec![data], expect: Expect::Any };
    commit(&*one, vec![set]).await.unwrap();
    let scan = ColumnScan {
        table: "Entry".into(),
        key: "id".into(),
        column: "data".into(),
        after: None,
        except_header: None,
        limit: 100,
        bytes_max: 1000,
    };
    let read = one.scan_column(scan).await.unwrap();
    let rewrites = read.rows.into_iter().map(|row| Rewrite { number: row.number, former: row.value, value: None });
    let rewrite =
        Step::Rewrite { table: "Entry".into(), column: "data".into(), rows: rewrites.collect(), set: Vec::new() };
    commit(&*one, vec![rewrite, tally("rewritten")]).await.unwrap();
    assert!(commit(&*one, vec![insert(1, "taken")]).await.is_err());
    // Reads.
    let snapshot = other.snapshot().await.unwrap();
    assert_eq!(count(&*snapshot, "Entry").await, count(&*one, "Entry").await);
    assert_eq!(chain_length(&*other).await, 5);
    drop(snapshot);
    // Imports, and deletions.
    databases.prepare(OTHER_ID, first()).await.unwrap().publish().await.unwrap();
    assert_eq!(databases.list().await.unwrap(), [ID, OTHER_ID]);
    databases.remove(OTHER_ID).await.unwrap();
    databases.prepare(OTHER_ID, first()).await.unwrap().discard().await.unwrap();
    others.remove(ID).await.unwrap();
    lock.discard().await.unwrap();
    assert!(databases.maintains().await);
    databases.release().await;
    // Each kind was sent.
    let executed = engine.proxy.executed();
    for words in [
        "INSERT INTO sealward.\"Entry\"",
        "UPDATE sealward.\"Entry\"",
        "DELETE FROM sealward.\"Entry\"",
        "ON CONFLICT",
        "FROM unnest(",
        "FOR UPDATE",
        "\"_lease\"",
        "ctid",
        "CREATE TABLE",
        "REPEATABLE READ",
    ] {
        assert!(executed.iter().any(|text| text.contains(words)), "{words}");
    }
}

const CONFLICT: Fault = Fault { code: "40001", closes: false, commits: false };
const DEADLOCK: Fault = Fault { code: "40P01", closes: false, commits: false };
const SHUTDOWN: Fault = Fault { code: "57P01", closes: true, commits: false };
/// The engine doesn't know whether the COMMIT took effect.
const AMBIGUOUS: Fault = Fault { code: "40003", closes: false, commits: false };
const FULL: Fault = Fault { code: "53100", closes: false, commits: false };

fn with_effect(fault: Fault) -> Fault {
    Fault { commits: true, ..fault }
}

/// Applies a commit while this fault happens. Returns whether it has happened.
async fn survives(engine: &Engine, store: &dyn Store, at: At, fault: Fault, number: u128) -> bool {
    let (before, records) = (engine.commit_seq(), chain_length(store).await);
    engine.proxy.inject(at, fault);
    let name = format!("row {number}");
    let done = commit(store, vec![insert(number, &name), tally("entries"), reveal()]).await;
    let has_failed = engine.proxy.has_failed();
    let rows = store.count("Entry".into(), named(&name)).await.unwrap();
    let applied = match done {
        Ok(()) => 1,
        Err(CommitError::Unavailable(_)) => 0,
        other => panic!("{fault:?} {at:?}: {other:?}"),
    };
    // Each of these can be repeated, or found out.
    assert!(fault.code == FULL.code || applied == 1, "{fault:?} {at:?}");
    assert_eq!(i64::try_from(rows).unwrap(), applied, "{fault:?} {at:?}");
    assert_eq!(engine.commit_seq(), before + applied, "{fault:?} {at:?}");
    assert_eq!(chain_length(store).await, records + applied, "{fault:?} {at:?}");
    // The connection can be used, or isn't.
    commit(store, vec![insert(1_000_000 + number, "next"), reveal()]).await.unwrap();
    assert_eq!(chain_length(store).await, records + applied + 1, "{fault:?} {at:?}");
    has_failed
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_takes_effect_once_whichever_message_fails() {
    let engine = Engine::new();
    let (_databases, store) = engine.created().await;
    commit(&*store, vec![Step::CreateTable(counters())]).await.unwrap();
    let others = engine.server(SECOND).await;
    let other = others.open(ID).await.unwrap();
    let mut number = 10;
    // Alone, in one round trip; and after another server, with a lock of the lane.
    for is_alone in [true, false] {
        for fault in [CONFLICT, DEADLOCK, SHUTDOWN, FULL] {
            let mut units = 0;
            loop {
                number += 1;
                if !is_alone {
                    commit(&*other, vec![insert(2_000_000 + number, "other"), reveal()]).await.unwrap();
                }
                if !survives(&engine, &*store, At::Unit(units), fault, number).await {
                    break;
                }
                units += 1;
            }
            // At least the begin, the settings, the lane, the row, the record, the counter, and the end.
            assert!(units >= 7, "{fault:?}: {units}");
        }
    }
    let counted = engine.database.administer("SELECT number FROM sealward.\"Counter\"");
    let rows = engine.database.administer("SELECT count(*) FROM sealward.\"Entry\" WHERE name LIKE 'row %'");
    assert_eq!(counted, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn database_is_created_as_a_whole_or_not_whichever_message_fails() {
    let engine = Engine::new();
    for (fault, kind) in [(CONFLICT, 1), (SHUTDOWN, 2)] {
        for unit in 0.. {
            let mut id = [kind; 16];
            id[0] = u8::try_from(unit).unwrap();
            let id = OrganizationId::from_bytes(id);
            // A new process, which has prepared nothing.
            let databases = engine.server(FIRST).await;
            engine.proxy.inject(At::Unit(unit), fault);
            let created = databases.create(id, first()).await;
            let has_failed = engine.proxy.has_failed();
            match created {
                Ok(()) => {}
                Err(CommitError::Unavailable(_)) => {
                    assert!(!databases.list().await.unwrap().contains(&id), "{fault:?} {unit}");
                    // What is left is removed by the next start.
                    engine.server(SECOND).await.create(id, first()).await.unwrap();
                }
                other => panic!("{fault:?} {unit}: {other:?}"),
            }
            let store = databases.open(id).await.unwrap();
            commit(&*store, vec![insert(1, "a"), reveal()]).await.unwrap();
            assert_eq!(chain_length(&*store).await, 1, "{fault:?} {unit}");
            if !has_failed {
                assert!(unit > 10, "{fault:?} {unit}");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_commit_is_found_out() {
    let engine = Engine::new();
    let (_databases, store) = engine.created().await;
    commit(&*store, vec![Step::CreateTable(counters())]).await.unwrap();
    let fence = || engine.database.administer("SELECT fence FROM sealward._lane").parse::<i64>().unwrap();
    // The next COMMIT must not be that of a transaction that only prepares statements.
    let prepared = async |number| {
        commit(&*store, vec![insert(500 + number, "prepared"), tally("entries"), reveal()]).await.unwrap();
        fence()
    };
    let faults = [AMBIGUOUS, with_effect(AMBIGUOUS), SHUTDOWN, with_effect(SHUTDOWN)];
    for (fault, number) in faults.into_iter().zip(10..) {
        let before = prepared(number).await;
        assert!(survives(&engine, &*store, At::Commit, fault, number).await);
        assert_eq!(fence(), before + 1, "{fault:?}");
    }
    // A conflict isn't ambiguous.
    for (fault, number) in [CONFLICT, DEADLOCK].into_iter().zip(20..) {
        let before = prepared(number).await;
        assert!(survives(&engine, &*store, At::Commit, fault, number).await);
        assert_eq!(fence(), before, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_write_each_row_once_in_bad_weather() {
    const EACH: u128 = 40;
    for seed in [1, 2] {
        let engine = Engine::new();
        let (_databases, one) = engine.created().await;
        let others = engine.server(SECOND).await;
        let other = others.open(ID).await.unwrap();
        let faults = [CONFLICT, DEADLOCK, SHUTDOWN, AMBIGUOUS, with_effect(AMBIGUOUS), with_effect(SHUTDOWN)];
        engine.proxy.begin_weather(seed, &faults);
        let mut writing = tokio::task::JoinSet::new();
        for (store, server) in [one.clone(), other].into_iter().zip(0_u128..) {
            writing.spawn(async move {
                let mut done = Vec::new();
                for number in 0..EACH {
                    let id = 10 + server * EACH + number;
                    done.push((id, commit(&*store, vec![insert(id, &id.to_string()), reveal()]).await));
                }
                done
            });
        }
        let done: Vec<_> = writing.join_all().await.into_iter().flatten().collect();
        assert!(engine.proxy.end_weather() > 5);
        let mut applied = 0;
        for (id, done) in done {
            let rows = one.count("Entry".into(), named(&id.to_string())).await.unwrap();
            match done {
                Ok(()) => assert_eq!(rows, 1, "seed {seed}: {id}"),
                Err(CommitError::Unavailable(_)) => assert_eq!(rows, 0, "seed {seed}: {id}"),
                Err(CommitError::Unknown(_)) => assert!(rows <= 1, "seed {seed}: {id}"),
                Err(other) => panic!("seed {seed}: {id}: {other}"),
            }
            applied += i64::try_from(rows).unwrap();
        }
        assert_eq!(chain_length(&*one).await, 1 + applied, "seed {seed}");
        assert!(applied > i64::try_from(EACH).unwrap(), "seed {seed}: {applied}");
    }
}

#[tokio::test]
async fn creation_of_a_mailbox_takes_one_round_trip_and_few_statements() {
    let engine = Engine::new();
    let (_databases, store) = engine.created().await;
    commit(&*store, vec![Step::CreateTable(counters())]).await.unwrap();
    let steps = |number| {
        vec![
            // Its organization, its name, the record, its count, the key of idempotency, and the audit record.
            Step::Require { table: "Entry".into(), rows: named("a") },
            Step::Forbid { table: "Entry".into(), rows: named(&format!("mailbox {number}")) },
            insert(number, &format!("mailbox {number}")),
            tally("mailboxes"),
            insert(1000 + number, "request"),
            tally("requests"),
            reveal(),
        ]
    };
    for number in 10..13 {
        commit(&*store, steps(number)).await.unwrap();
        let (round_trips, executed) = (engine.proxy.round_trips(), engine.proxy.executed());
        // The first one prepares statements.
        if number > 10 {
            assert_eq!(round_trips, 1);
            // The begin, the settings, the lane, one for each step, one for each counter, and the end.
            assert_eq!(executed.len(), 11, "{executed:#?}");
        }
    }
}
