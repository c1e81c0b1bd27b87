//! Proxies between a client and the server, with the settings of the guide: early errors arrive, and requests that proxies read in different
//! ways are never served twice or differently.

use prost::bytes::Bytes;
use sealward_client::{ListOptions, mail_v1};
use sealward_server::development::Person;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    harness::{
        DEFAULT, PATIENCE, Server,
        http::{Http, call, framed},
        http2::{Call, Connection},
        raw,
        reverse_proxy::{Kind, ReverseProxy},
    },
    http1::Http1,
};

const CREATE_ORGANIZATION: &str = "/sealward.v1.OrganizationService/CreateOrganization";
const CREATE_MAILBOX: &str = "/sealward.mail.v1.MailboxService/CreateMailbox";

/// The error of a call that this connection begins with these bytes, and ends late. A second call works on the same connection.
async fn late_error(connection: &mut Connection, begin: &[u8], rest: usize) -> Status {
    let call = connection.begin(CREATE_ORGANIZATION, &[], Bytes::copy_from_slice(begin)).await.expect("no connection");
    let Call { answer, mut message } = call;
    let answer = timeout(PATIENCE, answer).await.expect("no answer").expect("a reset instead of an answer");
    let in_headers = Status::from_header_map(answer.headers());
    let status = match in_headers {
        Some(status) => status,
        None => {
            let mut body = answer.into_body();
            while let Some(data) = body.data().await {
                data.expect("a reset instead of trailers");
            }
            Status::from_header_map(&body.trailers().await.unwrap().unwrap()).unwrap()
        }
    };
    // The proxy or the server may have reset the stream after the answer.
    let _sent_or_not = message.send_data(vec![0; rest].into(), true);
    status
}

#[tokio::test]
async fn early_error_of_a_late_client_arrives_directly_and_through_each_proxy() {
    let server = Server::start().await;
    let mut ways = vec![("directly".to_owned(), server.address().to_owned())];
    let mut proxies = Vec::new();
    for kind in Kind::ALL {
        let proxy = ReverseProxy::start(kind, &server, Person::Reader).await;
        ways.push((format!("{kind:?}"), proxy.address()));
        proxies.push(proxy);
    }
    for (way, address) in &ways {
        for (begin, rest) in [(0, 5), (5, 0), (5, 10_000), (40_000, 20_000)] {
            let mut connection = Connection::with_tls(server.folder(), address, Some(Person::Reader), 65_535).await;
            for _ in 0..2 {
                let status = late_error(&mut connection, &vec![0; begin], rest).await;
                assert_eq!(status.code(), Code::PermissionDenied, "{way} {begin} {rest}: {status:?}");
                assert_eq!(status.get_details_error_info().unwrap().reason, "PRIVILEGE_MISSING", "{way}");
            }
        }
        // A client that never ends its side.
        let client = server.folder().client(address, Person::Reader);
        let outcome = raw::call_without_message(&client, CREATE_ORGANIZATION);
        let status = timeout(PATIENCE, outcome).await.unwrap().unwrap_err();
        assert_eq!(status.get_details_error_info().unwrap().reason, "PRIVILEGE_MISSING", "{way}: {status:?}");
    }
}

/// A message that creates a mailbox with this name.
fn creation(name: &str) -> Vec<u8> {
    let mailbox = mail_v1::Mailbox { display_name: Some(name.to_owned()), ..Default::default() };
    framed(&mail_v1::CreateMailboxRequest { parent: DEFAULT.to_owned(), mailbox: Some(mailbox), ..Default::default() })
}

