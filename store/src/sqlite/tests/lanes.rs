//! Long reads and snapshots: which operations they delay, and what ends them.

use std::{
    ops::ControlFlow,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll, Waker},
};

use sealward_core::store::{DatumRef, Lookup, RowSink, Scan, ScanEnd, ScanError, SnapshotEnded, snapshot_ended};

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

/// The ids that were passed by a scan.
#[derive(Default)]
struct Ids(Vec<u128>);

impl RowSink for Ids {
    fn take(&mut self, row: &[DatumRef<'_>]) -> Result<ControlFlow<()>, Unavailable> {
        let [DatumRef::Uuid(id), ..] = row else { panic!("{row:?}") };
        self.0.push(id.as_u128());
        Ok(ControlFlow::Continue(()))
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// The ids and the end of a scan for these rows in this order, after the row with these keys.
async fn scanned(
    store: &SqliteStore,
    rows: Condition,
    order: &[(&'static str, Direction)],
    after: Option<&Row>,
) -> Result<(Vec<u128>, ScanEnd), ScanError> {
    let order: Vec<_> = order.iter().map(|(name, direction)| ((*name).into(), *direction)).collect();
    let keys = order.iter().map(|(name, _)| name).cloned().zip(after.into_iter().flatten().cloned());
    let is_later = match (after, order.first()) {
        (None, _) | (_, None) => Condition::EVERYTHING,
        (_, Some((_, Direction::Ascending))) => Condition::later(keys),
        (_, Some((_, Direction::Descending))) => Condition::earlier(keys),
    };
    let rows = rows.and(is_later);
    let select = Select { table: "Entry".into(), columns: vec!["id".into()], rows, order, limit: u32::MAX };
    let sink = Arc::new(Mutex::new(Ids::default()));
    let end = store.scan_into(Scan { select, is_short: false }, Arc::clone(&sink) as Arc<Mutex<dyn RowSink>>).await?;
    let ids = std::mem::take(&mut sink.lock().unwrap().0);
    Ok((ids, end))
}

#[tokio::test]
async fn scan_in_order_is_cut_and_continues_after_the_last_row_that_it_examined() {
    let options = SqliteOptions { page_time: Duration::ZERO, ..SqliteOptions::default() };
    let (_fixture, store) = opened(options).await;
    let named = |number: u128| {
        let row = [("id", Datum::Uuid(Uuid::from_u128(number))), ("name", Datum::Text(format!("{:04}", number / 3)))];
        let data = ("data".into(), Datum::Bytes(number.to_be_bytes()[15..].to_vec()));
        let row = row.into_iter().map(|(name, value)| (name.into(), value)).chain([data]).collect();
        Step::Insert { table: "Entry".into(), row }
    };
    store.commit(Commit::of((1..=2_000).map(named).collect())).await.unwrap();
    let ends_with = |byte: u8| Condition::equal("data", Datum::Bytes(vec![byte]));
    let few = (1..=2_000_u128).filter(|number| number % 256 == 7).collect::<Vec<_>>();
    let many = (1..=2_000).collect::<Vec<_>>();
    let cases = [
        (ends_with(7), few),
        (Condition::EVERYTHING, many),
        (Condition::equal("data", Datum::Bytes(Vec::new())), Vec::new()),
    ];
    for (rows, expected) in cases {
        for direction in [Direction::Ascending, Direction::Descending] {
            for order in [&[("id", direction)][..], &[("name", direction), ("id", direction)]] {
                let (mut found, mut cuts, mut after) = (Vec::new(), 0, None);
                let empty = loop {
                    let (ids, end) = scanned(&store, rows.clone(), order, after.as_ref()).await.unwrap();
                    found.extend(ids.iter().copied());
                    match end {
                        ScanEnd::Complete => break ids.is_empty(),
                        ScanEnd::Cut(keys) => after = Some(keys),
                    }
                    cuts += 1;
                };
                if direction == Direction::Descending {
                    found.reverse();
                }
                assert_eq!(found, expected, "{order:?}");
                // The index of the names doesn't contain the ids, so SQLite sorts the second order.
                assert_eq!(cuts > 1, order.len() == 1, "{cuts} cuts, the last page is empty: {empty}");
            }
        }
    }
}

#[tokio::test]
async fn scan_that_has_to_sort_ends_at_the_deadline_of_all_scans() {
    let options =
        SqliteOptions { page_time: Duration::ZERO, scan_time_max: Duration::ZERO, ..SqliteOptions::default() };
    let (_fixture, store) = opened(options).await;
    fill(&store, 2_000).await;
    let order = [("data", Direction::Ascending), ("id", Direction::Ascending)];
    let refused = scanned(&store, Condition::EVERYTHING, &order, None).await;
    assert!(matches!(refused, Err(ScanError::TooLong { limit_ms: 0 })), "{refused:?}");
    let (ids, end) = scanned(&store, Condition::EVERYTHING, &order[1..], None).await.unwrap();
    assert!(matches!(end, ScanEnd::Cut(_)) && !ids.is_empty() && ids.len() < 2_000);
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
