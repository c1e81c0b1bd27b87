//! The command line: its commands, each in a module, and the exit code.
//!
//! Only the greeting or the result of a command goes to stdout. The log and errors go to stderr. If the configuration sends audit records
//! to stdout, the greeting goes to stderr too.

mod backup;
mod check_config;
mod descriptors;
mod dev;
mod failure;
mod foreground;
mod init;
mod log;
mod print;
mod reference;
mod restore;
mod serve;
mod shell;
mod supervisor;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use sealward_server::version;
use tokio::runtime::Runtime;

use self::{
    backup::BackupArguments, check_config::CheckConfigArguments, descriptors::DescriptorsArguments, dev::DevArguments,
    failure::Failure, init::InitArguments, reference::Reference, restore::RestoreArguments, serve::ServeArguments,
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
  sealward-server dev                                     run a development server
  sealward-server init /etc/sealward --admin cn:ada       prepare a production server
  sealward-server check-config --config /etc/sealward/sealward.toml
  sealward-server serve --config /etc/sealward/sealward.toml
  sealward-server backup --config /etc/sealward/sealward.toml /srv/backup/2026-11-29
  sealward-server restore --config /etc/sealward/sealward.toml /srv/backup/2026-11-29
  sealward-server descriptors --output sealward.protoset

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
    /// Run a development server, without any preparation.
    Dev(DevArguments),
    /// Create a configuration, a root key and a data folder for a production server.
    Init(InitArguments),
    /// Check a configuration, its files and its databases.
    CheckConfig(CheckConfigArguments),
    /// Run a server.
    Serve(ServeArguments),
    /// Back up the databases of a running or stopped server, or check a backup.
    Backup(BackupArguments),
    /// Restore a backup into a data folder without databases, while the server is stopped.
    Restore(RestoreArguments),
    /// Print the descriptors of the contract, for tools that can't use server reflection.
    Descriptors(DescriptorsArguments),
    /// Print documentation that is generated from the code.
    #[command(subcommand, hide = true)]
    Reference(Reference),
}

/// Runs the command of the command line.
pub(crate) fn run() -> ExitCode {
    let matches = without_empty_variables(Arguments::command()).try_get_matches();
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return help_or_error(&error),
    };
    if let Err(error) = protect_memory() {
        failure::report(&error);
        return ExitCode::FAILURE;
    }
    let ended = Runtime::new().map_err(Failure::from).and_then(|runtime| {
        let ended = runtime.block_on(async {
            match arguments.command {
                Command::Dev(arguments) => Box::pin(dev::run(&arguments)).await?,
                Command::Init(arguments) => init::run(arguments)?,
                Command::CheckConfig(arguments) => return check_config::run(arguments).await,
                Command::Serve(arguments) => Box::pin(serve::run(&arguments)).await?,
                Command::Backup(arguments) => return backup::run(arguments).await,
                Command::Restore(arguments) => return restore::run(arguments).await,
                Command::Descriptors(arguments) => descriptors::run(arguments)?,
                Command::Reference(which) => reference::run(&which, Arguments::command())?,
            }
            Ok(ExitCode::SUCCESS)
        });
        // Doesn't wait for tasks that the drain didn't wait for.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(code) => code,
        Err(failure) => {
            failure::report(failure.as_ref());
            ExitCode::FAILURE
        }
    }
}

/// Prints help to stdout, or the error of clap to stderr.
fn help_or_error(error: &clap::Error) -> ExitCode {
    const USAGE: u8 = 2;
    let printed = error.print().and_then(|()| io::stdout().flush());
    match printed {
        // An error that can't be written to stderr can't be reported.
        _ if error.use_stderr() => USAGE.into(),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::report(&print::OutputError::from(error));
            ExitCode::FAILURE
        }
    }
}

/// Protects the keys in memory: disables core dumps, and access by other processes of this user. Root keeps access.
fn protect_memory() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_has_a_description_and_an_example() {
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
    fn systemd_unit_uses_existing_commands_and_the_credentials_of_init() {
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
