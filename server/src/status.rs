//! The only code that creates a `tonic::Status`: every error that leaves the server gets its code, its reason and its message here. This
//! file has the builder and what all errors share; its modules have the groups of errors.
//!
//! A status carries `google.rpc.ErrorInfo` with a reason of the contract and its domain; if a limit caused it, it also names the limit. The
//! internal cause goes into its source, which the trace layer logs and no caller sees. The call's id isn't known here: [`complete`] adds it
//! to the response, and adds details to errors of the gRPC framework.
//!
//! Every status has a bounded size, whatever a request or a file contained: clients refuse longer headers, and a refusal must cost less
//! than the call that it refuses. A status contains no control or invisible characters.

mod framework;
mod key;
mod organization;
mod record;
mod refusal;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, error::Error, fmt::Display, sync::Arc, time::Duration};

use sealward::v1::ErrorReason;
use sealward_core::{
    filter::{FilterError, FilterProblem},
    store::{Cause, OpenError, StoreFailure},
    text::is_invisible,
    violation::{Problem, Violation},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

pub(crate) use self::{
    framework::{complete, is_complete, message_invalid},
    key::{bound_of_key_error, key},
    organization::{create_organization, import_organization, organization_not_found, organization_not_served},
    record::{
        COMPARISONS, encrypted_attribute, listing, metadata_not_found, page_token_invalid, record, update_metadata,
    },
    refusal::{BrokenMessage, MetadataTooLarge, PrivilegeRefusal, Refusal, TransferLimit, broken_message},
};
use crate::{
    audit::copy::CopyFails,
    config::limits::{ERROR_DETAILS_MAX_BYTES, ERROR_VIOLATIONS_MAX, is_limit},
};

/// The domain of the platform's reasons.
pub(crate) const DOMAIN: &str = "sealward";

/// The reasons of errors in a package of the contract.
pub(crate) trait Reason: Copy {
    /// The domain of errors with these reasons.
    const DOMAIN: &'static str;

    /// The reason's name in the contract, with the prefix that buf requires.
    fn full_name(self) -> &'static str;
}

impl Reason for ErrorReason {
    const DOMAIN: &'static str = DOMAIN;

    fn full_name(self) -> &'static str {
        self.as_str_name()
    }
}

/// The key of an error's metadata that names the limit that refused the call.
const BOUND: &str = "bound";

/// A builder of a status.
pub(crate) struct StatusBuilder {
    code: Code,
    domain: &'static str,
    reason: &'static str,
    message: String,
    metadata: HashMap<String, String>,
    violations: Vec<Wrong>,
    /// The number of further violations.
    more_violations: usize,
    details: ErrorDetails,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StatusBuilder {
    /// Starts with the parts that every error has. The message is for the caller's developer: it contains nothing internal and no value of
    /// an attribute.
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

    /// Adds a value to the ErrorInfo's metadata. Keys are in snake_case, and part of the contract.
    pub(crate) fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Names the limit in `[limits]` that refused the call, as the metric for refusals does.
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

    /// Adds Dynamics 365's number for the error: eight hexadecimal digits.
    pub(crate) fn dynamics_code(self, code: &str) -> Self {
        self.with("dynamics_code", code)
    }

    /// Adds a violation to the BadRequest: the field, a description for people, and a reason for programs.
    pub(crate) fn violation(self, field: &str, description: impl Display, reason: &str) -> Self {
        self.wrong(Wrong::new(field, description, reason, None))
    }

    fn wrong(mut self, wrong: Wrong) -> Self {
        self.violations.push(wrong);
        self
    }

    /// Adds a RetryInfo, for errors that pass with time.
    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.details.set_retry_info(Some(delay));
        self
    }

    /// Attaches the cause, for the log only.
    pub(crate) fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Builds the status, with the violations that fit.
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

