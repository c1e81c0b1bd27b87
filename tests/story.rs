//! The story of the guide with a server process: store, read null, reveal, change, kill, lose the configuration, restore.

use sealward_client::{ErrorReason, ExposeSecret, SecretString};
use sealward_server::development::Person;

use crate::harness::{DEFAULT, Folder, inside::lose_configuration, mailbox, process::Process, reason, reveal, settled};

#[tokio::test]
async fn a_password_survives_a_change_a_kill_and_a_lost_configuration() {
    let folder = Folder::new();
    let server = Process::start(&folder.path());
    let writer = folder.client(&server.address, Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    assert_eq!((stored.password, stored.is_password_set), (None, Some(true)));
    let connector = folder.client(&server.address, Person::Connector);
    assert_eq!(reveal(&connector, &stored.name).await.unwrap().as_deref(), Some("hunter2"));

    let admin = folder.client(&server.address, Person::Admin);
    let text = SecretString::from("a new key, number 1");
    let changed = admin.change_key(DEFAULT, &text).await.unwrap();
    server.kill();

    let server = Process::start(&folder.path());
    let admin = folder.client(&server.address, Person::Admin);
    settled(&admin).await;
    let kept = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    assert_eq!(kept.encryption_key.expose_secret(), text.expose_secret());
    server.kill();

    lose_configuration(&folder.path());
    let server = Process::start(&folder.path());
    let admin = folder.client(&server.address, Person::Admin);
    let connector = folder.client(&server.address, Person::Connector);
    let status = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    assert!(!status.is_active);
    assert_eq!(status.fingerprint, changed.fingerprint);
    assert_eq!(reason(reveal(&connector, &stored.name).await), ErrorReason::DataEncryptionInactive);

    admin.restore_key(DEFAULT, &text).await.unwrap();
    assert_eq!(reveal(&connector, &stored.name).await.unwrap().as_deref(), Some("hunter2"));
}
