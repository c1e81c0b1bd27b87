//! The tree of commands, and what ends a run: an answer on stdout, words for people on stderr, an exit code.
//!
//! The commands of entities are made from the descriptors, so there is no code for any single one. No command takes a secret from
//! an argument.

mod access;
mod audit;
mod demo;
mod entity;
mod key;
mod man;
mod metadata;
mod organization;
mod profile;
mod reference;
mod reveal;
mod secret_access;
mod whoami;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _, Subcommand};
use clap_complete::Shell;
use sealward_client::{EntityType, built_in_pool};

use crate::{
    color,
    connection::{Connection, ConnectionOptions},
    environment,
    failure::Failure,
    hints::Hints,
    output::{self, Output, OutputOptions},
    secret_input::Terminal,
    spelling,
};

use access::AccessCommand;
use audit::AuditCommand;
use demo::DemoArguments;
use key::KeyCommand;
use metadata::MetadataCommand;
use organization::OrganizationCommand;
use profile::ProfileCommand;
use secret_access::{CompareArguments, ResolveArguments};

/// Runs one command line to its exit code: 0 done, 1 the call failed, 2 the command was wrong, 130 a person left.
pub(crate) async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let color = color::choose(&arguments);
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

/// The commands that are no entity's.
#[derive(Subcommand)]
enum OtherCommand {
    /// Tell how to sign in for a mailbox, by its own settings and those of its profile.
    #[command(after_help = secret_access::RESOLVE_EXAMPLES)]
    Resolve(ResolveArguments),
    /// Tell whether an encrypted attribute has a value, without showing the one that it has.
    #[command(after_help = secret_access::COMPARE_EXAMPLES)]
    Compare(CompareArguments),
    /// An organization's encryption key.
    #[command(subcommand, arg_required_else_help = true)]
    Key(KeyCommand),
    /// The organizations of a deployment.
    #[command(subcommand, arg_required_else_help = true)]
    Org(OrganizationCommand),
    /// Show whom the server takes you for, what proved it, and your roles and privileges.
    #[command(after_help = whoami::EXAMPLES)]
    Whoami,
    /// Who may do what, and why.
    #[command(subcommand, arg_required_else_help = true)]
    Access(AccessCommand),
    /// The audit trails: who did or tried what.
    #[command(subcommand, arg_required_else_help = true)]
    Audit(AuditCommand),
    /// Entities and attributes as an organization has them, and the changes of audited ones.
    #[command(subcommand, arg_required_else_help = true)]
    Metadata(MetadataCommand),
    /// Connection settings with a name, kept in a file.
    #[command(subcommand, arg_required_else_help = true)]
    Profile(ProfileCommand),
    /// Fill an organization with invented records to try things out with.
    #[command(after_help = demo::EXAMPLES)]
    Demo(DemoArguments),
    /// Print a script that makes a shell complete commands and options.
    #[command(after_help = "\
Examples:
  sealward completions bash >~/.local/share/bash-completion/completions/sealward
  sealward completions zsh >~/.zfunc/_sealward
  sealward completions fish >~/.config/fish/completions/sealward.fish")]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands.
    #[command(after_help = "\
Examples:
  sealward man | man -l -
  sealward man --dir ~/.local/share/man/man1")]
    Man {
        /// Write a page for each command into this folder.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Show the version of this client.
    #[command(after_help = "Example:\n  sealward version")]
    Version,
    /// Print the reference of all commands, in Markdown.
    #[command(hide = true, after_help = "Example:\n  sealward reference >docs/reference/cli.md")]
    Reference,
}

async fn execute(entities: &[EntityType], matches: &ArgMatches, hints: &mut Hints) -> Result<(), Failure> {
    let entity = |name: &str| entities.iter().find(|entity| spelling::command_name(entity) == name);
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
            organization::run(command, &connection, &output).await
        }
        OtherCommand::Whoami => {
            let (connection, output) = connection(matches, hints)?;
            whoami::run(&connection, &output).await
        }
        OtherCommand::Access(command) => {
            let (connection, output) = connection(matches, hints)?;
            access::run(command, &connection, &output).await
        }
        OtherCommand::Audit(command) => {
            if let Some(ended) = audit::run_here(&command, &output_only(matches)?) {
                return ended;
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
        OtherCommand::Completions { shell } => output::print_bytes(&completions(entities, shell)),
        OtherCommand::Man { dir } => man::run(command(entities), dir.as_deref()),
        OtherCommand::Version => output::print_bytes(command(entities).render_version().as_bytes()),
        OtherCommand::Reference => output::print_bytes(reference::markdown(command(entities)).as_bytes()),
    }
}

/// How to reach the server and how to show what it answers, from the options, the environment and the profile.
///
/// `hints` gets the organization, for whatever is advised if the command fails.
fn connection(matches: &ArgMatches, hints: &mut Hints) -> Result<(Connection, Output), Failure> {
    let options = ConnectionOptions::from_arg_matches(matches)?;
    let asked = OutputOptions::from_arg_matches(matches)?.output;
    let profile = options.profile()?;
    let output = Output::new(asked.or(profile.as_ref().and_then(|profile| profile.output)));
    let connection = Connection::new(options, matches, profile)?;
    hints.clone_from(connection.hints());
    Ok((connection, output))
}

/// How to show what needs no server.
fn output_only(matches: &ArgMatches) -> Result<Output, Failure> {
    Ok(Output::new(OutputOptions::from_arg_matches(matches)?.output))
}

fn completions(entities: &[EntityType], shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(entities), NAME, &mut script);
    script
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
    // The options bring the words above them along.
    OutputOptions::augment_args(ConnectionOptions::augment_args(command))
        .about("Keeps records with encrypted attributes in a Sealward server")
        .long_about(None)
}

