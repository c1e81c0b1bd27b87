//! `sealward`: the command line. [`commands`] has the tree of commands, and a module for each; the other modules are what commands share.

mod attribute_help;
mod color;
mod commands;
mod confirmation;
mod connection;
mod delivery;
mod environment;
mod failure;
mod harmless;
mod hints;
mod output;
mod pages;
mod profile_file;
mod progress;
mod record;
mod secret_input;
mod spelling;
mod stderr;
mod strength;
mod table;
mod trail_file;
mod transfer;

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    commands::run(std::env::args_os()).await
}
