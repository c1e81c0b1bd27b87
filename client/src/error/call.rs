//! A failed call: its origin, and the details that the server returned.

use std::{collections::BTreeMap, error::Error as StdError, fmt, io, time::Duration};

use tonic::{Code, ConnectError, Status, TimeoutExpired};

use crate::{
    error::{
        action::Action,
        details::{Details, FieldViolation},
        name::code_name,
    },
    mail_v1,
    method::{Method, RetrySafety},
    v1::ErrorReason,
};

/// A failed call. Contains no secrets: the contract excludes them from errors.
#[derive(Debug)]
pub struct CallError {
    origin: Origin,
    code: Code,
    message: String,
    details: Details,
    retry_safety: RetrySafety,
    in_doubt: bool,
    server_answered_before: bool,
    cause: Cause,
}

/// The origin of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The server, or a proxy, answered with an error.
    Server,
    /// No connection; the call wasn't sent.
    NotConnected,
    /// The TLS handshake failed: client or server refused the other's certificate.
    TlsRefused,
    /// The connection broke, possibly after the call was sent. A server that refuses the client's certificate and closes the connection can look
    /// the same.
    Broken,
    /// The timeout expired.
    TimedOut,
    /// The answer can't be decoded as a message of the contract.
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
    /// Returns the gRPC code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns the machine-readable reason. [`ErrorReason::Unspecified`] if there is none, or if this client doesn't know it.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        self.details.reason
    }

    /// Returns the reason of the mail application. [`mail_v1::ErrorReason::Unspecified`] for all other errors.
    #[must_use]
    pub fn mail_reason(&self) -> mail_v1::ErrorReason {
        self.details.mail_reason
    }

    /// Returns the reason as on the wire, such as `KEY_MISMATCH`. `None` if there is none, or if this client doesn't know it.
    #[must_use]
    pub fn reason_name(&self) -> Option<&'static str> {
        self.details.reason_name()
    }

    /// Returns the server's message. Can be empty.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the values of the reason by their names in the contract, such as `wanted_fingerprint` and `limit`.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.details.metadata
    }

    /// Returns the violations of the request's fields.
    #[must_use]
    pub fn field_violations(&self) -> &[FieldViolation] {
        &self.details.field_violations
    }

    /// Returns the delay before a retry that the server requests.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.details.retry_delay
    }

    /// Returns the id of the call in the server's log.
    #[must_use]
    pub fn call_id(&self) -> Option<&str> {
        self.details.call_id.as_deref()
    }

    /// Returns the origin of the failure.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns what to do about the failure, considering all attempts: [`Action::CheckOutcome`] if an earlier attempt may have taken effect.
    #[must_use]
    pub fn action(&self) -> Action {
        let action = self.action_of_attempt();
        if self.in_doubt && matches!(action, Action::Wait { .. }) { Action::CheckOutcome } else { action }
    }

    /// Returns whether an earlier attempt of the call may have taken effect. The server's message about the last attempt, for example that
    /// nothing was changed, then doesn't hold for the call.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Returns whether the server had answered this client before, and so accepts the client's certificate. The opening of this call's stream
    /// counts as an answer.
    #[must_use]
    pub fn server_answered_before(&self) -> bool {
        self.server_answered_before
    }

    /// Marks that the server had answered this client before.
    pub(crate) fn after_answer(mut self: Box<Self>) -> Box<Self> {
        self.server_answered_before = true;
        self
    }

    /// Returns what to do about the last attempt alone.
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
            | Reason::ProtocolUnsupported
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

    /// For errors without a known reason: from a proxy, from gRPC itself, or from a newer server.
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

    /// For an unknown outcome: a read can be retried, a write must be checked.
    fn wait_or_check(&self) -> Action {
        match self.retry_safety {
            RetrySafety::ReadOnly => Action::Wait { delay: self.retry_delay() },
            RetrySafety::Idempotent | RetrySafety::Unsafe => Action::CheckOutcome,
        }
    }

    pub(crate) fn retry_safety(&self) -> RetrySafety {
        self.retry_safety
    }

    /// Takes `in_doubt` from the earlier attempts of the call, and sets it if this attempt may have taken effect.
    pub(crate) fn inherit_doubt(&mut self, in_doubt: &mut bool) {
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
            retry_safety: method.retry_safety,
            in_doubt: false,
            server_answered_before: false,
            cause: Cause::Status(status),
        })
    }

    /// The connection failed.
    pub(crate) fn not_connected(retry_safety: RetrySafety, error: tonic::transport::Error) -> Box<Self> {
        let origin = if is_tls_refusal(&error) { Origin::TlsRefused } else { Origin::NotConnected };
        Box::new(Self {
            origin,
            code: Code::Unavailable,
            message: String::new(),
            details: Details::default(),
            retry_safety,
            in_doubt: false,
            server_answered_before: false,
            cause: Cause::Transport(error),
        })
    }

    /// The client's own timeout expired.
    pub(crate) fn timed_out(method: &Method) -> Box<Self> {
        Box::new(Self {
            origin: Origin::TimedOut,
            code: Code::DeadlineExceeded,
            message: String::new(),
            details: Details::timed_out(),
            retry_safety: method.retry_safety,
            in_doubt: false,
            server_answered_before: false,
            cause: Cause::None,
        })
    }

    /// The answer can't be decoded.
    pub(crate) fn unreadable(error: prost::DecodeError) -> Box<Self> {
        Box::new(Self {
            origin: Origin::Unreadable,
            code: Code::Internal,
            message: String::new(),
            details: Details::default(),
            retry_safety: RetrySafety::Unsafe,
            in_doubt: false,
            server_answered_before: false,
            cause: Cause::Decode(error),
        })
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::NotConnected => f.write_str("can't connect to the server"),
            Origin::TlsRefused => f.write_str("TLS handshake failed"),
            Origin::Broken => f.write_str("connection lost before the response"),
            Origin::TimedOut => f.write_str("the call timed out"),
            Origin::Unreadable => f.write_str("can't decode the response"),
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
            // Display has the status itself.
            Cause::Status(status) => status.source(),
            Cause::Transport(error) => Some(error),
            Cause::Decode(error) => Some(error),
        }
    }
}

