//! The audit trails: recorded actions, the chain, and refusals of actions that can't be recorded.

use std::collections::BTreeMap;

use sealward_client::{Error, ErrorReason, ExposeSecret, KeyOperation, SecretString, v1::reencryption::State};
use sealward_core::{
    audit::{AuditEntry, ChainHead},
    id::Timestamp,
    identity::{Caller, Identity},
    policy::{Binding, Role, Scope},
    store::{Datum, Step},
};
use sealward_server::development::Person;
use tonic::Code;
use uuid::Uuid;

use crate::harness::{
    DEFAULT, Server,
    inside::{Inside, Trail, flipped, lose_configuration, organizations},
    mailbox, reason, refused, reveal, settled,
};

const ADMIN: Option<&str> = Some("cn:admin");

fn text(text: &str) -> SecretString {
    text.into()
}

/// Without the records of concurrent signing, and of the passwords that a test sets.
fn without_signing(trail: &[Trail]) -> Vec<Trail> {
    let is_wanted = |record: &&Trail| !["use-signing-key", "write-encrypted-attributes"].contains(&&*record.action);
    trail.iter().filter(is_wanted).cloned().collect()
}

/// Action, outcome and identity of each record.
fn told(trail: &[Trail]) -> Vec<(&str, &str, Option<&str>)> {
    trail.iter().map(|record| (&*record.action, &*record.outcome, record.identity.as_deref())).collect()
}

/// The record of the call that failed with this error.
#[track_caller]
fn record_of<'a>(trail: &'a [Trail], error: &Error) -> &'a Trail {
    let mut of_call = trail.iter().filter(|record| record.call_id.as_deref() == error.call_id());
    let record = of_call.next().unwrap_or_else(|| panic!("no record of {error:?}"));
    assert_eq!(of_call.next(), None);
    record
}

/// The hash that a record must have, computed from its columns.
fn rehashed(record: &Trail) -> Vec<u8> {
    let caller = record.identity.as_ref().map(|identity| Caller {
        identity: identity.parse::<Identity>().unwrap().into(),
        peer: record.peer.as_ref().map(|peer| peer.parse().unwrap()),
        hop: record.hop.clone().map(Into::into),
        call_id: record.call_id.clone().unwrap().into(),
    });
    let entry = AuditEntry {
        time: Timestamp::from_unix_micros(record.time_us),
        caller,
        action: record.action.parse().unwrap(),
        outcome: record.outcome.clone().leak(),
        subject: record.subject.clone(),
        attributes: record.attributes.clone(),
        purpose: record.purpose.clone(),
        fingerprint: record.fingerprint.clone(),
        key_version: record.key_version,
        details: record.details.clone(),
        records: record.records.clone(),
    };
    let writer = Uuid::from_slice(&record.writer).unwrap();
    let before = ChainHead::at(writer, record.sequence - 1, record.previous_hash.clone().try_into().unwrap());
    let (Step::Insert { row, .. }, _) = before.link(&entry) else { panic!("a link is an insert") };
    match row.into_iter().find(|(column, _)| &**column == "hash") {
        Some((_, Datum::Bytes(hash))) => hash,
        other => panic!("{other:?}"),
    }
}

/// Each writer's chain begins at 1 with zeros and has no gap; every hash covers its record and the previous hash.
#[track_caller]
fn is_chained(trail: &[Trail]) {
    let mut heads: BTreeMap<&[u8], (i64, Vec<u8>)> = BTreeMap::new();
    let mut ordered: Vec<_> = trail.iter().collect();
    ordered.sort_by_key(|record| record.sequence);
    for record in ordered {
        let head = heads.entry(&record.writer).or_insert((0, vec![0; 32]));
        assert_eq!((record.sequence - 1, &record.previous_hash), (head.0, &head.1), "{record:?}");
        assert_eq!(record.hash, rehashed(record), "{record:?}");
        *head = (record.sequence, record.hash.clone());
    }
}

