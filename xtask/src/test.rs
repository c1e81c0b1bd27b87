//! `cargo xtask test`: every check that a change has to pass, in one command. CI runs exactly this.
//!
//! A check that fails doesn't stop the ones after it, so that one run tells all. What could not be checked is said, never passed over.

use std::{
    fmt,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use crate::tools::{Missing, Tools, shown};

pub(crate) const SUMMARY: &str = "runs every check that CI runs, or the tests whose names contain a word";

const HELP: &str = "\
Usage: cargo xtask test
       cargo xtask test FILTER… [OPTIONS OF THE TEST RUNNER]

Without a filter it checks everything that CI checks: format, the rules of the .proto files, licences, bans, sources and
advisories of dependencies, lints, documentation, and all tests. What the checks need beyond Cargo is installed once:
cargo-deny, buf and grpcurl under target/tools; npm, Go, sqlite3 and Dovecot with apt-get, if they aren't there. Dovecot is not
started as a service, neither then nor later.

With a filter it only runs the tests whose names contain one of the words, and installs nothing:
    cargo xtask test key_change
    cargo xtask test a_cell_copied_to_another_record_does_not_open --nocapture

It ends with a table. `NOT CHECKED` says what could not be checked and why. It counts as a failure, except for the
advisory database of RustSec, which lies on GitHub and can't always be reached.";

/// Runs all checks, or with arguments the tests they select.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help")) {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let tools = Tools::new();
    let report = if arguments.is_empty() { everything(&tools) } else { selected(&tools, arguments) };
    println!("\n{report}");
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn everything(tools: &Tools) -> Report {
    let mut report = Report::default();
    report.check("format", || run_to_end(tools.cargo().args(["fmt", "--all", "--check"])));
    report.check("proto rules", || {
        tools.buf()?;
        run_to_end(tools.command("buf").arg("lint"))
    });
    report.check("dependencies", || {
        tools.cargo_deny()?;
        let exceptions_are_needed = ["--deny", "unmatched-skip", "--deny", "unnecessary-skip"];
        run_to_end(deny(tools).arg("check").args(exceptions_are_needed).args(["bans", "licenses", "sources"]))
    });
    report.check("advisories", || advisories(tools));
    report.check("lints", || {
        let everywhere = ["clippy", "--workspace", "--all-targets", "--locked"];
        run_to_end(tools.cargo().args(everywhere).args(["--", "-D", "warnings"]))
    });
    report.check("documentation", || {
        let ours = ["doc", "--workspace", "--no-deps", "--locked"];
        run_to_end(tools.cargo().args(ours).env("RUSTDOCFLAGS", "-D warnings"))
    });
    report.check("tools of tests", || {
        tools.sqlite3()?;
        tools.dovecot()?;
        tools.grpcurl()?;
        Ok(())
    });
    report.check("programs", || programs(tools));
    report.check("tests", || tests(tools, &[]));
    report
}

fn selected(tools: &Tools, filters: &[String]) -> Report {
    let mut report = Report::default();
    report.check("programs", || programs(tools));
    report.check("tests", || tests(tools, filters));
    report
}

/// The tests, and the programs that black-box tests start: in one build, since programs built without the tests would get dependencies with
/// other features, compiled a second time.
fn programs(tools: &Tools) -> Result<(), Trouble> {
    run_to_end(tools.cargo().args(["build", "--workspace", "--bins", "--examples", "--tests", "--locked"]))
}

fn tests(tools: &Tools, filters: &[String]) -> Result<(), Trouble> {
    let mut command = tools.cargo();
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    if !filters.is_empty() {
        command.arg("--").args(filters);
    }
    run_to_end(&mut command)
}

/// The advisory database is the one thing that no package registry has.
fn advisories(tools: &Tools) -> Result<(), Trouble> {
    tools.cargo_deny()?;
    let mut fetch = tools.command("timeout");
    fetch.args([FETCH_TIMEOUT_SECONDS, "cargo-deny", "--locked", "fetch", "db"]).stdin(Stdio::null());
    let fetched = fetch.output().map_err(|error| unreachable_database(&error.to_string()))?;
    if !fetched.status.success() {
        let words = String::from_utf8_lossy(&fetched.stderr);
        let last = words.lines().rev().find(|line| !line.trim().is_empty());
        return Err(unreachable_database(last.unwrap_or("no answer in time")));
    }
    run_to_end(deny(tools).args(["check", "advisories"]))
}

fn unreachable_database(why: &str) -> Trouble {
    Trouble::NotChecked { because: format!("RustSec's database could not be fetched ({why})"), excused: true }
}

fn deny(tools: &Tools) -> Command {
    let mut command = tools.command("cargo-deny");
    command.args(["--workspace", "--locked"]);
    command
}

/// Runs a command whose output a person wants to see.
fn run_to_end(command: &mut Command) -> Result<(), Trouble> {
    println!("   {}", shown(command));
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Trouble::Failed(format!("`{}`: {status}", shown(command)))),
        Err(error) => Err(Trouble::Failed(format!("`{}` could not be started: {error}", shown(command)))),
    }
}

