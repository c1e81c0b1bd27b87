//! The only maker of `tonic::Status`: every error that leaves the server gets its code, its reason and its words here.
//!
//! A status carries `google.rpc.ErrorInfo` with a reason of the contract and its domain; if a limit caused it, it also names
//! the limit. What is wrong inside goes into its source, which the trace layer logs and no caller sees. The id of the call isn't known
//! here: [`complete`] adds it on the way out, and details for the errors that the gRPC framework makes.
//!
//! Every status has a bounded size, whatever a request or a file had in it: clients refuse longer headers, and a refusal is to cost less
//! than what it refuses. No control or invisible character leaves in one.

use std::{collections::HashMap, error::Error, fmt::Display, sync::Arc, time::Duration};

use http::HeaderMap;
use sealward::v1::ErrorReason;
use sealward_core::{
    crypto::{
        kek::Fingerprint,
        key_text::{GivenTextHint, KeyTextViolation},
    },
    deployment::NotServed,
    filter::{FilterError, FilterProblem},
    identity::Identity,
    key::KeyError,
    list::page::ListingError,
    metadata::update::UpdateMetadataError,
    organization::{
        Obstacle, Organization, comparisons::INTERVAL_SECONDS, create::CreateOrganizationError, import::ImportError,
    },
    policy::Privilege,
    record::{RecordError, RecordPlace},
    schema::{Attribute, Entity},
    store::{Cause, OpenError, StoreFailure, Unavailable},
    text::is_invisible,
    violation::{Problem, Violation},
};
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    audit_copy::CopyFails,
    config::limits::{ERROR_DETAILS_MAX_BYTES, ERROR_VIOLATIONS_MAX, is_limit},
    jwks::FETCH_PAUSE,
    places::NoPlace,
    token::TokenProblem,
};

/// The domain of the platform's reasons.
pub(crate) const DOMAIN: &str = "sealward";

/// Reasons of errors, as a package of the contract lists them.
pub(crate) trait Reason: Copy {
    /// The domain that errors with these reasons have.
    const DOMAIN: &'static str;

    /// The reason's name in the contract, with the prefix that buf asks for.
    fn full_name(self) -> &'static str;
}

impl Reason for ErrorReason {
    const DOMAIN: &'static str = DOMAIN;

    fn full_name(self) -> &'static str {
        self.as_str_name()
    }
}

/// How soon a call that a server refused because it ends, or because of its connection, may be tried again.
const RETRY_ELSEWHERE: Duration = Duration::from_secs(1);

/// How soon a call may be made again that waits for others to end, or for another connection.
const RETRY_IN_FLIGHT: Duration = Duration::from_millis(200);

/// How soon a call may be made again that found the server's clock out of range: an operator or a time service has to set it.
const RETRY_CLOCK: Duration = Duration::from_secs(10);

/// Which caller lacks which privilege, and where. Says nothing about whether the organization exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrivilegeRefusal {
    identity: Identity,
    privilege: Privilege,
    place: PrivilegePlace,
}

/// Where a privilege is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PrivilegePlace {
    /// In every organization: the message, which names one, was not read.
    Anywhere,
    /// In the organization of this name.
    Organization(String),
    /// For what belongs to no organization, which only a binding to `*` allows.
    Deployment,
}

impl PrivilegeRefusal {
    /// No binding grants the privilege in any organization.
    pub(crate) fn anywhere(identity: &Identity, privilege: Privilege) -> Self {
        Self { identity: identity.clone(), privilege, place: PrivilegePlace::Anywhere }
    }

    /// No binding grants the privilege in the organization of this name.
    pub(crate) fn within(identity: &Identity, privilege: Privilege, organization: &str) -> Self {
        let place = PrivilegePlace::Organization(organization.to_owned());
        Self { identity: identity.clone(), privilege, place }
    }

    /// No binding to `*` grants the privilege.
    pub(crate) fn everywhere(identity: &Identity, privilege: Privilege) -> Self {
        Self { identity: identity.clone(), privilege, place: PrivilegePlace::Deployment }
    }
}

impl From<PrivilegeRefusal> for Refusal {
    fn from(refusal: PrivilegeRefusal) -> Self {
        Self::PrivilegeMissing(Box::new(refusal))
    }
}

impl From<PrivilegeRefusal> for Status {
    fn from(PrivilegeRefusal { identity, privilege, place }: PrivilegeRefusal) -> Self {
        let lacks = format!("{identity} lacks the privilege {privilege}");
        let (message, organization) = match place {
            PrivilegePlace::Anywhere => (format!("{lacks} in every organization"), None),
            PrivilegePlace::Organization(name) => (format!("{lacks} in organizations/{name}"), Some(name)),
            PrivilegePlace::Deployment => {
                (format!("{lacks} for the whole deployment: it takes a binding to \"*\""), Some("*".to_owned()))
            }
        };
        let builder = StatusBuilder::new(Code::PermissionDenied, ErrorReason::PrivilegeMissing, message)
            .with("privilege", privilege)
            .with("identity", identity);
        match organization {
            Some(name) => builder.with("organization", name).build(),
            None => builder.build(),
        }
    }
}

/// What the transport refuses by itself, before a message was read or after the time for it has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The call came over a connection without TLS.
    HttpsRequired,
    /// The caller showed no certificate that names somebody.
    IdentityRequired,
    /// The certificate's time has passed since the connection was made.
    CertificateExpired,
    /// The certificate was believed when the connection was made and isn't any more: it was revoked, or its CA was removed.
    CertificateNotBelieved,
    /// The bearer token isn't believed.
    TokenRefused(TokenProblem),
    /// The bearer token and the client certificate don't belong together.
    IdentitiesDisagree,
    /// The caller lacks the privilege that this rpc needs.
    PrivilegeMissing(Box<PrivilegeRefusal>),
    /// The caller called more often than it may.
    TooOften {
        /// The limit's name.
        bound: &'static str,
        /// How often it may.
        limit: u32,
        /// Within how long.
        interval_seconds: u32,
        /// When it may again.
        retry_after: Duration,
    },
    /// There is no place for the caller's connection.
    NoPlace(NoPlace),
    /// Requests take as much memory as they may.
    RequestMemory {
        /// The limit's name.
        bound: &'static str,
        /// How much that is, in bytes.
        limit: u64,
    },
    /// A message is larger than it may be.
    MessageTooLarge {
        /// The limit's name.
        bound: &'static str,
        /// How large it may be, in bytes.
        limit: u32,
    },
    /// A message took longer to arrive than it may.
    MessageTooSlow {
        /// How long that is.
        limit: Duration,
    },
    /// The caller has as many calls of this kind under way as it may, or as many callers write the same thing.
    TooManyInFlight {
        /// The limit's name.
        bound: &'static str,
        /// How many there may be.
        limit: u32,
    },
    /// Indexes of the organization were switched as often as they may be.
    TooManyIndexSwitches {
        /// How often within an hour.
        limit: u32,
        /// When one may be switched again.
        retry_after: Duration,
    },
    /// The connection ends, and the stream on it.
    ConnectionEnding,
    /// An export or import is too slow, or the snapshot of an export or a verification was ended.
    TransferLimit(TransferLimit),
    /// The rpc is served and stands in no permission table: nobody may call it.
    NotPermitted,
    /// There is no such rpc.
    MethodUnknown,
    /// The call has more metadata than is taken.
    MetadataTooLarge(MetadataTooLarge),
    /// The time that the caller gives the call can't be read.
    TimeoutInvalid,
    /// The call's messages are compressed.
    CompressionNotServed,
    /// The caller cancelled the call, or its connection broke, before its messages were there.
    Cancelled,
    /// The time of the call has passed.
    DeadlineExceeded,
    /// The server ends: the call was cut short, or not begun.
    ShuttingDown,
    /// The server's clock shows a time that can't be right.
    ClockOutOfRange,
}

