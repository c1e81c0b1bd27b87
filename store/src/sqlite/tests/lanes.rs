//! Long reads and snapshots: which operations they delay, and what ends them.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use sealward_core::store::{Lookup, ScanError, SnapshotEnded, snapshot_ended};

use super::{connection::Connection, stop::Stop, *};

async fn opened(options: SqliteOptions) -> (Fixture, SqliteStore) {
    let fixture = Fixture::new();
    fixture.databases.create(ID, first()).await.unwrap();
    let store = SqliteStore::open(&fixture.database(), WRITER, options, Witness::none()).unwrap();
    (fixture, store)
}

fn all() -> Select {
    Select {
        table: "Entry".into(),
        columns: vec!["id".into()],
        rows: Condition::IsNull("name".into()),
        order: Vec::new(),
        limit: u32::MAX,
    }
}

async fn fill(store: &SqliteStore, rows: u128) {
    store.commit(Commit::of((1..=rows).map(|number| insert(number, b"")).collect())).await.unwrap();
}

fn waits(call: Pin<&mut impl Future>) -> bool {
    call.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn ended<T>(outcome: Result<T, Unavailable>) -> Option<SnapshotEnded> {
    outcome.err().and_then(|Unavailable(cause)| snapshot_ended(&cause))
}

#[tokio::test]
async fn quick_reads_do_not_wait_for_scans() {
    let (_fixture, store) = opened(SqliteOptions::default()).await;
    fill(&store, 3).await;
    let every_place = store.readers.without_scans().await.unwrap();
    let mut scan = Box::pin(store.scan(all(), usize::MAX));
    assert!(waits(scan.as_mut()));
    assert_eq!(store.select(all()).await.unwrap().len(), 3);
    assert!(waits(scan.as_mut()));
    drop(every_place);
    assert_eq!(scan.await.unwrap().rows.len(), 3);
}

#[tokio::test]
async fn lookup_runs_on_the_thread_of_its_caller() {
    let (_fixture, store) = opened(SqliteOptions::default()).await;
    fill(&store, 3).await;
    let lookup = Arc::new(Lookup::new("Entry".into(), vec!["id".into()], "id".into()));
    let key = |number| Datum::Uuid(Uuid::from_u128(number));
    // The first lookup opens a connection. Others may be slow on a busy machine, and then the next ones run elsewhere.
    for _ in 0..1_000 {
        let mut call = store.look_up(&lookup, key(2));
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(row) => return assert_eq!(row.unwrap(), Some(vec![key(2)])),
            Poll::Pending => assert_eq!(call.await.unwrap(), Some(vec![key(2)])),
        }
    }
    panic!("every lookup ran on another thread");
}

#[tokio::test]
async fn scan_ends_at_its_deadline_and_frees_its_slot() {
    let (_fixture, store) =
        opened(SqliteOptions { scan_time_max: Duration::ZERO, scans_max: 1, ..SqliteOptions::default() }).await;
    fill(&store, 2_000).await;
    for _ in 0..3 {
        let refused = store.scan(all(), usize::MAX).await;
        assert!(matches!(refused, Err(ScanError::TooLong { limit_ms: 0 })), "{refused:?}");
        let refused = store.scan_count("Entry".into(), all().rows).await;
        assert!(matches!(refused, Err(ScanError::TooLong { limit_ms: 0 })), "{refused:?}");
    }
    assert_eq!(store.select(all()).await.unwrap().len(), 2_000);
}

#[tokio::test]
async fn interrupted_statement_stops_and_its_connection_stays_usable() {
    let (fixture, store) = opened(SqliteOptions::default()).await;
    fill(&store, 2_000).await;
    let mut connection = Connection::open_reader(&fixture.database(), SqliteOptions::default()).unwrap();
    let stop = Stop::at(None);
    connection.stop_when(Some(Arc::clone(&stop))).unwrap();
    assert_eq!(connection.select(&all()).unwrap().len(), 2_000);
    drop(stop::StopWhenDropped(stop));
    assert!(connection.select(&all()).unwrap_err().is_interrupted());
    connection.stop_when(None).unwrap();
    assert_eq!(connection.select(&all()).unwrap().len(), 2_000);
}

#[tokio::test]
async fn scrub_ends_a_blocking_snapshot() {
    let (_fixture, store) = opened(SqliteOptions { snapshot_grace: Duration::ZERO, ..SqliteOptions::default() }).await;
    fill(&store, 1).await;
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.select(all()).await.unwrap().len(), 1);
    fill_more(&store).await;
    store.scrub().await.unwrap();
    assert_eq!(ended(snapshot.select(all()).await), Some(SnapshotEnded::BlocksScrub));
    assert_eq!(ended(snapshot.count("Entry".into(), Condition::EVERYTHING).await), Some(SnapshotEnded::BlocksScrub));
    let next = store.snapshot().await.unwrap();
    assert_eq!(next.select(all()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_scrub_waits_for_a_snapshot_that_is_almost_done() {
    let (_fixture, store) =
        opened(SqliteOptions { snapshot_grace: Duration::from_secs(3_600), ..SqliteOptions::default() }).await;
    fill(&store, 1).await;
    let snapshot = store.snapshot().await.unwrap();
    let mut scrub = Box::pin(store.scrub());
    assert!(waits(scrub.as_mut()));
    assert_eq!(snapshot.select(all()).await.unwrap().len(), 1);
    drop(snapshot);
    scrub.await.unwrap();
}

#[tokio::test]
async fn snapshot_that_blocks_the_log_is_ended() {
    const LOG_MAX: u64 = 1_000_000;
    let (fixture, store) = opened(SqliteOptions { log_max_bytes: LOG_MAX, ..SqliteOptions::default() }).await;
    let snapshot = store.snapshot().await.unwrap();
    let log = suffixed(&fixture.database(), "-wal");
    for number in 1..=8 {
        store.commit(Commit::of(vec![insert(number, &[7; 200_000])])).await.unwrap();
        let bytes = fs::metadata(&log).unwrap().len();
        assert!(bytes < LOG_MAX + 300_000, "{bytes} after {number}");
    }
    assert_eq!(ended(snapshot.select(all()).await), Some(SnapshotEnded::LogFull));
    assert_eq!(count(&store, "Entry").await, 8);
}

async fn fill_more(store: &SqliteStore) {
    store.commit(Commit::of(vec![insert(1_000_000, b"")])).await.unwrap();
}
