//! The life of an organization's key: every refusal with its details, the traces of a change, and the restore of a database.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use sealward_client::{
    Client, Error, ErrorReason, ExposeSecret, KeyOperation, ListOptions, SecretString, WriteOptions, mail_v1,
    v1::reencryption::State,
};
use sealward_core::configuration::ConfigurationError;
use sealward_server::{
    app::{App, StartError},
    development::Person,
};
use tonic::Code;

use crate::harness::{
    DEFAULT, Folder, Server,
    inside::{Inside, files_with, flipped, lose_configuration},
    mailbox,
    process::Process,
    refused, reveal, settled,
};

fn text(text: &str) -> SecretString {
    text.into()
}

async fn retrieved(admin: &Client, organization: &str) -> SecretString {
    admin.retrieve_data_encryption_key(organization).await.unwrap().encryption_key
}

/// Every violation, all of which are about the text.
fn violations(error: &Error) -> Vec<&str> {
    let violations = error.field_violations();
    assert!(violations.iter().all(|violation| violation.field == "encryption_key"), "{violations:?}");
    violations.iter().map(|violation| violation.description.as_str()).collect()
}

/// A server whose default organization is inactive, the mailbox in it, and its key.
async fn inactive_server(change: impl FnOnce(&mut sealward_server::config::Config)) -> (Server, String, SecretString) {
    let server = Server::start().await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let key = retrieved(&server.client(Person::Admin), DEFAULT).await;
    let server = server.restart(lose_configuration, change).await;
    (server, stored.name, key)
}

/// Ordinary attributes can be created, read, listed, changed and deleted in every state of the key.
async fn ordinary_attributes_work(writer: &Client, stored: &str) {
    let mailboxes = writer.mailboxes();
    let plain = mail_v1::Mailbox { password: None, ..mailbox("") };
    let mut created = mailboxes.create(DEFAULT, plain, None).await.unwrap();
    created.display_name = Some("Support".to_owned());
    let updated = mailboxes.update(created, ["display_name"]).await.unwrap();
    assert_eq!(updated.display_name.as_deref(), Some("Support"));
    mailboxes.delete(&updated.name, "").await.unwrap();
    let read = mailboxes.get(stored).await.unwrap();
    assert_eq!((read.password, read.is_password_set), (None, Some(true)));
    assert_eq!(mailboxes.list(DEFAULT, ListOptions::default()).await.unwrap().records.len(), 1);
}

/// Every way to write or reveal a password, with its refusal.
async fn encrypted_attributes_are_refused(
    server: &Server,
    stored: &str,
    code: Code,
    reason: ErrorReason,
    metadata: &[(&str, &str)],
) {
    let writer = server.client(Person::Writer);
    refused(writer.mailboxes().create(DEFAULT, mailbox("new"), None).await, code, reason, metadata);
    let update = mail_v1::Mailbox { name: stored.to_owned(), ..mailbox("new") };
    refused(writer.mailboxes().update(update, ["password"]).await, code, reason, metadata);
    refused(reveal(&server.client(Person::Connector), stored).await, code, reason, metadata);
    refused(server.client(Person::Admin).retrieve_data_encryption_key(DEFAULT).await, code, reason, metadata);
}

#[tokio::test]
async fn text_that_breaks_the_rule_is_refused_with_all_faults() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    let before = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    let long = format!("{}1!", "\u{e9}".repeat(99));
    for (wrong, given_length, count) in [("\u{1}", "1", 5), ("1234567890", "10", 2), (&long, "101", 1), ("", "0", 4)] {
        let metadata = [("organization", "default"), ("given_length", given_length), ("dynamics_code", "80048528")];
        for validate_only in [false, true] {
            let set = admin.set_data_encryption_key(DEFAULT, &text(wrong), KeyOperation::Change, validate_only).await;
            let error = refused(set, Code::InvalidArgument, ErrorReason::KeyValidation, &metadata);
            assert_eq!(violations(&error).len(), count, "{error:?}");
        }
    }
    assert_eq!(admin.is_data_encryption_active(DEFAULT).await.unwrap(), before);
}