/// Why a stream was ended before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransferLimit {
    /// The caller takes or sends the file too slowly.
    Rate,
    /// The file takes too long.
    Time,
    /// Behind the stream's snapshot, the database's write-ahead log reached its limit.
    Log,
    /// The stream's snapshot kept a key change from finishing.
    KeyChange,
}

impl TransferLimit {
    /// The name of the limit in `[limits]`, if it is one.
    pub(crate) fn bound(self) -> Option<&'static str> {
        match self {
            Self::Rate => Some("transfer_rate_min_bytes_per_second"),
            Self::Time => Some("transfer_time_max_seconds"),
            Self::Log => Some("write_ahead_log_max_bytes"),
            Self::KeyChange => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Rate => {
                "the transfer was slower than transfer_rate_min_bytes_per_second: make the call again over a faster connection"
            }
            Self::Time => {
                "the transfer took longer than transfer_time_max_seconds: make the call again over a faster connection"
            }
            Self::Log => {
                "the database's write-ahead log reached write_ahead_log_max_bytes during the call: make the call again when less is written"
            }
            Self::KeyChange => "the call kept a key change from finishing: make the call again",
        }
    }
}

/// More metadata than is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetadataTooLarge {
    /// How many bytes are taken, as HTTP/2 counts.
    pub(crate) limit: u32,
}

/// What is wrong with how a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokenMessage {
    /// The rpc takes one message, and there is none.
    Missing,
    /// The rpc takes one message, and there is another.
    Second,
    /// The last message ends before its end.
    CutOff,
    /// A message is marked as compressed.
    Compressed,
    /// A message has a mark that doesn't exist.
    Flag,
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::HttpsRequired => StatusBuilder::new(
                Code::FailedPrecondition,
                ErrorReason::HttpsRequired,
                "connect with TLS: this service isn't given without",
            )
            .dynamics_code("8004852C")
            .build(),
            Refusal::IdentityRequired => StatusBuilder::new(
                Code::Unauthenticated,
                ErrorReason::IdentityRequired,
                "show a client certificate that names you, or a bearer token",
            )
            .build(),
            Refusal::CertificateExpired => StatusBuilder::new(
                Code::Unauthenticated,
                ErrorReason::IdentityRequired,
                "your client certificate has expired",
            )
            .build(),
            Refusal::CertificateNotBelieved => StatusBuilder::new(
                Code::Unauthenticated,
                ErrorReason::IdentityRequired,
                "your client certificate is no longer accepted: it was revoked, or its CA was removed",
            )
            .build(),
            Refusal::TokenRefused(TokenProblem::KeysUnavailable) => StatusBuilder::new(
                Code::Unavailable,
                ErrorReason::TokenKeysUnavailable,
                "your bearer token can't be verified: the keys of its issuer can't be fetched now",
            )
            .retry_after(FETCH_PAUSE)
            .build(),
            Refusal::TokenRefused(problem) => {
                let message = format!("your bearer token isn't accepted: {problem}");
                StatusBuilder::new(Code::Unauthenticated, ErrorReason::IdentityRequired, message)
                    .bound_if_any(problem.bound())
                    .build()
            }
            Refusal::IdentitiesDisagree => StatusBuilder::new(
                Code::Unauthenticated,
                ErrorReason::IdentityRequired,
                "your bearer token and your client certificate don't belong together: show one of them, or a token that is bound to the certificate",
            )
            .build(),
            Refusal::PrivilegeMissing(refusal) => (*refusal).into(),
            Refusal::TooOften { bound, limit, interval_seconds, retry_after } => StatusBuilder::new(
                Code::ResourceExhausted,
                ErrorReason::RateLimited,
                format!("you called more often than {limit} times within {interval_seconds} seconds"),
            )
            .bound(bound)
            .with("limit", limit)
            .with("interval_seconds", interval_seconds)
            .retry_after(retry_after)
            .build(),
            Refusal::NoPlace(no_place) => {
                let (limit, message) = match no_place {
                    NoPlace::OfIdentity { limit } => {
                        (limit, format!("you have {limit} connections already: use those, or end some"))
                    }
                    NoPlace::OfAll { limit } => {
                        (limit, format!("the server has {limit} connections already, its limit: try again later"))
                    }
                };
                StatusBuilder::new(Code::ResourceExhausted, ErrorReason::ConnectionLimit, message)
                    .bound(no_place.bound())
                    .with("limit", limit)
                    .retry_after(RETRY_ELSEWHERE)
                    .build()
            }
            Refusal::RequestMemory { bound, limit } => StatusBuilder::new(
                Code::ResourceExhausted,
                ErrorReason::RequestMemoryLimit,
                format!("requests already use the {limit} bytes of memory that they may use: send fewer at once, or try again later"),
            )
            .bound(bound)
            .with("limit", limit)
            .retry_after(RETRY_ELSEWHERE)
            .build(),
            Refusal::MessageTooLarge { bound, limit } => StatusBuilder::new(
                Code::OutOfRange,
                ErrorReason::MessageTooLarge,
                format!("a message of the request is larger than {limit} bytes, the limit {bound}: send smaller messages"),
            )
            .bound(bound)
            .with("limit", limit)
            .build(),
            Refusal::MessageTooSlow { limit } => StatusBuilder::new(
                Code::DeadlineExceeded,
                ErrorReason::MessageTooSlow,
                format!("the message took longer than {} ms to arrive: send it faster, or send less", limit.as_millis()),
            )
            .bound("message_time_max_ms")
            .with("limit_ms", limit.as_millis())
            .build(),
            Refusal::TooManyInFlight { bound, limit } => StatusBuilder::new(
                Code::ResourceExhausted,
                ErrorReason::InFlightLimit,
                format!("{limit} calls of this kind are under way, as many as {bound} allows: wait until some are done"),
            )
            .bound(bound)
            .with("limit", limit)
            .retry_after(RETRY_IN_FLIGHT)
            .build(),
            Refusal::TooManyIndexSwitches { limit, retry_after } => StatusBuilder::new(
                Code::ResourceExhausted,
                ErrorReason::IndexQuota,
                format!("indexes were switched {limit} times within an hour; nothing changed"),
            )
            .bound("index_switches_per_hour")
            .with("limit", limit)
            .with("interval_seconds", 3_600)
            .retry_after(retry_after)
            .build(),
            Refusal::ConnectionEnding => StatusBuilder::new(
                Code::Unavailable,
                ErrorReason::ConnectionEnding,
                "the server ends this connection: make the call again",
            )
            .retry_after(RETRY_IN_FLIGHT)
            .build(),
            Refusal::TransferLimit(limit) => {
                StatusBuilder::new(Code::Aborted, ErrorReason::TransferLimit, limit.words())
                    .with(BOUND, limit.bound().unwrap_or("snapshot"))
                    .retry_after(RETRY_ELSEWHERE)
                    .build()
            }
            Refusal::NotPermitted => {
                StatusBuilder::new(Code::PermissionDenied, ErrorReason::PrivilegeMissing, "nobody may call this method")
                    .build()
            }
            Refusal::MethodUnknown => {
                StatusBuilder::new(Code::Unimplemented, ErrorReason::MethodUnknown, "there is no such method").build()
            }
            Refusal::MetadataTooLarge(MetadataTooLarge { limit }) => StatusBuilder::new(
                Code::ResourceExhausted,
                ErrorReason::MetadataTooLarge,
                format!("the call's metadata is larger than {limit} bytes: send less of it"),
            )
            .bound("header_list_size_max_bytes")
            .with("limit", limit)
            .build(),
            Refusal::TimeoutInvalid => StatusBuilder::new(
                Code::InvalidArgument,
                ErrorReason::TimeoutInvalid,
                "grpc-timeout can't be read: send it once, as 1 to 8 digits and one of the units H, M, S, m, u, n",
            )
            .build(),
            Refusal::CompressionNotServed => compression_not_served(),
            Refusal::Cancelled => {
                StatusBuilder::new(Code::Cancelled, ErrorReason::Cancelled, "the call was cancelled").build()
            }
            Refusal::DeadlineExceeded => StatusBuilder::new(
                Code::DeadlineExceeded,
                ErrorReason::DeadlineExceeded,
                "the time for this call has passed",
            )
            .build(),
            Refusal::ClockOutOfRange => {
                tracing::error!("clock out of range: it must show a time in the years 1970 to 9999");
                StatusBuilder::new(
                    Code::Unavailable,
                    ErrorReason::ClockOutOfRange,
                    "the server's clock is out of range; nothing was done: try another replica, or try again later",
                )
                .retry_after(RETRY_CLOCK)
                .build()
            }
            Refusal::ShuttingDown => {
                StatusBuilder::new(Code::Unavailable, ErrorReason::ShuttingDown, "the server is shutting down")
                    .retry_after(RETRY_ELSEWHERE)
                    .build()
            }
        }
    }
}

