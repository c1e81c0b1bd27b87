//! Attacks on a server process, with honest callers beside each: a reader, and an administrator who connects for each call. All their calls
//! have to be answered, and the memory of the server has to stay within what its limits allow. Latencies are reported and not judged.
//!
//! The tests make one round of each attack. `cargo xtask attack` makes many, one attack after the other, and prints a table. What each
//! bound does at its limit is in `pressure`, `long_work`, `requests` and `values`.

mod row;
mod target;

use std::time::Duration;

use http::Request;
use prost::bytes::Bytes;
use sealward_client::{Client, Code, Error, ErrorReason, ListOptions, mail_v1, v1};
use sealward_server::{config::limits::Limits, development::Person};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_rustls::client::TlsStream;

use self::target::{Allowed, Setup, Target};
use crate::{
    harness::{
        DEFAULT, PATIENCE,
        http::{call, connect_tls, framed as whole},
        http2::{Call, framed},
        mailbox, raw,
    },
    long_work::{MUCH, costly, many_mailboxes},
    requests::{contoso, list, request},
};

const GET_MAILBOX: &str = "/sealward.mail.v1.MailboxService/GetMailbox";
const LIST_MAILBOXES: &str = "/sealward.mail.v1.MailboxService/ListMailboxes";
const LIST_PROFILES: &str = "/sealward.mail.v1.EmailServerProfileService/ListEmailServerProfiles";
const EXPORT: &str = "/sealward.v1.OrganizationService/ExportOrganization";
const VERIFY_CELLS: &str = "/sealward.v1.DataEncryptionService/VerifyCells";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

const MIB: usize = 1024 * 1024;

/// The window of a caller that isn't part of the attack.
const WINDOW: u32 = 65_535;

/// The time between two bytes of a caller that sends slowly.
const DRIP: Duration = Duration::from_millis(100);

/// The number of header bytes that such a caller sends, in three seconds.
const DRIPS: usize = 30;

/// How long the attack writes to a connection that accepts no more bytes.
const STUCK_MAX: Duration = Duration::from_secs(1);

/// The memory that requests of one identity may use.
fn identity_memory_bytes() -> u64 {
    Limits::default().requests_per_identity_max_bytes.into()
}

