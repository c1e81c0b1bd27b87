//! Requests that must not be served: those of pages of other sites, and those without the framing of gRPC.

use http::{Method, Request};
use sealward_client::{Code, mail_v1, v1};
use sealward_server::development::Person;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic_health::pb::HealthCheckRequest;

use crate::harness::{
    DEFAULT, Folder, PATIENCE, Server,
    http::{Http, call, framed},
    process::Process,
};

const CREATE_ORGANIZATION: &str = "/sealward.v1.OrganizationService/CreateOrganization";
const CREATE_MAILBOX: &str = "/sealward.mail.v1.MailboxService/CreateMailbox";
const LIST_MAILBOXES: &str = "/sealward.mail.v1.MailboxService/ListMailboxes";
const WATCH: &str = "/sealward.v1.DataEncryptionService/WatchReencryption";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

pub(crate) fn contoso() -> Vec<u8> {
    framed(&v1::CreateOrganizationRequest { organization_id: "contoso".to_owned() })
}

pub(crate) fn list() -> mail_v1::ListMailboxesRequest {
    mail_v1::ListMailboxesRequest { parent: DEFAULT.to_owned(), ..Default::default() }
}

/// A request with these headers instead of a call's.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Request<Vec<u8>> {
    let request = Request::builder().method(method).uri(format!("https://localhost{path}"));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(body).unwrap()
}

async fn organizations(server: &Server) -> usize {
    server.client(Person::Admin).list_organizations(0, "").await.unwrap().records.len()
}

#[tokio::test]
async fn page_of_another_site_creates_no_organization() {
    let server = Server::start().await;
    let mut admin = Http::over_tls(server.folder(), server.address(), Some(Person::Admin)).await;
    // What fetch(…, {mode: 'no-cors', credentials: 'include'}) and forms send.
    let page = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")];
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/grpc+json",
        "application/xml",
    ] {
        let headers = [&page[..], &[("content-type", content_type)]].concat();
        let answer = admin.send(request("POST", CREATE_ORGANIZATION, &headers, contoso())).await.unwrap();
        assert_eq!(answer.status, 415, "{content_type}");
        // Nor if the browser sends no information about the page.
        let answer = admin
            .send(request("POST", CREATE_ORGANIZATION, &[("content-type", content_type)], contoso()))
            .await
            .unwrap();
        assert_eq!(answer.status, 415, "{content_type}");
        assert!(!answer.body.is_empty() && !String::from_utf8_lossy(&answer.body).contains(content_type));
    }
    for content_type in [
        "application/json",
        "application/proto",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/connect+proto",
    ] {
        let headers = [&page[..], &[("content-type", content_type)]].concat();
        let answer = admin.send(request("POST", CREATE_ORGANIZATION, &headers, contoso())).await.unwrap();
        assert_eq!(answer.status, 403, "{content_type}");
    }
    let answer = admin.send(request("POST", CREATE_ORGANIZATION, &[], contoso())).await.unwrap();
    assert_eq!(answer.status, 415);
    let answer = admin.send(request("GET", CREATE_ORGANIZATION, &[("content-type", "application/grpc")], contoso()));
    let answer = answer.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.headers["allow"].as_bytes()), (405, &b"POST"[..]));
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "https://localhost")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ] {
        let mut call = call(CREATE_ORGANIZATION, contoso());
        for (name, value) in headers {
            call.headers_mut().insert(*name, value.parse().unwrap());
        }
        let answer = admin.send(call).await.unwrap();
        assert_eq!(answer.status, 403, "{headers:?}");
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{answer:?}");
    }
    assert_eq!(organizations(&server).await, 1);

    // The connection is still usable.
    let answer = admin.send(call(CREATE_ORGANIZATION, contoso())).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.trailers["grpc-status"].as_bytes()), (200, &b"0"[..]));
    assert_eq!(organizations(&server).await, 2);
}

#[tokio::test]
async fn page_of_a_configured_origin_may_call() {
    let console = "https://console.example.org";
    let server = Server::start_with(|config| config.pages.origins = vec![console.parse().unwrap()]).await;
    let mut admin = Http::over_tls(server.folder(), server.address(), Some(Person::Admin)).await;
    let mut sent_by = async |origin: &str| {
        let mut call = call(LIST_MAILBOXES, framed(&list()));
        call.headers_mut().insert("origin", origin.parse().unwrap());
        call.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
        admin.send(call).await.unwrap().status.as_u16()
    };
    assert_eq!(sent_by(console).await, 200);
    assert_eq!(sent_by("http://console.example.org").await, 403);
}