/// The key under which an error's metadata names what refused the call.
const BOUND: &str = "bound";

/// A status in the making.
pub(crate) struct StatusBuilder {
    code: Code,
    domain: &'static str,
    reason: &'static str,
    message: String,
    metadata: HashMap<String, String>,
    violations: Vec<Wrong>,
    /// How many violations there are beside these.
    more_violations: usize,
    details: ErrorDetails,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StatusBuilder {
    /// Begins with what every error has. The message is for the caller's developer: nothing internal, no value of an attribute.
    pub(crate) fn new<R: Reason>(code: Code, reason: R, message: impl Into<String>) -> Self {
        Self {
            code,
            domain: R::DOMAIN,
            reason: reason_name(reason),
            message: message.into(),
            metadata: HashMap::new(),
            violations: Vec::new(),
            more_violations: 0,
            details: ErrorDetails::new(),
            source: None,
        }
    }

    /// Adds a value to the ErrorInfo's metadata. Keys are lower_snake, and part of the contract.
    pub(crate) fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Names the limit in `[limits]` that refused the call, as the metric of refusals does.
    pub(crate) fn bound(self, name: &'static str) -> Self {
        debug_assert!(is_limit(name), "{name} is not a limit");
        self.with(BOUND, name)
    }

    fn bound_if_any(self, name: Option<&'static str>) -> Self {
        match name {
            Some(name) => self.bound(name),
            None => self,
        }
    }

    /// Adds the number that Dynamics 365 uses for the situation: eight hexadecimal digits.
    pub(crate) fn dynamics_code(self, code: &str) -> Self {
        self.with("dynamics_code", code)
    }

    /// Adds a violation to the BadRequest: the field, what is wrong with it for people, and for programs.
    pub(crate) fn violation(self, field: &str, description: impl Display, reason: &str) -> Self {
        self.wrong(Wrong::new(field, description, reason, None))
    }

    fn wrong(mut self, wrong: Wrong) -> Self {
        self.violations.push(wrong);
        self
    }

    /// Adds a RetryInfo: waiting helps.
    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.details.set_retry_info(Some(delay));
        self
    }

    /// Keeps the cause, for the log only.
    pub(crate) fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The status, with as many of its violations as fit.
    pub(crate) fn build(mut self) -> Status {
        for value in self.metadata.values_mut() {
            *value = presentable(value, METADATA_VALUE_MAX_BYTES);
        }
        let message = presentable(&self.message, MESSAGE_MAX_BYTES);
        let total = self.violations.len().saturating_add(self.more_violations);
        self.violations.truncate(ERROR_VIOLATIONS_MAX);
        loop {
            let mut status = Status::with_error_details(self.code, &message, self.details_of(total));
            if status.details().len() > ERROR_DETAILS_MAX_BYTES && self.violations.pop().is_some() {
                continue;
            }
            if let Some(source) = self.source {
                status.set_source(source);
            }
            return status;
        }
    }

    /// The details, with the violations that are left of so many.
    fn details_of(&self, total: usize) -> ErrorDetails {
        let mut details = self.details.clone();
        let mut metadata = self.metadata.clone();
        if total > 0 {
            let codes: Vec<_> =
                self.violations.iter().map(|wrong| wrong.dynamics_code.as_deref().unwrap_or("")).collect();
            metadata.insert("dynamics_codes".to_owned(), codes.join(","));
            details.set_bad_request(self.violations.iter().map(Wrong::to_detail).collect::<Vec<_>>());
        }
        let left_out = total.saturating_sub(self.violations.len());
        if left_out > 0 {
            metadata.insert("violations_left_out".to_owned(), left_out.to_string());
        }
        details.set_error_info(self.reason, self.domain, metadata);
        details
    }
}

/// A violation as it leaves.
struct Wrong {
    field: String,
    description: String,
    reason: String,
    /// The number that Dynamics 365 has for just this.
    dynamics_code: Option<String>,
}

impl Wrong {
    fn new(field: &str, description: impl Display, reason: &str, dynamics_code: Option<&str>) -> Self {
        Wrong {
            field: presentable(field, FIELD_MAX_BYTES),
            description: presentable(&description.to_string(), DESCRIPTION_MAX_BYTES),
            reason: reason.to_owned(),
            dynamics_code: dynamics_code.map(str::to_owned),
        }
    }

    fn of(Violation { field, problem }: &Violation) -> Self {
        Wrong::new(field, problem, problem.reason(), own_dynamics_code(problem))
    }

    fn to_detail(&self) -> FieldViolation {
        let mut detail = FieldViolation::new(&self.field, &self.description);
        detail.reason.clone_from(&self.reason);
        detail
    }
}

/// A text as it may leave: no longer than this, and without characters that can't be seen or that control what shows it.
fn presentable(text: &str, bytes_max: usize) -> String {
    let mut presentable = String::new();
    for character in text.chars() {
        let is_seen = !(character.is_control() || is_invisible(character));
        let shown = if is_seen { character } else { char::REPLACEMENT_CHARACTER };
        if presentable.len().saturating_add(shown.len_utf8()) > bytes_max {
            presentable.push('…');
            break;
        }
        presentable.push(shown);
    }
    presentable
}

/// How long the parts of a status may be, in bytes. What we write is shorter; what a schema, a caller or a file adds is cut off. Each byte
/// of the message can take three in its header, and it stands in the details too.
const MESSAGE_MAX_BYTES: usize = 480;
const METADATA_VALUE_MAX_BYTES: usize = 300;
const FIELD_MAX_BYTES: usize = 150;
const DESCRIPTION_MAX_BYTES: usize = 400;

