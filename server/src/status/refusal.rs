//! What the transport, the gates and the bounds refuse, before a message was read or after its time has passed.

use std::{fmt::Display, time::Duration};

use sealward::v1::ErrorReason;
use sealward_core::{identity::Identity, name::OrganizationName, policy::Privilege};
use tonic::{Code, Status};

use super::{
    builder::{BOUND, StatusBuilder},
    reason::Reason,
};
use crate::{
    identity::{jwks::FETCH_PAUSE, token::TokenProblem},
    transport::connection_limit::NoPlace,
};

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
    Organization(OrganizationName),
    /// For what belongs to no organization, which only a binding to `*` allows.
    Deployment,
}

impl PrivilegeRefusal {
    /// No binding grants the privilege in any organization.
    pub(crate) fn anywhere(identity: &Identity, privilege: Privilege) -> Self {
        Self { identity: identity.clone(), privilege, place: PrivilegePlace::Anywhere }
    }

    /// No binding grants the privilege in the organization of this name.
    pub(crate) fn within(identity: &Identity, privilege: Privilege, organization: &OrganizationName) -> Self {
        let place = PrivilegePlace::Organization(organization.clone());
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
    fn from(refusal: PrivilegeRefusal) -> Self {
        privilege_missing(refusal).build()
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

    pub(super) fn words(self) -> &'static str {
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
        builder_of(refusal).build()
    }
}

fn builder_of(refusal: Refusal) -> StatusBuilder {
    match refusal {
        Refusal::HttpsRequired => StatusBuilder::new(
            Code::FailedPrecondition,
            ErrorReason::HttpsRequired,
            "connect with TLS: this service isn't given without",
        )
        .dynamics_code("8004852C"),
        Refusal::IdentityRequired => unauthenticated("show a client certificate that names you, or a bearer token"),
        Refusal::CertificateExpired => unauthenticated("your client certificate has expired"),
        Refusal::CertificateNotBelieved => {
            unauthenticated("your client certificate is no longer accepted: it was revoked, or its CA was removed")
        }
        Refusal::TokenRefused(TokenProblem::KeysUnavailable) => StatusBuilder::new(
            Code::Unavailable,
            ErrorReason::TokenKeysUnavailable,
            "your bearer token can't be verified: the keys of its issuer can't be fetched now",
        )
        .retry_after(FETCH_PAUSE),
        Refusal::TokenRefused(problem) => {
            unauthenticated(format!("your bearer token isn't accepted: {problem}")).bound_if_any(problem.bound())
        }
        Refusal::IdentitiesDisagree => unauthenticated(
            "your bearer token and your client certificate don't belong together: show one of them, or a token that is bound to the certificate",
        ),
        Refusal::PrivilegeMissing(refusal) => privilege_missing(*refusal),
        Refusal::TooOften { bound, limit, interval_seconds, retry_after } => exhausted(
            ErrorReason::RateLimited,
            bound,
            limit,
            format!("you called more often than {limit} times within {interval_seconds} seconds"),
        )
        .with("interval_seconds", interval_seconds)
        .retry_after(retry_after),
        Refusal::NoPlace(no_place) => {
            let (limit, message) = match no_place {
                NoPlace::OfIdentity { limit } => {
                    (limit, format!("you have {limit} connections already: use those, or end some"))
                }
                NoPlace::OfAll { limit } => {
                    (limit, format!("the server has {limit} connections already, its limit: try again later"))
                }
            };
            exhausted(ErrorReason::ConnectionLimit, no_place.bound(), limit, message).retry_after(RETRY_ELSEWHERE)
        }
        Refusal::RequestMemory { bound, limit } => exhausted(
            ErrorReason::RequestMemoryLimit,
            bound,
            limit,
            format!("requests already use the {limit} bytes of memory that they may use: send fewer at once, or try again later"),
        )
        .retry_after(RETRY_ELSEWHERE),
        Refusal::TooManyInFlight { bound, limit } => exhausted(
            ErrorReason::InFlightLimit,
            bound,
            limit,
            format!("{limit} calls of this kind are under way, as many as {bound} allows: wait until some are done"),
        )
        .retry_after(RETRY_IN_FLIGHT),
        Refusal::TooManyIndexSwitches { limit, retry_after } => exhausted(
            ErrorReason::IndexQuota,
            "index_switches_per_hour",
            limit,
            format!("indexes were switched {limit} times within an hour; nothing changed"),
        )
        .with("interval_seconds", 3_600)
        .retry_after(retry_after),
        Refusal::MetadataTooLarge(MetadataTooLarge { limit }) => exhausted(
            ErrorReason::MetadataTooLarge,
            "header_list_size_max_bytes",
            limit,
            format!("the call's metadata is larger than {limit} bytes: send less of it"),
        ),
        Refusal::MessageTooLarge { bound, limit } => StatusBuilder::new(
            Code::OutOfRange,
            ErrorReason::MessageTooLarge,
            format!("a message of the request is larger than {limit} bytes, the limit {bound}: send smaller messages"),
        )
        .bound(bound)
        .with("limit", limit),
        Refusal::MessageTooSlow { limit } => StatusBuilder::new(
            Code::DeadlineExceeded,
            ErrorReason::MessageTooSlow,
            format!("the message took longer than {} ms to arrive: send it faster, or send less", limit.as_millis()),
        )
        .bound("message_time_max_ms")
        .with("limit_ms", limit.as_millis()),
        Refusal::ConnectionEnding => StatusBuilder::new(
            Code::Unavailable,
            ErrorReason::ConnectionEnding,
            "the server ends this connection: make the call again",
        )
        .retry_after(RETRY_IN_FLIGHT),
        Refusal::TransferLimit(limit) => {
            StatusBuilder::new(Code::Aborted, ErrorReason::TransferLimit, limit.words())
                .with(BOUND, limit.bound().unwrap_or("snapshot"))
                .retry_after(RETRY_ELSEWHERE)
        }
        Refusal::NotPermitted => {
            StatusBuilder::new(Code::PermissionDenied, ErrorReason::PrivilegeMissing, "nobody may call this method")
        }
        Refusal::MethodUnknown => {
            StatusBuilder::new(Code::Unimplemented, ErrorReason::MethodUnknown, "there is no such method")
        }
        Refusal::TimeoutInvalid => StatusBuilder::new(
            Code::InvalidArgument,
            ErrorReason::TimeoutInvalid,
            "grpc-timeout can't be read: send it once, as 1 to 8 digits and one of the units H, M, S, m, u, n",
        ),
        Refusal::CompressionNotServed => compression_not_served(),
        Refusal::Cancelled => StatusBuilder::new(Code::Cancelled, ErrorReason::Cancelled, "the call was cancelled"),
        Refusal::DeadlineExceeded => StatusBuilder::new(
            Code::DeadlineExceeded,
            ErrorReason::DeadlineExceeded,
            "the time for this call has passed",
        ),
        Refusal::ClockOutOfRange => {
            tracing::error!("clock out of range: it must show a time in the years 1970 to 9999");
            StatusBuilder::new(
                Code::Unavailable,
                ErrorReason::ClockOutOfRange,
                "the server's clock is out of range; nothing was done: try another replica, or try again later",
            )
            .retry_after(RETRY_CLOCK)
        }
        Refusal::ShuttingDown => {
            StatusBuilder::new(Code::Unavailable, ErrorReason::ShuttingDown, "the server is shutting down")
                .retry_after(RETRY_ELSEWHERE)
        }
    }
}

/// The caller has no identity that the server accepts.
fn unauthenticated(message: impl Into<String>) -> StatusBuilder {
    StatusBuilder::new(Code::Unauthenticated, ErrorReason::IdentityRequired, message)
}

/// A limit in `[limits]` is reached.
fn exhausted(reason: ErrorReason, bound: &'static str, limit: impl Display, message: String) -> StatusBuilder {
    StatusBuilder::new(Code::ResourceExhausted, reason, message).bound(bound).with("limit", limit)
}

fn privilege_missing(PrivilegeRefusal { identity, privilege, place }: PrivilegeRefusal) -> StatusBuilder {
    let lacks = format!("{identity} lacks the privilege {privilege}");
    let (message, organization) = match place {
        PrivilegePlace::Anywhere => (format!("{lacks} in every organization"), None),
        PrivilegePlace::Organization(name) => (format!("{lacks} in {}", name.resource_name()), Some(name.to_string())),
        PrivilegePlace::Deployment => {
            (format!("{lacks} for the whole deployment: it takes a binding to \"*\""), Some("*".to_owned()))
        }
    };
    let builder = StatusBuilder::new(Code::PermissionDenied, ErrorReason::PrivilegeMissing, message)
        .with("privilege", privilege)
        .with("identity", identity);
    match organization {
        Some(name) => builder.with("organization", name),
        None => builder,
    }
}

/// Compressed messages aren't served: gRPC's answer to them, with the encodings that are.
fn compression_not_served() -> StatusBuilder {
    StatusBuilder::new(
        Code::Unimplemented,
        ErrorReason::CompressionNotServed,
        "compressed messages aren't served: send them without compression",
    )
    .header("grpc-accept-encoding", "identity")
}

/// The request isn't framed as gRPC frames it.
pub(crate) fn broken_message(broken: BrokenMessage) -> Status {
    let words = match broken {
        BrokenMessage::Compressed => return compression_not_served().build(),
        BrokenMessage::Missing => "the request has no message",
        BrokenMessage::Second => "the request has a second message: this method takes one",
        BrokenMessage::CutOff => "the request ends inside a message",
        BrokenMessage::Flag => "a message of the request is marked neither as compressed nor as not",
    };
    StatusBuilder::new(Code::InvalidArgument, ErrorReason::MessageInvalid, words).build()
}

/// An application doesn't do what was asked in this organization, for a reason of its own.
pub(crate) fn refused_by_application(
    reason: impl Reason,
    message: &'static str,
    organization: &OrganizationName,
) -> Status {
    StatusBuilder::new(Code::FailedPrecondition, reason, message).with("organization", organization).build()
}
