//! The effect of failed commits.

use super::*;

/// A writer whose commits fail on demand, with or without effect.
struct Faulty {
    writer: SqliteWriter,
    fails: Arc<AtomicBool>,
    takes_effect: bool,
}

impl Backend for Faulty {
    fn begin(&mut self) -> Result<(), Cause> {
        self.writer.begin()
    }

    fn apply(&mut self, steps: &[Step], audit_rows: &[Step], undo: Undo) -> Result<(), Failure> {
        self.writer.apply(steps, audit_rows, undo)
    }

    fn roll_back(&mut self) -> Result<(), Cause> {
        self.writer.roll_back()
    }

    fn commit(&mut self) -> Result<(), Cause> {
        if !self.fails.swap(false, Ordering::SeqCst) {
            return self.writer.commit();
        }
        if self.takes_effect {
            self.writer.commit()?;
        }
        Err("the disk is gone".into())
    }

    fn reopen(&mut self) -> Result<(), Cause> {
        self.writer.reopen()
    }

    fn chain_head(&mut self, writer: Uuid) -> Result<ChainHead, Cause> {
        self.writer.chain_head(writer)
    }

    fn scrub(&mut self) -> Result<(), Cause> {
        self.writer.scrub()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn read_after_an_unknown_outcome_shows_it_and_the_chain_continues() {
    for takes_effect in [false, true] {
        let fixture = Fixture::new();
        fixture.databases.create(ID, first()).await.unwrap();
        let fails = Arc::new(AtomicBool::new(false));
        let options = SqliteOptions::default();
        let writer = SqliteWriter::open(&fixture.database(), options, Arc::default()).unwrap();
        let committer = Committer::start(
            "test".to_owned(),
            Faulty { writer, fails: Arc::clone(&fails), takes_effect },
            WRITER,
            Witness::none(),
        )
        .unwrap();
        let store = SqliteStore::of(&fixture.database(), options, Arc::default(), committer);
        store.commit(Commit::of(vec![insert(1, b""), reveal()])).await.unwrap();
        assert_eq!(count(&store, "Entry").await, 1);
        fails.store(true, Ordering::SeqCst);
        let outcome = store.commit(Commit::of(vec![insert(2, b""), reveal()])).await;
        assert!(matches!(outcome, Err(CommitError::Unknown(_))));
        let now = if takes_effect { 2 } else { 1 };
        assert_eq!((count(&store, "Entry").await, count(&store, AuditRecord::TABLE).await), (now, now));
        store.commit(Commit::of(vec![insert(3, b""), reveal()])).await.unwrap();
        assert_eq!(count(&store, AuditRecord::TABLE).await, now + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_sync_keeps_or_loses_the_commit_as_injected() {
    for (failure, rows) in [(SyncFailure::Kept, 1), (SyncFailure::Lost, 0)] {
        let sync_failure: fn() -> Option<SyncFailure> = match failure {
            SyncFailure::Kept => || Some(SyncFailure::Kept),
            SyncFailure::Lost => || Some(SyncFailure::Lost),
        };
        let fixture = Fixture::new();
        fixture.databases.create(ID, first()).await.unwrap();
        let options = SqliteOptions { sync_failure, ..SqliteOptions::default() };
        let store = SqliteStore::open(&fixture.database(), WRITER, options, Witness::none()).unwrap();
        let outcome = store.commit(Commit::of(vec![insert(1, b"")])).await;
        assert!(matches!(outcome, Err(CommitError::Unknown(_))));
        assert_eq!(count(&store, "Entry").await, rows);
    }
}

#[tokio::test]
async fn full_disk_makes_only_the_commit_unavailable() {
    let fixture = Fixture::new();
    fixture.databases.create(ID, first()).await.unwrap();
    let options = SqliteOptions::default();
    let mut writer = SqliteWriter::open(&fixture.database(), options, Arc::default()).unwrap();
    writer.limit_pages(50);
    let committer = Committer::start("test".to_owned(), writer, WRITER, Witness::none()).unwrap();
    let store = SqliteStore::of(&fixture.database(), options, Arc::default(), committer);
    store.commit(Commit::of(vec![insert(1, b"small"), reveal()])).await.unwrap();
    let outcome = store.commit(Commit::of(vec![reveal(), insert(2, &[7; 1_000_000])])).await;
    assert!(matches!(outcome, Err(CommitError::Unavailable(_))));
    assert_eq!((count(&store, "Entry").await, count(&store, AuditRecord::TABLE).await), (1, 1));
    store.commit(Commit::of(vec![insert(2, b"small"), reveal()])).await.unwrap();
    assert_eq!((count(&store, "Entry").await, count(&store, AuditRecord::TABLE).await), (2, 2));
}

#[tokio::test]
async fn lock_of_another_process_makes_only_the_commit_unavailable() {
    let fixture = Fixture::new();
    let options = SqliteOptions { busy_timeout: Duration::ZERO, ..SqliteOptions::default() };
    fixture.databases.create(ID, first()).await.unwrap();
    let store = SqliteStore::open(&fixture.database(), WRITER, options, Witness::none()).unwrap();
    let shell = rusqlite::Connection::open(fixture.database()).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let outcome = store.commit(Commit::of(vec![insert(1, b"")])).await;
    assert!(matches!(outcome, Err(CommitError::Unavailable(_))));
    assert_eq!(count(&store, "Entry").await, 0);
    shell.execute_batch("COMMIT").unwrap();
    drop(shell);
    store.commit(Commit::of(vec![insert(1, b"")])).await.unwrap();
}

#[tokio::test]
async fn stored_value_of_the_wrong_type_is_not_read() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    let shell = rusqlite::Connection::open(fixture.database()).unwrap();
    shell.execute_batch("INSERT INTO Entry (id) VALUES (x'0102')").unwrap();
    let read = Select {
        table: "Entry".into(),
        columns: vec!["id".into()],
        rows: Condition::EVERYTHING,
        order: Vec::new(),
        limit: 1,
    };
    assert!(store.select(read).await.is_err());
}
