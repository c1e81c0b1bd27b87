//! How a server ends: its end is announced in advance, and doesn't wait for readers of its output.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use sealward_client::ListOptions;
use sealward_server::development::Person;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    due::scraped,
    harness::{
        DEFAULT, Folder, PATIENCE,
        process::{Process, binary},
    },
};

/// A folder whose configuration has these replacements.
pub(crate) fn configured(replacements: &[(&str, &str)]) -> Folder {
    let folder = Folder::new();
    let config = folder.development().config_file();
    let mut text = fs::read_to_string(&config).unwrap();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    fs::write(&config, text).unwrap();
    folder
}

/// The text after this word in the greeting.
pub(crate) fn named(message: &str, word: &str) -> String {
    let line = message.lines().find_map(|line| line.trim().strip_prefix(word)).unwrap();
    line.split(',').next().unwrap().trim().to_owned()
}

async fn serves(folder: &Folder, address: &str) {
    folder.client(address, Person::Reader).mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap();
}

async fn waited_for(server: Process) -> std::process::ExitStatus {
    timeout(PATIENCE, tokio::task::spawn_blocking(|| server.wait())).await.unwrap().unwrap()
}

#[tokio::test]
async fn end_is_announced_to_probes_while_calls_are_served() {
    let folder = configured(&[
        ("# drain_delay_seconds = 0", "drain_delay_seconds = 300"),
        ("# plaintext_address = \"127.0.0.1:7080\"", "plaintext_address = \"127.0.0.1:0\""),
    ]);
    let server = Process::start(&folder.path());
    let plaintext = named(&server.message, "without TLS");
    let probe = async || {
        let channel = Endpoint::from_shared(format!("http://{plaintext}")).unwrap().connect().await.unwrap();
        HealthClient::new(channel)
    };
    let mut watch = probe().await.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    server.terminate();
    let next = timeout(PATIENCE, watch.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    // A prober with its own connection sees it for every service.
    for service in ["", "sealward.mail.v1.MailboxService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = probe().await.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::NotServing, "{service}");
    }
    serves(&folder, &server.address).await;

    // A second signal doesn't wait for the delay.
    server.terminate();
    assert!(waited_for(server).await.success());
}

#[tokio::test]
async fn shutdown_delay_ends_automatically() {
    let folder = configured(&[("# drain_delay_seconds = 0", "drain_delay_seconds = 1")]);
    let server = Process::start(&folder.path());
    serves(&folder, &server.address).await;
    server.terminate();
    assert!(waited_for(server).await.success());
}

/// A server process whose stdout and stderr are one pipe, of which only the greeting was read. Killed with the test.
struct Unread {
    child: Child,
    pipe: BufReader<std::io::PipeReader>,
    greeting: String,
}

impl Unread {
    fn start(folder: &Folder) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let child = Command::new(binary("sealward-server"))
            .args(["dev", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap();
        let mut pipe = BufReader::new(reader);
        let mut greeting = String::new();
        // The log and the greeting come in any order.
        while !(greeting.contains("\nPress Ctrl-C ") && greeting.contains("metrics_address=")) {
            assert_ne!(pipe.read_line(&mut greeting).unwrap(), 0, "{greeting}");
        }
        Self { child, pipe, greeting }
    }

    fn terminate(&self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A log with room for few unread lines, and metrics.
fn with_a_short_queue() -> Folder {
    configured(&[
        ("# log_queue_lines = 8192", "log_queue_lines = 16"),
        ("# metrics_address = \"127.0.0.1:7081\"", "metrics_address = \"127.0.0.1:0\""),
    ])
}

/// The address of the metrics, which only the log contains.
pub(crate) fn metrics_address(greeting: &str) -> String {
    let (_, rest) = greeting.split_once("metrics_address=").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

fn dropped(metrics: &str) -> u64 {
    let name = "sealward_refused_by_bound_total{bound=\"log_queue_lines\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(name)).map_or(0, |count| count.parse().unwrap())
}

/// Calls a server with an unread log until it drops lines.
async fn fill_log(server: &Unread, folder: &Folder) {
    let (address, metrics) = (named(&server.greeting, "address"), metrics_address(&server.greeting));
    let reader = folder.client(&address, Person::Reader);
    let call_until_dropped = async {
        // A pipe holds 64 KiB; a call's line has some hundred bytes.
        while dropped(&scraped(&metrics).await) == 0 {
            for _ in 0..100 {
                reader.mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap();
            }
        }
    };
    timeout(PATIENCE, call_until_dropped).await.expect("a call waits for the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_serves_and_ends_with_an_unread_log() {
    let folder = with_a_short_queue();
    let mut server = Unread::start(&folder);
    fill_log(&server, &folder).await;

    server.terminate();
    let ended = tokio::task::spawn_blocking(move || (server.child.wait().unwrap(), server));
    let (status, _server) = timeout(PATIENCE, ended).await.expect("the end waits for the log").unwrap();
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn log_reports_dropped_lines_once_it_is_read() {
    let folder = with_a_short_queue();
    let mut server = Unread::start(&folder);
    fill_log(&server, &folder).await;
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        let mut line = String::new();
        while !line.contains("log lines dropped") {
            line.clear();
            assert_ne!(server.pipe.read_line(&mut line).unwrap(), 0, "{text}");
            text.push_str(&line);
        }
        (line, server)
    });
    let (line, mut server) = timeout(PATIENCE, reading).await.expect("no line was logged").unwrap();
    assert!(line.contains("lines="), "{line}");

    // Read to the end, the log has the last line.
    server.terminate();
    let rest = tokio::task::spawn_blocking(move || {
        let mut rest = String::new();
        server.pipe.read_to_string(&mut rest).unwrap();
        (rest, server.child.wait().unwrap())
    });
    let (rest, status) = timeout(PATIENCE, rest).await.unwrap().unwrap();
    assert!(status.success() && rest.contains("shutdown complete"), "{rest}");
}
