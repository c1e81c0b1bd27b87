//! `cargo xtask kill`: a campaign of kills as long as one likes.

use std::process::ExitCode;

use crate::campaign;

pub(crate) const SUMMARY: &str =
    "kills servers at every step of a change, thousands of times, and looks at what is lost";

const HELP: &str = "Usage: cargo xtask kill [KILLS] [SEED]\n\n\
    Kills servers KILLS times (default 5000) in two campaigns side by side, which begin with SEED (default: the time), half of the times at \
    fail points and half at random moments, with writers at work. After each kill everything is held against what was acknowledged. Some \
    ten kills a second; `cargo xtask test` makes 200.";

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help")) {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let numbers: Result<Vec<u64>, _> = arguments.iter().map(|argument| argument.parse()).collect();
    let (kills, seed) = match numbers.as_deref() {
        Ok([]) => (5_000, now()),
        Ok([kills]) => (*kills, now()),
        Ok([kills, seed]) => (*kills, *seed),
        Ok(_) | Err(_) => {
            eprintln!("{HELP}");
            return ExitCode::FAILURE;
        }
    };
    println!("{kills} kills; again from the same beginning: cargo xtask kill {kills} {seed}");
    let mut cargo = campaign::black_box();
    cargo.args(["--nocapture", "kills::"]);
    cargo.env("SEALWARD_KILLS", kills.to_string()).env("SEALWARD_SEED", seed.to_string());
    campaign::run(cargo)
}

/// A seed that isn't the one of the run before.
#[expect(clippy::disallowed_methods, reason = "a seed, and nothing that a test compares")]
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |since| since.as_secs())
}
