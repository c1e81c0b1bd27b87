//! The tree of commands, and their dispatch. Answers go to stdout, messages to stderr; the exit code follows from the [`Failure`].
//!
//! The commands of entities are generated from the descriptors, so no entity has code of its own. No command takes a secret as an
//! argument.

mod access;
mod audit;
mod demo;
mod doctor;
mod entity;
mod key;
mod man;
mod metadata;
mod organization;
mod profile;
mod reference;
mod reveal;
mod secret_access;
mod server;
mod whoami;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _, Subcommand};
use clap_complete::Shell;
use sealward_client::{EntityType, built_in_pool};

use crate::{
    connection::{Connection, ConnectionOptions, environment, hints::Hints},
    failure::Failure,
    input::secret::Terminal,
    naming,
    output::{Output, OutputOptions, color, stdout},
};

use access::AccessCommand;
use audit::AuditCommand;
use demo::DemoArguments;
use key::KeyCommand;
use metadata::MetadataCommand;
use organization::OrganizationCommand;
use profile::ProfileCommand;
use secret_access::{CompareArguments, ResolveArguments};
use server::ServerCommand;

/// Runs one command line and returns its exit code: 0 for success, 1 for a failure, 2 for a wrong command line, 130 after Ctrl-C.
pub(crate) async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let color = color::apply(&arguments);
    let mut hints = Hints::default();
    let outcome = async {
        let entities = EntityType::all(&built_in_pool()).map_err(sealward_client::Error::from)?;
        let command = environment::without_empty_variables(command(&entities).color(color));
        let matches = command.try_get_matches_from(arguments)?;
        execute(&entities, &matches, &mut hints).await
    };
    let outcome: Result<(), Failure> = outcome.await;
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&hints),
    }
}

