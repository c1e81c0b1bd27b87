//! Permissions: every rpc by every role, and the limits of a binding to some organizations.

use std::{fmt::Write as _, path::Path};

use sealward_client::{Client, Code, Error, ErrorReason, ListOptions, SecretString};
use sealward_core::{
    identity::Identity,
    policy::{Binding, Grant, Privilege, Role, Scope},
};
use sealward_server::{config::Config, development::Person};
use tonic::Status;
use tonic_types::StatusExt;

use crate::harness::{DEFAULT, PATIENCE, Server, mailbox, raw, reason, reveal};

const CONTOSO: &str = "organizations/contoso";
const NOWHERE: &str = "organizations/nowhere";

/// rpcs that are served and not of the contract.
const OTHERS: [&str; 3] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The entry in the snapshot: errors after the permission check don't count.
fn verdict(outcome: Result<Option<Vec<u8>>, Status>) -> String {
    let Err(status) = outcome else { return "allowed".to_owned() };
    let code = status.code();
    if code != Code::PermissionDenied && code != Code::Unauthenticated {
        return "allowed".to_owned();
    }
    let info = status.get_details_error_info().unwrap();
    let privilege = info.metadata.get("privilege").map(|privilege| format!(" {privilege}")).unwrap_or_default();
    format!("{}{privilege}", info.reason)
}

#[tokio::test]
async fn allowed_rpcs_of_every_role_match_the_snapshot() {
    let server = Server::start().await;
    let nobody = server.folder().client_builder(server.address()).connect_lazy().unwrap();
    let mut callers: Vec<(&str, Client)> =
        Person::ALL.into_iter().map(|person| (person.name(), server.client(person))).collect();
    callers.push(("nobody", nobody));

    let mut paths: Vec<String> = raw::rpcs().iter().map(raw::path).collect();
    paths.extend(OTHERS.map(str::to_owned));
    let mut table = String::new();
    for path in paths {
        writeln!(table, "{}", path.trim_start_matches('/')).unwrap();
        for (name, client) in &callers {
            let call = tokio::time::timeout(PATIENCE, raw::call(client, &path, &[])).await.unwrap();
            writeln!(table, "  {name:<10} {}", verdict(call)).unwrap();
        }
    }

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/role_rpc.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    let snapshot = std::fs::read_to_string(&file).unwrap_or_default();
    for (line, (is, should_be)) in table.lines().zip(snapshot.lines()).enumerate() {
        assert_eq!(is, should_be, "line {} of role_rpc.txt; UPDATE_SNAPSHOTS=1 accepts what is", line + 1);
    }
    assert_eq!(table, snapshot, "UPDATE_SNAPSHOTS=1 accepts what is");
}

/// Replaces the bindings of this person in the development configuration.
fn bind(config: &mut Config, person: Person, role: impl Into<Grant>, scope: Scope) {
    let identity = Identity::CommonName(person.name().to_owned());
    config.bindings.retain(|binding| binding.identity != identity);
    config.bindings.push(Binding { identity, role: role.into(), scope });
}

fn only_contoso() -> Scope {
    Scope::Organizations(["contoso".parse().unwrap()].into())
}

/// The content of a refusal that a caller can compare.
#[track_caller]
fn refusal<T>(outcome: Result<T, Error>) -> (Code, ErrorReason, Option<String>, String) {
    let Err(error) = outcome else { panic!("the call should have been refused") };
    let privilege = error.metadata("privilege").map(str::to_owned);
    (error.code(), error.reason(), privilege, error.to_string())
}

#[tokio::test]
async fn a_writer_of_one_organization_learns_nothing_about_others() {
    let server = Server::start_with(|config| bind(config, Person::Writer, Role::RecordWriter, only_contoso())).await;
    let admin = server.client(Person::Admin);
    admin.create_organization("contoso").await.unwrap();
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(CONTOSO, mailbox("hunter2"), None).await.unwrap();
    assert_eq!(writer.mailboxes().get(&stored.name).await.unwrap(), stored);
    let of_default = admin.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();

    // The same refusal in an existing and a missing organization.
    let mut refusals = Vec::new();
    for (organization, name) in
        [(DEFAULT, of_default.name.clone()), (NOWHERE, of_default.name.replace(DEFAULT, NOWHERE))]
    {
        let mut record = mailbox("other");
        record.name.clone_from(&name);
        refusals.push([
            refusal(writer.mailboxes().create(organization, mailbox("hunter2"), None).await),
            refusal(writer.mailboxes().get(&name).await),
            refusal(writer.mailboxes().list(organization, ListOptions::default()).await),
            refusal(writer.mailboxes().update(record, ["password"]).await),
            refusal(writer.mailboxes().delete(&name, "").await),
            refusal(writer.get_organization(organization).await),
        ]);
    }
    for (code, reason, privilege, _) in &refusals[0] {
        assert_eq!((*code, *reason), (Code::PermissionDenied, ErrorReason::PrivilegeMissing));
        assert!(privilege.is_some());
    }
    let [of_default_refusals, of_nowhere_refusals] = &refusals[..] else { panic!() };
    for (there, nowhere) in of_default_refusals.iter().zip(of_nowhere_refusals) {
        // Only the name that the caller gave differs.
        let renamed = nowhere.3.replace(NOWHERE, DEFAULT);
        assert_eq!(*there, (nowhere.0, nowhere.1, nowhere.2.clone(), renamed));
    }

    // A list shows only permitted organizations.
    let visible = writer.list_organizations(0, "").await.unwrap().records;
    assert_eq!(visible.iter().map(|organization| organization.name.as_str()).collect::<Vec<_>>(), [CONTOSO]);
}

