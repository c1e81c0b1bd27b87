//! gRPC-Web and Connect on the port of gRPC: the same calls, errors, limits and audit in the framing of each protocol; gzip; and what pages
//! of other sites may do.

use std::io::{Read as _, Write as _};

use data_encoding::{BASE64, BASE64_NOPAD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::HeaderMap;
use prost::{Message, bytes::Bytes};
use sealward_client::{mail_v1, v1};
use sealward_server::development::Person;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_types::StatusExt as _;

use crate::{
    harness::{
        DEFAULT, Server,
        http::{Answer, Http, framed},
        mailbox,
    },
    requests::request,
};

const CREATE_MAILBOX: &str = "/sealward.mail.v1.MailboxService/CreateMailbox";
const GET_MAILBOX: &str = "/sealward.mail.v1.MailboxService/GetMailbox";
const LIST_MAILBOXES: &str = "/sealward.mail.v1.MailboxService/ListMailboxes";
const REVEAL: &str = "/sealward.v1.SecretAccessService/RevealAttributes";
const LIST_AUDIT: &str = "/sealward.v1.AuditService/ListAuditRecords";
const WATCH: &str = "/sealward.v1.DataEncryptionService/WatchReencryption";
const EXPORT: &str = "/sealward.v1.OrganizationService/ExportOrganization";
const IMPORT: &str = "/sealward.v1.OrganizationService/ImportOrganization";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTO: (&str, &str) = ("content-type", "application/proto");
const STREAM_JSON: (&str, &str) = ("content-type", "application/connect+json");
const STREAM_PROTO: (&str, &str) = ("content-type", "application/connect+proto");
const WEB: (&str, &str) = ("content-type", "application/grpc-web+proto");
const WEB_TEXT: (&str, &str) = ("content-type", "application/grpc-web-text");
const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// A mailbox that doesn't exist.
const MISSING: &str = "organizations/default/mailboxes/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506";

/// The flag of the last message of a stream in Connect, and of the trailers in gRPC-Web.
const CONNECT_END: u8 = 2;
const WEB_TRAILERS: u8 = 0x80;

/// A message with these flags and bytes.
fn envelope(flags: u8, data: &[u8]) -> Vec<u8> {
    [&[flags][..], &u32::try_from(data.len()).unwrap().to_be_bytes(), data].concat()
}

/// The messages of a body, with their flags.
fn envelopes(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let [flags, a, b, c, d, rest @ ..] = body {
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap();
        let (data, more) = rest.split_at(length);
        found.push((*flags, data.to_vec()));
        body = more;
    }
    assert!(body.is_empty(), "{body:?}");
    found
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut decoded).unwrap();
    decoded
}

/// Decodes parts of base64, each with its own padding.
fn text_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    for quantum in text.chunks(4) {
        decoded.extend(BASE64.decode(quantum).unwrap());
    }
    decoded
}

/// What every protocol says in its own way: the messages, and the status.
struct Outcome {
    messages: Vec<Vec<u8>>,
    status: Status,
}

impl Outcome {
    /// Reads the answer of gRPC or gRPC-Web.
    fn of_grpc(answer: &Answer) -> Self {
        let is_text = answer.headers["content-type"].to_str().unwrap().starts_with("application/grpc-web-text");
        let body = if is_text { text_decoded(&answer.body).into() } else { answer.body.clone() };
        let (mut messages, mut trailers) = (Vec::new(), answer.trailers.clone());
        for (flags, data) in envelopes(&body) {
            match flags {
                0 => messages.push(data),
                1 => messages.push(gunzip(&data)),
                WEB_TRAILERS => {
                    for line in String::from_utf8(data).unwrap().lines() {
                        let (name, value) = line.split_once(':').unwrap();
                        let name: http::HeaderName = name.parse().unwrap();
                        trailers.append(name, value.trim_start().parse().unwrap());
                    }
                }
                _ => panic!("flags {flags}"),
            }
        }
        let status = [&answer.headers, &trailers].into_iter().find_map(Status::from_header_map);
        Outcome { messages, status: status.unwrap() }
    }

    fn code_and_reason(&self) -> (Code, String) {
        let details = self.status.get_error_details();
        assert!(!details.request_info().unwrap().request_id.is_empty());
        (self.status.code(), details.error_info().unwrap().reason.clone())
    }
}

/// The answer of Connect as JSON.
fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["content-length"], answer.body.len().to_string().as_str());
    serde_json::from_slice(&answer.body).unwrap()
}

