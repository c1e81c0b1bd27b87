//! Traces: the spans of calls at a collector, whose context counts, what is never exported, and collectors that don't answer.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, process::Command};

use data_encoding::HEXLOWER;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use sealward_client::{
    ErrorReason, ListOptions,
    v1::{self, server_finding::Severity},
};
use sealward_server::{
    app::{App, StartError},
    config::{CollectorAddress, Config, Traces},
    development::Person,
};
use serde_json::Value;
use tokio::{net::TcpListener, time::timeout};
use tonic_health::pb::HealthCheckRequest;

use crate::{
    due::scraped,
    harness::{
        DEFAULT, Folder, PATIENCE, Server,
        collector::{Collector, Reply, SECRET, attribute, names, settings, trace_all},
        http::{Http, call, framed},
        mailbox,
        process::{Process, tool},
        reason, reveal, settled,
    },
    operate::{checked, findings, program},
};

const WHO_AM_I: &str = "/sealward.v1.AccessService/WhoAmI";
const GET: &str = "sealward.mail.v1.MailboxService/GetMailbox";
const CREATE: &str = "sealward.mail.v1.MailboxService/CreateMailbox";
const REVEAL: &str = "sealward.v1.SecretAccessService/RevealAttributes";
const SET_KEY: &str = "sealward.v1.DataEncryptionService/SetDataEncryptionKey";

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// A server that traces every call, and its collector.
async fn traced(change: impl FnOnce(&mut Config)) -> (Server, Collector) {
    let folder = Folder::new();
    let (collector, port) = Collector::over_tls(&folder).await;
    let traces = settings(&folder, port);
    let server = Server::start_in(folder, |config| {
        trace_all(config, traces);
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
        change(config);
    })
    .await;
    (server, collector)
}

/// Sends WhoAmI with these headers, as a person or without an identity.
async fn who_am_i(server: &Server, person: Option<Person>, headers: &[(&'static str, &str)]) {
    let mut request = call(WHO_AM_I, framed(&v1::WhoAmIRequest::default()));
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let answer = Http::over_tls(server.folder(), server.address(), person).await.send(request).await.unwrap();
    let status = answer.trailers.get("grpc-status").or(answer.headers.get("grpc-status")).unwrap().to_str().unwrap();
    assert_eq!(status == "0", person.is_some(), "{status}");
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// The spans of calls of this method.
fn calls<'a>(spans: &'a [Span], method: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.kind() == SpanKind::Server && span.name == method).collect()
}

/// The spans directly below this one, by their begin.
fn below<'a>(spans: &'a [Span], above: &Span) -> Vec<&'a Span> {
    let is_below = |span: &&Span| span.trace_id == above.trace_id && span.parent_span_id == above.span_id;
    let mut below: Vec<&Span> = spans.iter().filter(is_below).collect();
    below.sort_by_key(|span| span.start_time_unix_nano);
    below
}

fn attributes(span: &Span) -> BTreeMap<&str, String> {
    span.attributes.iter().map(|of| (of.key.as_str(), attribute(span, &of.key).unwrap())).collect()
}