#[tokio::test]
async fn every_listener_and_path_has_the_same_refusals() {
    let server = Server::start().await;
    let (folder, address) = (server.folder(), server.address());
    let mut connections = [
        Http::over_tls(folder, address, Some(Person::Reader)).await,
        Http::over_tls(folder, address, None).await,
        Http::without_tls(server.plaintext_address.as_ref().unwrap()).await,
    ];
    for connection in &mut connections {
        for path in [LIST_MAILBOXES, HEALTH, "/nothing.At/All", "/"] {
            for (method, headers, status) in [
                (Method::GET, &[][..], 405),
                (Method::HEAD, &[][..], 405),
                (Method::OPTIONS, &[("origin", "https://evil.example")][..], 405),
                (Method::POST, &[("content-type", "text/plain")], 415),
                (Method::POST, &[("content-type", "application/grpc"), ("origin", "https://evil.example")], 403),
            ] {
                let answer = connection.send(request(method.as_str(), path, headers, Vec::new())).await.unwrap();
                assert_eq!(answer.status, status, "{method} {path}");
                assert!(!answer.headers.contains_key("grpc-status"), "{method} {path}");
                assert_eq!(answer.body.is_empty(), method == Method::HEAD, "{method} {path}");
            }
        }
    }
}

fn with_header(name: &'static str, value: &str) -> Request<Vec<u8>> {
    let mut call = call(LIST_MAILBOXES, framed(&list()));
    call.headers_mut().insert(name, value.parse().unwrap());
    call
}

#[tokio::test]
async fn unusable_headers_get_a_reason() {
    let server = Server::start().await;
    let mut reader = Http::over_tls(server.folder(), server.address(), Some(Person::Reader)).await;
    let mut refusal = async |request| reader.send(request).await.unwrap().refusal();
    let passed = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned());
    assert_eq!(refusal(with_header("grpc-timeout", "0S")).await, passed);
    let unreadable = (Code::InvalidArgument, "TIMEOUT_INVALID".to_owned());
    for timeout in ["123456789S", "5", "5s", "-5S", "soon"] {
        assert_eq!(refusal(with_header("grpc-timeout", timeout)).await, unreadable, "{timeout}");
    }
    let too_large = (Code::ResourceExhausted, "METADATA_TOO_LARGE".to_owned());
    assert_eq!(refusal(with_header("x-trace", &"x".repeat(17_000))).await, too_large);

    let answer = reader.send(with_header("grpc-encoding", "br")).await.unwrap();
    assert_eq!(answer.refusal(), (Code::Unimplemented, "COMPRESSION_NOT_SERVED".to_owned()));
    assert_eq!(answer.headers["grpc-accept-encoding"], "gzip");

    for (name, value) in [("grpc-timeout", "5S"), ("grpc-encoding", "identity"), ("x-trace", &"x".repeat(8_000))] {
        assert_eq!(reader.send(with_header(name, value)).await.unwrap().trailers["grpc-status"], "0", "{name}");
    }
}

#[tokio::test]
async fn request_that_is_not_one_whole_message_is_invalid() {
    let server = Server::start().await;
    let mut admin = Http::over_tls(server.folder(), server.address(), Some(Person::Admin)).await;
    let watch = framed(&v1::WatchReencryptionRequest { organization: DEFAULT.to_owned() });
    for (path, whole) in [
        (LIST_MAILBOXES, framed(&list())),
        (CREATE_ORGANIZATION, contoso()),
        (WATCH, watch),
        (HEALTH, framed(&HealthCheckRequest { service: "sealward.mail.v1.MailboxService".to_owned() })),
    ] {
        let bad_flag = [&[7][..], &whole[1..]].concat();
        let two = [&whole[..], &whole].concat();
        for broken in [&[][..], &whole[..3], &whole[..whole.len() - 1], &bad_flag, &two] {
            let refused = admin.send(call(path, broken.to_vec())).await.unwrap().refusal();
            assert_eq!(refused, (Code::InvalidArgument, "MESSAGE_INVALID".to_owned()), "{path} {broken:?}");
        }
        let compressed = [&[1][..], &whole[1..]].concat();
        let refused = admin.send(call(path, compressed)).await.unwrap().refusal();
        assert_eq!(refused, (Code::Unimplemented, "COMPRESSION_NOT_SERVED".to_owned()), "{path}");
    }
    // Neither of two creations in one call was made.
    assert_eq!(organizations(&server).await, 1);
}

