//! Why a run failed: its message on stderr, and its exit code. What to do about a failed call is in [`advice`].

mod advice;

use std::{error::Error as _, io, process::ExitCode};

use sealward_client::{Action, CallError, Error, ErrorReason, FieldViolation};

use crate::{connection::hints::Hints, output::stderr};
pub(crate) use advice::tls_advice;
use advice::{call_advice, setup_advice};

/// Why a run failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// clap refused the command line; or printed help, which is a success.
    CommandLine(clap::Error),
    /// An option, a setting or a file is wrong.
    Usage(String),
    /// The connection to the server at `endpoint` failed.
    Connecting { endpoint: String, error: Error },
    /// The call failed.
    Call(Error),
    /// The call failed, and the command has more specific advice than the error.
    Advised { error: Error, advice: String },
    /// The call succeeded, but its result isn't the expected one.
    Failed(String),
    /// The answer can't be written to stdout. `completed`: what the command changed, and how to get the answer.
    Output { error: io::Error, completed: Option<String> },
    /// The user declined.
    Declined,
    /// The user stopped following with Ctrl-C. The message is already printed.
    Interrupted,
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub(crate) fn connecting(endpoint: &str, error: Error) -> Self {
        Self::Connecting { endpoint: endpoint.to_owned(), error }
    }

    /// The answer of a command that changed nothing can't be written.
    pub(crate) fn output(error: io::Error) -> Self {
        Self::Output { error, completed: None }
    }

    /// Adds what the command changed, if the answer can't be written. Other failures are unchanged.
    pub(crate) fn completed(mut self, what: impl Into<String>) -> Self {
        if let Self::Output { completed, .. } = &mut self {
            *completed = Some(what.into());
        }
        self
    }

    /// Replaces the advice about a failed call.
    pub(crate) fn with_advice(self, advice: impl Into<String>) -> Self {
        if let Self::Call(error) | Self::Advised { error, .. } = self {
            return Self::Advised { error, advice: advice.into() };
        }
        self
    }

    /// Replaces the advice about a call that failed with this reason.
    pub(crate) fn with_advice_for(self, reason: ErrorReason, advice: &str) -> Self {
        if matches!(&self, Self::Call(error) if error.reason() == reason) { self.with_advice(advice) } else { self }
    }

    /// The message of a failed connection or call, with the advice on further lines; empty for other failures.
    pub(crate) fn text(&self, hints: &Hints) -> String {
        match self {
            Self::Connecting { endpoint, error } => describe(error, Some(endpoint), None, hints),
            Self::Call(error) => describe(error, None, None, hints),
            Self::Advised { error, advice } => describe(error, None, Some(advice), hints),
            Self::Usage(text) | Self::Failed(text) => text.clone(),
            Self::CommandLine(_) | Self::Output { .. } | Self::Declined | Self::Interrupted => String::new(),
        }
    }

    /// Prints the failure to stderr, and returns the exit code.
    pub(crate) fn report(&self, hints: &Hints) -> ExitCode {
        match self {
            Self::CommandLine(error) => return report_command_line(error),
            Self::Usage(_) | Self::Failed(_) | Self::Connecting { .. } | Self::Call(_) | Self::Advised { .. } => {
                stderr::error(&self.text(hints));
            }
            // The reader exited, as `head` does. The exit code reports the incomplete output.
            Self::Output { error, completed: None } if error.kind() == io::ErrorKind::BrokenPipe => {}
            Self::Output { error, completed } => {
                let advice =
                    completed.as_deref().unwrap_or("nothing was changed: redirect stdout and run the command again");
                stderr::error(&format!("the response can't be written to stdout: {error}\n  {advice}"));
            }
            Self::Declined => stderr::error("cancelled; nothing was done"),
            Self::Interrupted => {}
        }
        match self {
            Self::CommandLine(_) | Self::Usage(_) => USAGE.into(),
            Self::Call(Error::Setup(_))
            | Self::Advised { error: Error::Setup(_), .. }
            | Self::Connecting { error: Error::Setup(_), .. } => USAGE.into(),
            Self::Connecting { .. }
            | Self::Call(_)
            | Self::Advised { .. }
            | Self::Failed(_)
            | Self::Output { .. }
            | Self::Declined => ExitCode::FAILURE,
            Self::Interrupted => INTERRUPTED.into(),
        }
    }
}

