//! Variables of the environment: one that is set and empty is as good as unset, for every option.

use std::env;

use clap::{Arg, Command};

/// Takes the variables that are empty away from the options that read them, in this command and all under it.
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

/// A variable that is set, and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