/// Why a check did not pass.
enum Trouble {
    Failed(String),
    /// Nothing was looked at; excused where it was not to be had.
    NotChecked {
        because: String,
        excused: bool,
    },
}

impl From<Missing> for Trouble {
    fn from(missing: Missing) -> Self {
        Self::NotChecked { because: missing.to_string(), excused: false }
    }
}

/// What each check came to, in the order they ran.
#[derive(Default)]
struct Report(Vec<Line>);

struct Line {
    name: &'static str,
    took: Duration,
    outcome: Result<(), Trouble>,
}

impl Report {
    fn check(&mut self, name: &'static str, check: impl FnOnce() -> Result<(), Trouble>) {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = check();
        self.0.push(Line { name, took: start.elapsed(), outcome });
    }

    fn is_good(&self) -> bool {
        self.0.iter().all(|line| matches!(line.outcome, Ok(()) | Err(Trouble::NotChecked { excused: true, .. })))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { name, took, outcome } in &self.0 {
            let (word, why) = match outcome {
                Ok(()) => ("ok", String::new()),
                Err(Trouble::Failed(why)) => ("FAILED", format!("  {why}")),
                Err(Trouble::NotChecked { because, .. }) => ("NOT CHECKED", format!("  because {because}")),
            };
            writeln!(formatter, "{}", format!("{word:<12}{name:<16}{:>7.1} s{why}", took.as_secs_f64()).trim_end())?;
        }
        let took: Duration = self.0.iter().map(|line| line.took).sum();
        let verdict = if self.is_good() { "Good" } else { "NOT GOOD" };
        write!(formatter, "{verdict}, in {:.0} s.", took.as_secs_f64())
    }
}

const FETCH_TIMEOUT_SECONDS: &str = "60";

#[cfg(test)]
mod tests {
    use super::*;

    fn report_of(outcome: Result<(), Trouble>) -> Report {
        let mut report = Report::default();
        report.check("a check", || outcome);
        report
    }

    #[test]
    fn only_what_is_not_to_be_had_may_go_unchecked() {
        assert!(report_of(Ok(())).is_good());
        assert!(report_of(Err(unreachable_database("no network"))).is_good());
        assert!(!report_of(Err(Trouble::NotChecked { because: "no npm".into(), excused: false })).is_good());
        assert!(!report_of(Err(Trouble::Failed("exit status: 1".into()))).is_good());
    }

    #[test]
    fn what_was_not_checked_is_said_with_its_reason() {
        let text = report_of(Err(unreachable_database("no network"))).to_string();
        assert!(text.contains("NOT CHECKED a check"), "{text}");
        assert!(text.contains("because RustSec's database could not be fetched (no network)"), "{text}");
    }
}
