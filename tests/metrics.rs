//! Metrics: what is scraped, who may scrape, attacks on the listener, and the rules and the dashboard that are made of the metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use rustls::pki_types::ServerName;
use sealward_client::{ErrorReason, ListOptions, v1::reencryption::State};
use sealward_core::identity::Identity;
use sealward_server::{
    app::{App, StartError},
    config::{AuditCopy, Config, CopyTo, OnFailure},
    development::Person,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    ending::configured,
    harness::{
        DEFAULT, Folder, PATIENCE, Server,
        http::{self, Http, call},
        mailbox,
        process::tool,
        reason, reveal, settled,
    },
    operate::{checked, findings, program},
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn with_metrics(config: &mut Config) {
    config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
}

/// Sends a request, and reads everything until the end of the connection.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses a request may reset the connection.
    let _reset_or_not = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection stays open");
    String::from_utf8(answer).unwrap()
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
}

async fn plaintext(server: &Server, request: &str) -> String {
    exchange(TcpStream::connect(server.metrics_address()).await.unwrap(), request).await
}

/// A scrape in the older text format.
async fn scrape(server: &Server) -> String {
    let answer = plaintext(server, &get("/metrics", "Accept: text/plain\r\n")).await;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    text.to_owned()
}

/// The value of a sample.
#[track_caller]
fn value(scrape: &str, sample: &str) -> f64 {
    let line = scrape.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} is missing: {scrape}")).parse().unwrap()
}

fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(tool("promtool"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// The metrics in docs/metrics.md: name, type and labels.
fn reference() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let (table, _) = document.split_once("\n## Labels\n").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let parsed = rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let labels = cells[3].split(", ").filter(|label| !label.is_empty()).map(|label| label.replace('`', ""));
        (cells[0].trim_matches(['|', ' ', '`']).to_owned(), (cells[1].to_owned(), labels.collect()))
    });
    parsed.collect()
}

