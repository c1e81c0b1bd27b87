//! The server under pressure: callers that send endlessly, read nothing, or hold connections. Each attack is small; the same limits
//! bound larger ones, and are small here as well. `attacks` measures attacks on a server with default limits.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use prost::Message as _;
use sealward_client::{Client, ErrorReason, ListOptions, RetryPolicy, mail_v1, v1};
use sealward_server::{development::Person, drain::Drained};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;

use crate::{
    due::scraped,
    harness::{
        DEFAULT, Folder, PATIENCE, Server,
        http2::{Connection, framed, reason_of},
        inside::Inside,
        mailbox,
        process::binary,
        raw, reveal,
    },
};

const GET_MAILBOX: &str = "/sealward.mail.v1.MailboxService/GetMailbox";
const LIST_MAILBOXES: &str = "/sealward.mail.v1.MailboxService/ListMailboxes";
const WATCH: &str = "/sealward.v1.DataEncryptionService/WatchReencryption";
const VERIFY: &str = "/sealward.v1.DataEncryptionService/VerifyCells";
const EXPORT: &str = "/sealward.v1.OrganizationService/ExportOrganization";
const IMPORT: &str = "/sealward.v1.OrganizationService/ImportOrganization";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

const MIB: usize = 1024 * 1024;

/// Far longer than these tests wait, and shorter than a full drain.
const SOON: Duration = Duration::from_secs(12);

fn list() -> mail_v1::ListMailboxesRequest {
    mail_v1::ListMailboxesRequest { parent: DEFAULT.to_owned(), ..Default::default() }
}

fn without_certificate(server: &Server) -> Client {
    server.folder().client_builder(server.address()).connect_lazy().unwrap()
}

fn plaintext(server: &Server) -> Client {
    let address = server.plaintext_address.clone().unwrap();
    Client::builder(format!("http://{address}")).plaintext().retry(RetryPolicy::never()).connect_lazy().unwrap()
}

async fn is_healthy(client: &Client) -> bool {
    HealthClient::new(client.channel()).check(HealthCheckRequest::default()).await.is_ok()
}

async fn listed(client: &Client) {
    client.mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap();
}

#[tokio::test]
async fn administrators_and_probes_are_served_while_request_memory_is_full() {
    let server = Server::start_with(|config| {
        config.limits.requests_max_bytes = 16 * 1024 * 1024;
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let mut connection = Connection::with_tls(server.folder(), server.address(), Some(Person::Reader), 65_535).await;
    // Three quarters are for all. That is less than four messages, and more than both forms of one.
    let first = connection.begin(GET_MAILBOX, &[], framed(4 * MIB, &[])).await.unwrap();
    let second = connection.begin(GET_MAILBOX, &[], framed(4 * MIB, &[])).await.unwrap();
    let third = connection.begin(GET_MAILBOX, &[], framed(4 * MIB, &[])).await.unwrap();
    let fourth = connection.begin(GET_MAILBOX, &[], framed(4 * MIB, &[])).await.unwrap();
    let status = fourth.refusal().await.unwrap();
    let details = status.get_error_details();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let info = details.error_info().unwrap();
    assert_eq!((&*info.reason, &*info.metadata["bound"]), ("REQUEST_MEMORY_LIMIT", "requests_max_bytes"));
    assert!(details.retry_info().is_some());
    let large = vec![0x7a_u8; 4 * MIB];
    let refused = raw::call(&server.client(Person::Writer), GET_MAILBOX, &large).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "REQUEST_MEMORY_LIMIT");
    // It is admitted and read.
    let taken = raw::call(&server.client(Person::Admin), GET_MAILBOX, &large).await.unwrap_err();
    assert_eq!(taken.get_details_error_info().unwrap().reason, "MESSAGE_INVALID");
    assert!(is_healthy(&plaintext(&server)).await && is_healthy(&without_certificate(&server)).await);
    listed(&server.client(Person::Writer)).await;
    let metrics = scraped(server.metrics_address()).await;
    assert!(metrics.contains("sealward_refused_by_bound_total{bound=\"requests_max_bytes\"} 2"), "{metrics}");
    drop((first, second, third));
}

#[tokio::test]
async fn incomplete_message_is_refused_in_time() {
    let server = Server::start_with(|config| config.limits.message_time_max_ms = 100).await;
    for (client, path) in [
        (server.client(Person::Admin), GET_MAILBOX),
        (plaintext(&server), HEALTH),
        (without_certificate(&server), HEALTH),
    ] {
        let refused = timeout(PATIENCE, raw::call_without_message(&client, path)).await.unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::DeadlineExceeded);
        assert_eq!(refused.get_details_error_info().unwrap().reason, "MESSAGE_TOO_SLOW");
    }
    // In a stream, each message has that time.
    let mut connection = Connection::with_tls(server.folder(), server.address(), Some(Person::Admin), 65_535).await;
    let call = connection.begin(IMPORT, &[], framed(100, b"part")).await.unwrap();
    let status = call.refusal().await.unwrap();
    assert_eq!(status.get_details_error_info().unwrap().reason, "MESSAGE_TOO_SLOW");
}

