//! Why a run failed, said so that a person knows what to do next.

use std::{error::Error as _, io, process::ExitCode};

use sealward_client::{Action, CallError, Error, ErrorReason, FieldViolation, Origin, SetupError, mail_v1};

use crate::{hints::Hints, stderr};

/// Why a run failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong in a way that clap sees; or it asked for help, which is no failure.
    CommandLine(clap::Error),
    /// The command, or a file that it names, is wrong.
    Usage(String),
    /// There is no connection to the server at `endpoint`.
    Connecting { endpoint: String, error: Error },
    /// The call failed.
    Call(Error),
    /// The call failed, and the command knows better than the error what to do about it.
    Advised { error: Error, advice: String },
    /// The call succeeded, and what was wanted isn't in the answer.
    NoValue(String),
    /// The answer can't be written. `done`: what stays of the command, and how to get what wasn't delivered.
    Undelivered { error: io::Error, done: Option<String> },
    /// The person was asked, and doesn't want it.
    Declined,
    /// The person doesn't want to watch any longer. It was said already that the server goes on.
    Detached,
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub(crate) fn connecting(endpoint: &str, error: Error) -> Self {
        Self::Connecting { endpoint: endpoint.to_owned(), error }
    }

    /// The answer of a command that changed nothing can't be written.
    pub(crate) fn undelivered(error: io::Error) -> Self {
        Self::Undelivered { error, done: None }
    }

    /// Adds what the command has done, if it is its answer that can't be written.
    pub(crate) fn done(mut self, what: impl Into<String>) -> Self {
        if let Self::Undelivered { done, .. } = &mut self {
            *done = Some(what.into());
        }
        self
    }

    /// Replaces the advice about a failed call.
    pub(crate) fn advised(self, advice: impl Into<String>) -> Self {
        if let Self::Call(error) | Self::Advised { error, .. } = self {
            return Self::Advised { error, advice: advice.into() };
        }
        self
    }

    /// Replaces the advice about a call that failed for this reason.
    pub(crate) fn advised_of(self, reason: ErrorReason, advice: &str) -> Self {
        if matches!(&self, Self::Call(error) if error.reason() == reason) { self.advised(advice) } else { self }
    }

    /// Writes it to stderr and says what the run ends with.
    pub(crate) fn report(&self, hints: &Hints) -> ExitCode {
        match self {
            Self::CommandLine(error) => return report_command_line(error),
            Self::Usage(text) | Self::NoValue(text) => stderr::error(text),
            Self::Connecting { endpoint, error } => stderr::error(&describe(error, Some(endpoint), None, hints)),
            Self::Call(error) => stderr::error(&describe(error, None, None, hints)),
            Self::Advised { error, advice } => stderr::error(&describe(error, None, Some(advice), hints)),
            // A reader that has seen enough, such as `head`. The exit code says that it didn't get everything.
            Self::Undelivered { error, done: None } if error.kind() == io::ErrorKind::BrokenPipe => {}
            Self::Undelivered { error, done } => {
                let done = done
                    .as_deref()
                    .unwrap_or("nothing was changed: send the answer elsewhere and run the command again");
                stderr::error(&format!("the answer can't be written to stdout: {error}\n  {done}"));
            }
            Self::Declined => stderr::error("nothing was done"),
            Self::Detached => {}
        }
        match self {
            Self::CommandLine(_) | Self::Usage(_) => USAGE.into(),
            Self::Call(Error::Setup(_))
            | Self::Advised { error: Error::Setup(_), .. }
            | Self::Connecting { error: Error::Setup(_), .. } => USAGE.into(),
            Self::Connecting { .. }
            | Self::Call(_)
            | Self::Advised { .. }
            | Self::NoValue(_)
            | Self::Undelivered { .. }
            | Self::Declined => ExitCode::FAILURE,
            Self::Detached => INTERRUPTED.into(),
        }
    }
}

