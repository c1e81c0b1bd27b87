//! The error of a command, and its output.

use std::error::Error;

use sealward_server::error_chain;

use super::print::{self, OutputError};

/// The error of a command. Its sources are the causes.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// Prints an error and its causes, one per line. A reader of stdout that has exited isn't reported.
pub(super) fn report(failure: &(dyn Error + 'static)) {
    if failure.downcast_ref::<OutputError>().is_some_and(OutputError::is_quiet) {
        return;
    }
    let text = error_chain::parts(failure).join("\n  because: ");
    print::to_stderr(format!("error: {text}\n"));
}
