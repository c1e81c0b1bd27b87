//! Measurements with many records: start, memory, tail, re-encryption, verification.
//!
//! Each server is measured on its own, one after the other, on a database that it filled itself through CreateMailbox and ImportMailboxes.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sealward_client::v1::reencryption::State;
use tokio::time::timeout;

use crate::{
    deployment::Caller,
    figures::{Round, Rounds},
    load::Load,
    outcome::Outcome,
    shape::SHAPE,
    target::{Filling, Subject, Target},
    workload::{ORGANIZATION, row},
};

/// The records of a run, and of a full one.
pub(crate) const RECORDS: u64 = 1_000_000;
pub(crate) const RECORDS_FULL: u64 = 10_000_000;

/// The maximum time of a re-encryption or a verification.
const WALK_MAX: Duration = Duration::from_secs(900);
/// The time of each load, in seconds.
const LOAD_SECONDS: f64 = 2.0;
/// Loads with and without a re-encryption. The figures are medians.
const LOADS: usize = 3;
/// The share of time in which a re-encryption works on an idle server.
const WHOLE_SHARE_PERCENT: u32 = 100;

/// The records that are created one by one: enough audit records for a verification of the trail.
const CREATED: u64 = 100_000;

/// A measured figure.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) goal: Option<Goal>,
    /// How it was measured.
    pub(crate) how: String,
    pub(crate) value: f64,
}

/// The goal of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Goal::AtLeast(goal) => value >= goal,
            Goal::AtMost(goal) => value <= goal,
        }
    }
}

