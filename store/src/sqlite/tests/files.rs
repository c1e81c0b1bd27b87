//! Names, permissions and content of files, and the options of the SQLite that writes them.

use super::*;

#[tokio::test]
async fn database_appears_complete_and_private() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    store.commit(Commit::of(vec![insert(1, b"x")])).await.unwrap();
    assert_eq!(fixture.names(), [format!("{ID}.db"), format!("{ID}.db-shm"), format!("{ID}.db-wal")]);
    for name in fixture.names() {
        assert_eq!(fs::metadata(fixture.path(&name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    for folder in [fixture.folder.configuration().parent().unwrap().to_owned(), fixture.folder.organizations()] {
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
    fixture.close().await;
    assert_eq!(fixture.names(), [format!("{ID}.db")]);
}

#[tokio::test]
async fn existing_database_is_not_created_again() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    store.commit(Commit::of(vec![insert(1, b"x")])).await.unwrap();
    assert!(matches!(fixture.databases.create(ID, first()).await, Err(CommitError::Refused { step: 0 })));
    assert_eq!(count(&*store, "Entry").await, 1);
}

#[tokio::test]
async fn a_database_whose_content_is_refused_does_not_appear() {
    let fixture = Fixture::new();
    let in_vain = Commit::of(vec![Step::CreateTable(table()), insert(1, b""), insert(1, b"")]);
    assert!(matches!(fixture.databases.create(ID, in_vain).await, Err(CommitError::Refused { step: 2 })));
    assert_eq!(fixture.names(), Vec::<String>::new());
    assert!(matches!(fixture.databases.open(ID).await, Err(OpenError::Missing)));
}

#[tokio::test]
async fn leftover_files_do_not_enter_a_new_database() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    store.commit(Commit::of(vec![insert(1, b"x")])).await.unwrap();
    let log = fs::read(suffixed(&fixture.database(), "-wal")).unwrap();
    fixture.close().await;
    fs::remove_file(fixture.database()).unwrap();
    fs::write(suffixed(&fixture.database(), "-wal"), log).unwrap();
    fs::write(fixture.path(&format!(".{ID}.creating")), b"half made").unwrap();
    let store = fixture.created().await;
    assert_eq!(count(&*store, "Entry").await, 0);
    assert!(!fixture.names().iter().any(|name| name.starts_with('.')));
}

#[tokio::test]
async fn incomplete_database_is_not_listed_and_is_removed_at_start() {
    let fixture = Fixture::new();
    fixture.created().await;
    fixture.close().await;
    let other = format!("{}", OrganizationId::from_bytes([8; 16]));
    let upper = format!("{}.db", OrganizationId::from_bytes([0xAB; 16])).to_uppercase().replace(".DB", ".db");
    let half = [format!(".{other}.creating"), format!(".{other}.creating-journal")];
    for name in [&half[0], &half[1], &upper, "notes.db", &format!("{other}.lock"), &format!("{other}.db-wal")] {
        fs::write(fixture.path(name), b"").unwrap();
    }
    assert_eq!(fixture.databases.list().await.unwrap(), [ID]);
    let again = open_databases(&fixture.folder);
    assert_eq!(again.list().await.unwrap(), [ID]);
    assert!(!fixture.names().iter().any(|name| half.contains(name)));
    assert!(fixture.names().contains(&upper));
}

#[tokio::test]
async fn foreign_file_is_not_opened() {
    let fixture = Fixture::new();
    rusqlite::Connection::open(fixture.database()).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(fixture.databases.open(ID).await, Err(OpenError::Unavailable(_))));
    fs::write(fixture.database(), b"no database at all, but long enough to look for a header").unwrap();
    assert!(matches!(fixture.databases.open(ID).await, Err(OpenError::Unavailable(_))));
}

#[tokio::test]
async fn a_database_of_a_later_format_is_not_opened() {
    let fixture = Fixture::new();
    fixture.databases.create(ID, first()).await.unwrap();
    rusqlite::Connection::open(fixture.database()).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let Err(OpenError::Unavailable(cause)) = fixture.databases.open(ID).await else { panic!("opened") };
    assert!(cause.to_string().contains("store format 2"), "{cause}");
}

#[tokio::test]
async fn configuration_database_is_created_once_and_then_opened() {
    let fixture = Fixture::new();
    let open = |first: fn() -> Commit| {
        SqliteStore::open_or_create(
            fixture.folder.configuration(),
            WRITER,
            SqliteOptions::default(),
            Witness::none(),
            first,
        )
    };
    let store = open(first).await.unwrap();
    store.commit(Commit::of(vec![insert(1, b"x")])).await.unwrap();
    let mut ended = store.ended();
    drop(store);
    ended.wait().await;
    let store = open(|| panic!("the database exists")).await.unwrap();
    assert_eq!(count(&*store, "Entry").await, 1);
}

#[tokio::test]
async fn scrub_removes_deleted_values_from_the_files() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    let canary = b"a wrapped key that has to be destroyed".as_slice();
    // In a short row, in a row with overflow pages, and as the old value of a row that remains.
    let large: Vec<u8> = canary.iter().copied().cycle().take(20_000).collect();
    store
        .commit(Commit::of(vec![insert(1, canary), insert(2, &large), insert(3, canary), insert(4, b"stays")]))
        .await
        .unwrap();
    let found = || {
        let files = ["", "-wal"].map(|suffix| fs::read(suffixed(&fixture.database(), suffix)).unwrap());
        files.iter().any(|file| file.windows(canary.len()).any(|window| window == canary))
    };
    assert!(found());
    let overwrite = Step::Update {
        table: "Entry".into(),
        rows: Condition::equal("id", Datum::Uuid(Uuid::from_u128(3))),
        set: vec![Assignment::Set("data".into(), Datum::Bytes(b"new".to_vec()))],
        expect: Expect::One,
    };
    let below = Condition::Compare {
        column: "id".into(),
        comparison: Comparison::Less,
        value: Datum::Uuid(Uuid::from_u128(3)),
    };
    store.commit(Commit::of(vec![delete(below), overwrite])).await.unwrap();
    assert!(found());
    store.scrub().await.unwrap();
    assert!(!found());
    assert_eq!(fs::metadata(suffixed(&fixture.database(), "-wal")).unwrap().len(), 0);
    assert_eq!(count(&*store, "Entry").await, 2);
}

