//! Violations: what can be wrong with a field of a request, as a name for programs and a sentence for people.
//!
//! A problem with an encrypted attribute has lengths, never values. Nothing here looks for problems.

use std::fmt;

use crate::{
    filter::error::FilterError,
    order::fault::OrderFault,
    schema::entity::{Attribute, Entity},
};

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It must have a value.
    Required,
    /// The text, or the bytes, are too long.
    TooLong {
        /// How long: Unicode scalar values, or bytes.
        given: usize,
        /// How long it may be.
        limit: u32,
    },
    /// The number is outside its range.
    OutOfRange {
        /// The smallest.
        minimum: i64,
        /// The largest.
        maximum: i64,
    },
    /// The number is none of the choices.
    NotAChoice,
    /// The text has a U+0000.
    HasNul,
    /// The text has a control character.
    HasControl {
        /// Whether line breaks and tabs are allowed.
        lines_allowed: bool,
    },
    /// The text has a format character or another one that shows nothing.
    HasInvisible,
    /// The timestamp is outside the years 1 to 9999, or its nanoseconds are.
    NotATime,
    /// The text is not the name of a record of this collection in the same organization.
    NotAReference {
        /// The collection.
        collection: String,
    },
    /// There is no such record.
    ReferenceMissing,
    /// It can't be given when a record is created.
    NotValidForCreate,
    /// It can't be given when a record is updated.
    NotValidForUpdate,
    /// It can't change once the record exists.
    Immutable,
    /// Only the service sets it.
    OutputOnly,
    /// The path doesn't name a field of the resource.
    NoSuchField {
        /// The path, where it looks like a name; otherwise the caller's text isn't repeated.
        path: Option<String>,
        /// The field whose name differs from it in capitals and underscores only.
        meant: Option<String>,
    },
    /// It isn't encrypted, and what isn't can't be revealed.
    NotEncrypted,
    /// It stands there more than once.
    Repeated,
    /// It isn't a UUID with hyphens; in lower case, where it is an id.
    NotAUuid,
    /// It isn't the name of an organization.
    NotAnOrganizationId,
    /// It isn't a name of the form asked for.
    NotAName {
        /// The form.
        form: String,
    },
    /// The schema requires a value, and nothing else can be said of that.
    SystemRequired,
    /// Nobody could give it a value, or only the schema can say so.
    NotRequirable,
    /// It is derived, and has no changes of its own.
    NotAuditable,
    /// It can't have an index.
    NotIndexable {
        /// How long a text that has one may be, in Unicode scalar values.
        limit: u32,
    },
    /// Its values have no length.
    HasNoLength,
    /// There are too many.
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// It isn't an etag that this service gave.
    NotAnEtag,
    /// It doesn't repeat what would say that the call is meant.
    NotConfirmed {
        /// What would.
        expected: String,
    },
    /// It names an encrypted attribute, by which nothing is filtered or ordered.
    Encrypted {
        /// The entity's name.
        entity: String,
        /// The attribute's name.
        attribute: String,
    },
    /// A field can't be ordered by.
    Order {
        /// Which one, from 1.
        position: usize,
        /// What is wrong with it.
        fault: OrderFault,
    },
    /// The texts that are to be ordered by may together be longer than this many Unicode scalar values.
    OrderTooLong {
        /// How long they may be.
        limit: u32,
    },
    /// The text is no filter of the entity.
    Filter(FilterError),
    /// The status doesn't belong to the record's state.
    StatusNotOfState {
        /// The attribute that holds the state.
        attribute: String,
        /// The state's name.
        state: String,
        /// The names of its statuses.
        statuses: String,
    },
    /// The record breaks a rule of its entity.
    Rule {
        /// The rule's name for programs.
        reason: String,
        /// What must be the case.
        description: String,
        /// The original's number.
        dynamics_code: Option<String>,
    },
}

impl Problem {
    /// An encrypted attribute was named where none can be.
    #[must_use]
    pub fn encrypted(entity: &Entity, attribute: &Attribute) -> Problem {
        Problem::Encrypted { entity: entity.name.clone(), attribute: attribute.name.clone() }
    }

    /// A path that doesn't name any of the known fields. It is repeated if it means one of them, or has nothing but letters, underscores and
    /// dots. What has digits or symbols may be a secret at a wrong place, and isn't.
    #[must_use]
    pub fn no_such_field<'a>(path: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
        let is_short = (1..=PATH_SHOWN_MAX).contains(&path.len());
        let (before, last) = path.rsplit_once('.').unwrap_or(("", path));
        let could_mean = is_short && before.bytes().all(is_of_words) && last.bytes().all(is_of_a_name);
        let meant = if could_mean { meant_by(last, known).map(str::to_owned) } else { None };
        let is_shown = meant.is_some() || (is_short && path.bytes().all(is_of_words));
        Problem::NoSuchField { path: is_shown.then(|| path.to_owned()), meant }
    }
}

