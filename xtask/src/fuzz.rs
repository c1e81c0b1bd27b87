//! `cargo xtask fuzz`: runs the fuzzers in `fuzz/targets`, each for a limited time.

use std::{
    fs,
    process::{Command, ExitCode, Output, Stdio},
    thread,
};

use crate::tools::{self, Missing, Tools, shown};

pub(crate) const SUMMARY: &str = "runs the fuzzers of all parsers of untrusted input";

const HELP: &str = "\
Usage: cargo xtask fuzz [--seconds SECONDS] [TARGET…]

Builds the fuzzers in fuzz/targets, and runs each TARGET (default: all) for SECONDS (default 60), two at a time.
`cargo xtask test` runs a fixed number of inputs from the seeds instead, the same inputs in every run.
Installs a C++ compiler for libFuzzer with apt-get if needed. Seeds are in fuzz/seeds. Inputs that reach new code are saved in fuzz/corpus for the
next run. A failing input is written to fuzz/artifacts, and the command fails. To run a target longer, and to reproduce a failure:
    cargo xtask fuzz --seconds 3600 filter
    target/debug/examples/fuzz-filter fuzz/artifacts/filter/crash-…";

/// How long to run a target.
#[derive(Clone, Copy)]
pub(crate) enum Effort {
    /// Random inputs for this time, from the seeds and the inputs that earlier runs found.
    Seconds(u32),
    /// This number of inputs, from the seeds alone. They are the same in every run, so that the result depends only on the code.
    Inputs(u32),
}

/// Default of `--seconds`.
const SECONDS: u32 = 60;

/// The inputs of each target in `cargo xtask test`: 5 to 25 seconds.
pub(crate) const INPUTS_OF_TEST: Effort = Effort::Inputs(200_000);

/// Concurrent fuzzers. Each uses one core.
const AT_ONCE: usize = 2;

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help")) {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let (seconds, targets) = match arguments {
        [flag, seconds, targets @ ..] if flag == "--seconds" => match seconds.parse() {
            Ok(seconds) => (seconds, targets),
            Err(_) => return usage(),
        },
        [first, ..] if first.starts_with('-') => return usage(),
        targets => (SECONDS, targets),
    };
    match fuzz(&Tools::new(), Effort::Seconds(seconds), targets) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{HELP}");
    ExitCode::FAILURE
}

/// Why the fuzzers did not all pass.
#[derive(Debug)]
pub(crate) enum FuzzError {
    /// A tool could not be installed.
    Missing(Missing),
    /// A fuzzer could not be built, or found a failing input.
    Failed(String),
}

impl std::fmt::Display for FuzzError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FuzzError::Missing(missing) => missing.fmt(formatter),
            FuzzError::Failed(why) => formatter.write_str(why),
        }
    }
}

/// Runs the named targets, or all, with this effort for each.
pub(crate) fn fuzz(tools: &Tools, effort: Effort, named: &[String]) -> Result<(), FuzzError> {
    let all = targets(tools)?;
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        return Err(FuzzError::Failed(format!("unknown fuzz target `{unknown}`: use one of {}", all.join(", "))));
    }
    tools.cxx(&mut tools::Output::Terminal).map_err(FuzzError::Missing)?;
    let mut build = build(tools, &all);
    println!("   {}", shown(&build));
    if !build.status().is_ok_and(|status| status.success()) {
        return Err(FuzzError::Failed("can't build the fuzzers".to_owned()));
    }
    let chosen = if named.is_empty() { &all } else { named };
    let mut findings = Vec::new();
    for batch in chosen.chunks(AT_ONCE) {
        let outcomes: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = batch.iter().map(|target| scope.spawn(|| run_one(tools, effort, target))).collect();
            running
                .into_iter()
                .map(|one| one.join().unwrap_or_else(|_| Err("the thread panicked".to_owned())))
                .collect()
        });
        for (target, outcome) in batch.iter().zip(outcomes) {
            match outcome {
                Ok(executed) => println!("   {target:<10} {executed} inputs"),
                Err(output) => {
                    println!("{output}\n   {target:<10} FAILED");
                    findings.push(target.as_str());
                }
            }
        }
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(FuzzError::Failed(format!("fuzzers failed: {}; the inputs are in fuzz/artifacts", findings.join(", "))))
}

/// Runs a fuzzer. Returns the number of executed inputs, or the whole output if it failed.
fn run_one(tools: &Tools, effort: Effort, target: &str) -> Result<String, String> {
    let [seeds, artifacts] = ["seeds", "artifacts"].map(|kind| format!("fuzz/{kind}/{target}"));
    let corpus = match effort {
        Effort::Seconds(_) => format!("fuzz/corpus/{target}"),
        Effort::Inputs(_) => {
            let corpus = format!("target/fuzz/{target}");
            let _absent = fs::remove_dir_all(tools.root().join(&corpus));
            corpus
        }
    };
    for folder in [&corpus, &seeds, &artifacts] {
        fs::create_dir_all(tools.root().join(folder)).map_err(|error| format!("{folder}: {error}"))?;
    }
    let program = tools.root().join(format!("target/debug/examples/fuzz-{target}"));
    let mut run = tools.command(&program.to_string_lossy());
    run.args([&corpus, &seeds]);
    run.arg(format!("-artifact_prefix={artifacts}/"));
    match effort {
        Effort::Seconds(seconds) => run.arg(format!("-max_total_time={seconds}")),
        Effort::Inputs(inputs) => run.args(["-seed=1".to_owned(), format!("-runs={inputs}")]),
    };
    run.args(["-max_len=4096", "-timeout=10", "-rss_limit_mb=2048", "-use_value_profile=1", "-print_final_stats=1"]);
    let Output { status, stdout, stderr } =
        run.stdin(Stdio::null()).output().map_err(|error| format!("{}: {error}", shown(&run)))?;
    let printed = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let executed = printed.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    match executed {
        Some(executed) if status.success() => Ok(executed.trim().to_owned()),
        Some(_) | None => Err(printed),
    }
}

/// The command that builds the fuzzers. It builds the whole workspace, so that dependencies have the same features as for the tests, and are
/// compiled once.
fn build(tools: &Tools, targets: &[String]) -> Command {
    let mut build = tools.cargo();
    build.args(["build", "--workspace", "--locked", "--features", "sealward-fuzz/libfuzzer"]);
    for target in targets {
        build.args(["--example", &format!("fuzz-{target}")]);
    }
    build.env("RUSTC_WORKSPACE_WRAPPER", tools.root().join("fuzz/rustc.sh")).stdin(Stdio::null());
    build
}

/// The names of all targets, sorted.
fn targets(tools: &Tools) -> Result<Vec<String>, FuzzError> {
    let folder = tools.root().join("fuzz/targets");
    let read = |error| FuzzError::Failed(format!("{}: {error}", folder.display()));
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}
