//! Asks before what can't be undone.
//!
//! A person is asked, at a terminal; a program has to have said `--yes`. Nothing here knows what is done afterwards.

use std::io::{self, BufRead as _, IsTerminal as _};

use clap::Args;

use super::{failure::Failure, output};

/// The option of every command that asks.
#[derive(Args, Clone, Copy)]
pub(super) struct Confirmation {
    /// Don't ask; needed where nobody can be asked.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Confirmation {
    /// Goes on only if it was said beforehand, or a person says so now.
    ///
    /// # Errors
    /// If the person doesn't want it; or if nobody can be asked, which is a wrong command.
    pub(super) fn ask(self, consequence: &str) -> Result<(), Failure> {
        if !self.yes && !is_interactive() {
            return Err(Failure::usage(format!("{consequence}\nNobody can be asked here: say --yes if you mean it")));
        }
        self.ask_if_possible(consequence)
    }

    /// As [`ask`](Self::ask), and goes on where nobody can be asked: for what a program does on purpose, and loses nothing by.
    pub(super) fn ask_if_possible(self, consequence: &str) -> Result<(), Failure> {
        if self.yes || !is_interactive() {
            return Ok(());
        }
        output::notice(consequence);
        output::question("Go on? [y/N] ");
        let mut answer = String::new();
        io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|error| Failure::usage(format!("the answer can't be read: {error}")))?;
        if is_yes(&answer) { Ok(()) } else { Err(Failure::Declined) }
    }
}

/// Whether a person is there to ask: everything goes to and comes from a terminal.
pub(super) fn is_interactive() -> bool {
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
