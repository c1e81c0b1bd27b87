//! Several servers write to one database: each commit passes the lane.

use super::*;

const FIRST: Uuid = Uuid::from_bytes([9; 16]);
const SECOND: Uuid = Uuid::from_bytes([4; 16]);

/// The database as another server uses it.
async fn other_server(fixture: &Fixture) -> Arc<dyn Store> {
    let other = fixture.server_of(SECOND, fixture.database.login()).await.unwrap();
    other.open(ID).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_start_one_after_the_other() {
    let fixture = Fixture::new();
    let login = || fixture.database.login();
    let first = Postgres::open(login(), Some(fixture.database.owner()), limits(), FIRST).await.unwrap();
    let first = databases_of(first).await.unwrap();
    let second = async || Postgres::open(login(), None, limits(), SECOND).await;
    assert_eq!(second().await.map(drop).unwrap_err().to_string(), error::PostgresError::Starting.to_string());
    first.started().await;
    let second = databases_of(second().await.unwrap()).await.unwrap();
    second.started().await;
    // Two callers of one server can't have the same lock, and two servers neither.
    let lock = first.try_lock(ID).await.unwrap().unwrap();
    assert!(first.try_lock(ID).await.unwrap().is_none());
    assert!(second.try_lock(ID).await.unwrap().is_none());
    assert!(second.try_lock(OTHER_ID).await.unwrap().is_some());
    lock.hand_over().await;
    assert!(second.try_lock(ID).await.unwrap().is_some());
}

/// As if a server had been paused for longer than its leases.
fn expire(fixture: &Fixture) {
    fixture.database.administer("UPDATE sealward._lease SET expires = clock_timestamp() - interval '1 second'");
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_under_a_lost_lock_is_unavailable() {
    let fixture = Fixture::new();
    let one = fixture.created(ID).await;
    let first = fixture.databases().await;
    let second = fixture.server_of(SECOND, fixture.database.login()).await.unwrap();
    let under_lock = |id, number| Commit::under_lock(id, vec![insert(number, "a")]);
    let lost = error::PostgresError::LockLost.to_string();
    let is_refused = |refused: Result<(), CommitError>| match refused {
        Err(CommitError::Unavailable(cause)) => cause.to_string() == lost,
        _ => false,
    };
    // It needs the lock of another organization than the one whose database it is, as in the configuration database.
    assert!(is_refused(one.commit(under_lock(OTHER_ID, 1)).await));
    let lock = first.try_lock(OTHER_ID).await.unwrap().unwrap();
    one.commit(under_lock(OTHER_ID, 1)).await.unwrap();
    // The first server may renew in between.
    let taken = loop {
        expire(&fixture);
        if let Some(taken) = second.try_lock(OTHER_ID).await.unwrap() {
            break taken;
        }
    };
    assert!(is_refused(one.commit(under_lock(OTHER_ID, 2)).await));
    // It has the place of the lock in its process, so it can't create or delete the database either.
    assert!(is_refused(first.create(OTHER_ID, Commit::default()).await));
    // Other commits go on, also in the same transaction.
    let (refused, done) = tokio::join!(one.commit(under_lock(OTHER_ID, 3)), commit(&*one, vec![insert(4, "a")]));
    assert!(is_refused(refused));
    done.unwrap();
    assert_eq!(count(&*one, "Entry").await, 2);
    while !lock.is_lost() {
        tokio::task::yield_now().await;
    }
    // Its end doesn't end the lock of the other one.
    lock.hand_over().await;
    assert!(first.try_lock(OTHER_ID).await.unwrap().is_none());
    assert!(!taken.is_lost());
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_that_expired_or_was_handed_over_is_abandoned() {
    let fixture = Fixture::new();
    let first = fixture.databases().await;
    let second = fixture.server_of(SECOND, fixture.database.login()).await.unwrap();
    let abandoned = async || second.others().await.unwrap().unwrap().abandoned;
    // The locks of a start and of maintenance belong to no organization.
    assert!(first.maintains().await && first.maintains().await && !second.maintains().await);
    assert_eq!(abandoned().await, []);
    let lock = first.try_lock(ID).await.unwrap().unwrap();
    assert_eq!(abandoned().await, []);
    lock.hand_over().await;
    assert_eq!(abandoned().await, [ID]);
    let lock = second.try_lock(ID).await.unwrap().unwrap();
    assert_eq!(abandoned().await, []);
    lock.discard().await.unwrap();
    assert_eq!(abandoned().await, []);
    let _lock = first.try_lock(OTHER_ID).await.unwrap().unwrap();
    loop {
        expire(&fixture);
        if abandoned().await == [OTHER_ID] {
            break;
        }
    }
    while !second.maintains().await {
        expire(&fixture);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_pool_refuses_in_bounded_time() {
    let fixture = Fixture::new();
    let wait_max = std::time::Duration::from_millis(300);
    let few = PostgresLimits { connection_wait_max: wait_max, connections_max: 2, scans_max: 2, ..limits() };
    let login = fixture.database.login();
    let postgres = Postgres::open(login, Some(fixture.database.owner()), few, Uuid::from_bytes([9; 16])).await.unwrap();
    let databases = databases_of(postgres).await.unwrap();
    databases.create(ID, first()).await.unwrap();
    let store = databases.open(ID).await.unwrap();
    let snapshots = [store.snapshot().await.unwrap(), store.snapshot().await.unwrap()];
    let refused = store.count("Entry".into(), Condition::EVERYTHING).await.unwrap_err();
    let busy = error::PostgresError::Busy { wait_max }.to_string();
    assert!(refused.0.to_string().contains(&busy), "{refused:?}");
    let refused = commit(&*store, vec![insert(1, "a")]).await;
    assert!(matches!(&refused, Err(CommitError::Unavailable(cause)) if cause.to_string() == busy), "{refused:?}");
    assert!(store.snapshot().await.is_err());
    drop(snapshots);
    commit(&*store, vec![insert(1, "a")]).await.unwrap();
    assert_eq!(count(&*store, "Entry").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_write_in_turn_continue_one_chain() {
    let fixture = Fixture::new();
    let one = fixture.created(ID).await;
    commit(&*one, vec![insert(1, "a"), reveal()]).await.unwrap();
    let other = other_server(&fixture).await;
    for number in 2..6_u128 {
        let store = if number % 2 == 0 { &one } else { &other };
        commit(&**store, vec![insert(number, "a"), reveal()]).await.unwrap();
    }
    assert_eq!(count(&*one, "Entry").await, 5);
    assert_eq!(crate::contract::chain_length(&*one).await, 5);
    // No outcome was in doubt.
    assert_eq!(fixture.database.administer("SELECT fence FROM sealward._lane"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn chain_of_another_deployment_is_not_continued() {
    let fixture = Fixture::new();
    let one = fixture.created(ID).await;
    commit(&*one, vec![reveal(), reveal()]).await.unwrap();
    // As after the loss of the configuration, whose id is the writer of the chains.
    let writer = Uuid::from_bytes([2; 16]);
    let postgres = Postgres::open(fixture.database.login(), None, limits(), SECOND).await.unwrap();
    let other = PostgresDatabases::new(postgres, writer, Box::new(|_| Witness::none()), not_inspected).await.unwrap();
    let other = other.open(ID).await.unwrap();
    for store in [&other, &other, &one, &other] {
        commit(&**store, vec![reveal()]).await.unwrap();
    }
    for (writer, expected) in [(WRITER, "1,2,3"), (writer, "1,2,3")] {
        let positions =
            "SELECT string_agg(sequence::text, ',' ORDER BY sequence) FROM sealward.sealward_audit WHERE writer =";
        assert_eq!(fixture.database.administer(&format!("{positions} '{writer}'")), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_write_at_the_same_time_all_get_their_turn() {
    const EACH: u128 = 40;
    let fixture = Fixture::new();
    let one = fixture.created(ID).await;
    let mut stores = vec![one];
    for number in 1..4_u8 {
        let server = fixture.server_of(Uuid::from_bytes([number; 16]), fixture.database.login()).await.unwrap();
        stores.push(server.open(ID).await.unwrap());
    }
    let mut writing = tokio::task::JoinSet::new();
    for (store, server) in stores.iter().cloned().zip(0_u128..) {
        writing.spawn(async move {
            for number in 0..EACH {
                let steps = vec![insert(1 + server * EACH + number, "a"), reveal()];
                commit(&*store, steps).await.unwrap();
            }
        });
    }
    while let Some(written) = writing.join_next().await {
        written.unwrap();
    }
    assert_eq!(u128::from(count(&*stores[0], "Entry").await), 4 * EACH);
    assert_eq!(u128::try_from(crate::contract::chain_length(&*stores[1]).await).unwrap(), 4 * EACH);
}

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_row_of_a_concurrent_commit_refuses() {
    let fixture = Fixture::new();
    let one = fixture.created(ID).await;
    let other = other_server(&fixture).await;
    for round in 0..20_u128 {
        let name = format!("round {round}");
        // Each forbids what the other inserts.
        let steps = |number| {
            vec![Step::Forbid { table: "Entry".into(), rows: named(&name) }, insert(2 * round + number, &name)]
        };
        let (first, second) = tokio::join!(commit(&*one, steps(0)), commit(&*other, steps(1)));
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        let refused = first.and(second).unwrap_err();
        assert!(matches!(refused, CommitError::Refused { step: 0 }), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_recorded_are_those_that_are_changed() {
    let fixture = Fixture::new();
    let one = fixture.created(ID).await;
    let mut log = table();
    (log.name, log.indexes) = ("Log".into(), Vec::new());
    commit(&*one, vec![Step::CreateTable(log), insert(1, "link")]).await.unwrap();
    let other = other_server(&fixture).await;
    for round in 0..20 {
        let rename = |from: &str, to: &str| Step::Update {
            table: "Entry".into(),
            rows: named(from),
            set: vec![Assignment::Set("name".into(), Datum::Text(to.to_owned()))],
            expect: Expect::Any,
        };
        let record = Step::InsertFrom {
            table: "Log".into(),
            row: vec![
                ("id".into(), Datum::Uuid(Uuid::from_u128(round)).into()),
                ("name".into(), sealward_core::store::Source::Column("name".into())),
            ],
            from: "Entry".into(),
            rows: named("link"),
        };
        // One records the link and clears it. The other changes it meanwhile.
        let (cleared, moved) = tokio::join!(
            commit(&*one, vec![record, rename("link", "cleared")]),
            commit(&*other, vec![rename("link", "moved")])
        );
        cleared.unwrap();
        moved.unwrap();
        let is_recorded = one.count("Log".into(), Condition::equal("id", Datum::Uuid(Uuid::from_u128(round)))).await;
        let is_cleared = one.count("Entry".into(), named("cleared")).await;
        assert_eq!(is_recorded.unwrap(), is_cleared.unwrap());
        commit(&*one, vec![rename("cleared", "link"), rename("moved", "link")]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_database_is_neither_read_nor_written() {
    let fixture = Fixture::new();
    let one = fixture.created(ID).await;
    let other = other_server(&fixture).await;
    commit(&*one, vec![insert(1, "a")]).await.unwrap();
    assert_eq!(count(&*other, "Entry").await, 1);
    fixture.databases().await.remove(ID).await.unwrap();
    for store in [&one, &other] {
        assert!(store.count("Entry".into(), Condition::EVERYTHING).await.is_err());
        assert!(store.snapshot().await.is_err());
        let written = commit(&**store, vec![insert(2, "late")]).await;
        assert!(matches!(written, Err(CommitError::Unavailable(_))), "{written:?}");
    }
    assert!(matches!(fixture.databases().await.open(ID).await.map(drop), Err(OpenError::Missing)));
    // Its id can be used again.
    let again = fixture.created(ID).await;
    assert_eq!(count(&*again, "Entry").await, 0);
    for store in [&one, &other] {
        assert!(store.count("Entry".into(), Condition::EVERYTHING).await.is_err());
        assert!(commit(&**store, vec![insert(2, "late")]).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unpublished_database_is_removed_by_the_next_start() {
    let fixture = Fixture::new();
    let databases = fixture.databases().await;
    for publishes in [true, false] {
        let id = if publishes { ID } else { OTHER_ID };
        let prepared = databases.prepare(id, first()).await.unwrap();
        commit(prepared.store(), vec![insert(1, "imported")]).await.unwrap();
        assert!(!databases.list().await.unwrap().contains(&id));
        assert!(matches!(databases.open(id).await.map(drop), Err(OpenError::Missing)));
        assert!(matches!(databases.create(id, first()).await, Err(CommitError::Refused { step: 0 })));
        if publishes {
            prepared.publish().await.unwrap();
        }
    }
    assert_eq!(count(&*databases.open(ID).await.unwrap(), "Entry").await, 1);
    let restarted = fixture.server(fixture.database.login()).await.unwrap();
    assert_eq!(restarted.list().await.unwrap(), [ID]);
    assert_eq!(fixture.database.administer("SELECT count(*) FROM sealward.\"Entry\""), "1");
    let discarded = restarted.prepare(OTHER_ID, first()).await.unwrap();
    discarded.discard().await.unwrap();
    restarted.create(OTHER_ID, first()).await.unwrap();
}
