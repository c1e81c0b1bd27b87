//! Backups of a running server, with the real program: complete, consistent, and sufficient for a start.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sealward_client::mail_v1;
use sealward_server::development::Person;

use crate::{
    harness::{DEFAULT, Folder, Server, mailbox, process::Process, reveal, settled},
    operate::{program, replace, run},
};

/// The exit code, stdout and stderr of a backup of this folder's server.
fn back_up(folder: &Path, to: &Path) -> (i32, String, String) {
    run(program().args(["backup", "--config"]).arg(folder.join("sealward.toml")).arg(to))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A deployment with the databases of a backup, and everything else of `folder`.
fn restored(folder: &Folder, backup: &Path) -> (tempfile::TempDir, Folder) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("dev");
    let copied = std::process::Command::new("cp").arg("-a").arg(folder.path()).arg(&path).status().unwrap();
    assert!(copied.success());
    for name in ["configuration.db", "configuration.db-wal", "configuration.db-shm"] {
        let _absent = fs::remove_file(path.join(name));
    }
    fs::remove_dir_all(path.join("organizations")).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(backup.join(".")).arg(&path).status().unwrap();
    assert!(copied.success());
    let folder = Folder::at(&path);
    (root, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_during_writes_and_re_encryption_starts_a_server() {
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
fn backup_of_a_stopped_server_does_not_change_its_folder() {
    // As a process: it has closed its files when it has ended.
    let folder = Folder::new();
    let server = Process::start(&folder.path());
    server.terminate();
    assert!(server.wait().success());
    let names = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = (names(&folder.path()), names(&folder.path().join("organizations")));
    let backup = folder.path().parent().unwrap().join("backup");
    let (code, _, error) = back_up(&folder.path(), &backup);
    assert_eq!(code, 0, "{error}");
    assert_eq!((names(&folder.path()), names(&folder.path().join("organizations"))), before);
    assert_eq!(names(&backup), ["configuration.db", "organizations"]);
}

#[tokio::test]
async fn failed_backup_is_reported_and_leaves_no_files() {
    let folder = Server::start().await.stop().await;
    let parent = folder.path().parent().unwrap().to_owned();
    fs::write(folder.organization_database(), b"nothing that SQLite has written, and long enough for a header")
        .unwrap();
    let (code, said, error) = back_up(&folder.path(), &parent.join("backup"));
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(error.contains("can't be copied"), "{error}");
    let (code, _, _) = back_up(&folder.path(), &parent.join("nowhere/backup"));
    assert_eq!(code, 1);
    fs::remove_file(folder.organization_database()).unwrap();
    let (code, _, error) = back_up(&folder.path(), &parent.join("backup"));
    assert_eq!(code, 1, "{error}");
    let left: Vec<_> = fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["dev"]);
}
