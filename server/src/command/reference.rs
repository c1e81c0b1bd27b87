//! `reference`: prints the documentation that is generated from the code. The command is for developers of Sealward, and hidden.

use std::path::PathBuf;

use clap::{Command, Subcommand};
use clap_complete::Shell;
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
pub(super) fn run(which: &Reference, command: Command) -> Result<(), Failure> {
    print::to_stdout(match which {
        Reference::Configuration => reference::configuration(),
        Reference::Permissions => reference::permissions()?,
        Reference::Metrics => reference::metrics(),
        Reference::Traces => reference::traces(),
        Reference::Dashboard => reference::dashboard(),
        Reference::Rules => reference::rules(),
        Reference::RulesTest => reference::rules_test(),
        Reference::Man { folder } => {
            return Ok(sealward_manual::write(command, SECTION, folder)?);
        }
        Reference::Completions { shell } => sealward_manual::completions(&command, *shell),
    })?;
    Ok(())
}

/// The section of programs for administrators: in section 1, `sealward-server` is the page of the command `sealward server`.
const SECTION: &str = "8";
