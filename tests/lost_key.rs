//! A permanently lost key: the values that it sealed are cleared, other values stay.

use sealward_client::{
    Client, Code, ErrorReason, SecretString, mail_v1,
    v1::{self, reencryption::State},
};
use sealward_server::development::Person;

use crate::harness::{
    DEFAULT, Server,
    inside::{Inside, lose_configuration},
    mailbox, reason, refused, reveal, settled,
};

const NEW: &str = "begun anew, number 2";

fn new_key() -> SecretString {
    NEW.into()
}

/// A server whose key is lost, and its fingerprint; with this number of mailboxes.
async fn with_lost_key(mailboxes: usize) -> (Server, String, Vec<mail_v1::Mailbox>) {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let mut stored = Vec::new();
    for number in 0..mailboxes {
        stored.push(writer.mailboxes().create(DEFAULT, mailbox(&format!("lost {number}")), None).await.unwrap());
    }
    let fingerprint = server.client(Person::Admin).is_data_encryption_active(DEFAULT).await.unwrap().fingerprint;
    (server.restart(lose_configuration, |_| {}).await, fingerprint, stored)
}

async fn assert_started_over(server: &Server, before: &mail_v1::Mailbox) {
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    assert_eq!(settled(&admin).await.state(), State::Done);
    let status = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    assert!(status.is_active);
    assert_eq!((status.key_version, &*status.cell_counts), (2, &[][..]));
    let after = writer.mailboxes().get(&before.name).await.unwrap();
    assert_eq!((after.is_password_set, &after.display_name), (Some(false), &before.display_name));
    assert_ne!(after.etag, before.etag);
    let update = mail_v1::Mailbox { name: before.name.clone(), ..mailbox("sealed anew") };
    writer.mailboxes().update(update, ["password"]).await.unwrap();
    let revealed = reveal(&server.client(Person::Connector), &before.name).await.unwrap();
    assert_eq!(revealed.as_deref(), Some("sealed anew"));
}

async fn abandon(admin: &Client, confirm: &str) -> Result<v1::AbandonEncryptedDataResponse, sealward_client::Error> {
    admin.abandon_encrypted_data(DEFAULT, confirm, &new_key(), false).await
}

#[tokio::test]
async fn abandoning_clears_only_values_sealed_under_the_lost_key() {
    let (server, fingerprint, stored) = with_lost_key(5).await;
    let admin = server.client(Person::Admin);

    let error = refused(
        abandon(&admin, "0000-0000-0000-0000").await,
        Code::InvalidArgument,
        ErrorReason::FieldInvalid,
        &[("dynamics_code", "80040203")],
    );
    let violation = &error.field_violations()[0];
    assert_eq!((violation.field.as_str(), violation.reason.as_str()), ("confirm_fingerprint", "NOT_CONFIRMED"));
    assert!(violation.description.contains(&fingerprint), "{violation:?}");
    assert_eq!(reason(abandon(&server.client(Person::Writer), &fingerprint).await), ErrorReason::PrivilegeMissing);
    let weak = admin.abandon_encrypted_data(DEFAULT, fingerprint.as_str(), &"weak".into(), false).await;
    assert_eq!(reason(weak), ErrorReason::KeyValidation);
    let possible = admin.abandon_encrypted_data(DEFAULT, fingerprint.as_str(), &new_key(), true).await.unwrap();
    assert_eq!((possible.fingerprint.as_str(), possible.key_version), ("", 2));
    assert!(!admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active);

    let abandoned = abandon(&admin, &fingerprint).await.unwrap();
    assert_eq!(abandoned.key_version, 2);
    assert_started_over(&server, &stored[0]).await;
    let (code, active) = (Code::FailedPrecondition, ErrorReason::KeyAlreadyActive);
    refused(
        abandon(&admin, &fingerprint).await,
        code,
        active,
        &[("organization", "default"), ("dynamics_code", "80048525")],
    );
    let history = admin.list_key_changes(DEFAULT, 0, "").await.unwrap().records;
    let known: Vec<_> = history.iter().map(|change| (change.fingerprint.as_str(), change.key_version)).collect();
    assert_eq!(known, [(abandoned.fingerprint.as_str(), 2), (fingerprint.as_str(), 1)]);

    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    assert_eq!(inside.data_key_versions(), [2]);
    let trail = inside.trail();
    let outcomes = trail.iter().filter(|record| record.action == "abandon-encrypted-data");
    let outcomes: Vec<_> = outcomes.map(|record| (record.outcome.as_str(), record.purpose.as_deref())).collect();
    let expected = [
        ("FIELD_INVALID", None),
        ("KEY_VALIDATION", None),
        ("done", Some("validate only")),
        ("done", None),
        ("KEY_ALREADY_ACTIVE", None),
    ];
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn clearing_continues_after_a_restart_once_the_new_key_is_present() {
    let (server, fingerprint, stored) = with_lost_key(12).await;
    let folder = server.stop().await;
    let slowly = |config: &mut sealward_server::config::Config| {
        config.limits.reencryption_batch_cells = 1;
        config.limits.reencryption_pause_ms = 60_000;
    };
    let server = Server::start_in(folder, slowly).await;
    let admin = server.client(Person::Admin);
    abandon(&admin, &fingerprint).await.unwrap();
    assert_eq!(admin.is_data_encryption_active(DEFAULT).await.unwrap().reencryption.unwrap().state(), State::Clearing);
    assert_eq!(reason(abandon(&admin, &fingerprint).await), ErrorReason::SetKeyAlreadyRunning);

    let server = server.restart(lose_configuration, |_| {}).await;
    let admin = server.client(Person::Admin);
    let status = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    assert_eq!((status.is_active, status.reencryption.unwrap().state()), (false, State::Waiting));
    admin.restore_key(DEFAULT, &new_key()).await.unwrap();
    assert_started_over(&server, &stored[11]).await;
}

#[tokio::test]
async fn abandoning_replaces_a_damaged_ring() {
    let server = Server::start().await;
    let before = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("lost"), None).await.unwrap();
    let folder = server.stop().await;
    Inside::organization(&folder).change(1, "UPDATE sealward_key_ring SET mac = zeroblob(32)");
    let server = Server::start_in(folder, |_| {}).await;
    let admin = server.client(Person::Admin);
    assert_eq!(admin.is_data_encryption_active(DEFAULT).await.unwrap().fingerprint, "");
    let youngest = admin.list_key_changes(DEFAULT, 1, "").await.unwrap().records.remove(0);
    abandon(&admin, &youngest.fingerprint).await.unwrap();
    assert_started_over(&server, &before).await;
}
