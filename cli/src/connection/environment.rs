//! Environment variables. A variable that is set to an empty value counts as unset, for every option.

use std::env;

use clap::{Arg, Command};

/// Removes empty variables from the options of a command and of its subcommands.
pub(crate) fn without_empty_variables(command: Command) -> Command {
    command
        .mut_args(
            |argument| if reads_empty_variable(&argument) { argument.env(None::<&'static str>) } else { argument },
        )
        .mut_subcommands(without_empty_variables)
}

fn reads_empty_variable(argument: &Arg) -> bool {
    argument.get_env().and_then(env::var_os).is_some_and(|value| value.is_empty())
}

/// The value of a variable, unless it is unset or empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
