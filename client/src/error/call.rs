//! A call that failed: where, how, and with all that the server told about it.

use std::{collections::BTreeMap, error::Error as StdError, fmt, io, time::Duration};

use tonic::{Code, ConnectError, Status, TimeoutExpired};

use crate::{
    error::{
        action::Action,
        details::{Details, FieldViolation},
        name::code_name,
    },
    mail_v1,
    method::{Method, Repetition},
    v1::ErrorReason,
};

/// A call that failed, with all that is known about it. Never carries a secret: the contract keeps them out of errors.
#[derive(Debug)]
pub struct CallError {
    origin: Origin,
    code: Code,
    message: String,
    details: Details,
    repetition: Repetition,
    in_doubt: bool,
    after_answer: bool,
    cause: Cause,
}

/// Where a failure arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The server, or something between that speaks for it, answered with an error.
    Server,
    /// There was no connection; the call was never sent.
    NotConnected,
    /// The two sides don't accept each other's certificates.
    TlsRefused,
    /// The connection broke after the call was sent, or may have been. A server that doesn't accept the client's certificate looks like
    /// this too, if it is quick to hang up.
    Broken,
    /// The time ran out.
    TimedOut,
    /// An answer came, and it isn't a message of the contract.
    Unreadable,
}

#[derive(Debug)]
enum Cause {
    None,
    Status(Status),
    Transport(tonic::transport::Error),
    Decode(prost::DecodeError),
}

