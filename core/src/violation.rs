//! Violations: the problem of a field in a request, as a machine-readable reason and a message for people.
//!
//! For an encrypted attribute, a problem contains lengths, never values. This file only describes problems; other files
//! detect them.

use std::fmt;

use crate::{
    filter::error::FilterError,
    order::fault::OrderFault,
    schema::entity::{Attribute, Entity},
};

/// The problem of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The field must have a value.
    Required,
    /// The text or the bytes are too long.
    TooLong {
        /// The length in Unicode scalar values or bytes.
        given: usize,
        /// The maximum length.
        limit: u32,
    },
    /// The number is outside its range.
    OutOfRange {
        /// The minimum.
        minimum: i64,
        /// The maximum.
        maximum: i64,
    },
    /// The number isn't one of the enum's values.
    NotAChoice,
    /// The text contains U+0000.
    HasNul,
    /// The text contains a control character.
    HasControl {
        /// Whether line breaks and tabs are allowed.
        lines_allowed: bool,
    },
    /// The text contains a format character or another invisible character.
    HasInvisible,
    /// The timestamp is outside the years 1 to 9999, or its nanoseconds are out of range.
    NotATime,
    /// The text is not the name of a record of this collection in the same organization.
    NotAReference {
        /// The collection.
        collection: String,
    },
    /// The referenced record doesn't exist.
    ReferenceMissing,
    /// The field can't be set when a record is created.
    NotValidForCreate,
    /// The field can't be set when a record is updated.
    NotValidForUpdate,
    /// The field can't change after the record is created.
    Immutable,
    /// Only the service sets the field.
    OutputOnly,
    /// The path doesn't name a field of the resource.
    NoSuchField {
        /// The path, if it looks like a name. Otherwise the message doesn't repeat the caller's text.
        path: Option<String>,
        /// The field whose name differs only in case and underscores.
        suggestion: Option<String>,
    },
    /// The attribute isn't encrypted. Only encrypted attributes can be revealed.
    NotEncrypted,
    /// The list contains the value more than once.
    Repeated,
    /// The field belongs to the batch, not to a single request in it.
    OfBatch,
    /// The text isn't a UUID with hyphens. An id must be in lower case.
    NotAUuid,
    /// The text isn't a valid id of an organization.
    NotAnOrganizationId,
    /// The text isn't a name of the required form.
    NotAName {
        /// The required form.
        form: String,
    },
    /// The schema requires a value, so an organization can't change the required level.
    SystemRequired,
    /// A value can't be required: no caller could set it, or only the schema may require it.
    NotRequirable,
    /// The attribute is derived and has no changes to record.
    NotAuditable,
    /// The attribute can't have an index.
    NotIndexable {
        /// The maximum length of an indexed text in Unicode scalar values.
        limit: u32,
    },
    /// The attribute's values have no length.
    HasNoLength,
    /// The list has too many elements.
    TooMany {
        /// The maximum number of elements.
        limit: usize,
    },
    /// The text isn't an etag of this service.
    NotAnEtag,
    /// The confirmation of the call is wrong.
    NotConfirmed {
        /// The required confirmation.
        expected: String,
    },
    /// The text names an encrypted attribute, which can't be used in a filter or an order.
    Encrypted {
        /// The entity's name.
        entity: String,
        /// The attribute's name.
        attribute: String,
    },
    /// A field of an order is invalid.
    Order {
        /// The position of the field in the order, from 1.
        position: usize,
        /// The problem of the field.
        fault: OrderFault,
    },
    /// The texts to order by may be too long in total.
    OrderTooLong {
        /// The maximum total length in Unicode scalar values.
        limit: u32,
    },
    /// The text isn't a filter of the entity.
    Filter(FilterError),
    /// The status doesn't belong to the record's state.
    StatusNotOfState {
        /// The state attribute.
        attribute: String,
        /// The name of the state.
        state: String,
        /// The names of the state's statuses.
        statuses: String,
    },
    /// The record violates a rule of its entity.
    Rule {
        /// The rule's machine-readable reason.
        reason: String,
        /// The requirement in words.
        description: String,
        /// The error number of Dynamics 365.
        dynamics_code: Option<String>,
    },
}

