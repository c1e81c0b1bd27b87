//! The program `sealward-server`.

mod command;

use std::process::ExitCode;

/// A short call makes about a hundred allocations. With the C library's allocator, a tenth of its processor time was spent in them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit codes: 0 success, 1 failure (stderr has the error), 2 invalid command line.
fn main() -> ExitCode {
    command::run()
}