    /// The details, with the remaining violations out of `total`.
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

/// A violation as it is sent.
struct Wrong {
    field: String,
    description: String,
    reason: String,
    /// Dynamics 365's number for this violation.
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

/// A text as it may be sent: truncated, and without invisible or control characters.
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

/// The maximum lengths of the parts of a status, in bytes. Our own text is shorter; text from a schema, a caller or a file is truncated.
/// Each byte of the message can take three in its header, and the details contain it too.
const MESSAGE_MAX_BYTES: usize = 480;
const METADATA_VALUE_MAX_BYTES: usize = 300;
const FIELD_MAX_BYTES: usize = 150;
const DESCRIPTION_MAX_BYTES: usize = 400;

/// Fields of a request are invalid. A problem with its own reason determines the reason of the status. The message contains that violation,
/// since most tools show nothing else.
pub(crate) fn invalid(mut violations: Vec<Violation>) -> Status {
    let position = |is: fn(&Problem) -> bool| violations.iter().position(|violation| is(&violation.problem));
    let first = position(|problem| matches!(problem, Problem::Encrypted { .. }))
        .or_else(|| position(|problem| matches!(problem, Problem::Filter(_))))
        .unwrap_or_default();
    // The determining violation is shown, however many there are.
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
    // Only the violations that are shown become text. The builder needs only the number of the others.
    let total = violations.len();
    violations.truncate(ERROR_VIOLATIONS_MAX);
    let mut builder = violations.iter().map(Wrong::of).fold(builder, StatusBuilder::wrong);
    builder.more_violations = total.saturating_sub(ERROR_VIOLATIONS_MAX);
    builder.build()
}

/// The limit in `[limits]` that a violation exceeds, if any.
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

/// The text of a violation, and the number of the others.
fn first_and_more(violations: &[Violation], first: usize) -> String {
    let Some(Violation { field, problem }) = violations.get(first) else { return "the request is invalid".to_owned() };
    and_more(format!("{field}: {problem}"), violations.len())
}

/// The text for one of `total` violations.
fn and_more(words: String, total: usize) -> String {
    if total < 2 {
        return words;
    }
    format!("{}, and {} more", presentable(&words, MESSAGE_MAX_BYTES - 40), total.saturating_sub(1))
}

/// Dynamics 365's number for this problem, if it has one.
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

fn organization_mismatch() -> StatusBuilder {
    StatusBuilder::new(
        Code::FailedPrecondition,
        ErrorReason::OrganizationMismatch,
        "the organization isn't served: its entry and its database don't match; the server's log has the cause",
    )
}

fn not_found(message: &str) -> StatusBuilder {
    StatusBuilder::new(Code::NotFound, ErrorReason::NotFound, message).dynamics_code("80040217")
}

fn already_exists(message: &str) -> StatusBuilder {
    StatusBuilder::new(Code::AlreadyExists, ErrorReason::AlreadyExists, message).dynamics_code("80040237")
}

/// An error that no input explains.
pub(crate) fn internal(error: impl Error + Send + Sync + 'static) -> Status {
    StatusBuilder::new(Code::Internal, ErrorReason::Internal, INTERNAL_WORDS).caused_by(error).build()
}

/// A task of the server ended without a result.
pub(crate) fn broken() -> Status {
    StatusBuilder::new(Code::Internal, ErrorReason::Internal, INTERNAL_WORDS).build()
}

const INTERNAL_WORDS: &str = "internal error: find the cause in the server's log by the id of this call";

fn audit(cause: impl Error + Send + Sync + 'static) -> StatusBuilder {
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::AuditUnavailable,
        "the audit record can't be written; nothing was done or disclosed: try again later",
    )
    .retry_after(RETRY_STORE)
    .caused_by(cause)
}

/// A database did not respond.
pub(crate) fn unavailable(cause: Cause) -> Status {
    store_unavailable(cause).build()
}

/// An audit record can't be written.
pub(crate) fn audit_unavailable(cause: impl Error + Send + Sync + 'static) -> Status {
    audit(cause).build()
}

/// Audit records can't be copied, and this deployment refuses calls that must be recorded without a copy.
pub(crate) fn audit_copy_unavailable(cause: CopyFails) -> Status {
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::AuditUnavailable,
        "audit records can't be copied, as this deployment requires; nothing was done or disclosed: try again later",
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
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::StoreUnavailable,
        "the database is unavailable; nothing changed: try again later",
    )
    .retry_after(RETRY_STORE)
    .caused_by(cause)
}

/// Whether a reopened database belongs to another organization.
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
        "it is unknown whether the change took effect: read the resource before you repeat the call",
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

/// The delay before a retry, if a database did not respond.
const RETRY_STORE: Duration = Duration::from_secs(1);

/// An application refuses a call in this organization, with its own reason.
pub(crate) fn refused_by_application(reason: impl Reason, message: &'static str, organization: &str) -> Status {
    StatusBuilder::new(Code::FailedPrecondition, reason, message).with("organization", organization).build()
}

/// A reason as errors contain it: without the prefix that buf requires.
pub(crate) fn reason_name(reason: impl Reason) -> &'static str {
    let name = reason.full_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}
