//! The tree of commands, and what ends a run: JSON on stdout, words for people on stderr, an exit code.
//!
//! The commands of entities are made from the descriptors, so there is no code for any single one. No command takes a secret from
//! an argument.

mod attribute_help;
mod connection;
mod demo;
mod entity;
mod failure;
mod key;
mod organization;
mod output;
mod record;
mod reveal;
mod secret_input;

use std::{ffi::OsString, process::ExitCode};

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _, Subcommand as _, error::ErrorKind};
use fieldseal_client::{EntityType, built_in_pool};

use connection::{Connection, ConnectionOptions};
use demo::DemoArguments;
use failure::Failure;
use key::KeyCommand;
use organization::OrganizationCommand;
use secret_input::Terminal;

/// Runs one command line to its exit code: 0 done, 1 the call failed, 2 the command was wrong.
pub(crate) async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let outcome = async {
        let entities = EntityType::all(&built_in_pool()).map_err(fieldseal_client::Error::from)?;
        let matches = command(&entities).try_get_matches_from(arguments)?;
        execute(&entities, &matches).await
    };
    match outcome.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn execute(entities: &[EntityType], matches: &ArgMatches) -> Result<(), Failure> {
    let connection = Connection::from_matches(matches)?;
    let mut secrets = Terminal::default();
    match matches.subcommand() {
        Some((KEY, matches)) => key::run(KeyCommand::from_arg_matches(matches)?, &connection, &mut secrets).await,
        Some((ORGANIZATION, matches)) => {
            organization::run(OrganizationCommand::from_arg_matches(matches)?, &connection).await
        }
        Some((REVEAL, matches)) => reveal::run(None, matches, &connection).await,
        Some((DEMO, matches)) => demo::run(&DemoArguments::from_arg_matches(matches)?, &connection).await,
        Some((name, matches)) => match entities.iter().find(|entity| entity::command_name(entity) == name) {
            Some(entity) => entity::run(entity, matches, &connection, &mut secrets).await,
            None => Err(Failure::usage(format!("there is no command {name}"))),
        },
        None => Err(clap::Error::new(ErrorKind::MissingSubcommand).into()),
    }
}

fn command(entities: &[EntityType]) -> Command {
    let command = Command::new("fieldseal")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(EXAMPLES)
        .subcommand(group(KeyCommand::augment_subcommands(Command::new(KEY))).about("An organization's encryption key"))
        .subcommand(
            group(OrganizationCommand::augment_subcommands(Command::new(ORGANIZATION)))
                .about("The organizations of a deployment"),
        )
        .subcommand(reveal::command(Command::new(REVEAL), None))
        .subcommand(demo::command(Command::new(DEMO)))
        .subcommands(entities.iter().map(|entity| group(entity::command(entity))));
    // The options bring the words above them along.
    ConnectionOptions::augment_args(command).about("Keeps records with encrypted attributes in a Fieldseal server")
}

/// A command that has others under it and does nothing by itself.
fn group(command: Command) -> Command {
    command.subcommand_required(true).arg_required_else_help(true)
}

const KEY: &str = "key";
const ORGANIZATION: &str = "org";
const REVEAL: &str = "reveal";
const DEMO: &str = "demo";

const EXAMPLES: &str = "\
Examples, with the certificates that `fieldseal-server dev` has written:
  export FIELDSEAL_DEV=./fieldseal-dev
  fieldseal --as writer mailbox create --set display_name=Sales --secret password
  fieldseal --as reader mailbox list
  fieldseal --as connector mailbox reveal ID --attribute password --purpose 'incoming mail'
  fieldseal --as admin key change --wait

Elsewhere: --endpoint, --ca, --cert and --key, or their variables; --help lists them.
Answers are JSON on stdout, words are on stderr.
Exit codes: 0 done, 1 the call failed, 2 the command was wrong.";

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

    #[test]
    fn the_tree_is_sound_and_every_entity_has_its_commands() {
        let command = command(&entities());
        command.clone().debug_assert();
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        assert_eq!(
            names,
            ["key", "org", "reveal", "demo", "email-server-profile", "mailbox", "queue", "user-settings"]
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
            assert!(command.get_about().is_some(), "{path}");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {}", argument.get_id());
            }
        });
    }

    #[test]
    fn the_connection_is_told_before_or_after_the_command() {
        for line in ["fieldseal --ca c -o contoso mailbox list", "fieldseal mailbox list -o contoso --ca c"] {
            let connection = Connection::from_matches(&parse(line).unwrap()).unwrap();
            assert_eq!(connection.organization(), "organizations/contoso");
        }
    }

    #[test]
    fn a_key_is_never_an_argument() {
        walk(&command(&entities()).find_subcommand(KEY).unwrap().clone(), "", &mut |path, command| {
            assert_eq!(command.get_positionals().count(), 0, "{path}");
        });
        for line in ["fieldseal key change abcdefgh1!", "fieldseal key change --key-text abcdefgh1!"] {
            assert!(parse(line).is_err());
        }
        assert!(parse("fieldseal key change --file key.txt --stdin").is_err());
    }

    #[test]
    fn a_reveal_needs_an_encrypted_attribute_and_a_purpose() {
        assert!(parse("fieldseal mailbox reveal ID --attribute password").is_err());
        assert!(parse("fieldseal mailbox reveal ID --attribute display_name --purpose p").is_err());
        assert!(parse("fieldseal mailbox reveal ID --attribute password --purpose p").is_ok());
        assert!(parse("fieldseal reveal organizations/o/mailboxes/ID --attribute password --purpose p --raw").is_ok());
    }
}
