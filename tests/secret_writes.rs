//! Writes of encrypted attributes in the audit trail, who created and last wrote a record, and what an update clears automatically.

use std::process::Command;

use sealward_client::{
    ErrorReason, ListOptions, WriteOptions,
    mail_v1::{EmailServerProfile, Mailbox, Queue},
    new_request_id,
};
use sealward_server::development::Person;
use serde_json::Value;

use crate::harness::{
    DEFAULT, Server,
    inside::{Inside, Trail, lose_configuration},
    mailbox,
    process::binary,
    reason, settled,
};

const WRITTEN: &str = "write-encrypted-attributes";

fn profile() -> EmailServerProfile {
    EmailServerProfile {
        display_name: Some("P".to_owned()),
        server_type: Some(2),
        incoming_server_location: Some("imap.example.org".to_owned()),
        incoming_username: Some("service".to_owned()),
        incoming_password: Some("canary-1".to_owned()),
        outgoing_server_location: Some("smtp.example.org".to_owned()),
        outgoing_username: Some("service".to_owned()),
        outgoing_password: Some("canary-2".to_owned()),
        ..EmailServerProfile::default()
    }
}

/// Subject, attributes and details of each record of a write, oldest first.
fn writes(trail: &[Trail]) -> Vec<(&str, &str, &str)> {
    let written = trail.iter().filter(|record| record.action == WRITTEN);
    written
        .map(|record| {
            assert_eq!((&*record.outcome, record.identity.as_deref()), ("done", Some("cn:writer")), "{record:?}");
            assert!(record.call_id.is_some() && record.peer.as_ref().unwrap().starts_with("127.0.0.1:"));
            (&*record.subject, record.attributes.as_deref().unwrap(), record.details.as_deref().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn secret_writes_are_in_the_trail_once_without_values() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let (mailboxes, profiles) = (writer.mailboxes(), writer.email_server_profiles());
    let stored = mailboxes.create(DEFAULT, mailbox("canary-3"), None).await.unwrap();
    let with = |password: Option<&str>| Mailbox {
        name: stored.name.clone(),
        password: password.map(str::to_owned),
        ..Mailbox::default()
    };
    mailboxes.update(with(Some("canary-4")), ["password"]).await.unwrap();
    mailboxes.update(with(None), ["password"]).await.unwrap();
    // There is no value to clear or delete any more, and other attributes aren't encrypted.
    mailboxes.update(with(None), ["password"]).await.unwrap();
    mailboxes.update(Mailbox { username: Some("u".to_owned()), ..with(None) }, ["username"]).await.unwrap();
    mailboxes.delete(&stored.name, "").await.unwrap();
    let of_both = profiles.create(DEFAULT, profile(), None).await.unwrap();
    let change = EmailServerProfile {
        name: of_both.name.clone(),
        incoming_password: Some("canary-5".to_owned()),
        ..EmailServerProfile::default()
    };
    profiles.update(change, ["incoming_password", "outgoing_password"]).await.unwrap();
    profiles.delete(&of_both.name, "").await.unwrap();
    let trail = Inside::organization(&server.stop().await).trail();
    let (mailbox, profile) = (stored.name.as_str(), of_both.name.as_str());
    let both = "incoming_password,outgoing_password";
    assert_eq!(
        writes(&trail),
        [
            (mailbox, "password", "set password"),
            (mailbox, "password", "set password"),
            (mailbox, "password", "cleared password"),
            (profile, both, "set incoming_password,outgoing_password"),
            (profile, both, "set incoming_password; cleared outgoing_password"),
            (profile, "incoming_password", "deleted incoming_password"),
        ]
    );
    assert!(!format!("{trail:?}").contains("canary"));
}

#[tokio::test]
async fn repeated_checked_and_refused_writes_and_a_reencryption_record_nothing() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let mailboxes = writer.mailboxes();
    let id = new_request_id();
    let create = || mailboxes.create_with(DEFAULT, mailbox("canary"), None, WriteOptions::request_id(&id));
    let stored = create().await.unwrap();
    assert_eq!(create().await.unwrap().name, stored.name);
    mailboxes.create_with(DEFAULT, mailbox("canary"), None, WriteOptions::validate_only()).await.unwrap();
    let with = |password: &str| Mailbox { name: stored.name.clone(), ..mailbox(password) };
    mailboxes.update_with(with("canary"), ["password"], WriteOptions::validate_only()).await.unwrap();
    mailboxes.delete_with(&stored.name, "", WriteOptions::validate_only()).await.unwrap();
    let id = new_request_id();
    let update = || mailboxes.update_with(with("canary 2"), ["password"], WriteOptions::request_id(&id));
    update().await.unwrap();
    update().await.unwrap();
    let stale = Mailbox { etag: "1".to_owned(), ..with("canary 3") };
    assert_eq!(reason(mailboxes.update(stale, ["password"]).await), ErrorReason::EtagMismatch);
    assert_eq!(reason(mailboxes.update(with(&"x".repeat(201)), ["password"]).await), ErrorReason::FieldInvalid);
    let admin = server.client(Person::Admin);
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    settled(&admin).await;
    let before = mailboxes.get(&stored.name).await.unwrap();
    let trail = Inside::organization(&server.stop().await).trail();
    let wanted = (stored.name.as_str(), "password", "set password");
    assert_eq!(writes(&trail), [wanted, wanted]);
    assert_eq!((before.created_by.as_deref(), before.modified_by.as_deref()), (Some("cn:writer"), Some("cn:writer")));
}

#[tokio::test]
async fn automatically_cleared_passwords_are_reported_and_recorded() {
    let server = Server::start().await;
    let profiles = server.client(Person::Writer);
    let profiles = profiles.email_server_profiles();
    let stored = profiles.create(DEFAULT, profile(), None).await.unwrap();
    assert!(stored.cleared_attributes.is_empty());
    let moved = |port| EmailServerProfile {
        name: stored.name.clone(),
        incoming_port_number: Some(port),
        ..EmailServerProfile::default()
    };
    // A dry run lists what would be cleared.
    let checked =
        profiles.update_with(moved(1143), ["incoming_port_number"], WriteOptions::validate_only()).await.unwrap();
    assert_eq!(checked.cleared_attributes, ["incoming_password"]);
    let id = new_request_id();
    for _ in 0..2 {
        // A repetition too.
        let options = WriteOptions::request_id(&id);
        let updated = profiles.update_with(moved(1143), ["incoming_port_number"], options).await.unwrap();
        assert_eq!(updated.cleared_attributes, ["incoming_password"]);
        assert_eq!(updated.is_incoming_password_set, Some(false));
    }
    // No value is left to clear, and no other answer lists it.
    let again = profiles.update(moved(1144), ["incoming_port_number"]).await.unwrap();
    assert!(again.cleared_attributes.is_empty());
    assert_eq!(profiles.get(&stored.name).await.unwrap(), again);

    let dev = server.folder().path();
    let update = |words: &[&str]| {
        let mut command = Command::new(binary("sealward"));
        command.args([
            "email-server-profile",
            "update",
            &stored.name,
            "--as",
            "writer",
            "--output",
            "json",
            "--endpoint",
        ]);
        command.arg(format!("https://{}", server.address())).args(words).arg("--dev").arg(&dev).env_clear();
        command
    };
    let run = |mut command: Command| tokio::task::spawn_blocking(move || command.output().unwrap());
    let words = ["--set", "outgoing_server_location=smtp2.example.org"];
    let checked = run(update(&[&words[..], &["--check"]].concat())).await.unwrap();
    assert!(
        String::from_utf8_lossy(&checked.stderr).contains("the update would clear outgoing_password"),
        "{checked:?}"
    );
    let output = run(update(&words)).await.unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    assert!(
        stderr.contains("the update cleared outgoing_password") && stderr.contains("--secret outgoing_password"),
        "{stderr}"
    );
    let shown: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(shown["clearedAttributes"], serde_json::json!(["outgoing_password"]));

    let trail = Inside::organization(&server.stop().await).trail();
    let name = stored.name.as_str();
    assert_eq!(
        writes(&trail)[1..],
        [
            (name, "incoming_password", "cleared-automatically incoming_password"),
            (name, "outgoing_password", "cleared-automatically outgoing_password"),
        ]
    );
}

#[tokio::test]
async fn auditor_finds_writes_by_record_and_by_attribute() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("canary"), None).await.unwrap();
    let of_both = writer.email_server_profiles().create(DEFAULT, profile(), None).await.unwrap();
    let auditor = server.client(Person::Auditor);
    let found = async |filter: &str| -> Vec<(String, String)> {
        let page = auditor.list_audit_records(DEFAULT, filter, 0, "").await.unwrap();
        page.records.into_iter().map(|record| (record.subject, record.action)).collect()
    };
    let written = |name: &str| (name.to_owned(), WRITTEN.to_owned());
    assert_eq!(found(&format!("record = \"{}\"", stored.name)).await, [written(&stored.name)]);
    for attribute in ["incoming_password", "outgoing_password"] {
        assert_eq!(found(&format!("attribute = {attribute}")).await, [written(&of_both.name)]);
    }
    assert_eq!(found("attribute = password AND details = \"set*\"").await, [written(&stored.name)]);
    assert_eq!(found(&format!("attribute:* AND NOT attribute = password AND action = {WRITTEN}")).await.len(), 1);
    assert!(found("attribute = incoming").await.is_empty());
    let refused = auditor.list_audit_records(DEFAULT, "attribute = incoming*", 0, "").await;
    assert_eq!(reason(refused), ErrorReason::FilterInvalid);
    assert!(auditor.verify_audit_trail(DEFAULT).await.unwrap().intact);
}