/// Fields of a request are wrong. A problem with a reason of its own decides the reason of the whole; the message has the violation that
/// decided, since most tools show nothing else.
pub(crate) fn invalid(mut violations: Vec<Violation>) -> Status {
    let position = |is: fn(&Problem) -> bool| violations.iter().position(|violation| is(&violation.problem));
    let first = position(|problem| matches!(problem, Problem::Encrypted { .. }))
        .or_else(|| position(|problem| matches!(problem, Problem::Filter(_))))
        .unwrap_or_default();
    // What decides is shown, however many there are.
    let first = if first < ERROR_VIOLATIONS_MAX {
        first
    } else {
        violations.swap(0, first);
        0
    };
    let problem = violations.get(first).map(|violation| &violation.problem);
    let message = first_and_more(&violations, first);
    let builder = match problem {
        Some(Problem::Encrypted { entity, attribute }) => {
            StatusBuilder::new(Code::InvalidArgument, ErrorReason::EncryptedAttribute, message)
                .with("entity", entity)
                .with("attribute", attribute)
        }
        Some(Problem::Filter(error)) => StatusBuilder::new(Code::InvalidArgument, ErrorReason::FilterInvalid, message)
            .with("position", error.position),
        Some(_) | None => {
            let code = violations.iter().find_map(|violation| own_dynamics_code(&violation.problem));
            StatusBuilder::new(Code::InvalidArgument, ErrorReason::FieldInvalid, message)
                .dynamics_code(code.unwrap_or("80040203"))
        }
    };
    let builder = builder.bound_if_any(violations.iter().find_map(bound_of_violation));
    // No more is made into text than is shown; the builder only needs to know that there are more.
    let total = violations.len();
    violations.truncate(ERROR_VIOLATIONS_MAX);
    let mut builder = violations.iter().map(Wrong::of).fold(builder, StatusBuilder::wrong);
    builder.more_violations = total.saturating_sub(ERROR_VIOLATIONS_MAX);
    builder.build()
}

/// The limit in `[limits]` that a violation is about, if it is about one.
pub(crate) fn bound_of_violation(violation: &Violation) -> Option<&'static str> {
    match (&*violation.field, &violation.problem) {
        ("read_mask" | "update_mask", Problem::TooMany { .. }) => Some("mask_paths_max"),
        ("attributes", Problem::TooMany { .. }) => Some("reveal_attributes_max"),
        (_, Problem::Filter(FilterError { problem: FilterProblem::TooLong { .. }, .. })) => {
            Some("filter_length_max_bytes")
        }
        (_, Problem::Filter(FilterError { problem: FilterProblem::TooDeep { .. }, .. })) => Some("filter_depth_max"),
        (_, Problem::Filter(FilterError { problem: FilterProblem::TooManyComparisons { .. }, .. })) => {
            Some("filter_comparisons_max")
        }
        _ => None,
    }
}

/// A violation in words, and how many there are beside it.
fn first_and_more(violations: &[Violation], first: usize) -> String {
    let Some(Violation { field, problem }) = violations.get(first) else { return "the request is invalid".to_owned() };
    and_more(format!("{field}: {problem}"), violations.len())
}

/// The words for one of so many violations.
fn and_more(words: String, total: usize) -> String {
    if total < 2 {
        return words;
    }
    format!("{}, and {} more", presentable(&words, MESSAGE_MAX_BYTES - 40), total.saturating_sub(1))
}

/// The number that Dynamics 365 has for just this problem, if it has one.
fn own_dynamics_code(problem: &Problem) -> Option<&str> {
    match problem {
        Problem::Rule { dynamics_code, .. } => dynamics_code.as_deref(),
        Problem::TooLong { .. } => Some("80044331"),
        Problem::OutOfRange { .. } => Some("80061004"),
        Problem::StatusNotOfState { .. } => Some("80048408"),
        Problem::Required
        | Problem::NotAChoice
        | Problem::HasNul
        | Problem::HasControl { .. }
        | Problem::HasInvisible
        | Problem::NotATime
        | Problem::NotAReference { .. }
        | Problem::ReferenceMissing
        | Problem::NotValidForCreate
        | Problem::NotValidForUpdate
        | Problem::Immutable
        | Problem::OutputOnly
        | Problem::NoSuchField { .. }
        | Problem::NotEncrypted
        | Problem::Repeated
        | Problem::NotAUuid
        | Problem::NotAName { .. }
        | Problem::NotAnOrganizationId
        | Problem::SystemRequired
        | Problem::NotRequirable
        | Problem::NotAuditable
        | Problem::NotIndexable { .. }
        | Problem::HasNoLength
        | Problem::TooMany { .. }
        | Problem::NotAnEtag
        | Problem::NotConfirmed { .. }
        | Problem::Encrypted { .. }
        | Problem::Order { .. }
        | Problem::OrderTooLong { .. }
        | Problem::Filter(_) => None,
    }
}

/// A page token that was not made for this list and this caller.
pub(crate) fn page_token_invalid() -> Status {
    StatusBuilder::new(
        Code::InvalidArgument,
        ErrorReason::PageTokenInvalid,
        "page_token: is not a token that this list returned to this caller for this filter and order",
    )
    .violation(
        "page_token",
        "is not a token that this list returned to this caller for this filter and order",
        "NOT_A_PAGE_TOKEN",
    )
    .build()
}

/// Why a list has no page.
pub(crate) fn listing(error: ListingError) -> Status {
    match error {
        ListingError::PageToken => page_token_invalid(),
        ListingError::TooLong { limit_ms } => list_too_long(limit_ms),
        ListingError::Unavailable(Unavailable(cause)) => unavailable(cause),
    }
}

/// Compressed messages aren't served: gRPC's answer to them, with the encodings that are.
fn compression_not_served() -> Status {
    let mut status = StatusBuilder::new(
        Code::Unimplemented,
        ErrorReason::CompressionNotServed,
        "compressed messages aren't served: send them without compression",
    )
    .build();
    status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static("identity"));
    status
}

/// The request isn't framed as gRPC frames it.
pub(crate) fn broken_message(broken: BrokenMessage) -> Status {
    let words = match broken {
        BrokenMessage::Compressed => return compression_not_served(),
        BrokenMessage::Missing => "the request has no message",
        BrokenMessage::Second => "the request has a second message: this method takes one",
        BrokenMessage::CutOff => "the request ends inside a message",
        BrokenMessage::Flag => "a message of the request is marked neither as compressed nor as not",
    };
    StatusBuilder::new(Code::InvalidArgument, ErrorReason::MessageInvalid, words).build()
}

/// The database looked for the records of a list for as long as it may.
fn list_too_long(limit_ms: u64) -> Status {
    let message = format!(
        "finding the records took longer than {limit_ms} ms: narrow the filter, order by an indexed attribute, or leave out the total size"
    );
    StatusBuilder::new(Code::ResourceExhausted, ErrorReason::ListTimeLimit, message)
        .bound("list_time_max_ms")
        .with("limit_ms", limit_ms)
        .build()
}

/// The message can't be decoded. What is wrong with it isn't repeated: it may hold anything.
pub(crate) fn message_invalid() -> Status {
    StatusBuilder::new(Code::InvalidArgument, ErrorReason::MessageInvalid, "the message can't be decoded").build()
}

/// There is no organization of this name; said only to who may do what was asked there.
pub(crate) fn organization_not_found(organization: &str) -> Status {
    not_found("there is no such organization").with("organization", organization).build()
}

/// There is an organization of this name, and it isn't served; said only to who may do what was asked there.
pub(crate) fn organization_not_served(organization: &str, why: NotServed) -> Status {
    let builder = match why {
        NotServed::Unavailable => StatusBuilder::new(
            Code::Unavailable,
            ErrorReason::OrganizationUnavailable,
            "the organization's database can't be opened now; the server's log has the cause, and it tries again",
        )
        .retry_after(RETRY_ORGANIZATION),
        NotServed::Mismatch => organization_mismatch(),
        NotServed::NewerVersion => StatusBuilder::new(
            Code::Unavailable,
            ErrorReason::WrittenByNewerVersion,
            "the organization's database was written by a newer version of the server, or with another schema",
        )
        .with("what", "database"),
    };
    builder.with("organization", organization).build()
}

fn organization_mismatch() -> StatusBuilder {
    StatusBuilder::new(
        Code::FailedPrecondition,
        ErrorReason::OrganizationMismatch,
        "the organization isn't served: its row or its database is not what it should be; the server's log has the cause",
    )
}

