//! `cargo xtask bench`: what the service costs beside what it is built on. Ratios of one run, never absolute times.

use std::process::{Command, ExitCode};

pub(crate) const SUMMARY: &str = "measures Get and durable Create beside a bare tonic server";

/// Runs the measurement.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if !arguments.is_empty() {
        println!("Usage: cargo xtask bench\n\n{SUMMARY}, on loopback, in about a minute after the build.");
        return ExitCode::SUCCESS;
    }
    let ran =
        Command::new(env!("CARGO")).args(["bench", "--package", "fieldseal", "--bench", "rates", "--locked"]).status();
    match ran {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo could not be run: {error}");
            ExitCode::FAILURE
        }
    }
}