#[tokio::test]
async fn records_name_who_created_and_who_last_wrote_them() {
    let server = Server::start().await;
    let (writer, admin) = (server.client(Person::Writer), server.client(Person::Admin));
    let who =
        |created: &Option<String>, modified: &Option<String>| (created.clone().unwrap(), modified.clone().unwrap());
    let both = |created: &str, modified: &str| (created.to_owned(), modified.to_owned());
    // A given value is ignored.
    let given =
        Mailbox { created_by: Some("cn:root".to_owned()), modified_by: Some("cn:root".to_owned()), ..mailbox("x") };
    let stored = writer.mailboxes().create(DEFAULT, given, None).await.unwrap();
    assert_eq!(who(&stored.created_by, &stored.modified_by), both("cn:writer", "cn:writer"));
    let queue =
        Queue { display_name: Some("Q".to_owned()), default_mailbox: Some(stored.name.clone()), ..Queue::default() };
    let queue = writer.queues().create(DEFAULT, queue, None).await.unwrap();
    let other = writer.mailboxes().create(DEFAULT, mailbox("x"), None).await.unwrap();
    let change = Mailbox { name: stored.name.clone(), username: Some("u".to_owned()), ..Mailbox::default() };
    let updated = admin.mailboxes().update(change, ["username"]).await.unwrap();
    assert_eq!(who(&updated.created_by, &updated.modified_by), both("cn:writer", "cn:admin"));
    assert_eq!(admin.mailboxes().get(&stored.name).await.unwrap(), updated);

    // In filters, in orders, in masks; not in update masks.
    let list = async |options: ListOptions| -> Vec<String> {
        let page = admin.mailboxes().list(DEFAULT, options).await.unwrap();
        page.records.into_iter().map(|mailbox| mailbox.name).collect()
    };
    assert_eq!(list(ListOptions::default().filter("modified_by = \"cn:admin\"")).await, [stored.name.as_str()]);
    assert_eq!(list(ListOptions::default().filter("created_by = \"cn:wri*\"")).await.len(), 2);
    let ordered = list(ListOptions::default().order_by("modified_by, created_by desc").page_size(1)).await;
    assert_eq!(ordered, [stored.name.as_str()]);
    assert_eq!(list(ListOptions::default().order_by("modified_by desc")).await, [other.name.as_str(), &stored.name]);
    let masked = admin.mailboxes().get_fields(&stored.name, ["modified_by"]).await.unwrap();
    assert_eq!((masked.created_by, masked.modified_by.as_deref()), (None, Some("cn:admin")));
    let masked = admin.mailboxes().get_fields(&stored.name, ["username"]).await.unwrap();
    assert_eq!(masked.modified_by, None);
    let refused = admin.mailboxes().update(updated.clone(), ["created_by"]).await;
    assert_eq!(reason(refused), ErrorReason::FieldInvalid);

    // Deleting a record modifies the records that referred to it.
    admin.mailboxes().delete(&stored.name, "").await.unwrap();
    let queue = writer.queues().get(&queue.name).await.unwrap();
    assert_eq!((queue.default_mailbox, queue.modified_by.as_deref()), (None, Some("cn:admin")));
    assert_eq!(queue.created_by.as_deref(), Some("cn:writer"));
}