/// Why a server can't use keys that are there.
fn inaccessible(organization: &str, obstacle: Obstacle) -> Status {
    let builder = match obstacle {
        Obstacle::NewerRing { format } => written_by_newer_version("key-ring", format),
        Obstacle::NewerCell { format } => written_by_newer_version("cell", format),
        Obstacle::NewerKeyText { format } => written_by_newer_version("key-text", format),
        Obstacle::UnknownRootKey { id } => StatusBuilder::new(
            Code::Unavailable,
            ErrorReason::RootKeyUnknown,
            format!("the organization's key is sealed under the root key {id}, which this server doesn't have"),
        )
        .with("root_key_id", id),
    };
    builder.with("organization", organization).build()
}

fn written_by_newer_version(what: &'static str, format: impl Display) -> StatusBuilder {
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::WrittenByNewerVersion,
        format!("written by a newer version of the server ({what} of format {format}): nothing is lost, have that version serve it"),
    )
    .with("what", what)
    .with("format", format)
}

fn not_found(message: &str) -> StatusBuilder {
    StatusBuilder::new(Code::NotFound, ErrorReason::NotFound, message).dynamics_code("80040217")
}

fn already_exists(message: &str) -> StatusBuilder {
    StatusBuilder::new(Code::AlreadyExists, ErrorReason::AlreadyExists, message).dynamics_code("80040237")
}

/// Something failed that no input explains.
pub(crate) fn internal(error: impl Error + Send + Sync + 'static) -> Status {
    StatusBuilder::new(Code::Internal, ErrorReason::Internal, INTERNAL_WORDS).caused_by(error).build()
}

/// A task of the server ended without an outcome.
pub(crate) fn broken() -> Status {
    StatusBuilder::new(Code::Internal, ErrorReason::Internal, INTERNAL_WORDS).build()
}

const INTERNAL_WORDS: &str = "the server failed; its log has the reason under the id of this call";

fn audit(cause: impl Error + Send + Sync + 'static) -> StatusBuilder {
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::AuditUnavailable,
        "the audit record can't be written, so nothing was given or done",
    )
    .retry_after(RETRY_STORE)
    .caused_by(cause)
}

/// A database didn't answer.
pub(crate) fn unavailable(cause: Cause) -> Status {
    store_unavailable(cause).build()
}

/// An audit record couldn't be written.
pub(crate) fn audit_unavailable(cause: impl Error + Send + Sync + 'static) -> Status {
    audit(cause).build()
}

/// Audit records can't be copied, and this deployment does nothing that has to be recorded without.
pub(crate) fn audit_copy_unavailable(cause: CopyFails) -> Status {
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::AuditUnavailable,
        "audit records can't be copied as this deployment demands, so nothing was given or done",
    )
    .bound_if_any(cause.bound())
    .retry_after(RETRY_STORE)
    .caused_by(cause)
    .build()
}

fn store_unavailable(cause: Cause) -> StatusBuilder {
    if is_other_inside(&cause) {
        return organization_mismatch().caused_by(cause);
    }
    StatusBuilder::new(Code::Unavailable, ErrorReason::StoreUnavailable, "the store is unavailable; nothing changed")
        .retry_after(RETRY_STORE)
        .caused_by(cause)
}

/// Whether a database was found to be another organization's when it was opened again.
fn is_other_inside(cause: &Cause) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(&*cause.0);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(OpenError::OtherInside)) {
            return true;
        }
        next = error.source();
    }
    false
}

fn outcome_unknown(cause: Cause) -> StatusBuilder {
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::OutcomeUnknown,
        "whether the change took effect is not known: read before you repeat it",
    )
    .caused_by(cause)
}

/// A database, the root key or the audit trail failed.
fn store_failure(failure: StoreFailure) -> StatusBuilder {
    match failure {
        StoreFailure::AuditUnavailable(cause) => audit(cause),
        StoreFailure::Unavailable(cause) => store_unavailable(cause),
        StoreFailure::Unknown(cause) => outcome_unknown(cause),
    }
}

/// How soon a store that did not answer may be asked again.
const RETRY_STORE: Duration = Duration::from_secs(1);

/// How soon an organization that couldn't be opened may be asked for again.
const RETRY_ORGANIZATION: Duration = Duration::from_secs(10);

/// How soon a SetDataEncryptionKey that found another one running may be tried again.
const RETRY_SET_KEY: Duration = Duration::from_secs(5);

fn ring_damaged(organization: &str) -> Status {
    StatusBuilder::new(Code::DataLoss, ErrorReason::KeyRingDamaged, "the organization's key ring is missing or damaged")
        .with("organization", organization)
        .dynamics_code("8004852F")
        .build()
}

fn inactive(organization: &str, wanted: Fingerprint) -> Status {
    StatusBuilder::new(
        Code::FailedPrecondition,
        ErrorReason::DataEncryptionInactive,
        format!("data encryption is inactive: restore the key with the fingerprint {wanted}"),
    )
    .with("organization", organization)
    .with("wanted_fingerprint", wanted)
    .dynamics_code("80048524")
    .build()
}

/// Why a record was not handled as asked.
pub(crate) fn record(error: RecordError, place: &RecordPlace) -> Status {
    let (organization, entity) = (&place.organization.name, &place.entity.name);
    match error {
        RecordError::Invalid(violations) => invalid(violations),
        RecordError::PageToken => page_token_invalid(),
        RecordError::ListTooLong { limit_ms } => list_too_long(limit_ms),
        RecordError::NotFound => {
            not_found("there is no such record").with("organization", organization).with("entity", entity).build()
        }
        RecordError::AlreadyExists => already_exists("a record with this id exists")
            .with("organization", organization)
            .with("entity", entity)
            .build(),
        RecordError::EtagMismatch => StatusBuilder::new(
            Code::Aborted,
            ErrorReason::EtagMismatch,
            "the record has changed since the etag was given: read it again",
        )
        .with("organization", organization)
        .with("entity", entity)
        .dynamics_code("80060882")
        .build(),
        RecordError::RequestIdReused => StatusBuilder::new(
            Code::InvalidArgument,
            ErrorReason::RequestIdReused,
            "this request id belongs to another request of yours; nothing was changed by this one",
        )
        .with("organization", organization)
        .violation("request_id", "was given with another request in the last 24 hours", "REUSED")
        .build(),
        RecordError::ReferenceInUse { entity, attribute } => StatusBuilder::new(
            Code::FailedPrecondition,
            ErrorReason::ReferenceInUse,
            format!("{entity}.{attribute} of another record refers to this one"),
        )
        .with("organization", organization)
        .with("entity", entity)
        .with("attribute", attribute)
        .build(),
        RecordError::Inactive { wanted } => inactive(organization, wanted),
        RecordError::RingDamaged => ring_damaged(organization),
        RecordError::Inaccessible(obstacle) => inaccessible(organization, obstacle),
        RecordError::CellUnreadable { entity, attribute } => {
            StatusBuilder::new(Code::DataLoss, ErrorReason::CellUnreadable, "the stored value can't be opened")
                .with("organization", organization)
                .with("entity", entity)
                .with("attribute", attribute)
                .dynamics_code("80048524")
                .build()
        }
        RecordError::ComparisonQuota { limit, retry_after_seconds } => StatusBuilder::new(
            Code::ResourceExhausted,
            ErrorReason::ComparisonQuota,
            format!("the attribute was compared {limit} times within 15 minutes; wait"),
        )
        .with("organization", organization)
        .bound(COMPARISONS)
        .with("limit", limit)
        .with("interval_seconds", INTERVAL_SECONDS)
        .retry_after(Duration::from_secs(retry_after_seconds.into()))
        .build(),
        RecordError::Store(failure) => store_failure(failure).with("organization", organization).build(),
    }
}

