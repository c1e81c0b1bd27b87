//! The platform without the mail application.

use sealward_client::{Code, ErrorReason, SecretString};
use sealward_server::{config::Config, development::Person};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    harness::{DEFAULT, Server, inside::Inside, mailbox, raw, reason, refused, reveal, settled},
    transport::grpcurl_as,
};

const GET_MAILBOX: &str = "sealward.mail.v1.MailboxService/GetMailbox";
const RESOLVE: &str = "sealward.mail.v1.MailboxConnectionService/ResolveMailboxConnection";

fn without_mail(config: &mut Config) {
    config.schema.mail = false;
}

#[tokio::test]
async fn platform_is_served_completely_without_the_mail_application() {
    let server = Server::start_with(without_mail).await;
    let admin = server.client(Person::Admin);

    // Every rpc of the platform is served, and none of mail.
    for rpc in raw::rpcs() {
        let path = raw::path(&rpc);
        let is_of_mail = rpc.parent_service().package_name() == "sealward.mail.v1";
        let outcome = raw::call(&admin, &path, b"\xff").await;
        let is_unknown = outcome.is_err_and(|status| status.code() == Code::Unimplemented);
        assert_eq!(is_unknown, is_of_mail, "{path}");
    }

    admin.change_key(DEFAULT, &SecretString::from("a new key, number 1")).await.unwrap();
    settled(&admin).await;
    assert!(admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active);
    assert_eq!(admin.list_entity_metadata(DEFAULT, 0, "").await.unwrap().records, []);
    admin.create_organization("contoso").await.unwrap();
    assert_eq!(admin.list_organizations(0, "").await.unwrap().records.len(), 2);
    assert!(admin.verify_audit_trail(DEFAULT).await.unwrap().findings.is_empty());
    let name = format!("{DEFAULT}/mailboxes/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506");
    assert_eq!(reason(reveal(&admin, &name).await), ErrorReason::FieldInvalid);
    assert_eq!(reason(admin.resolve_mailbox_connection(name, "a test").await), ErrorReason::MethodUnknown);
    for method in [GET_MAILBOX, RESOLVE] {
        assert_eq!(reason(admin.explain_access("", method, DEFAULT).await), ErrorReason::FieldInvalid);
    }

    let mut health = HealthClient::new(admin.channel());
    for (service, expected) in [
        ("sealward.v1.SecretAccessService", Ok(ServingStatus::Serving)),
        ("sealward.mail.v1.MailboxService", Err(Code::NotFound)),
        ("sealward.mail.v1.MailboxConnectionService", Err(Code::NotFound)),
    ] {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await;
        let found = answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code());
        assert_eq!(found, expected, "{service}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_shows_only_served_services() {
    let server = Server::start_with(without_mail).await;
    let (succeeded, services) = grpcurl_as(server.folder(), Person::Reader, &[server.address(), "list"]);
    assert!(succeeded && services.lines().any(|line| line == "sealward.v1.SecretAccessService"), "{services}");
    assert!(!services.contains("sealward.mail."), "{services}");
    let arguments = [server.address(), "describe", "sealward.mail.v1.Mailbox"];
    let (succeeded, described) = grpcurl_as(server.folder(), Person::Reader, &arguments);
    assert!(!succeeded, "{described}");
}

#[tokio::test]
async fn organization_with_mail_opens_only_if_mail_is_served() {
    let server = Server::start().await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let folder = server.stop().await;
    let cell = Inside::organization(&folder).password_cell(&stored.name);

    let server = Server::start_in(folder, without_mail).await;
    let admin = server.client(Person::Admin);
    let metadata = [("organization", "default"), ("what", "database")];
    let reason = ErrorReason::WrittenByNewerVersion;
    refused(admin.is_data_encryption_active(DEFAULT).await, Code::Unavailable, reason, &metadata);
    refused(reveal(&admin, &stored.name).await, Code::Unavailable, reason, &metadata);
    let folder = server.stop().await;
    assert_eq!(Inside::organization(&folder).password_cell(&stored.name), cell);

    // An organization that never had mail is served.
    let server = Server::start_in(folder, without_mail).await;
    let admin = server.client(Person::Admin);
    admin.create_organization("contoso").await.unwrap();
    assert!(admin.is_data_encryption_active("organizations/contoso").await.unwrap().is_active);

    // Both are served with mail, and the one without mail has it from now on.
    let server = server.restart(|_| {}, |_| {}).await;
    let writer = server.client(Person::Writer);
    assert_eq!(writer.mailboxes().get(&stored.name).await.unwrap(), stored);
    let revealed = reveal(&server.client(Person::Connector), &stored.name).await.unwrap();
    assert_eq!(revealed.as_deref(), Some("hunter2"));
    writer.mailboxes().create("organizations/contoso", mailbox("hunter3"), None).await.unwrap();
}
