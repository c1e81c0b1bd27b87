//! Refusals by the transport, the gates and the bounds, before a message was read or after its time limit.

use std::{fmt::Display, time::Duration};

use sealward::v1::ErrorReason;
use sealward_connect::{RequestError, Unsupported};
use sealward_core::{identity::Identity, name::OrganizationName, policy::Privilege};
use tonic::{Code, Status};

use super::{
    builder::{BOUND, StatusBuilder},
    reason::Reason,
};
use crate::{
    hop::asserted::HopProblem,
    identity::{jwks::FETCH_PAUSE, token::TokenProblem},
    transport::connection_limit::LimitReached,
};

/// The delay before a retry, if the server is shutting down or the connection is the cause.
const RETRY_ELSEWHERE: Duration = Duration::from_secs(1);

/// The delay before a retry, if other calls must end first or the call needs another connection.
const RETRY_IN_FLIGHT: Duration = Duration::from_millis(200);

/// The delay before a retry, if the server's clock is out of range: an operator or a time service has to set it.
const RETRY_CLOCK: Duration = Duration::from_secs(10);

/// The caller, the privilege that it lacks, and the place. It doesn't disclose whether the organization exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrivilegeRefusal {
    identity: Identity,
    privilege: Privilege,
    place: PrivilegePlace,
}

/// Where a privilege is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PrivilegePlace {
    /// In every organization: the message, which names one, wasn't read.
    Anywhere,
    /// In the organization with this name.
    Organization(OrganizationName),
    /// For the deployment as a whole, which only a binding to `*` grants.
    Deployment,
}

impl PrivilegeRefusal {
    /// No binding grants the privilege in any organization.
    pub(crate) fn anywhere(identity: &Identity, privilege: Privilege) -> Self {
        Self { identity: identity.clone(), privilege, place: PrivilegePlace::Anywhere }
    }

    /// No binding grants the privilege in the organization with this name.
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

/// A refusal by the server itself, before a message was read or after its time limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The call came over a connection without TLS.
    HttpsRequired,
    /// The call came through a hop that doesn't say that the caller uses TLS.
    HttpsRequiredAtHop,
    /// The caller presented neither a certificate nor a token.
    IdentityRequired,
    /// The certificate has no valid identity, for this reason, and there is no token.
    CertificateWithoutIdentity(String),
    /// The certificate has expired since the connection was made.
    CertificateExpired,
    /// The certificate was accepted when the connection was made, but no longer is: it was revoked, or its CA was removed.
    CertificateNotTrusted,
    /// The bearer token isn't accepted.
    TokenRefused(TokenProblem),
    /// The bearer token and the client certificate don't belong together.
    IdentitiesDisagree,
    /// A hop names no caller that it may name.
    HopRefused(HopProblem),
    /// The caller lacks the privilege that this rpc needs.
    PrivilegeMissing(Box<PrivilegeRefusal>),
    /// The caller exceeded a rate.
    TooOften {
        /// The limit's name.
        bound: &'static str,
        /// The maximum number of calls.
        limit: u32,
        /// The interval.
        interval_seconds: u32,
        /// The delay before a retry.
        retry_after: Duration,
    },
    /// A batch has more items than the rate ever admits at once.
    BatchAboveRate {
        /// The limit's name.
        bound: &'static str,
        /// The maximum number of items.
        limit: u32,
    },
    /// A limit on connections is reached.
    ConnectionLimit(LimitReached),
    /// The memory limit of requests is reached.
    RequestMemory {
        /// The limit's name.
        bound: &'static str,
        /// The limit, in bytes.
        limit: u64,
    },
    /// A message exceeds the size limit.
    MessageTooLarge {
        /// The limit's name.
        bound: &'static str,
        /// The limit, in bytes.
        limit: u32,
    },
    /// A message arrived too slowly.
    MessageTooSlow {
        /// The maximum time.
        limit: Duration,
    },
    /// Too many calls of this kind are in flight, of this caller or to the same resource.
    TooManyInFlight {
        /// The limit's name.
        bound: &'static str,
        /// The maximum number.
        limit: u32,
    },
    /// The limit on index changes in the organization is reached.
    TooManyIndexSwitches {
        /// The maximum number within an hour.
        limit: u32,
        /// The delay before a retry.
        retry_after: Duration,
    },
    /// The connection is closing, and the stream on it ends.
    ConnectionEnding,
    /// An export or import is too slow, or the snapshot of an export or a verification was ended.
    TransferLimit(TransferLimit),
    /// The rpc is served, but isn't in the permission table: no caller may call it.
    NotPermitted,
    /// The rpc doesn't exist.
    MethodUnknown,
    /// The call's metadata exceeds the limit.
    MetadataTooLarge(MetadataTooLarge),
    /// The call's timeout can't be parsed.
    TimeoutInvalid,
    /// The protocol can't carry the call.
    ProtocolUnsupported(Unsupported),
    /// The call's messages are compressed with a coding that isn't served.
    CompressionNotServed,
    /// The caller cancelled the call, or its connection failed, before its messages arrived.
    Cancelled,
    /// The call's deadline has passed.
    DeadlineExceeded,
    /// The server is shutting down: the call was interrupted, or not started.
    ShuttingDown,
    /// The server's clock is out of range.
    ClockOutOfRange,
}

