//! Instructions per call on the hot paths, counted by Callgrind in user space.
//!
//! The counts hardly vary between runs and machines, unlike times. The server runs under Valgrind, on one core, with one connection and 16 calls
//! in flight. Each path is called a few and many times, and the difference is divided, so that start and handshake don't count. How many calls
//! share a commit depends on the moment, so the count is the median of several.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use crate::{
    deployment::Deployment,
    driver,
    h2load::{self, Amount},
    outcome::Outcome,
    process::{self, Process},
    rates,
    run::server_of_this_build,
    shape::Shape,
    target::{Filling, Subject, Target, setting, write_requests},
    workload::{WORKLOADS, Workload},
};

/// The arguments of the count.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Compares with the file instead of writing it
    #[arg(long)]
    check: bool,

    /// The file with the counts
    #[arg(long, value_name = "FILE", default_value = "bench/instructions.txt")]
    file: PathBuf,

    /// Keeps Callgrind's profile of each path and of the echo in this folder, for callgrind_annotate
    #[arg(long, value_name = "FOLDER")]
    profiles: Option<PathBuf>,

    /// A setting of the server: `trace_calls_per_million=0`; can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,

    /// Another sealward-server than the one of this build
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
}

/// The hot paths, by the names of their workloads. The path of the echo is that of the first one.
const PATHS: [&str; 8] = ["get", "create", "update-one", "reveal", "active", "list", "batch-get", "import"];
const ECHO: &str = "echo";

/// The load on each path: one connection, so that the order of the calls hardly varies.
const SHAPE: Shape = Shape { in_flight: 16, connections: 1 };
/// The calls of the two loads on each path, by the records of a call.
const CALLS: [(u64, (u64, u64)); 3] = [(1, (200, 1_200)), (100, (20, 120)), (u64::MAX, (4, 12))];
/// How often both loads are counted. Odd, for the median.
const COUNTS: usize = 5;

/// The profile of the last load.
const LAST: &str = "last";

/// The change that has to be written to the file.
const TOLERANCE: f64 = 0.03;

/// The records of the server: enough for a page of 100.
const RECORDS: u64 = 200;

type Counts = BTreeMap<String, u64>;

pub(crate) async fn run(arguments: &Arguments) -> Outcome<()> {
    let counts = count(arguments).await?;
    if !arguments.check {
        let written = fs::write(&arguments.file, render(&counts));
        written.map_err(|error| format!("{}: {error}", arguments.file.display()))?;
        print!("{}", render(&counts));
        return Ok(());
    }
    let text = fs::read_to_string(&arguments.file).map_err(|error| format!("{}: {error}", arguments.file.display()))?;
    let (lines, is_equal) = compare(&parse(&text)?, &counts);
    print!("{lines}");
    if is_equal {
        Ok(())
    } else {
        Err(format!(
            "counts changed by more than {:.0} %: run `cargo xtask bench instructions`, and commit the file with the reason",
            TOLERANCE * 100.0
        ))
    }
}