#[tokio::test]
async fn key_actions_and_refusals_are_in_the_organization_trail() {
    let server = Server::start_with(|config| config.limits.key_changes_per_hour = 1).await;
    let admin = server.client(Person::Admin);
    let first = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    let mut refusals = Vec::new();
    refusals.push(admin.restore_key(DEFAULT, &first.encryption_key).await.unwrap_err());
    refusals.push(admin.change_key(DEFAULT, &text("canary1!")).await.unwrap_err());
    let key = text("a canary key, number 1");
    let changed = admin.change_key(DEFAULT, &key).await.unwrap();
    assert_eq!(settled(&admin).await.state(), State::Done);
    refusals.push(admin.change_key(DEFAULT, &text("a canary key, number 2")).await.unwrap_err());
    admin.change_key(DEFAULT, &key).await.unwrap();

    let server = server.restart(lose_configuration, |config| config.limits.wrong_key_restores_per_15_minutes = 2).await;
    let admin = server.client(Person::Admin);
    refusals.push(admin.retrieve_data_encryption_key(DEFAULT).await.unwrap_err());
    refusals.push(admin.change_key(DEFAULT, &key).await.unwrap_err());
    refusals.push(admin.restore_key(DEFAULT, &text("a canary")).await.unwrap_err());
    admin.set_data_encryption_key(DEFAULT, &key, KeyOperation::Restore, true).await.unwrap();
    refusals.push(admin.restore_key(DEFAULT, &key).await.unwrap_err());
    let server = server.restart(|_| {}, |_| {}).await;
    server.client(Person::Admin).restore_key(DEFAULT, &key).await.unwrap();
    let folder = server.stop().await;

    let whole = Inside::organization(&folder).trail();
    let trail = without_signing(&whole);
    assert_eq!(
        told(&trail),
        [
            ("create-organization", "done", None),
            ("retrieve-key", "done", ADMIN),
            ("restore-key", "KEY_ALREADY_ACTIVE", ADMIN),
            ("change-key", "KEY_VALIDATION", ADMIN),
            ("change-key", "done", ADMIN),
            ("complete-reencryption", "done", None),
            ("change-key", "KEY_CHANGE_QUOTA", ADMIN),
            ("change-key", "done", ADMIN),
            ("retrieve-key", "DATA_ENCRYPTION_INACTIVE", ADMIN),
            ("change-key", "KEY_INACTIVE", ADMIN),
            ("restore-key", "KEY_MISMATCH", ADMIN),
            ("restore-key", "done", ADMIN),
            ("restore-key", "KEY_RESTORE_QUOTA", ADMIN),
            ("restore-key", "done", ADMIN),
        ]
    );
    is_chained(&whole);
    for error in &refusals {
        let record = record_of(&trail, error);
        assert_eq!(record.outcome, sealward_client::reason_name(error.reason()));
        assert_eq!((record.fingerprint.as_deref(), record.key_version), (None, None));
    }
    for record in &trail {
        assert_eq!(record.subject, DEFAULT);
        assert_eq!(record.identity.is_some(), record.call_id.is_some());
        assert_eq!(record.peer.is_some(), record.identity.is_some());
        assert!(record.peer.as_ref().is_none_or(|peer| peer.starts_with("127.0.0.1:")));
    }
    let after = |index: usize| (trail[index].fingerprint.as_deref().unwrap(), trail[index].key_version.unwrap());
    assert_eq!([after(0), after(1)], [(&*first.fingerprint, 1); 2]);
    assert_eq!([after(4), after(5), after(7), after(11), after(13)], [(&*changed.fingerprint, 2); 5]);
    // A text that was only validated is distinguished from a restored key.
    assert_eq!((trail[11].purpose.as_deref(), trail[13].purpose.as_deref()), (Some("validate only"), None));

    // No secret is in this trail or in that of the deployment.
    let all = format!("{trail:?} {:?}", Inside::configuration(&folder).trail());
    assert!(!all.contains("canary") && !all.contains(first.encryption_key.expose_secret()));
}

#[tokio::test]
async fn refused_concurrent_key_change_is_in_the_trail() {
    let server = Server::start_with(|config| config.limits.reencryption_pause_ms = 60_000).await;
    let admin = server.client(Person::Admin);
    // A re-encryption without cells would be over at once.
    server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    admin.change_key(DEFAULT, &text("a new key, number 1")).await.unwrap();
    let change = admin.change_key(DEFAULT, &text("a new key, number 2")).await.unwrap_err();
    let restore = admin.restore_key(DEFAULT, &text("a new key, number 1")).await.unwrap_err();
    let whole = Inside::organization(&server.stop().await).trail();
    let trail = without_signing(&whole);
    is_chained(&whole);
    for (error, action) in [(change, "change-key"), (restore, "restore-key")] {
        let record = record_of(&trail, &error);
        assert_eq!((&*record.action, &*record.outcome), (action, "SET_KEY_ALREADY_RUNNING"));
    }
}

