//! A server whose data is in PostgreSQL.

use std::fs;

use sealward_client::{ErrorReason, ExposeSecret, SecretString};
use sealward_server::development::Person;

use crate::harness::{DEFAULT, Folder, Server, mailbox, postgresql, reason, reveal, settled};

/// A server on a new database.
async fn started() -> Server {
    let folder = Folder::new();
    let storage = Some(postgresql::storage(&folder.path()));
    Server::start_in(folder, |config| config.storage = storage).await
}

async fn restarted(server: Server) -> Server {
    let folder = server.stop().await;
    let storage = Some(postgresql::storage(&folder.path()));
    Server::start_in(folder, |config| config.storage = storage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn values_survive_a_key_change_and_a_restart() {
    let server = started().await;
    let writer = server.client(Person::Writer);
    let mut names = Vec::new();
    for password in ["hunter2", "tr0ub4dor&3"] {
        let stored = writer.mailboxes().create(DEFAULT, mailbox(password), None).await.unwrap();
        assert_eq!((stored.password, stored.is_password_set), (None, Some(true)));
        names.push(stored.name);
    }
    let admin = server.client(Person::Admin);
    let text = SecretString::from("a new key, number 1");
    admin.change_key(DEFAULT, &text).await.unwrap();
    let reencryption = settled(&admin).await;
    assert_eq!(reencryption.cells_done, 2);

    let server = restarted(server).await;
    let connector = server.client(Person::Connector);
    for (name, password) in names.iter().zip(["hunter2", "tr0ub4dor&3"]) {
        assert_eq!(reveal(&connector, name).await.unwrap().as_deref(), Some(password));
    }
    let admin = server.client(Person::Admin);
    let kept = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    assert_eq!(kept.encryption_key.expose_secret(), text.expose_secret());
    // No database is in the folder.
    let folder = server.folder().path();
    assert!(!folder.join("configuration.db").exists());
    assert!(fs::read_dir(folder.join("organizations")).map_or(true, |mut entries| entries.next().is_none()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_record_and_missing_record_are_not_found() {
    let server = started().await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    writer.mailboxes().delete(&stored.name, "").await.unwrap();
    let connector = server.client(Person::Connector);
    assert_eq!(reason(reveal(&connector, &stored.name).await), ErrorReason::NotFound);
    server.stop().await;
}
