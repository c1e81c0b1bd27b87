//! The gap of a restart, as an upgrade has it: SIGTERM, the end of the server, the start of another one on the same data, the first answer.
//!
//! Callers create records meanwhile, one call after the other: each with another policy for retries.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use sealward::mail::v1::Mailbox;
use sealward_client::{Client, RetryPolicy};

use crate::{
    deployment::Caller,
    figures::median,
    outcome::Outcome,
    process::{Process, free_port},
    run::server_of_this_build,
    target::{Filling, Subject, Target},
    workload::{ORGANIZATION, row},
};

/// The arguments of the measurement.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The records of the server
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    records: u64,

    /// The restarts: figures are medians of them, and the worst
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    restarts: u32,

    /// Another sealward-server than the one of this build
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
}

/// The pause of a caller between two calls.
const PAUSE: Duration = Duration::from_millis(5);

/// The time of calls before and after a restart.
const CALM: Duration = Duration::from_millis(500);

/// The policies of the callers, by name.
const POLICIES: [(&str, u32); 3] = [("without retries", 1), ("default retries", 4), ("10 attempts", 10)];

pub(crate) async fn run(arguments: &Arguments) -> Outcome<()> {
    let scratch = tempfile::tempdir().map_err(|error| format!("a temporary folder can't be created: {error}"))?;
    let program = arguments.server.clone().map_or_else(server_of_this_build, Ok)?;
    let subject = Subject { name: "server".to_owned(), program, settings: Vec::new() };
    eprintln!("creating {} records", arguments.records);
    let mut target = Target::start(&subject, &scratch.path().join("server"), &[]).await?;
    target.fill(arguments.records, Filling::Creates, scratch.path()).await?;

    // From here on the address stays, as that of a service does.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let Target { name, process, deployment, next } = target;
    process.stop().await?;
    let process = Process::server_at(&subject.program, deployment.folder(), address).await?;
    let mut target = Target { name, process, deployment, next };

    let (mut ended, mut answered, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    let mut callers: Vec<(&str, Calls)> = POLICIES.map(|(name, _)| (name, Calls::default())).into();
    for _ in 0..arguments.restarts {
        let end = Arc::new(AtomicBool::new(false));
        let mut calling = Vec::new();
        for (_, attempts_max) in POLICIES {
            let retry = RetryPolicy { attempts_max, ..RetryPolicy::default() };
            let client = target.deployment.retrying_client(address, Caller::Writer, retry)?;
            calling.push(tokio::spawn(call(client, Arc::clone(&end))));
        }
        pause(CALM).await;

        let begin = Instant::now();
        let Target { name, process, deployment, next } = target;
        process.stop().await?;
        ended.push(begin.elapsed().as_secs_f64());
        let start = Instant::now();
        let process = Process::server_at(&subject.program, deployment.folder(), address).await?;
        target = Target { name, process, deployment, next };
        target.call(row("get")?, 0).await?;
        answered.push(start.elapsed().as_secs_f64());
        gaps.push(begin.elapsed().as_secs_f64());

        pause(CALM).await;
        end.store(true, Ordering::Relaxed);
        for ((_, all), calling) in callers.iter_mut().zip(calling) {
            all.add(calling.await.map_err(|error| format!("a caller ended: {error}"))?);
        }
    }
    target.end().await?;

    println!("{} records, {} restarts: median, worst", arguments.records, arguments.restarts);
    for (name, times) in [
        ("SIGTERM to the end of the process", ended),
        ("start to the first answer on a new connection", answered),
        ("the gap: SIGTERM to the first answer", gaps),
    ] {
        let worst = times.iter().copied().fold(f64::NAN, f64::max);
        println!("  {name}: {:.0} ms, {:.0} ms", median(times) * 1e3, worst * 1e3);
    }
    for (name, Calls { all, failed, longest }) in callers {
        println!("  writes {name}: {failed} of {all} failed, the longest took {:.0} ms", longest.as_secs_f64() * 1e3);
    }
    Ok(())
}

/// The calls of a caller.
#[derive(Default)]
struct Calls {
    all: u64,
    failed: u64,
    longest: Duration,
}

impl Calls {
    fn add(&mut self, other: Calls) {
        self.all += other.all;
        self.failed += other.failed;
        self.longest = self.longest.max(other.longest);
    }
}

#[expect(clippy::disallowed_methods, reason = "callers pause, and calls go on for a while")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Creates records until `end`.
async fn call(client: Client, end: Arc<AtomicBool>) -> Calls {
    let mut calls = Calls::default();
    while !end.load(Ordering::Relaxed) {
        let mailbox = Mailbox { display_name: Some("written during a restart".to_owned()), ..Mailbox::default() };
        let begin = Instant::now();
        let created = client.mailboxes().create(ORGANIZATION, mailbox, None).await;
        calls.add(Calls { all: 1, failed: u64::from(created.is_err()), longest: begin.elapsed() });
        pause(PAUSE).await;
    }
    calls
}