/// An application doesn't do what was asked in this organization, for a reason of its own.
pub(crate) fn refused_by_application(reason: impl Reason, message: &'static str, organization: &str) -> Status {
    StatusBuilder::new(Code::FailedPrecondition, reason, message).with("organization", organization).build()
}

/// There is no entity, or no attribute, of this name.
pub(crate) fn metadata_not_found(message: &str) -> Status {
    not_found(message).build()
}

/// An encrypted attribute can't have this done to it.
pub(crate) fn encrypted_attribute(organization: &Organization, entity: &Entity, attribute: &Attribute) -> Status {
    let message = format!(
        "{}.{} is encrypted: it can't be audited, indexed or customized, since its values are sealed and nobody is to read them",
        entity.name, attribute.name
    );
    StatusBuilder::new(Code::FailedPrecondition, ErrorReason::EncryptedAttribute, message)
        .with("organization", &organization.name)
        .with("entity", &entity.name)
        .with("attribute", &attribute.name)
        .build()
}

/// Why an attribute's metadata did not change.
pub(crate) fn update_metadata(
    error: UpdateMetadataError,
    organization: &Organization,
    entity: &Entity,
    attribute: &Attribute,
) -> Status {
    match error {
        UpdateMetadataError::Encrypted => encrypted_attribute(organization, entity, attribute),
        UpdateMetadataError::Invalid(violations) => invalid(violations),
        UpdateMetadataError::Store(failure) => store_failure(failure).with("organization", &organization.name).build(),
    }
}

/// Why an organization was not created.
pub(crate) fn create_organization(error: CreateOrganizationError, organization: &str) -> Status {
    match error {
        CreateOrganizationError::Invalid(violations) => invalid(violations),
        CreateOrganizationError::AlreadyExists => {
            already_exists("an organization of this name exists").with("organization", organization).build()
        }
        CreateOrganizationError::NotServed(why) => organization_not_served(organization, why),
        CreateOrganizationError::Store(failure) => store_failure(failure).build(),
    }
}

/// Why an organization was not imported.
pub(crate) fn import_organization(error: ImportError, organization: &str) -> Status {
    match error {
        ImportError::Invalid(problem) => {
            let message = format!("the export can't be imported: {problem}");
            StatusBuilder::new(Code::InvalidArgument, ErrorReason::ExportInvalid, message)
                .with("problem", problem)
                .build()
        }
        ImportError::NotAName => invalid(vec![Violation::new("organization_id", Problem::NotAnOrganizationId)]),
        ImportError::AlreadyExists => {
            let builder = already_exists("an organization of this name, or of this UUID, exists");
            if organization.is_empty() { builder.build() } else { builder.with("organization", organization).build() }
        }
        ImportError::NotServed { name, why } => organization_not_served(&name, why),
        ImportError::Store(failure) => store_failure(failure).build(),
    }
}

/// The limit in `[limits]` on comparisons of one attribute.
pub(crate) const COMPARISONS: &str = "comparisons_per_15_minutes";

/// The limit in `[limits]` that refused work on a key, if one did.
pub(crate) fn bound_of_key_error(error: &KeyError) -> Option<&'static str> {
    if matches!(error, KeyError::ChangeQuota { .. }) {
        Some("key_changes_per_hour")
    } else if matches!(error, KeyError::RestoreQuota { .. }) {
        Some("wrong_key_restores_per_15_minutes")
    } else {
        None
    }
}

/// Why a key was not checked, retrieved, changed or restored. `progress` is how many cells of how many a re-encryption has done.
pub(crate) fn key(error: KeyError, organization: &str, progress: Option<(u64, u64)>) -> Status {
    use Code::{Aborted, FailedPrecondition, InvalidArgument, ResourceExhausted};
    let bound = bound_of_key_error(&error);
    let with_organization = |code, reason, message: String| {
        StatusBuilder::new(code, reason, message).with("organization", organization).bound_if_any(bound)
    };
    match error {
        KeyError::AlreadyRunning => {
            let message = "a SetDataEncryptionKey, or the re-encryption after one, is running".to_owned();
            let (done, total) = progress.unwrap_or_default();
            with_organization(Aborted, ErrorReason::SetKeyAlreadyRunning, message)
                .with("cells_done", done)
                .with("cells_total", total)
                .dynamics_code("8004852A")
                .retry_after(RETRY_SET_KEY)
                .build()
        }
        KeyError::Inactive { wanted } => {
            let message = format!("the key is missing: restore the one with the fingerprint {wanted}, then change it");
            with_organization(FailedPrecondition, ErrorReason::KeyInactive, message)
                .with("wanted_fingerprint", wanted)
                .dynamics_code("80048527")
                .build()
        }
        KeyError::NotPresent { wanted } => inactive(organization, wanted),
        KeyError::AlreadyActive => {
            let message = "data encryption is active: the key is present and working".to_owned();
            with_organization(FailedPrecondition, ErrorReason::KeyAlreadyActive, message)
                .dynamics_code("80048525")
                .build()
        }
        KeyError::RingDamaged => ring_damaged(organization),
        KeyError::Inaccessible(obstacle) => inaccessible(organization, obstacle),
        KeyError::Mismatch { wanted, given_length, hints } => {
            let builder =
                with_organization(FailedPrecondition, ErrorReason::KeyMismatch, mismatch_message(wanted, &hints))
                    .with("wanted_fingerprint", wanted)
                    .with("given_length", given_length)
                    .dynamics_code("8004852B");
            let names: Vec<_> = hints.iter().map(|hint| hint.name()).collect();
            if names.is_empty() { builder.build() } else { builder.with("given_text", names.join(",")).build() }
        }
        KeyError::ChangeQuota { limit, retry_after_seconds } => {
            let message =
                format!("the key was changed {limit} times within an hour; wait {retry_after_seconds} seconds");
            with_organization(ResourceExhausted, ErrorReason::KeyChangeQuota, message)
                .with("limit", limit)
                .with("interval_seconds", 3_600)
                .dynamics_code("80048529")
                .retry_after(Duration::from_secs(retry_after_seconds))
                .build()
        }
        KeyError::RestoreQuota { limit, retry_after_seconds } => {
            let message =
                format!("a restore was attempted {limit} times within 15 minutes; wait {retry_after_seconds} seconds");
            with_organization(ResourceExhausted, ErrorReason::KeyRestoreQuota, message)
                .with("limit", limit)
                .with("interval_seconds", 900)
                .dynamics_code("80048529")
                .retry_after(Duration::from_secs(retry_after_seconds))
                .build()
        }
        KeyError::NotConfirmed { expected } => {
            invalid(vec![Violation::new("confirm_fingerprint", Problem::NotConfirmed { expected })])
        }
        KeyError::TextRule { violations, given_length } => {
            let first = violations.first().map_or_else(String::new, ToString::to_string);
            let message = and_more(format!("{ENCRYPTION_KEY}: {first}"), violations.len());
            let builder = with_organization(InvalidArgument, ErrorReason::KeyValidation, message)
                .with("given_length", given_length)
                .dynamics_code(KEY_VALIDATION_CODE);
            let wrong = |violation: &KeyTextViolation| {
                Wrong::new(ENCRYPTION_KEY, violation, violation.reason(), Some(KEY_VALIDATION_CODE))
            };
            violations.iter().map(wrong).fold(builder, StatusBuilder::wrong).build()
        }
        KeyError::TextNotRestorable { violation, given_length } => {
            let message = format!("{ENCRYPTION_KEY}: {violation}");
            with_organization(InvalidArgument, ErrorReason::KeyValidation, message)
                .with("given_length", given_length)
                .dynamics_code(KEY_VALIDATION_CODE)
                .wrong(Wrong::new(ENCRYPTION_KEY, violation, violation.reason(), Some(KEY_VALIDATION_CODE)))
                .build()
        }
        KeyError::Store(failure) => store_failure(failure).with("organization", organization).build(),
    }
}

