//! The output of commands, with a maximum waiting time for its reader.

use std::{
    io::{self, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

/// The maximum time that the server waits for a reader of its output.
const PRINT_MAX: Duration = Duration::from_secs(1);

/// Prints the greeting of a server: to stderr if stdout is reserved for audit records. A server doesn't wait long for a reader.
pub(super) fn greet(is_audit_on_stdout: bool, text: &str) {
    let text = text.to_owned();
    if is_audit_on_stdout {
        to_stderr(text);
    } else {
        within(PRINT_MAX, move || to_stdout(&text));
    }
}

/// Prints to stdout. Ignores errors, such as a closed pipe.
pub(super) fn to_stdout(text: &str) {
    let mut stdout = io::stdout().lock();
    let _closed_or_not = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints to stderr, without waiting long for its reader.
pub(super) fn to_stderr(text: String) {
    within(PRINT_MAX, move || {
        let _closed_or_not = io::stderr().write_all(text.as_bytes());
    });
}

/// Runs blocking work in a separate thread, and waits for it for at most this time. The work continues after that.
pub(super) fn within(bound: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let worker = move || {
        work();
        let _awaited_or_not = done.send(());
    };
    if thread::Builder::new().spawn(worker).is_ok() {
        let _done_or_not = ended.recv_timeout(bound);
    }
}