impl Problem {
    /// Returns the problem for an encrypted attribute where encrypted attributes aren't allowed.
    #[must_use]
    pub fn encrypted(entity: &Entity, attribute: &Attribute) -> Problem {
        Problem::Encrypted { entity: entity.name.clone(), attribute: attribute.name.clone() }
    }

    /// Returns the problem for a path that isn't one of the known fields. The problem repeats the path if it is similar
    /// to a known field, or if it contains only letters, underscores and dots. A path with digits or symbols may be a
    /// misplaced secret and isn't repeated.
    #[must_use]
    pub fn no_such_field<'a>(path: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
        let is_short = (1..=PATH_SHOWN_MAX).contains(&path.len());
        let (before, last) = path.rsplit_once('.').unwrap_or(("", path));
        let could_mean = is_short && before.bytes().all(is_of_words) && last.bytes().all(is_of_a_name);
        let suggestion = if could_mean { similar_name(last, known).map(str::to_owned) } else { None };
        let is_shown = suggestion.is_some() || (is_short && path.bytes().all(is_of_words));
        Problem::NoSuchField { path: is_shown.then(|| path.to_owned()), suggestion }
    }
}

/// Defines the reasons of problems and the list of reasons from one table. A test compares the list with the contract.
macro_rules! reasons {
    ($($problem:pat => $reason:literal,)+) => {
        /// The reasons of all problems except [`Problem::Rule`], whose reasons come from the schema.
        pub const REASONS: &[&str] = &[$($reason),+];

        impl Problem {
            /// Returns the machine-readable reason. It is part of the contract.
            #[must_use]
            pub fn reason(&self) -> &str {
                match self {
                    $($problem => $reason,)+
                    Problem::Rule { reason, .. } => reason,
                }
            }
        }
    };
}