/// A command that has others under it and does nothing by itself.
fn group(command: Command) -> Command {
    command.subcommand_required(true).arg_required_else_help(true)
}

const NAME: &str = "sealward";
const REVEAL: &str = "reveal";

const EXAMPLES: &str = "\
Examples, with the certificates that `sealward-server dev` has written:
  export SEALWARD_DEV=./sealward-dev
  sealward --as writer mailbox create --set display_name=Sales --secret password
  sealward --as reader mailbox list
  sealward --as connector mailbox reveal ID --attribute password --purpose 'incoming mail'
  sealward --as admin key change

Elsewhere: --endpoint, --ca, --cert and --key, or their variables, or a profile that keeps them:
  sealward profile set production --endpoint https://… --ca ca.pem --cert me.pem --key me.key --use

What stands on the command line goes before the environment, and that before the profile.
Answers are on stdout, as tables on a terminal and as JSON elsewhere; words are on stderr.
Exit codes: 0 done, 1 it failed, you said no or the answer can't be written, 2 the command was wrong, 130 Ctrl-C.";

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

    /// The words of a shell's line up to where another command or a file comes; `'` is the only quote.
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
    fn the_tree_is_sound_and_every_entity_has_its_commands() {
        let command = command(&entities());
        command.clone().debug_assert();
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        assert_eq!(names[..5], ["email-server-profile", "mailbox", "queue", "user-settings", "reveal"]);
        assert_eq!(
            names[5..14],
            ["resolve", "compare", "key", "org", "whoami", "access", "audit", "metadata", "profile"]
        );
        for name in ["mailbox", "user-settings"] {
            let names: Vec<&str> =
                command.find_subcommand(name).unwrap().get_subcommands().map(Command::get_name).collect();
            assert_eq!(names, ["create", "get", "list", "update", "delete", "reveal"]);
        }
    }

    #[test]
    fn every_command_has_help_for_people() {
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
    fn every_shell_gets_its_completions() {
        use clap::ValueEnum as _;
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(&entities(), *shell)).unwrap();
            assert!(script.contains("email-server-profile") && script.contains("purpose"), "{shell}");
        }
    }

    #[test]
    fn the_connection_is_told_before_or_after_the_command() {
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
    fn a_reveal_needs_an_encrypted_attribute_and_a_purpose() {
        assert!(parse("sealward mailbox reveal ID --attribute password").is_err());
        assert!(parse("sealward mailbox reveal ID --attribute display_name --purpose p").is_err());
        assert!(parse("sealward mailbox reveal ID --attribute password --purpose p").is_ok());
        assert!(parse("sealward reveal organizations/o/mailboxes/ID --attribute password --purpose p --raw").is_ok());
    }
}