/// The head of a request of HTTP/1.1 without the headers about the body, and the rest.
fn request(target: &str, rest: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/grpc-web+proto\r\nTE: trailers\r\n{rest}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn with_length(target: &str, body: &[u8]) -> Vec<u8> {
    request(target, &format!("Content-Length: {}\r\n", body.len()), body)
}

fn chunked(body: &[u8], extension: &str) -> Vec<u8> {
    [format!("{:x}{extension}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

/// Requests that a proxy or a server may read in different ways, and that must not be served: the name, and the bytes. Some have a second
/// request inside.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let body = creation("refused");
    let length = body.len();
    let inner = with_length(CREATE_MAILBOX, &creation("inner"));
    let lengths = format!("Content-Length: {length}\r\nContent-Length: {}\r\n", length + 1);
    let smuggled = [b"0\r\n\r\n", &*inner].concat();
    vec![
        ("two lengths", request(CREATE_MAILBOX, &lengths, &body)),
        (
            "length and coding",
            request(CREATE_MAILBOX, "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", &smuggled),
        ),
        ("signed length", request(CREATE_MAILBOX, &format!("Content-Length: +{length}\r\n"), &body)),
        ("space before the colon", request(CREATE_MAILBOX, &format!("Content-Length : {length}\r\n"), &body)),
        (
            "unknown coding",
            request(CREATE_MAILBOX, &format!("Transfer-Encoding: xchunked\r\nContent-Length: {length}\r\n"), &body),
        ),
        (
            "two codings",
            request(
                CREATE_MAILBOX,
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                &chunked(&body, ""),
            ),
        ),
        (
            "chunk size with a prefix",
            request(CREATE_MAILBOX, "Transfer-Encoding: chunked\r\n", &[b"0x", &*chunked(&body, "")].concat()),
        ),
        ("two hosts", request(CREATE_MAILBOX, &format!("Host: other\r\nContent-Length: {length}\r\n"), &body)),
        ("underscore", request(CREATE_MAILBOX, &format!("content_length: 0\r\nContent-Length: {length}\r\n"), &body)),
        ("escaped slash", with_length(&CREATE_MAILBOX.replace("Service/", "Service%2F"), &body)),
        ("escaped letter", with_length(&CREATE_MAILBOX.replace("Create", "%43reate"), &body)),
        ("two slashes", with_length(&CREATE_MAILBOX.replace("Service/", "Service//"), &body)),
        ("semicolon", with_length(&format!("{CREATE_MAILBOX};x=y"), &body)),
        ("dot segments", with_length(&format!("/x/..{CREATE_MAILBOX}"), &body)),
    ]
}

/// Requests that some proxies repair before they pass them on: served once at most.
fn repaired() -> Vec<(&'static str, Vec<u8>)> {
    let body = creation("repaired");
    let length = body.len();
    vec![
        (
            "the same length twice",
            request(CREATE_MAILBOX, &format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"), &body),
        ),
        ("list of lengths", request(CREATE_MAILBOX, &format!("Content-Length: {length}, {length}\r\n"), &body)),
        (
            "length and coding that agree",
            request(
                CREATE_MAILBOX,
                &format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
                &chunked(&body, ""),
            ),
        ),
        ("chunk extension", request(CREATE_MAILBOX, "Transfer-Encoding: chunked\r\n", &chunked(&body, ";x=y"))),
        ("folded header", request(CREATE_MAILBOX, &format!("x: y\r\n z\r\nContent-Length: {length}\r\n"), &body)),
        ("bare line feed", request(CREATE_MAILBOX, &format!("x: y\nContent-Length: {length}\r\n"), &body)),
        ("URL of another host", with_length(&format!("https://other{CREATE_MAILBOX}"), &body)),
    ]
}

async fn count(server: &Server, name: &str) -> usize {
    let mailboxes = server.client(Person::Reader).mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap();
    mailboxes.records.iter().filter(|mailbox| mailbox.display_name.as_deref() == Some(name)).count()
}

#[tokio::test]
async fn request_that_proxies_read_differently_is_never_served_twice_or_differently() {
    let server = Server::start().await;
    let mut served_once = 0;
    for kind in [None, Some(Kind::Envoy), Some(Kind::Nginx), Some(Kind::Haproxy)] {
        let proxy = match kind {
            Some(kind) => Some(ReverseProxy::start(kind, &server, Person::Writer).await),
            None => None,
        };
        let address = proxy.as_ref().map_or_else(|| server.address().to_owned(), ReverseProxy::address);
        let send = async |bytes: &[u8]| {
            let mut connection = Http1::over_tls(server.folder(), &address, Some(Person::Writer)).await;
            connection.send(bytes).await;
            let answer = connection.answer().await;
            // A complete call behind it, so that everything before has arrived.
            let mut http2 = Http::over_tls(server.folder(), &address, Some(Person::Writer)).await;
            let answered = http2.send(call("/grpc.health.v1.Health/Check", vec![0; 5])).await.unwrap();
            assert_eq!(answered.status, 200);
            answer
        };
        for (name, bytes) in refused() {
            let answer = send(&bytes).await;
            assert_eq!(
                (count(&server, "refused").await, count(&server, "inner").await),
                (0, 0),
                "{name} {kind:?}: {answer:?}"
            );
        }
        for (name, bytes) in repaired() {
            let before = count(&server, "repaired").await;
            let answer = send(&bytes).await;
            let after = count(&server, "repaired").await;
            assert!(after <= before + 1, "{name} {kind:?}: {answer:?}");
            // Without a proxy, only a chunk extension is no fault.
            assert!(kind.is_some() || after == before || name == "chunk extension", "{name}: {answer:?}");
            served_once += after - before;
        }
        // The proxy passes on what is valid.
        let before = count(&server, "valid").await;
        let mut http2 = Http::over_tls(server.folder(), &address, Some(Person::Writer)).await;
        let answer = http2.send(call(CREATE_MAILBOX, creation("valid"))).await.unwrap();
        assert_eq!(count(&server, "valid").await, before + 1, "{kind:?}: {answer:?}");
        // The same faults in HTTP/2.
        for path in ["%2F", "//", ";", "/../"] {
            let path = format!("/sealward.mail.v1.MailboxService{path}CreateMailbox");
            let _refused = http2.send(call(&path, creation("refused"))).await;
        }
        let mut underscore = call(CREATE_MAILBOX, creation("refused"));
        underscore.headers_mut().insert("x_y", "z".parse().unwrap());
        let _refused = http2.send(underscore).await;
        assert_eq!(count(&server, "refused").await, 0, "{kind:?}");
    }
    // Otherwise the test would compare nothing.
    assert!(served_once > 0);
}