/// Why a stream was ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransferLimit {
    /// The caller receives or sends the file too slowly.
    Rate,
    /// The file takes too long.
    Time,
    /// Behind the stream's snapshot, the database's write-ahead log reached its limit.
    Log,
    /// The stream's snapshot kept a key change from finishing.
    KeyChange,
}

impl TransferLimit {
    /// The name of the limit in `[limits]`, if there is one.
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
                "the transfer was slower than transfer_rate_min_bytes_per_second: retry over a faster connection"
            }
            Self::Time => "the transfer took longer than transfer_time_max_seconds: retry over a faster connection",
            Self::Log => {
                "the database's write-ahead log reached write_ahead_log_max_bytes during the call: retry when fewer writes are running"
            }
            Self::KeyChange => "the call was ended so that a key change could finish: retry",
        }
    }
}

/// The metadata exceeds the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetadataTooLarge {
    /// The maximum size in bytes, as HTTP/2 counts it.
    pub(crate) limit: u32,
}

/// What is wrong with the framing of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokenMessage {
    /// The rpc takes one message, but none arrived.
    Missing,
    /// The rpc takes one message, but a second one arrived.
    Second,
    /// The last message is incomplete.
    CutOff,
    /// A message is marked as compressed.
    Compressed,
    /// A message has an invalid compression flag.
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
            "this service requires TLS: connect with TLS",
        )
        .dynamics_code("8004852C"),
        Refusal::HttpsRequiredAtHop => StatusBuilder::new(
            Code::FailedPrecondition,
            ErrorReason::HttpsRequired,
            "this service requires TLS, and the hop that forwarded the call doesn't say that its caller uses TLS: let the hop send x-forwarded-proto: https, once",
        )
        .dynamics_code("8004852C"),
        Refusal::IdentityRequired => unauthenticated("the call has no identity: send a client certificate with a valid identity, or a bearer token"),
        Refusal::CertificateWithoutIdentity(problem) => {
            unauthenticated(format!("the call has no identity: {problem}. Use another certificate, or send a bearer token"))
        }
        Refusal::CertificateExpired => unauthenticated("the client certificate has expired: renew it"),
        Refusal::CertificateNotTrusted => {
            unauthenticated("the client certificate is no longer accepted, because it was revoked or its CA was removed: use another one")
        }
        Refusal::TokenRefused(TokenProblem::KeysUnavailable) => StatusBuilder::new(
            Code::Unavailable,
            ErrorReason::TokenKeysUnavailable,
            "the bearer token can't be verified, because the keys of its issuer can't be fetched: try again later",
        )
        .retry_after(FETCH_PAUSE),
        Refusal::TokenRefused(problem) => {
            unauthenticated(format!("the bearer token isn't accepted: {problem}")).bound_if_any(problem.bound())
        }
        Refusal::IdentitiesDisagree => unauthenticated(
            "the bearer token does not match the client certificate: send only one of them, or a token that is bound to the certificate",
        ),
        Refusal::HopRefused(problem) => {
            unauthenticated(format!("the proxy that forwarded the call is a hop, but its call isn't accepted: {problem}"))
        }
        Refusal::PrivilegeMissing(refusal) => privilege_missing(*refusal),
        Refusal::TooOften { bound, limit, interval_seconds, retry_after } => exhausted(
            ErrorReason::RateLimited,
            bound,
            limit,
            format!("more than {limit} calls within {interval_seconds} seconds, the maximum ({bound}): slow down, and try again later"),
        )
        .with("interval_seconds", interval_seconds)
        .retry_after(retry_after),
        Refusal::BatchAboveRate { bound, limit } => exhausted(
            ErrorReason::RateLimited,
            bound,
            limit,
            format!("the batch has more than {limit} items, the number of calls that the rate admits at once ({bound}): send smaller batches"),
        ),
        Refusal::ConnectionLimit(limit_reached) => {
            let (limit, message) = match limit_reached {
                LimitReached::Identity { limit } => {
                    (limit, format!("this identity already has {limit} connections, the maximum: reuse them, or close some"))
                }
                LimitReached::Hop { limit } => {
                    (limit, format!("this hop already has {limit} connections, the maximum: reuse them, or raise connections_per_hop_max"))
                }
                LimitReached::Listener { limit } => {
                    (limit, format!("the server already has {limit} connections, the maximum: try again later"))
                }
            };
            exhausted(ErrorReason::ConnectionLimit, limit_reached.bound(), limit, message).retry_after(RETRY_ELSEWHERE)
        }
        Refusal::RequestMemory { bound, limit } => exhausted(
            ErrorReason::RequestMemoryLimit,
            bound,
            limit,
            format!("requests already use {limit} bytes of memory, the maximum ({bound}): send fewer at once, or try again later"),
        )
        .retry_after(RETRY_ELSEWHERE),
        Refusal::TooManyInFlight { bound, limit } => exhausted(
            ErrorReason::InFlightLimit,
            bound,
            limit,
            format!("{limit} calls of this kind are in flight, the maximum ({bound}): wait until some have ended"),
        )
        .retry_after(RETRY_IN_FLIGHT),
        Refusal::TooManyIndexSwitches { limit, retry_after } => exhausted(
            ErrorReason::IndexQuota,
            "index_switches_per_hour",
            limit,
            format!("indexes were changed {limit} times within an hour, the maximum: try again later"),
        )
        .with("interval_seconds", 3_600)
        .retry_after(retry_after),
        Refusal::MetadataTooLarge(MetadataTooLarge { limit }) => exhausted(
            ErrorReason::MetadataTooLarge,
            "header_list_size_max_bytes",
            limit,
            format!("the call's metadata is larger than {limit} bytes, the maximum: send less metadata"),
        ),
        Refusal::MessageTooLarge { bound, limit } => StatusBuilder::new(
            Code::OutOfRange,
            ErrorReason::MessageTooLarge,
            format!("a message of the request is larger than {limit} bytes, the maximum ({bound}): send smaller messages"),
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
            "the server is closing this connection: retry on another one",
        )
        .retry_after(RETRY_IN_FLIGHT),
        Refusal::TransferLimit(limit) => {
            StatusBuilder::new(Code::Aborted, ErrorReason::TransferLimit, limit.words())
                .with(BOUND, limit.bound().unwrap_or("snapshot"))
                .retry_after(RETRY_ELSEWHERE)
        }
        Refusal::NotPermitted => {
            StatusBuilder::new(Code::PermissionDenied, ErrorReason::PrivilegeMissing, "no caller may call this method")
        }
        Refusal::MethodUnknown => {
            StatusBuilder::new(Code::Unimplemented, ErrorReason::MethodUnknown, "the method doesn't exist")
        }
        Refusal::TimeoutInvalid => StatusBuilder::new(
            Code::InvalidArgument,
            ErrorReason::TimeoutInvalid,
            "the timeout is malformed: send grpc-timeout once, as 1 to 8 digits and one of the units H, M, S, m, u, n, or connect-timeout-ms once, as 1 to 10 digits",
        ),
        Refusal::ProtocolUnsupported(problem) => {
            StatusBuilder::new(Code::Unimplemented, ErrorReason::ProtocolUnsupported, problem.to_string())
                .with("problem", problem.name())
        }
        Refusal::CompressionNotServed => compression_not_served(),
        Refusal::Cancelled => StatusBuilder::new(Code::Cancelled, ErrorReason::Cancelled, "the call was cancelled"),
        Refusal::DeadlineExceeded => StatusBuilder::new(
            Code::DeadlineExceeded,
            ErrorReason::DeadlineExceeded,
            "the deadline of the call has passed: allow more time, or request less",
        ),
        Refusal::ClockOutOfRange => {
            tracing::error!("clock out of range: it must show a time in the years 1970 to 9999");
            StatusBuilder::new(
                Code::Unavailable,
                ErrorReason::ClockOutOfRange,
                "the server's clock is out of range; nothing was done: try another server, or try again later",
            )
            .retry_after(RETRY_CLOCK)
        }
        Refusal::ShuttingDown => {
            StatusBuilder::new(Code::Unavailable, ErrorReason::ShuttingDown, "the server is shutting down: retry on a new connection")
                .retry_after(RETRY_ELSEWHERE)
        }
    }
}