/// The commands that don't belong to an entity.
#[derive(Subcommand)]
enum OtherCommand {
    /// Show how a mail connector signs in for a mailbox.
    #[command(after_help = secret_access::RESOLVE_EXAMPLES)]
    Resolve(ResolveArguments),
    /// Compare a value with an encrypted attribute, without revealing the attribute.
    #[command(after_help = secret_access::COMPARE_EXAMPLES)]
    Compare(CompareArguments),
    /// Manage an organization's encryption key.
    #[command(subcommand, arg_required_else_help = true)]
    Key(KeyCommand),
    /// Manage the organizations of a deployment.
    #[command(subcommand, arg_required_else_help = true)]
    Org(OrganizationCommand),
    /// Show your identity as the server sees it, and your roles and privileges.
    #[command(after_help = whoami::EXAMPLES)]
    Whoami,
    /// Check certificate, address, TLS, identity, clock, versions and permissions.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor,
    /// List bindings, and explain access decisions.
    #[command(subcommand, arg_required_else_help = true)]
    Access(AccessCommand),
    /// Show the version and the state of the server.
    #[command(subcommand, arg_required_else_help = true)]
    Server(ServerCommand),
    /// List, export and verify audit trails.
    #[command(subcommand, arg_required_else_help = true)]
    Audit(AuditCommand),
    /// Show and customize entities and attributes, and list audited changes.
    #[command(subcommand, arg_required_else_help = true)]
    Metadata(MetadataCommand),
    /// Manage profiles: named connection settings in a file.
    #[command(subcommand, arg_required_else_help = true)]
    Profile(ProfileCommand),
    /// Fill an organization with sample records.
    #[command(after_help = demo::EXAMPLES)]
    Demo(DemoArguments),
    /// Print the completion script for a shell.
    #[command(after_help = "\
Examples:
  sealward completions bash >~/.local/share/bash-completion/completions/sealward
  sealward completions zsh >~/.zfunc/_sealward
  sealward completions fish >~/.config/fish/completions/sealward.fish")]
    Completions {
        /// Shell to generate the script for.
        shell: Shell,
    },
    /// Print the manual page, or write the pages of all commands.
    #[command(after_help = "\
Examples:
  sealward man | man -l -
  sealward man --dir ~/.local/share/man/man1")]
    Man {
        /// Directory to write a page for each command to.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Print the version of this client.
    #[command(after_help = "Example:\n  sealward version")]
    Version,
    /// Print the reference of all commands in Markdown.
    #[command(hide = true, after_help = "Example:\n  sealward reference >docs/reference/cli.md")]
    Reference,
}

async fn execute(entities: &[EntityType], matches: &ArgMatches, hints: &mut Hints) -> Result<(), Failure> {
    let entity = |name: &str| entities.iter().find(|entity| naming::command_name(entity) == name);
    match matches.subcommand() {
        Some((REVEAL, inner)) => {
            let (connection, output) = connection(matches, hints)?;
            reveal::run(None, inner, &connection, &output).await
        }
        Some((name, inner)) if let Some(entity) = entity(name) => {
            let (connection, output) = connection(matches, hints)?;
            entity::run(entity, inner, &connection, &output, &mut Terminal::default()).await
        }
        Some(_) | None => execute_other(OtherCommand::from_arg_matches(matches)?, entities, matches, hints).await,
    }
}

async fn execute_other(
    other: OtherCommand,
    entities: &[EntityType],
    matches: &ArgMatches,
    hints: &mut Hints,
) -> Result<(), Failure> {
    match other {
        OtherCommand::Resolve(arguments) => {
            let (connection, output) = connection(matches, hints)?;
            secret_access::resolve(arguments, &connection, &output).await
        }
        OtherCommand::Compare(arguments) => {
            let (connection, output) = connection(matches, hints)?;
            secret_access::compare(arguments, &connection, &output, &mut Terminal::default()).await
        }
        OtherCommand::Key(command) => {
            let (connection, output) = connection(matches, hints)?;
            key::run(command, &connection, &output, &mut Terminal::default()).await
        }
        OtherCommand::Org(command) => {
            let (connection, output) = connection(matches, hints)?;
            organization::run(command, &connection, &output, &mut Terminal::default()).await
        }
        OtherCommand::Whoami => {
            let (connection, output) = connection(matches, hints)?;
            whoami::run(&connection, &output).await
        }
        OtherCommand::Doctor => {
            let (connection, output) = connection(matches, hints)?;
            doctor::run(&connection, &output).await
        }
        OtherCommand::Access(command) => {
            let (connection, output) = connection(matches, hints)?;
            access::run(command, &connection, &output).await
        }
        OtherCommand::Server(command) => {
            let (connection, output) = connection(matches, hints)?;
            server::run(&command, &connection, &output).await
        }
        OtherCommand::Audit(command) => {
            if let Some(result) = audit::run_offline(&command, &output_only(matches)?) {
                return result;
            }
            let (connection, output) = connection(matches, hints)?;
            audit::run(command, &connection, &output).await
        }
        OtherCommand::Metadata(command) => {
            let (connection, output) = connection(matches, hints)?;
            metadata::run(command, &connection, &output).await
        }
        OtherCommand::Profile(command) => profile::run(command, matches),
        OtherCommand::Demo(arguments) => {
            let (connection, output) = connection(matches, hints)?;
            demo::run(&arguments, &connection, &output).await
        }
        OtherCommand::Completions { shell } => stdout::print_bytes(&completions(entities, shell)),
        OtherCommand::Man { dir } => man::run(command(entities), dir.as_deref()),
        OtherCommand::Version => stdout::print_bytes(command(entities).render_version().as_bytes()),
        OtherCommand::Reference => stdout::print_bytes(reference::markdown(command(entities)).as_bytes()),
    }
}

/// Resolves connection and output from the options, the environment and the profile.
///
/// Sets `hints` to the organization of this run, for the advice of a failure.
fn connection(matches: &ArgMatches, hints: &mut Hints) -> Result<(Connection, Output), Failure> {
    let options = ConnectionOptions::from_arg_matches(matches)?;
    let format = OutputOptions::from_arg_matches(matches)?.output;
    let profile = options.profile()?;
    let output = Output::new(format.or(profile.as_ref().and_then(|profile| profile.output)));
    let connection = Connection::new(options, matches, profile)?;
    hints.clone_from(connection.hints());
    Ok((connection, output))
}

/// The output of a command that needs no server.
fn output_only(matches: &ArgMatches) -> Result<Output, Failure> {
    Ok(Output::new(OutputOptions::from_arg_matches(matches)?.output))
}

fn completions(entities: &[EntityType], shell: Shell) -> Vec<u8> {
    sealward_manual::completions(&command(entities), shell).into_bytes()
}

fn command(entities: &[EntityType]) -> Command {
    let command = Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(EXAMPLES)
        .arg(color::argument())
        .subcommands(entities.iter().map(|entity| group(entity::command(entity))))
        .subcommand(reveal::command(Command::new(REVEAL), None));
    let command = OtherCommand::augment_subcommands(command);
    // `augment_args` sets the text of the options' structs as the command's: it is replaced here.
    OutputOptions::augment_args(ConnectionOptions::augment_args(command))
        .about("Command-line client for Sealward, a store for records with encrypted attributes")
        .long_about(None)
}

/// A command that only has subcommands.
fn group(command: Command) -> Command {
    command.subcommand_required(true).arg_required_else_help(true)
}

const NAME: &str = "sealward";
const REVEAL: &str = "reveal";

const EXAMPLES: &str = "\
Examples, with the certificates of `sealward-server dev`:
  export SEALWARD_DEV=./sealward-dev
  sealward --as writer mailbox create --set display_name=Sales --secret password
  sealward --as reader mailbox list
  sealward --as connector mailbox reveal ID --attribute password --purpose 'incoming mail'
  sealward --as admin key change

For other servers, set --endpoint, --ca, --cert and --key, or save them in a
profile:
  sealward profile set production --endpoint https://… --ca ca.pem --cert me.pem --key me.key --use

Options take precedence over environment variables, and variables over the
profile. Answers go to stdout, as tables on a terminal and as JSON otherwise;
messages go to stderr.

Exit codes:
  0    success
  1    the call failed, you declined, or the response can't be written
  2    wrong command line, or wrong settings or files
  130  interrupted with Ctrl-C";

#[cfg(test)]
mod tests {
    use super::*;

