//! The transport: TLS, identity, sizes, deadlines, unknown methods, health, reflection and draining.

use std::process::Command;

use prost::Message;
use sealward_client::{Action, Client, Code, ErrorReason, ListOptions, Origin, RetryPolicy, SecretString, v1};
use sealward_server::development::Person;
use tonic::Status;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt;

use crate::harness::{
    DEFAULT, Folder, PATIENCE, Server, mailbox,
    process::{Process, grpcurl},
    raw, reveal,
};

const GET_MAILBOX: &str = "/sealward.mail.v1.MailboxService/GetMailbox";
const IS_ACTIVE: &str = "/sealward.v1.DataEncryptionService/IsDataEncryptionActive";

fn plaintext(server: &Server) -> Client {
    let address = server.plaintext_address.clone().unwrap();
    Client::builder(format!("http://{address}")).plaintext().retry(RetryPolicy::never()).connect_lazy().unwrap()
}

fn without_certificate(server: &Server) -> Client {
    server.folder().client_builder(server.address()).connect_lazy().unwrap()
}

/// Code and reason of an error, which must have the standard details.
#[track_caller]
fn refusal<T>(outcome: Result<T, Status>) -> (Code, String) {
    let Err(status) = outcome else { panic!("the call should have been refused") };
    let details = status.get_error_details();
    assert!(details.request_info().is_some_and(|info| !info.request_id.is_empty()), "{status:?}");
    let info = details.error_info().unwrap();
    assert_eq!(info.domain, "sealward");
    (status.code(), info.reason.clone())
}

fn is(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

#[tokio::test]
async fn without_tls_every_rpc_is_refused_before_its_message_is_read() {
    let server = Server::start().await;
    let client = plaintext(&server);
    let https_required = is(Code::FailedPrecondition, "HTTPS_REQUIRED");
    for rpc in raw::rpcs() {
        // The message never arrives, so an answer shows that the server doesn't wait for it.
        let path = raw::path(&rpc);
        let call = raw::call_without_message(&client, &path);
        let outcome = tokio::time::timeout(PATIENCE, call).await.unwrap();
        let number = outcome.as_ref().err().and_then(StatusExt::get_details_error_info).unwrap();
        assert_eq!(number.metadata.get("dynamics_code").map(String::as_str), Some("8004852C"));
        assert_eq!(refusal(outcome), https_required, "{path}");
    }
    for path in ["/nothing.At/All", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] {
        assert_eq!(refusal(raw::call(&client, path, &[]).await), https_required, "{path}");
    }
    let error = client.change_key(DEFAULT, &SecretString::from("a new key, number 1")).await.unwrap_err();
    assert_eq!((error.reason(), error.action()), (ErrorReason::HttpsRequired, Action::FixCall));
}

#[tokio::test]
async fn health_needs_no_identity() {
    let server = Server::start().await;
    for client in [plaintext(&server), without_certificate(&server), server.client(Person::Reader)] {
        let mut health = HealthClient::new(client.channel());
        for service in ["", "sealward.v1.DataEncryptionService", "sealward.mail.v1.MailboxService"] {
            let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap();
            assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
        }
        let unknown = health.check(HealthCheckRequest { service: "nothing.At.All".to_owned() }).await;
        assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test]
async fn headers_give_no_identity() {
    let server = Server::start().await;
    let admin = std::fs::read_to_string(server.folder().development().certificate(Person::Admin)).unwrap();
    let pem = admin.replace('\n', "%0A").replace(' ', "%20");
    let forwarded = format!("By=x;Hash=00;Cert=\"{pem}\";Subject=\"CN=admin\";URI=");
    let headers = [
        ("x-forwarded-client-cert", forwarded.as_str()),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-user", "admin"),
        ("forwarded", "for=127.0.0.1;proto=https"),
    ];
    let message = v1::IsDataEncryptionActiveRequest { organization: DEFAULT.to_owned() }.encode_to_vec();
    let identity_required = is(Code::Unauthenticated, "IDENTITY_REQUIRED");
    let https_required = is(Code::FailedPrecondition, "HTTPS_REQUIRED");
    let missing = is(Code::PermissionDenied, "PRIVILEGE_MISSING");
    for (client, refused) in [
        (without_certificate(&server), identity_required),
        (plaintext(&server), https_required),
        // The certificate of the connection counts, and no other.
        (server.client(Person::Reader), missing),
    ] {
        assert_eq!(refusal(raw::call_with_headers(&client, IS_ACTIVE, &headers, &message).await), refused);
    }
    raw::call_with_headers(&server.client(Person::Admin), IS_ACTIVE, &headers, &message).await.unwrap();
}

#[tokio::test]
async fn caller_without_identity_is_refused_before_a_message_is_read() {
    let server = Server::start().await;
    for (client, refused) in [
        (without_certificate(&server), is(Code::Unauthenticated, "IDENTITY_REQUIRED")),
        (server.client(Person::Auditor), is(Code::PermissionDenied, "PRIVILEGE_MISSING")),
    ] {
        let call = raw::call_without_message(&client, GET_MAILBOX);
        assert_eq!(refusal(tokio::time::timeout(PATIENCE, call).await.unwrap()), refused);
    }
}

#[tokio::test]
async fn a_method_that_is_not_served_is_unimplemented() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    for path in [
        "/sealward.mail.v1.MailboxService/Nothing",
        "/nothing.At/All",
        "/",
        "/sealward.mail.v1.MailboxService/GetMailbox/",
    ] {
        assert_eq!(refusal(raw::call(&admin, path, &[]).await), is(Code::Unimplemented, "METHOD_UNKNOWN"), "{path}");
    }
}

#[tokio::test]
async fn malformed_message_is_refused_with_details() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    // A field number without its value; a length beyond the end; text that isn't UTF-8; a group that doesn't end.
    for broken in [&[0x0a][..], &[0x0a, 0x7f, 0x61], &[0x0a, 0x01, 0xff], &[0x0b], &[0xff; 12]] {
        for path in [GET_MAILBOX, IS_ACTIVE] {
            let (code, reason) = refusal(raw::call(&admin, path, broken).await);
            assert_eq!(reason, "MESSAGE_INVALID", "{path} {broken:?}");
            assert!([Code::InvalidArgument, Code::Internal].contains(&code), "{path} {broken:?} {code:?}");
        }
    }
    assert_eq!(refusal(raw::call(&admin, GET_MAILBOX, &[0x0b]).await).0, Code::InvalidArgument);
}