/// Measures a server.
pub(crate) async fn measure(
    subject: &Subject,
    settings: &[(&str, String)],
    records: u64,
    scratch: &Path,
) -> Outcome<Vec<Figure>> {
    let folder = scratch.join(format!("{}-many", subject.name));
    let mut figures = Figures(Vec::new());
    let mut target = Target::start(subject, &folder, settings).await?;
    figures.add("memory, idle", "MB", Some(Goal::AtMost(25.0)), target.process.memory()?.now / MB, || {
        "Resident size of a server without records after its start.".to_owned()
    });

    let created = records.min(CREATED);
    eprintln!("creating {created} records, and importing {} more", records - created);
    let took = target.fill(created, Filling::Creates, scratch).await?;
    figures.add("create, 256 in flight", "records/s", None, created as f64 / took.as_secs_f64(), || {
        format!("The first {created} records, by the driver on 4 connections.")
    });
    let imported = records - created;
    if imported > 0 {
        let cpu = target.process.cpu()?;
        let took = target.fill(imported, Filling::Imports, scratch).await?;
        let cpu = target.process.cpu()?.saturating_sub(cpu);
        let how =
            || format!("{imported} records with one sealed attribute, by the driver: 4 streams on 4 connections.");
        let rate = imported as f64 / took.as_secs_f64();
        figures.add("import", "records/s", Some(Goal::AtLeast(200_000.0)), rate, how);
        let each = cpu.as_secs_f64() * 1e6 / imported as f64;
        figures.add("import, server CPU time", "µs/record", None, each, || "The same import.".to_owned());
    }

    eprintln!("starting with {records} records");
    let mut starts = Vec::new();
    for _ in 0..LOADS {
        target = target.restart(subject, settings).await?;
        let answering = Instant::now();
        target.call(row("get")?, 0).await?;
        starts.push((target.process.started_in + answering.elapsed()).as_secs_f64());
    }
    figures.add("start to the first answer", "s", Some(Goal::AtMost(0.3)), crate::figures::median(starts), || {
        format!("From the creation of the process to the answer of a GetMailbox on a new connection, {records} records, files in the page cache. Median of {LOADS}.")
    });

    let mut alone = Rounds::default();
    for _ in 0..LOADS {
        alone.0.push(load(&target, "get", None, scratch).await?);
    }
    let half = alone.median(|round| round.rate) / 2.0;
    let at_half = load(&target, "get", Some(half), scratch).await?;
    let tail = at_half.percentile_us(0.999) / at_half.percentile_us(0.5);
    figures.add("tail of Get at half load, p99.9 ÷ p50", "×", Some(Goal::AtMost(5.0)), tail, || {
        format!("h2load at {half:.0} calls/s, half of its rate without a limit, for {LOAD_SECONDS} s.")
    });
    for name in ["create", "list"] {
        load(&target, name, None, scratch).await?;
    }
    figures.add("memory, at full load", "MB", Some(Goal::AtMost(100.0)), target.process.memory()?.most / MB, || {
        format!(
            "Maximum resident size since the start, {records} records, after Get, Create and List with 64 in flight."
        )
    });

    eprintln!("re-encrypting beside calls");
    let client = target.deployment.client(target.process.address, Caller::Admin)?;
    change_key(&client, "the key of version 2!").await?;
    let mut beside = Rounds::default();
    while beside.0.len() < LOADS && is_running(&client).await? {
        beside.0.push(load(&target, "get", None, scratch).await?);
    }
    if beside.0.is_empty() {
        return Err("the re-encryption ended before a call could be measured: use more records".to_owned());
    }
    let p99 = |rounds: &Rounds| rounds.median(|round| round.percentile_us(0.99));
    figures.add(
        "p99 of Get during a re-encryption ÷ without",
        "×",
        Some(Goal::AtMost(1.3)),
        p99(&beside) / p99(&alone),
        || format!("Default share, 64 in flight. Medians of {} and {LOADS} loads of {LOAD_SECONDS} s.", beside.0.len()),
    );
    let walk = follow(&client).await?;
    figures.add("re-encryption, default share, beside Get", "cells/s", None, walk.all, || {
        format!("{} cells, from the change to its end.", walk.cells)
    });

    eprintln!("re-encrypting");
    let share = ("reencryption_share_percent", WHOLE_SHARE_PERCENT.to_string());
    let whole: Vec<_> = settings.iter().cloned().chain([share]).collect();
    target = target.restart(subject, &whole).await?;
    let client = target.deployment.client(target.process.address, Caller::Admin)?;
    change_key(&client, "the key of version 3!").await?;
    let walk = follow(&client).await?;
    let how = || format!("{} cells, idle server, share {WHOLE_SHARE_PERCENT} %.", walk.cells);
    figures.add(WALK, "cells/s", Some(Goal::AtLeast(300_000.0)), walk.walk, || {
        format!("{} Between the first and the last report of progress.", how())
    });
    figures.add(
        "re-encryption, with count and final scan",
        "cells/s",
        Some(Goal::AtLeast(250_000.0)),
        walk.all,
        || format!("{} From the answer to the change to the end.", how()),
    );

    eprintln!("verifying");
    let (cells, took) = verify_cells(&client).await?;
    figures.add("verification of cells", "cells/s", Some(Goal::AtLeast(1e6)), cells / took.as_secs_f64(), || {
        format!("VerifyCells of {cells} cells, idle server.")
    });
    let (records, took) = verify_trail(&client).await?;
    figures.add(
        "verification of the audit trail",
        "records/s",
        Some(Goal::AtLeast(500_000.0)),
        records / took.as_secs_f64(),
        || format!("VerifyAuditTrail of {records} records, idle server."),
    );
    target.end().await?;
    Ok(figures.0)
}

/// The figure that pgcrypto is compared with.
pub(crate) const WALK: &str = "re-encryption, walk";

const MB: f64 = 1e6;

struct Figures(Vec<Figure>);

impl Figures {
    fn add(
        &mut self,
        name: &'static str,
        unit: &'static str,
        goal: Option<Goal>,
        value: f64,
        how: impl Fn() -> String,
    ) {
        self.0.push(Figure { name, unit, goal, how: how(), value });
    }
}