#[tokio::test]
async fn older_record_has_no_creator_and_gets_a_modifier_at_its_next_write() {
    sqlite_only!("makes a database of an older version");
    let server = Server::start().await;
    let name = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("x"), None).await.unwrap().name;
    let folder = server.stop().await;
    // As a database looks that was written by an earlier version.
    let inside = Inside::organization(&folder);
    for table in ["Mailbox", "Queue", "EmailServerProfile", "UserSettings"] {
        for column in ["created_by", "modified_by"] {
            inside.execute(&format!("ALTER TABLE \"{table}\" DROP COLUMN {column}"));
            for known in ["sealward_catalog", "sealward_column_type"] {
                let sql = format!("DELETE FROM {known} WHERE table_name = '{table}' AND column_name = '{column}'");
                inside.change(1, &sql);
            }
        }
    }
    drop(inside);
    let server = Server::start_in(folder, |_| {}).await;
    let mailboxes = server.client(Person::Writer);
    let mailboxes = mailboxes.mailboxes();
    let stored = mailboxes.get(&name).await.unwrap();
    assert_eq!((&stored.created_by, &stored.modified_by), (&None, &None));
    let none = mailboxes.list(DEFAULT, ListOptions::default().filter("NOT created_by:*")).await.unwrap();
    assert_eq!(none.records.len(), 1);
    let updated = mailboxes.update(Mailbox { username: Some("u".to_owned()), ..stored }, ["username"]).await.unwrap();
    assert_eq!((updated.created_by, updated.modified_by.as_deref()), (None, Some("cn:writer")));
}

