//! `cargo xtask kill`: a campaign of server kills of any length.

use std::process::ExitCode;

use crate::campaign;

pub(crate) const SUMMARY: &str = "kills servers thousands of times during key changes, and checks that no data is lost";

const HELP: &str = "Usage: cargo xtask kill [KILLS] [SEED]\n\n\
    Kills servers KILLS times (default 5000) in two concurrent campaigns with the seed SEED (default: the time). Half of the kills are at fail \
    points, and half at random moments, during writes. After each kill, the campaign compares the data with the acknowledged writes. It makes \
    about ten kills per second. `cargo xtask test` makes 200 kills.";

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
    println!("{kills} kills; to repeat them: cargo xtask kill {kills} {seed}");
    let mut cargo = campaign::black_box();
    cargo.args(["--nocapture", "kills::"]);
    cargo.env("SEALWARD_KILLS", kills.to_string()).env("SEALWARD_SEED", seed.to_string());
    campaign::run(cargo)
}

/// A seed that differs between runs.
#[expect(clippy::disallowed_methods, reason = "the time is only a seed; no test depends on it")]
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |since| since.as_secs())
}
