//! Campaigns: black-box tests that run longer than in `cargo xtask test`, as their environment says.

use std::process::{Command, ExitCode};

/// `cargo test` of the black-box tests. The arguments that the caller adds are those of the test runner. The whole workspace is named so
/// that dependencies have the features that `cargo xtask test` gives them, and aren't compiled again.
pub(crate) fn black_box() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--workspace", "--locked", "--test", "black_box", "--"]);
    cargo
}

/// Runs it to its end; its output appears as it comes.
pub(crate) fn run(mut cargo: Command) -> ExitCode {
    match cargo.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo could not be run: {error}");
            ExitCode::FAILURE
        }
    }
}