#[tokio::test]
async fn every_scraped_metric_is_in_the_reference() {
    let folder = Folder::new();
    let copy = folder.path().join("audit.jsonl");
    let server = Server::start_in(folder, |config| {
        with_metrics(config);
        config.audit = Some(AuditCopy { to: CopyTo::File(copy), on_failure: OnFailure::Report });
    })
    .await;
    let admin = server.client(Person::Admin);
    server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    assert_eq!(settled(&admin).await.state(), State::Done);
    // A limit refuses something.
    let reader = server.client(Person::Reader);
    let filter = ListOptions::default().filter("a = 1 AND ".repeat(1_000));
    reader.mailboxes().list(DEFAULT, filter).await.unwrap_err();

    let scraped = scrape(&server).await;
    let (is_valid, problems) = promtool(&["check", "metrics"], &scraped);
    assert!(is_valid && problems.is_empty(), "{problems}");

    let reference = reference();
    let types: BTreeMap<&str, &str> =
        scraped.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    for (name, kind) in &types {
        assert_eq!(reference.get(*name).map(|(kind, _)| kind.as_str()), Some(*kind), "{name}");
    }
    // These need an issuer, a revocation list, a collector or the Workload API.
    const OTHERS: [&str; 4] = ["token_issuer_keys", "revocation_list", "trace_spans", "workload_api"];
    let other = |name: &str| OTHERS.iter().any(|other| name.contains(other));
    for name in reference.keys().filter(|name| !other(name)) {
        assert!(types.contains_key(name.as_str()), "{name} is never scraped");
    }
    for line in scraped.lines().filter(|line| !line.starts_with('#')) {
        let (sample, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        let (_, known) = reference.get(name).or_else(|| reference.get(base)).unwrap();
        let labels: BTreeSet<String> = labels
            .split("\",")
            .filter_map(|label| Some(label.trim_end_matches("\"}").split_once("=\"")?.0.to_owned()))
            .filter(|label| label != "le")
            .collect();
        assert_eq!(&labels, known, "{line}");
    }
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code() {
    let server = Server::start_with(with_metrics).await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    for _ in 0..3 {
        writer.mailboxes().get(&stored.name).await.unwrap();
    }
    writer.mailboxes().delete(&stored.name, "").await.unwrap();
    assert_eq!(reason(writer.mailboxes().get(&stored.name).await), ErrorReason::NotFound);
    // Any number of unknown methods is one row.
    let mut raw = Http::over_tls(server.folder(), server.address(), Some(Person::Writer)).await;
    for number in 0..20 {
        raw.send(call(&format!("/sealward.v1.AccessService/Unknown{number}"), Vec::new())).await.unwrap();
    }
    let scraped = scrape(&server).await;
    const GET: &str = "rpc=\"sealward.mail.v1.MailboxService/GetMailbox\"";
    assert_eq!(value(&scraped, &format!("sealward_calls_total{{{GET},code=\"OK\"}}")), 3.0);
    assert_eq!(value(&scraped, &format!("sealward_calls_total{{{GET},code=\"NOT_FOUND\"}}")), 1.0);
    assert_eq!(value(&scraped, &format!("sealward_calls_total{{{GET},code=\"INTERNAL\"}}")), 0.0);
    assert_eq!(value(&scraped, &format!("sealward_call_duration_seconds_count{{{GET}}}")), 4.0);
    assert_eq!(value(&scraped, &format!("sealward_call_duration_seconds_bucket{{{GET},le=\"+Inf\"}}")), 4.0);
    assert!(value(&scraped, &format!("sealward_call_duration_seconds_sum{{{GET}}}")) > 0.0);
    assert_eq!(value(&scraped, &format!("sealward_calls_in_flight{{{GET}}}")), 0.0);
    assert_eq!(value(&scraped, "sealward_calls_total{rpc=\"other\",code=\"UNIMPLEMENTED\"}"), 20.0);
    assert!(!scraped.contains("Unknown"), "{scraped}");
    assert!(value(&scraped, "sealward_connections{listener=\"tls\",state=\"identified\"}") >= 2.0);
    assert!(value(&scraped, "sealward_store_transaction_seconds_count{store=\"organizations\"}") >= 2.0);
    assert_eq!(value(&scraped, "sealward_store_commits_waiting{store=\"organizations\"}"), 0.0);
}

#[tokio::test]
async fn stream_is_in_flight_until_it_ends() {
    let server = Server::start_with(with_metrics).await;
    const IN_FLIGHT: &str = "sealward_calls_in_flight{rpc=\"grpc.health.v1.Health\"}";
    let mut health = HealthClient::new(server.client(Person::Reader).channel());
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    assert_eq!(value(&scrape(&server).await, IN_FLIGHT), 1.0);
    drop(watch);
    let ended = async { while value(&scrape(&server).await, IN_FLIGHT) > 0.0 {} };
    timeout(PATIENCE, ended).await.unwrap();
}

#[tokio::test]
async fn cells_and_quotas_follow_a_key_change() {
    let server = Server::start_with(|config| {
        with_metrics(config);
        config.limits.key_changes_per_hour = 5;
    })
    .await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    for _ in 0..3 {
        writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    }
    let scraped = scrape(&server).await;
    assert_eq!(value(&scraped, "sealward_cells{organization=\"default\",key_version=\"1\"}"), 3.0);
    const CHANGES: &str = "sealward_quota_used{organization=\"default\",bound=\"key_changes_per_hour\"}";
    assert_eq!(value(&scraped, CHANGES), 0.0);
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    assert_eq!(settled(&admin).await.state(), State::Done);
    let scraped = scrape(&server).await;
    assert_eq!(value(&scraped, "sealward_cells{organization=\"default\",key_version=\"2\"}"), 3.0);
    assert!(!scraped.contains("key_version=\"1\""), "{scraped}");
    assert_eq!(value(&scraped, CHANGES), 1.0);
    assert_eq!(value(&scraped, "sealward_quota_max{bound=\"key_changes_per_hour\"}"), 5.0);
    for (metric, expected) in [
        ("sealward_reencryption_unfinished", 0.0),
        ("sealward_reencryption_cells", 3.0),
        ("sealward_reencryption_cells_done", 3.0),
        ("sealward_cells_unreadable", 0.0),
    ] {
        assert_eq!(value(&scraped, &format!("{metric}{{organization=\"default\"}}")), expected, "{metric}");
    }
}

#[tokio::test]
async fn organizations_beyond_the_limit_share_a_label() {
    let server = Server::start_with(|config| {
        with_metrics(config);
        config.limits.metrics_organizations_max = 2;
    })
    .await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    // The names sort before that of the oldest.
    for id in ["a", "b", "c"] {
        let organization = admin.create_organization(id).await.unwrap().name;
        writer.mailboxes().create(&organization, mailbox("hunter2"), None).await.unwrap();
    }
    let scraped = scrape(&server).await;
    assert_eq!(value(&scraped, "sealward_organizations"), 4.0);
    let cells = |organization: &str| format!("sealward_cells{{organization=\"{organization}\",key_version=\"1\"}}");
    assert_eq!(value(&scraped, &cells("a")), 1.0);
    assert_eq!(value(&scraped, &cells("other_organizations")), 2.0);
    let labels: BTreeSet<&str> =
        scraped.lines().filter_map(|line| Some(line.split_once("organization=\"")?.1.split_once('"')?.0)).collect();
    assert_eq!(labels, ["a", "default", "other_organizations"].into());
}

#[tokio::test]
async fn scrape_opens_no_database_and_keeps_none_open() {
    let server = Server::start_with(|config| {
        with_metrics(config);
        config.limits.databases_open_max = 1;
    })
    .await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    const CELLS: &str = "sealward_cells{organization=\"contoso\",key_version=\"1\"}";
    let contoso = admin.create_organization("contoso").await.unwrap().name;
    writer.mailboxes().create(&contoso, mailbox("hunter2"), None).await.unwrap();
    assert_eq!(value(&scrape(&server).await, CELLS), 1.0);
    writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let closed = async { while value(&scrape(&server).await, "sealward_databases_open") > 1.0 {} };
    timeout(PATIENCE, closed).await.unwrap();
    for _ in 0..5 {
        let scraped = scrape(&server).await;
        assert_eq!(value(&scraped, "sealward_databases_open"), 1.0);
        // The last value of a closed database.
        assert_eq!(value(&scraped, CELLS), 1.0);
    }
}

#[tokio::test]
async fn no_metric_contains_a_caller_a_record_or_a_secret() {
    let server = Server::start_with(with_metrics).await;
    let (writer, connector) = (server.client(Person::Writer), server.client(Person::Connector));
    let secret = "kQ7vZr2Xw9";
    let stored = writer.mailboxes().create(DEFAULT, mailbox(secret), None).await.unwrap();
    reveal(&connector, &stored.name).await.unwrap();
    let mut raw = Http::over_tls(server.folder(), server.address(), Some(Person::Writer)).await;
    raw.send(call(&format!("/{secret}/{secret}"), Vec::new())).await.unwrap();
    let scraped = scrape(&server).await;
    let record = stored.name.rsplit('/').next().unwrap();
    for hidden in [secret, record, "cn:", "CN=connector", "127.0.0.1", "purpose"] {
        assert!(!scraped.contains(hidden), "{hidden}: {scraped}");
    }
}

#[tokio::test]
async fn only_get_and_head_of_known_paths_are_served() {
    let server = Server::start_with(with_metrics).await;
    let status = async |request: String| {
        let answer = plaintext(&server, &request).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let request = |method: &str, path: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    };
    assert_eq!(status(request("GET", "/metrics")).await, "200");
    assert_eq!(status(request("GET", "/metrics?match=x")).await, "200");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "ANY"] {
        assert_eq!(status(request(method, "/metrics")).await, "405", "{method}");
    }
    for path in ["/", "/metrics/", "/Metrics", "//metrics", "/metrics/../metrics", "/debug/pprof", "*"] {
        assert_eq!(status(request("GET", path)).await, "404", "{path}");
    }
    for (method, path) in [("CONNECT", "x:1"), ("GET", "/sealward.v1.AccessService/WhoAmI")] {
        assert_ne!(status(request(method, path)).await, "200", "{method}");
    }
    let head = plaintext(&server, &request("HEAD", "/metrics")).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    // A head above the maximum size.
    let large = get("/metrics", &format!("X-Large: {}\r\n", "x".repeat(64 * 1024)));
    assert!(["431", "400"].contains(&&*status(large).await));
    assert_ne!(status("GET /metrics HTTP/1.1\r\nHost: x\r\n\tFolded\r\n\r\n".to_owned()).await, "200");
    assert_ne!(status("\x16\x03\x01\x02\x00\r\n\r\n".to_owned()).await, "200");
}

#[tokio::test]
async fn scraper_that_does_not_read_is_cut_off() {
    let server = Server::start_with(|config| {
        with_metrics(config);
        config.limits.answer_stall_max_ms = 200;
        config.limits.metrics_connections_max = 2;
    })
    .await;
    let mut silent = TcpStream::connect(server.metrics_address()).await.unwrap();
    let requests = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
    let sending = async { while silent.write_all(requests.as_bytes()).await.is_ok() {} };
    timeout(PATIENCE, sending).await.expect("the connection stays open");
    scrape(&server).await;
}

#[tokio::test]
async fn silent_scraper_is_cut_off_before_and_between_requests() {
    let server = Server::start_with(|config| {
        with_metrics(config);
        config.limits.handshake_timeout_ms = 200;
    })
    .await;
    for sent in ["", "GET /metr", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let stream = TcpStream::connect(server.metrics_address()).await.unwrap();
        exchange(stream, sent).await;
    }
}

/// A configuration of TLS for a person's client, which offers both protocols.
fn client_of(folder: &Folder, person: Option<Person>) -> TlsConnector {
    let mut config = http::tls(folder, person);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// The status of a scrape over TLS; `None` if the handshake or the connection failed.
async fn over_tls(server: &Server, person: Option<Person>, headers: &str) -> Option<String> {
    let stream = TcpStream::connect(server.metrics_address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = client_of(server.folder(), person).connect(name, stream).await.ok()?;
    let answer = exchange(stream, &get("/metrics", headers)).await;
    Some(answer.split(' ').nth(1)?.to_owned())
}

fn with_tls(identities: &'static [&'static str]) -> impl FnOnce(&mut Config) {
    move |config| {
        with_metrics(config);
        config.metrics.tls = true;
        config.metrics.identities = identities.iter().map(|name| Identity::CommonName((*name).to_owned())).collect();
    }
}

#[tokio::test]
async fn only_the_configured_certificate_can_scrape_over_tls() {
    let server = Server::start_with(with_tls(&["auditor"])).await;
    assert_eq!(over_tls(&server, Some(Person::Auditor), "").await.as_deref(), Some("200"));
    // Not even an administrator.
    assert_eq!(over_tls(&server, Some(Person::Admin), "").await.as_deref(), Some("401"));
    assert_eq!(over_tls(&server, None, "").await.as_deref(), Some("401"));
    assert_eq!(over_tls(&server, None, &format!("Authorization: Bearer {TOKEN}\r\n")).await.as_deref(), Some("401"));
    // A certificate of another CA.
    let stranger = Folder::new();
    let mut config = http::tls_with(
        server.folder(),
        Some([stranger.development().certificate(Person::Auditor), stranger.development().key(Person::Auditor)]),
    );
    config.alpn_protocols.clear();
    let stream = TcpStream::connect(server.metrics_address()).await.unwrap();
    let connected =
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await;
    if let Ok(mut stream) = connected {
        let _refused = stream.write_all(get("/metrics", "").as_bytes()).await;
        let mut answer = Vec::new();
        let _refused = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, b"");
    }
    // Without TLS, nothing is disclosed.
    let answer = plaintext(&server, &get("/metrics", "")).await;
    assert!(!answer.contains("sealward_calls") && !answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Probes need no certificate.
    let stream = TcpStream::connect(server.metrics_address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = client_of(server.folder(), None).connect(name, stream).await.unwrap();
    assert!(exchange(stream, &get("/livez", "")).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn only_the_token_in_the_file_can_scrape() {
    let folder = Folder::new();
    let path = folder.path().join("metrics.token");
    fs::write(&path, TOKEN).unwrap();
    let of_config = path.clone();
    let server = Server::start_in(folder, |config| {
        with_metrics(config);
        config.metrics.token = Some(of_config);
    })
    .await;
    let status = async |headers: String| {
        let answer = plaintext(&server, &get("/metrics", &headers)).await;
        assert_eq!(answer.contains("sealward_calls_total"), answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert_eq!(status(bearer(TOKEN)).await, "200");
    assert_eq!(status(String::new()).await, "401");
    assert_eq!(status(bearer(&TOKEN[1..])).await, "401");
    assert_eq!(status(bearer("")).await, "401");
    assert_eq!(status(bearer(TOKEN).repeat(2)).await, "401");
    let other = "f".repeat(32);
    fs::write(&path, &other).unwrap();
    assert_eq!(status(bearer(TOKEN)).await, "401");
    let answer = plaintext(&server, &get("/metrics", &(bearer(&other) + "Accept: text/plain\r\n"))).await;
    assert_eq!(value(&answer, "sealward_scrapes_refused_total{cause=\"no_credentials\"}"), 2.0);
    assert_eq!(value(&answer, "sealward_scrapes_refused_total{cause=\"wrong_token\"}"), 3.0);
    assert!(!answer.contains(TOKEN) && !answer.contains(&other));
}

#[tokio::test]
async fn server_does_not_start_without_the_token_of_scrapers() {
    let folder = Folder::new();
    let path = folder.path().join("metrics.token");
    for content in [None, Some("short"), Some("with a space, and long enough to be a token")] {
        let _missing = fs::remove_file(&path);
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let mut config = folder.development().config().unwrap();
        config.listen.address = "127.0.0.1:0".parse().unwrap();
        with_metrics(&mut config);
        config.metrics.token = Some(path.clone());
        assert!(matches!(App::start(config).await.err().unwrap(), StartError::MetricsToken(_)), "{content:?}");
    }
}

#[test]
fn alerts_fire_for_their_examples_only() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/monitoring");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (is_valid, output) = promtool(&["check", "rules", &path("sealward-rules.yaml")], "");
    assert!(is_valid && output.contains("SUCCESS"), "{output}");
    let (is_valid, output) = promtool(&["test", "rules", &path("sealward-rules-test.yaml")], "");
    assert!(is_valid && output.contains("SUCCESS"), "{output}");
    // The tests fail for rules that never fire, and for rules that always do.
    let rules = fs::read_to_string(path("sealward-rules.yaml")).unwrap();
    let copy = TempDir::new().unwrap();
    let test = copy.path().join("sealward-rules-test.yaml");
    fs::copy(path("sealward-rules-test.yaml"), &test).unwrap();
    for expression in ["vector(0) > 1", "vector(1) > 0"] {
        let changed: String =
            rules
                .lines()
                .map(|line| {
                    if line.contains("  expr: ") {
                        format!("        expr: {expression}\n")
                    } else {
                        format!("{line}\n")
                    }
                })
                .collect();
        fs::write(copy.path().join("sealward-rules.yaml"), changed).unwrap();
        let (is_valid, output) = promtool(&["test", "rules", &test.to_string_lossy()], "");
        assert!(!is_valid, "{expression}: {output}");
    }
}

#[test]
fn every_query_of_the_dashboard_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/monitoring/sealward-dashboard.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array());
    let queries: Vec<&Value> = targets.flatten().map(|target| &target["expr"]).collect();
    assert!(queries.len() > 40, "{}", queries.len());
    let rules = |queries: &[&Value]| {
        let numbered = queries.iter().enumerate();
        let rules = numbered.map(|(number, query)| format!("      - record: query:{number}\n        expr: {query}\n"));
        format!("groups:\n  - name: dashboard\n    rules:\n{}", rules.collect::<String>())
    };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("queries.yaml");
    let check = |queries: &[&Value]| {
        fs::write(&file, rules(queries)).unwrap();
        promtool(&["check", "rules", &file.to_string_lossy()], "")
    };
    let (is_valid, output) = check(&queries);
    assert!(is_valid, "{output}");
    assert!(!check(&[&"sum by (rate(".into()]).0);
}

#[test]
fn check_config_reports_a_listener_for_metrics_that_others_can_read() {
    const ADDRESS: &str = "# metrics_address = \"127.0.0.1:7081\"";
    let about_metrics = |settings: &str, token: &str| {
        let folder = configured(&[(ADDRESS, settings)]);
        fs::write(folder.path().join("metrics.token"), token).unwrap();
        let (_, report) = checked(&mut program(), &folder.development().config_file());
        let found = findings(&report).into_iter().filter(|(_, subject, _)| subject.starts_with("listen.metrics"));
        found.map(|(severity, subject, _)| format!("{severity} {subject}")).collect::<Vec<_>>()
    };
    const OPEN: &str = "metrics_address = \"0.0.0.0:7081\"\n";
    assert_eq!(about_metrics(OPEN, TOKEN), ["warning listen.metrics_address"]);
    const WITH_TOKEN: &str =
        "metrics_address = \"0.0.0.0:7081\"\nmetrics_tls = true\nmetrics_token = \"metrics.token\"\n";
    let about_token = about_metrics(WITH_TOKEN, "short");
    assert_eq!(about_token, ["error listen.metrics_token"]);
    // The file of the test is readable by all users.
    assert_eq!(about_metrics(WITH_TOKEN, TOKEN), ["warning listen.metrics_token"]);
}
