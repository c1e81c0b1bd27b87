//! What a command prints, and how long it waits for the reader of it.

use std::{
    io::{self, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long the server waits for a reader of its output.
const PRINT_MAX: Duration = Duration::from_secs(1);

/// Prints the greeting of a server: to stderr if stdout has audit records and nothing else. A server doesn't wait long for a reader.
pub(super) fn greet(is_audit_on_stdout: bool, text: &str) {
    let text = text.to_owned();
    if is_audit_on_stdout {
        to_stderr(text);
    } else {
        within(PRINT_MAX, move || to_stdout(&text));
    }
}

/// Prints to stdout. A reader that has gone is no reason to end.
pub(super) fn to_stdout(text: &str) {
    let mut stdout = io::stdout().lock();
    let _nobody_listens = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints to stderr, without waiting long for its reader.
pub(super) fn to_stderr(text: String) {
    within(PRINT_MAX, move || {
        let _nobody_listens = io::stderr().write_all(text.as_bytes());
    });
}

/// Does work that may block, in a separate thread, and waits for it no longer than this. The work continues after that.
pub(super) fn within(bound: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let worker = move || {
        work();
        let _nobody_waits = done.send(());
    };
    if thread::Builder::new().spawn(worker).is_ok() {
        let _done_or_not = ended.recv_timeout(bound);
    }
}