/// Code and reason of an error of Connect. Its details are there for people and as bytes, and both say the same.
#[track_caller]
fn connect_error(error: &Value) -> (String, String) {
    let details = error["details"].as_array().unwrap_or_else(|| panic!("{error}"));
    let detail = |name: &str| {
        let detail = details.iter().find(|detail| detail["type"] == name).unwrap_or_else(|| panic!("{error}"));
        (BASE64_NOPAD.decode(detail["value"].as_str().unwrap().as_bytes()).unwrap(), &detail["debug"])
    };
    let (bytes, debug) = detail("google.rpc.ErrorInfo");
    let info = tonic_types::pb::ErrorInfo::decode(&*bytes).unwrap();
    assert_eq!(debug["reason"], info.reason);
    assert_eq!(debug["domain"], info.domain);
    let (bytes, debug) = detail("google.rpc.RequestInfo");
    let request = tonic_types::pb::RequestInfo::decode(&*bytes).unwrap();
    assert!(!request.request_id.is_empty());
    assert_eq!(debug["requestId"], request.request_id);
    (error["code"].as_str().unwrap().to_owned(), info.reason)
}

/// The messages of a stream of Connect, and its last message.
fn connect_stream(answer: &Answer) -> (Vec<Vec<u8>>, Value) {
    assert_eq!(answer.status, 200);
    let mut messages = envelopes(&answer.body);
    let (flags, end) = messages.pop().unwrap();
    assert_eq!(flags, CONNECT_END);
    let messages = messages.into_iter().map(|(flags, data)| if flags == 1 { gunzip(&data) } else { data });
    (messages.collect(), serde_json::from_slice(&end).unwrap())
}

