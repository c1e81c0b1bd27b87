//! Locks between processes and connections.

use super::*;

#[tokio::test]
async fn organization_is_opened_once() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    let again = fixture.databases.open(ID).await.unwrap();
    assert!(Arc::ptr_eq(&store, &again));
}

#[tokio::test]
async fn lock_has_one_owner_and_is_released() {
    let fixture = Fixture::new();
    let lock = fixture.databases.try_lock(ID).await.unwrap();
    assert!(lock.is_some());
    assert!(fixture.databases.try_lock(ID).await.unwrap().is_none());
    assert!(fixture.databases.try_lock(OrganizationId::from_bytes([8; 16])).await.unwrap().is_some());
    drop(lock);
    assert!(fixture.databases.try_lock(ID).await.unwrap().is_some());
}

#[test]
fn a_second_server_on_a_folder_is_refused() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("data");
    let folder = DataFolder::open(&path).unwrap();
    let error = DataFolder::open(&path).unwrap_err();
    assert!(matches!(error, DataFolderError::InUse { .. }));
    assert!(error.to_string().starts_with("another server is running on the data folder /"), "{error}");
    drop(folder);
    DataFolder::open(&path).unwrap();
}

#[test]
fn a_folder_that_others_can_enter_is_refused() {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("data");
    drop(DataFolder::open(&path).unwrap());
    for mode in [0o750, 0o701, 0o755] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert!(matches!(DataFolder::open(&path), Err(DataFolderError::OpenToOthers { .. })));
    }
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    DataFolder::open(&path).unwrap();
    fs::write(temporary.path().join("file"), b"").unwrap();
    assert!(matches!(DataFolder::open(temporary.path().join("file")), Err(DataFolderError::NotAFolder { .. })));
}

#[tokio::test]
async fn check_sees_a_change_by_another_process() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    let exists = || Step::Require { table: "Entry".into(), rows: Condition::EVERYTHING };
    let is_refused =
        async || matches!(store.commit(Commit::of(vec![exists()])).await, Err(CommitError::Refused { .. }));
    assert!(is_refused().await && is_refused().await);
    let shell = rusqlite::Connection::open(fixture.database()).unwrap();
    shell.execute("INSERT INTO Entry (id) VALUES (zeroblob(16))", []).unwrap();
    assert!(!is_refused().await && !is_refused().await);
    shell.execute("DELETE FROM Entry", []).unwrap();
    assert!(is_refused().await);
}

/// The writer remembers that a table is empty, and then skips deletes from it.
#[tokio::test]
async fn delete_finds_rows_of_a_table_that_was_empty() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    let clear = || delete(Condition::EVERYTHING);
    let commit = async |steps| store.commit(Commit::of(steps)).await;
    commit(vec![clear()]).await.unwrap();
    commit(vec![clear(), insert(1, b"a"), clear(), clear()]).await.unwrap();
    assert_eq!(count(&*store, "Entry").await, 0);
    commit(vec![clear(), insert(1, b"a")]).await.unwrap();
    commit(vec![clear()]).await.unwrap();
    assert_eq!(count(&*store, "Entry").await, 0);
    // The refused commit empties the table, and is undone.
    commit(vec![insert(1, b"a")]).await.unwrap();
    let never = Step::Require { table: "Entry".into(), rows: Condition::EVERYTHING };
    assert!(matches!(commit(vec![clear(), clear(), never]).await, Err(CommitError::Refused { step: 2 })));
    commit(vec![clear()]).await.unwrap();
    assert_eq!(count(&*store, "Entry").await, 0);
    let shell = rusqlite::Connection::open(fixture.database()).unwrap();
    shell.execute("INSERT INTO Entry (id) VALUES (zeroblob(16))", []).unwrap();
    commit(vec![clear()]).await.unwrap();
    assert_eq!(count(&*store, "Entry").await, 0);
}

/// The writer keeps the statements of a few lists of columns.
#[tokio::test]
async fn rows_with_any_columns_are_inserted() {
    let fixture = Fixture::new();
    let store = fixture.created().await;
    let add = |name: String| Step::AddColumn {
        table: "Entry".into(),
        column: Column { name: name.into(), kind: ColumnType::Integer, nullable: true },
    };
    let row = |id: u128, name: String| {
        let row = vec![("id".into(), Datum::Uuid(Uuid::from_u128(id))), (name.into(), Datum::Integer(7))];
        Step::Insert { table: "Entry".into(), row }
    };
    for column in 0..20 {
        let name = format!("number_{column}");
        let missing = store.commit(Commit::of(vec![row(column, name.clone())])).await;
        assert!(matches!(missing, Err(CommitError::Unavailable(_))));
        store.commit(Commit::of(vec![add(name.clone()), row(column, name.clone())])).await.unwrap();
        store.commit(Commit::of(vec![row(100 + column, name)])).await.unwrap();
    }
    store.commit(Commit::of(vec![row(200, "number_0".to_owned())])).await.unwrap();
    assert_eq!(count(&*store, "Entry").await, 41);
}
