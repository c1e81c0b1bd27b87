//! Why a run failed, said so that a person knows what to do next.

use std::{error::Error as _, io, process::ExitCode};

use fieldseal_client::{Action, CallError, Error, ErrorReason, FieldViolation, Origin};

/// Why a run failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line is wrong in a way that clap sees; or it asked for help, which is no failure.
    CommandLine(clap::Error),
    /// The command, or a file that it names, is wrong.
    Usage(String),
    /// The call failed.
    Call(Error),
    /// The call succeeded, and what was wanted isn't in the answer.
    NoValue(String),
    /// The answer can't be written.
    Output(io::Error),
}

impl Failure {
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// Writes it to stderr and says what the run ends with.
    pub(super) fn report(&self) -> ExitCode {
        match self {
            Self::CommandLine(error) => {
                // Nothing is left to tell if even that can't be written.
                let _written = error.print();
                return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
            }
            Self::Usage(text) | Self::NoValue(text) => eprintln!("fieldseal: {text}"),
            Self::Call(error) => describe(error).iter().for_each(|line| eprintln!("{line}")),
            Self::Output(error) => eprintln!("fieldseal: the answer can't be written: {error}"),
        }
        match self {
            Self::CommandLine(_) | Self::Usage(_) | Self::Call(Error::Setup(_)) => USAGE.into(),
            Self::Call(_) | Self::NoValue(_) | Self::Output(_) => ExitCode::FAILURE,
        }
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

/// One line for what happened, one for each violation, one for what to do, one for the call's id.
fn describe(error: &Error) -> Vec<String> {
    let mut lines = vec![format!("fieldseal: {}", with_causes(error))];
    lines.extend(error.field_violations().iter().map(violation_line));
    if let Some(call) = error.call() {
        lines.push(format!("  {}", advice(call)));
        lines.extend(call.call_id().map(|id| format!("  call id: {id}")));
    }
    lines
}

/// What is wrong, with its name for programs at the end: that is what one can search for.
fn violation_line(violation: &FieldViolation) -> String {
    let field = if violation.field.is_empty() { String::new() } else { format!("{}: ", violation.field) };
    let reason = if violation.reason.is_empty() { String::new() } else { format!(" ({})", violation.reason) };
    format!("  {field}{}{reason}", violation.description)
}

/// The error and what is under it, without what is said twice.
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

/// What to do next.
fn advice(error: &CallError) -> String {
    let general = general_advice(error.action());
    match error.origin() {
        Origin::Server => advice_by_reason(error),
        Origin::NotConnected => "is the server there? --endpoint says where it is looked for".to_owned(),
        Origin::TlsRefused => {
            "check --ca, --cert and --key; --domain-name, if the server goes by another name".to_owned()
        }
        Origin::Broken => format!("{general}; if this goes on, the server may not accept your certificate"),
        Origin::TimedOut => format!("{general}; --timeout gives it longer"),
        Origin::Unreadable => "compare the versions of this client and the server".to_owned(),
    }
}

fn advice_by_reason(error: &CallError) -> String {
    let value = |key| error.metadata().get(key).map_or("?", String::as_str);
    match error.reason() {
        ErrorReason::HttpsRequired => {
            "use an https:// endpoint; think of what was sent in the clear as known".to_owned()
        }
        ErrorReason::KeyMismatch => {
            format!("find the key with the fingerprint {}; each wrong try counts", value("wanted_fingerprint"))
        }
        ErrorReason::KeyInactive | ErrorReason::DataEncryptionInactive => {
            format!("restore the key with the fingerprint {}: fieldseal key restore", value("wanted_fingerprint"))
        }
        ErrorReason::KeyAlreadyActive => {
            "there is nothing to restore; for another key: fieldseal key change".to_owned()
        }
        ErrorReason::SetKeyAlreadyRunning => "follow what runs: fieldseal key watch".to_owned(),
        ErrorReason::KeyRingDamaged => "restore the organization's database from a backup".to_owned(),
        ErrorReason::CellUnreadable => format!("set {} anew", value("attribute")),
        ErrorReason::EtagMismatch => "read the record again, then decide again".to_owned(),
        ErrorReason::PageTokenInvalid => "start from the first page".to_owned(),
        ErrorReason::FilterInvalid => format!("look at character {} of the filter, counted from 0", value("position")),
        ErrorReason::RequestIdReused => "draw a new request id for each request that isn't a repetition".to_owned(),
        ErrorReason::PrivilegeMissing => {
            format!("ask for {} in the server's role bindings, or come as somebody else", value("privilege"))
        }
        ErrorReason::IdentityRequired => "come with a valid certificate: --cert and --key".to_owned(),
        ErrorReason::MethodUnknown => "compare the versions of this client and the server".to_owned(),
        ErrorReason::Internal => "report it, with the call id".to_owned(),
        ErrorReason::Unspecified
        | ErrorReason::KeyChangeQuota
        | ErrorReason::KeyRestoreQuota
        | ErrorReason::KeyValidation
        | ErrorReason::AuditUnavailable
        | ErrorReason::EncryptedAttribute
        | ErrorReason::FieldInvalid
        | ErrorReason::NotFound
        | ErrorReason::AlreadyExists
        | ErrorReason::ReferenceInUse
        | ErrorReason::StoreUnavailable
        | ErrorReason::OutcomeUnknown
        | ErrorReason::MessageInvalid
        | ErrorReason::MessageTooLarge
        | ErrorReason::DeadlineExceeded
        | ErrorReason::Cancelled
        | ErrorReason::ShuttingDown => general_advice(error.action()),
    }
}

fn general_advice(action: Action) -> String {
    match action {
        Action::FixCall => "correct this, then try again".to_owned(),
        Action::Wait { delay: Some(delay) } => {
            format!("nothing was changed; try again in {} s", delay.as_secs().max(1))
        }
        Action::Wait { delay: None } => "nothing was changed; try again later".to_owned(),
        Action::CheckOutcome => "this may have taken effect: look before trying again".to_owned(),
        Action::GiveUp => "trying again won't help; report it to whoever runs the server".to_owned(),
    }
}

/// The exit code of a command that was wrong; clap's own.
const USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use fieldseal_client::Client;

    use super::*;

    #[test]
    fn an_error_says_what_happened_once_and_what_is_under_it() {
        let setup = Client::builder("https://127.0.0.1").ca_file("/nowhere/ca.pem");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(setup.connect()).unwrap_err();
        assert_eq!(
            describe(&error),
            ["fieldseal: the CA file /nowhere/ca.pem can't be read: No such file or directory (os error 2)"]
        );
    }

    #[test]
    fn a_server_that_is_not_there_reads_well() {
        let setup = Client::builder("http://127.0.0.1:1").plaintext();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(setup.connect()).unwrap_err();
        let lines = describe(&error);
        assert!(lines[0].starts_with("fieldseal: the server can't be reached: "), "{lines:?}");
        assert!(lines[0].contains("refused"), "{lines:?}");
        assert!(lines[1].contains("--endpoint"), "{lines:?}");
    }
}
