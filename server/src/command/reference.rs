//! `reference`: prints the documentation that is generated from the code. The command is for developers of Sealward, and hidden.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Command, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;
use sealward_server::reference;

use super::{failure::Failure, print};

/// The files.
#[derive(Debug, Subcommand)]
pub(super) enum Reference {
    /// docs/reference/configuration.md
    Configuration,
    /// docs/reference/permissions.md
    Permissions,
    /// docs/metrics.md
    Metrics,
    /// docs/traces.md
    Traces,
    /// deploy/monitoring/sealward-dashboard.json
    Dashboard,
    /// deploy/monitoring/sealward-rules.yaml
    Rules,
    /// deploy/monitoring/sealward-rules-test.yaml
    RulesTest,
    /// Write the manual pages of all commands to a folder.
    Man { folder: PathBuf },
    /// Print a completion script.
    Completions { shell: Shell },
}

/// Prints the document. `command` is the command line that manual pages and completions describe.
pub(super) fn run(which: &Reference, mut command: Command) -> Result<(), Failure> {
    print::to_stdout(match which {
        Reference::Configuration => reference::configuration(),
        Reference::Permissions => reference::permissions()?,
        Reference::Metrics => reference::metrics(),
        Reference::Traces => reference::traces(),
        Reference::Dashboard => reference::dashboard(),
        Reference::Rules => reference::rules(),
        Reference::RulesTest => reference::rules_test(),
        Reference::Man { folder } => {
            fs::create_dir_all(folder)?;
            command = command.disable_help_subcommand(true);
            command.build();
            return Ok(pages(&command, folder)?);
        }
        Reference::Completions { shell } => {
            let mut script = Vec::new();
            let name = command.get_name().to_owned();
            clap_complete::generate(*shell, &mut command, name, &mut script);
            String::from_utf8(script)?
        }
    })?;
    Ok(())
}

/// Writes the pages of a command and of those below it. They are in section 8, for programs of administrators: in section 1,
/// `sealward-server` is the page of the command `sealward server`.
fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        pages(inner, folder)?;
    }
    Man::new(command.clone()).section("8").generate_to(folder)?;
    Ok(())
}