#[track_caller]
fn assert_headers(answer: &Answer) {
    assert_eq!(answer.headers["sealward-server"], env!("CARGO_PKG_VERSION"));
    if answer.headers.get("content-type").is_none_or(|content_type| content_type != "application/grpc") {
        assert_eq!(answer.headers["cache-control"], "no-store", "{answer:?}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["vary"], "origin");
    }
    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")), "{answer:?}");
}

/// A server, and connections of people to it.
struct Callers {
    server: Server,
    writer: Http,
    admin: Http,
}

impl Callers {
    async fn start() -> Self {
        Self::of(Server::start().await).await
    }

    async fn of(server: Server) -> Self {
        let writer = Http::over_tls(server.folder(), server.address(), Some(Person::Writer)).await;
        let admin = Http::over_tls(server.folder(), server.address(), Some(Person::Admin)).await;
        Self { server, writer, admin }
    }

    async fn person(&self, person: Person) -> Http {
        Http::over_tls(self.server.folder(), self.server.address(), Some(person)).await
    }
}

async fn post(caller: &mut Http, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
    let answer = caller.send(request("POST", path, headers, body.into())).await.unwrap();
    assert_headers(&answer);
    answer
}

#[tokio::test]
async fn unary_call_is_the_same_in_every_protocol() {
    let mut callers = Callers::start().await;
    let writer = &mut callers.writer;
    let create = json!({ "parent": DEFAULT, "mailbox": { "displayName": "Sales", "password": "tr0ub4dor&3" } });
    let answer = post(writer, CREATE_MAILBOX, &[JSON, ("connect-protocol-version", "1")], create.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let created = json_of(&answer);
    let name = created["name"].as_str().unwrap();
    assert!(!String::from_utf8_lossy(&answer.body).contains("tr0ub4dor"));

    let get = mail_v1::GetMailboxRequest { name: name.to_owned(), ..Default::default() };
    let answer = post(writer, GET_MAILBOX, &[JSON], json!({ "name": name }).to_string()).await;
    assert_eq!(json_of(&answer)["etag"], created["etag"]);
    let answer = post(writer, GET_MAILBOX, &[PROTO], get.encode_to_vec()).await;
    assert_eq!((answer.status.as_u16(), &answer.headers["content-type"]), (200, &"application/proto".parse().unwrap()));
    let expected = mail_v1::Mailbox::decode(answer.body).unwrap();
    assert_eq!((expected.name.as_str(), expected.is_password_set), (name, Some(true)));
    for (headers, body) in [
        (GRPC, framed(&get)),
        (WEB, framed(&get)),
        (("content-type", "application/grpc-web"), framed(&get)),
        (WEB_TEXT, BASE64.encode(&framed(&get)).into_bytes()),
    ] {
        let answer = post(writer, GET_MAILBOX, &[headers], body).await;
        let outcome = Outcome::of_grpc(&answer);
        assert_eq!(outcome.status.code(), Code::Ok);
        let [message] = &outcome.messages[..] else { panic!("{answer:?}") };
        assert_eq!(mail_v1::Mailbox::decode(&**message).unwrap(), expected);
    }
    // Health needs no identity, in any protocol.
    let mut unknown = Http::over_tls(callers.server.folder(), callers.server.address(), None).await;
    let answer = post(&mut unknown, HEALTH, &[JSON], "{}").await;
    assert_eq!(json_of(&answer)["status"], "SERVING");
}

#[tokio::test]
async fn errors_are_typed_in_every_protocol() {
    let mut callers = Callers::start().await;
    let writer = &mut callers.writer;
    let get = mail_v1::GetMailboxRequest { name: MISSING.to_owned(), ..Default::default() };
    for (headers, body) in [(JSON, json!({ "name": MISSING }).to_string().into_bytes()), (PROTO, get.encode_to_vec())] {
        let answer = post(writer, GET_MAILBOX, &[headers, ("accept-encoding", "gzip")], body).await;
        assert_eq!(answer.status, 404);
        assert!(!answer.headers.contains_key("content-encoding") && !answer.headers.contains_key("grpc-status"));
        assert_eq!(connect_error(&json_of(&answer)), ("not_found".to_owned(), "NOT_FOUND".to_owned()));
    }
    for (headers, body) in
        [(GRPC, framed(&get)), (WEB, framed(&get)), (WEB_TEXT, BASE64.encode(&framed(&get)).into_bytes())]
    {
        let answer = post(writer, GET_MAILBOX, &[headers, ("grpc-accept-encoding", "gzip")], body).await;
        let refused = Outcome::of_grpc(&answer).code_and_reason();
        assert_eq!(refused, (Code::NotFound, "NOT_FOUND".to_owned()));
    }
    // Refusals by the gates, before the message is read: permission, method, identity, TLS.
    let privilege = ("permission_denied".to_owned(), "PRIVILEGE_MISSING".to_owned());
    let answer = post(writer, REVEAL, &[JSON], "not even JSON").await;
    assert_eq!((answer.status.as_u16(), connect_error(&json_of(&answer))), (403, privilege.clone()));
    let answer = post(writer, WATCH, &[STREAM_JSON], envelope(0, b"not even JSON")).await;
    let (messages, end) = connect_stream(&answer);
    assert_eq!((messages.len(), connect_error(&end["error"])), (0, privilege));
    let answer = post(writer, "/sealward.v1.Nothing/Nothing", &[JSON], "{}").await;
    let unknown = ("unimplemented".to_owned(), "METHOD_UNKNOWN".to_owned());
    assert_eq!((answer.status.as_u16(), connect_error(&json_of(&answer))), (404, unknown));
    let mut unidentified = Http::over_tls(callers.server.folder(), callers.server.address(), None).await;
    let answer = post(&mut unidentified, GET_MAILBOX, &[JSON], "{}").await;
    let no_identity = ("unauthenticated".to_owned(), "IDENTITY_REQUIRED".to_owned());
    assert_eq!((answer.status.as_u16(), connect_error(&json_of(&answer))), (401, no_identity));
    let mut plaintext = Http::without_tls(callers.server.plaintext_address.as_ref().unwrap()).await;
    let answer = post(&mut plaintext, GET_MAILBOX, &[JSON], "{}").await;
    let without_tls = ("failed_precondition".to_owned(), "HTTPS_REQUIRED".to_owned());
    assert_eq!((answer.status.as_u16(), connect_error(&json_of(&answer))), (400, without_tls));
}

#[tokio::test]
async fn message_that_is_not_one_of_its_protocol_is_invalid() {
    let mut callers = Callers::start().await;
    let writer = &mut callers.writer;
    let invalid = ("invalid_argument".to_owned(), "MESSAGE_INVALID".to_owned());
    for body in ["", "{", "[]", "{} {}", r#"{"nmae": "x"}"#, r#"{"name": 7}"#, r#"{"name": "a", "name": "b"}"#] {
        let answer = post(writer, GET_MAILBOX, &[JSON], body).await;
        assert_eq!((answer.status.as_u16(), connect_error(&json_of(&answer))), (400, invalid.clone()), "{body}");
    }
    let answer = post(writer, GET_MAILBOX, &[JSON], r#"{"nmae": "x"}"#).await;
    assert!(json_of(&answer)["message"].as_str().unwrap().contains("nmae"), "{answer:?}");
    let answer = post(writer, GET_MAILBOX, &[PROTO], [0xff; 3]).await;
    assert_eq!((answer.status.as_u16(), connect_error(&json_of(&answer))), (400, invalid.clone()));
    let whole = envelope(0, br#"{"organization": "organizations/default"}"#);
    for broken in [&whole[..3], &whole[..whole.len() - 1], &[&[7][..], &whole[1..]].concat(), &whole.repeat(2), b""] {
        let (messages, end) = connect_stream(&post(&mut callers.admin, WATCH, &[STREAM_JSON], broken).await);
        assert_eq!((messages.len(), connect_error(&end["error"])), (0, invalid.clone()), "{broken:?}");
    }
    for broken in [&b"AAAA*AAA"[..], b"AAAAAAA"] {
        let answer = post(writer, GET_MAILBOX, &[WEB_TEXT], broken).await;
        let refused = Outcome::of_grpc(&answer).code_and_reason();
        assert_eq!(refused, (Code::InvalidArgument, "MESSAGE_INVALID".to_owned()), "{broken:?}");
    }
}

#[tokio::test]
async fn streams_of_answers_work_in_every_protocol() {
    let mut callers = Callers::start().await;
    let admin = &mut callers.admin;
    let watch = v1::WatchReencryptionRequest { organization: DEFAULT.to_owned() };
    let json = json!({ "organization": DEFAULT }).to_string();
    let (messages, end) = connect_stream(&post(admin, WATCH, &[STREAM_JSON], envelope(0, json.as_bytes())).await);
    assert!(!messages.is_empty());
    assert!(messages.iter().all(|message| serde_json::from_slice::<Value>(message).unwrap().is_object()));
    assert_eq!(end.get("error"), None);
    let answer = post(admin, WATCH, &[STREAM_PROTO], framed(&watch)).await;
    assert_eq!(answer.headers["content-type"], "application/connect+proto");
    let (messages, end) = connect_stream(&answer);
    assert_eq!(end.get("error"), None);
    let expected = v1::Reencryption::decode(&*messages[0]).unwrap();
    for (headers, body) in
        [(GRPC, framed(&watch)), (WEB, framed(&watch)), (WEB_TEXT, BASE64.encode(&framed(&watch)).into_bytes())]
    {
        let outcome = Outcome::of_grpc(&post(admin, WATCH, &[headers], body).await);
        assert_eq!(outcome.status.code(), Code::Ok);
        assert_eq!(v1::Reencryption::decode(&*outcome.messages[0]).unwrap().state, expected.state);
    }
    let unknown = json!({ "organization": "organizations/nowhere" }).to_string();
    let (messages, end) = connect_stream(&post(admin, WATCH, &[STREAM_JSON], envelope(0, unknown.as_bytes())).await);
    assert_eq!((messages.len(), connect_error(&end["error"]).1.as_str()), (0, "NOT_FOUND"));
}

#[tokio::test]
async fn streams_of_requests_work_in_grpc_and_connect() {
    let mut callers = Callers::start().await;
    let export = v1::ExportOrganizationRequest { name: DEFAULT.to_owned() };
    let (chunks, end) = connect_stream(&post(&mut callers.admin, EXPORT, &[STREAM_PROTO], framed(&export)).await);
    assert_eq!(end.get("error"), None);
    let chunks = chunks.iter().map(|chunk| v1::ExportOrganizationResponse::decode(&**chunk).unwrap().chunk);
    let chunks: Vec<Bytes> = chunks.map(Bytes::from).collect();
    let server = Server::start_with(|_| {}).await;
    let mut other = Http::over_tls(server.folder(), server.address(), Some(Person::Admin)).await;
    let first = envelope(0, br#"{"organizationId": "contoso"}"#);
    let of_json = |chunk: &Bytes| envelope(0, json!({ "chunk": BASE64.encode(chunk) }).to_string().as_bytes());
    let body: Vec<u8> = std::iter::once(first).chain(chunks.iter().map(of_json)).flatten().collect();
    let (messages, end) = connect_stream(&post(&mut other, IMPORT, &[STREAM_JSON], body).await);
    assert_eq!(end.get("error"), None, "{end}");
    assert_eq!(serde_json::from_slice::<Value>(&messages[0]).unwrap()["name"], "organizations/contoso");
}

#[tokio::test]
async fn call_that_a_protocol_cannot_carry_is_unsupported() {
    let mut callers = Callers::start().await;
    let admin = &mut callers.admin;
    let unsupported = ("unimplemented".to_owned(), "PROTOCOL_UNSUPPORTED".to_owned());
    for (path, headers) in [(WATCH, JSON), (IMPORT, PROTO), (EXPORT, JSON)] {
        let answer = post(admin, path, &[headers], "{}").await;
        assert_eq!((answer.status.as_u16(), connect_error(&json_of(&answer))), (501, unsupported.clone()), "{path}");
    }
    let answer = post(admin, LIST_AUDIT, &[JSON, ("connect-protocol-version", "2")], "{}").await;
    assert_eq!((answer.status.as_u16(), connect_error(&json_of(&answer))), (501, unsupported.clone()));
    let (messages, end) = connect_stream(&post(admin, LIST_AUDIT, &[STREAM_JSON], envelope(0, b"{}")).await);
    assert_eq!((messages.len(), connect_error(&end["error"])), (0, unsupported));
    for (path, headers) in [(IMPORT, WEB), (IMPORT, WEB_TEXT), (REFLECTION, WEB)] {
        let refused = Outcome::of_grpc(&post(admin, path, &[headers], Vec::new()).await).code_and_reason();
        assert_eq!(refused, (Code::Unimplemented, "PROTOCOL_UNSUPPORTED".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn timeouts_apply_in_every_protocol() {
    let mut callers = Callers::start().await;
    let writer = &mut callers.writer;
    let list = json!({ "parent": DEFAULT }).to_string();
    let mut sent = async |timeout: &str| {
        let answer = post(writer, LIST_MAILBOXES, &[JSON, ("connect-timeout-ms", timeout)], list.clone()).await;
        let error = (answer.status != 200).then(|| connect_error(&json_of(&answer)).1);
        (answer.status.as_u16(), error)
    };
    assert_eq!(sent("60000").await, (200, None));
    assert_eq!(sent("0").await, (504, Some("DEADLINE_EXCEEDED".to_owned())));
    for malformed in ["soon", "-1", "1.5", "12345678901", "5S"] {
        assert_eq!(sent(malformed).await, (400, Some("TIMEOUT_INVALID".to_owned())), "{malformed}");
    }
    let request = framed(&mail_v1::ListMailboxesRequest { parent: DEFAULT.to_owned(), ..Default::default() });
    let answer = post(writer, LIST_MAILBOXES, &[WEB, ("grpc-timeout", "0S")], request).await;
    let passed = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned());
    assert_eq!(Outcome::of_grpc(&answer).code_and_reason(), passed);
}

#[tokio::test]
async fn only_post_with_a_served_content_type_is_a_call() {
    let callers = Callers::start().await;
    let mut writer = callers.person(Person::Writer).await;
    let get = format!("{GET_MAILBOX}?connect=v1&encoding=json&message=%7B%7D");
    let answer = writer.send(request("GET", &get, &[], Vec::new())).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.headers["allow"].as_bytes()), (405, &b"POST"[..]));
    for content_type in ["application/x-protobuf", "text/json", "application/grpc-web+json", "application/connect+cbor"]
    {
        let answer = writer.send(request("POST", GET_MAILBOX, &[("content-type", content_type)], b"{}".to_vec())).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 415, "{content_type}");
        assert_eq!(answer.headers["sealward-server"], env!("CARGO_PKG_VERSION"));
        assert!(answer.headers.get_all("accept").iter().any(|served| served == "application/json"));
    }
}

#[tokio::test]
async fn gzip_is_accepted_in_requests_of_every_protocol() {
    let mut callers = Callers::start().await;
    let writer = &mut callers.writer;
    let name = {
        let answer = post(writer, CREATE_MAILBOX, &[JSON, ("content-encoding", "gzip")], {
            let text = json!({ "parent": DEFAULT, "mailbox": { "displayName": "Sales" } }).to_string();
            gzip(text.as_bytes())
        });
        json_of(&answer.await)["name"].as_str().unwrap().to_owned()
    };
    let get = mail_v1::GetMailboxRequest { name, ..Default::default() };
    let compressed = envelope(1, &gzip(&get.encode_to_vec()));
    let answer = post(writer, GET_MAILBOX, &[PROTO, ("content-encoding", "gzip")], gzip(&get.encode_to_vec())).await;
    assert_eq!(mail_v1::Mailbox::decode(answer.body).unwrap().name, get.name);
    for (headers, body) in [
        (GRPC, compressed.clone()),
        (GRPC, framed(&get)),
        (WEB, compressed.clone()),
        (WEB_TEXT, BASE64.encode(&compressed).into_bytes()),
    ] {
        let answer = post(writer, GET_MAILBOX, &[headers, ("grpc-encoding", "gzip")], body).await;
        let outcome = Outcome::of_grpc(&answer);
        assert_eq!(mail_v1::Mailbox::decode(&*outcome.messages[0]).unwrap().name, get.name);
    }
    let watch = json!({ "organization": DEFAULT }).to_string();
    let headers = [STREAM_JSON, ("connect-content-encoding", "gzip")];
    let (messages, end) =
        connect_stream(&post(&mut callers.admin, WATCH, &headers, envelope(1, &gzip(watch.as_bytes()))).await);
    assert_eq!((messages.is_empty(), end.get("error")), (false, None));

    // Other codings, a message that is marked without a declared coding, and damaged gzip.
    let refused = |coding: &'static str, body: Vec<u8>| {
        (request("POST", GET_MAILBOX, &[GRPC, ("grpc-encoding", coding)], body), coding)
    };
    for (call, coding) in [refused("br", framed(&get)), refused("zstd", framed(&get)), refused("identity", compressed)]
    {
        let answer = writer.send(call).await.unwrap();
        assert_eq!(answer.refusal(), (Code::Unimplemented, "COMPRESSION_NOT_SERVED".to_owned()), "{coding}");
        assert_eq!(answer.headers["grpc-accept-encoding"], "gzip");
    }
    let answer = post(writer, GET_MAILBOX, &[JSON, ("content-encoding", "br")], "{}").await;
    assert_eq!(answer.headers["accept-encoding"], "gzip");
    let not_served = ("unimplemented".to_owned(), "COMPRESSION_NOT_SERVED".to_owned());
    assert_eq!((answer.status.as_u16(), connect_error(&json_of(&answer))), (501, not_served));
    let answer = post(writer, GET_MAILBOX, &[JSON, ("content-encoding", "gzip")], "{}").await;
    assert_eq!((answer.status.as_u16(), connect_error(&json_of(&answer)).1.as_str()), (400, "MESSAGE_INVALID"));
}

#[tokio::test]
async fn message_is_bounded_in_each_of_its_forms() {
    let server = Server::start_with(|config| config.limits.message_size_max_bytes = 262_144).await;
    let mut callers = Callers::of(server).await;
    let writer = &mut callers.writer;
    let too_large = ("out_of_range".to_owned(), "MESSAGE_TOO_LARGE".to_owned());
    let text = |size: usize| format!(r#"{{"name": "{}"}}"#, "x".repeat(size));
    let bomb = gzip(text(20_000_000).as_bytes());
    assert!(bomb.len() < 262_144);
    for (path, headers, body) in [
        (GET_MAILBOX, &[JSON][..], text(262_144).into_bytes()),
        (GET_MAILBOX, &[JSON, ("content-encoding", "gzip")], bomb.clone()),
        (GET_MAILBOX, &[PROTO], vec![0; 262_145]),
    ] {
        let answer = post(writer, path, headers, body).await;
        assert_eq!((answer.status.as_u16(), connect_error(&json_of(&answer))), (400, too_large.clone()), "{headers:?}");
    }
    let headers = [STREAM_JSON, ("connect-content-encoding", "gzip")];
    let (_, end) = connect_stream(&post(&mut callers.admin, WATCH, &headers, envelope(1, &bomb)).await);
    assert_eq!(connect_error(&end["error"]), too_large);
    for headers in [GRPC, WEB] {
        let answer = post(writer, GET_MAILBOX, &[headers, ("grpc-encoding", "gzip")], envelope(1, &bomb)).await;
        let refused = Outcome::of_grpc(&answer).code_and_reason();
        assert_eq!(refused, (Code::OutOfRange, "MESSAGE_TOO_LARGE".to_owned()));
    }
    // Health takes smaller messages, also from callers without an identity.
    let mut unknown = Http::over_tls(callers.server.folder(), callers.server.address(), None).await;
    let large = json!({ "service": "x".repeat(5_000) }).to_string();
    for (headers, body) in
        [(&[JSON][..], large.clone().into_bytes()), (&[JSON, ("content-encoding", "gzip")], gzip(large.as_bytes()))]
    {
        let answer = post(&mut unknown, HEALTH, headers, body).await;
        assert_eq!(connect_error(&json_of(&answer)), too_large, "{headers:?}");
    }
}

#[tokio::test]
async fn answers_are_compressed_unless_they_can_contain_a_secret() {
    let mut callers = Callers::start().await;
    let client = callers.server.client(Person::Writer);
    for _ in 0..30 {
        client.mailboxes().create(DEFAULT, mailbox("tr0ub4dor&3"), None).await.unwrap();
    }
    let mut auditor = callers.person(Person::Auditor).await;
    let list = json!({ "organization": DEFAULT }).to_string();
    let plain = post(&mut auditor, LIST_AUDIT, &[JSON], list.clone()).await;
    assert!(!plain.headers.contains_key("content-encoding") && plain.body.len() > 2_000);
    let answer = post(&mut auditor, LIST_AUDIT, &[JSON, ("accept-encoding", "br, gzip")], list.clone()).await;
    assert_eq!(answer.headers["content-encoding"], "gzip");
    assert_eq!(answer.headers["content-length"], answer.body.len().to_string().as_str());
    assert!(answer.body.len() < plain.body.len() / 2);
    let records =
        |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["auditRecords"].as_array().unwrap().len();
    assert_eq!(records(&gunzip(&answer.body)), records(&plain.body));
    let answer = post(&mut auditor, LIST_AUDIT, &[JSON, ("accept-encoding", "gzip;q=0")], list).await;
    assert!(!answer.headers.contains_key("content-encoding"));
    let request = framed(&v1::ListAuditRecordsRequest { organization: DEFAULT.to_owned(), ..Default::default() });
    for headers in [GRPC, WEB] {
        let offered = [headers, ("grpc-accept-encoding", "identity,gzip")];
        let answer = post(&mut auditor, LIST_AUDIT, &offered, request.clone()).await;
        assert_eq!((answer.headers["grpc-encoding"].as_bytes(), answer.body[0]), (&b"gzip"[..], 1));
        let outcome = Outcome::of_grpc(&answer);
        let records = v1::ListAuditRecordsResponse::decode(&*outcome.messages[0]).unwrap().audit_records;
        assert!(records.len() >= 30);
    }

    // The messages of mailboxes have a field for a password, even if it is null.
    let writer = &mut callers.writer;
    let list = json!({ "parent": DEFAULT }).to_string();
    let answer = post(writer, LIST_MAILBOXES, &[JSON, ("accept-encoding", "gzip")], list).await;
    assert!(!answer.headers.contains_key("content-encoding") && answer.body.len() > 2_000);
    let list = mail_v1::ListMailboxesRequest { parent: DEFAULT.to_owned(), ..Default::default() };
    for headers in [GRPC, WEB] {
        let answer = post(writer, LIST_MAILBOXES, &[headers, ("grpc-accept-encoding", "gzip")], framed(&list)).await;
        assert_eq!((answer.headers.get("grpc-encoding"), answer.body[0]), (None, 0));
    }
}

#[tokio::test]
async fn reveal_is_recorded_and_never_compressed_in_any_protocol() {
    let callers = Callers::start().await;
    let password = "tr0ub4dor&3 ".repeat(16);
    let client = callers.server.client(Person::Writer);
    let name = client.mailboxes().create(DEFAULT, mailbox(&password), None).await.unwrap().name;
    let mut connector = callers.person(Person::Connector).await;
    let reveal = json!({ "name": name, "attributes": ["password"], "purpose": "a test" }).to_string();
    let answer = post(&mut connector, REVEAL, &[JSON, ("accept-encoding", "gzip")], reveal).await;
    assert_eq!(json_of(&answer)["values"]["password"]["text"], password);
    assert!(!answer.headers.contains_key("content-encoding"));
    let reveal = v1::RevealAttributesRequest {
        name: name.clone(),
        attributes: vec!["password".to_owned()],
        purpose: "a test".to_owned(),
    };
    let answer = post(&mut connector, REVEAL, &[WEB, ("grpc-accept-encoding", "gzip")], framed(&reveal)).await;
    let outcome = Outcome::of_grpc(&answer);
    assert_eq!((answer.body[0], outcome.status.code()), (0, Code::Ok));

    let mut auditor = callers.person(Person::Auditor).await;
    let list = json!({ "organization": DEFAULT }).to_string();
    let records = json_of(&post(&mut auditor, LIST_AUDIT, &[JSON], list).await);
    let reveals = records["auditRecords"].as_array().unwrap().iter().filter(|record| record["purpose"] == "a test");
    assert_eq!(reveals.count(), 2, "{records}");
}

#[tokio::test]
async fn pages_of_listed_origins_may_call_and_read_the_answer() {
    const CONSOLE: &str = "https://console.example.org";
    const OWN: &str = "https://sealward.example.org:7443";
    let start = async |with_credentials: bool| {
        Server::start_with(move |config| {
            config.pages.origins = vec![CONSOLE.parse().unwrap()];
            config.pages.own_origin = Some(OWN.parse().unwrap());
            config.pages.with_credentials = with_credentials;
        })
        .await
    };
    let server = start(false).await;
    // A browser sends no certificate with a preflight.
    let mut browser = Http::over_tls(server.folder(), server.address(), None).await;
    let preflight = |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,connect-protocol-version"),
        ];
        request("OPTIONS", GET_MAILBOX, &headers, Vec::new())
    };
    let answer = browser.send(preflight(CONSOLE)).await.unwrap();
    assert_eq!(answer.status, 204);
    assert_eq!(answer.headers["access-control-allow-origin"], CONSOLE);
    assert_eq!(answer.headers["access-control-allow-methods"], "POST");
    let allowed = answer.headers["access-control-allow-headers"].to_str().unwrap();
    for name in ["content-type", "connect-protocol-version", "authorization", "x-grpc-web", "grpc-timeout"] {
        assert!(allowed.split(", ").any(|allowed| allowed == name), "{name}");
    }
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    for origin in
        [OWN, "https://evil.example", "null", "https://console.example.org:8443", "http://console.example.org"]
    {
        let answer = browser.send(preflight(origin)).await.unwrap();
        assert_eq!(answer.status, 403, "{origin}");
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")), "{origin}");
    }

    let health = |headers: &[(&str, &str)], content_type: (&str, &str)| {
        let body =
            if content_type == JSON { b"{}".to_vec() } else { framed(&HealthCheckRequest { service: String::new() }) };
        request("POST", HEALTH, &[headers, &[content_type]].concat(), body)
    };
    for content_type in [JSON, WEB, GRPC] {
        let page = [("origin", CONSOLE), ("sec-fetch-site", "cross-site")];
        let answer = browser.send(health(&page, content_type)).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.headers["vary"].as_bytes()), (200, &b"origin"[..]));
        assert_eq!(answer.headers["access-control-allow-origin"], CONSOLE);
        let exposed = answer.headers["access-control-expose-headers"].to_str().unwrap();
        for name in ["grpc-status", "grpc-message", "grpc-status-details-bin", "sealward-server"] {
            assert!(exposed.split(", ").any(|exposed| exposed == name), "{name}");
        }
    }
    let own = [("origin", OWN), ("sec-fetch-site", "same-origin"), ("cookie", "session=1")];
    let answer = browser.send(health(&own, JSON)).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_headers(&answer);
    for refused in [
        &[("cookie", "session=1")][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "https://localhost"), ("host", "localhost")],
        &[("sec-fetch-site", "cross-site")],
    ] {
        for content_type in [JSON, WEB, GRPC] {
            assert_eq!(browser.send(health(refused, content_type)).await.unwrap().status, 403, "{refused:?}");
        }
    }

    let server = start(true).await;
    let mut browser = Http::over_tls(server.folder(), server.address(), None).await;
    let answer = browser.send(preflight(CONSOLE)).await.unwrap();
    assert_eq!(answer.headers["access-control-allow-credentials"], "true");
    let answer = browser.send(health(&[("origin", CONSOLE), ("cookie", "a=b")], JSON)).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["access-control-allow-credentials"]),
        (200, &"true".parse().unwrap())
    );
}

#[tokio::test]
async fn version_of_a_client_decides_nothing() {
    let mut callers = Callers::start().await;
    let list = json!({ "parent": DEFAULT }).to_string();
    let long = "x".repeat(5_000);
    for version in ["python/0.1.0", "", "a\"b{c}", "99.0.0", &long] {
        let headers = [JSON, ("sealward-client", version)];
        let answer = post(&mut callers.writer, LIST_MAILBOXES, &headers, list.clone()).await;
        assert_eq!(answer.status, 200, "{version}");
        let shown: Vec<_> = values(&answer.headers).collect();
        assert!(!shown.iter().any(|value| !version.is_empty() && value == version), "{shown:?}");
    }
}

fn values(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
