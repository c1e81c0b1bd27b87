//! Records: what a caller gives, what it gets back, and the rules between.
//!
//! A draft holds what was given, with what couldn't be read of it; [`check_create`] and [`check_update`] find everything wrong with it
//! at once. Problems with encrypted attributes tell lengths, never values.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    crypto::secret::Plaintext,
    filter::FilterError,
    id::{RecordId, Timestamp},
    order::OrderFault,
    records::report_set,
    rule,
    schema::{Attribute, Entity, Kind, Value},
};

/// A record as callers see it: every attribute that isn't encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: RecordId,
    /// Grows by one with each change; its etag.
    pub revision: i64,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it was last changed.
    pub update_time: Timestamp,
    /// The identity that created it; `None` for a record from before this was kept.
    pub created_by: Option<String>,
    /// The identity that last changed it; `None` where that was the service itself, or before this was kept.
    pub modified_by: Option<String>,
    /// By index of the entity's attributes. Always `None` at an encrypted one; there is no way to put a value there that reaches a
    /// caller.
    pub values: Vec<Option<Value>>,
}

/// What a caller gave for one attribute.
pub enum Given {
    /// A value.
    Clear(Value),
    /// The value of an encrypted attribute.
    Secret(Plaintext),
    /// Something that is no value of this attribute.
    Wrong(Problem),
}

/// What a caller gave for a record.
#[derive(Default)]
pub struct Draft {
    /// By index of the entity's attributes; what is absent was not given.
    pub given: BTreeMap<usize, Given>,
}