reasons! {
    Problem::Required => "REQUIRED",
    Problem::TooLong { .. } => "TOO_LONG",
    Problem::OutOfRange { .. } => "OUT_OF_RANGE",
    Problem::NotAChoice => "NOT_A_CHOICE",
    Problem::HasNul => "HAS_NUL",
    Problem::HasControl { .. } => "HAS_CONTROL",
    Problem::HasInvisible => "HAS_INVISIBLE",
    Problem::NotATime => "NOT_A_TIME",
    Problem::NotAReference { .. } => "NOT_A_REFERENCE",
    Problem::ReferenceMissing => "REFERENCE_MISSING",
    Problem::NotValidForCreate => "NOT_VALID_FOR_CREATE",
    Problem::NotValidForUpdate => "NOT_VALID_FOR_UPDATE",
    Problem::Immutable => "IMMUTABLE",
    Problem::OutputOnly => "OUTPUT_ONLY",
    Problem::NoSuchField { .. } => "NO_SUCH_FIELD",
    Problem::NotEncrypted => "NOT_ENCRYPTED",
    Problem::Repeated | Problem::Order { fault: OrderFault::Repeated, .. } => "REPEATED",
    Problem::OfBatch => "OF_BATCH",
    Problem::NotAUuid => "NOT_A_UUID",
    Problem::NotAName { .. } | Problem::NotAnOrganizationId => "NOT_A_NAME",
    Problem::SystemRequired => "SYSTEM_REQUIRED",
    Problem::NotRequirable => "NOT_REQUIRABLE",
    Problem::NotAuditable => "NOT_AUDITABLE",
    Problem::NotIndexable { .. } => "NOT_INDEXABLE",
    Problem::HasNoLength => "HAS_NO_LENGTH",
    Problem::TooMany { .. } => "TOO_MANY",
    Problem::NotAnEtag => "NOT_AN_ETAG",
    Problem::NotConfirmed { .. } => "NOT_CONFIRMED",
    Problem::Encrypted { .. } => "ENCRYPTED",
    Problem::Order { fault: OrderFault::InvalidTerm | OrderFault::Bytes | OrderFault::Derived, .. }
    | Problem::OrderTooLong { .. } => "NOT_ORDERABLE",
    Problem::Filter(_) => "NOT_A_FILTER",
    Problem::StatusNotOfState { .. } => "STATUS_NOT_OF_STATE",
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Required => f.write_str("must have a value"),
            Problem::TooLong { given, limit } => write!(f, "has length {given}: use at most {limit}"),
            Problem::OutOfRange { minimum, maximum } => write!(f, "must be in the range {minimum} to {maximum}"),
            Problem::NotAChoice => f.write_str("is not a value of the enum"),
            Problem::HasNul => f.write_str("must not contain U+0000"),
            Problem::HasControl { lines_allowed: false } => {
                f.write_str("must be a single line without control characters")
            }
            Problem::HasControl { lines_allowed: true } => {
                f.write_str("must not contain control characters other than line breaks and tabs")
            }
            Problem::HasInvisible => {
                f.write_str("must not contain invisible characters or characters that change the text direction")
            }
            Problem::NotATime => f.write_str("must be a time in the years 1 to 9999"),
            Problem::NotAReference { collection } => {
                write!(f, "must be the name of a record in `{collection}` of the same organization")
            }
            Problem::ReferenceMissing => f.write_str("refers to a record that does not exist"),
            Problem::NotValidForCreate => f.write_str("can't be set when a record is created"),
            Problem::NotValidForUpdate => f.write_str("can't be set when a record is updated"),
            Problem::Immutable => f.write_str("can't be changed after the record is created"),
            Problem::OutputOnly => f.write_str("is output only: remove it from the update mask"),
            Problem::NoSuchField { path, suggestion } => {
                match path {
                    Some(path) => write!(f, "`{path}` is not a field of this resource")?,
                    None => f.write_str("this path, which doesn't look like a name, is not a field of this resource")?,
                }
                match suggestion {
                    Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
                    None => Ok(()),
                }
            }
            Problem::NotEncrypted => f.write_str("is not an encrypted attribute: read it with Get"),
            Problem::Repeated => f.write_str("is listed more than once"),
            Problem::OfBatch => f.write_str("must not be set in a single request of a batch: set it in the batch"),
            Problem::NotAUuid => {
                f.write_str("must be a UUID with hyphens, such as 0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506; an id must be in lower case")
            }
            Problem::NotAnOrganizationId => f.write_str(
                "must be 1 to 63 lower-case letters, digits and hyphens, without a hyphen at the beginning or end",
            ),
            Problem::NotAName { form } => write!(f, "must be of the form `{form}`"),
            Problem::SystemRequired => f.write_str("can't be changed: the schema requires the attribute"),
            Problem::NotRequirable => f.write_str(
                "can only be APPLICATION_REQUIRED, and only for an attribute that a create can set or that has a default",
            ),
            Problem::NotAuditable => f.write_str("can't be true: the attribute is derived from an encrypted one"),
            Problem::NotIndexable { limit } => {
                write!(
                    f,
                    "can't have an index: bytes, derived attributes and texts longer than {limit} characters can't be indexed"
                )
            }
            Problem::HasNoLength => f.write_str("is allowed only for text and bytes"),
            Problem::TooMany { limit } => write!(f, "has too many elements: use at most {limit}"),
            Problem::NotAnEtag => f.write_str("is not an etag of this service"),
            Problem::NotConfirmed { expected } => write!(f, "must be `{expected}`, to confirm the call"),
            Problem::Encrypted { attribute, .. } => {
                write!(f, "contains `{attribute}`, which is encrypted and can't be used in a filter or an order")
            }
            Problem::Order { position, fault } => write!(f, "field {position} {fault}"),
            Problem::OrderTooLong { limit } => {
                write!(
                    f,
                    "contains texts whose maximum lengths exceed {limit} characters in total: order by fewer or shorter texts"
                )
            }
            Problem::Filter(error) => write!(f, "{error}"),
            Problem::StatusNotOfState { attribute, state, statuses } => {
                write!(f, "must be {statuses} while {attribute} is {state}")
            }
            Problem::Rule { description, .. } => f.write_str(description),
        }
    }
}

/// The maximum length of a path that an error repeats, in bytes: twice that of a field's name.
const PATH_SHOWN_MAX: usize = 126;

/// Returns the known name that is similar to a path: equal without case, underscores and everything before the last
/// dot.
pub(crate) fn similar_name<'a>(path: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let last = bare(path.rsplit('.').next().unwrap_or_default());
    known.into_iter().find(|name| !last.is_empty() && bare(name) == last)
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_of_words(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.')
}

