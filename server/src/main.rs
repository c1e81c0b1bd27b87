//! The program `sealward-server`.

mod command;

use std::process::ExitCode;

/// 0: ended as told. 1: failed, and stderr says why. 2: the command line makes no sense.
fn main() -> ExitCode {
    command::run()
}