/// Which attributes an update touches, by index. One that is touched and not given becomes null.
pub type Touched = BTreeSet<usize>;

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
    HasControl,
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
    /// The service sets it.
    OutputOnly,
    /// The mask names no attribute.
    NoSuchField,
    /// It isn't encrypted, and what isn't can't be revealed.
    NotEncrypted,
    /// It stands there more than once.
    Repeated,
    /// It isn't a UUID in its canonical form, in lower case.
    NotAUuid,
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
    /// It names an encrypted attribute, by which nothing is read, filtered or ordered.
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

    /// Its name for programs; part of the contract.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Problem::Required => "REQUIRED",
            Problem::TooLong { .. } => "TOO_LONG",
            Problem::OutOfRange { .. } => "OUT_OF_RANGE",
            Problem::NotAChoice => "NOT_A_CHOICE",
            Problem::HasNul => "HAS_NUL",
            Problem::HasControl => "HAS_CONTROL",
            Problem::NotATime => "NOT_A_TIME",
            Problem::NotAReference { .. } => "NOT_A_REFERENCE",
            Problem::ReferenceMissing => "REFERENCE_MISSING",
            Problem::NotValidForCreate => "NOT_VALID_FOR_CREATE",
            Problem::NotValidForUpdate => "NOT_VALID_FOR_UPDATE",
            Problem::Immutable => "IMMUTABLE",
            Problem::OutputOnly => "OUTPUT_ONLY",
            Problem::NoSuchField => "NO_SUCH_FIELD",
            Problem::NotEncrypted => "NOT_ENCRYPTED",
            Problem::Repeated => "REPEATED",
            Problem::NotAUuid => "NOT_A_UUID",
            Problem::NotAName { .. } => "NOT_A_NAME",
            Problem::SystemRequired => "SYSTEM_REQUIRED",
            Problem::NotRequirable => "NOT_REQUIRABLE",
            Problem::NotAuditable => "NOT_AUDITABLE",
            Problem::NotIndexable { .. } => "NOT_INDEXABLE",
            Problem::HasNoLength => "HAS_NO_LENGTH",
            Problem::TooMany { .. } => "TOO_MANY",
            Problem::NotAnEtag => "NOT_AN_ETAG",
            Problem::NotConfirmed { .. } => "NOT_CONFIRMED",
            Problem::Encrypted { .. } => "ENCRYPTED",
            Problem::Order { fault, .. } => fault.reason(),
            Problem::OrderTooLong { .. } => "NOT_ORDERABLE",
            Problem::Filter(_) => "NOT_A_FILTER",
            Problem::Rule { reason, .. } => reason,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Required => f.write_str("must have a value"),
            Problem::TooLong { given, limit } => write!(f, "has length {given}; at most {limit} is allowed"),
            Problem::OutOfRange { minimum, maximum } => write!(f, "must be from {minimum} to {maximum}"),
            Problem::NotAChoice => f.write_str("is none of the enum's values"),
            Problem::HasNul => f.write_str("must not contain U+0000"),
            Problem::HasControl => f.write_str("must not contain control characters"),
            Problem::NotATime => f.write_str("is not a time from year 1 to year 9999"),
            Problem::NotAReference { collection } => {
                write!(f, "must be the name of a record in `{collection}` of the same organization")
            }
            Problem::ReferenceMissing => f.write_str("names a record that does not exist"),
            Problem::NotValidForCreate => f.write_str("can't be given when a record is created"),
            Problem::NotValidForUpdate => f.write_str("can't be updated"),
            Problem::Immutable => f.write_str("can't change once the record exists"),
            Problem::OutputOnly => f.write_str("is set by the service and can't be in an update mask"),
            Problem::NoSuchField => f.write_str("is no field of the resource"),
            Problem::NotEncrypted => f.write_str("is not an encrypted attribute; read it with Get"),
            Problem::Repeated => f.write_str("stands there more than once"),
            Problem::NotAUuid => f.write_str("must be a UUID in lower case with hyphens"),
            Problem::NotAName { form } => write!(f, "must be of the form `{form}`"),
            Problem::SystemRequired => f.write_str("can't be weakened: the schema requires the attribute"),
            Problem::NotRequirable => f.write_str(
                "can be APPLICATION_REQUIRED only, and only where a create can give a value or there is a default",
            ),
            Problem::NotAuditable => f.write_str("can't be true: the attribute is derived from an encrypted one"),
            Problem::NotIndexable { limit } => {
                write!(
                    f,
                    "doesn't go with an index: bytes, derived attributes and texts that may be longer than {limit} characters have none"
                )
            }
            Problem::HasNoLength => f.write_str("is for text and bytes only"),
            Problem::TooMany { limit } => write!(f, "has too many elements; at most {limit} are allowed"),
            Problem::NotAnEtag => f.write_str("is not an etag of this service"),
            Problem::NotConfirmed { expected } => write!(f, "must be `{expected}`, to say that this is meant"),
            Problem::Encrypted { attribute, .. } => {
                write!(f, "names `{attribute}`, which is encrypted: it can't be read, filtered or ordered by")
            }
            Problem::Order { position, fault } => write!(f, "has in place {position} what {fault}"),
            Problem::OrderTooLong { limit } => {
                write!(f, "has texts that may together be longer than the {limit} characters that can be ordered by")
            }
            Problem::Filter(error) => write!(f, "is wrong {error}"),
            Problem::Rule { description, .. } => f.write_str(description),
        }
    }
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

/// Finds everything wrong with a new record, and puts defaults in. Attributes that only the service sets are taken out.
pub fn check_create(entity: &Entity, draft: &mut Draft) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut wrong = BTreeSet::new();
    for (index, attribute) in entity.attributes.iter().enumerate() {
        let found_before = violations.len();
        if attribute.output_only || !attribute.stored() {
            draft.given.remove(&index);
        } else if draft.given.contains_key(&index) && !attribute.valid_for_create {
            violations.push(field_violation(entity, attribute, Problem::NotValidForCreate));
        }
        match draft.given.get(&index) {
            Some(given) => {
                violations
                    .extend(given_problem(attribute, given).map(|problem| field_violation(entity, attribute, problem)));
            }
            None => match &attribute.default {
                Some(default) => {
                    draft.given.insert(index, Given::Clear(default.clone()));
                }
                None if attribute.required => violations.push(field_violation(entity, attribute, Problem::Required)),
                None => {}
            },
        }
        if violations.len() > found_before {
            wrong.insert(index);
        }
    }
    violations.extend(rule::check_create(entity, &values(entity, draft), &wrong));
    violations
}

