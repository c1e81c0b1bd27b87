//! The command line `sealward`.

/// The tree of commands, with a module for each command.
mod commands;
/// The server, the identity and the organization of a run: options, environment variables, profiles.
mod connection;
/// Errors as the user sees them: message, advice, exit code.
mod failure;
/// What the user enters: attributes, secrets, confirmations.
mod input;
/// Names of the contract in the spelling of the command line.
mod naming;
/// What the user sees: tables, JSON, messages, progress.
mod output;

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    commands::run(std::env::args_os()).await
}