    fn entities() -> Vec<EntityType> {
        EntityType::all(&built_in_pool()).unwrap()
    }

    fn parse(line: &str) -> Result<ArgMatches, clap::Error> {
        command(&entities()).try_get_matches_from(line.split_whitespace())
    }

    /// Every command, with the path to it.
    fn walk(command: &Command, path: &str, visit: &mut impl FnMut(&str, &Command)) {
        let path = format!("{path} {}", command.get_name());
        visit(&path, command);
        command.get_subcommands().for_each(|inner| walk(inner, &path, visit));
    }

    /// The words of a shell line up to a redirection, a pipe or the next command. `'` is the only quote.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 1 {
                words.push(part.to_owned());
                continue;
            }
            let end = part.find([';', '>', '|']).unwrap_or(part.len());
            words.extend(part[..end].split_whitespace().map(str::to_owned));
            if end < part.len() {
                break;
            }
        }
        words
    }

    #[test]
    fn every_entity_has_its_commands() {
        let command = command(&entities());
        command.clone().debug_assert();
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        assert_eq!(names[..5], ["email-server-profile", "mailbox", "queue", "user-settings", "reveal"]);
        assert_eq!(
            names[5..16],
            [
                "resolve", "compare", "key", "org", "whoami", "doctor", "access", "server", "audit", "metadata",
                "profile"
            ]
        );
        for name in ["mailbox", "user-settings"] {
            let names: Vec<&str> =
                command.find_subcommand(name).unwrap().get_subcommands().map(Command::get_name).collect();
            assert_eq!(names, ["create", "get", "list", "update", "delete", "reveal", "import"]);
        }
    }

    #[test]
    fn every_command_has_a_description() {
        walk(&command(&entities()), "", &mut |path, command| {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.contains("every command that"), "{path}: {about}");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {}", argument.get_id());
            }
        });
    }

    #[test]
    fn every_command_shows_an_example_that_parses() {
        let tree = command(&entities());
        walk(&tree, "", &mut |path, command| {
            if command.has_subcommands() {
                return;
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{path}");
            for line in help.lines().filter_map(|line| line.strip_prefix("  sealward ")) {
                let parsed = tree.clone().try_get_matches_from(words(&format!("sealward {line}")));
                assert!(parsed.is_ok(), "{path}: {line}: {}", parsed.unwrap_err());
            }
        });
    }

    #[test]
    fn every_shell_has_completions() {
        use clap::ValueEnum as _;
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(&entities(), *shell)).unwrap();
            assert!(script.contains("email-server-profile") && script.contains("purpose"), "{shell}");
        }
    }

    #[test]
    fn connection_options_are_accepted_before_and_after_the_command() {
        for line in ["sealward --ca c -o contoso mailbox list", "sealward mailbox list -o contoso --ca c"] {
            let matches = parse(line).unwrap();
            let options = ConnectionOptions::from_arg_matches(&matches).unwrap();
            let connection = Connection::new(options, &matches, None).ok().unwrap();
            assert_eq!(connection.organization(), "organizations/contoso");
        }
    }

    #[test]
    fn a_key_is_never_an_argument() {
        walk(&command(&entities()).find_subcommand("key").unwrap().clone(), "", &mut |path, command| {
            assert_eq!(command.get_positionals().count(), 0, "{path}");
        });
        for line in ["sealward key change abcdefgh1!", "sealward key change --key-text abcdefgh1!"] {
            assert!(parse(line).is_err());
        }
        assert!(parse("sealward key change --file key.txt --stdin").is_err());
    }

    #[test]
    fn reveal_requires_an_encrypted_attribute_and_a_purpose() {
        assert!(parse("sealward mailbox reveal ID --attribute password").is_err());
        assert!(parse("sealward mailbox reveal ID --attribute display_name --purpose p").is_err());
        assert!(parse("sealward mailbox reveal ID --attribute password --purpose p").is_ok());
        assert!(parse("sealward reveal organizations/o/mailboxes/ID --attribute password --purpose p --raw").is_ok());
    }
}