/// A message of this size for any request type: an unknown field.
pub(crate) fn message_of(bytes: usize) -> Vec<u8> {
    // Tag of field 15, and a length of four bytes.
    let length = bytes - 5;
    let mut message = vec![0x7a];
    message.extend([0, 7, 14].map(|shift| u8::try_from(length >> shift & 0x7f | 0x80).unwrap()));
    message.push(u8::try_from(length >> 21).unwrap());
    message.resize(bytes, 0);
    message
}

#[tokio::test]
async fn message_is_accepted_up_to_the_limit() {
    let server = Server::start_with(|config| config.limits.message_size_max_bytes = 262_144).await;
    let admin = server.client(Person::Admin);
    for path in [GET_MAILBOX, IS_ACTIVE] {
        let at = refusal(raw::call(&admin, path, &message_of(262_144)).await);
        assert_eq!(at, is(Code::InvalidArgument, "FIELD_INVALID"), "{path}");
        let past = refusal(raw::call(&admin, path, &message_of(262_145)).await);
        assert_eq!(past, is(Code::OutOfRange, "MESSAGE_TOO_LARGE"), "{path}");
    }
}

#[tokio::test]
async fn call_ends_at_its_deadline() {
    let server = Server::start_with(|config| config.limits.deadline_default_ms = 1).await;
    let admin = server.client(Person::Admin);
    for path in [GET_MAILBOX, IS_ACTIVE] {
        let call = raw::call_without_message(&admin, path);
        let outcome = tokio::time::timeout(PATIENCE, call).await.unwrap();
        assert_eq!(refusal(outcome), is(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"), "{path}");
    }
    // Client and server report a deadline alike.
    let hurried = server.client(Person::Admin).with_timeout(std::time::Duration::from_nanos(1));
    let error = hurried.mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::DeadlineExceeded, ErrorReason::DeadlineExceeded));
}

#[tokio::test]
async fn a_certificate_of_another_ca_does_not_connect() {
    let server = Server::start().await;
    let other = Folder::new();
    let stranger = server
        .folder()
        .client_builder(server.address())
        .identity_files(other.development().certificate(Person::Admin), other.development().key(Person::Admin))
        .connect_lazy()
        .unwrap();
    let error = stranger.list_organizations(0, "").await.unwrap_err();
    let call = error.call().unwrap();
    // Not answered by the server: the handshake failed.
    assert_ne!(call.origin(), Origin::Server, "{error}");
    assert_eq!((call.code(), call.call_id()), (Code::Unavailable, None), "{error}");

    // And a client refuses a server of another CA.
    let mistaken = other.client(server.address(), Person::Admin);
    let error = mistaken.list_organizations(0, "").await.unwrap_err();
    assert_eq!(error.call().unwrap().origin(), Origin::TlsRefused, "{error}");
}