/// Returns a name without case and underscores: `displayName` and `display_name` become equal.
fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_lowercase()).collect()
}

/// A field and its problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field in the request, such as `mailbox.email_address`.
    pub field: String,
    /// The problem.
    pub problem: Problem,
}

impl Violation {
    /// Creates a violation.
    pub fn new(field: impl Into<String>, problem: Problem) -> Self {
        Violation { field: field.into(), problem }
    }

    /// Returns the same violation in an item of a batch, such as `requests[3]`.
    #[must_use]
    pub fn within(self, item: &str) -> Self {
        Violation { field: format!("{item}.{}", self.field), problem: self.problem }
    }
}

/// Returns a violation for an attribute, with its path in a request.
#[must_use]
pub(crate) fn field_violation(entity: &Entity, attribute: &Attribute, problem: Problem) -> Violation {
    Violation { field: format!("{}.{}", entity.singular, attribute.name), problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::error::FilterProblem;

    #[test]
    fn unknown_field_is_named_if_it_looks_like_a_name() {
        let problem = |path: &str| Problem::no_such_field(path, ["display_name", "owner_id"]).to_string();
        assert_eq!(problem("nothing"), "`nothing` is not a field of this resource");
        for close in ["displayName", "DisplayName", "DISPLAY_NAME", "mailbox.display_name", "display-name"] {
            let wanted = format!("`{close}` is not a field of this resource; did you mean `display_name`?");
            assert_eq!(problem(close), wanted);
        }
        // Any other path may be a misplaced secret.
        for text in ["", "two words", "a\u{202e}b", "`", "hunter2", "hunter2.display_name", &"x".repeat(127)] {
            let wanted = "this path, which doesn't look like a name, is not a field of this resource";
            assert_eq!(problem(text), wanted, "{text}");
        }
    }

    #[test]
    fn every_backtick_of_an_error_closes() {
        let name = || "name".to_owned();
        let filters = [
            FilterProblem::TooLong { limit: 1 },
            FilterProblem::TooDeep { limit: 1 },
            FilterProblem::TooManyComparisons { limit: 1 },
            FilterProblem::UnclosedString,
            FilterProblem::UnclosedParenthesis,
            FilterProblem::UnopenedParenthesis,
            FilterProblem::UnknownEscape,
            FilterProblem::UnexpectedCharacter,
            FilterProblem::Nul,
            FilterProblem::ComparisonExpected,
            FilterProblem::OperatorExpected,
            FilterProblem::ValueExpected,
            FilterProblem::AndOrExpected,
            FilterProblem::UnknownField { name: name(), entity: name(), suggestion: Some(name()) },
            FilterProblem::Traversal,
            FilterProblem::NotFilterable { name: name() },
            FilterProblem::Encrypted { attribute: name() },
            FilterProblem::Operator { name: name(), operators: "`=`" },
            FilterProblem::PresenceOnly { name: name() },
            FilterProblem::Null { name: name() },
            FilterProblem::WrongType { name: name(), expected: "a time" },
            FilterProblem::OutOfRange { name: name(), minimum: 0, maximum: 1 },
            FilterProblem::NotAChoice { name: name(), choices: name() },
            FilterProblem::NotAReference { name: name(), collection: name() },
            FilterProblem::StarInside,
            FilterProblem::StarInOrder,
        ];
        let filters = filters.map(|problem| Problem::Filter(FilterError { position: 0, problem }));
        let orders = [OrderFault::InvalidTerm, OrderFault::Bytes, OrderFault::Derived, OrderFault::Repeated];
        let orders = orders.map(|fault| Problem::Order { position: 1, fault });
        let others = [
            Problem::no_such_field("displayName", ["display_name"]),
            Problem::NotAReference { collection: name() },
            Problem::NotAName { form: name() },
            Problem::NotConfirmed { expected: name() },
            Problem::Encrypted { entity: name(), attribute: name() },
            Problem::NotEncrypted,
            Problem::HasInvisible,
        ];
        for problem in filters.into_iter().chain(orders).chain(others) {
            let text = problem.to_string();
            // In code formatting, a backslash isn't an escape: `\` is a complete span.
            assert_eq!(text.matches('`').count() % 2, 0, "{text}");
        }
    }
}
