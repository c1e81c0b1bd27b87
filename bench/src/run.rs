//! The measurement: its arguments, its steps, and what it prints.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    growth, machine,
    many::{self, RECORDS, RECORDS_FULL},
    outcome::Outcome,
    peers::Programs,
    process::this_program,
    rates::{Bench, Pace},
    report::{AGAINST, Results},
    shape::{SHAPE, SHAPES, Shape},
    target::{Subject, setting},
    workload::{WORKLOADS, Workload},
};

/// The arguments of the measurement.
#[derive(Debug, Args)]
// That of the whole command line has the same name.
#[group(skip)]
pub(crate) struct Arguments {
    /// The rows to measure; without names, all
    #[arg(value_name = "ROW", value_parser = row_names())]
    rows: Vec<String>,

    /// Also measures 1, 64 and 256 calls in flight on 1, 4 and 64 connections, ten times the records, and 1,000 organizations
    #[arg(long)]
    full: bool,

    /// The number of rounds of each side of a row
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// The duration of a round in seconds
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,

    /// The most records of the rows `many` and `growth` [default: a million; with --full, also ten million]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    records: Option<u64>,

    /// Another sealward-server than the one of this build
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,

    /// A second sealward-server, measured in the same rounds
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,

    /// A setting of the second server, which is this one without --against: `trace_calls_per_million=10000`; can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    against_set: Vec<(String, String)>,

    /// OpenBao's program `bao` [default: the one on the PATH, if there is one]
    #[arg(long, value_name = "PROGRAM")]
    bao: Option<PathBuf>,

    /// The folder of PostgreSQL's programs [default: Debian's, if it is installed]
    #[arg(long, value_name = "FOLDER")]
    postgres: Option<PathBuf>,

    /// The folder for benchmarks.md and its pictures [default: docs, if all rows of this build alone are measured]
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,

    /// The level of the servers' log [default: the server's]
    #[arg(long, value_name = "LEVEL", value_parser = ["off", "error", "warn", "info", "debug"])]
    log_level: Option<String>,
}

fn row_names() -> Vec<&'static str> {
    WORKLOADS.iter().map(|workload| workload.name).chain([MANY, GROWTH]).collect()
}

/// The row of the measurements with many records.
const MANY: &str = "many";
/// The row of the curves.
const GROWTH: &str = "growth";

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("must be a number from 0.1 to 60".to_owned()),
    }
}

/// The server that was built with this program.
pub(crate) fn server_of_this_build() -> Outcome<PathBuf> {
    Ok(this_program()?.with_file_name("sealward-server"))
}

impl Arguments {
    fn subjects(&self) -> Outcome<Vec<Subject>> {
        let program = self.server.clone().map_or_else(server_of_this_build, Ok)?;
        let second = if self.against_set.is_empty() { None } else { Some(program.clone()) };
        let server = Subject { name: "server".to_owned(), program, settings: Vec::new() };
        let against = self.against.clone().or(second).map(|program| Subject {
            name: AGAINST.to_owned(),
            program,
            settings: self.against_set.clone(),
        });
        Ok([server].into_iter().chain(against).collect())
    }

    fn is_wanted(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == row)
    }

    fn workloads(&self) -> Vec<&'static Workload> {
        WORKLOADS.iter().filter(|workload| self.is_wanted(workload.name)).collect()
    }

    fn report_folder(&self) -> Option<&Path> {
        let is_complete =
            self.rows.is_empty() && self.server.is_none() && self.against.is_none() && self.against_set.is_empty();
        self.report.as_deref().or(is_complete.then_some(Path::new("docs")))
    }

    /// The settings of the servers that aren't the defaults.
    fn settings(&self) -> Vec<(&'static str, String)> {
        self.log_level.iter().map(|level| ("level", format!("\"{level}\""))).collect()
    }
}

pub(crate) async fn run(arguments: &Arguments) -> Outcome<()> {
    let scratch = tempfile::tempdir().map_err(|error| format!("a temporary folder can't be created: {error}"))?;
    let scratch = scratch.path();
    let (subjects, settings) = (arguments.subjects()?, arguments.settings());
    let mut results = Results {
        place: machine::place(scratch),
        pace: Pace { rounds: arguments.rounds, seconds: arguments.seconds },
        rates: Vec::new(),
        many: Vec::new(),
        pgcrypto: None,
        growth: Vec::new(),
    };
    let workloads = arguments.workloads();
    if !workloads.is_empty() {
        let peers = Programs::find(arguments.bao.clone(), arguments.postgres.clone());
        let mut bench = Bench::start(&subjects, &settings, &workloads, &peers, scratch, results.pace).await?;
        let shapes: &[Shape] = if arguments.full { &SHAPES } else { &[SHAPE] };
        for &shape in shapes {
            let Shape { in_flight, connections } = shape;
            let mut rows = Vec::new();
            for workload in &workloads {
                eprintln!("measuring {} ({in_flight} in flight on {connections})", workload.name);
                rows.push(bench.measure(workload, shape).await?);
            }
            results.rates.push((shape, rows));
        }
        if arguments.is_wanted(MANY) {
            results.pgcrypto = bench.pgcrypto().await?;
        }
        bench.stop().await?;
    }
    let counts: Vec<u64> = match arguments.records {
        Some(records) => vec![records],
        None if arguments.full => vec![RECORDS, RECORDS_FULL],
        None => vec![RECORDS],
    };
    if arguments.is_wanted(MANY) {
        for &records in &counts {
            let mut sides = Vec::new();
            for subject in &subjects {
                sides.push((subject.name.clone(), many::measure(subject, &settings, records, scratch).await?));
            }
            results.many.push((records, sides));
        }
    }
    if let (true, [subject, ..], Some(most)) = (arguments.is_wanted(GROWTH), subjects.as_slice(), counts.last()) {
        results.growth = growth::measure(subject, &settings, *most, arguments.full, scratch).await?;
    }
    print!("{}", results.render());
    match arguments.report_folder() {
        Some(folder) => results.write(folder),
        None => Ok(()),
    }
}