#[tokio::test]
async fn organization_administrator_cannot_create_organizations_or_read_keys() {
    let server = Server::start_with(|config| {
        bind(config, Person::Auditor, Role::SystemAdministrator, only_contoso());
    })
    .await;
    let of_contoso = server.client(Person::Auditor);
    for id in ["contoso", "fabrikam", "default", "-"] {
        assert_eq!(reason(of_contoso.create_organization(id).await), ErrorReason::PrivilegeMissing, "{id}");
    }
    server.client(Person::Admin).create_organization("contoso").await.unwrap();
    let key = of_contoso.retrieve_data_encryption_key(CONTOSO).await.unwrap();
    for organization in [DEFAULT, NOWHERE] {
        let outcomes = [
            of_contoso.retrieve_data_encryption_key(organization).await.map(drop),
            of_contoso.is_data_encryption_active(organization).await.map(drop),
            of_contoso.change_key(organization, &"a new key, number 1".into()).await.map(drop),
            of_contoso.restore_key(organization, &key.encryption_key).await.map(drop),
            reveal(&of_contoso, &format!("{organization}/mailboxes/x")).await.map(drop),
        ];
        for outcome in outcomes {
            assert_eq!(reason(outcome), ErrorReason::PrivilegeMissing);
        }
        let mut watch = of_contoso.watch_reencryption(organization).await;
        let refused = match &mut watch {
            Ok(stream) => reason(stream.next().await),
            Err(error) => error.reason(),
        };
        assert_eq!(refused, ErrorReason::PrivilegeMissing);
    }
}

#[tokio::test]
async fn a_refusal_names_identity_privilege_and_organization() {
    let server = Server::start_with(|config| bind(config, Person::Writer, Role::RecordWriter, only_contoso())).await;
    let writer = server.client(Person::Writer);
    let refused = |outcome: Result<(), Error>, message: &str, metadata: &[(&str, &str)]| {
        let error = crate::harness::refused(outcome, Code::PermissionDenied, ErrorReason::PrivilegeMissing, metadata);
        assert_eq!(error.call().unwrap().message(), message);
    };
    // Held elsewhere, so that the dispatcher refuses, whether the organization exists or not.
    for (organization, name) in [(DEFAULT, "default"), (NOWHERE, "nowhere")] {
        refused(
            writer.mailboxes().list(organization, ListOptions::default()).await.map(drop),
            &format!(
                "cn:writer lacks the privilege prvReadRecords in organizations/{name}: ask an administrator for a role with it"
            ),
            &[("identity", "cn:writer"), ("organization", name), ("privilege", "prvReadRecords")],
        );
    }
    // Held nowhere, so that the layer refuses before the message is read.
    refused(
        writer.retrieve_data_encryption_key(CONTOSO).await.map(drop),
        "cn:writer lacks the privilege prvReadSqlEncryptionKey in every organization: ask an administrator for a role with it",
        &[("identity", "cn:writer"), ("privilege", "prvReadSqlEncryptionKey")],
    );
    // Held in some organizations, for a method that needs all of them.
    let server =
        Server::start_with(|config| bind(config, Person::Writer, Role::SystemAdministrator, only_contoso())).await;
    refused(
        server.client(Person::Writer).create_organization("fabrikam").await.map(drop),
        "cn:writer lacks the privilege prvCreateOrganizations for the whole deployment: ask an administrator for a role with it in \"*\"",
        &[("identity", "cn:writer"), ("organization", "*"), ("privilege", "prvCreateOrganizations")],
    );
}

