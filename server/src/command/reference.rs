//! `reference`: the documentation that is made of the code. For those who build Sealward, and hidden from the rest.

use clap::Subcommand;
use sealward_server::{reference, schema::DescriptorError};

/// The files there are.
#[derive(Debug, Subcommand)]
pub(super) enum Reference {
    /// docs/reference/configuration.md
    Configuration,
    /// docs/reference/permissions.md
    Permissions,
}

pub(super) fn run(which: &Reference) -> Result<(), DescriptorError> {
    super::say(&match which {
        Reference::Configuration => reference::configuration(),
        Reference::Permissions => reference::permissions()?,
    });
    Ok(())
}