#[tokio::test]
async fn change_over_the_quota_is_refused_unless_the_text_is_current() {
    let limit = |config: &mut sealward_server::config::Config| config.limits.key_changes_per_hour = 1;
    let server = Server::start_with(limit).await;
    let admin = server.client(Person::Admin);
    let current = text("the first key, number 1");
    let changed = admin.change_key(DEFAULT, &current).await.unwrap();
    assert_eq!(changed.key_version, 2);
    assert_eq!(settled(&admin).await.state(), State::Done);

    let server = server.restart(|_| {}, limit).await;
    let admin = server.client(Person::Admin);
    let metadata = [
        ("organization", "default"),
        ("bound", "key_changes_per_hour"),
        ("limit", "1"),
        ("interval_seconds", "3600"),
        ("dynamics_code", "80048529"),
    ];
    for validate_only in [false, true] {
        let other = text("another key, number 2");
        let set = admin.set_data_encryption_key(DEFAULT, &other, KeyOperation::Change, validate_only).await;
        let error = refused(set, Code::ResourceExhausted, ErrorReason::KeyChangeQuota, &metadata);
        let delay = error.retry_delay().unwrap();
        assert!(delay > Duration::from_secs(3_000) && delay <= Duration::from_secs(3_600), "{delay:?}");
    }
    // The quota is checked before the text.
    refused(
        admin.change_key(DEFAULT, &text("short")).await,
        Code::ResourceExhausted,
        ErrorReason::KeyChangeQuota,
        &metadata,
    );

    assert_eq!(admin.change_key(DEFAULT, &current).await.unwrap(), changed);
    let kept = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    assert_eq!(
        (kept.encryption_key.expose_secret(), &kept.fingerprint),
        (current.expose_secret(), &changed.fingerprint)
    );
    let folder = server.stop().await;
    assert_eq!(Inside::organization(&folder).data_key_versions(), [2]);
}

#[tokio::test]
async fn restore_is_refused_while_active_and_secrets_while_inactive() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let key = retrieved(&admin, DEFAULT).await;
    refused(
        admin.restore_key(DEFAULT, &key).await,
        Code::FailedPrecondition,
        ErrorReason::KeyAlreadyActive,
        &[("organization", "default"), ("dynamics_code", "80048525")],
    );
    let active = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    assert!(active.is_active);

    let server = server.restart(lose_configuration, |_| {}).await;
    let admin = server.client(Person::Admin);
    let status = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    assert!(!status.is_active);
    assert_eq!((&status.fingerprint, status.key_version), (&active.fingerprint, 1));
    let wanted = status.fingerprint.as_str();
    let metadata = |code| [("organization", "default"), ("wanted_fingerprint", wanted), ("dynamics_code", code)];
    refused(
        admin.change_key(DEFAULT, &text("a new key, number 1")).await,
        Code::FailedPrecondition,
        ErrorReason::KeyInactive,
        &metadata("80048527"),
    );
    // The state is checked before the text.
    refused(
        admin.change_key(DEFAULT, &text("short")).await,
        Code::FailedPrecondition,
        ErrorReason::KeyInactive,
        &metadata("80048527"),
    );
    let mismatch = [&metadata("8004852B")[..], &[("given_length", "18")]].concat();
    refused(
        admin.restore_key(DEFAULT, &text("not the key, num 1")).await,
        Code::FailedPrecondition,
        ErrorReason::KeyMismatch,
        &mismatch,
    );
    encrypted_attributes_are_refused(
        &server,
        &stored.name,
        Code::FailedPrecondition,
        ErrorReason::DataEncryptionInactive,
        &metadata("80048524"),
    )
    .await;
    ordinary_attributes_work(&server.client(Person::Writer), &stored.name).await;

    let restored = admin.restore_key(DEFAULT, &key).await.unwrap();
    assert_eq!((restored.fingerprint.as_str(), restored.key_version), (wanted, 1));
    assert!(admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active);
    assert_eq!(retrieved(&admin, DEFAULT).await.expose_secret(), key.expose_secret());
    assert_eq!(reveal(&server.client(Person::Connector), &stored.name).await.unwrap().as_deref(), Some("hunter2"));
}

