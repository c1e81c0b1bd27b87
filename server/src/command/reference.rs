//! `reference`: prints the documentation that is generated from the code. The command is for developers of Sealward, and hidden.

use clap::Subcommand;
use sealward_server::{reference, schema::DescriptorError};

use super::print;

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
}

pub(super) fn run(which: &Reference) -> Result<(), DescriptorError> {
    print::to_stdout(&match which {
        Reference::Configuration => reference::configuration(),
        Reference::Permissions => reference::permissions()?,
        Reference::Metrics => reference::metrics(),
        Reference::Traces => reference::traces(),
        Reference::Dashboard => reference::dashboard(),
        Reference::Rules => reference::rules(),
        Reference::RulesTest => reference::rules_test(),
    });
    Ok(())
}