/// The count of spans with this outcome.
async fn outcome(server: &Server, outcome: &str) -> u64 {
    let sample = format!("sealward_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let scraped = scraped(server.metrics_address()).await;
    scraped.lines().find_map(|line| line.strip_prefix(&sample)).unwrap().parse().unwrap()
}

async fn outcome_reaches(server: &Server, name: &str, wanted: u64) {
    let reached = async { while outcome(server, name).await < wanted {} };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{name} doesn't reach {wanted}"));
}

#[tokio::test]
async fn call_and_its_work_are_spans_of_one_trace() {
    let (server, collector) = traced(|_| {}).await;
    let (writer, admin) = (server.client(Person::Writer), server.client(Person::Admin));
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    writer.mailboxes().get(&stored.name).await.unwrap();
    reveal(&server.client(Person::Connector), &stored.name).await.unwrap();
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    settled(&admin).await;
    let ended = |spans: &[Span], name: &str| names(spans).contains(&name);
    let spans = collector
        .spans(|spans| [CREATE, GET, REVEAL, SET_KEY, "key.set", "key.reencrypt"].iter().all(|name| ended(spans, name)))
        .await;

    let [create] = calls(&spans, CREATE)[..] else { panic!("{spans:#?}") };
    let of_create = attributes(create);
    assert_eq!(
        of_create.iter().filter(|(name, _)| **name != "sealward.call_id").collect::<Vec<_>>(),
        [
            (&"rpc.method", &CREATE.to_owned()),
            (&"rpc.response.status_code", &"OK".to_owned()),
            (&"rpc.system.name", &"grpc".to_owned()),
            (&"sealward.organization", &"default".to_owned()),
        ]
    );
    // A call without a context begins a trace, whose id is that of the call.
    assert_eq!(hex(&create.trace_id), of_create["sealward.call_id"].replace('-', ""));
    assert!(create.parent_span_id.is_empty() && create.trace_state.is_empty() && create.status.is_none());
    assert_eq!(create.flags, 1);

    let below_create = below(&spans, create);
    let kinds: Vec<&str> = below_create.iter().map(|span| span.name.as_str()).collect();
    assert!(kinds.contains(&"cells.seal") && kinds.last() == Some(&"store.commit"), "{kinds:?}");
    for span in &below_create {
        assert_eq!(span.kind(), SpanKind::Internal);
        assert_eq!(span.flags, 0x101, "its parent isn't remote");
        assert!(span.start_time_unix_nano >= create.start_time_unix_nano, "{span:#?}");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:#?}");
        assert!(span.end_time_unix_nano <= create.end_time_unix_nano, "{span:#?}");
        let store = span.name.starts_with("store.").then(|| "organization".to_owned());
        assert_eq!(attribute(span, "sealward.store"), store, "{span:#?}");
    }
    let [get] = calls(&spans, GET)[..] else { panic!("{spans:#?}") };
    assert_eq!(below(&spans, get).iter().map(|span| &*span.name).collect::<Vec<_>>(), ["store.read"]);
    let [revealed] = calls(&spans, REVEAL)[..] else { panic!("{spans:#?}") };
    let of_reveal: Vec<&str> = below(&spans, revealed).iter().map(|span| &*span.name).collect();
    assert_eq!(of_reveal, ["store.read", "cells.open", "store.commit"]);

    // The key is set in a task of its own, which belongs to the trace, and so does the re-encryption after the answer.
    let [set] = calls(&spans, SET_KEY)[..] else { panic!("{spans:#?}") };
    let of_set = below(&spans, set);
    let key_set = of_set.iter().find(|span| span.name == "key.set").unwrap();
    let within: Vec<&str> = below(&spans, key_set).iter().map(|span| &*span.name).collect();
    assert!(within.contains(&"key.derive") && within.contains(&"store.commit"), "{within:?}");
    let reencrypts: Vec<_> = of_set.iter().filter(|span| span.name == "key.reencrypt").collect();
    assert!(
        reencrypts.iter().any(|step| below(&spans, step).iter().any(|span| span.name == "store.commit")),
        "{spans:#?}"
    );
    let stores: Vec<_> = below(&spans, key_set).iter().filter_map(|span| attribute(span, "sealward.store")).collect();
    assert!(stores.contains(&"configuration".to_owned()), "{stores:?}");

    let requests = collector.received();
    assert!(requests.iter().all(|request| request.headers["authorization"] == SECRET));
    let resource: BTreeMap<_, _> = requests[0].resource.iter().cloned().collect();
    assert_eq!(resource["service.name"], "sealward");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert!(!resource["service.instance.id"].is_empty() && resource.len() == 3, "{resource:?}");
    assert_reference(&spans);
}

/// Every span and attribute is in docs/traces.md.
#[track_caller]
fn assert_reference(spans: &[Span]) {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/traces.md")).unwrap();
    let row = |name: &str| document.lines().find(|line| line.starts_with(&format!("| {name} | ")));
    for span in spans {
        let is_call = span.kind() == SpanKind::Server;
        let name = if is_call { "*METHOD*".to_owned() } else { format!("`{}`", span.name) };
        let row = row(&name).unwrap_or_else(|| panic!("{name} isn't in docs/traces.md"));
        for attribute in &span.attributes {
            assert!(row.contains(&format!("`{}`", attribute.key)), "{name} has {}", attribute.key);
        }
        assert!(span.events.is_empty() && span.links.is_empty() && span.trace_state.is_empty(), "{span:?}");
        assert!(span.status.as_ref().is_none_or(|status| status.message.is_empty()), "{span:?}");
    }
}

#[tokio::test]
async fn failed_call_has_its_code_and_reason() {
    let (server, collector) = traced(|_| {}).await;
    let reader = server.client(Person::Reader);
    let missing = format!("{DEFAULT}/mailboxes/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506");
    assert_eq!(reason(reader.mailboxes().get(&missing).await), ErrorReason::NotFound);
    let mut raw = Http::over_tls(server.folder(), server.address(), Some(Person::Reader)).await;
    raw.send(call("/sealward.v1.AccessService/hunter2", Vec::new())).await.unwrap();
    let connect = http::Request::post(format!("https://localhost/{GET}"))
        .header("content-type", "application/json")
        .header("connect-protocol-version", "1")
        .body(format!("{{\"name\":\"{missing}\"}}").into_bytes())
        .unwrap();
    raw.send(connect).await.unwrap();
    let spans = collector.spans(|spans| spans.iter().filter(|span| span.kind() == SpanKind::Server).count() == 3).await;
    let shown: Vec<_> = spans
        .iter()
        .filter(|span| span.kind() == SpanKind::Server)
        .map(|span| {
            let of = |name| attribute(span, name).unwrap_or_default();
            let failed = span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
            let [system, method, code] = ["rpc.system.name", "rpc.method", "rpc.response.status_code"].map(of);
            (span.name.clone(), system, method, code, of("sealward.reason"), of("error.type"), failed)
        })
        .collect();
    let row = |name: &str, system: &str, method: &str, code: &str, reason: &str, error: &str| {
        let [name, system, method, code, reason, error] =
            [name, system, method, code, reason, error].map(str::to_owned);
        let failed = !error.is_empty();
        (name, system, method, code, reason, error, failed)
    };
    assert_eq!(
        shown,
        [
            row(GET, "grpc", GET, "NOT_FOUND", "NOT_FOUND", ""),
            row("grpc", "grpc", "_OTHER", "UNIMPLEMENTED", "METHOD_UNKNOWN", "UNIMPLEMENTED"),
            row(GET, "connectrpc", GET, "not_found", "NOT_FOUND", ""),
        ]
    );
}

#[tokio::test]
async fn context_counts_only_if_its_caller_has_an_identity() {
    let (server, collector) = traced(|config| config.limits.trace_calls_per_million = 0).await;
    let sampled = traceparent("01");
    // None of these may be recorded.
    who_am_i(&server, None, &[("traceparent", &sampled)]).await;
    who_am_i(&server, Some(Person::Writer), &[]).await;
    who_am_i(&server, Some(Person::Writer), &[("traceparent", &traceparent("00"))]).await;
    who_am_i(&server, Some(Person::Writer), &[("traceparent", &sampled), ("traceparent", &sampled)]).await;
    who_am_i(&server, Some(Person::Writer), &[("traceparent", &sampled.to_uppercase())]).await;
    let mut health = call("/grpc.health.v1.Health/Check", framed(&HealthCheckRequest::default()));
    health.headers_mut().append("traceparent", sampled.parse().unwrap());
    Http::over_tls(server.folder(), server.address(), None).await.send(health).await.unwrap();
    // Spans arrive in the order in which they end, so nothing before this call follows later.
    let context = [("traceparent", &*sampled), ("tracestate", "vendor=kQ7vZr2Xw9"), ("baggage", "user=kQ7vZr2Xw9")];
    who_am_i(&server, Some(Person::Writer), &context).await;
    let spans = collector.spans(|spans| !spans.is_empty()).await;
    let [span] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    // Sampled; the parent is known to be remote.
    assert_eq!(span.flags, 0x301);
    assert!(!contains(&collector, b"kQ7vZr2Xw9"));
}

#[tokio::test]
async fn flags_of_callers_count_within_a_rate() {
    const CALLS: u64 = 40;
    let (server, collector) = traced(|config| {
        config.limits.trace_calls_per_million = 0;
        config.limits.trace_requests_per_second_per_identity = 1;
    })
    .await;
    for _ in 0..CALLS {
        who_am_i(&server, Some(Person::Reader), &[("traceparent", &traceparent("01"))]).await;
    }
    let scraped = scraped(server.metrics_address()).await;
    let refused = "sealward_refused_by_bound_total{bound=\"trace_requests_per_second_per_identity\"} ";
    let refused: u64 = scraped.lines().find_map(|line| line.strip_prefix(refused)).unwrap().parse().unwrap();
    assert!(refused > 0);
    // All others are recorded.
    outcome_reaches(&server, "exported", CALLS - refused).await;
    let spans = collector.spans(|spans| !spans.is_empty()).await;
    assert_eq!(u64::try_from(spans.len()).unwrap(), CALLS - refused);
}

/// Whether these bytes are in any request to the collector.
fn contains(collector: &Collector, bytes: &[u8]) -> bool {
    collector.received().iter().any(|request| request.body.windows(bytes.len()).any(|window| window == bytes))
}

#[tokio::test]
async fn nothing_that_a_caller_sends_is_exported() {
    const MARK: &str = "kQ7vZr2Xw9";
    let (server, collector) = traced(|_| {}).await;
    let (writer, admin, connector) =
        (server.client(Person::Writer), server.client(Person::Admin), server.client(Person::Connector));
    let marked = |number: u32| format!("{MARK}-{number}");
    let mut draft = mailbox(&marked(1));
    draft.display_name = Some(marked(2));
    draft.username = Some(marked(3));
    let stored = writer.mailboxes().create(DEFAULT, draft, None).await.unwrap();
    let filter = format!("display_name = \"{}\"", marked(2));
    let found = writer.mailboxes().list(DEFAULT, ListOptions::default().filter(&*filter)).await.unwrap();
    assert_eq!(found.records.len(), 1);
    let purpose = format!("a purpose {MARK}");
    connector.reveal_attributes(&stored.name, ["password"], &purpose).await.unwrap();
    connector.compare_attribute(&stored.name, "password", &marked(4).into(), &purpose).await.unwrap();
    admin.change_key(DEFAULT, &marked(5).into()).await.unwrap();
    settled(&admin).await;
    reason(admin.restore_key(DEFAULT, &marked(6).into()).await);
    reason(writer.mailboxes().get(format!("{DEFAULT}/mailboxes/{}", marked(7))).await);
    reason(writer.mailboxes().get(format!("organizations/{}/mailboxes/1", MARK.to_lowercase())).await);
    reason(writer.mailboxes().list(DEFAULT, ListOptions::default().filter(format!("{MARK} = 1"))).await);
    reason(connector.reveal_attributes(&stored.name, [marked(8)], &purpose).await);
    let mut raw = Http::over_tls(server.folder(), server.address(), Some(Person::Reader)).await;
    raw.send(call(&format!("/{MARK}/{MARK}"), Vec::new())).await.unwrap();
    who_am_i(&server, Some(Person::Auditor), &[("user-agent", MARK), ("x-anything", MARK), ("baggage", MARK)]).await;
    let last = "sealward.v1.AccessService/WhoAmI";
    let spans = collector.spans(|spans| names(spans).contains(&last)).await;
    assert!(spans.len() > 30, "{spans:#?}");

    let id = stored.name.rsplit('/').next().unwrap();
    let raw_id: Vec<u8> = HEXLOWER.decode(id.replace('-', "").as_bytes()).unwrap();
    let never: [&[u8]; 9] = [
        MARK.as_bytes(),
        b"kq7vzr2xw9",
        id.as_bytes(),
        &raw_id,
        b"organizations/",
        b"127.0.0.1",
        b"cn:",
        b"connector",
        b"hunter2",
    ];
    for bytes in never {
        assert!(!contains(&collector, bytes), "{}", String::from_utf8_lossy(bytes));
    }
    assert_reference(&spans);
}

#[tokio::test]
async fn spans_of_a_call_are_bounded() {
    let (server, collector) = traced(|config| config.limits.trace_spans_per_call_max = 2).await;
    let admin = server.client(Person::Admin);
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    let spans = collector.spans(|spans| names(spans).contains(&SET_KEY)).await;
    let [set] = calls(&spans, SET_KEY)[..] else { panic!("{spans:#?}") };
    let of_trace = spans.iter().filter(|span| span.trace_id == set.trace_id).count();
    assert!((2..=3).contains(&of_trace), "{:?}", names(&spans));
    outcome_reaches(&server, "call_full", 1).await;
}

#[tokio::test]
async fn waiting_spans_are_sent_at_shutdown() {
    let (server, collector) = traced(|config| config.limits.trace_batch_wait_max_ms = 60_000).await;
    who_am_i(&server, Some(Person::Reader), &[]).await;
    server.stop().await;
    assert!(collector.received().iter().any(|request| names(&request.spans).contains(&&WHO_AM_I[1..])));
}

#[tokio::test]
async fn collector_that_is_busy_gets_the_spans_again() {
    const UNAVAILABLE: u32 = 14;
    let (server, collector) = traced(|_| {}).await;
    collector.reply([Reply::Refuses(UNAVAILABLE), Reply::Refuses(UNAVAILABLE)]);
    who_am_i(&server, Some(Person::Reader), &[]).await;
    collector.spans(|spans| !spans.is_empty()).await;
    let requests = collector.received();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.body == requests[0].body));
    outcome_reaches(&server, "exported", 1).await;
    assert_eq!(outcome(&server, "unreachable").await + outcome(&server, "refused").await, 0);
}