#[tokio::test]
async fn restore_attempts_and_validations_are_counted_across_restarts() {
    let limit = |config: &mut sealward_server::config::Config| config.limits.wrong_key_restores_per_15_minutes = 2;
    let (server, name, key) = inactive_server(limit).await;
    let admin = server.client(Person::Admin);
    let tried = admin.set_data_encryption_key(DEFAULT, &key, KeyOperation::Restore, true).await.unwrap();
    let status = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    assert_eq!((status.is_active, &status.fingerprint), (false, &tried.fingerprint));

    let server = server.restart(|_| {}, limit).await;
    let admin = server.client(Person::Admin);
    let wrong = admin.restore_key(DEFAULT, &text("not the key")).await;
    assert_eq!(wrong.unwrap_err().reason(), ErrorReason::KeyMismatch);
    let metadata = [
        ("organization", "default"),
        ("bound", "wrong_key_restores_per_15_minutes"),
        ("limit", "2"),
        ("interval_seconds", "900"),
        ("dynamics_code", "80048529"),
    ];
    let error = refused(
        admin.restore_key(DEFAULT, &key).await,
        Code::ResourceExhausted,
        ErrorReason::KeyRestoreQuota,
        &metadata,
    );
    let delay = error.retry_delay().unwrap();
    assert!(delay > Duration::from_secs(600) && delay <= Duration::from_secs(900), "{delay:?}");
    assert!(!admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active);

    // Without the quota, the right text restores the key, and the count is reset.
    let server = server.restart(|_| {}, |config| config.limits.wrong_key_restores_per_15_minutes = 0).await;
    server.client(Person::Admin).restore_key(DEFAULT, &key).await.unwrap();
    assert_eq!(reveal(&server.client(Person::Connector), &name).await.unwrap().as_deref(), Some("hunter2"));
    let server = server.restart(lose_configuration, limit).await;
    server.client(Person::Admin).restore_key(DEFAULT, &key).await.unwrap();
}

#[tokio::test]
async fn rule_for_new_texts_does_not_apply_to_a_restore() {
    let (server, _, _) = inactive_server(|config| config.limits.wrong_key_restores_per_15_minutes = 2).await;
    let admin = server.client(Person::Admin);
    let long = "a".repeat(1_025);
    // A text that can't be a key is reported as such, and isn't counted as an attempt.
    for (wrong, given_length) in [("", "0"), (&*long, "1025"), ("a\0b", "3")] {
        let metadata = [("organization", "default"), ("given_length", given_length), ("dynamics_code", "80048528")];
        let restored = admin.restore_key(DEFAULT, &text(wrong)).await;
        let error = refused(restored, Code::InvalidArgument, ErrorReason::KeyValidation, &metadata);
        assert_eq!(violations(&error).len(), 1);
    }
    for weak in ["x", " \n"] {
        let error = admin.restore_key(DEFAULT, &text(weak)).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::KeyMismatch);
    }
}

#[tokio::test]
async fn validate_only_changes_nothing() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    let before = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    let key = retrieved(&admin, DEFAULT).await;
    let new = text("a new key, number 1");
    let valid = admin.set_data_encryption_key(DEFAULT, &new, KeyOperation::Change, true).await.unwrap();
    assert_eq!((&valid.fingerprint, valid.key_version), (&before.fingerprint, 1));
    assert_eq!(admin.is_data_encryption_active(DEFAULT).await.unwrap(), before);
    assert_eq!(retrieved(&admin, DEFAULT).await.expose_secret(), key.expose_secret());
    let error = admin.set_data_encryption_key(DEFAULT, &key, KeyOperation::Restore, true).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::KeyAlreadyActive);
    let folder = server.stop().await;
    assert_eq!(Inside::configuration(&folder).key_texts().len(), 1);
    assert_eq!(Inside::organization(&folder).data_key_versions(), [1]);
}

/// Checks an organization whose ring `damage` has damaged.
async fn check_damaged_ring(damage: impl FnOnce(&Inside)) {
    let server = Server::start().await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let key = retrieved(&server.client(Person::Admin), DEFAULT).await;
    let folder = server.stop().await;
    damage(&Inside::organization(&folder));

    let server = Server::start_in(folder, |_| {}).await;
    let admin = server.client(Person::Admin);
    assert!(!admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active);
    let metadata = [("organization", "default"), ("dynamics_code", "8004852F")];
    let (code, reason) = (Code::DataLoss, ErrorReason::KeyRingDamaged);
    refused(admin.change_key(DEFAULT, &text("a new key, number 1")).await, code, reason, &metadata);
    refused(admin.restore_key(DEFAULT, &key).await, code, reason, &metadata);
    encrypted_attributes_are_refused(&server, &stored.name, code, reason, &metadata).await;
    ordinary_attributes_work(&server.client(Person::Writer), &stored.name).await;
}

