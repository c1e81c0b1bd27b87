//! The program `sealward-server`.

mod command;

use std::process::ExitCode;

/// Exit codes: 0 success, 1 failure (stderr has the error), 2 invalid command line.
fn main() -> ExitCode {
    command::run()
}
