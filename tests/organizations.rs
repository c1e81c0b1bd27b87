//! Deleted organizations, and databases that are restored from older copies.

use std::fs;

use sealward_client::{Code, ErrorReason, ExposeSecret as _, v1::reencryption::State};
use sealward_server::development::Person;

use crate::harness::{
    DEFAULT, Folder, Server,
    inside::{Inside, files_with},
    mailbox,
    process::Process,
    raw, reason, refused, reveal, settled,
};

/// Ends a server process while its clients run and get GOAWAY.
async fn end(server: Process) {
    server.terminate();
    assert!(tokio::task::spawn_blocking(move || server.wait()).await.unwrap().success());
}

const CONTOSO: &str = "organizations/contoso";

#[tokio::test]
async fn deleted_organization_leaves_only_a_tombstone_and_an_audit_record() {
    sqlite_only!("copies or replaces files of databases");
    let server = Server::start().await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    let uid = admin.create_organization("contoso").await.unwrap().uid;
    let stored = writer.mailboxes().create(CONTOSO, mailbox("hunter2"), None).await.unwrap().name;
    let kept = writer.mailboxes().create(DEFAULT, mailbox("kept"), None).await.unwrap().name;
    let database = format!("organizations/{uid}.db");
    let copy = server.folder().path().join("copy");
    {
        let inside = Inside::open(&server.folder().path().join(&database));
        inside.sqlite().execute_batch(&format!("VACUUM INTO '{}'", copy.display())).unwrap();
    }
    let wrapped = Inside::open(&copy).wrapped_keys().remove(0);
    let copy_bytes = fs::read(&copy).unwrap();
    fs::remove_file(&copy).unwrap();

    assert_eq!(reason(writer.delete_organization(CONTOSO).await), ErrorReason::PrivilegeMissing);
    admin.delete_organization(CONTOSO).await.unwrap();
    assert_eq!(reason(admin.get_organization(CONTOSO).await), ErrorReason::NotFound);
    assert_eq!(reason(writer.mailboxes().get(&stored).await), ErrorReason::NotFound);
    assert_eq!(reason(admin.delete_organization(CONTOSO).await), ErrorReason::NotFound);
    assert_eq!(reveal(&server.client(Person::Connector), &kept).await.unwrap().as_deref(), Some("kept"));

    let folder = server.stop().await;
    assert!(!folder.path().join(&database).exists());
    assert!(!folder.path().join(&database).with_extension("lock").exists());
    assert_eq!(files_with(&folder.path(), &wrapped), Vec::<std::path::PathBuf>::new());
    let configuration = Inside::configuration(&folder);
    assert_eq!(configuration.key_texts().len(), 1);
    let trail = configuration.trail();
    let deleted =
        trail.iter().find(|record| record.action == "delete-organization" && record.outcome == "done").unwrap();
    assert_eq!((deleted.subject.as_str(), deleted.identity.as_deref()), (CONTOSO, Some("cn:admin")));
    drop(configuration);

    // A copy that appears in the folder isn't registered automatically, and its name is free.
    fs::write(folder.path().join(&database), copy_bytes).unwrap();
    let server = Server::start_in(folder, |_| {}).await;
    let admin = server.client(Person::Admin);
    assert_eq!(reason(admin.get_organization(CONTOSO).await), ErrorReason::NotFound);
    assert_ne!(admin.create_organization("contoso").await.unwrap().uid, uid);
}

#[tokio::test]
async fn deletion_needs_confirmation_and_does_not_wait_for_a_change() {
    let server = Server::start_with(|config| config.limits.reencryption_pause_ms = 60_000).await;
    let admin = server.client(Person::Admin);
    let request = sealward_client::v1::DeleteOrganizationRequest {
        name: DEFAULT.to_owned(),
        confirm_name: "organizations/other".to_owned(),
    };
    let message = prost::Message::encode_to_vec(&request);
    let unconfirmed = raw::call(&admin, "/sealward.v1.OrganizationService/DeleteOrganization", &message);
    assert_eq!(unconfirmed.await.unwrap_err().code(), Code::InvalidArgument);
    server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("kept"), None).await.unwrap();
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    assert_eq!(reason(admin.delete_organization(DEFAULT).await), ErrorReason::SetKeyAlreadyRunning);
    assert_eq!(admin.list_organizations(0, "").await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn restored_older_database_is_reported_until_a_key_change() {
    sqlite_only!("copies or replaces files of databases");
    // As a process: it has closed its files when it has ended.
    let folder = Folder::new();
    let client = |server: &Process, person| folder.client(&server.address, person);
    let server = Process::start(&folder.path());
    let stored = client(&server, Person::Writer).mailboxes().create(DEFAULT, mailbox("old"), None).await.unwrap().name;
    let first = client(&server, Person::Admin).retrieve_data_encryption_key(DEFAULT).await.unwrap();
    end(server).await;
    let database = folder.organization_database();
    let copy = fs::read(&database).unwrap();

    let server = Process::start(&folder.path());
    let admin = client(&server, Person::Admin);
    assert_eq!(admin.is_data_encryption_active(DEFAULT).await.unwrap().rolled_back_time, None);
    let second = admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    settled(&admin).await;
    end(server).await;
    fs::write(&database, &copy).unwrap();

    let server = Process::start(&folder.path());
    let admin = client(&server, Person::Admin);
    let status = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    assert_eq!((status.is_active, &status.fingerprint), (false, &first.fingerprint));
    let reported = status.rolled_back_time.unwrap();
    let history = admin.list_key_changes(DEFAULT, 0, "").await.unwrap().records;
    let known: Vec<_> = history.iter().map(|change| (change.fingerprint.as_str(), change.key_version)).collect();
    assert_eq!(known, [(second.fingerprint.as_str(), 0), (first.fingerprint.as_str(), 1)]);
    let wrong = admin.restore_key(DEFAULT, &"a new key, number 2".into()).await;
    let metadata = [
        ("organization", "default"),
        ("wanted_fingerprint", first.fingerprint.as_str()),
        ("given_length", "19"),
        ("dynamics_code", "8004852B"),
    ];
    refused(wrong, Code::FailedPrecondition, ErrorReason::KeyMismatch, &metadata);
    admin.restore_key(DEFAULT, &first.encryption_key.expose_secret().to_owned().into()).await.unwrap();
    assert_eq!(reveal(&client(&server, Person::Connector), &stored).await.unwrap().as_deref(), Some("old"));

    end(server).await;
    let server = Process::start(&folder.path());
    let admin = client(&server, Person::Admin);
    assert_eq!(admin.is_data_encryption_active(DEFAULT).await.unwrap().rolled_back_time, Some(reported));
    admin.change_key(DEFAULT, &"a new key, number 3".into()).await.unwrap();
    assert_eq!(settled(&admin).await.state(), State::Done);
    end(server).await;
    let server = Process::start(&folder.path());
    assert_eq!(client(&server, Person::Admin).is_data_encryption_active(DEFAULT).await.unwrap().rolled_back_time, None);
}