/// The field of a key's text.
const ENCRYPTION_KEY: &str = "encryption_key";

/// The number that Dynamics 365 has for a text that breaks the rule.
const KEY_VALIDATION_CODE: &str = "80048528";

/// Says which key is wanted, and what can be said of the given text without repeating it.
fn mismatch_message(wanted: Fingerprint, hints: &[GivenTextHint]) -> String {
    let message = format!("this key does not open the data; the one with the fingerprint {wanted} does");
    if hints.is_empty() {
        return message;
    }
    let words: Vec<_> = hints.iter().map(|hint| hint.words()).collect();
    format!("{message}. The given text {}: check how it was entered", words.join(", "))
}

/// A reason as the contract writes it: without the prefix that buf asks for.
pub(crate) fn reason_name(reason: impl Reason) -> &'static str {
    let name = reason.full_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// Whether an error has a reason: the framework's have none until they leave.
pub(crate) fn is_complete(status: &Status) -> bool {
    status.get_details_error_info().is_some()
}

/// Completes the status in `headers` (of a response without a body, or trailers): the id of the call, and an ErrorInfo where there is
/// none, which is where the framework made the error. Headers that say OK, or nothing, stay as they are.
pub(crate) fn complete(headers: &mut HeaderMap, call_id: &str) {
    // Status reads the details with an `expect`; what a header of the framework's holds is never anything but base64.
    let Some(status) = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok) else { return };
    let mut details = status.get_error_details();
    let (mut code, mut message) = (status.code(), status.message());
    if details.error_info().is_none() {
        let (own_code, reason, words) = framework_error(code);
        details.set_error_info(reason_name(reason), DOMAIN, HashMap::new());
        code = own_code;
        message = words.unwrap_or(message);
    }
    let message = presentable(message, MESSAGE_MAX_BYTES);
    details.set_request_info(call_id, "");
    // Adding fails for a text that no header can hold; the incomplete status stands then.
    let _incomplete = Status::with_error_details(code, message, details).add_header(headers);
}