#[tokio::test]
async fn every_reveal_and_failed_reveal_is_in_the_trail_with_its_purpose() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("canary"), None).await.unwrap();
    let broken = writer.mailboxes().create(DEFAULT, mailbox("canary"), None).await.unwrap();
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    inside.set_password_cell(&broken.name, &flipped(&inside.password_cell(&broken.name)));
    drop(inside);
    let server = Server::start_in(folder, |_| {}).await;

    let connector = server.client(Person::Connector);
    let purpose = "to send \u{201c}Tuesday's\u{201d} mail";
    connector.reveal_attributes(&stored.name, ["password"], purpose).await.unwrap();
    let unreadable = connector.reveal_attributes(&broken.name, ["password"], purpose).await.unwrap_err();
    assert_eq!(unreadable.reason(), ErrorReason::CellUnreadable);
    let absent = format!("{DEFAULT}/mailboxes/0190c0de-0000-7000-8000-000000000001");
    let missing = connector.reveal_attributes(&absent, ["password"], purpose).await.unwrap_err();
    assert_eq!(missing.reason(), ErrorReason::NotFound);
    let both = ["incoming_password", "outgoing_password"];
    let profile = absent.replace("mailboxes", "emailServerProfiles");
    let two = connector.reveal_attributes(&profile, both, purpose).await.unwrap_err();
    let server = server.restart(lose_configuration, |_| {}).await;
    let inactive = reveal(&server.client(Person::Connector), &stored.name).await.unwrap_err();
    assert_eq!(inactive.reason(), ErrorReason::DataEncryptionInactive);

    let whole = Inside::organization(&server.stop().await).trail();
    let trail = without_signing(&whole);
    is_chained(&whole);
    let who = Some("cn:connector");
    let expected = [
        ("reveal-attributes", "done", who),
        ("reveal-attributes", "CELL_UNREADABLE", who),
        ("reveal-attributes", "NOT_FOUND", who),
        ("reveal-attributes", "NOT_FOUND", who),
        ("reveal-attributes", "DATA_ENCRYPTION_INACTIVE", who),
    ];
    assert_eq!(told(&trail)[1..], expected);
    let about = |record: &Trail| {
        [Some(record.subject.clone()), record.attributes.clone(), record.purpose.clone()].map(Option::unwrap)
    };
    let wanted = |name: &str, attributes: &str, purpose: &str| [name, attributes, purpose].map(str::to_owned);
    assert_eq!(about(&trail[1]), wanted(&stored.name, "password", purpose));
    assert!(!trail[1].call_id.as_ref().unwrap().is_empty());
    assert_eq!(about(record_of(&trail, &unreadable)), wanted(&broken.name, "password", purpose));
    assert_eq!(about(record_of(&trail, &missing)), wanted(&absent, "password", purpose));
    assert_eq!(about(record_of(&trail, &two)), wanted(&profile, "incoming_password,outgoing_password", purpose));
    assert_eq!(about(record_of(&trail, &inactive)), wanted(&stored.name, "password", "a test"));
    assert!(!format!("{trail:?}").contains("canary"));
}

#[tokio::test]
async fn creation_of_an_organization_is_in_both_trails() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    admin.create_organization("contoso").await.unwrap();
    let key = admin.retrieve_data_encryption_key("organizations/contoso").await.unwrap();
    let folder = server.stop().await;
    let deployment = Inside::configuration(&folder).trail();
    is_chained(&deployment);
    let uids = organizations(&folder.path());
    let trails: Vec<_> = uids.iter().map(|uid| Inside::of(&folder.path(), uid).trail()).collect();
    let contoso = trails.iter().find(|trail| trail[0].subject == "organizations/contoso").unwrap();
    is_chained(contoso);
    for trail in [&deployment, contoso] {
        let created = trail.iter().find(|record| record.subject == "organizations/contoso").unwrap();
        assert_eq!(told(std::slice::from_ref(created)), [("create-organization", "done", ADMIN)]);
        assert_eq!((created.fingerprint.as_ref(), created.key_version), (Some(&key.fingerprint), Some(1)));
    }
    assert_eq!(told(&deployment)[0], ("create-organization", "done", None));
}

