//! Asks before what can't be undone.
//!
//! A person is asked, at a terminal; a program has to give `--yes`, or the name of what it deletes. Nothing here knows what is done afterwards.

use std::io::{self, BufRead as _, IsTerminal as _};

use clap::Args;

use crate::{failure::Failure, stderr};

/// The option of every command that asks.
#[derive(Args, Clone, Copy)]
pub(crate) struct Confirmation {
    /// Don't ask; needed where there is no terminal to ask at.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Confirmation {
    /// Goes on only if it was said beforehand, or a person says so now.
    ///
    /// # Errors
    /// If the person doesn't want it; or if there is no terminal to ask at, which is a wrong command.
    pub(crate) fn ask(self, consequence: &str) -> Result<(), Failure> {
        if !self.yes && !is_interactive() {
            return Err(Failure::usage(format!("{consequence}\nThere is no terminal to ask at: add --yes to go on")));
        }
        self.ask_if_possible(consequence)
    }

    /// As [`ask`](Self::ask), and goes on without a terminal: for what a program does on purpose, and loses nothing by.
    pub(crate) fn ask_if_possible(self, consequence: &str) -> Result<(), Failure> {
        if self.yes || !is_interactive() {
            return Ok(());
        }
        stderr::notice(consequence);
        stderr::question("Go on? [y/N] ");
        if is_yes(&read_line()?) { Ok(()) } else { Err(Failure::Declined) }
    }
}

/// Goes on only if the name of what is to be deleted was given beforehand, or a person types it now: a yes is typed too easily.
///
/// # Errors
/// It is another name; or there is no terminal to ask at, which is a wrong command.
pub(crate) fn ask_name(consequence: &str, kind: &str, name: &str, given: Option<&str>) -> Result<(), Failure> {
    if let Some(given) = given {
        return if given == name {
            Ok(())
        } else {
            Err(Failure::usage(format!("--confirm has to be the name of the {kind}, {name}. Nothing was deleted")))
        };
    }
    if !is_interactive() {
        return Err(Failure::usage(format!("{consequence}\nThere is no terminal to ask at: add --confirm {name}")));
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
        .map_err(|error| Failure::usage(format!("the answer can't be read: {error}")))?;
    Ok(answer)
}

/// Whether a person is there to ask: everything goes to and comes from a terminal.
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
    fn only_a_yes_is_a_yes() {
        for answer in ["y\n", "Y", " yes \n", "YES\r\n"] {
            assert!(is_yes(answer), "{answer:?}");
        }
        for answer in ["", "\n", "n\n", "ye", "yess", "of course"] {
            assert!(!is_yes(answer), "{answer:?}");
        }
    }
}
