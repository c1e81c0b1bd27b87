//! What is wrong with the fields of a request.

use sealward::v1::ErrorReason;
use sealward_core::{
    filter::{FilterError, FilterProblem},
    violation::{Problem, Violation},
};
use tonic::{Code, Status};

use super::{
    builder::{StatusBuilder, Wrong},
    text::and_more,
};
use crate::config::limits::ERROR_VIOLATIONS_MAX;

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
    let builder = violations.iter().map(wrong).fold(builder, StatusBuilder::wrong);
    builder.leave_out(total.saturating_sub(ERROR_VIOLATIONS_MAX)).build()
}

fn wrong(Violation { field, problem }: &Violation) -> Wrong {
    Wrong::new(field, problem, problem.reason(), own_dynamics_code(problem))
}

/// The limit in `[limits]` that a violation exceeds, if any.
pub(crate) fn bound_of_violation(violation: &Violation) -> Option<&'static str> {
    match (&*violation.field, &violation.problem) {
        ("read_mask" | "update_mask", Problem::TooMany { .. }) => Some("mask_paths_max"),
        ("attributes", Problem::TooMany { .. }) => Some("reveal_attributes_max"),
        ("names" | "requests", Problem::TooMany { .. }) => Some("batch_items_max"),
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
        | Problem::OfBatch
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