#[tokio::test]
async fn ring_with_a_wrong_mac_blocks_only_encrypted_attributes() {
    check_damaged_ring(|inside| {
        let mac = flipped(&inside.bytes("SELECT mac FROM sealward_key_ring").remove(0));
        inside.change(1, &format!("UPDATE sealward_key_ring SET mac = {}", inside.literal(&mac)));
    })
    .await;
}

#[tokio::test]
async fn missing_ring_blocks_only_encrypted_attributes() {
    check_damaged_ring(|inside| inside.change(1, "DELETE FROM sealward_key_ring")).await;
}

#[tokio::test]
async fn ring_without_its_data_key_blocks_only_encrypted_attributes() {
    check_damaged_ring(|inside| inside.change(1, "DELETE FROM sealward_data_key")).await;
}

#[tokio::test]
async fn ring_with_an_invalid_derivation_blocks_only_encrypted_attributes() {
    check_damaged_ring(|inside| inside.change(1, "UPDATE sealward_key_ring SET kdf_iterations = 99999")).await;
}

#[tokio::test]
async fn a_cell_that_was_changed_or_copied_from_another_record_is_unreadable() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let mut names = Vec::new();
    for password in ["changed", "target", "source"] {
        names.push(writer.mailboxes().create(DEFAULT, mailbox(password), None).await.unwrap().name);
    }
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    inside.set_password_cell(&names[0], &flipped(&inside.password_cell(&names[0])));
    inside.set_password_cell(&names[1], &inside.password_cell(&names[2]));
    drop(inside);

    let server = Server::start_in(folder, |_| {}).await;
    let connector = server.client(Person::Connector);
    let metadata =
        [("organization", "default"), ("entity", "Mailbox"), ("attribute", "password"), ("dynamics_code", "80048524")];
    for name in &names[..2] {
        refused(reveal(&connector, name).await, Code::DataLoss, ErrorReason::CellUnreadable, &metadata);
    }
    assert_eq!(reveal(&connector, &names[2]).await.unwrap().as_deref(), Some("source"));
    let again = mail_v1::Mailbox { name: names[0].clone(), ..mailbox("set anew") };
    server.client(Person::Writer).mailboxes().update(again, ["password"]).await.unwrap();
    assert_eq!(reveal(&connector, &names[0]).await.unwrap().as_deref(), Some("set anew"));
}

/// A record with a value in every encrypted attribute.
async fn fill_every_encrypted_attribute(writer: &Client) {
    let server_type = Some(mail_v1::email_server_profile::ServerType::ExchangeServer.into());
    let profile = mail_v1::EmailServerProfile {
        display_name: Some("Profile".to_owned()),
        server_type,
        incoming_password: Some("incoming".to_owned()),
        outgoing_password: Some("outgoing".to_owned()),
        ..mail_v1::EmailServerProfile::default()
    };
    writer.email_server_profiles().create(DEFAULT, profile, None).await.unwrap();
    writer.mailboxes().create(DEFAULT, mailbox("mailbox"), None).await.unwrap();
    let queue = mail_v1::Queue {
        display_name: Some("Queue".to_owned()),
        email_password: Some("queue".to_owned()),
        ..mail_v1::Queue::default()
    };
    writer.queues().create(DEFAULT, queue, None).await.unwrap();
    let id = "0190c0de-0000-7000-8000-000000000001".to_owned();
    let settings = mail_v1::UserSettings {
        business_unit_id: Some(id.clone()),
        email_password: Some("user".to_owned()),
        time_zone_code: Some(105),
        locale_id: Some(1033),
        ui_language_id: Some(1033),
        help_language_id: Some(1033),
        ..mail_v1::UserSettings::default()
    };
    writer.user_settings().create(DEFAULT, settings, Some(id)).await.unwrap();
}