async fn count(arguments: &Arguments) -> Outcome<Counts> {
    let scratch = tempfile::tempdir().map_err(|error| format!("a temporary folder can't be created: {error}"))?;
    let scratch = scratch.path();
    let program = arguments.server.clone().map_or_else(server_of_this_build, Ok)?;
    let subject = Subject { name: "server".to_owned(), program, settings: arguments.set.clone() };
    let paths: Vec<&Workload> =
        PATHS.iter().filter_map(|path| WORKLOADS.iter().find(|workload| workload.name == *path)).collect();

    if let Some(folder) = &arguments.profiles {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let keep = |path: &str| {
        let Some(folder) = &arguments.profiles else { return Ok(()) };
        let file = folder.join(path);
        fs::copy(scratch.join(LAST), &file).map(drop).map_err(|error| format!("{}: {error}", file.display()))
    };
    // The records are created before, at full speed.
    let mut target = Target::start(&subject, &scratch.join("server"), &[]).await?;
    target.fill(RECORDS, Filling::Creates, scratch).await?;
    let answers = scratch.join("answers");
    rates::write_answers(&paths, &mut target, scratch, &answers).await?;
    let Target { process, deployment, .. } = target;
    process.stop().await?;

    let mut counts = Counts::new();
    let server =
        Process::server_counted(&subject.program, deployment.folder(), &scratch.join("server.callgrind")).await?;
    for path in &paths {
        counts.insert(path.name.to_owned(), count_path(path, &server, &deployment, scratch, "server.callgrind").await?);
        keep(path.name)?;
    }
    server.stop().await?;
    let echo = Process::echo_counted(&deployment.tls(), &answers, &scratch.join("echo.callgrind")).await?;
    let first = paths.first().ok_or("there are paths")?;
    counts.insert(ECHO.to_owned(), count_path(first, &echo, &deployment, scratch, "echo.callgrind").await?);
    keep(ECHO)?;
    Ok(counts)
}

/// The instructions of one call.
async fn count_path(
    path: &Workload,
    process: &Process,
    deployment: &Deployment,
    scratch: &Path,
    profile: &str,
) -> Outcome<u64> {
    eprintln!("counting {} of {profile}", path.name);
    let calls = CALLS.iter().find(|(records, _)| path.records <= *records);
    let (few, many) = calls.ok_or("there are calls for any number of records")?.1;
    let shape = path.shape(SHAPE);
    let requests = scratch.join("request");
    write_requests(&requests, [path.body(0)])?;
    let token = deployment.token(path.caller)?;
    let (tls, method) = (deployment.tls(), path.method.path);
    let answer = driver::one_call(process.address, &tls, &token, method, path.body(0)).await?;
    let total = async |calls| {
        let load = h2load::Load {
            address: process.address,
            paths: &[method.to_owned()],
            headers: &h2load::grpc_headers(&token),
            body: Some(&requests),
            success: h2load::HTTP_OK,
            answer_bytes: Some(answer.len()),
            connections: shape.connections,
            in_flight: shape.in_flight,
            amount: Amount::Calls(calls),
            rate: None,
            log: &scratch.join("load.log"),
        };
        let log = h2load::run(&load).await?;
        if log.refused > 0 {
            return Err(format!("{} calls of {} were refused", log.refused, path.name));
        }
        dump(process, scratch, profile).await
    };
    // Fills caches.
    total(few).await?;
    let mut counts = [0; COUNTS];
    for count in &mut counts {
        let of_few = total(few).await?;
        *count = total(many).await?.saturating_sub(of_few) / (many - few);
    }
    counts.sort_unstable();
    Ok(counts[COUNTS / 2])
}

/// Makes Callgrind write its counts and start again from zero, and returns their total.
async fn dump(process: &Process, scratch: &Path, profile: &str) -> Outcome<u64> {
    let arguments = ["--dump".to_owned(), process.id.to_string()];
    process::output("callgrind_control", &arguments, Duration::from_secs(60)).await?;
    // Dumps are numbered. Each is read and renamed.
    let dumps =
        fs::read_dir(scratch).map_err(|error| error.to_string())?.filter_map(Result::ok).map(|file| file.path());
    let is_dump = |file: &PathBuf| {
        file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{profile}.")))
    };
    let mut total = None;
    for file in dumps.filter(is_dump) {
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
        fs::rename(&file, scratch.join(LAST)).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    total.ok_or_else(|| "Callgrind wrote no total".to_owned())
}

/// The content of the file.
fn render(counts: &Counts) -> String {
    let mut text = "# Instructions per call, written by `cargo xtask bench instructions`.\n".to_owned();
    for (path, count) in counts {
        let _infallible = writeln!(text, "{path} {count}");
    }
    text
}

fn parse(text: &str) -> Outcome<Counts> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (path, count) = line.split_once(' ').ok_or_else(|| format!("malformed line: {line}"))?;
            Ok((path.to_owned(), count.parse().map_err(|error| format!("{line}: {error}"))?))
        })
        .collect()
}

/// A line for each path, and whether each count is within the tolerance.
fn compare(before: &Counts, now: &Counts) -> (String, bool) {
    let (mut text, mut is_equal) = (String::new(), true);
    let paths: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for path in paths {
        let line = match (before.get(path), now.get(path)) {
            (Some(before), Some(now)) => {
                let change = *now as f64 / *before as f64 - 1.0;
                let verdict = if change.abs() > TOLERANCE { "CHANGED" } else { "ok" };
                is_equal &= change.abs() <= TOLERANCE;
                format!("{path:<10} {before:>12} {now:>12} {:>+6.1} %  {verdict}", change * 100.0)
            }
            (before, now) => {
                is_equal = false;
                format!("{path:<10} {before:?} {now:?}  CHANGED")
            }
        };
        let _infallible = writeln!(text, "{line}");
    }
    (text, is_equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(count: u64) -> Counts {
        Counts::from([("get".to_owned(), count)])
    }

    #[test]
    fn file_is_read_as_written() {
        assert_eq!(parse(&render(&counts(123_456))).unwrap(), counts(123_456));
    }

    #[test]
    fn every_path_has_a_count() {
        let counts = parse(include_str!("../instructions.txt")).unwrap();
        let paths: Vec<&str> = counts.keys().map(String::as_str).collect();
        let mut expected: Vec<&str> = PATHS.into_iter().chain([ECHO]).collect();
        expected.sort_unstable();
        assert_eq!(paths, expected);
    }

    #[test]
    fn change_of_more_than_three_percent_is_reported() {
        assert!(compare(&counts(100_000), &counts(102_900)).1);
        assert!(!compare(&counts(100_000), &counts(103_100)).1);
        assert!(!compare(&counts(100_000), &counts(96_900)).1);
        assert!(!compare(&counts(100_000), &Counts::new()).1);
    }
}