#[tokio::test]
async fn parent_is_never_taken_from_the_resource() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let named = mail_v1::Mailbox {
        name: format!("{DEFAULT}/mailboxes/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506"),
        display_name: Some("Sales".to_owned()),
        ..Default::default()
    };
    let error = writer.mailboxes().create("", named, None).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(error.field_violations()[0].field, "parent");

    // Nor the whole resource's: a create with nothing else in it.
    let mut connection = Http::over_tls(server.folder(), server.address(), Some(Person::Writer)).await;
    let request = mail_v1::CreateMailboxRequest {
        mailbox: Some(mail_v1::Mailbox { name: DEFAULT.to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let refused = connection.send(call(CREATE_MAILBOX, framed(&request))).await.unwrap().refusal();
    assert_eq!(refused, (Code::InvalidArgument, "FIELD_INVALID".to_owned()));
    let listed = server.client(Person::Reader).mailboxes().list(DEFAULT, Default::default()).await.unwrap();
    assert_eq!(listed.records.len(), 0);
    assert_eq!(
        writer.mailboxes().list("", Default::default()).await.unwrap_err().field_violations()[0].field,
        "parent"
    );
}

/// The lines of a JSON log.
fn events(log: &std::path::Path) -> Vec<serde_json::Value> {
    std::fs::read_to_string(log).unwrap().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// A server process with a JSON log in a file.
fn logged() -> (Folder, Process, std::path::PathBuf) {
    let folder = Folder::new();
    let config = folder.development().config_file();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("# format = \"text\"", "format = \"json\"")).unwrap();
    let log = folder.path().join("log");
    let server = Process::start_logging(&folder.path(), std::fs::File::create(&log).unwrap());
    (folder, server, log)
}

async fn ended(server: Process) {
    server.terminate();
    assert!(tokio::task::spawn_blocking(|| server.wait()).await.unwrap().success());
}

#[tokio::test]
async fn broken_and_cancelled_calls_are_not_logged_as_server_failures() {
    let (folder, server, log) = logged();
    let mut reader = Http::over_tls(&folder, &server.address, Some(Person::Reader)).await;
    reader.send(call(LIST_MAILBOXES, framed(&list())[..4].to_vec())).await.unwrap();

    // A message that never ends: its caller leaves.
    let client = folder.client(&server.address, Person::Reader);
    let mut pending = Box::pin(crate::harness::raw::call_without_message(&client, LIST_MAILBOXES));
    let answered = reader.send(call(LIST_MAILBOXES, framed(&list())));
    tokio::select! {
        biased;
        _ = &mut pending => panic!("no message was sent"),
        answer = answered => assert_eq!(answer.unwrap().trailers["grpc-status"], "0"),
    }
    drop(pending);
    drop(client);
    reader.send(call(LIST_MAILBOXES, framed(&list()))).await.unwrap();
    ended(server).await;

    let events = events(&log);
    let answered: Vec<_> = events.iter().filter(|event| event["message"] == "answered").collect();
    let of = |code: &str| answered.iter().filter(|event| event["code"] == code).collect::<Vec<_>>();
    assert_eq!(of("Ok").len(), 2, "{answered:#?}");
    assert_eq!(of("InvalidArgument").len(), 1, "{answered:#?}");
    assert!(answered.iter().all(|event| event["level"] == "INFO"), "{answered:#?}");
    assert!(answered.iter().all(|event| event.get("cause").is_none()), "{answered:#?}");
    assert_eq!(answered.len(), 2 + 1 + of("Cancelled").len(), "{answered:#?}");
}

#[tokio::test]
async fn many_refused_calls_are_few_lines_of_log() {
    const CALLS: u64 = 200;
    const CALLS_PER_CONNECTION: u64 = 100;
    let (folder, server, log) = logged();
    let refused = async |person, path: &str, request: Vec<u8>| {
        let mut left = CALLS;
        while left > 0 {
            let mut connection = Http::over_tls(&folder, &server.address, person).await;
            for _ in 0..left.min(CALLS_PER_CONNECTION) {
                connection.send(call(path, request.clone())).await.unwrap();
                left -= 1;
            }
        }
    };
    refused(None, LIST_MAILBOXES, framed(&list())).await;
    refused(Some(Person::Reader), CREATE_ORGANIZATION, contoso()).await;
    let mut connection = Http::over_tls(&folder, &server.address, None).await;
    for _ in 0..CALLS {
        connection.send(request("GET", LIST_MAILBOXES, &[], Vec::new())).await.unwrap();
    }
    tokio::time::timeout(PATIENCE, ended(server)).await.unwrap();

    let events = events(&log);
    let message = |text: &str| events.iter().filter(|event| event["message"] == text).collect::<Vec<_>>();
    // A minute may have ended meanwhile, and begun another sample.
    assert!(events.len() < 60, "{} lines", events.len());
    let firsts = message("answered").len() + message("request refused").len();
    let repeats: u64 = message("refusals repeated").iter().map(|event| event["repeats"].as_u64().unwrap()).sum();
    assert_eq!(firsts as u64 + repeats, 3 * CALLS, "{events:#?}");
    assert!(message("refusals repeated").iter().any(|event| event["caller"] == "cn:reader"), "{events:#?}");
}

#[tokio::test]
async fn metrics_are_sent_in_the_accepted_format() {
    let server =
        Server::start_with(|config| config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap())).await;
    let scraped = async |accept: &str| {
        let mut stream = TcpStream::connect(server.metrics_address()).await.unwrap();
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    // Something to count: a counter without samples is in neither format.
    let mut wrong_port = Http::without_tls(server.address()).await;
    wrong_port.send(call(HEALTH, Vec::new())).await.unwrap();
    let answer = scraped("application/openmetrics-text;version=1.0.0").await;
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
    assert!(answer.trim_end().ends_with("# EOF"), "{answer}");
    let answer = scraped("text/plain;version=0.0.4").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(
        answer.contains("# TYPE sealward_handshakes_refused_total counter") && !answer.contains("# EOF"),
        "{answer}"
    );
    assert!(scraped("application/json").await.starts_with("HTTP/1.1 406 "));
}