/// Code and reason for an error that the framework made, and words to put in place of its own where those may be internal.
fn framework_error(code: Code) -> (Code, ErrorReason, Option<&'static str>) {
    match code {
        Code::Unimplemented => (code, ErrorReason::MethodUnknown, None),
        // tonic answers a message that can't be decoded with INTERNAL, as if the server were to blame.
        Code::InvalidArgument | Code::Internal => {
            (Code::InvalidArgument, ErrorReason::MessageInvalid, Some("the message can't be decoded"))
        }
        Code::OutOfRange | Code::ResourceExhausted => (code, ErrorReason::MessageTooLarge, None),
        Code::DeadlineExceeded => (code, ErrorReason::DeadlineExceeded, None),
        Code::Cancelled => (code, ErrorReason::Cancelled, None),
        Code::NotFound => (code, ErrorReason::NotFound, None),
        Code::PermissionDenied => (code, ErrorReason::PrivilegeMissing, None),
        Code::Unauthenticated => (code, ErrorReason::IdentityRequired, None),
        Code::Ok
        | Code::Unknown
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::DataLoss => (code, ErrorReason::Internal, Some(INTERNAL_WORDS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers_of(status: &Status) -> HeaderMap {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        headers
    }

    fn completed(status: &Status) -> Status {
        let mut headers = headers_of(status);
        complete(&mut headers, "the-call");
        Status::from_header_map(&headers).unwrap()
    }

    #[test]
    fn a_refusal_carries_reason_domain_and_the_originals_number() {
        let status = Status::from(Refusal::HttpsRequired);
        assert_eq!(status.code(), Code::FailedPrecondition);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("HTTPS_REQUIRED", "sealward"));
        assert_eq!(info.metadata.get("dynamics_code").map(String::as_str), Some("8004852C"));
    }

    #[test]
    fn a_refusal_by_a_limit_names_the_limit() {
        let second = Duration::from_secs(1);
        for (refusal, bound) in [
            (
                Refusal::TooOften {
                    bound: "calls_per_second_per_identity",
                    limit: 1,
                    interval_seconds: 1,
                    retry_after: second,
                },
                "calls_per_second_per_identity",
            ),
            (Refusal::NoPlace(NoPlace::OfIdentity { limit: 1 }), "connections_per_identity_max"),
            (Refusal::NoPlace(NoPlace::OfAll { limit: 1 }), "connections_max"),
            (Refusal::RequestMemory { bound: "requests_max_bytes", limit: 1 }, "requests_max_bytes"),
            (Refusal::MessageTooLarge { bound: "message_size_max_bytes", limit: 1 }, "message_size_max_bytes"),
            (Refusal::MessageTooSlow { limit: second }, "message_time_max_ms"),
            (Refusal::TooManyInFlight { bound: "streams_per_identity_max", limit: 1 }, "streams_per_identity_max"),
            (Refusal::TooManyIndexSwitches { limit: 1, retry_after: second }, "index_switches_per_hour"),
            (Refusal::TransferLimit(TransferLimit::Rate), "transfer_rate_min_bytes_per_second"),
            (Refusal::TransferLimit(TransferLimit::Time), "transfer_time_max_seconds"),
            (Refusal::TransferLimit(TransferLimit::Log), "write_ahead_log_max_bytes"),
            (Refusal::TransferLimit(TransferLimit::KeyChange), "snapshot"),
            (Refusal::MetadataTooLarge(MetadataTooLarge { limit: 1 }), "header_list_size_max_bytes"),
            (Refusal::TokenRefused(TokenProblem::Lifetime { max_seconds: 1 }), "token_lifetime_max_seconds"),
        ] {
            assert_eq!(bound_in(&Status::from(refusal)).as_deref(), Some(bound));
        }
        let change = KeyError::ChangeQuota { limit: 1, retry_after_seconds: 1 };
        assert_eq!(bound_in(&key(change, "default", None)).as_deref(), Some("key_changes_per_hour"));
        let restore = KeyError::RestoreQuota { limit: 1, retry_after_seconds: 1 };
        assert_eq!(bound_in(&key(restore, "default", None)).as_deref(), Some("wrong_key_restores_per_15_minutes"));
        assert_eq!(bound_in(&key(KeyError::AlreadyActive, "default", None)), None);
        let behind = audit_copy_unavailable(CopyFails::Behind { records: 2, limit: 1 });
        assert_eq!(bound_in(&behind).as_deref(), Some("audit_copy_behind_max_records"));
        assert_eq!(bound_in(&list_too_long(1)).as_deref(), Some("list_time_max_ms"));
        // Of several violations, the first that a limit refused.
        let violations = vec![wrong_field("x"), Violation::new("read_mask", Problem::TooMany { limit: 1 })];
        assert_eq!(bound_in(&invalid(violations)).as_deref(), Some("mask_paths_max"));
        assert_eq!(bound_in(&invalid(vec![wrong_field("x")])), None);
    }

    fn bound_in(status: &Status) -> Option<String> {
        status.get_details_error_info()?.metadata.get(BOUND).cloned()
    }

    #[test]
    fn words_of_a_transfer_limit_are_true_of_every_call_that_it_can_end() {
        // A verification of cells has a snapshot too, and transfers no file.
        for limit in [TransferLimit::Log, TransferLimit::KeyChange] {
            let words = limit.words();
            assert!(!words.contains("export") && !words.contains("transfer"), "{words}");
        }
    }

    #[test]
    fn completing_adds_the_call_and_keeps_the_rest() {
        let status = StatusBuilder::new(Code::ResourceExhausted, ErrorReason::KeyChangeQuota, "wait")
            .with("limit", 5)
            .violation("encryption_key", "too short", "TOO_SHORT")
            .retry_after(Duration::from_secs(7))
            .build();
        let completed = completed(&status);
        assert_eq!((completed.code(), completed.message()), (status.code(), status.message()));
        let details = completed.get_error_details();
        assert_eq!(details.request_info().unwrap().request_id, "the-call");
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.metadata.get("limit").map(String::as_str)),
            ("KEY_CHANGE_QUOTA", Some("5"))
        );
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(7)));
        assert_eq!(details.bad_request().unwrap().field_violations.len(), 1);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what the framework does")]
    fn the_frameworks_errors_get_a_reason() {
        for (status, reason) in [
            (Status::unimplemented(""), "METHOD_UNKNOWN"),
            (Status::out_of_range("too large"), "MESSAGE_TOO_LARGE"),
            (Status::cancelled("Timeout expired"), "CANCELLED"),
        ] {
            let completed = completed(&status);
            assert_eq!((completed.code(), completed.message()), (status.code(), status.message()));
            assert_eq!(completed.get_details_error_info().unwrap().reason, reason);
            assert_eq!(completed.get_details_request_info().unwrap().request_id, "the-call");
        }
        let undecodable = completed(&Status::internal("failed to decode Protobuf message: the field /secret"));
        assert_eq!(
            (undecodable.code(), undecodable.message()),
            (Code::InvalidArgument, "the message can't be decoded")
        );
        assert_eq!(undecodable.get_details_error_info().unwrap().reason, "MESSAGE_INVALID");
        let unknown = completed(&Status::unknown("the path /secret is missing"));
        assert_eq!(unknown.get_details_error_info().unwrap().reason, "INTERNAL");
        assert!(!unknown.message().contains("secret"));
    }

    fn wrong_field(field: impl Into<String>) -> Violation {
        Violation::new(field, Problem::Required)
    }

    /// The length of the headers that a status becomes, as HTTP/2 counts them: 32 bytes for each beside its name and value.
    fn headers_length(status: &Status) -> usize {
        let mut headers = headers_of(status);
        complete(&mut headers, "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506");
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
    }

    #[test]
    fn an_error_lists_16_violations_and_counts_the_others() {
        for (total, left_out) in [(1, None), (16, None), (17, Some("1")), (100_000, Some("99984"))] {
            let status = invalid((0..total).map(|index| wrong_field(format!("field_{index}"))).collect());
            let details = status.get_error_details();
            assert_eq!(details.bad_request().unwrap().field_violations.len(), total.min(16));
            let info = details.error_info().unwrap();
            assert_eq!(info.metadata.get("violations_left_out").map(String::as_str), left_out, "{total}");
            assert_eq!(info.metadata["dynamics_codes"], ",".repeat(total.min(16) - 1));
            let more = if total > 1 { format!(", and {} more", total - 1) } else { String::new() };
            assert_eq!(status.message(), format!("field_0: must have a value{more}"));
        }
    }

    #[test]
    fn no_error_is_larger_than_clients_take() {
        let long = |character: char| character.to_string().repeat(100_000);
        let everything = (0..100).map(|_| {
            let description = long('é');
            Violation::new(
                long('e'),
                Problem::Rule { reason: "REASON".to_owned(), description, dynamics_code: Some("8005E201".to_owned()) },
            )
        });
        for status in [
            invalid(everything.collect()),
            import_organization(ImportError::Invalid(long('\u{1f511}')), "default"),
            StatusBuilder::new(Code::Internal, ErrorReason::Internal, long('%'))
                .with("one", long('é'))
                .with("two", long('é'))
                .build(),
        ] {
            assert!(headers_length(&status) <= 8_192, "{}", headers_length(&status));
            assert!(!status.get_error_details().error_info().unwrap().reason.is_empty());
        }
    }

    #[test]
    fn a_violation_that_decides_the_reason_is_shown_however_many_there_are() {
        let mut violations: Vec<_> = (0..40).map(|_| wrong_field("mailbox.display_name")).collect();
        let (entity, attribute) = ("Mailbox".to_owned(), "password".to_owned());
        violations.push(Violation::new("filter", Problem::Encrypted { entity, attribute }));
        let status = invalid(violations);
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "ENCRYPTED_ATTRIBUTE");
        assert_eq!(details.bad_request().unwrap().field_violations[0].reason, "ENCRYPTED");
        assert!(status.message().starts_with("filter: names `password`"), "{}", status.message());
    }

    #[test]
    fn each_violation_has_its_own_number_of_dynamics_365() {
        let status = invalid(vec![
            wrong_field("mailbox.display_name"),
            Violation::new("mailbox.username", Problem::TooLong { given: 201, limit: 200 }),
            Violation::new("profile.port", Problem::OutOfRange { minimum: 0, maximum: 65_535 }),
        ]);
        let details = status.get_error_details();
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(metadata["dynamics_codes"], ",80044331,80061004");
        assert_eq!(metadata["dynamics_code"], "80044331");
    }

    #[test]
    fn every_violation_has_a_reason() {
        let rule = KeyError::TextRule {
            violations: vec![KeyTextViolation::NoLetter, KeyTextViolation::InvisibleCharacter],
            given_length: 12,
        };
        for (status, reasons) in [
            (key(rule, "default", None), &["NO_LETTER", "HAS_INVISIBLE"][..]),
            (page_token_invalid(), &["NOT_A_PAGE_TOKEN"]),
        ] {
            let details = status.get_error_details();
            let violations = &details.bad_request().unwrap().field_violations;
            let given: Vec<_> = violations.iter().map(|violation| violation.reason.as_str()).collect();
            assert_eq!(given, reasons);
        }
    }

    #[test]
    fn a_key_mismatch_hints_at_the_given_text_without_repeating_it() {
        let wanted = Fingerprint::from_bytes([7; 8]);
        let mismatch = |hints| key(KeyError::Mismatch { wanted, given_length: 12, hints }, "default", None);
        let plain = mismatch(Vec::new());
        assert_eq!(plain.get_error_details().error_info().unwrap().metadata.get("given_text"), None);
        let hinted = mismatch(vec![GivenTextHint::BeginsWithByteOrderMark, GivenTextHint::EndsWithBlank]);
        let details = hinted.get_error_details();
        assert_eq!(details.error_info().unwrap().metadata["given_text"], "BEGINS_WITH_BYTE_ORDER_MARK,ENDS_WITH_BLANK");
        assert!(hinted.message().contains("begins with a byte order mark, ends with whitespace"));
    }

    #[test]
    fn no_control_or_invisible_character_leaves_in_an_error() {
        let text = "a\u{1b}[31m\r\n\u{202e}\u{200b}b";
        let status = import_organization(ImportError::Invalid(text.to_owned()), "default");
        let details = status.get_error_details();
        for shown in [status.message(), &*details.error_info().unwrap().metadata["problem"]] {
            assert!(!shown.chars().any(|character| character.is_control() || is_invisible(character)), "{shown:?}");
        }
    }

    #[test]
    fn an_answer_without_an_error_stays_as_it_is() {
        let mut headers = HeaderMap::new();
        complete(&mut headers, "the-call");
        assert!(headers.is_empty());
        headers.insert(Status::GRPC_STATUS, i32::from(Code::Ok).into());
        complete(&mut headers, "the-call");
        assert_eq!(headers.len(), 1);
    }
}