#[tokio::test]
async fn health_and_reflection_accept_only_small_messages() {
    let server = Server::start().await;
    let large = HealthCheckRequest { service: "x".repeat(1_025) }.encode_to_vec();
    let refused = raw::call(&plaintext(&server), HEALTH, &large).await.unwrap_err();
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.metadata["bound"]), ("MESSAGE_TOO_LARGE", "probe_message_size_max_bytes"));
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // The framework's reflection ends its answers without a reason if it can't read a request.
        assert!(matches!(raw::call(&server.client(Person::Reader), &path, &large).await, Ok(None)));
    }
    // One byte less than the limit, with tag and length.
    let at = HealthCheckRequest { service: "x".repeat(1_021) }.encode_to_vec();
    assert_eq!(at.len(), 1_024);
    assert_eq!(raw::call(&plaintext(&server), HEALTH, &at).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn connections_without_identity_block_no_caller() {
    let server = Server::start_with(|config| config.limits.connections_max = 16).await;
    let mut held = Vec::new();
    for address in [server.address(), server.plaintext_address.as_deref().unwrap()] {
        for _ in 0..64 {
            held.push(TcpStream::connect(address).await.unwrap());
        }
    }
    for _ in 0..8 {
        let connection = Connection::with_tls(server.folder(), server.address(), None, 65_535).await;
        assert!(connection.is_open());
    }
    timeout(PATIENCE, listed(&server.client(Person::Admin))).await.unwrap();
    assert!(timeout(PATIENCE, is_healthy(&plaintext(&server))).await.unwrap());
    // The oldest are closed.
    assert_eq!(timeout(PATIENCE, held[0].read(&mut [0; 64])).await.unwrap().unwrap_or(0), 0);
}

#[tokio::test]
async fn connection_without_a_slot_is_refused_even_health_and_closed() {
    let server = Server::start_with(|config| config.limits.connections_per_identity_max = 1).await;
    let reader = server.client(Person::Reader);
    listed(&reader).await;
    for path in [HEALTH, GET_MAILBOX] {
        let mut connection =
            Connection::with_tls(server.folder(), server.address(), Some(Person::Reader), 65_535).await;
        // Its message never ends.
        let call = connection.begin(path, &[], framed(100, &[])).await.unwrap();
        let answer = timeout(PATIENCE, call.answer).await.unwrap().unwrap();
        assert_eq!(reason_of(answer.headers()).as_deref(), Some("CONNECTION_LIMIT"), "{path}");
        connection.closed().await;
    }
    listed(&reader).await;
}

#[tokio::test]
async fn connection_survives_thousands_of_refusals() {
    let server = Server::start().await;
    let mut connection = Connection::with_tls(server.folder(), server.address(), None, 65_535).await;
    let message = mail_v1::GetMailboxRequest::default().encode_to_vec();
    for _ in 0..20 {
        let mut calls = Vec::new();
        for _ in 0..100 {
            calls.push(connection.begin(GET_MAILBOX, &[], framed(message.len(), &[])).await.unwrap());
        }
        for call in &mut calls {
            let _end_comes_late = call.message.send_data(message.clone().into(), true);
        }
        for call in calls {
            assert_eq!(call.refusal().await.unwrap().code(), Code::Unauthenticated);
        }
    }
    let call = connection.call(HEALTH, &[], &HealthCheckRequest::default()).await.unwrap();
    let answer = timeout(PATIENCE, call.answer).await.unwrap().unwrap();
    assert!(!answer.headers().contains_key("grpc-status"));
}

/// A call with an unread answer, and how its stream is reset.
async fn unread_answer(
    server: &Server,
    path: &str,
    request: &impl prost::Message,
    headers: &[(&'static str, &str)],
) -> h2::Error {
    let mut connection = Connection::with_tls(server.folder(), server.address(), Some(Person::Admin), 1).await;
    let call = connection.call(path, headers, request).await.unwrap();
    let mut body = timeout(PATIENCE, call.answer).await.unwrap().unwrap().into_body();
    let read = async {
        // Received bytes are never released, so the window doesn't grow.
        while let Some(data) = body.data().await {
            if let Err(error) = data {
                return error;
            }
        }
        panic!("the answer was sent completely")
    };
    timeout(PATIENCE, read).await.expect("the stream stays open")
}

#[tokio::test]
async fn unread_answer_ends_at_the_deadline_of_its_call() {
    let server = Server::start().await;
    server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let reset = unread_answer(&server, LIST_MAILBOXES, &list(), &[("grpc-timeout", "300m")]).await;
    assert_eq!(reset.reason(), Some(h2::Reason::CANCEL));
}

#[tokio::test]
async fn unread_answers_and_streams_are_cancelled_by_one_limit() {
    let server = Server::start_with(|config| {
        config.limits.answer_stall_max_ms = 100;
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let organization = DEFAULT.to_owned();
    // What gRPC clients report as CANCELLED.
    let cancelled = Some(h2::Reason::CANCEL);
    assert_eq!(unread_answer(&server, LIST_MAILBOXES, &list(), &[]).await.reason(), cancelled);
    let watch = v1::WatchReencryptionRequest { organization: organization.clone() };
    assert_eq!(unread_answer(&server, WATCH, &watch, &[]).await.reason(), cancelled);
    let verify = v1::VerifyCellsRequest { organization: organization.clone() };
    assert_eq!(unread_answer(&server, VERIFY, &verify, &[]).await.reason(), cancelled);
    let export = v1::ExportOrganizationRequest { name: organization };
    assert_eq!(unread_answer(&server, EXPORT, &export, &[]).await.reason(), cancelled);
    let metrics = scraped(server.metrics_address()).await;
    assert!(metrics.contains("sealward_refused_by_bound_total{bound=\"answer_stall_max_ms\"} 4"), "{metrics}");
    assert!(!metrics.contains("transfer_rate_min_bytes_per_second"), "{metrics}");
}

#[tokio::test]
async fn stop_does_not_wait_for_idle_connections() {
    let server = Server::start().await;
    // Neither of them reads from the server or answers a ping.
    let mut deaf = TcpStream::connect(server.plaintext_address.as_ref().unwrap()).await.unwrap();
    deaf.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut unfinished = Vec::new();
    for (person, path) in [(None, HEALTH), (Some(Person::Reader), GET_MAILBOX)] {
        let mut connection = Connection::with_tls(server.folder(), server.address(), person, 65_535).await;
        let call = connection.begin(path, &[], framed(100, &[])).await.unwrap();
        unfinished.push((connection, call));
    }
    listed(&server.client(Person::Reader)).await;
    let begun = Instant::now();
    // The drain is complete, so trails were signed.
    server.stop().await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn trails_are_signed_even_if_a_stop_is_cut_short() {
    let server = Server::start_with(|config| config.limits.audit_signature_interval_seconds = 86_400).await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    reveal(&server.client(Person::Connector), &stored.name).await.unwrap();
    let (folder, drained) = server.stop_at_once().await;
    assert_eq!(drained, Drained::CutShort);
    let inside = Inside::organization(&folder);
    let last: i64 = inside.trail().iter().map(|record| record.sequence).max().unwrap();
    let signed = inside.number("SELECT MAX(sequence) FROM sealward_audit_head");
    assert_eq!(signed, last);
}

#[tokio::test]
async fn incomplete_scrapes_block_no_scraper() {
    let server = Server::start_with(|config| {
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
        config.limits.metrics_connections_max = 4;
        config.limits.handshake_timeout_ms = 200;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..32 {
        let mut stream = TcpStream::connect(server.metrics_address()).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ").await.unwrap();
        held.push(stream);
    }
    let metrics = timeout(PATIENCE, scraped(server.metrics_address())).await.unwrap();
    assert!(metrics.contains("sealward_refused_by_bound_total{bound=\"metrics_connections_max\"} "), "{metrics}");
    // Those that keep their places have no more time than a handshake has.
    for stream in &mut held {
        let mut rest = Vec::new();
        let _reset_or_not = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it stays open");
    }
}

#[test]
fn check_config_reports_too_few_file_descriptors() {
    let folder = Folder::new();
    let check = |descriptors: u32| {
        let command = format!(
            "ulimit -n {descriptors} && exec '{}' check-config --config '{}'",
            binary("sealward-server").display(),
            folder.development().config_file().display()
        );
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let warned = check(512);
    assert!(warned.contains("file descriptors, but this process may open only 512"), "{warned}");
    let sufficient = check(8_192);
    assert!(!sufficient.contains("file descriptors"), "{sufficient}");
}

#[tokio::test]
async fn request_memory_is_limited_per_connection() {
    let server = Server::start_with(|config| {
        config.limits.requests_per_connection_max_bytes = 1_048_576;
        config.limits.message_size_max_bytes = 1_048_576;
    })
    .await;
    let reader = server.client(Person::Reader);
    let mut connection = Connection::with_tls(server.folder(), server.address(), Some(Person::Reader), 65_535).await;
    // The server uses at least twice the size of a message.
    let _first = connection.begin(GET_MAILBOX, &[], framed(1_048_576, &[])).await.unwrap();
    let _second = connection.begin(GET_MAILBOX, &[], framed(1_048_576, &[])).await.unwrap();
    let third = connection.begin(GET_MAILBOX, &[], framed(1_048_576, &[])).await.unwrap();
    let status = third.refusal().await.unwrap();
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (&*info.reason, &*info.metadata["bound"]),
        ("REQUEST_MEMORY_LIMIT", "requests_per_connection_max_bytes")
    );
    // Another connection of the same caller has its own share.
    let error = reader.mailboxes().get(&format!("{DEFAULT}/mailboxes/{}", "x".repeat(1_000_000))).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::FieldInvalid);
}