/// The values that a draft becomes, those included that report whether a secret is set.
pub(crate) fn values(entity: &Entity, draft: &Draft) -> Vec<Option<Value>> {
    let given = |index| match draft.given.get(&index) {
        Some(Given::Clear(value)) => Some(value.clone()),
        Some(Given::Secret(_) | Given::Wrong(_)) | None => None,
    };
    let mut values: Vec<_> = (0..entity.attributes.len()).map(given).collect();
    report_set(entity, &mut values, |name| entity.position(name).is_some_and(|index| draft.given.contains_key(&index)));
    values
}

/// Finds everything wrong with an update of these attributes.
#[must_use]
pub fn check_update(entity: &Entity, draft: &Draft, touched: &Touched) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, attribute) in touched.iter().filter_map(|index| Some((index, entity.attributes.get(*index)?))) {
        let problem = if attribute.output_only || !attribute.stored() {
            Some(Problem::OutputOnly)
        } else if attribute.immutable {
            Some(Problem::Immutable)
        } else if !attribute.valid_for_update {
            Some(Problem::NotValidForUpdate)
        } else {
            match draft.given.get(index) {
                Some(given) => given_problem(attribute, given),
                None if attribute.required => Some(Problem::Required),
                None => None,
            }
        };
        violations.extend(problem.map(|problem| field_violation(entity, attribute, problem)));
    }
    violations
}

/// The path of an attribute in a request, with what is wrong with it.
#[must_use]
pub fn field_violation(entity: &Entity, attribute: &Attribute, problem: Problem) -> Violation {
    Violation { field: format!("{}.{}", entity.singular, attribute.name), problem }
}

fn given_problem(attribute: &Attribute, given: &Given) -> Option<Problem> {
    match given {
        Given::Wrong(problem) => Some(problem.clone()),
        Given::Clear(value) => check_value(attribute, value),
        Given::Secret(plaintext) => {
            let bytes = plaintext.expose();
            match std::str::from_utf8(bytes) {
                Ok(text) if attribute.kind == Kind::Text => text_problem(attribute, text),
                Ok(_) | Err(_) => length_problem(attribute, bytes.len()),
            }
        }
    }
}

/// What is wrong with a value, as far as the attribute alone can tell.
#[must_use]
pub fn check_value(attribute: &Attribute, value: &Value) -> Option<Problem> {
    match (value, &attribute.kind) {
        (Value::Text(text), _) => text_problem(attribute, text),
        (Value::Bytes(bytes), _) => length_problem(attribute, bytes.len()),
        (Value::Integer(number), Kind::Choice(choices)) => {
            let known = choices.iter().any(|choice| i64::from(choice.number) == *number);
            (!known).then_some(Problem::NotAChoice)
        }
        (Value::Integer(number), _) => {
            let minimum = attribute.minimum.unwrap_or(i64::MIN);
            let maximum = attribute.maximum.unwrap_or(i64::MAX);
            let outside = *number < minimum || *number > maximum;
            outside.then_some(Problem::OutOfRange { minimum, maximum })
        }
        (Value::Boolean(_) | Value::Time(_) | Value::Reference(_), _) => None,
    }
}

fn text_problem(attribute: &Attribute, text: &str) -> Option<Problem> {
    if text.contains('\0') {
        return Some(Problem::HasNul);
    }
    length_problem(attribute, text.chars().count())
}

fn length_problem(attribute: &Attribute, given: usize) -> Option<Problem> {
    let limit = attribute.max_length?;
    let too_long = usize::try_from(limit).is_ok_and(|limit| given > limit);
    too_long.then_some(Problem::TooLong { given, limit })
}