impl CallError {
    /// The gRPC code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Why it failed, for programs. [`ErrorReason::Unspecified`] if nobody said, or said one that this client doesn't know.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        self.details.reason
    }

    /// Why it failed, where the mail application has the reason. [`mail_v1::ErrorReason::Unspecified`] for all others.
    #[must_use]
    pub fn mail_reason(&self) -> mail_v1::ErrorReason {
        self.details.mail_reason
    }

    /// The reason as it goes over the wire, of the platform or an application: `KEY_MISMATCH`. `None` if there is none that this client knows.
    #[must_use]
    pub fn reason_name(&self) -> Option<&'static str> {
        self.details.reason_name()
    }

    /// What the server says, for people. Empty if it said nothing.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The values that go with the reason, by the names that the contract gives them: `wanted_fingerprint`, `limit` …
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.details.metadata
    }

    /// What is wrong with which field of the request.
    #[must_use]
    pub fn field_violations(&self) -> &[FieldViolation] {
        &self.details.field_violations
    }

    /// How long the server says to wait.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.details.retry_delay
    }

    /// The id under which the server's log has the call.
    #[must_use]
    pub fn call_id(&self) -> Option<&str> {
        self.details.call_id.as_deref()
    }

    /// Where it arose.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What to do about it. Where the call was made several times, this is about all of them: if one may have taken effect, that the
    /// last one didn't is no news.
    #[must_use]
    pub fn action(&self) -> Action {
        let action = self.action_of_attempt();
        if self.in_doubt && matches!(action, Action::Wait { .. }) { Action::CheckOutcome } else { action }
    }

    /// Whether an earlier attempt of the same call may have taken effect. What the server says of the last attempt, that nothing was
    /// changed for example, is then not true of the call.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Whether the server had answered this client before, a call or the opening of this one's stream: then it accepts the client's
    /// certificate.
    #[must_use]
    pub fn is_after_answer(&self) -> bool {
        self.after_answer
    }

    /// Notes that the server had answered this client before.
    pub(crate) fn after_answer(mut self: Box<Self>) -> Box<Self> {
        self.after_answer = true;
        self
    }

    /// What to do about the last attempt, as if there had been no other.
    pub(crate) fn action_of_attempt(&self) -> Action {
        let wait = Action::Wait { delay: self.retry_delay() };
        match self.origin {
            Origin::Server => self.action_by_reason(),
            Origin::NotConnected => wait,
            Origin::TlsRefused => Action::FixCall,
            Origin::Broken | Origin::TimedOut => self.wait_or_check(),
            Origin::Unreadable => Action::GiveUp,
        }
    }

    fn action_by_reason(&self) -> Action {
        use ErrorReason as Reason;
        match self.details.reason {
            Reason::HttpsRequired
            | Reason::KeyMismatch
            | Reason::KeyValidation
            | Reason::KeyInactive
            | Reason::KeyAlreadyActive
            | Reason::DataEncryptionInactive
            | Reason::EncryptedAttribute
            | Reason::EtagMismatch
            | Reason::FieldInvalid
            | Reason::PageTokenInvalid
            | Reason::FilterInvalid
            | Reason::RequestIdReused
            | Reason::NotFound
            | Reason::AlreadyExists
            | Reason::PrivilegeMissing
            | Reason::IdentityRequired
            | Reason::ReferenceInUse
            | Reason::ExportInvalid
            | Reason::ListTimeLimit
            | Reason::MessageInvalid
            | Reason::MessageTooLarge
            | Reason::CompressionNotServed
            | Reason::TimeoutInvalid
            | Reason::MetadataTooLarge => Action::FixCall,
            Reason::SetKeyAlreadyRunning
            | Reason::KeyChangeQuota
            | Reason::KeyRestoreQuota
            | Reason::ComparisonQuota
            | Reason::RateLimited
            | Reason::ConnectionLimit
            | Reason::TokenKeysUnavailable
            | Reason::InFlightLimit
            | Reason::ConnectionEnding
            | Reason::TransferLimit
            | Reason::IndexQuota
            | Reason::RequestMemoryLimit
            | Reason::MessageTooSlow
            | Reason::AuditUnavailable
            | Reason::StoreUnavailable
            | Reason::OrganizationUnavailable
            | Reason::ClockOutOfRange
            | Reason::ShuttingDown => Action::Wait { delay: self.retry_delay() },
            Reason::OutcomeUnknown | Reason::DeadlineExceeded | Reason::Cancelled => self.wait_or_check(),
            Reason::KeyRingDamaged
            | Reason::CellUnreadable
            | Reason::WrittenByNewerVersion
            | Reason::OrganizationMismatch
            | Reason::RootKeyUnknown
            | Reason::MethodUnknown
            | Reason::Internal => Action::GiveUp,
            Reason::Unspecified => self.action_by_mail_reason(),
        }
    }

    fn action_by_mail_reason(&self) -> Action {
        use mail_v1::ErrorReason as Reason;
        match self.details.mail_reason {
            Reason::MailboxInactive | Reason::MailboxWithoutProfile | Reason::ProfileInactive => Action::FixCall,
            Reason::Unspecified => self.action_by_code(),
        }
    }

    /// For errors without a reason: those of a proxy, of gRPC itself, or of a newer server.
    fn action_by_code(&self) -> Action {
        match self.code {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unauthenticated => Action::FixCall,
            Code::ResourceExhausted | Code::Aborted => Action::Wait { delay: self.retry_delay() },
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => self.wait_or_check(),
            Code::Ok | Code::Unimplemented | Code::Internal | Code::DataLoss => Action::GiveUp,
        }
    }

    /// Whether a call that only reads took effect doesn't matter.
    fn wait_or_check(&self) -> Action {
        match self.repetition {
            Repetition::Read => Action::Wait { delay: self.retry_delay() },
            Repetition::Recognised | Repetition::Decided => Action::CheckOutcome,
        }
    }

    pub(crate) fn repetition(&self) -> Repetition {
        self.repetition
    }

    /// Takes over whether an earlier attempt of the same call may have taken effect, and hands on whether one may have by now.
    pub(crate) fn follows(&mut self, in_doubt: &mut bool) {
        self.in_doubt = *in_doubt;
        *in_doubt |= self.action_of_attempt() == Action::CheckOutcome;
    }

    pub(crate) fn from_status(method: &Method, status: Status) -> Box<Self> {
        let origin = origin_of(&status);
        let code = match origin {
            Origin::Server | Origin::Unreadable => status.code(),
            Origin::NotConnected | Origin::TlsRefused | Origin::Broken => Code::Unavailable,
            Origin::TimedOut => Code::DeadlineExceeded,
        };
        let (message, details) = match origin {
            Origin::Server | Origin::Unreadable => (status.message().to_owned(), Details::of(&status)),
            Origin::NotConnected | Origin::TlsRefused | Origin::Broken => (String::new(), Details::default()),
            Origin::TimedOut => (String::new(), Details::timed_out()),
        };
        Box::new(Self {
            origin,
            code,
            message,
            details,
            repetition: method.repetition,
            in_doubt: false,
            after_answer: false,
            cause: Cause::Status(status),
        })
    }

    /// The connection can't be made, or used.
    pub(crate) fn not_connected(repetition: Repetition, error: tonic::transport::Error) -> Box<Self> {
        let origin = if is_tls_refusal(&error) { Origin::TlsRefused } else { Origin::NotConnected };
        Box::new(Self {
            origin,
            code: Code::Unavailable,
            message: String::new(),
            details: Details::default(),
            repetition,
            in_doubt: false,
            after_answer: false,
            cause: Cause::Transport(error),
        })
    }

    /// The client's own timeout has passed.
    pub(crate) fn timed_out(method: &Method) -> Box<Self> {
        Box::new(Self {
            origin: Origin::TimedOut,
            code: Code::DeadlineExceeded,
            message: String::new(),
            details: Details::timed_out(),
            repetition: method.repetition,
            in_doubt: false,
            after_answer: false,
            cause: Cause::None,
        })
    }

    /// The answer isn't a message of the contract.
    pub(crate) fn unreadable(error: prost::DecodeError) -> Box<Self> {
        Box::new(Self {
            origin: Origin::Unreadable,
            code: Code::Internal,
            message: String::new(),
            details: Details::default(),
            repetition: Repetition::Decided,
            in_doubt: false,
            after_answer: false,
            cause: Cause::Decode(error),
        })
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::NotConnected => f.write_str("the server can't be reached"),
            Origin::TlsRefused => f.write_str("the server and this client don't accept each other's certificates"),
            Origin::Broken => f.write_str("the connection broke before the answer came"),
            Origin::TimedOut => f.write_str("no answer came in time"),
            Origin::Unreadable => f.write_str("the answer isn't a message that this client knows"),
            Origin::Server => {
                let what = self.reason_name().unwrap_or_else(|| code_name(self.code));
                if self.message.is_empty() { f.write_str(what) } else { write!(f, "{what}: {}", self.message) }
            }
        }
    }
}

