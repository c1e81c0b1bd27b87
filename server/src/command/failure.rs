//! The error of a command, and its output.

use std::error::Error;

use super::print;

/// The error of a command. Its sources are the causes.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// Prints an error and its causes, one per line.
pub(super) fn report(failure: &(dyn Error + 'static)) {
    let mut text = format!("error: {failure}\n");
    let mut next = failure.source();
    while let Some(cause) = next {
        text.push_str(&format!("  because: {cause}\n"));
        next = cause.source();
    }
    print::to_stderr(text);
}
