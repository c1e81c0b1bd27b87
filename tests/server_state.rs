//! ServerService and ListBindings: what the server says about itself.

use std::fs;

use sealward_client::{ErrorReason, v1::server_finding::Severity};
use sealward_core::policy::{Binding, Privilege, Scope};
use sealward_server::{development::Person, reload::Outcome};
use sha2::{Digest as _, Sha256};

use crate::harness::{DEFAULT, Folder, Server, inside::lose_configuration, reason, settled};

#[tokio::test]
async fn info_names_the_contract_that_the_descriptors_have() {
    let server = Server::start().await;
    let info = server.client(Person::Reader).server_info().await.unwrap();
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(info.packages, ["sealward.mail.v1", "sealward.v1"]);
    assert_eq!(info.entities, ["EmailServerProfile", "Mailbox", "Queue", "UserSettings"]);
    let descriptors = sealward_server::descriptors::complete(sealward::FILE_DESCRIPTOR_SET).unwrap();
    assert_eq!(info.schema_sha256, data_encoding::HEXLOWER.encode(&Sha256::digest(descriptors)));
    let modules: Vec<&str> = info.cryptographic_modules.iter().map(|module| module.name.as_str()).collect();
    assert_eq!(modules, ["aws-lc-rs", "aes-gcm", "xaes-256-gcm"]);
    assert!(info.cryptographic_modules.iter().all(|module| !module.version.is_empty() && !module.uses.is_empty()));
}

#[tokio::test]
async fn status_needs_its_own_privilege_in_all_organizations() {
    let bind = |name: &str, role: Privilege, scope| Binding {
        identity: format!("cn:{name}").parse().unwrap(),
        role: role.into(),
        scope,
    };
    let server = Server::start_with(|config| {
        config.bindings.retain(|binding| binding.identity.to_string() == "cn:admin");
        let default = Scope::Organizations(["default".parse().unwrap()].into());
        config.bindings.push(bind("reader", Privilege::ReadServerStatus, Scope::All));
        config.bindings.push(bind("writer", Privilege::ReadServerStatus, default));
        config.bindings.push(bind("auditor", Privilege::ReadAccess, Scope::All));
    })
    .await;
    server.client(Person::Reader).server_status().await.unwrap();
    server.client(Person::Admin).server_status().await.unwrap();
    for person in [Person::Writer, Person::Auditor, Person::Connector] {
        assert_eq!(reason(server.client(person).server_status().await), ErrorReason::PrivilegeMissing);
    }
}

#[tokio::test]
async fn status_has_the_problems_with_their_remedies() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    let status = admin.server_status().await.unwrap();
    assert!(status.start_time.unwrap().seconds <= status.server_time.unwrap().seconds);
    let store = &status.stores[0];
    assert_eq!((store.organizations, store.organizations_not_served, store.open_databases), (1, 0, 1));
    assert!(store.engine.starts_with("SQLite 3.") && store.available_bytes.unwrap() > 0, "{store:?}");
    assert_eq!(store.location, server.folder().path().to_str().unwrap());
    let due = status.findings.iter().find(|finding| finding.subject == "organizations").unwrap();
    assert_eq!(due.problem, "a change of the encryption key is due: default");
    assert_eq!((due.severity(), due.remedy.as_str()), (Severity::Warning, "change it: sealward -o default key change"));
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    settled(&admin).await;
    assert!(!admin.server_status().await.unwrap().findings.iter().any(|finding| finding.subject == "organizations"));

    // A certificate that can't be used.
    let certificate = server.folder().path().join("tls/server.pem");
    let before = fs::read(&certificate).unwrap();
    fs::write(&certificate, "nothing").unwrap();
    assert!(matches!(server.reload().await.certificate, Outcome::Refused(_)));
    let findings = admin.server_status().await.unwrap().findings;
    let refused = findings.iter().find(|finding| finding.subject == "server certificate").unwrap();
    assert!(refused.problem.contains("the previous version stays in use") && !refused.remedy.is_empty(), "{refused:?}");
    fs::write(&certificate, before).unwrap();
    server.reload().await;
    let findings = admin.server_status().await.unwrap().findings;
    assert!(!findings.iter().any(|finding| finding.subject == "server certificate"), "{findings:?}");

    let server = server.restart(lose_configuration, |_| {}).await;
    let findings = server.client(Person::Admin).server_status().await.unwrap().findings;
    let inactive = findings.iter().find(|finding| finding.subject == "organizations").unwrap();
    assert_eq!(inactive.problem, "the encryption key is missing: default");
    // Errors come first.
    assert_eq!(findings[0].severity(), Severity::Error);
}

#[tokio::test]
async fn bindings_are_listed_as_loaded_and_pages_belong_to_one_list() {
    let folder = Folder::new();
    let server = Server::start_in(folder, |_| {}).await;
    let auditor = server.client(Person::Auditor);
    assert_eq!(reason(server.client(Person::Reader).list_bindings("", 0, "").await), ErrorReason::PrivilegeMissing);
    assert_eq!(reason(auditor.list_bindings("reader", 0, "").await), ErrorReason::FieldInvalid);
    assert_eq!(reason(auditor.list_bindings("", -1, "").await), ErrorReason::FieldInvalid);

    let all = auditor.list_bindings("", 0, "").await.unwrap();
    assert_eq!(all.next_page_token, "");
    let mut one_by_one = Vec::new();
    let mut token = String::new();
    loop {
        let page = auditor.list_bindings("", 1, token.as_str()).await.unwrap();
        assert_eq!(page.records.len(), 1);
        one_by_one.extend(page.records);
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    assert_eq!(one_by_one, all.records);
    let of_reader = auditor.list_bindings("cn:reader", 0, "").await.unwrap().records;
    assert_eq!((of_reader.len(), of_reader[0].role.as_str()), (1, "record-reader"));
    assert_eq!(of_reader[0].organizations, ["*"]);

    // A reload changes the list, and ends its pages.
    let second = auditor.list_bindings("", 1, "").await.unwrap().next_page_token;
    assert_eq!(reason(auditor.list_bindings("cn:reader", 1, second.as_str()).await), ErrorReason::PageTokenInvalid);
    let config = server.folder().development().config_file();
    let text = fs::read_to_string(&config).unwrap();
    let added = "\n[[bindings]]\nidentity = \"cn:new\"\nrole = \"record-reader\"\norganizations = [\"contoso\"]\n";
    fs::write(&config, text + added).unwrap();
    assert_eq!(server.reload().await.configuration, Outcome::Taken);
    assert_eq!(reason(auditor.list_bindings("", 1, second.as_str()).await), ErrorReason::PageTokenInvalid);
    let added = auditor.list_bindings("cn:new", 0, "").await.unwrap().records;
    assert_eq!((added[0].role.as_str(), &added[0].organizations[..]), ("record-reader", &["contoso".to_owned()][..]));
}