#[tokio::test]
async fn abandoning_and_importing_record_the_number_of_cells() {
    let server = Server::start().await;
    let (writer, admin) = (server.client(Person::Writer), server.client(Person::Admin));
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(writer.mailboxes().create(DEFAULT, mailbox("canary"), None).await.unwrap().name);
    }
    writer.email_server_profiles().create(DEFAULT, profile(), None).await.unwrap();
    let status = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    let server = server.restart(lose_configuration, |_| {}).await;
    let admin = server.client(Person::Admin);
    let key = "a new key, number 2".into();
    admin.abandon_encrypted_data(DEFAULT, &status.fingerprint, &key, false).await.unwrap();
    settled(&admin).await;
    // The service has cleared them.
    let cleared = admin.mailboxes().get(&names[0]).await.unwrap();
    assert_eq!((cleared.is_password_set, cleared.modified_by), (Some(false), None));
    assert_eq!(cleared.created_by.as_deref(), Some("cn:writer"));
    let trail = Inside::organization(&server.stop().await).trail();
    let abandoned = trail.iter().find(|record| record.action == "abandon-encrypted-data").unwrap();
    let cells =
        "cells EmailServerProfile.incoming_password 1, EmailServerProfile.outgoing_password 1, Mailbox.password 3";
    assert_eq!(abandoned.details.as_deref(), Some(cells));
    assert_eq!(writes(&trail).len(), 4);
}
