//! `sealward`: the command line. What it can do is in [`cli`]; this file only starts it.

mod cli;

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    cli::run(std::env::args_os()).await
}