/// Prints help to stdout, or the error of clap to stderr.
fn report_command_line(error: &clap::Error) -> ExitCode {
    let printed = error.print().and_then(|()| io::Write::flush(&mut io::stdout()));
    match printed {
        // A write error on stderr can't be reported.
        _ if error.use_stderr() => USAGE.into(),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::output(error).report(&Hints::default()),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::CommandLine(error)
    }
}

/// Whether an earlier attempt of the call may have taken effect, although the last attempt changed nothing.
fn is_in_doubt(error: &CallError) -> bool {
    error.action() == Action::CheckOutcome && error.is_in_doubt()
}

/// The message of a failed call, with the advice on further lines.
pub(crate) fn explain(error: &Error, hints: &Hints) -> String {
    describe(error, None, None, hints)
}

/// The message: what happened, the violations, the advice and the call's id, each on its own line.
fn describe(error: &Error, endpoint: Option<&str>, advised: Option<&str>, hints: &Hints) -> String {
    let what = with_causes(error);
    let mut lines = match error.call().filter(|call| is_in_doubt(call)) {
        // A statement about all attempts, instead of the server's message about the last one.
        Some(call) => vec![format!(
            "outcome unknown: the call may have taken effect; an attempt was interrupted, and the last one failed ({})",
            name(call)
        )],
        None => vec![what.clone()],
    };
    // The server's message has the first violation, which isn't printed twice.
    let others = error
        .field_violations()
        .iter()
        .filter(|violation| !what.contains(&format!("{}: {}", violation.field, violation.description)));
    lines.extend(others.map(violation_line));
    match error {
        Error::Setup(setup) => lines.extend(setup_advice(setup).map(|advice| format!("  {advice}"))),
        Error::Call(call) => {
            lines.extend(endpoint.map(|endpoint| format!("  endpoint: {endpoint}")));
            let advice = advised.map_or_else(|| call_advice(call, &what, hints), str::to_owned);
            lines.extend(advice.lines().map(|line| format!("  {line}")));
            lines.extend(call.call_id().map(|id| format!("  call id: {id}")));
        }
        // The enum is non-exhaustive.
        Error::Schema(_) | _ => {}
    }
    lines.join("\n")
}

/// The reason of the last attempt, or its message if it has no reason.
fn name(error: &CallError) -> String {
    error.reason_name().map_or_else(|| error.to_string(), str::to_owned)
}

/// A violation with its machine-readable reason, which can be searched for.
fn violation_line(violation: &FieldViolation) -> String {
    let field = if violation.field.is_empty() { String::new() } else { format!("{}: ", violation.field) };
    let reason = if violation.reason.is_empty() { String::new() } else { format!(" ({})", violation.reason) };
    format!("  {field}{}{reason}", violation.description)
}

/// The error and its sources, without repetitions.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if next != last && next != "transport error" {
            text = format!("{text}: {next}");
        }
        last = next;
        cause = error.source();
    }
    text
}

/// The exit code of a wrong command line, as clap has it.
const USAGE: u8 = 2;

/// The exit code of a program that SIGINT ended, as shells have it.
const INTERRUPTED: u8 = 130;

#[cfg(test)]
mod tests {
    use sealward_client::Client;

    use super::*;

    fn connecting(setup: sealward_client::ClientBuilder, endpoint: &str) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(setup.connect()).unwrap_err();
        describe(&error, Some(endpoint), None, &Hints::default()).lines().map(str::to_owned).collect()
    }

    #[test]
    fn error_is_printed_once_with_its_causes() {
        let endpoint = "https://127.0.0.1";
        let lines = connecting(Client::builder(endpoint).ca_file("/nowhere/ca.pem"), endpoint);
        assert_eq!(lines[0], "can't read the CA file /nowhere/ca.pem: No such file or directory (os error 2)");
        assert!(lines[1].contains("--ca"), "{lines:?}");
    }

    #[test]
    fn unreachable_server_is_explained() {
        let endpoint = "http://127.0.0.1:1";
        let lines = connecting(Client::builder(endpoint).plaintext(), endpoint);
        assert!(lines[0].starts_with("can't connect to the server: "), "{lines:?}");
        assert!(lines[0].contains("refused"), "{lines:?}");
        assert_eq!(lines[1], "  endpoint: http://127.0.0.1:1");
        assert!(lines[2].contains("--endpoint"), "{lines:?}");
    }
}