/// The reasons of problems and the list of them, from one table: a test compares the list with the contract.
macro_rules! reasons {
    ($($problem:pat => $reason:literal,)+) => {
        /// The reasons of all problems except [`Problem::Rule`], whose reasons are the schema's.
        pub const REASONS: &[&str] = &[$($reason),+];

        impl Problem {
            /// Its name for programs; part of the contract.
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
    Problem::Order { fault: OrderFault::NotATerm | OrderFault::Bytes | OrderFault::Derived, .. }
    | Problem::OrderTooLong { .. } => "NOT_ORDERABLE",
    Problem::Filter(_) => "NOT_A_FILTER",
    Problem::StatusNotOfState { .. } => "STATUS_NOT_OF_STATE",
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Required => f.write_str("must have a value"),
            Problem::TooLong { given, limit } => write!(f, "has length {given}; at most {limit} is allowed"),
            Problem::OutOfRange { minimum, maximum } => write!(f, "must be from {minimum} to {maximum}"),
            Problem::NotAChoice => f.write_str("is not one of the enum's values"),
            Problem::HasNul => f.write_str("must not contain U+0000"),
            Problem::HasControl { lines_allowed: false } => {
                f.write_str("must be a single line without control characters")
            }
            Problem::HasControl { lines_allowed: true } => {
                f.write_str("must not contain control characters other than line breaks and tabs")
            }
            Problem::HasInvisible => {
                f.write_str("must not contain invisible characters or characters that change direction")
            }
            Problem::NotATime => f.write_str("is not a time from year 1 to year 9999"),
            Problem::NotAReference { collection } => {
                write!(f, "must be the name of a record in `{collection}` of the same organization")
            }
            Problem::ReferenceMissing => f.write_str("names a record that does not exist"),
            Problem::NotValidForCreate => f.write_str("can't be given when a record is created"),
            Problem::NotValidForUpdate => f.write_str("can't be updated"),
            Problem::Immutable => f.write_str("can't change once the record exists"),
            Problem::OutputOnly => f.write_str("is output only: the service sets it, and an update mask can't name it"),
            Problem::NoSuchField { path, meant } => {
                match path {
                    Some(path) => write!(f, "`{path}` is not a field of this resource")?,
                    None => f.write_str("this path, which doesn't look like a name, is not a field of this resource")?,
                }
                match meant {
                    Some(meant) => write!(f, "; did you mean `{meant}`?"),
                    None => Ok(()),
                }
            }
            Problem::NotEncrypted => f.write_str("is not an encrypted attribute; read it with Get"),
            Problem::Repeated => f.write_str("is listed more than once"),
            Problem::NotAUuid => {
                f.write_str("must be a UUID with hyphens such as 0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506, in lower case if it is an id")
            }
            Problem::NotAnOrganizationId => f.write_str(
                "must be 1 to 63 lower-case letters, digits and hyphens, with no hyphen at the beginning or end",
            ),
            Problem::NotAName { form } => write!(f, "must be of the form `{form}`"),
            Problem::SystemRequired => f.write_str("can't be weakened: the schema requires the attribute"),
            Problem::NotRequirable => f.write_str(
                "can only be APPLICATION_REQUIRED, and only where a create can give a value or there is a default",
            ),
            Problem::NotAuditable => f.write_str("can't be true: the attribute is derived from an encrypted one"),
            Problem::NotIndexable { limit } => {
                write!(
                    f,
                    "can't have an index: bytes, derived attributes and texts that may be longer than {limit} characters have none"
                )
            }
            Problem::HasNoLength => f.write_str("is for text and bytes only"),
            Problem::TooMany { limit } => write!(f, "has too many elements; at most {limit} are allowed"),
            Problem::NotAnEtag => f.write_str("is not an etag of this service"),
            Problem::NotConfirmed { expected } => write!(f, "must be `{expected}`, to confirm the call"),
            Problem::Encrypted { attribute, .. } => {
                write!(f, "names `{attribute}`, which is encrypted and can't be filtered or ordered by")
            }
            Problem::Order { position, fault } => write!(f, "field {position} {fault}"),
            Problem::OrderTooLong { limit } => {
                write!(
                    f,
                    "names texts that can be longer than {limit} characters in total, which is the most to order by"
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

/// The longest path that an error repeats, in bytes: as long as a field's name may be, twice.
const PATH_SHOWN_MAX: usize = 126;

/// The known name that a path means, if capitals, underscores and everything before the last dot are ignored.
pub(crate) fn meant_by<'a>(path: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let last = bare(path.rsplit('.').next().unwrap_or_default());
    known.into_iter().find(|name| !last.is_empty() && bare(name) == last)
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_of_words(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.')
}

/// A name without what languages spell differently: `displayName` and `display_name` are alike.
fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_lowercase()).collect()
}

/// A field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path in the request: `mailbox.email_address`.
    pub field: String,
    /// What is wrong.
    pub problem: Problem,
}

impl Violation {
    /// A violation.
    pub fn new(field: impl Into<String>, problem: Problem) -> Self {
        Violation { field: field.into(), problem }
    }
}

/// The path of an attribute in a request, with what is wrong with it.
#[must_use]
pub fn field_violation(entity: &Entity, attribute: &Attribute, problem: Problem) -> Violation {
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
        // Anything else may be a secret at a wrong place.
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
            FilterProblem::Juxtaposed,
            FilterProblem::UnknownField { name: name(), entity: name(), meant: Some(name()) },
            FilterProblem::Traversal,
            FilterProblem::NotFilterable { name: name() },
            FilterProblem::Encrypted { attribute: name() },
            FilterProblem::Operator { name: name(), operators: "`=`" },
            FilterProblem::PresenceOnly { name: name() },
            FilterProblem::Null { name: name() },
            FilterProblem::WrongType { name: name(), wanted: "a time" },
            FilterProblem::OutOfRange { name: name(), minimum: 0, maximum: 1 },
            FilterProblem::NotAChoice { name: name(), choices: name() },
            FilterProblem::NotAReference { name: name(), collection: name() },
            FilterProblem::StarInside,
            FilterProblem::StarInOrder,
        ];
        let filters = filters.map(|problem| Problem::Filter(FilterError { position: 0, problem }));
        let orders = [OrderFault::NotATerm, OrderFault::Bytes, OrderFault::Derived, OrderFault::Repeated];
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
            // In code, a backslash doesn't escape: `\` is closed.
            assert_eq!(text.matches('`').count() % 2, 0, "{text}");
        }
    }
}
