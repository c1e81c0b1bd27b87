//! The command line: its arguments, and the start of each command.
//!
//! Greetings and results go to stdout, the log and errors to stderr. If the configuration sends audit records to stdout, the greeting goes
//! to stderr too.

mod backup;
mod check_config;
mod dev;
mod init;
mod log;
mod reference;
mod serve;
mod supervisor;

use std::{
    error::Error,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use sealward_server::{
    app::{App, Running},
    config::Config,
    drain::Drained,
    version,
};
use tokio::runtime::Runtime;

use self::{
    backup::BackupArguments, check_config::CheckConfigArguments, dev::DevArguments, init::InitArguments, log::Logging,
    reference::Reference, serve::ServeArguments,
};

/// Store records whose sensitive fields are encrypted one by one.
#[derive(Debug, Parser)]
#[command(
    name = "sealward-server",
    version,
    long_version = version::details(),
    arg_required_else_help = true,
    after_help = "\
Examples:
  sealward-server dev                                     run a server for trials
  sealward-server init /etc/sealward --admin cn:ada       prepare a production server
  sealward-server check-config --config /etc/sealward/sealward.toml
  sealward-server serve --config /etc/sealward/sealward.toml
  sealward-server backup --config /etc/sealward/sealward.toml /srv/backup/2026-11-29

Results go to stdout, the log and errors to stderr.
Exit codes: 0 success, 1 failure, 2 invalid command line."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Treats an empty environment variable as unset, for every option that reads one.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |argument: &Arg| argument.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    command
        .mut_args(|argument| if is_empty(&argument) { argument.env(None::<&'static str>) } else { argument })
        .mut_subcommands(without_empty_variables)
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server for trials, without any preparation.
    Dev(DevArguments),
    /// Create a configuration, a root key and a data folder for a production server.
    Init(InitArguments),
    /// Check a configuration, its files and its databases.
    CheckConfig(CheckConfigArguments),
    /// Run a server.
    Serve(ServeArguments),
    /// Back up the databases of a running or stopped server.
    Backup(BackupArguments),
    /// Print documentation that is generated from the code.
    #[command(subcommand, hide = true)]
    Reference(Reference),
}

/// The error of a command. Its sources are the causes.
type Failure = Box<dyn Error + Send + Sync>;

/// Runs the command of the command line.
pub(crate) fn run() -> ExitCode {
    let matches = without_empty_variables(Arguments::command()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Err(error) = keep_memory_to_ourselves() {
        report(&error);
        return ExitCode::FAILURE;
    }
    let ended = Runtime::new().map_err(Failure::from).and_then(|runtime| {
        let ended = runtime.block_on(async {
            match arguments.command {
                Command::Dev(arguments) => dev::run(&arguments).await?,
                Command::Init(arguments) => init::run(arguments)?,
                Command::CheckConfig(arguments) => return check_config::run(arguments).await,
                Command::Serve(arguments) => serve::run(&arguments).await?,
                Command::Backup(arguments) => backup::run(arguments).await?,
                Command::Reference(which) => reference::run(&which)?,
            }
            Ok(ExitCode::SUCCESS)
        });
        // Tasks that the drain did not wait for are not waited for here either.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(code) => code,
        Err(failure) => {
            report(failure.as_ref());
            ExitCode::FAILURE
        }
    }
}

/// Keys are in this process's memory: core dumps are off, and other processes of this user can't read it. Root still can.
fn keep_memory_to_ourselves() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Starts the log, and a server that stops at SIGTERM or SIGINT.
async fn start(config: Config) -> Result<(Running, Logging), Failure> {
    let logging = log::to_stderr(config.log, &config.limits);
    let running = match start_logged(config, &logging).await {
        Ok(running) => running,
        Err(failure) => {
            logging.end();
            return Err(failure);
        }
    };
    Ok((running, logging))
}

async fn start_logged(config: Config, logging: &Logging) -> Result<Running, Failure> {
    let running = App::start(config).await?;
    running.end_on_signals()?;
    running.reloader().on_signals()?;
    running.report_dropped_lines(logging.dropped());
    let (mut log, exchange_level) = (running.log(), logging.exchange_level());
    tokio::spawn(async move {
        while log.changed().await.is_ok() {
            exchange_level(log.borrow_and_update().level);
        }
    });
    Ok(running)
}

/// Notifies the supervisor that the server is ready, and waits until it has stopped.
async fn wait((running, logging): (Running, Logging)) -> Result<(), Failure> {
    supervisor::ready(&format!("listens on {}", running.address()));
    let announced = running.drain().announced();
    let told = async {
        announced.await;
        supervisor::stopping();
    };
    let (drained, ()) = tokio::join!(running.wait(), told);
    match drained {
        Drained::Whole => tracing::info!("shutdown complete"),
        Drained::CutShort => {
            tracing::warn!(
                "shutdown cut short, calls or tasks unfinished; the next start resumes tasks that must finish"
            )
        }
    }
    logging.end();
    Ok(())
}

/// How long the server waits for a reader of its output.
const PRINT_MAX: Duration = Duration::from_secs(1);

/// Prints a message to the user who started the server: to stderr if stdout is reserved for audit records. The server doesn't wait long for
/// a reader.
fn greet(is_audit_on_stdout: bool, text: &str) {
    let text = text.to_owned();
    within(PRINT_MAX, move || {
        if is_audit_on_stdout {
            let _nobody_listens = io::stderr().write_all(text.as_bytes());
        } else {
            say(&text);
        }
    });
}

/// Runs work that may block in its own thread, and waits for it at most this long. After that the work continues until the process ends.
fn within(bound: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let worker = move || {
        work();
        let _nobody_waits = done.send(());
    };
    if thread::Builder::new().spawn(worker).is_ok() {
        let _done_or_not = ended.recv_timeout(bound);
    }
}

/// Prints text to stdout. A closed stdout is not an error.
fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _nobody_listens = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints an error and its causes, one per line.
fn report(failure: &(dyn Error + 'static)) {
    let mut text = format!("error: {failure}\n");
    let mut next = failure.source();
    while let Some(cause) = next {
        text.push_str(&format!("  because: {cause}\n"));
        next = cause.source();
    }
    within(PRINT_MAX, move || {
        let _nobody_listens = io::stderr().write_all(text.as_bytes());
    });
}

/// The absolute form of a path.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// Quotes a text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let needs_no_quotes = |character: char| character.is_ascii_alphanumeric() || "/._-:@".contains(character);
    if !text.is_empty() && text.chars().all(needs_no_quotes) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_word_stays_a_word() {
        assert_eq!(quoted("/srv/field-seal.d/ca.pem"), "/srv/field-seal.d/ca.pem");
        assert_eq!(quoted("/home/ada lovelace"), "'/home/ada lovelace'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_an_example() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()).chain([&command]) {
            let name = command.get_name();
            assert!(command.get_about().is_some_and(|about| !about.to_string().is_empty()), "{name}");
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = after.lines().filter(|line| line.trim_start().contains("sealward-server "));
            let mut count = 0;
            for example in examples.filter(|line| line.starts_with("  ")) {
                let line = example.split("     ").next().unwrap_or_default();
                let words = line.split_whitespace().skip_while(|word| *word != "sealward-server");
                let is_given_by_environment = example.contains("SEALWARD_CONFIG=");
                let parsed = Arguments::try_parse_from(words.map(str::to_owned));
                assert!(parsed.is_ok() || is_given_by_environment, "{example}: {:?}", parsed.err());
                count += 1;
            }
            assert!(count > 0, "{name}");
        }
    }

    /// The rows of a command's options in docs/operations.md, with the text of `--help`.
    fn rows(command: &clap::Command) -> Vec<String> {
        let row = |argument: &Arg| {
            let takes_value = argument.get_action().takes_values();
            let value = argument.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
            let spelled = match (argument.get_long(), value.filter(|_| takes_value)) {
                (Some(long), Some(value)) => format!("--{long} {value}"),
                (Some(long), None) => format!("--{long}"),
                (None, value) => value.unwrap_or_default().to_owned(),
            };
            let code = |text: Option<&OsStr>| text.map_or("none".to_owned(), |text| format!("`{}`", text.display()));
            let default =
                code(argument.get_default_values().first().filter(|_| takes_value).map(|value| value.as_ref()));
            let required = if argument.is_required_set() { "yes" } else { "no" };
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            format!("| `{spelled}` | {required} | {default} | {} | {help} |", code(argument.get_env()))
        };
        command.get_arguments().filter(|argument| argument.get_id() != "help").map(row).collect()
    }

    #[test]
    fn operations_reference_lists_every_command_with_its_options() {
        let document = include_str!("../../docs/operations.md");
        let (_, section) = document.split_once("\n## Commands\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        let mut listed = Vec::new();
        for part in section.split("\n### `sealward-server ").skip(1) {
            let (name, text) = part.split_once("`\n").unwrap();
            let rows = text.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
            listed.push((name.to_owned(), rows));
        }
        let arguments = Arguments::command();
        let commands = arguments.get_subcommands().filter(|command| !command.is_hide_set());
        let declared: Vec<(String, Vec<String>)> =
            commands.map(|command| (command.get_name().to_owned(), rows(command))).collect();
        assert_eq!(listed, declared);
    }

    /// Users copy the unit, so it has to be correct, although no test runs it.
    #[test]
    fn the_unit_runs_commands_that_there_are_and_loads_what_init_names() {
        let unit = include_str!("../../deploy/sealward.service");
        let values = |name: &str| -> Vec<&str> {
            unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
        };
        for name in ["ExecStart", "ExecStartPre"] {
            let [command] = values(name)[..] else { panic!("{name}") };
            let parsed = Arguments::try_parse_from(command.split_whitespace());
            assert!(parsed.is_ok(), "{command}: {:?}", parsed.err());
        }
        let credentials = values("LoadCredential");
        for name in ["server.pem", "server.key", "client-ca.pem", "root.key"] {
            assert!(credentials.contains(&format!("{name}:/etc/sealward/{name}").as_str()), "{name}: {credentials:?}");
        }
        assert_eq!(values("Type"), ["notify"]);
    }
}
