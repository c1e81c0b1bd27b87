//! Confirmation of actions that can't be undone.
//!
//! On a terminal, the user is asked. Without a terminal, `--yes` or the name of the deleted thing is required on the command line.

use std::io::{self, BufRead as _, IsTerminal as _};

use clap::Args;

use crate::{failure::Failure, output::stderr};

/// The option of every command that asks for confirmation.
#[derive(Args, Clone, Copy)]
pub(crate) struct Confirmation {
    /// Don't ask for confirmation; required without a terminal.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Confirmation {
    /// Succeeds if `--yes` was passed, or if the user confirms now.
    ///
    /// # Errors
    /// The user declines; or there is no terminal and no `--yes`, which is a usage error.
    pub(crate) fn confirm(self, consequence: &str) -> Result<(), Failure> {
        if !self.yes && !is_interactive() {
            return Err(Failure::usage(format!(
                "can't ask for confirmation without a terminal: pass --yes\n{consequence}"
            )));
        }
        self.confirm_if_interactive(consequence)
    }

    /// As [`confirm`](Self::confirm), but succeeds without a terminal. For actions that lose nothing.
    pub(crate) fn confirm_if_interactive(self, consequence: &str) -> Result<(), Failure> {
        if self.yes || !is_interactive() {
            return Ok(());
        }
        stderr::notice(consequence);
        stderr::question("Continue? [y/N] ");
        if is_yes(&read_line()?) { Ok(()) } else { Err(Failure::Declined) }
    }
}

/// Succeeds if `given`, or what the user types now, is the name of the thing to delete.
///
/// # Errors
/// The name is another one; or there is no terminal and no name, which is a usage error.
pub(crate) fn confirm_by_name(consequence: &str, kind: &str, name: &str, given: Option<&str>) -> Result<(), Failure> {
    if let Some(given) = given {
        return if given == name {
            Ok(())
        } else {
            Err(Failure::usage(format!("--confirm must be the name of the {kind}, {name}. Nothing was deleted")))
        };
    }
    if !is_interactive() {
        return Err(Failure::usage(format!(
            "can't ask for confirmation without a terminal: pass --confirm {name}\n{consequence}"
        )));
    }
    stderr::notice(consequence);
    stderr::question(&format!("Type the name of the {kind} to delete it: "));
    if read_line()?.trim() == name { Ok(()) } else { Err(Failure::Declined) }
}

fn read_line() -> Result<String, Failure> {
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::usage(format!("can't read the answer: {error}")))?;
    Ok(answer)
}

/// Whether stdin, stdout and stderr are all a terminal.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal()
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_confirms() {
        for answer in ["y\n", "Y", " yes \n", "YES\r\n"] {
            assert!(is_yes(answer), "{answer:?}");
        }
        for answer in ["", "\n", "n\n", "ye", "yess", "of course"] {
            assert!(!is_yes(answer), "{answer:?}");
        }
    }
}