#[tokio::test]
async fn registered_database_and_denial_are_in_the_trails() {
    // The auditor is an administrator, of another organization.
    let server = Server::start().await;
    let elsewhere = |config: &mut sealward_server::config::Config| {
        config.bindings.push(Binding {
            identity: "cn:auditor".parse().unwrap(),
            role: Role::SystemAdministrator.into(),
            scope: Scope::Organizations(["elsewhere".parse().unwrap()].into()),
        });
    };
    let server = server.restart(lose_configuration, elsewhere).await;
    let auditor = server.client(Person::Auditor);
    let mut denials = Vec::new();
    for organization in [DEFAULT, "organizations/nowhere"] {
        let key = text("a canary key, number 1");
        denials.push((organization, "retrieve-key", auditor.retrieve_data_encryption_key(organization).await.err()));
        denials.push((organization, "change-key", auditor.change_key(organization, &key).await.err()));
        denials.push((organization, "restore-key", auditor.restore_key(organization, &key).await.err()));
        let mailbox = format!("{organization}/mailboxes/0190c0de-0000-7000-8000-000000000001");
        denials.push((organization, "reveal-attributes", reveal(&auditor, &mailbox).await.err()));
    }
    let folder = server.stop().await;
    let whole = Inside::configuration(&folder).trail();
    let trail = without_signing(&whole);
    is_chained(&whole);
    assert_eq!(told(&trail)[0], ("register-organization", "done", None));
    assert_eq!(trail[0].subject, DEFAULT);
    let of_default = Inside::organization(&folder).trail();
    is_chained(&of_default);
    for (organization, action, error) in denials {
        let error = error.unwrap();
        assert_eq!((error.code(), error.reason()), (Code::PermissionDenied, ErrorReason::PrivilegeMissing));
        for trail in [&trail, &of_default].into_iter().take(if organization == DEFAULT { 2 } else { 1 }) {
            let record = record_of(trail, &error);
            let is = (&*record.subject, &*record.action, &*record.outcome, record.identity.as_deref());
            assert_eq!(is, (organization, action, "PRIVILEGE_MISSING", Some("cn:auditor")));
        }
    }
    assert_eq!(told(&without_signing(&of_default)).len(), 5);
    assert!(!format!("{trail:?}").contains("canary"));
}

#[tokio::test]
async fn reveal_that_cannot_be_recorded_is_refused() {
    sqlite_only!("locks the file of a database");
    let server = Server::start().await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let (connector, admin) = (server.client(Person::Connector), server.client(Person::Admin));
    let before = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();

    // Longer than the server waits for a lock.
    let lock = Inside::organization(server.folder());
    lock.sqlite().execute_batch("BEGIN EXCLUSIVE").unwrap();
    let (revealed, retrieved, restored) = tokio::join!(
        reveal(&connector, &stored.name),
        admin.retrieve_data_encryption_key(DEFAULT),
        admin.restore_key(DEFAULT, &before.encryption_key),
    );
    lock.sqlite().execute_batch("ROLLBACK").unwrap();
    let metadata = [("organization", "default")];
    let (code, unavailable) = (Code::Unavailable, ErrorReason::AuditUnavailable);
    let errors = [
        refused(revealed, code, unavailable, &metadata),
        refused(retrieved, code, unavailable, &metadata),
        refused(restored, code, unavailable, &metadata),
    ];
    for error in &errors {
        assert!(error.retry_delay().is_some());
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    // Then it continues: the chain has no gap where the write failed.
    assert_eq!(reveal(&connector, &stored.name).await.unwrap().as_deref(), Some("hunter2"));
    assert_eq!(reason(admin.restore_key(DEFAULT, &before.encryption_key).await), ErrorReason::KeyAlreadyActive);
    let whole = Inside::organization(&server.stop().await).trail();
    let trail = without_signing(&whole);
    is_chained(&whole);
    assert_eq!(
        told(&trail),
        [
            ("create-organization", "done", None),
            ("retrieve-key", "done", ADMIN),
            ("reveal-attributes", "done", Some("cn:connector")),
            ("restore-key", "KEY_ALREADY_ACTIVE", ADMIN),
        ]
    );
}
