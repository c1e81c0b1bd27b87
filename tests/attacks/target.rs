//! A server process under attack, the honest callers beside the attack, and the cost for both.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, PipeReader},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sealward_client::{Client, Error};
use sealward_server::development::Person;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{MissedTickBehavior, interval, timeout},
};

use super::row::Row;
use crate::{
    crash::set_limits,
    due::scraped,
    ending::{configured, metrics_address, named},
    harness::{
        DEFAULT, Folder, PATIENCE,
        http::Http,
        http2::Connection,
        mailbox,
        process::{Process, binary},
    },
    long_work::with_rows,
};

/// How many rounds of each attack are made.
const ROUNDS_VARIABLE: &str = "SEALWARD_ATTACK_ROUNDS";

/// The program of the server to attack, in place of the one that was built with the tests.
const SERVER_VARIABLE: &str = "SEALWARD_ATTACK_SERVER";

/// The maximum time of an attack: no round begins after it.
const ATTACK_TIME_MAX: Duration = Duration::from_secs(60);

/// The maximum time of a round. Most take a second; some end at a time limit.
const ROUND_TIME_MAX: Duration = Duration::from_secs(120);

/// How many calls of each honest caller are measured without the attack.
const QUIET_CALLS: usize = 100;

/// The time from one call of an honest caller to the next, if the answer is there by then.
const PACE: Duration = Duration::from_millis(10);

/// The memory of a connection, by the reason of the default of `connections_max`.
const CONNECTION_BYTES: u64 = 50_000;

/// Resident memory that isn't charged: code and database pages that are used for the first time, and freed memory
/// that the allocator keeps.
const UNCHARGED_BYTES: u64 = 64 * 1024 * 1024;

/// How a target differs from a server with the limits that it has by default.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    pub limits: &'a [(&'a str, u32)],
    /// SQL that adds rows to the organization's database.
    pub rows: &'a str,
    /// Whether the log is unread after the start.
    pub is_log_unread: bool,
}

/// The memory that an attack may make the server use.
#[derive(Clone, Copy, Default)]
pub(crate) struct Allowed {
    /// What the limits let the attackers use.
    pub charged_bytes: u64,
    /// The connections that the attackers may have open at once.
    pub connections: u64,
}

impl Allowed {
    /// A buffer exists twice while it grows, and while a message is decoded from it.
    fn bytes(self) -> u64 {
        2 * self.charged_bytes + CONNECTION_BYTES * self.connections + UNCHARGED_BYTES
    }
}

/// A server process under attack. Killed with the test.
pub(crate) struct Target {
    row: Row,
    process: Process,
    pub folder: Folder,
    pub address: String,
    pub plaintext_address: String,
    metrics_address: String,
    /// The name of a mailbox with a password.
    pub mailbox: String,
    /// Keeps the unread pipe open.
    _unread_log: Option<BufReader<PipeReader>>,
}