/// Prints help to stdout, and what is wrong to stderr.
fn report_command_line(error: &clap::Error) -> ExitCode {
    let printed = error.print().and_then(|()| io::Write::flush(&mut io::stdout()));
    match printed {
        // Nothing is left to report if even stderr can't be written.
        _ if error.use_stderr() => USAGE.into(),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::undelivered(error).report(&Hints::default()),
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

/// Whether the call may have taken effect although its last attempt says that it changed nothing: an attempt before it broke off.
fn is_in_doubt(error: &CallError) -> bool {
    error.action() == Action::CheckOutcome && error.is_in_doubt()
}

/// One line for what happened, one for each violation, one for what to do, one for the call's id.
fn describe(error: &Error, endpoint: Option<&str>, advised: Option<&str>, hints: &Hints) -> String {
    let what = with_causes(error);
    let mut lines = match error.call().filter(|call| is_in_doubt(call)) {
        // One statement about all attempts, and not what the server said of the last.
        Some(call) => vec![format!(
            "it isn't known whether this took effect: one attempt broke off, the last one failed ({})",
            name(call)
        )],
        None => vec![what.clone()],
    };
    // The server's message already has one of the violations: what it says isn't printed twice.
    let others = error
        .field_violations()
        .iter()
        .filter(|violation| !what.contains(&format!("{}: {}", violation.field, violation.description)));
    lines.extend(others.map(violation_line));
    match error {
        Error::Setup(setup) => lines.extend(setup_advice(setup).map(|advice| format!("  {advice}"))),
        Error::Call(call) => {
            lines.extend(endpoint.map(|endpoint| format!("  the endpoint is {endpoint}")));
            let advice = advised.map_or_else(|| advice(call, &what, hints), str::to_owned);
            lines.extend(advice.lines().map(|line| format!("  {line}")));
            lines.extend(call.call_id().map(|id| format!("  call id: {id}")));
        }
        // And whatever later versions add.
        Error::Schema(_) | _ => {}
    }
    lines.join("\n")
}

/// What the last attempt failed with, in a word.
fn name(error: &CallError) -> String {
    error.reason_name().map_or_else(|| error.to_string(), str::to_owned)
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

/// What to do next. `what`: what is said about the error and what is under it.
fn advice(error: &CallError, what: &str, hints: &Hints) -> String {
    let general = general_advice(error.action());
    match error.origin() {
        Origin::Server => advice_by_reason(error, hints),
        Origin::NotConnected => connection_advice(what).to_owned(),
        Origin::TlsRefused => tls_advice(what).to_owned(),
        // Once this run has had an answer, the server accepts its certificate.
        Origin::Broken if error.is_after_answer() => general,
        Origin::Broken => {
            format!("{general}; if this happens again, the server may not accept your certificate (--cert)")
        }
        Origin::TimedOut => format!("{general}; --timeout gives it longer"),
        Origin::Unreadable => "compare the versions of this client and the server".to_owned(),
    }
}

fn connection_advice(what: &str) -> &'static str {
    let known: [(&[&str], &str); 3] = [
        (&["dns error", "failed to lookup"], "the host isn't known: check the host in --endpoint"),
        (
            &["eof", "reset by peer", "broken pipe"],
            "something is there and hangs up: is it the right port in --endpoint?",
        ),
        (
            &["timed out", "deadline has elapsed"],
            "nothing answers there: check host and port in --endpoint, and the firewall",
        ),
    ];
    let otherwise = "is the server running, and is this its port? --endpoint sets the address; \
                     `sealward-server dev` starts a server to try";
    advice_by_words(what, &known).unwrap_or(otherwise)
}

/// By the words of rustls, which no contract fixes; where none is found, all that it can be is listed.
fn tls_advice(what: &str) -> &'static str {
    let known: [(&[&str], &str); 9] = [
        (
            &["unknownissuer"],
            "the server's certificate isn't from the CA in --ca: use the CA of this server, or another server",
        ),
        (
            &["peer certificate: expired", "certificate expired: verification"],
            "the server's certificate has expired, or this machine's clock is wrong: the server's operator has to renew it",
        ),
        (
            &["peer certificate: notvalidyet", "not valid yet: verification"],
            "the server's certificate isn't valid yet, or this machine's clock is behind: compare the clocks of both machines",
        ),
        (
            &["notvalidforname", "not valid for name", "not valid for"],
            "the server goes by another name: use that in --endpoint, or say it with --domain-name",
        ),
        (&["certificaterequired"], "the server wants to know who you are: --cert and --key, or --dev and --as"),
        (
            &["alert: certificateexpired"],
            "your certificate has expired or isn't valid yet: check its dates (openssl x509 -noout -dates -in FILE) and the clocks, \
             or give another with --cert",
        ),
        (&["alert: certificaterevoked"], "your certificate was revoked: ask for a new one, and give it with --cert"),
        (
            &["alert: unknownca", "alert: decrypterror", "alert: badcertificate", "alert: certificate"],
            "the server doesn't accept your certificate: give one from a CA that it trusts with --cert and --key",
        ),
        (
            &["invalidcontenttype", "corrupt message"],
            "what answers there doesn't speak TLS: is it the right port in --endpoint?",
        ),
    ];
    advice_by_words(what, &known)
        .unwrap_or("check --ca, --cert and --key; --domain-name, if the server goes by another name")
}

fn advice_by_words(what: &str, known: &[(&[&str], &'static str)]) -> Option<&'static str> {
    let what = what.to_lowercase();
    known.iter().find(|(words, _)| words.iter().any(|word| what.contains(word))).map(|(_, advice)| *advice)
}

fn setup_advice(error: &SetupError) -> Option<&'static str> {
    match error {
        SetupError::FileUnreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Some("check --ca, --cert and --key, or --dev and --as; `sealward profile show` shows a profile's settings")
        }
        SetupError::FileUnreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Some("you may not read it on this machine: ask its owner, or use your own certificate")
        }
        SetupError::PemUnusable { problem, .. } if problem.contains("the file has no") => {
            Some("PEM begins with -----BEGIN …: are --cert and --key swapped?")
        }
        SetupError::Tls { .. } => {
            Some("check that --cert and --key belong together, and the name in --endpoint or --domain-name")
        }
        // These say what to do themselves.
        SetupError::EndpointInvalid { .. }
        | SetupError::PlaintextNotAllowed { .. }
        | SetupError::PlaintextOverTls { .. }
        | SetupError::CaMissing
        | SetupError::FileUnreadable { .. }
        | SetupError::PemUnusable { .. }
        | _ => None,
    }
}

fn advice_by_reason(error: &CallError, hints: &Hints) -> String {
    let value = |key| error.metadata().get(key).map_or("?", String::as_str);
    // About the organization that the server names, which a record's full name may have chosen.
    let command = |words: &str| match error.metadata().get("organization") {
        Some(organization) => hints.command_in(words, organization),
        None => hints.command(words),
    };
    let general = || general_advice(error.action());
    match error.reason() {
        ErrorReason::HttpsRequired => {
            "use an https:// endpoint; treat what was sent in the clear as disclosed".to_owned()
        }
        ErrorReason::KeyMismatch => {
            format!("find the key with the fingerprint {}; each wrong attempt counts", value("wanted_fingerprint"))
        }
        ErrorReason::KeyInactive | ErrorReason::DataEncryptionInactive => {
            format!("restore the key with the fingerprint {}: {}", value("wanted_fingerprint"), command("key restore"))
        }
        ErrorReason::KeyAlreadyActive => {
            format!("there is nothing to restore; to set another key: {}", command("key change"))
        }
        ErrorReason::KeyValidation => {
            format!("to generate a key, give none: {}", command("key change"))
        }
        ErrorReason::KeyRestoreQuota => {
            format!(
                "{}; until then, look for the right key: `{}` shows its fingerprint",
                general(),
                command("key status")
            )
        }
        ErrorReason::SetKeyAlreadyRunning => format!("follow the one that runs: {}", command("key watch")),
        ErrorReason::KeyRingDamaged => format!(
            "restore the organization's database from a backup, or give up its encrypted attributes: {}",
            command("key abandon")
        ),
        ErrorReason::ExportInvalid => "export it again; nothing of this file was imported".to_owned(),
        ErrorReason::CellUnreadable => format!("set {} again", value("attribute")),
        ErrorReason::EncryptedAttribute => {
            "an encrypted attribute can't be filtered or sorted by, nor customized: leave it out".to_owned()
        }
        ErrorReason::EtagMismatch => "read the record again, then decide again".to_owned(),
        ErrorReason::PageTokenInvalid => "start from the first page".to_owned(),
        ErrorReason::FilterInvalid => format!("look at character {} of the filter, counted from 0", value("position")),
        ErrorReason::RequestIdReused => "draw a new request id for each request that isn't a repetition".to_owned(),
        ErrorReason::NotFound => "check the name, and the organization (-o): `list` shows what there is".to_owned(),
        ErrorReason::AlreadyExists => "choose another id, or change what is there: update".to_owned(),
        ErrorReason::ReferenceInUse => "other records refer to it: change or delete those first".to_owned(),
        ErrorReason::PrivilegeMissing => {
            format!(
                "ask an administrator for a binding with {}, or use another identity; your roles: sealward whoami",
                value("privilege")
            )
        }
        ErrorReason::IdentityRequired => "use a valid certificate: --cert and --key, or --dev and --as".to_owned(),
        ErrorReason::MethodUnknown
        | ErrorReason::MessageInvalid
        | ErrorReason::CompressionNotServed
        | ErrorReason::TimeoutInvalid => {
            "compare the versions of this client and the server: sealward version".to_owned()
        }
        ErrorReason::MetadataTooLarge => "send a shorter bearer token: it is most of a call's metadata".to_owned(),
        ErrorReason::MessageTooLarge => "give shorter values, or a smaller --page-size".to_owned(),
        ErrorReason::AuditUnavailable | ErrorReason::StoreUnavailable => {
            format!("{}; if this happens again, the server's log has the cause under the call id", general())
        }
        ErrorReason::ListTimeLimit => {
            "narrow the filter, order by an attribute that has an index, or leave out the total size".to_owned()
        }
        ErrorReason::ConnectionEnding => {
            "start again: what an export or import has transferred so far can't be used".to_owned()
        }
        ErrorReason::TransferLimit => {
            "start again, over a faster connection or when less is written: what an export or import has transferred so far can't be used"
                .to_owned()
        }
        ErrorReason::WrittenByNewerVersion => {
            "nothing is lost: have a server of the version that wrote it serve it again".to_owned()
        }
        ErrorReason::OrganizationUnavailable | ErrorReason::OrganizationMismatch => {
            "an administrator of the server finds the cause in its log, and with `sealward-server check-config`"
                .to_owned()
        }
        ErrorReason::RootKeyUnknown => format!(
            "add root key {} to the server's root_key.sources; if it is lost: {}",
            value("root_key_id"),
            command("key restore")
        ),
        ErrorReason::ClockOutOfRange => {
            format!("{}; the server's operator has to set its clock", general())
        }
        ErrorReason::DeadlineExceeded => format!("{}; --timeout gives it longer", general()),
        ErrorReason::Internal => "report it, with the call id".to_owned(),
        ErrorReason::Unspecified => match error.mail_reason() {
            mail_v1::ErrorReason::MailboxInactive => {
                format!("activate it: {}", command("mailbox update ID --set state_code=active"))
            }
            mail_v1::ErrorReason::MailboxWithoutProfile => "set the mailbox's email_server_profile".to_owned(),
            mail_v1::ErrorReason::ProfileInactive => {
                "activate the profile, or set another one on the mailbox".to_owned()
            }
            mail_v1::ErrorReason::Unspecified => general(),
        },
        ErrorReason::KeyChangeQuota
        | ErrorReason::ComparisonQuota
        | ErrorReason::RateLimited
        | ErrorReason::ConnectionLimit
        | ErrorReason::TokenKeysUnavailable
        | ErrorReason::InFlightLimit
        | ErrorReason::IndexQuota
        | ErrorReason::RequestMemoryLimit
        | ErrorReason::MessageTooSlow
        | ErrorReason::FieldInvalid
        | ErrorReason::OutcomeUnknown
        | ErrorReason::Cancelled
        | ErrorReason::ShuttingDown => general(),
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
        Action::GiveUp => "trying again won't help: report it to the server's operator".to_owned(),
    }
}

/// The exit code of a command that was wrong; clap's own.
const USAGE: u8 = 2;

/// What shells say about a program that Ctrl-C ended.
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
    fn an_error_says_what_happened_once_and_what_is_under_it() {
        let endpoint = "https://127.0.0.1";
        let lines = connecting(Client::builder(endpoint).ca_file("/nowhere/ca.pem"), endpoint);
        assert_eq!(lines[0], "the CA file /nowhere/ca.pem can't be read: No such file or directory (os error 2)");
        assert!(lines[1].contains("--ca"), "{lines:?}");
    }

    #[test]
    fn a_server_that_is_not_there_reads_well() {
        let endpoint = "http://127.0.0.1:1";
        let lines = connecting(Client::builder(endpoint).plaintext(), endpoint);
        assert!(lines[0].starts_with("the server can't be reached: "), "{lines:?}");
        assert!(lines[0].contains("refused"), "{lines:?}");
        assert_eq!(lines[1], "  the endpoint is http://127.0.0.1:1");
        assert!(lines[2].contains("--endpoint"), "{lines:?}");
    }

    #[test]
    fn what_tls_says_is_told_in_words_of_ours() {
        for (what, advice) in [
            ("invalid peer certificate: UnknownIssuer", "--ca"),
            ("invalid peer certificate: Expired", "renew"),
            ("invalid peer certificate: NotValidForName", "--domain-name"),
            ("received fatal alert: CertificateRequired", "--dev and --as"),
            ("received fatal alert: CertificateExpired", "has expired or isn't valid yet"),
            ("received fatal alert: CertificateRevoked", "was revoked"),
            ("invalid peer certificate: certificate not valid yet: verification time 1 (UNIX)", "isn't valid yet"),
            ("received fatal alert: UnknownCA", "doesn't accept your certificate"),
            ("received corrupt message of type InvalidContentType", "doesn't speak TLS"),
            ("something new", "check --ca, --cert and --key"),
        ] {
            assert!(tls_advice(what).contains(advice), "{what}: {}", tls_advice(what));
        }
    }
}
