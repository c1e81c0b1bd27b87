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
       cargo xtask bench restart [--records N] [--restarts N] [--server PROGRAM]
       cargo xtask bench micro [NAME…]

Builds a release server, starts it beside a bare tonic server (the echo), and prints ratios of one run: rate, latency and CPU time of each call.
Rounds of both alternate. OpenBao and PostgreSQL do comparable work in the same run, if their programs are found.

Rows:
  get, get-spread       GetMailbox of one record, of all records in turn
  list                  ListMailboxes, a page of 100
  batch-get             BatchGetMailboxes, 100 records
  create                CreateMailbox, one attribute sealed
  batch-create          BatchCreateMailboxes, 100 records
  import                ImportMailboxes, streams of 2,000 records
  update, update-one    UpdateMailbox, spread over records, all on one record
  delete                DeleteMailbox
  reveal                RevealAttributes
  active                IsDataEncryptionActive
  many                  with a million records: import, start, memory, tail, re-encryption, verification
  growth                cost by records, size of values, attributes, organizations, connections

Without rows, it measures all and writes the tables and pictures of docs/benchmarks.md.

Options:
  --rounds N            rounds of each side of a row, 1 to 100 (default 5)
  --seconds S           duration of a round, 0.1 to 60 (default 1)
  --full                also 1, 64 and 256 calls in flight on 1, 4 and 64 connections, ten million records, 1,000 organizations
  --records N           most records of the rows `many` and `growth`
  --server PROGRAM      another sealward-server than the one of this build
  --against PROGRAM     a second sealward-server, measured in the same rounds
  --against-set NAME=VALUE  a setting of the second server, which is this one without --against; can be repeated
  --log-level LEVEL     level of the servers' log (default: the server's)
  --bao PROGRAM         OpenBao (default: bao on the PATH)
  --postgres FOLDER     PostgreSQL's programs (default: Debian's)
  --report FOLDER       folder of benchmarks.md and its pictures, whose measured sections are replaced

`instructions` counts the instructions of a call on the hot paths with Valgrind, and writes them to bench/instructions.txt, or to the file of
--file. With --set NAME=VALUE, the server has this setting. With --check, it compares them with the file, and fails if a path changed by more than 3 %: commit the new file with the reason.

`restart` measures the gap that an upgrade has: SIGTERM, the end of the server, the start on the same data, the first answer. Callers write
meanwhile: without retries, with the default policy, and with one that waits for the server.

`micro` runs the Criterion measurements of parts, which compare a run with the previous one:
  seal                  seal and open a cell, open a key ring, derive a KEK
  filter                parse, compile and evaluate a filter
  commit                a durable commit, by 1 and 64 callers

h2load and Valgrind are installed with apt-get if they are missing, which needs root. Databases are in the folder for temporary files: if that is
in memory, set TMPDIR to a folder on a disk.";

/// The Criterion measurements, in `bench/micro`.
const MICRO: [&str; 3] = ["seal", "filter", "commit"];

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help")) {
        println!("{HELP}");
        return ExitCode::SUCCESS;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_row() {
        let table = include_str!("../../bench/src/workload.rs");
        let rows: Vec<_> =
            table.lines().filter_map(|line| line.trim().strip_prefix("name: \"")?.strip_suffix("\",")).collect();
        assert!(rows.len() > 5, "{rows:?}");
        let (_, help) = HELP.split_once("Rows:").unwrap();
        let names: Vec<_> = help.split([' ', ',', '\n']).collect();
        for row in rows {
            assert!(names.contains(&row), "{row}");
        }
    }
}
