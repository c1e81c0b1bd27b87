//! `cargo xtask bench`: the service beside a bare tonic server, the instructions of its hot paths, and its parts.

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
};

use crate::tools::{Missing, Output, Tools};

pub(crate) const SUMMARY: &str = "measures the service beside a bare tonic server, its instructions, and its parts";

const HELP: &str = "\
Usage: cargo xtask bench [ROW…] [OPTIONS]
       cargo xtask bench instructions [--check]
       cargo xtask bench micro [NAME…]

The first form builds a release server, starts it beside a bare tonic server (the echo), and prints ratios of one run: rate, latency and CPU
time of each call. Below, it prints the rows and options.

`instructions` counts the instructions of a call on the hot paths with Valgrind, and writes them to bench/instructions.txt. With --check, it
compares them with the file, and fails if a path needs 3 % more.

`micro` runs the Criterion measurements of parts, which compare a run with the previous one:
  seal     seal and open a cell, open a key ring, derive a KEK
  filter   parse, compile and evaluate a filter
  commit   a durable commit, by 1 and 64 callers

Needs h2load, which is installed with apt-get if it is missing, and root for that. Databases are in the folder for temporary files: if that is
in memory, set TMPDIR to a folder on a disk.";

/// The Criterion measurements, in `bench/micro`.
const MICRO: [&str; 3] = ["seal", "filter", "commit"];

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let is_help = arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help"));
    if is_help {
        println!("{HELP}\n");
    }
    let outcome = match arguments {
        [first, names @ ..] if first == "micro" => micro(names),
        _ => measure(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the servers and the bench, and runs it.
fn measure(arguments: &[String]) -> Result<(), String> {
    let tools = Tools::new();
    let missing = |missing: Missing| missing.to_string();
    tools.h2load(&mut Output::Terminal).map_err(missing)?;
    if arguments.first().is_some_and(|first| first == "instructions") {
        tools.valgrind(&mut Output::Terminal).map_err(missing)?;
    }
    let mut build = tools.cargo();
    // The whole workspace, so that dependencies have the same features in every build.
    build.args([
        "build",
        "--release",
        "--workspace",
        "--locked",
        "--bin",
        "sealward-server",
        "--bin",
        "sealward-bench",
    ]);
    succeed(&mut build)?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| tools.root().join("target"), PathBuf::from);
    let program = target.join("release/sealward-bench");
    succeed(tools.command(&program.to_string_lossy()).args(arguments))
}

fn micro(names: &[String]) -> Result<(), String> {
    if let Some(unknown) = names.iter().find(|name| !MICRO.contains(&name.as_str())) {
        return Err(format!("unknown measurement `{unknown}`\n\n{HELP}"));
    }
    let mut cargo = Tools::new().cargo();
    cargo.args(["bench", "--workspace", "--locked"]);
    for name in MICRO {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            cargo.args(["--bench", name]);
        }
    }
    succeed(&mut cargo)
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name}: {status}")),
        Err(error) => Err(format!("{name} can't be started: {error}")),
    }
}