#[tokio::test]
async fn change_seals_every_cell_again_and_removes_the_old_key() {
    let server = Server::start().await;
    fill_every_encrypted_attribute(&server.client(Person::Writer)).await;
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    assert_eq!(inside.cell_columns().len(), 5);
    assert_eq!((inside.cell_versions(), inside.data_key_versions()), (vec![1; 5], vec![1]));
    let old_wrap = inside.wrapped_keys().remove(0);
    drop(inside);
    let old_text = Inside::configuration(&folder).key_texts().remove(0);
    assert_eq!((files_with(&folder.path(), &old_wrap).len(), files_with(&folder.path(), &old_text).len()), (1, 1));

    // A separate process, whose files can be read while it runs: destroyed values are gone from files, not only from tables.
    let server = Process::start(&folder.path());
    let admin = folder.client(&server.address, Person::Admin);
    let changed = admin.change_key(DEFAULT, &text("a new key, number 1")).await.unwrap();
    assert_eq!(changed.key_version, 2);
    let done = settled(&admin).await;
    assert_eq!(done.state(), State::Done);
    assert_eq!((done.cells_total, done.cells_done, done.cells_unreadable, done.key_version), (5, 5, 0, 2));
    assert_eq!(files_with(&folder.path(), &old_wrap), Vec::<PathBuf>::new());
    assert_eq!(files_with(&folder.path(), &old_text), Vec::<PathBuf>::new());
    server.terminate();
    assert!(server.wait().success());
    let inside = Inside::organization(&folder);
    assert_eq!((inside.cell_versions(), inside.data_key_versions()), (vec![2; 5], vec![2]));
    assert_eq!(Inside::configuration(&folder).key_texts().len(), 1);
}

#[tokio::test]
async fn key_change_is_invisible_in_records() {
    let server = Server::start().await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    fill_every_encrypted_attribute(&writer).await;
    let request = || WriteOptions::request_id("3f0e1c52-6c1b-4d0e-9d3a-0a4d6a6f0b11");
    let made = writer.mailboxes().create_with(DEFAULT, mailbox("once"), None, request()).await.unwrap();
    let trail = |server: &Server| Inside::organization(server.folder()).trail().len();
    let before = (everything(&writer).await, trail(&server));
    admin.change_key(DEFAULT, &text("a new key, number 2")).await.unwrap();
    assert_eq!(settled(&admin).await.state(), State::Done);
    // The trail has the change and its end, and no content of a record.
    assert_eq!((everything(&writer).await, trail(&server)), (before.0, before.1 + 2));
    // A repetition is still recognised.
    let again = writer.mailboxes().create_with(DEFAULT, mailbox("once"), None, request()).await.unwrap();
    assert_eq!(again, made);
}

/// Every record, with its etag and its times.
async fn everything(
    reader: &Client,
) -> (Vec<mail_v1::Mailbox>, Vec<mail_v1::EmailServerProfile>, Vec<mail_v1::Queue>, Vec<mail_v1::UserSettings>) {
    (
        reader.mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap().records,
        reader.email_server_profiles().list(DEFAULT, ListOptions::default()).await.unwrap().records,
        reader.queues().list(DEFAULT, ListOptions::default()).await.unwrap().records,
        reader.user_settings().list(DEFAULT, ListOptions::default()).await.unwrap().records,
    )
}

#[tokio::test]
async fn unreadable_cell_does_not_stop_a_change_and_keeps_its_data_key() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let broken = writer.mailboxes().create(DEFAULT, mailbox("broken"), None).await.unwrap().name;
    let whole = writer.mailboxes().create(DEFAULT, mailbox("whole"), None).await.unwrap().name;
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    let cell = inside.password_cell(&broken);
    inside.set_password_cell(&broken, &flipped(&cell));
    drop(inside);

    let mut folder = folder;
    for version in [2, 3] {
        let server = Server::start_in(folder, |_| {}).await;
        let admin = server.client(Person::Admin);
        admin.change_key(DEFAULT, &text(&format!("a new key, number {version}"))).await.unwrap();
        let done = settled(&admin).await;
        assert_eq!(done.state(), State::DoneWithUnreadableCells);
        assert_eq!((done.cells_unreadable, done.key_version), (1, version));
        let connector = server.client(Person::Connector);
        assert_eq!(reveal(&connector, &whole).await.unwrap().as_deref(), Some("whole"));
        assert_eq!(reveal(&connector, &broken).await.unwrap_err().reason(), ErrorReason::CellUnreadable);
        folder = server.stop().await;
        let inside = Inside::organization(&folder);
        assert_eq!(inside.data_key_versions(), [1, version]);
        assert_eq!(inside.password_cell(&broken), flipped(&cell));
    }

    // Restored from a backup, the cell opens: its key was kept. The next change destroys that key.
    Inside::organization(&folder).set_password_cell(&broken, &cell);
    let server = Server::start_in(folder, |_| {}).await;
    assert_eq!(reveal(&server.client(Person::Connector), &broken).await.unwrap().as_deref(), Some("broken"));
    let admin = server.client(Person::Admin);
    admin.change_key(DEFAULT, &text("a new key, number 4")).await.unwrap();
    assert_eq!(settled(&admin).await.state(), State::Done);
    assert_eq!(reveal(&server.client(Person::Connector), &broken).await.unwrap().as_deref(), Some("broken"));
    let folder = server.stop().await;
    assert_eq!(Inside::organization(&folder).data_key_versions(), [4]);
}

