//! `cargo xtask bench`: measurements of the service and of its parts.
//!
//! `rates` and `reencryption` print ratios of one run. The others use Criterion, which compares a run with the previous one.

use std::process::{Command, ExitCode};

pub(crate) const SUMMARY: &str = "measures the service and its parts, compared with a bare tonic server";

/// The measurements in `bench/`, with descriptions.
const MEASUREMENTS: &[(&str, &str)] = &[
    ("rates", "throughput of Get and durable Create, 64 concurrent calls, compared with a bare tonic server"),
    ("reencryption", "latency of Get and Update with and without a re-encryption, and re-encrypted cells/s"),
    ("call", "latency of Get, List, Create and Reveal, one at a time over TLS"),
    ("seal", "seal and open a cell, open a key ring, derive a KEK"),
    ("filter", "parse, compile and evaluate a filter"),
    ("commit", "a durable commit, by 1 and 64 callers"),
];

/// Runs the named measurements, or all.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help")) {
        println!("{}", help());
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments.iter().find(|name| !MEASUREMENTS.iter().any(|(known, _)| known == name)) {
        eprintln!("unknown measurement `{unknown}`\n\n{}", help());
        return ExitCode::FAILURE;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["bench", "--package", "sealward", "--locked"]);
    for (name, _) in MEASUREMENTS {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            cargo.args(["--bench", name]);
        }
    }
    match cargo.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("can't run cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let names: Vec<String> =
        MEASUREMENTS.iter().map(|(name, description)| format!("  {name:<14}{description}")).collect();
    format!(
        "Usage: cargo xtask bench [NAME…]\n\n{}\n\n\
         Measures on loopback, and on the disk of the folder for temporary files. Each takes about a minute after the build.",
        names.join("\n")
    )
}