#[tokio::test]
async fn the_state_of_the_key_is_read_without_the_privilege_for_its_text() {
    let server = Server::start_with(|config| {
        bind(config, Person::Reader, Privilege::ReadEncryptionState, Scope::All);
        bind(config, Person::Writer, Privilege::ReadEncryptionKey, Scope::All);
    })
    .await;
    // The second is the auditor's role, and the third includes the state.
    for person in [Person::Reader, Person::Auditor, Person::Writer] {
        let client = server.client(person);
        let status = client.is_data_encryption_active(DEFAULT).await.unwrap();
        assert!(status.is_active);
        client.list_key_changes(DEFAULT, 0, "").await.unwrap();
        client.list_unreadable_cells(DEFAULT, 0, "").await.unwrap();
        client.watch_reencryption(DEFAULT).await.unwrap().next().await.unwrap().unwrap();
        client.verify_cells(DEFAULT).await.unwrap().next().await.unwrap().unwrap();
        let text = client.retrieve_data_encryption_key(DEFAULT).await;
        match person {
            Person::Writer => drop(text.unwrap()),
            _ => assert_eq!(reason(text), ErrorReason::PrivilegeMissing),
        }
        let changed = client.change_key(DEFAULT, &"a new key, number 1".into()).await;
        assert_eq!(reason(changed), ErrorReason::PrivilegeMissing);
    }
}

#[tokio::test]
async fn key_privilege_granted_alone_includes_no_other() {
    let server = Server::start_with(|config| {
        bind(config, Person::Writer, Privilege::ReadEncryptionKey, Scope::All);
        bind(config, Person::Reader, Privilege::ChangeEncryptionKey, Scope::All);
        bind(config, Person::Connector, Privilege::RestoreEncryptionKey, Scope::All);
    })
    .await;
    let text = SecretString::from("a new key, number 1");
    let cases = [
        (Person::Writer, "prvReadSqlEncryptionKey"),
        (Person::Reader, "prvChangeSqlEncryptionKey"),
        (Person::Connector, "prvRestoreSqlEncryptionKey"),
    ];
    for (person, held) in cases {
        let client = server.client(person);
        let outcomes = [
            ("prvReadEncryptionState", client.is_data_encryption_active(DEFAULT).await.map(drop)),
            ("prvReadSqlEncryptionKey", client.retrieve_data_encryption_key(DEFAULT).await.map(drop)),
            ("prvChangeSqlEncryptionKey", client.change_key(DEFAULT, &text).await.map(drop)),
            ("prvRestoreSqlEncryptionKey", client.restore_key(DEFAULT, &text).await.map(drop)),
        ];
        for (needed, outcome) in outcomes {
            match outcome {
                Err(error) if error.reason() == ErrorReason::PrivilegeMissing => {
                    assert_ne!(needed, held);
                    // A caller that may neither change nor restore is refused before its request is read.
                    let named = error.metadata("privilege").unwrap();
                    let holds_neither = held == "prvReadSqlEncryptionKey" && named == "prvChangeSqlEncryptionKey";
                    assert!(named == needed || holds_neither, "{person:?} {needed}: {named}");
                }
                Ok(()) if needed == "prvReadEncryptionState" => assert_eq!(held, "prvReadSqlEncryptionKey"),
                Ok(()) => assert_eq!(needed, held),
                // Allowed, and then refused because there is nothing to restore, or because the change is running.
                Err(error) => {
                    let reasons = [ErrorReason::KeyAlreadyActive, ErrorReason::SetKeyAlreadyRunning];
                    assert!(needed == held && reasons.contains(&error.reason()), "{error}");
                }
            }
        }
        // And no other role.
        assert_eq!(
            reason(client.mailboxes().list(DEFAULT, ListOptions::default()).await),
            ErrorReason::PrivilegeMissing
        );
        assert_eq!(reason(client.create_organization("contoso").await), ErrorReason::PrivilegeMissing);
        assert_eq!(reason(reveal(&client, DEFAULT).await), ErrorReason::PrivilegeMissing);
    }
    // The change was the only one that changed something.
    let key = server.client(Person::Admin).retrieve_data_encryption_key(DEFAULT).await.unwrap();
    assert_eq!(sealward_client::ExposeSecret::expose_secret(&key.encryption_key), "a new key, number 1");
}

#[tokio::test]
async fn identity_without_a_binding_may_only_call_what_needs_no_privilege() {
    let server = Server::start_with(|config| config.bindings.clear()).await;
    let admin = server.client(Person::Admin);
    let outcomes = [
        admin.mailboxes().list(DEFAULT, ListOptions::default()).await.map(drop),
        admin.list_organizations(0, "").await.map(drop),
        admin.retrieve_data_encryption_key(DEFAULT).await.map(drop),
        admin.create_organization("contoso").await.map(drop),
        admin.server_status().await.map(drop),
        admin.list_bindings("", 0, "").await.map(drop),
    ];
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::PermissionDenied, ErrorReason::PrivilegeMissing));
    }
    assert_eq!(admin.who_am_i().await.unwrap().identity, "cn:admin");
    assert!(!admin.server_info().await.unwrap().version.is_empty());
}