/// The databases of organizations in a folder.
fn databases(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("organizations")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "db")).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn a_database_copied_to_another_deployment_is_restored_there_with_its_key() {
    sqlite_only!("copies files of databases");
    const CONTOSO: &str = "organizations/contoso";
    let here = Server::start().await;
    let admin = here.client(Person::Admin);
    admin.create_organization("contoso").await.unwrap();
    let stored = here.client(Person::Writer).mailboxes().create(CONTOSO, mailbox("hunter2"), None).await.unwrap();
    let key = admin.retrieve_data_encryption_key(CONTOSO).await.unwrap();
    let here = here.stop().await;

    // Its `default` is copied, too, but the name exists there: that one is unchanged.
    let there = Server::start().await;
    let kept = there.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("kept"), None).await.unwrap();
    let copy = |folder: &Path| {
        for database in databases(&here.path()) {
            fs::copy(&database, folder.join("organizations").join(database.file_name().unwrap())).unwrap();
        }
    };
    let there = there.restart(copy, |_| {}).await;
    let admin = there.client(Person::Admin);
    let organizations = admin.list_organizations(0, "").await.unwrap().records;
    assert_eq!(organizations.len(), 2);
    let connector = there.client(Person::Connector);
    assert_eq!(reveal(&connector, &kept.name).await.unwrap().as_deref(), Some("kept"));

    let status = admin.is_data_encryption_active(CONTOSO).await.unwrap();
    assert_eq!((status.is_active, &status.fingerprint), (false, &key.fingerprint));
    let metadata =
        [("organization", "contoso"), ("wanted_fingerprint", key.fingerprint.as_str()), ("dynamics_code", "80048524")];
    let (code, reason) = (Code::FailedPrecondition, ErrorReason::DataEncryptionInactive);
    refused(reveal(&connector, &stored.name).await, code, reason, &metadata);
    admin.restore_key(CONTOSO, &key.encryption_key).await.unwrap();
    assert_eq!(reveal(&connector, &stored.name).await.unwrap().as_deref(), Some("hunter2"));

    let there = there.restart(|_| {}, |_| {}).await;
    assert!(there.client(Person::Admin).is_data_encryption_active(CONTOSO).await.unwrap().is_active);
}

#[tokio::test]
async fn a_server_does_not_start_with_another_root_key() {
    let folder = Server::start().await.stop().await;
    let other = Folder::new();
    fs::copy(other.development().root_key(), folder.development().root_key()).unwrap();
    let mut config = folder.development().config().unwrap();
    config.listen.address = "127.0.0.1:0".parse().unwrap();
    let error = App::start(config).await.err().unwrap();
    assert!(matches!(error, StartError::Prepare(ConfigurationError::OtherRootKey)), "{error:?}");
}

#[tokio::test]
async fn second_server_on_the_same_folder_is_refused() {
    let server = Server::start().await;
    let mut config = server.folder().development().config().unwrap();
    config.listen.address = "127.0.0.1:0".parse().unwrap();
    let error = App::start(config).await.err().unwrap();
    assert!(matches!(error, StartError::DataFolder(_)), "{error:?}");
    assert!(error.to_string().starts_with("another server is running on the data folder"), "{error}");
    server.client(Person::Admin).change_key(DEFAULT, &text("a new key, number 1")).await.unwrap();
}
