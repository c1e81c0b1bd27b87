//! `man`: manual pages, generated from the definitions of the commands.

use std::path::Path;

use clap::Command;

use crate::{
    failure::Failure,
    output::{stderr, stdout},
};

/// Prints the page of `sealward`, or writes the pages of all commands to a folder.
pub(super) fn run(command: Command, folder: Option<&Path>) -> Result<(), Failure> {
    let Some(folder) = folder else {
        return stdout::print_bytes(&sealward_manual::page(&command, SECTION).map_err(Failure::output)?);
    };
    sealward_manual::write(command, SECTION, folder)
        .map_err(|error| Failure::usage(format!("can't write manual pages to {}: {error}", folder.display())))?;
    stderr::notice(&format!("Wrote the manual pages to {}.", folder.display()));
    Ok(())
}

/// The section of commands for users.
const SECTION: &str = "1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_manual_page() {
        let folder = tempfile::tempdir().unwrap();
        let command = Command::new("outer").subcommand(Command::new("middle").subcommand(Command::new("inner")));
        run(command, Some(folder.path())).ok().unwrap();
        for page in ["outer.1", "outer-middle.1", "outer-middle-inner.1"] {
            assert!(folder.path().join(page).is_file(), "{page}");
        }
    }
}