/// A load of h2load in the shape of the goals.
async fn load(target: &Target, name: &str, rate: Option<f64>, scratch: &Path) -> Outcome<Round> {
    let workload = row(name)?;
    let answer = target.call(workload, 0).await?;
    let load = Load {
        method: workload.method,
        caller: workload.caller,
        bodies: &[workload.body(0)],
        shape: SHAPE,
        answer_bytes: Some(answer.len()),
        seconds: LOAD_SECONDS,
        rate,
    };
    load.run(&target.process, &target.deployment, scratch).await
}

async fn change_key(client: &sealward_client::Client, text: &str) -> Outcome<()> {
    let changed = client.change_key(ORGANIZATION, &text.to_owned().into()).await;
    changed.map(|_| ()).map_err(|error| format!("the key can't be changed: {error}"))
}

async fn is_running(client: &sealward_client::Client) -> Outcome<bool> {
    let failed = |error| format!("the re-encryption can't be followed: {error}");
    let mut watch = client.watch_reencryption(ORGANIZATION).await.map_err(failed)?;
    let state = watch.next().await.map_err(failed)?;
    Ok(state.is_some_and(|state| state.state() == State::Running))
}

/// The speed of a re-encryption.
struct Walk {
    cells: i64,
    /// Cells per second between the first and the last report of progress.
    walk: f64,
    /// Cells per second from the change to the end.
    all: f64,
}

/// Waits for the end of the re-encryption.
async fn follow(client: &sealward_client::Client) -> Outcome<Walk> {
    let failed = |error| format!("the re-encryption can't be followed: {error}");
    let following = async {
        let mut watch = client.watch_reencryption(ORGANIZATION).await.map_err(failed)?;
        let (mut first, mut last) = (None, None);
        let mut end = None;
        while let Some(state) = watch.next().await.map_err(failed)? {
            let progress = (Instant::now(), state.cells_done);
            if state.state() == State::Running && state.cells_done > 0 {
                first.get_or_insert(progress);
                last = Some(progress);
            }
            end = Some(state);
        }
        let end = end.ok_or("there is no re-encryption")?;
        if end.state() != State::Done {
            return Err(format!("the re-encryption ended in the state {:?}", end.state()));
        }
        let seconds = |time: Option<prost_types::Timestamp>| {
            time.map_or(f64::NAN, |time| time.seconds as f64 + f64::from(time.nanos) / 1e9)
        };
        let all = end.cells_done as f64 / (seconds(end.end_time) - seconds(end.start_time));
        let walk = match (first, last) {
            (Some((begin, before)), Some((finish, after))) if finish > begin => {
                (after - before) as f64 / (finish - begin).as_secs_f64()
            }
            _ => f64::NAN,
        };
        Ok(Walk { cells: end.cells_done, walk, all })
    };
    timeout(WALK_MAX, following).await.map_err(|_| format!("the re-encryption took more than {WALK_MAX:?}"))?
}

async fn verify_cells(client: &sealward_client::Client) -> Outcome<(f64, Duration)> {
    let failed = |error| format!("the cells can't be verified: {error}");
    let start = Instant::now();
    let verifying = async {
        let mut watch = client.verify_cells(ORGANIZATION).await.map_err(failed)?;
        let mut last = None;
        while let Some(state) = watch.next().await.map_err(failed)? {
            last = Some(state);
        }
        last.filter(|last| last.is_complete).ok_or_else(|| "the verification of cells was interrupted".to_owned())
    };
    let last = timeout(WALK_MAX, verifying).await.map_err(|_| format!("it took more than {WALK_MAX:?}"))??;
    Ok((last.cells_checked as f64, start.elapsed()))
}

async fn verify_trail(client: &sealward_client::Client) -> Outcome<(f64, Duration)> {
    let client = client.with_timeout(WALK_MAX);
    let start = Instant::now();
    let verified = client.verify_audit_trail(ORGANIZATION).await;
    let verified = verified.map_err(|error| format!("the audit trail can't be verified: {error}"))?;
    if !verified.intact {
        return Err("the audit trail has faults".to_owned());
    }
    Ok((verified.chains.iter().map(|chain| chain.records as f64).sum(), start.elapsed()))
}
