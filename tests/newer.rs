//! Data of a newer version after a roll-back: an older server keeps it, reports it neither as damaged nor as inactive, and never offers
//! to abandon it. The same applies to a key whose root key is missing.

use sealward_client::{Client, Code, ErrorReason, ExposeSecret as _, mail_v1, v1};
use sealward_server::development::Person;

use crate::{
    harness::{
        DEFAULT, Folder, Server,
        inside::{Inside, lose_configuration},
        mailbox, refused, reveal, settled,
    },
    operate::{checked, findings, program},
};

const NEW: &str = "begun anew, number 2";

/// A stopped server's folder, with a mailbox that has a password; the mailbox's name, the key's text and its fingerprint.
async fn sealed() -> (Folder, String, String, String) {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    let name = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
    let key = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    let text = key.encryption_key.expose_secret().to_owned();
    (server.stop().await, name, text, key.fingerprint)
}

/// Calls that need the key are refused for this reason and with this metadata; other calls succeed.
async fn assert_unchanged(
    server: &Server,
    name: &str,
    fingerprint: &str,
    reason: ErrorReason,
    metadata: &[(&str, &str)],
) {
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    let code = Code::Unavailable;
    refused(admin.is_data_encryption_active(DEFAULT).await, code, reason, metadata);
    refused(admin.retrieve_data_encryption_key(DEFAULT).await, code, reason, metadata);
    refused(admin.change_key(DEFAULT, &NEW.into()).await, code, reason, metadata);
    refused(abandon(&admin, fingerprint).await, code, reason, metadata);
    refused(abandon(&admin, "").await, code, reason, metadata);
    refused(reveal(&server.client(Person::Connector), name).await, code, reason, metadata);
    let update = mail_v1::Mailbox { name: name.to_owned(), ..mailbox("another") };
    refused(writer.mailboxes().update(update.clone(), ["password"]).await, code, reason, metadata);
    writer.mailboxes().update(update, ["display_name"]).await.unwrap();
    assert_eq!(writer.mailboxes().get(name).await.unwrap().is_password_set, Some(true));
}

async fn abandon(admin: &Client, confirm: &str) -> Result<v1::AbandonEncryptedDataResponse, sealward_client::Error> {
    admin.abandon_encrypted_data(DEFAULT, confirm, &NEW.into(), false).await
}

/// Changes the one sealed key text of a configuration database.
fn change_sealed_text(folder: &Folder, change: impl FnOnce(&mut Vec<u8>)) {
    let inside = Inside::configuration(folder);
    let mut sealed = inside.key_texts().remove(0);
    change(&mut sealed);
    inside.change(1, &format!("UPDATE sealward_key_text SET sealed = {}", inside.literal(&sealed)));
}

fn newer(what: &str) -> [(&str, &str); 3] {
    [("organization", "default"), ("what", what), ("format", "2")]
}

#[tokio::test]
async fn key_ring_of_a_newer_format_is_unchanged() {
    let (folder, name, _, fingerprint) = sealed().await;
    // With any values in its other columns.
    let sql = "UPDATE sealward_key_ring SET format = 2, salt = x'00', reencryption_state = 'resting'";
    let salt = Inside::organization(&folder).bytes("SELECT salt FROM sealward_key_ring").remove(0);
    Inside::organization(&folder).change(1, sql);
    let (_, report) = checked(&mut program(), &folder.development().config_file());
    let found = findings(&report);
    assert!(found.iter().any(|(_, _, problem)| problem.contains("which a newer version wrote")), "{found:#?}");
    let server = Server::start_in(folder, |_| {}).await;
    let reason = ErrorReason::WrittenByNewerVersion;
    assert_unchanged(&server, &name, &fingerprint, reason, &newer("key-ring")).await;

    // The newer version, simulated by the older format: nothing is lost, and *rolled back* isn't reported.
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    let salt = inside.literal(&salt);
    inside.change(1, &format!("UPDATE sealward_key_ring SET format = 1, salt = {salt}, reencryption_state = 'idle'"));
    drop(inside);
    let server = Server::start_in(folder, |_| {}).await.restart(|_| {}, |_| {}).await;
    let status = server.client(Person::Admin).is_data_encryption_active(DEFAULT).await.unwrap();
    assert_eq!((status.is_active, status.rolled_back_time), (true, None));
    assert_eq!(reveal(&server.client(Person::Connector), &name).await.unwrap().as_deref(), Some("hunter2"));
}

