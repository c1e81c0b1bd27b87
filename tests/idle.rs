//! Organizations without calls: their databases are closed, which callers don't notice.

use std::fs::{self, File};

use sealward_client::{Client, ErrorReason, v1::reencryption::State};
use sealward_server::development::Person;
use tokio::time::timeout;

use crate::{
    crash::set_limits,
    harness::{DEFAULT, Folder, PATIENCE, Server, inside::Inside, mailbox, process::Process, reason, reveal, settled},
};

/// The number of open databases of organizations: those with a write-ahead log, which the last connection removes.
fn open_databases(folder: &Folder) -> usize {
    let entries = fs::read_dir(folder.path().join("organizations")).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".db-wal")).count()
}

/// Waits until at most this number of databases is open, with calls that need no database.
async fn until_open(folder: &Folder, admin: &Client, count: usize) {
    let asking = async {
        while open_databases(folder) > count {
            admin.list_organizations(10, "").await.unwrap();
        }
    };
    timeout(PATIENCE, asking).await.unwrap();
}

#[tokio::test]
async fn organizations_answer_while_their_databases_keep_closing() {
    sqlite_only!("only files are closed when they are idle");
    let server = Server::start_with(|config| config.limits.databases_open_max = 1).await;
    let (admin, connector) = (server.client(Person::Admin), server.client(Person::Connector));
    let mut organizations = vec![DEFAULT.to_owned()];
    for id in ["contoso", "fabrikam", "litware"] {
        organizations.push(admin.create_organization(id).await.unwrap().name);
    }
    let mut mailboxes = Vec::new();
    for round in 0..5 {
        for organization in &organizations {
            let password = format!("{organization} {round}");
            let created = admin.mailboxes().create(organization, mailbox(&password), None).await.unwrap();
            mailboxes.push((created.name, password));
            assert!(admin.is_data_encryption_active(organization).await.unwrap().is_active);
        }
    }
    admin.change_key(DEFAULT, &"another key, number 2".into()).await.unwrap();
    for (name, password) in &mailboxes {
        assert_eq!(reveal(&connector, name).await.unwrap().as_ref(), Some(password));
    }
    assert_eq!(settled(&admin).await.state(), State::Done);
    until_open(server.folder(), &admin, 1).await;

    // The same number opens at a start.
    let server = server.restart(|_| {}, |config| config.limits.databases_open_max = 1).await;
    let (admin, connector) = (server.client(Person::Admin), server.client(Person::Connector));
    until_open(server.folder(), &admin, 1).await;
    for (name, password) in &mailboxes {
        assert_eq!(reveal(&connector, name).await.unwrap().as_ref(), Some(password));
    }
    let folder = server.stop().await;
    for entry in fs::read_dir(folder.path().join("organizations")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "db") {
            let trail = Inside::open(&path).trail();
            let mut last = vec![0; 32];
            for (record, sequence) in trail.into_iter().zip(1..) {
                assert_eq!((record.sequence, record.previous_hash), (sequence, last));
                last = record.hash;
            }
        }
    }
}

#[tokio::test]
async fn an_idle_organization_is_closed_and_its_next_call_opens_it() {
    sqlite_only!("only files are closed when they are idle");
    let server = Server::start_with(|config| config.limits.database_idle_max_seconds = 1).await;
    let (admin, connector) = (server.client(Person::Admin), server.client(Person::Connector));
    let created = admin.mailboxes().create(DEFAULT, mailbox("the password"), None).await.unwrap();
    until_open(server.folder(), &admin, 0).await;
    assert_eq!(reveal(&connector, &created.name).await.unwrap().as_deref(), Some("the password"));
    assert!(admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active);
}

// On other threads, so that the connection closes while this one waits for the process to end.
#[tokio::test(flavor = "multi_thread")]
async fn missing_database_is_unavailable_and_logged_once() {
    sqlite_only!("only files are closed when they are idle");
    let folder = Folder::new();
    set_limits(&folder.path(), &[("databases_open_max", 1)]);
    let log = folder.path().join("log");
    let process = Process::start_logging(&folder.path(), File::create(&log).unwrap());
    let admin = folder.client(&process.address, Person::Admin);
    let created = admin.mailboxes().create(DEFAULT, mailbox("the password"), None).await.unwrap();
    let database = folder.organization_database();
    let other = admin.create_organization("contoso").await.unwrap();
    assert!(admin.is_data_encryption_active(&other.name).await.unwrap().is_active);
    until_open(&folder, &admin, 1).await;

    let away = folder.path().join("away");
    fs::rename(&database, &away).unwrap();
    for _ in 0..3 {
        assert_eq!(reason(admin.mailboxes().get(&created.name).await), ErrorReason::StoreUnavailable);
        assert_eq!(reason(admin.is_data_encryption_active(DEFAULT).await), ErrorReason::StoreUnavailable);
    }
    fs::rename(&away, &database).unwrap();
    admin.mailboxes().get(&created.name).await.unwrap();
    assert!(admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active);

    process.terminate();
    assert!(process.wait().success());
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("idle database not reopened").count(), 1, "{log}");
}
