//! Campaigns: black-box tests with more rounds than in `cargo xtask test`, set by environment variables.

use std::process::{Command, ExitCode};

/// `cargo test` of the black-box tests. The caller adds arguments for the test runner. It builds the whole workspace, so that dependencies have
/// the same features as in `cargo xtask test`, and aren't compiled again.
pub(crate) fn black_box() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--workspace", "--locked", "--test", "black_box", "--"]);
    cargo
}

/// Runs the command; its output goes to the terminal.
pub(crate) fn run(mut cargo: Command) -> ExitCode {
    match cargo.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("can't run cargo: {error}");
            ExitCode::FAILURE
        }
    }
}
