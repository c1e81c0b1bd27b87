//! Several processes write to one database: each commit passes the lane.

use super::*;

/// Another server process. Leases keep two apart, so it has none.
async fn other_server(fixture: &Fixture) -> Arc<dyn Store> {
    // The same holder, as a process that was paused and one that took over.
    let other = fixture.server(fixture.database.login()).await.unwrap();
    other.open(ID).await.unwrap()
}

fn fence(fixture: &Fixture) -> i64 {
    fixture.database.administer("SELECT fence FROM sealward._lane").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn second_server_is_refused_while_one_works() {
    let fixture = Fixture::new();
    let databases = fixture.databases().await;
    let login = fixture.database.login();
    let second = Postgres::open(login, None, limits(), Uuid::from_bytes([4; 16])).await;
    assert_eq!(second.map(drop).unwrap_err().to_string(), error::PostgresError::InUse.to_string());
    // And two callers of one server can't have the same lock.
    let lock = databases.try_lock(ID).await.unwrap().unwrap();
    assert!(databases.try_lock(ID).await.unwrap().is_none());
    assert!(databases.try_lock(OTHER_ID).await.unwrap().is_some());
    drop(lock);
    assert!(databases.try_lock(ID).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn server_whose_lease_was_taken_writes_nothing() {
    let fixture = Fixture::new();
    let one = fixture.created(ID).await;
    commit(&*one, vec![insert(1, "a")]).await.unwrap();
    // As if the first server had been paused for longer than its lease. It may renew the lease in between.
    let second = loop {
        fixture.database.administer("UPDATE sealward._lease SET expires = clock_timestamp() - interval '1 second'");
        let opened = Postgres::open(fixture.database.login(), None, limits(), Uuid::from_bytes([4; 16])).await;
        if let Ok(second) = opened {
            break databases_of(second).await.unwrap();
        }
    };
    let other = second.open(ID).await.unwrap();
    let first = fixture.databases().await;
    let in_use = error::PostgresError::InUse.to_string();
    let is_refused = |refused: Result<(), CommitError>| match refused {
        Err(CommitError::Unavailable(cause)) => cause.to_string() == in_use,
        _ => false,
    };
    assert!(is_refused(commit(&*one, vec![insert(2, "late")]).await));
    assert!(is_refused(first.create(OTHER_ID, Commit::default()).await));
    assert_eq!(first.remove(ID).await.unwrap_err().0.to_string(), in_use);
    assert_eq!(count(&*one, "Entry").await, 1);
    // It finds out at the next renewal.
    first.taken().await;
    commit(&*other, vec![insert(3, "a")]).await.unwrap();
    // Its end doesn't end the lease of the other one.
    first.release().await;
    let third = Postgres::open(fixture.database.login(), None, limits(), Uuid::from_bytes([5; 16])).await;
    assert_eq!(third.map(drop).unwrap_err().to_string(), in_use);
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_that_was_released_is_taken_at_once() {
    let fixture = Fixture::new();
    fixture.databases().await.release().await;
    Postgres::open(fixture.database.login(), None, limits(), Uuid::from_bytes([4; 16])).await.unwrap();
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
async fn taken_lane_refuses_its_former_holder_until_it_takes_it_again() {
    let fixture = Fixture::new();
    let one = fixture.created(ID).await;
    commit(&*one, vec![insert(1, "a"), reveal()]).await.unwrap();
    let before = fence(&fixture);
    let other = other_server(&fixture).await;
    assert_eq!(fence(&fixture), before + 1);
    // Each takes the lane from the other, and continues the audit chain that it finds.
    for number in 2..6_u128 {
        let store = if number % 2 == 0 { &one } else { &other };
        commit(&**store, vec![insert(number, "a"), reveal()]).await.unwrap();
    }
    assert!(fence(&fixture) > before + 3);
    assert_eq!(count(&*one, "Entry").await, 5);
    assert_eq!(crate::contract::chain_length(&*one).await, 5);
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