impl StdError for CallError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            Cause::None => None,
            // What the status itself says is told already.
            Cause::Status(status) => status.source(),
            Cause::Transport(error) => Some(error),
            Cause::Decode(error) => Some(error),
        }
    }
}

/// A status that was made on this side has a source; one that came from the other side has none.
fn origin_of(status: &Status) -> Origin {
    let Some(source) = status.source() else { return Origin::Server };
    if is_tls_refusal(source) {
        Origin::TlsRefused
    } else if chain(source).any(|error| error.is::<ConnectError>()) {
        Origin::NotConnected
    } else if chain(source).any(|error| error.is::<TimeoutExpired>()) {
        Origin::TimedOut
    } else {
        Origin::Broken
    }
}

/// rustls tells what it doesn't accept, and what the other side didn't, as an I/O error of this kind.
fn is_tls_refusal(error: &(dyn StdError + 'static)) -> bool {
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::InvalidData)
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes the statuses that a server would")]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::error::{Error, reason_name};

    const IS_ACTIVE: Method = Method::of(sealward::methods::IsDataEncryptionActive);
    const SET_KEY: Method = Method::of(sealward::methods::SetDataEncryptionKey);

    fn with_reason(code: Code, reason: &str, domain: &str) -> Status {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, domain, HashMap::new());
        Status::with_error_details(code, "words", details)
    }

    fn with_source(source: impl StdError + Send + Sync + 'static) -> Status {
        let mut status = Status::new(Code::Unknown, "transport error");
        status.set_source(Arc::new(source));
        status
    }

    #[test]
    fn everything_a_server_tells_is_decoded() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("KEY_VALIDATION", "sealward", HashMap::from([("given_length".to_owned(), "3".to_owned())]))
            .add_bad_request_violation("encryption_key", "too short")
            .add_bad_request_violation("encryption_key", "needs a numeral")
            .set_retry_info(Some(Duration::from_secs(7)))
            .set_request_info("call-1", "");
        let status = Status::with_error_details(Code::InvalidArgument, "no key", details);
        let error = Error::from(CallError::from_status(&SET_KEY, status));

        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(error.reason(), ErrorReason::KeyValidation);
        assert_eq!(error.metadata("given_length"), Some("3"));
        assert_eq!(
            error.field_violations().iter().map(|violation| violation.description.as_str()).collect::<Vec<_>>(),
            ["too short", "needs a numeral"]
        );
        assert_eq!(error.retry_delay(), Some(Duration::from_secs(7)));
        assert_eq!(error.call_id(), Some("call-1"));
        assert_eq!(error.action(), Action::FixCall);
        assert_eq!(error.to_string(), "KEY_VALIDATION: no key");
        assert!(error.source().is_none());
    }

    #[test]
    fn a_reason_that_is_not_known_or_not_ours_reads_as_none() {
        for (reason, domain) in [("KEY_MISMATCH", "example.com"), ("OF_A_NEWER_SERVER", "sealward")] {
            let error = CallError::from_status(&IS_ACTIVE, with_reason(Code::FailedPrecondition, reason, domain));
            assert_eq!(error.reason(), ErrorReason::Unspecified);
            assert_eq!(error.action(), Action::FixCall);
            assert_eq!(error.to_string(), "FAILED_PRECONDITION: words");
        }
    }

    #[test]
    fn every_reason_has_an_action_and_survives_the_wire() {
        let mut reasons = 0;
        for reason in (1..1_000).filter_map(|number| ErrorReason::try_from(number).ok()) {
            let status = with_reason(Code::Unknown, reason_name(reason), "sealward");
            let error = CallError::from_status(&SET_KEY, status);
            assert_eq!((error.reason(), error.reason_name()), (reason, Some(reason_name(reason))));
            let _has_one = error.action();
            reasons += 1;
        }
        assert!(reasons > 45, "{reasons}");
    }

    #[test]
    fn reasons_of_mail_have_their_own_domain() {
        let refused = |domain| {
            let status = with_reason(Code::FailedPrecondition, "MAILBOX_INACTIVE", domain);
            CallError::from_status(&SET_KEY, status)
        };
        let error = refused("sealward.mail");
        assert_eq!(error.mail_reason(), mail_v1::ErrorReason::MailboxInactive);
        assert_eq!((error.reason(), error.reason_name()), (ErrorReason::Unspecified, Some("MAILBOX_INACTIVE")));
        assert_eq!((error.action(), error.to_string()), (Action::FixCall, "MAILBOX_INACTIVE: words".to_owned()));
        assert_eq!(refused("sealward").reason_name(), None);
    }

    #[test]
    fn an_unknown_outcome_is_to_be_looked_at_after_a_write_only() {
        for (code, reason) in [
            (Code::Unavailable, "OUTCOME_UNKNOWN"),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            (Code::Unavailable, ""),
        ] {
            let action =
                |method: Method| CallError::from_status(&method, with_reason(code, reason, "sealward")).action();
            assert_eq!(action(SET_KEY), Action::CheckOutcome);
            assert_eq!(action(IS_ACTIVE), Action::Wait { delay: None });
        }
        let shutting_down = with_reason(Code::Unavailable, "SHUTTING_DOWN", "sealward");
        assert_eq!(CallError::from_status(&SET_KEY, shutting_down).action(), Action::Wait { delay: None });
    }

    #[test]
    fn an_outcome_that_was_unknown_once_stays_so_until_the_server_says_more() {
        let recognised = || SET_KEY.repeated(Repetition::Recognised);
        let broken = || CallError::from_status(&recognised(), with_source(io::Error::other("reset")));
        let answered = |code, reason| CallError::from_status(&recognised(), with_reason(code, reason, "sealward"));
        let after = |first: Option<Box<CallError>>, mut last: Box<CallError>| {
            let mut in_doubt = false;
            if let Some(mut first) = first {
                first.follows(&mut in_doubt);
            }
            last.follows(&mut in_doubt);
            last.action()
        };
        let not_connected = || {
            let error = ConnectError(Box::new(io::Error::new(io::ErrorKind::ConnectionRefused, "refused")));
            CallError::from_status(&recognised(), with_source(error))
        };
        assert_eq!(after(None, not_connected()), Action::Wait { delay: None });
        assert_eq!(after(Some(not_connected()), not_connected()), Action::Wait { delay: None });
        assert_eq!(after(Some(broken()), not_connected()), Action::CheckOutcome);
        assert_eq!(after(Some(broken()), answered(Code::Unavailable, "SHUTTING_DOWN")), Action::CheckOutcome);
        // What was refused to a repetition had not been made.
        assert_eq!(after(Some(broken()), answered(Code::Aborted, "ETAG_MISMATCH")), Action::FixCall);
    }

    #[test]
    fn failures_on_this_side_are_told_apart() {
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "refused");
        let untrusted = || io::Error::new(io::ErrorKind::InvalidData, "UnknownIssuer");
        let cases = [
            (with_source(ConnectError(Box::new(refused()))), Code::Unavailable, Action::Wait { delay: None }),
            (with_source(ConnectError(Box::new(untrusted()))), Code::Unavailable, Action::FixCall),
            (with_source(refused()), Code::Unavailable, Action::CheckOutcome),
            (with_source(TimeoutExpired(())), Code::DeadlineExceeded, Action::CheckOutcome),
        ];
        for (status, code, action) in cases {
            let error = CallError::from_status(&SET_KEY, status);
            assert_eq!((error.code(), error.action()), (code, action), "{error:?}");
            assert!(error.source().is_some());
            assert!(!error.to_string().contains("transport error"));
        }
        assert_eq!(CallError::timed_out(&IS_ACTIVE).reason(), ErrorReason::DeadlineExceeded);
    }
}
