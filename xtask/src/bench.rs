//! `cargo xtask bench`: what the service costs, as a whole and part by part.
//!
//! `rates` gives ratios of one run, beside a bare server; the others are Criterion's, which holds each run against the one before.

use std::process::{Command, ExitCode};

pub(crate) const SUMMARY: &str = "measures the service beside a bare tonic server, and its parts";

/// The measurements in `bench/`, with what each tells.
const MEASUREMENTS: &[(&str, &str)] = &[
    ("rates", "Get and durable Create, 64 at once, beside a bare tonic server"),
    ("reencryption", "Get and Update with and without a re-encryption beside them, and cells a second"),
    ("call", "get, list, create and reveal, one at a time over TLS"),
    ("seal", "seal and open a cell, open a key ring, derive a KEK"),
    ("filter", "read a filter, compile it, hold a record against it"),
    ("commit", "a durable commit, by one caller and by 64"),
];

/// Runs the measurements that are named, or all of them.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help")) {
        println!("{}", help());
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments.iter().find(|name| !MEASUREMENTS.iter().any(|(known, _)| known == name)) {
        eprintln!("There is no measurement `{unknown}`.\n\n{}", help());
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
            eprintln!("cargo could not be run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let names: Vec<String> = MEASUREMENTS.iter().map(|(name, tells)| format!("  {name:<14}{tells}")).collect();
    format!(
        "Usage: cargo xtask bench [NAME…]\n\n{}\n\n\
         On loopback and on the disk of the folder for temporary files; each takes about a minute after the build.",
        names.join("\n")
    )
}
