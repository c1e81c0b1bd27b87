//! Messages to the person at the terminal, on stderr.

use std::io::Write as _;

use crate::{
    color::{ERROR, WARNING},
    harmless,
};

/// Prints a message to the person, on stderr.
pub(crate) fn notice(text: &str) {
    print_to_stderr(format_args!("{}\n", harmless::text(text)));
}

/// Prints what the person should think about, on stderr.
pub(crate) fn warning(text: &str) {
    print_to_stderr(format_args!("{WARNING}Careful:{WARNING:#} {}\n", harmless::text(text)));
}

/// Prints what went wrong, on stderr.
pub(crate) fn error(text: &str) {
    print_to_stderr(format_args!("{ERROR}sealward:{ERROR:#} {}\n", harmless::text(text)));
}

/// Asks, on stderr; the answer is awaited on the same line.
pub(crate) fn question(text: &str) {
    print_to_stderr(format_args!("{}", harmless::text(text)));
}

/// Where not even stderr can be written, there is nowhere left to report it, and the exit code says the rest.
fn print_to_stderr(text: std::fmt::Arguments<'_>) {
    let mut stderr = anstream::stderr().lock();
    let _unreported = stderr.write_fmt(text).and_then(|()| stderr.flush());
}