#[tokio::test]
async fn every_error_of_the_handlers_has_its_call_id() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    let missing = format!("{DEFAULT}/mailboxes/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506");
    let outcomes = [
        admin.mailboxes().get(&missing).await.map(drop),
        admin.mailboxes().list(DEFAULT, ListOptions::default().page_size(-1)).await.map(drop),
        admin.mailboxes().list(DEFAULT, ListOptions::default().page_token("x")).await.map(drop),
        reveal(&admin, &missing).await.map(drop),
        admin.create_organization("default").await.map(drop),
        admin.change_key(DEFAULT, &"short".into()).await.map(drop),
        admin.restore_key(DEFAULT, &"a new key, number 1".into()).await.map(drop),
        server.client(Person::Reader).mailboxes().delete(&missing, "").await,
    ];
    let mut ids: Vec<String> =
        outcomes.into_iter().map(|outcome| outcome.unwrap_err().call_id().unwrap().to_owned()).collect();
    let calls = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), calls);
}

/// grpcurl as this person: whether it succeeded, and its output.
pub(crate) fn grpcurl_as(folder: &Folder, person: Person, arguments: &[&str]) -> (bool, String) {
    let development = folder.development();
    let output = Command::new(grpcurl())
        .arg("-cacert")
        .arg(development.ca())
        .arg("-cert")
        .arg(development.certificate(person))
        .arg("-key")
        .arg(development.key(person))
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_describes_the_contract_and_error_details() {
    let server = Server::start().await;
    let call = |person, arguments: &[&str]| grpcurl_as(server.folder(), person, arguments);
    let (succeeded, services) = call(Person::Reader, &[server.address(), "list"]);
    assert!(succeeded, "{services}");
    for service in ["sealward.mail.v1.MailboxService", "sealward.v1.DataEncryptionService", "grpc.health.v1.Health"] {
        assert!(services.lines().any(|line| line == service), "{services}");
    }
    let (succeeded, described) =
        call(Person::Reader, &[server.address(), "describe", "sealward.mail.v1.MailboxService"]);
    assert!(succeeded && described.contains("rpc GetMailbox"), "{described}");
    let (succeeded, described) = call(Person::Reader, &[server.address(), "describe", "sealward.mail.v1.Mailbox"]);
    assert!(succeeded && described.contains("optional string password = 8"), "{described}");

    let (succeeded, said) = call(
        Person::Writer,
        &[
            "-d",
            r#"{"parent": "organizations/default"}"#,
            server.address(),
            "sealward.mail.v1.MailboxService/CreateMailbox",
        ],
    );
    assert!(!succeeded);
    for expected in [
        "InvalidArgument",
        "google.rpc.ErrorInfo",
        "FIELD_INVALID",
        "google.rpc.BadRequest",
        "mailbox.display_name",
        "google.rpc.RequestInfo",
    ] {
        assert!(said.contains(expected), "{expected} is missing: {said}");
    }
    assert!(!said.contains("@value") && !said.contains("@error"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_calls_finish_and_notifies_streams() {
    let folder = Folder::new();
    // A re-encryption that doesn't end before the server does.
    let file = folder.development().config_file();
    let configuration = std::fs::read_to_string(&file).unwrap();
    let slow = configuration
        .replace("# reencryption_pause_ms = 0", "reencryption_pause_ms = 60000")
        .replace("# reencryption_batch_cells = 10000", "reencryption_batch_cells = 1");
    assert_ne!(slow, configuration);
    std::fs::write(&file, slow).unwrap();
    let server = Process::start(&folder.path());
    let admin = folder.client(&server.address, Person::Admin);
    let mut stored = Vec::new();
    for _ in 0..3 {
        stored.push(admin.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name);
    }
    admin.change_key(DEFAULT, &"a new key, number 1".into()).await.unwrap();
    let mut watch = admin.watch_reencryption(DEFAULT).await.unwrap();
    watch.next().await.unwrap().unwrap();

    server.terminate();
    let ended = async {
        loop {
            match watch.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended before the re-encryption"),
                Err(error) => break error,
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert_eq!((error.code(), error.reason()), (Code::Unavailable, ErrorReason::ShuttingDown), "{error}");
    assert!(tokio::task::spawn_blocking(|| server.wait()).await.unwrap().success());

    let server = Process::start(&folder.path());
    let connector = folder.client(&server.address, Person::Connector);
    for name in stored {
        assert_eq!(reveal(&connector, &name).await.unwrap().as_deref(), Some("hunter2"));
    }
}