#[tokio::test]
async fn refused_spans_are_not_sent_again() {
    const PERMISSION_DENIED: u32 = 7;
    let (server, collector) = traced(|_| {}).await;
    collector.reply([Reply::Refuses(PERMISSION_DENIED), Reply::Rejects(1)]);
    who_am_i(&server, Some(Person::Reader), &[]).await;
    outcome_reaches(&server, "refused", 1).await;
    who_am_i(&server, Some(Person::Reader), &[]).await;
    outcome_reaches(&server, "refused", 2).await;
    assert_eq!(collector.received().len(), 2);
    assert_eq!(outcome(&server, "exported").await, 0);
}

/// A server whose collector is at this address, with little room for spans.
async fn with_collector_at(address: SocketAddr) -> Server {
    Server::start_with(|config| {
        trace_all(config, Traces { collector: CollectorAddress::Loopback(address), headers_file: None });
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
        config.limits.trace_queue_max_spans = 16;
        config.limits.trace_batch_max_spans = 4;
        config.limits.trace_export_time_max_ms = 100;
    })
    .await
}

#[tokio::test]
async fn collector_that_is_down_or_silent_holds_up_no_call() {
    // Nothing listens at the first address; the second accepts connections and never reads.
    let down = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (down_address, silent) = (down.local_addr().unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    drop(down);
    for address in [down_address, silent.local_addr().unwrap()] {
        let server = with_collector_at(address).await;
        let reader = server.client(Person::Reader);
        for _ in 0..50 {
            reader.mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap();
        }
        outcome_reaches(&server, "queue_full", 1).await;
        outcome_reaches(&server, "unreachable", 4).await;
        assert_eq!(outcome(&server, "exported").await, 0);
        // Within the limit, and whole.
        server.stop().await;
    }
}

/// The finding about the collector.
async fn finding(server: &Server) -> Option<v1::ServerFinding> {
    let status = server.client(Person::Admin).server_status().await.unwrap();
    status.findings.into_iter().find(|finding| finding.subject == "traces")
}

#[tokio::test]
async fn lost_spans_are_a_finding_with_what_to_do() {
    const PERMISSION_DENIED: u32 = 7;
    let (server, _collector) = traced(|_| {}).await;
    who_am_i(&server, Some(Person::Reader), &[]).await;
    outcome_reaches(&server, "exported", 1).await;
    assert_eq!(finding(&server).await, None);

    // It accepts connections and never reads.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = with_collector_at(silent.local_addr().unwrap()).await;
    let reader = server.client(Person::Reader);
    for _ in 0..50 {
        reader.mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap();
    }
    outcome_reaches(&server, "queue_full", 1).await;
    outcome_reaches(&server, "unreachable", 4).await;
    let found = finding(&server).await.unwrap();
    assert_eq!(found.severity(), Severity::Warning);
    for part in
        [" queue_full, ", " unreachable since the start", "; no answer within 100 ms (limits.trace_export_time_max_ms)"]
    {
        assert!(found.problem.contains(part), "{found:?}");
    }
    assert!(found.remedy.starts_with("check that the collector runs"), "{found:?}");

    // Of a collector that refuses them, nothing that it answers is shown.
    let (server, collector) = traced(|_| {}).await;
    collector.reply([Reply::Refuses(PERMISSION_DENIED)]);
    who_am_i(&server, Some(Person::Reader), &[]).await;
    outcome_reaches(&server, "refused", 1).await;
    let found = finding(&server).await.unwrap();
    assert!(found.problem.ends_with("the collector answered PermissionDenied"), "{found:?}");
    assert!(found.remedy.starts_with("check the credentials"), "{found:?}");
}

#[tokio::test]
async fn collector_with_a_certificate_of_another_ca_gets_nothing() {
    let folder = Folder::new();
    let (collector, port) = Collector::over_tls(&Folder::new()).await;
    let traces = settings(&folder, port);
    let server = Server::start_in(folder, |config| {
        trace_all(config, traces);
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    who_am_i(&server, Some(Person::Reader), &[]).await;
    outcome_reaches(&server, "unreachable", 1).await;
    assert!(collector.received().is_empty());
}

#[tokio::test]
async fn collector_of_a_removed_ca_gets_nothing_more() {
    let folder = Folder::new();
    let (collector, port) = Collector::over_tls(&folder).await;
    let (other, ca) = (Folder::new(), folder.path().join("otel-ca.pem"));
    let cas = [&folder, &other].map(|folder| fs::read(folder.development().ca()).unwrap());
    fs::write(&ca, &cas[0]).unwrap();
    let mut traces = settings(&folder, port);
    let CollectorAddress::Tls(tls) = &mut traces.collector else { panic!("{traces:?}") };
    tls.ca = Some(ca.clone());
    let server = Server::start_in(folder, |config| {
        trace_all(config, traces);
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    who_am_i(&server, Some(Person::Reader), &[]).await;
    outcome_reaches(&server, "exported", 1).await;
    let before = collector.received().len();
    // Its connection is still open.
    fs::write(&ca, &cas[1]).unwrap();
    who_am_i(&server, Some(Person::Reader), &[]).await;
    outcome_reaches(&server, "unreachable", 1).await;
    assert_eq!(collector.received().len(), before);
    fs::write(&ca, cas.concat()).unwrap();
    who_am_i(&server, Some(Person::Reader), &[]).await;
    outcome_reaches(&server, "exported", 2).await;
    // A file that can't be read, as while it is replaced, ends no connection.
    fs::remove_file(&ca).unwrap();
    who_am_i(&server, Some(Person::Reader), &[]).await;
    outcome_reaches(&server, "exported", 3).await;
}

#[tokio::test]
async fn collector_on_this_machine_needs_no_tls() {
    let folder = Folder::new();
    let socket = folder.path().join("otel.sock");
    let on_socket = Collector::on_unix_socket(&socket);
    let (on_loopback, address) = Collector::on_loopback().await;
    let mut folder = Some(folder);
    for (collector, address) in [
        (on_socket, CollectorAddress::UnixSocket { path: socket, uid: None }),
        (on_loopback, CollectorAddress::Loopback(address)),
    ] {
        let server = Server::start_in(folder.take().unwrap(), |config| {
            trace_all(config, Traces { collector: address, headers_file: None });
        })
        .await;
        who_am_i(&server, Some(Person::Reader), &[]).await;
        collector.spans(|spans| !spans.is_empty()).await;
        folder = Some(server.stop().await);
    }
}

/// Writes a configuration with this collector to the folder.
pub(crate) fn configure(folder: &Folder, port: u16) {
    let traces = settings(folder, port);
    let path = folder.development().config_file();
    let mut text = fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once("\n[traces]\n").unwrap();
    let shown = |path: &Path| path.display().to_string();
    let CollectorAddress::Tls(tls) = &traces.collector else { panic!("{traces:?}") };
    let (certificate, key) = tls.identity.as_ref().unwrap();
    let section = format!(
        "endpoint = \"https://localhost:{port}\"\nca = \"{}\"\nclient_certificate = \"{}\"\nclient_key = \"{}\"\nheaders_file = \"{}\"\n",
        shown(tls.ca.as_ref().unwrap()),
        shown(certificate),
        shown(key),
        shown(traces.headers_file.as_ref().unwrap()),
    );
    let start = text.len() - rest.len();
    text.insert_str(start, &section);
    let text = text
        .replace("# trace_calls_per_million = 10000", "trace_calls_per_million = 1000000")
        .replace("# trace_batch_wait_max_ms = 5000", "trace_batch_wait_max_ms = 10");
    fs::write(&path, text).unwrap();
}

#[tokio::test]
async fn log_has_the_trace_and_never_what_the_collector_answers() {
    const UNAUTHENTICATED: u32 = 16;
    let folder = Folder::new();
    let (collector, port) = Collector::over_tls(&folder).await;
    configure(&folder, port);
    let log = folder.path().join("log");
    let server = Process::start_logging(&folder.path(), fs::File::create(&log).unwrap());
    collector.reply([Reply::Refuses(UNAUTHENTICATED), Reply::Rejects(1)]);
    let mut raw = Http::over_tls(&folder, &server.address, Some(Person::Reader)).await;
    let who_am_i = || call(WHO_AM_I, framed(&v1::WhoAmIRequest::default()));
    raw.send(who_am_i()).await.unwrap();
    collector.requests(1).await;
    raw.send(who_am_i()).await.unwrap();
    collector.requests(2).await;
    let mut in_trace = who_am_i();
    in_trace.headers_mut().append("traceparent", traceparent("00").parse().unwrap());
    raw.send(in_trace).await.unwrap();
    server.terminate();
    tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
    let log = fs::read_to_string(log).unwrap();
    let answered: Vec<&str> = log.lines().filter(|line| line.contains("answered") && line.contains("WhoAmI")).collect();
    assert_eq!(answered.len(), 3, "{log}");
    let field = |line: &str, name: &str| {
        line.split([' ', '{', '}']).find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned()
    };
    for line in &answered[..2] {
        assert_eq!(field(line, "trace_id"), field(line, "call_id").trim_matches('"').replace('-', ""), "{line}");
    }
    assert_eq!(field(answered[2], "trace_id"), TRACE);
    assert!(log.contains("spans not exported") && log.contains("the collector answered Unauthenticated"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn unusable_file_of_the_section_is_an_error() {
    let folder = Folder::new();
    let traces = settings(&folder, 1);
    let headers = traces.headers_file.clone().unwrap();
    configure(&folder, 1);
    let path = folder.development().config_file();
    let subjects = || {
        let (code, report) = checked(&mut program(), &path);
        let of_traces = findings(&report).into_iter().filter(|(_, subject, _)| subject.starts_with("traces"));
        (code, of_traces.map(|(severity, _, problem)| (severity, problem)).collect::<Vec<_>>())
    };
    let (_, found) = subjects();
    assert!(found.iter().all(|(severity, _)| severity == "warning"), "{found:?}");
    fs::write(&headers, "hunter2\n").unwrap();
    let (code, found) = subjects();
    assert_eq!(code, 1);
    let error = found.iter().find(|(severity, _)| severity == "error").unwrap();
    assert!(error.1.contains("line 1") && !error.1.contains("hunter2"), "{error:?}");
    let config = Config::load(&path).unwrap();
    assert!(matches!(App::start(config).await, Err(StartError::Traces(_))));
}

#[test]
fn headers_for_a_loopback_address_are_a_warning() {
    let folder = Folder::new();
    let config = folder.development().config_file();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(folder.path().join("traces.headers"), "authorization: a\n").unwrap();
    let warned = |endpoint: &str| {
        let section = format!("\n[traces]\nendpoint = \"{endpoint}\"\nheaders_file = \"traces.headers\"\n");
        fs::write(&config, text.replace("\n[traces]\n", &section)).unwrap();
        let (_, report) = checked(&mut program(), &config);
        findings(&report).iter().any(|(_, subject, problem)| {
            subject == "traces.headers_file" && problem.contains("every user of this machine can listen there")
        })
    };
    assert!(warned("http://127.0.0.1:4317") && warned("http://[::1]:4317"));
    assert!(!warned("unix:/run/otel.sock") && !warned("https://localhost:4317"));
}

/// Spans as the collector writes them: JSON with one request per line.
fn spans_in(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let requests = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let spans = requests.flat_map(|request| {
        let all = request["resourceSpans"].as_array().unwrap().clone();
        all.into_iter().flat_map(|of| of["scopeSpans"][0]["spans"].as_array().unwrap().clone())
    });
    spans.collect()
}

#[tokio::test]
#[ignore = "needs the OpenTelemetry collector: cargo xtask test --all opentelemetry"]
async fn opentelemetry_collector_accepts_the_spans() {
    const MARK: &str = "kQ7vZr2Xw9";
    let folder = Folder::new();
    let development = folder.development();
    let files = tempfile::TempDir::new().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/monitoring/otel-collector.yaml");
    let (output, tls) = (files.path().join("spans.json"), folder.path().join("tls"));
    let configuration = fs::read_to_string(shipped)
        .unwrap()
        .replace("0.0.0.0:4317", &format!("127.0.0.1:{port}"))
        .replace("/etc/otel/collector.pem", &tls.join("server.pem").display().to_string())
        .replace("/etc/otel/collector.key", &tls.join("server.key").display().to_string())
        .replace("/etc/otel/callers.pem", &development.ca().display().to_string())
        .replace("/var/log/otel/spans.json", &output.display().to_string());
    let configuration_file = files.path().join("collector.yaml");
    fs::write(&configuration_file, configuration).unwrap();
    let log = fs::File::create(files.path().join("log")).unwrap();
    let mut collector =
        Command::new(tool("otelcol")).arg("--config").arg(&configuration_file).stderr(log).spawn().unwrap();

    let traces = settings(&folder, port);
    let server = Server::start_in(folder, |config| trace_all(config, traces)).await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox(MARK), None).await.unwrap();
    let mut request = call(WHO_AM_I, framed(&v1::WhoAmIRequest::default()));
    request.headers_mut().append("traceparent", traceparent("01").parse().unwrap());
    request.headers_mut().append("baggage", MARK.parse().unwrap());
    Http::over_tls(server.folder(), server.address(), Some(Person::Writer)).await.send(request).await.unwrap();
    reveal(&server.client(Person::Connector), &stored.name).await.unwrap();
    let complete = async {
        while !spans_in(&output).iter().any(|span| span["name"] == REVEAL) {
            tokio::task::yield_now().await;
        }
    };
    let is_complete = timeout(PATIENCE, complete).await.is_ok();
    server.stop().await;
    collector.kill().unwrap();
    collector.wait().unwrap();
    let log = fs::read_to_string(files.path().join("log")).unwrap();
    assert!(is_complete, "{log}");
    let spans = spans_in(&output);
    let create = spans.iter().find(|span| span["name"] == CREATE).unwrap();
    let commit =
        spans.iter().find(|span| span["name"] == "store.commit" && span["traceId"] == create["traceId"]).unwrap();
    assert_eq!(commit["parentSpanId"], create["spanId"]);
    let in_trace = spans.iter().find(|span| span["traceId"] == TRACE).unwrap();
    assert_eq!((in_trace["parentSpanId"].as_str(), in_trace["kind"].as_i64()), (Some(PARENT), Some(2)));
    let written = fs::read_to_string(&output).unwrap();
    let id = stored.name.rsplit('/').next().unwrap();
    for never in [MARK, id, "hunter2", "127.0.0.1"] {
        assert!(!written.contains(never), "{never}: {written}");
    }
}
