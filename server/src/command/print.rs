//! The output of commands. A result that can't be written is an error. The greeting of a server waits for its reader only for some time.

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
        // A server also serves without a reader of its greeting.
        within(PRINT_MAX, move || drop(to_stdout(text)));
    }
}

/// The result of a command can't be written to stdout.
#[derive(Debug, thiserror::Error)]
#[error("the result can't be written to stdout{}", .completed.as_ref().map(|completed| format!("; {completed}")).unwrap_or_default())]
pub(super) struct OutputError {
    /// What the command has done nevertheless.
    completed: Option<String>,
    source: io::Error,
}

impl OutputError {
    /// Adds what the command has done.
    pub(super) fn completed(self, what: impl Into<String>) -> Self {
        Self { completed: Some(what.into()), ..self }
    }

    /// Whether the reader has exited, as `head` does, and the command did nothing but print. Then only the exit code reports it, as for the
    /// command line `sealward`.
    pub(super) fn is_quiet(&self) -> bool {
        self.completed.is_none() && self.source.kind() == io::ErrorKind::BrokenPipe
    }
}

impl From<io::Error> for OutputError {
    fn from(source: io::Error) -> Self {
        Self { completed: None, source }
    }
}

/// Prints the result of a command to stdout.
///
/// # Errors
/// If not all of it was written.
pub(super) fn to_stdout(result: impl AsRef<[u8]>) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    Ok(stdout.write_all(result.as_ref()).and_then(|()| stdout.flush())?)
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