/// Calls whose messages of 4 MiB lack their last byte, over this number of connections. The server ends all of them.
async fn unfinished(target: &Target, person: Option<Person>, path: &str, connections: usize, calls: usize) -> usize {
    static ZEROS: [u8; 4 * MIB - 1] = [0; 4 * MIB - 1];
    let (mut begun, mut open) = (Vec::new(), Vec::new());
    for _ in 0..connections {
        let mut connection = target.connection(person, WINDOW).await;
        for _ in 0..calls {
            let Some(mut call) = connection.begin(path, &[], framed(4 * MIB, &[])).await else { break };
            let _refused_already = call.message.send_data(Bytes::from_static(&ZEROS), false);
            begun.push(call);
        }
        open.push(connection);
    }
    let attempts = begun.len();
    for call in begun {
        let status = call.refusal().await;
        assert!(status.is_none_or(|status| status.code() != Code::Ok));
    }
    attempts
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_messages_without_identity_take_bounded_memory() {
    let target = Target::start("unfinished messages, no identity", Setup::default()).await;
    let part = u64::from(Limits::default().requests_max_bytes) / 32;
    let allowed = Allowed { charged_bytes: part, connections: 1 };
    let round = async |target: &Target| unfinished(target, None, HEALTH, 1, 200).await;
    target.withstands(allowed, &["probe_message_size_max_bytes"], round).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_messages_take_bounded_memory() {
    let setup = Setup { limits: &[("message_time_max_ms", 5_000)], ..Setup::default() };
    let target = Target::start("unfinished messages, a reader", setup).await;
    let allowed = Allowed { charged_bytes: identity_memory_bytes(), connections: 4 };
    let round = async |target: &Target| unfinished(target, Some(Person::Reader), GET_MAILBOX, 4, 100).await;
    target.withstands(allowed, &["requests_per_connection_max_bytes", "message_time_max_ms"], round).await;
}

/// Sends a byte of a call's message at a time, until the server ends the call.
async fn drip_message(mut call: Call) {
    let mut pace = interval(DRIP);
    loop {
        tokio::select! {
            _refused_or_reset = &mut call.answer => return,
            _ = pace.tick() => {
                let _refused_already = call.message.send_data(Bytes::from_static(b"x"), false);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_byte_by_byte_are_ended_and_delay_no_caller() {
    let setup = Setup { limits: &[("message_time_max_ms", 2_000)], ..Setup::default() };
    let target = Target::start("slow messages, a reader", setup).await;
    let allowed = Allowed { charged_bytes: identity_memory_bytes(), connections: 10 };
    let round = async |target: &Target| {
        let (mut calls, mut open) = (JoinSet::new(), Vec::new());
        for _ in 0..10 {
            let mut connection = target.connection(Some(Person::Reader), WINDOW).await;
            for _ in 0..20 {
                calls.spawn(drip_message(connection.begin(GET_MAILBOX, &[], framed(100_000, &[])).await.unwrap()));
            }
            open.push(connection);
        }
        timeout(PATIENCE, calls.join_all()).await.expect("a call stays open").len()
    };
    target.withstands(allowed, &["message_time_max_ms"], round).await;
}

/// Kinds of frames (RFC 9113, section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 4;

/// The header of a frame whose payload has this length.
fn frame_header(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&frame_header(payload.len(), kind, flags, stream), payload].concat()
}

/// A connection that sends any bytes after the HTTP/2 preface.
async fn connect(target: &Target, person: Option<Person>) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(&target.address).await.unwrap();
    let mut stream = connect_tls(&target.folder, person, stream).await.unwrap();
    let begin = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&begin).await.unwrap();
    stream
}

/// Writes these bytes up to `times` times, until the server closes or accepts no more. Returns how often they were written.
async fn push(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], times: usize) -> usize {
    for written in 0..times {
        match timeout(STUCK_MAX, stream.write_all(bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return written,
        }
    }
    times
}

/// Sends a byte of a frame of headers at a time.
async fn drip_headers(mut stream: TlsStream<TcpStream>) {
    let mut pace = interval(DRIP);
    let mut next = frame_header(16_000, HEADERS, 0, 1);
    for _ in 0..DRIPS {
        pace.tick().await;
        if push(&mut stream, &next, 1).await == 0 {
            return;
        }
        next = vec![0x83];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_byte_by_byte_delay_no_caller() {
    let setup = Setup { limits: &[("connection_unidentified_idle_max_seconds", 1)], ..Setup::default() };
    let target = Target::start("slow headers", setup).await;
    let allowed = Allowed { charged_bytes: 0, connections: 100 };
    let round = async |target: &Target| {
        let mut connections = JoinSet::new();
        for person in [None, Some(Person::Reader)] {
            for _ in 0..50 {
                connections.spawn(drip_headers(connect(target, person).await));
            }
        }
        connections.join_all().await.len()
    };
    target.withstands(allowed, &["connection_unidentified_idle_max_seconds"], round).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_identity_take_bounded_memory_and_block_no_caller() {
    let target = Target::start("connections without identity", Setup::default()).await;
    let Limits { connections_max, connections_unidentified_percent: percent, .. } = Limits::default();
    // On each of the two listeners.
    let allowed = Allowed { charged_bytes: 0, connections: u64::from(2 * connections_max * percent / 100) };
    // No bytes; the beginning of a ClientHello, of HTTP/2 without TLS, of HTTP/1.
    let begins: [&[u8]; 4] = [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n", b"GET / HT"];
    let round = async |target: &Target| {
        let (mut open, mut with_tls) = (Vec::new(), Vec::new());
        for host in 2..8 {
            for begin in begins.iter().cycle().take(64) {
                let mut stream = target.tcp(host, &target.address).await;
                push(&mut stream, begin, 1).await;
                open.push(stream);
            }
            for _ in 0..16 {
                open.push(target.tcp(host, &target.plaintext_address).await);
            }
            for _ in 0..8 {
                let stream = target.tcp(host, &target.address).await;
                with_tls.push(connect_tls(&target.folder, None, stream).await);
            }
        }
        open.len() + with_tls.len()
    };
    target.withstands(allowed, &["connections_unidentified_percent"], round).await;
}

/// Sends a request again and again. A connection that the server ends is replaced.
async fn send(
    target: &Target,
    person: Option<Person>,
    times: usize,
    mut request: impl FnMut() -> Request<Vec<u8>>,
) -> usize {
    let mut connection = target.http(person).await;
    for _ in 0..times {
        if connection.send(request()).await.is_err() {
            connection = target.http(person).await;
        }
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_take_bounded_memory() {
    let target = Target::start("header floods", Setup::default()).await;
    let allowed = Allowed { charged_bytes: identity_memory_bytes(), connections: 4 };
    let round = async |target: &Target| {
        let mut attempts = 0;
        // More than the limit, which gets a reason, and more than the server reads.
        for length in [17_000, 60_000] {
            let large = || {
                let mut call = call(LIST_MAILBOXES, whole(&list()));
                call.headers_mut().insert("x-trace", "x".repeat(length).parse().unwrap());
                call
            };
            attempts += send(target, Some(Person::Reader), 200, large).await;
        }
        // Each byte is a complete header, which HTTP/2 counts as 42 bytes.
        let headers = frame(CONTINUATION, 0, 1, &[0x83; 16_384]);
        for person in [None, Some(Person::Reader)] {
            let mut stream = connect(target, person).await;
            push(&mut stream, &frame(HEADERS, 0, 1, &[0x83]), 1).await;
            attempts += push(&mut stream, &headers, 500).await;
        }
        attempts
    };
    target.withstands(allowed, &["header_list_size_max_bytes"], round).await;
}

/// The headers of a call of this path (RFC 7541): names and values by their number in the static table, or as they are.
fn call_headers(path: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let (post, https) = ([0x83], [0x87]);
    let path = [&[0x04][..], &text(path)].concat();
    let authority = [&[0x01][..], &text("localhost")].concat();
    let content_type = [&[0x0f, 0x10][..], &text("application/grpc")].concat();
    let te = [&[0x00][..], &text("te"), &text("trailers")].concat();
    [&post[..], &https, &path, &authority, &content_type, &te].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_reset_at_once_delay_no_caller() {
    let target = Target::start("rapid resets", Setup::default()).await;
    let allowed = Allowed { charged_bytes: identity_memory_bytes(), connections: 20 };
    let round = async |target: &Target| {
        let headers = call_headers(LIST_MAILBOXES);
        let cancel = u32::from(h2::Reason::CANCEL).to_be_bytes();
        let mut attempts = 0;
        for person in [None, Some(Person::Reader)] {
            for _ in 0..10 {
                let mut connection = connect(target, person).await;
                for stream in (1..2_000).step_by(2) {
                    let call = frame(HEADERS, END_HEADERS, stream, &headers);
                    if push(&mut connection, &[call, frame(RST_STREAM, 0, stream, &cancel)].concat(), 1).await == 0 {
                        break;
                    }
                    attempts += 1;
                }
            }
        }
        attempts
    };
    target.withstands(allowed, &[], round).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_with_unread_answers_take_bounded_memory() {
    let target = Target::start("PING, SETTINGS and window floods", Setup::default()).await;
    let allowed = Allowed { charged_bytes: 0, connections: 6 };
    let kinds = [
        frame(PING, 0, 0, &[0; 8]),
        // Settings of the window size, which the server must acknowledge.
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
    ];
    let round = async |target: &Target| {
        const AT_ONCE: usize = 100;
        let mut attempts = 0;
        for person in [None, Some(Person::Reader)] {
            for kind in &kinds {
                let mut connection = connect(target, person).await;
                attempts += AT_ONCE * push(&mut connection, &kind.repeat(AT_ONCE), 500).await;
            }
        }
        attempts
    };
    target.withstands(allowed, &[], round).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_with_an_unread_log_delay_no_caller() {
    let target = Target::start("refused calls, log unread", Setup { is_log_unread: true, ..Setup::default() }).await;
    // A line of the log has some hundred bytes.
    let log = u64::from(Limits::default().log_queue_lines) * 1_024;
    let allowed = Allowed { charged_bytes: log, connections: 4 };
    let rpcs: Vec<_> = raw::rpcs().iter().map(raw::path).collect();
    let round = async |target: &Target| {
        const TIMES: usize = 500;
        let reader = Some(Person::Reader);
        let foreign = [("content-type", "application/grpc"), ("origin", "https://evil.example")];
        let foreign = || request("POST", LIST_MAILBOXES, &foreign, whole(&list()));
        let not_grpc = || request("POST", LIST_MAILBOXES, &[("content-type", "text/plain")], whole(&list()));
        // Most of them are refused, each as a different kind of call.
        let mut next = rpcs.iter().cycle();
        send(target, None, TIMES, || call(LIST_MAILBOXES, whole(&list()))).await
            + send(target, reader, TIMES, || call(next.next().unwrap(), contoso())).await
            + send(target, reader, TIMES, foreign).await
            + send(target, reader, TIMES, not_grpc).await
    };
    target.withstands(allowed, &["refusals_recorded_per_minute_per_identity"], round).await;
}

/// Waits until the server has ended an answer that isn't read.
async fn ended(call: Call) {
    let Ok(answer) = timeout(PATIENCE, call.answer).await.expect("no answer") else { return };
    let mut body = answer.into_body();
    // Received bytes are never released, so the window doesn't grow.
    while let Some(Ok(_)) = timeout(PATIENCE, body.data()).await.expect("the stream stays open") {}
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_lists_take_bounded_memory() {
    sqlite_only!("fills the file of a database directly");
    let setup = Setup { limits: &[("answer_stall_max_ms", 2_000)], rows: MUCH, ..Setup::default() };
    let target = Target::start("unread lists, a reader", setup).await;
    let answers = u64::from(Limits::default().answers_per_identity_max_bytes);
    let allowed = Allowed { charged_bytes: answers, connections: 4 };
    let round = async |target: &Target| {
        let page = mail_v1::ListEmailServerProfilesRequest {
            parent: DEFAULT.to_owned(),
            page_size: 1_000,
            ..Default::default()
        };
        let (mut calls, mut open) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let mut connection = target.connection(Some(Person::Reader), WINDOW).await;
            for _ in 0..25 {
                calls.extend(connection.call(LIST_PROFILES, &[], &page).await);
            }
            open.push(connection);
        }
        let attempts = calls.len();
        for call in calls {
            ended(call).await;
        }
        attempts
    };
    target.withstands(allowed, &["answer_stall_max_ms"], round).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_streams_are_bounded_and_ended() {
    sqlite_only!("fills the file of a database directly");
    let setup = Setup { limits: &[("answer_stall_max_ms", 2_000)], rows: MUCH, ..Setup::default() };
    let target = Target::start("unread exports and verifications", setup).await;
    // An administrator exports, an auditor verifies.
    let answers = 2 * u64::from(Limits::default().answers_per_identity_max_bytes);
    let allowed = Allowed { charged_bytes: answers, connections: 2 };
    let round = async |target: &Target| {
        let mut exporting = target.connection(Some(Person::Admin), WINDOW).await;
        // Not even the first message is read.
        let mut verifying = target.connection(Some(Person::Auditor), 1).await;
        let export = v1::ExportOrganizationRequest { name: DEFAULT.to_owned() };
        let verify = v1::VerifyCellsRequest { organization: DEFAULT.to_owned() };
        let mut calls = Vec::new();
        for _ in 0..48 {
            calls.extend(exporting.call(EXPORT, &[], &export).await);
            calls.extend(verifying.call(VERIFY_CELLS, &[], &verify).await);
        }
        let attempts = calls.len();
        for call in calls {
            ended(call).await;
        }
        attempts
    };
    target.withstands(allowed, &["streams_per_identity_max", "answer_stall_max_ms"], round).await;
}

/// The outcomes of this number of concurrent calls.
async fn at_once<F>(times: usize, call: impl Fn() -> F) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let calls: JoinSet<F::Output> = (0..times).map(|_| call()).collect();
    calls.join_all().await
}

/// Asserts that calls were answered, or refused for one of these reasons.
#[track_caller]
fn answered_or_refused(reasons: &[ErrorReason], outcomes: Vec<Result<(), Error>>) -> usize {
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(reasons.contains(&error.reason()), "{error:?}");
    }
    outcomes.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_concurrent_costly_lists_delay_no_other_reader() {
    sqlite_only!("fills the file of a database directly");
    let rows = many_mailboxes(20_000);
    let target = Target::start("100 costly lists, a reader", Setup { rows: &rows, ..Setup::default() }).await;
    let allowed = Allowed { charged_bytes: identity_memory_bytes(), connections: 1 };
    let round = async |target: &Target| {
        let reader = target.client(Person::Reader);
        let lists = at_once(100, || {
            let reader = reader.clone();
            async move { reader.mailboxes().list(DEFAULT, costly()).await.map(drop) }
        });
        answered_or_refused(&[ErrorReason::InFlightLimit, ErrorReason::ListTimeLimit], lists.await)
    };
    target.withstands(allowed, &["lists_per_identity_max"], round).await;
}

/// Reads a verification of all cells to its end.
async fn verify_cells(auditor: Client) -> Result<(), Error> {
    let mut checking = auditor.verify_cells(DEFAULT).await?;
    while checking.next().await?.is_some() {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_verifications_of_cells_delay_no_caller() {
    let target = Target::start("64 VerifyCells, an auditor", Setup::default()).await;
    let writer = target.client(Person::Writer);
    let created = at_once(300, || {
        let writer = writer.clone();
        async move { writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.map(drop) }
    });
    assert!(created.await.iter().all(Result::is_ok));
    let allowed = Allowed { charged_bytes: identity_memory_bytes(), connections: 1 };
    let round = async |target: &Target| {
        let auditor = target.client(Person::Auditor);
        answered_or_refused(&[ErrorReason::InFlightLimit], at_once(64, || verify_cells(auditor.clone())).await)
    };
    target.withstands(allowed, &[], round).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_wrong_comparisons_delay_no_caller() {
    let target = Target::start("wrong comparisons, a connector", Setup::default()).await;
    let allowed = Allowed { charged_bytes: identity_memory_bytes(), connections: 1 };
    let round = async |target: &Target| {
        const CALLERS: usize = 16;
        const GUESSES: usize = 125;
        let connector = target.client(Person::Connector);
        let guessing = at_once(CALLERS, || {
            let (connector, mailbox) = (connector.clone(), target.mailbox.clone());
            async move {
                for guess in 0..GUESSES {
                    let guess = format!("wrong {guess}").into();
                    match connector.compare_attribute(&mailbox, "password", &guess, "a login").await {
                        Ok(is_equal) => assert!(!is_equal),
                        Err(error) => assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}"),
                    }
                }
            }
        });
        guessing.await.len() * GUESSES
    };
    target.withstands(allowed, &[], round).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_many_or_large_violations_take_bounded_memory() {
    let target = Target::start("many and large violations", Setup::default()).await;
    let allowed = Allowed { charged_bytes: identity_memory_bytes(), connections: 3 };
    let round = async |target: &Target| {
        let [reader, writer, connector] = [Person::Reader, Person::Writer, Person::Connector].map(|p| target.client(p));
        let refused = at_once(4, || {
            let (reader, writer, connector) = (reader.clone(), writer.clone(), connector.clone());
            let name = target.mailbox.clone();
            async move {
                let (many, large) = (vec!["x"; 200_000], "x".repeat(3 * MIB));
                let masked = ListOptions::default().read_mask(many.clone());
                let filtered = ListOptions::default().filter(large.clone());
                let named = mail_v1::Mailbox { display_name: Some(large), ..mailbox("hunter2") };
                [
                    reader.mailboxes().list(DEFAULT, masked).await.map(drop),
                    reader.mailboxes().list(DEFAULT, filtered).await.map(drop),
                    writer.mailboxes().create(DEFAULT, named, None).await.map(drop),
                    connector.reveal_attributes(name, many, "a test").await.map(drop),
                ]
            }
        });
        let refused: Vec<_> = refused.await.into_iter().flatten().collect();
        for outcome in &refused {
            let error = outcome.as_ref().unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
        }
        refused.len()
    };
    target.withstands(allowed, &["mask_paths_max", "reveal_attributes_max", "filter_length_max_bytes"], round).await;
}
