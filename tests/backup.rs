//! Backups of a running server, with the real program: complete, consistent, and sufficient for a start.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sealward_client::mail_v1;
use sealward_server::development::Person;
use serde_json::Value;

use crate::{
    harness::{
        DEFAULT, Folder, Server,
        inside::{Inside, flipped},
        mailbox,
        process::Process,
        reveal, settled,
    },
    kills::OF_A_CHANGE,
    operate::{findings, program, replace, run, set_mode},
};

/// The exit code, stdout and stderr of a backup of this folder's server.
pub(crate) fn back_up(folder: &Path, to: &Path) -> (i32, String, String) {
    run(program().args(["backup", "--config"]).arg(folder.join("sealward.toml")).arg(to))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The exit code and the report of a verification of this backup.
pub(crate) fn verified(folder: &Path, backup: &Path) -> (i32, Value) {
    let mut command = program();
    command.args(["backup", "--verify", "--json", "--config"]).arg(folder.join("sealward.toml")).arg(backup);
    let (code, said, error) = run(&mut command);
    (code, serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{error}")))
}

pub(crate) fn restore(folder: &Path, backup: &Path) -> (i32, String, String) {
    run(program().args(["restore", "--config"]).arg(folder.join("sealward.toml")).arg(backup))
}

/// A deployment with everything of `folder` except the databases.
fn without_databases(folder: &Folder) -> (tempfile::TempDir, Folder) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("dev");
    fs::create_dir(&path).unwrap();
    for name in names(&folder.path()) {
        // A server in this process may still be closing its databases.
        if !name.starts_with("configuration.db") && name != "organizations" {
            let copied = Command::new("cp").arg("-a").arg(folder.path().join(name)).arg(&path).status().unwrap();
            assert!(copied.success());
        }
    }
    set_mode(&path, 0o700);
    let folder = Folder::at(&path);
    (root, folder)
}

/// A deployment with the databases of a backup, and everything else of `folder`.
fn restored(folder: &Folder, backup: &Path) -> (tempfile::TempDir, Folder) {
    let (root, folder) = without_databases(folder);
    let (code, said, error) = restore(&folder.path(), backup);
    assert_eq!(code, 0, "{said}{error}");
    (root, folder)
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The names of the files that were changed, created or removed.
fn changed<'a>(before: &'a [(String, Vec<u8>)], after: &'a [(String, Vec<u8>)]) -> Vec<&'a str> {
    let only_in = |files: &'a [(String, Vec<u8>)], others: &[(String, Vec<u8>)]| {
        files.iter().filter(|file| !others.contains(file)).map(|(name, _)| name.as_str()).collect::<Vec<_>>()
    };
    let mut names = [only_in(before, after), only_in(after, before)].concat();
    names.sort_unstable();
    names.dedup();
    names
}

/// Every file below a folder with its bytes.
fn content(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for name in names(path) {
        let entry = path.join(&name);
        if entry.is_dir() {
            all.extend(content(&entry).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            all.push((name, fs::read(entry).unwrap()));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_during_writes_and_re_encryption_starts_a_server() {
    sqlite_only!("backups are copies of files");
    const BEFORE: usize = 300;
    let folder = Folder::new();
    let config = folder.development().config_file();
    replace(&config, "# reencryption_pause_ms = 0", "reencryption_pause_ms = 20");
    replace(&config, "# reencryption_batch_cells = 10000", "reencryption_batch_cells = 1");
    let server = Process::start(&folder.path());
    let (admin, writer) =
        (folder.client(&server.address, Person::Admin), folder.client(&server.address, Person::Writer));
    admin.create_organization("contoso").await.unwrap();
    let mut names = Vec::new();
    for number in 0..BEFORE {
        let password = format!("password {number}");
        names.push((writer.mailboxes().create(DEFAULT, mailbox(&password), None).await.unwrap().name, password));
    }
    // Writes continue without a pause, and so does a change of the key.
    let is_over = Arc::new(AtomicBool::new(false));
    let writing = {
        let (is_over, writer, name) = (Arc::clone(&is_over), writer.clone(), names[0].0.clone());
        tokio::spawn(async move {
            let mut writes = 0;
            while !is_over.load(Ordering::Relaxed) {
                let update = mail_v1::Mailbox { name: name.clone(), ..mailbox("password 0") };
                writer.mailboxes().update(update, ["password"]).await.unwrap();
                writes += 1;
            }
            writes
        })
    };
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    let backup = folder.path().parent().unwrap().join("backup");
    let (path, to) = (folder.path(), backup.clone());
    let (code, said, error) = tokio::task::spawn_blocking(move || back_up(&path, &to)).await.unwrap();
    assert_eq!(code, 0, "{error}");
    assert!(said.contains("organizations/contoso, organizations/default"), "{said}");
    is_over.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0);

    assert_eq!((mode(&backup), mode(&backup.join("organizations"))), (0o700, 0o700));
    let mut files: Vec<_> =
        fs::read_dir(backup.join("organizations")).unwrap().map(|file| file.unwrap().path()).collect();
    files.push(backup.join("configuration.db"));
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| mode(file) == 0o600));

    // Nothing is overwritten.
    let (code, _, error) = back_up(&folder.path(), &backup);
    assert_eq!(code, 1);
    assert!(error.contains("exists"), "{error}");
    server.kill();

    // The copies belong together: the change of the key continues from their state, and every password opens.
    let (_root, restored) = restored(&folder, &backup);
    let server = Server::start_in(restored, |_| {}).await;
    assert_eq!(settled(&server.client(Person::Admin)).await.cells_unreadable, 0);
    let connector = server.client(Person::Connector);
    for (name, password) in &names {
        assert_eq!(reveal(&connector, name).await.unwrap().as_ref(), Some(password), "{name}");
    }
    assert!(server.client(Person::Admin).get_organization("organizations/contoso").await.is_ok());
}

#[test]
fn backup_of_a_stopped_server_only_leaves_a_note_in_its_folder() {
    sqlite_only!("backups are copies of files");
    // As a process: it has closed its files when it has ended.
    let folder = Folder::new();
    let server = Process::start(&folder.path());
    server.terminate();
    assert!(server.wait().success());
    let before = content(&folder.path());
    let backup = folder.path().parent().unwrap().join("backup");
    let (code, _, error) = back_up(&folder.path(), &backup);
    assert_eq!(code, 0, "{error}");
    let (notes, others): (Vec<_>, Vec<_>) =
        content(&folder.path()).into_iter().partition(|(name, _)| name.starts_with("to-record/"));
    assert_eq!(changed(&before, &others), [""; 0]);
    assert_eq!(notes.len(), 1);
    assert_eq!(names(&backup), ["configuration.db", "organizations"]);
}

/// The actions of commands in the deployment's trail.
fn recorded(folder: &Folder) -> Vec<(String, Option<String>)> {
    let trail = Inside::configuration(folder).trail().into_iter();
    let of_commands = trail.filter(|record| ["back-up", "restore-backup"].contains(&record.action.as_str()));
    of_commands.map(|record| (record.action, record.details)).collect()
}

#[tokio::test]
async fn backup_and_restore_are_recorded_in_the_trail() {
    sqlite_only!("backups are copies of files");
    let server = Server::start().await;
    let folder = server.folder().path();
    let backup = folder.parent().unwrap().join("backup");
    let (code, _, error) = back_up(&folder, &backup);
    assert_eq!(code, 0, "{error}");
    assert_eq!(names(&folder.join("to-record")).len(), 1);
    let server = server.restart(|_| {}, |_| {}).await;
    let user = fs::metadata(&folder).unwrap().uid();
    let details = Some(format!("user {user}, organizations 1"));
    until(|| names(&folder.join("to-record")).is_empty()).await;
    assert_eq!(recorded(server.folder()), [("back-up".to_owned(), details.clone())]);
    let verified = server.client(Person::Admin).verify_audit_trail("").await.unwrap();
    assert_eq!(verified.findings, []);

    let folder = server.stop().await;
    let (_root, restored) = restored(&folder, &backup);
    let server = Server::start_in(restored, |_| {}).await;
    let folder = server.folder().path();
    until(|| names(&folder.join("to-record")).is_empty()).await;
    assert_eq!(recorded(server.folder()), [("restore-backup".to_owned(), details)]);
}

/// Waits until the server's first round, which begins at its start, has done its work.
async fn until(is_done: impl Fn() -> bool) {
    while !is_done() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn set_opens_with_its_own_configuration_database_at_every_step_of_a_key_change() {
    sqlite_only!("backups are copies of files");
    for point in OF_A_CHANGE {
        let folder = Folder::new();
        let server = Process::start(&folder.path());
        let writer = folder.client(&server.address, Person::Writer);
        let name = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
        server.kill();
        let server = Process::start_failing(&folder.path(), point.name()).unwrap();
        // The server ends before or after the answer.
        let _answer =
            folder.client(&server.address, Person::Admin).change_key(DEFAULT, &"a new key, number 2".into()).await;
        server.killed().await;

        let backup = folder.path().parent().unwrap().join("backup");
        let (code, _, error) = back_up(&folder.path(), &backup);
        assert_eq!(code, 0, "{point:?}: {error}");
        // Backup and data folder are apart from here on.
        let (_root, restored) = restored(&folder, &backup);
        drop(folder);
        let server = Process::start(&restored.path());
        let admin = restored.client(&server.address, Person::Admin);
        assert_eq!(settled(&admin).await.cells_unreadable, 0, "{point:?}");
        assert!(admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active, "{point:?}");
        let connector = restored.client(&server.address, Person::Connector);
        assert_eq!(reveal(&connector, &name).await.unwrap().as_deref(), Some("hunter2"), "{point:?}");
        server.kill();
    }
}

#[tokio::test]
async fn verification_finds_what_is_wrong_and_changes_nothing() {
    sqlite_only!("backups are copies of files");
    let server = Server::start().await;
    let name = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
    let folder = server.stop().await;
    let backup = folder.path().parent().unwrap().join("backup");
    let (code, _, error) = back_up(&folder.path(), &backup);
    assert_eq!(code, 0, "{error}");
    let whole = content(&backup);
    let (code, report) = verified(&folder.path(), &backup);
    assert_eq!(code, 0, "{report:#}");
    // A development server keeps its root key in the data folder.
    assert!(findings(&report).iter().all(|(_, subject, _)| subject == "root_key.sources[0]"), "{report:#}");
    let facts = report["facts"].to_string();
    assert!(facts.contains("cells opened: 1, unreadable: 0") && facts.contains("audit records verified"), "{facts}");
    assert_eq!(changed(&whole, &content(&backup)), [""; 0]);

    let database = backup.join("organizations").join(folder.organization_database().file_name().unwrap());
    let damages: [(&str, &dyn Fn()); 7] = [
        ("1 of 1 cell can't be opened", &|| {
            let inside = Inside::open(&database);
            let cell = inside.password_cell(&name);
            inside.set_password_cell(&name, &flipped(&cell));
        }),
        ("audit trail has", &|| {
            Inside::open(&database).execute("UPDATE sealward_audit SET subject = 'x' WHERE sequence = 2")
        }),
        ("key ring is missing or damaged", &|| Inside::open(&database).execute("DELETE FROM sealward_key_ring")),
        ("is a link", &|| {
            fs::rename(&database, folder.path().join("elsewhere")).unwrap();
            std::os::unix::fs::symlink(folder.path().join("elsewhere"), &database).unwrap();
        }),
        ("shows that a program wrote", &|| fs::write(database.with_extension("db-wal"), "").unwrap()),
        ("is missing", &|| fs::remove_file(&database).unwrap()),
        ("configuration.db is missing", &|| fs::remove_file(backup.join("configuration.db")).unwrap()),
    ];
    for (expected, damage) in damages {
        damage();
        let damaged = content(&backup);
        let (code, report) = verified(&folder.path(), &backup);
        assert_eq!(code, 1, "{expected}: {report:#}");
        let found = report["findings"].to_string();
        assert!(found.contains(expected), "{expected}: {report:#}");
        // The remedy is another backup, not this one.
        assert!(found.contains("use a") && !found.contains("from a backup"), "{expected}: {report:#}");
        assert!(!found.contains(" 1 cells") && !found.contains(" 1 faults"), "{report:#}");
        assert_eq!(changed(&damaged, &content(&backup)), [""; 0], "{expected}");
        // An unsound backup isn't restored.
        let (_root, empty) = without_databases(&folder);
        let (code, said, _) = restore(&empty.path(), &backup);
        assert_eq!(code, 1);
        assert!(said.contains("nothing restored"), "{said}");
        assert!(!empty.path().join("configuration.db").exists());
        for (name, bytes) in &whole {
            let _link = fs::remove_file(backup.join(name));
            fs::write(backup.join(name), bytes).unwrap();
            set_mode(&backup.join(name), 0o600);
        }
        let _absent = fs::remove_file(database.with_extension("db-wal"));
    }
    assert_eq!(verified(&folder.path(), &backup).0, 0);
}

#[tokio::test]
async fn backup_without_a_root_key_is_neither_sound_nor_restored() {
    sqlite_only!("backups are copies of files");
    let server = Server::start().await;
    let name = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
    let folder = server.stop().await;
    let backup = folder.path().parent().unwrap().join("backup");
    let (code, _, error) = back_up(&folder.path(), &backup);
    assert_eq!(code, 0, "{error}");
    // What no verification without the root key can find.
    let database = backup.join("organizations").join(folder.organization_database().file_name().unwrap());
    let inside = Inside::open(&database);
    inside.set_password_cell(&name, &flipped(&inside.password_cell(&name)));
    drop(inside);

    let config = folder.development().config_file();
    replace(&config, "type = \"file\"\npath = \"root.key\"", "type = \"credential\"\nname = \"root.key\"");
    let (code, report) = verified(&folder.path(), &backup);
    assert_eq!(code, 1, "{report:#}");
    let found = report["findings"].to_string();
    assert!(found.contains("no root key, so the cells weren't opened"), "{found}");
    assert!(found.contains("CREDENTIALS_DIRECTORY=FOLDER"), "{found}");
    assert_eq!(report["organizations"][0]["is_key_present"], Value::Null);
    let (_root, empty) = without_databases(&folder);
    let (code, said, _) = restore(&empty.path(), &backup);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("nothing restored"), "{said}");

    // With the credential, the damage is found.
    let mut command = program();
    command
        .env("CREDENTIALS_DIRECTORY", folder.path())
        .args(["backup", "--verify", "--config"])
        .arg(&config)
        .arg(&backup);
    let (code, said, _) = run(&mut command);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("1 of 1 cell can't be opened") && !said.contains("no root key"), "{said}");

    // A root key that isn't listed, and one whose file is missing.
    replace(&config, "type = \"credential\"\nname = \"root.key\"", "type = \"file\"");
    let (code, report) = verified(&folder.path(), &backup);
    assert_eq!(code, 1, "{report:#}");
    assert!(report["findings"].to_string().contains("root_key.sources[0].path"), "{report:#}");
    replace(&config, "type = \"file\"", "type = \"file\"\npath = \"none.key\"");
    let (code, report) = verified(&folder.path(), &backup);
    assert_eq!(code, 1, "{report:#}");
    assert!(report["findings"].to_string().contains("the cells weren't opened"), "{report:#}");
}

#[test]
fn restore_replaces_nothing_and_excludes_a_running_server() {
    sqlite_only!("backups are copies of files");
    // As a process: it has closed its files when it has ended.
    let folder = Folder::new();
    let server = Process::start(&folder.path());
    let backup = folder.path().parent().unwrap().join("backup");
    let (code, _, error) = back_up(&folder.path(), &backup);
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = restore(&folder.path(), &backup);
    assert_eq!(code, 1);
    assert!(error.contains("another server is running"), "{error}");
    server.terminate();
    assert!(server.wait().success());
    let before = content(&folder.path());
    let (code, _, error) = restore(&folder.path(), &backup);
    assert_eq!(code, 1);
    assert!(error.contains("move configuration.db, organizations out of it"), "{error}");
    assert_eq!(changed(&before, &content(&folder.path())), [""; 0]);

    // A log without its database would be read into the restored one.
    // A folder isn't created elsewhere.
    let (_root, linked) = without_databases(&folder);
    let config = linked.development().config_file();
    let link = linked.path().join("link");
    std::os::unix::fs::symlink(linked.path().join("nothing"), &link).unwrap();
    let mut command = program();
    command.env("SEALWARD_DATA_DIR", &link).args(["restore", "--config"]).arg(&config).arg(&backup);
    let (code, _, error) = run(&mut command);
    assert_eq!(code, 1);
    assert!(error.contains("is a link to a folder that doesn't exist"), "{error}");

    let (_root, empty) = without_databases(&folder);
    let stale = empty.path().join("configuration.db-wal");
    fs::write(&stale, "").unwrap();
    let (code, _, error) = restore(&empty.path(), &backup);
    assert_eq!(code, 1);
    assert!(error.contains("move configuration.db-wal out of it"), "{error}");
    fs::remove_file(stale).unwrap();
    fs::create_dir(empty.path().join("organizations")).unwrap();
    let (code, said, error) = restore(&empty.path(), &backup);
    assert_eq!(code, 0, "{error}");
    assert!(said.contains("configuration.db and 1 organization;"), "{said}");
    assert_eq!(
        (mode(&empty.path().join("organizations")), mode(&empty.path().join("configuration.db"))),
        (0o700, 0o600)
    );
    assert!(!names(&empty.path()).iter().any(|name| name.contains("restoring")));
}

#[tokio::test]
async fn failed_backup_is_reported_and_leaves_no_files() {
    sqlite_only!("backups are copies of files");
    let folder = Server::start().await.stop().await;
    let parent = folder.path().parent().unwrap().to_owned();
    fs::write(folder.organization_database(), b"nothing that SQLite has written, and long enough for a header")
        .unwrap();
    let (code, said, error) = back_up(&folder.path(), &parent.join("backup"));
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(error.contains("can't be copied"), "{error}");
    for inside in ["backup", "organizations/backup"] {
        let before = content(&folder.path());
        let (code, _, error) = back_up(&folder.path(), &folder.path().join(inside));
        assert_eq!(code, 1, "{inside}");
        assert!(error.contains("is in the data folder"), "{error}");
        assert_eq!(changed(&before, &content(&folder.path())), [""; 0]);
    }
    let link = parent.join("link");
    std::os::unix::fs::symlink(parent.join("nothing"), &link).unwrap();
    let (_, _, error) = back_up(&folder.path(), &link);
    assert!(error.contains("exists and is not overwritten"), "{error}");
    fs::remove_file(link).unwrap();
    let (code, _, _) = back_up(&folder.path(), &parent.join("nowhere/backup"));
    assert_eq!(code, 1);
    fs::remove_file(folder.organization_database()).unwrap();
    let (code, _, error) = back_up(&folder.path(), &parent.join("backup"));
    assert_eq!(code, 1, "{error}");
    assert_eq!(names(&parent), ["dev"]);
    assert!(!folder.path().join("to-record").exists());
}