impl Target {
    /// Starts the server for the attack that has this name in the table.
    pub(crate) async fn start(attack: &'static str, setup: Setup<'_>) -> Self {
        // First, so that a server that doesn't start has a row as well.
        let row = Row::new(attack);
        let folder = configured(&[
            ("# plaintext_address = \"127.0.0.1:7080\"", "plaintext_address = \"127.0.0.1:0\""),
            ("# metrics_address = \"127.0.0.1:7081\"", "metrics_address = \"127.0.0.1:0\""),
        ]);
        set_limits(&folder.path(), setup.limits);
        let (mut process, mut log) = process(&folder);
        let writer = folder.client(&process.address, Person::Writer);
        let mailbox = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
        if !setup.rows.is_empty() {
            process.kill();
            with_rows(&folder.path(), setup.rows);
            (process, log) = self::process(&folder);
        }
        let until_metrics = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            while !text.contains("metrics_address=") {
                assert_ne!(log.read_line(&mut text).unwrap(), 0, "the log has no address of metrics: {text}");
            }
            (metrics_address(&text), log)
        });
        let (metrics_address, mut log) = timeout(PATIENCE, until_metrics).await.expect("no metrics").unwrap();
        let unread_log = if setup.is_log_unread {
            Some(log)
        } else {
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            None
        };
        Target {
            row,
            address: process.address.clone(),
            plaintext_address: named(&process.message, "without TLS"),
            process,
            folder,
            metrics_address,
            mailbox,
            _unread_log: unread_log,
        }
    }

    pub(crate) fn client(&self, person: Person) -> Client {
        self.folder.client(&self.address, person)
    }

    /// A connection of a person, or without identity. Each answer has a window of this size, which never grows.
    pub(crate) async fn connection(&self, person: Option<Person>, window: u32) -> Connection {
        Connection::with_tls(&self.folder, &self.address, person, window).await
    }

    pub(crate) async fn http(&self, person: Option<Person>) -> Http {
        Http::over_tls(&self.folder, &self.address, person).await
    }

    /// A connection without TLS, from 127.0.0.`host`. Honest callers come from 127.0.0.1.
    pub(crate) async fn tcp(&self, host: u8, address: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, host], 0).into()).unwrap();
        socket.connect(address.parse().unwrap()).await.unwrap()
    }

    /// Attacks in rounds, each of which returns how many calls, connections or frames it made. The server has to answer all honest calls
    /// meanwhile, to have no more memory than is allowed, and to refuse something by each of these bounds.
    pub(crate) async fn withstands(mut self, allowed: Allowed, bounds: &[&str], round: impl AsyncFn(&Target) -> usize) {
        let reader = Caller::Reader(self.client(Person::Writer), self.mailbox.clone());
        let administrator = Caller::Administrator(Folder::at(&self.folder.path()), self.address.clone());
        let is_enough = |calls| calls >= QUIET_CALLS;
        let ((reader, quiet_reader), (administrator, quiet_administrator)) =
            tokio::join!(reader.call_until(is_enough), administrator.call_until(is_enough));
        let mut failures: Vec<String> = quiet_reader.failures().chain(quiet_administrator.failures()).collect();
        let refused_before = self.refused().await;
        let before = self.process.memory().expect("the server has ended");
        self.row.set("MiB before", mib(before.resident));

        let is_over = Arc::new(AtomicBool::new(false));
        let [reader, administrator] = [reader, administrator].map(|caller| {
            let is_over = Arc::clone(&is_over);
            tokio::spawn(caller.call_until(move |_| is_over.load(Ordering::Relaxed)))
        });
        let (begun, mut attempts, mut rounds) = (Instant::now(), 0, 0);
        while rounds < rounds_wanted() && begun.elapsed() < ATTACK_TIME_MAX {
            rounds += 1;
            match timeout(ROUND_TIME_MAX, round(&self)).await {
                Ok(made) => attempts += made,
                Err(_) => {
                    failures.push(format!("round {rounds} takes longer than {ROUND_TIME_MAX:?}"));
                    break;
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let ((_, reader), (_, administrator)) = (reader.await.unwrap(), administrator.await.unwrap());
        failures.extend(reader.failures().chain(administrator.failures()));

        let allowed_bytes = before.greatest + allowed.bytes();
        if let Some(after) = self.process.memory() {
            self.row.set("greatest", mib(after.greatest));
            self.row.set("allowed", mib(allowed_bytes));
            self.row.set("after", mib(after.resident));
            if after.greatest > allowed_bytes {
                let [greatest, allowed] = [after.greatest, allowed_bytes].map(mib);
                failures.push(format!("{greatest} MiB were resident, and {allowed} are allowed"));
            }
        } else {
            failures.push("the server has ended".to_owned());
        }
        self.row.set("rounds", rounds);
        self.row.set("attempts", attempts);
        self.row.set("get ms quiet", quiet_reader);
        self.row.set("get ms", reader);
        self.row.set("admin ms quiet", quiet_administrator);
        self.row.set("admin ms", administrator);

        let mut refused = self.refused().await;
        refused.retain(|bound, count| {
            *count -= refused_before.get(bound).copied().unwrap_or(0);
            *count > 0
        });
        let shown: Vec<_> = refused.iter().map(|(bound, count)| format!("{bound} {count}")).collect();
        self.row.set("refused by", shown.join(", "));
        let unused = bounds.iter().filter(|bound| !refused.contains_key(**bound));
        failures.extend(unused.map(|bound| format!("nothing was refused by {bound}")));
        assert!(failures.is_empty(), "{failures:#?}");
        self.row.pass();
    }

    /// How much each bound has refused, and how many handshakes were refused for each cause.
    async fn refused(&self) -> BTreeMap<String, u64> {
        let metrics = timeout(PATIENCE, scraped(&self.metrics_address)).await.expect("the metrics don't answer");
        let counted = metrics.lines().filter_map(|line| {
            let names = ["sealward_refused_by_bound_total{bound=\"", "sealward_handshakes_refused_total{cause=\""];
            let (name, count) = names.iter().find_map(|name| line.strip_prefix(name))?.split_once("\"} ")?;
            Some((name.to_owned(), count.parse().unwrap()))
        });
        counted.filter(|(_, count)| *count > 0).collect()
    }
}

/// A server process on this folder, and its log.
fn process(folder: &Folder) -> (Process, BufReader<PipeReader>) {
    let program = std::env::var_os(SERVER_VARIABLE).map_or_else(|| binary("sealward-server"), PathBuf::from);
    let (log, writer) = std::io::pipe().unwrap();
    (Process::start_program(&program, &folder.path(), writer), BufReader::new(log))
}

fn rounds_wanted() -> u64 {
    std::env::var(ROUNDS_VARIABLE).map_or(1, |text| text.parse().unwrap())
}

fn mib(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}

/// An honest caller.
enum Caller {
    /// Reads this mailbox, over one connection. No attacker has its identity.
    Reader(Client, String),
    /// Reads the state of the key. Connects for each call, so that its latency includes a handshake.
    Administrator(Folder, String),
}

impl Caller {
    /// The client for its next call. A new one connects with that call.
    fn client(&self) -> Client {
        match self {
            Caller::Reader(client, _) => client.clone(),
            Caller::Administrator(folder, address) => folder.client(address, Person::Admin),
        }
    }

    async fn call(&self, client: Client) -> Result<(), Error> {
        match self {
            Caller::Reader(_, mailbox) => client.mailboxes().get(mailbox).await.map(drop),
            Caller::Administrator(..) => client.is_data_encryption_active(DEFAULT).await.map(drop),
        }
    }

    /// Makes one call after the other, at least one, until this is true of the number of calls.
    async fn call_until(self, is_over: impl Fn(usize) -> bool + Send) -> (Self, Sample) {
        let mut sample = Sample::default();
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let client = self.client();
            let begun = Instant::now();
            match self.call(client).await {
                Ok(()) => sample.latencies.push(begun.elapsed()),
                Err(error) => sample.refusals.push(error.to_string()),
            }
            if is_over(sample.latencies.len() + sample.refusals.len()) {
                return (self, sample);
            }
        }
    }
}

/// The outcome of an honest caller's calls.
#[derive(Default)]
struct Sample {
    latencies: Vec<Duration>,
    refusals: Vec<String>,
}

impl Sample {
    /// What is wrong with it: how many calls were not answered, and why the first one wasn't.
    fn failures(&self) -> impl Iterator<Item = String> {
        let count = self.refusals.len();
        self.refusals.first().map(|first| format!("{count} honest calls failed, the first with: {first}")).into_iter()
    }
}

/// The median and the greatest latency, in milliseconds.
impl std::fmt::Display for Sample {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        let ms = |latency: Option<&Duration>| latency.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1_000.0);
        write!(formatter, "{:.1} / {:.1}", ms(latencies.get(latencies.len() / 2)), ms(latencies.last()))
    }
}
