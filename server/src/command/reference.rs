//! `reference`: the documentation that is made of the code. For those who build Fieldseal, and hidden from the rest.

use clap::Subcommand;
use fieldseal_server::reference;

/// The files there are.
#[derive(Debug, Subcommand)]
pub(super) enum Reference {
    /// docs/configuration.md
    Configuration,
}

pub(super) fn run(which: &Reference) {
    super::say(&match which {
        Reference::Configuration => reference::configuration(),
    });
}