/// Statuses from this side have a source; statuses from the server have none.
fn origin_of(status: &Status) -> Origin {
    let Some(source) = status.source() else { return Origin::Server };
    if is_tls_refusal(source) {
        Origin::TlsRefused
    } else if chain(source).any(|error| error.is::<ConnectError>() || is_unsent(error)) {
        Origin::NotConnected
    } else if chain(source).any(|error| error.is::<TimeoutExpired>()) {
        Origin::TimedOut
    } else {
        Origin::Broken
    }
}

/// The server didn't process the call, because the connection was ending, for example at its maximum age. Either the call still waited for
/// its turn, or it was sent after the last call that the server announced (RFC 9113, section 6.8).
fn is_unsent(error: &(dyn StdError + 'static)) -> bool {
    let is_after_the_last =
        |error: &h2::Error| error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
        || error.downcast_ref::<h2::Error>().is_some_and(is_after_the_last)
}

/// rustls reports refusals of both sides as an I/O error of this kind.
fn is_tls_refusal(error: &(dyn StdError + 'static)) -> bool {
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::InvalidData)
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests create the statuses of a server")]
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
    fn all_error_details_of_a_server_are_decoded() {
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
    fn unknown_or_foreign_reason_is_decoded_as_no_reason() {
        for (reason, domain) in [("KEY_MISMATCH", "example.com"), ("OF_A_NEWER_SERVER", "sealward")] {
            let error = CallError::from_status(&IS_ACTIVE, with_reason(Code::FailedPrecondition, reason, domain));
            assert_eq!(error.reason(), ErrorReason::Unspecified);
            assert_eq!(error.action(), Action::FixCall);
            assert_eq!(error.to_string(), "FAILED_PRECONDITION: words");
        }
    }

    #[test]
    fn every_reason_is_decoded_and_has_an_action() {
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
    fn mail_reasons_have_their_own_domain() {
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
    fn unknown_outcome_needs_a_check_only_after_a_write() {
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
    fn unknown_outcome_stays_until_the_server_reports_more() {
        let idempotent = || SET_KEY.with_retry_safety(RetrySafety::Idempotent);
        let broken = || CallError::from_status(&idempotent(), with_source(io::Error::other("reset")));
        let answered = |code, reason| CallError::from_status(&idempotent(), with_reason(code, reason, "sealward"));
        let after = |first: Option<Box<CallError>>, mut last: Box<CallError>| {
            let mut in_doubt = false;
            if let Some(mut first) = first {
                first.inherit_doubt(&mut in_doubt);
            }
            last.inherit_doubt(&mut in_doubt);
            last.action()
        };
        let not_connected = || {
            let error = ConnectError(Box::new(io::Error::new(io::ErrorKind::ConnectionRefused, "refused")));
            CallError::from_status(&idempotent(), with_source(error))
        };
        assert_eq!(after(None, not_connected()), Action::Wait { delay: None });
        assert_eq!(after(Some(not_connected()), not_connected()), Action::Wait { delay: None });
        assert_eq!(after(Some(broken()), not_connected()), Action::CheckOutcome);
        assert_eq!(after(Some(broken()), answered(Code::Unavailable, "SHUTTING_DOWN")), Action::CheckOutcome);
        // The refusal of a retry means that no earlier attempt took effect.
        assert_eq!(after(Some(broken()), answered(Code::Aborted, "ETAG_MISMATCH")), Action::FixCall);
    }

    #[test]
    fn client_side_failures_are_distinguished() {
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
