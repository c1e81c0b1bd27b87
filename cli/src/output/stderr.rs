//! Messages for the user, on stderr. All text is escaped.

use std::io::Write as _;

use crate::output::{
    color::{ERROR, WARNING},
    escape,
};

/// Prints a message.
pub(crate) fn notice(text: &str) {
    print_to_stderr(format_args!("{}\n", escape::text(text)));
}

/// Prints a warning.
pub(crate) fn warning(text: &str) {
    print_to_stderr(format_args!("{WARNING}warning:{WARNING:#} {}\n", escape::text(text)));
}

/// Prints an error, with the program's name as prefix.
pub(crate) fn error(text: &str) {
    print_to_stderr(format_args!("{ERROR}sealward:{ERROR:#} {}\n", escape::text(text)));
}

/// Prints a question, without a line break.
pub(crate) fn question(text: &str) {
    print_to_stderr(format_args!("{}", escape::text(text)));
}

/// Ignores write errors: there is no other place to report them, and the exit code doesn't depend on them.
fn print_to_stderr(text: std::fmt::Arguments<'_>) {
    let mut stderr = anstream::stderr().lock();
    let _unreported = stderr.write_fmt(text).and_then(|()| stderr.flush());
}