/// The caller has no identity that the server accepts. All of these have one reason, so the log needs the message, too.
fn unauthenticated(message: impl Into<String>) -> StatusBuilder {
    let message = message.into();
    let explanation = Unidentified(message.clone());
    StatusBuilder::new(Code::Unauthenticated, ErrorReason::IdentityRequired, message).caused_by(explanation)
}

/// Why a caller isn't identified. Repeats nothing of its proofs.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unidentified(String);

/// A limit in `[limits]` is reached.
fn exhausted(reason: ErrorReason, bound: &'static str, limit: impl Display, message: String) -> StatusBuilder {
    StatusBuilder::new(Code::ResourceExhausted, reason, message).bound(bound).with("limit", limit)
}

fn privilege_missing(PrivilegeRefusal { identity, privilege, place }: PrivilegeRefusal) -> StatusBuilder {
    let lacks = format!("{identity} lacks the privilege {privilege}");
    let (message, organization) = match place {
        PrivilegePlace::Anywhere => {
            (format!("{lacks} in every organization: ask an administrator for a role with it"), None)
        }
        PrivilegePlace::Organization(name) => (
            format!("{lacks} in {}: ask an administrator for a role with it", name.resource_name()),
            Some(name.to_string()),
        ),
        PrivilegePlace::Deployment => (
            format!("{lacks} for the whole deployment: ask an administrator for a role with it in \"*\""),
            Some("*".to_owned()),
        ),
    };
    let builder = StatusBuilder::new(Code::PermissionDenied, ErrorReason::PrivilegeMissing, message)
        .with("privilege", privilege)
        .with("identity", identity);
    match organization {
        Some(name) => builder.with("organization", name),
        None => builder,
    }
}