#[tokio::test]
async fn key_text_in_a_newer_format_is_unchanged_until_a_restore() {
    let (folder, name, text, fingerprint) = sealed().await;
    change_sealed_text(&folder, |sealed| sealed[0] = 2);
    let server = Server::start_in(folder, |_| {}).await;
    assert_unchanged(&server, &name, &fingerprint, ErrorReason::WrittenByNewerVersion, &newer("key-text")).await;
    server.client(Person::Admin).restore_key(DEFAULT, &text.into()).await.unwrap();
    assert_eq!(reveal(&server.client(Person::Connector), &name).await.unwrap().as_deref(), Some("hunter2"));
}

#[tokio::test]
async fn key_text_under_an_unknown_root_key_is_unchanged_until_a_restore() {
    let (folder, name, text, fingerprint) = sealed().await;
    change_sealed_text(&folder, |sealed| sealed[1..9].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]));
    let server = Server::start_in(folder, |_| {}).await;
    let metadata = [("organization", "default"), ("root_key_id", "0102030405060708")];
    assert_unchanged(&server, &name, &fingerprint, ErrorReason::RootKeyUnknown, &metadata).await;
    server.client(Person::Admin).restore_key(DEFAULT, &text.into()).await.unwrap();
    assert_eq!(reveal(&server.client(Person::Connector), &name).await.unwrap().as_deref(), Some("hunter2"));
}

#[tokio::test]
async fn a_cell_of_a_newer_format_keeps_every_data_key_through_a_change() {
    let (folder, name, _, _) = sealed().await;
    let inside = Inside::organization(&folder);
    let mut cell = inside.password_cell(&name);
    cell[0] = 2;
    inside.set_password_cell(&name, &cell);
    drop(inside);
    let server = Server::start_in(folder, |_| {}).await;
    let (admin, connector) = (server.client(Person::Admin), server.client(Person::Connector));
    let reason = ErrorReason::WrittenByNewerVersion;
    refused(reveal(&connector, &name).await, Code::Unavailable, reason, &newer("cell"));
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    assert_eq!(settled(&admin).await.cells_unreadable, 1);
    let listed = admin.list_unreadable_cells(DEFAULT, 0, "").await.unwrap().records;
    assert_eq!(listed[0].reason(), v1::unreadable_cell::Reason::NewerFormat);

    // The newer version opens it, with the data key that was kept.
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    assert_eq!(inside.data_key_versions(), [1, 2]);
    cell[0] = 1;
    inside.set_password_cell(&name, &cell);
    drop(inside);
    let server = Server::start_in(folder, |_| {}).await;
    assert_eq!(reveal(&server.client(Person::Connector), &name).await.unwrap().as_deref(), Some("hunter2"));
}

#[tokio::test]
async fn data_sealed_by_a_newer_version_is_not_abandoned() {
    let (folder, name, _, fingerprint) = sealed().await;
    let inside = Inside::organization(&folder);
    let mut cell = inside.password_cell(&name);
    cell[0] = 2;
    inside.set_password_cell(&name, &cell);
    drop(inside);
    lose_configuration(&folder.path());
    let server = Server::start_in(folder, |_| {}).await;
    let admin = server.client(Person::Admin);
    assert!(!admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active);
    let reason = ErrorReason::WrittenByNewerVersion;
    refused(abandon(&admin, &fingerprint).await, Code::Unavailable, reason, &newer("cell"));
}