/// Inserts move rows between pages. No old copies may remain.
#[tokio::test]
async fn scrub_removes_deleted_values_from_former_pages() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    let mut wide = table();
    wide.name = "Wide".into();
    wide.key.push("name".into());
    wide.indexes.clear();
    // Keys are far apart and unordered. The value contains the row's number.
    let key = |number: u32| Datum::Uuid(Uuid::from_u128(u128::from(number.wrapping_mul(0x9E37_79B9)) << 96));
    let canary = |number: u32| format!("canary {number:06}, and what makes it longer").into_bytes();
    let row = |number| {
        let row = vec![
            ("id".into(), key(number)),
            ("name".into(), Datum::Text("n".to_owned())),
            ("data".into(), Datum::Bytes(canary(number))),
        ];
        Step::Insert { table: "Wide".into(), row }
    };
    store.commit(Commit::of(vec![Step::CreateTable(wide)])).await.unwrap();
    for start in (1..1_000).step_by(50) {
        store.commit(Commit::of((start..start + 50).map(row).collect())).await.unwrap();
    }
    let gone = |number: &u32| number.is_multiple_of(3);
    let delete =
        |number| Step::Delete { table: "Wide".into(), rows: Condition::equal("id", key(number)), expect: Expect::One };
    store.commit(Commit::of((1..=1_000).filter(gone).map(delete).collect())).await.unwrap();
    store.scrub().await.unwrap();
    let file = fs::read(fixture.database()).unwrap();
    let found = |number: u32| {
        let canary = canary(number);
        file.windows(canary.len()).any(|window| window == canary)
    };
    assert!(!(1..=1_000).filter(gone).any(found));
    assert!(found(1) && found(1_000));
}

#[tokio::test]
async fn viewing_an_unopened_database_leaves_no_trace() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    store.commit(Commit::of(vec![insert(1, b"x")])).await.unwrap();
    drop(store);
    fixture.close().await;
    let before = fs::read(fixture.database()).unwrap();
    let view = SqliteView::open(&fixture.database(), SqliteOptions::default()).unwrap();
    assert_eq!(count(&view, "Entry").await, 1);
    drop(view);
    assert_eq!(fixture.names(), [format!("{ID}.db")]);
    assert_eq!(fs::read(fixture.database()).unwrap(), before);
}

#[tokio::test]
async fn viewing_an_open_database_shows_commits_and_blocks_no_writer() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    store.commit(Commit::of(vec![insert(1, b"x")])).await.unwrap();
    let view = SqliteView::open(&fixture.database(), SqliteOptions::default()).unwrap();
    assert_eq!(count(&view, "Entry").await, 1);
    store.commit(Commit::of(vec![insert(2, b"y")])).await.unwrap();
    assert_eq!(count(&view, "Entry").await, 2);
    drop(view);
    store.commit(Commit::of(vec![insert(3, b"z")])).await.unwrap();
    assert_eq!(count(&*store, "Entry").await, 3);
}

#[tokio::test]
async fn viewing_a_foreign_file_is_an_error() {
    let fixture = Fixture::new();
    let path = fixture.path("a b%c?d#.db");
    assert!(matches!(SqliteView::open(&path, SqliteOptions::default()), Err(OpenError::Missing)));
    fs::write(&path, b"something else, and long enough for a header to be looked for").unwrap();
    assert!(matches!(SqliteView::open(&path, SqliteOptions::default()), Err(OpenError::Unavailable(_))));
    SqliteStore::create(&fixture.database(), WRITER, SqliteOptions::default(), first()).unwrap();
    fs::rename(fixture.database(), &path).unwrap();
    assert_eq!(count(&SqliteView::open(&path, SqliteOptions::default()).unwrap(), "Entry").await, 0);
}

/// The flags are in `.cargo/config.toml`. A build from elsewhere doesn't read it.
#[test]
fn sqlite_is_compiled_with_the_options_of_the_workspace() {
    let sqlite = rusqlite::Connection::open_in_memory().unwrap();
    let mut statement = sqlite.prepare("PRAGMA compile_options").unwrap();
    let options: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    for option in ["DEFAULT_MEMSTATUS=0", "DISABLE_PAGECACHE_OVERFLOW_STATS", "LIKE_DOESNT_MATCH_BLOBS"] {
        assert!(options.iter().any(|other| other == option), "{option} is missing: {options:?}");
    }
    assert!(!options.iter().any(|option| option == "ENABLE_API_ARMOR"), "{options:?}");
}