/// Only gzip is accepted. The status lists the accepted encodings, as gRPC defines.
fn compression_not_served() -> StatusBuilder {
    StatusBuilder::new(
        Code::Unimplemented,
        ErrorReason::CompressionNotServed,
        "this compression isn't accepted: declare gzip, or send messages without compression",
    )
    .header("grpc-accept-encoding", "gzip")
}

/// The request violates gRPC's framing.
pub(crate) fn broken_message(broken: BrokenMessage) -> Status {
    let words = match broken {
        BrokenMessage::Compressed => return compression_not_served().build(),
        BrokenMessage::Missing => "the request has no message: send one",
        BrokenMessage::Second => "the request has a second message: send only one",
        BrokenMessage::CutOff => "the request ends inside a message: send complete messages",
        BrokenMessage::Flag => "a message of the request has an invalid compression flag: send 0",
    };
    StatusBuilder::new(Code::InvalidArgument, ErrorReason::MessageInvalid, words).build()
}

/// The body of a request violates the framing of its protocol.
pub(crate) fn broken_request(error: &RequestError) -> Status {
    let invalid = |words: String| StatusBuilder::new(Code::InvalidArgument, ErrorReason::MessageInvalid, words).build();
    match error {
        RequestError::Refused(status) => (**status).clone(),
        RequestError::TooLarge { limit } => {
            let limit = u32::try_from(*limit).unwrap_or(u32::MAX);
            Refusal::MessageTooLarge { bound: "message_size_max_bytes", limit }.into()
        }
        RequestError::Compressed => broken_message(BrokenMessage::Compressed),
        RequestError::Second => broken_message(BrokenMessage::Second),
        RequestError::Flags => broken_message(BrokenMessage::Flag),
        RequestError::CutOff => broken_message(BrokenMessage::CutOff),
        RequestError::Gzip => invalid("a message of the request isn't valid gzip".to_owned()),
        RequestError::Base64 => invalid("the request isn't valid base64".to_owned()),
        RequestError::Json(error) => invalid(format!("the request isn't the JSON of its message: {error}")),
    }
}

/// An application refuses a call in this organization, with its own reason.
pub(crate) fn refused_by_application(
    reason: impl Reason,
    message: &'static str,
    organization: &OrganizationName,
) -> Status {
    StatusBuilder::new(Code::FailedPrecondition, reason, message).with("organization", organization).build()
}
