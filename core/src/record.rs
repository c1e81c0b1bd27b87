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
    id::{RecordId, Timestamp, parse_uuid_in_any_case},
    order::OrderFault,
    records::report_set,
    rule,
    schema::{Attribute, Entity, Kind, StateAndStatus, TextForm, Value},
    text::is_invisible,
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

/// Finds everything wrong with a new record, and puts defaults in. Attributes that only the service sets are taken out.
pub fn check_create(entity: &Entity, draft: &mut Draft) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut wrong = BTreeSet::new();
    let given: BTreeSet<usize> = draft.given.keys().copied().collect();
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
    for StateAndStatus { state, status, .. } in entity.states() {
        if let Some(Given::Clear(state)) = draft.given.get(&state)
            && !given.contains(&status)
            && let Some(default) = default_status(entity, status, state)
        {
            draft.given.insert(status, Given::Clear(default));
        }
    }
    violations.extend(rule::check_create(entity, &values(entity, draft), &wrong));
    violations
}

fn default_status(entity: &Entity, status: usize, state: &Value) -> Option<Value> {
    entity.states().find(|states| states.status == status)?.default_status(state)
}

/// What an update writes in addition to what it touches: where it changes the record's state and leaves out the status, the default status
/// of the new state.
#[must_use]
pub(crate) fn statuses_that_follow(entity: &Entity, before: &Record, draft: &Draft, touched: &Touched) -> Draft {
    let mut follow = Draft::default();
    for states in entity.states() {
        let after = match draft.given.get(&states.state) {
            Some(Given::Clear(state)) if touched.contains(&states.state) => state,
            Some(_) | None => continue,
        };
        let value = |index: usize| before.values.get(index).and_then(Option::as_ref);
        let stays = value(states.state) == Some(after) && states.fit(Some(after), value(states.status));
        if !touched.contains(&states.status)
            && !stays
            && let Some(status) = states.default_status(after)
        {
            follow.given.insert(states.status, Given::Clear(status));
        }
    }
    follow
}

/// Finds everything wrong with a stored record that no write here has checked, for example one that is imported: values that no write could
/// have stored, required values that are missing, and a status that doesn't belong to the state. `values` are by index of the entity's
/// attributes.
///
/// Encrypted attributes aren't opened: their values are `None`. Rules across fields aren't checked, because a record can be older than a rule.
/// For the same reason a text may be as long as the organization ever allowed. To check only what the schema requires, and not what the
/// organization requires since, pass the entity as the deployment's schema has it.
#[must_use]
pub fn check_whole(entity: &Entity, values: &[Option<Value>]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (attribute, value) in entity.attributes.iter().zip(values) {
        let problem = match value {
            Some(value) => value_problem(attribute, value, attribute.length_stored()),
            None if attribute.required && !attribute.encrypted => Some(Problem::Required),
            None => None,
        };
        violations.extend(problem.map(|problem| field_violation(entity, attribute, problem)));
    }
    violations.extend(rule::check_statuses(entity, values, |_| true));
    violations
}

/// What a caller gave as text for an attribute of text that isn't encrypted: a UUID in lower case, any other text as it is.
#[must_use]
pub fn given_text(attribute: &Attribute, text: String) -> Given {
    let uuid = if attribute.is_uuid() { parse_uuid_in_any_case(&text) } else { None };
    // What isn't a UUID is left to the check, which finds it with all that is wrong.
    Given::Clear(Value::Text(uuid.map_or(text, |uuid| uuid.as_hyphenated().to_string())))
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
                Ok(text) if attribute.kind == Kind::Text => text_problem(attribute, text, attribute.max_length),
                Ok(_) | Err(_) => bytes_problem(attribute, bytes.len(), attribute.max_length),
            }
        }
    }
}

/// What is wrong with a value, as far as the attribute alone can tell.
#[must_use]
pub fn check_value(attribute: &Attribute, value: &Value) -> Option<Problem> {
    value_problem(attribute, value, attribute.max_length)
}

fn value_problem(attribute: &Attribute, value: &Value, max_length: Option<u32>) -> Option<Problem> {
    match (value, &attribute.kind) {
        (Value::Text(text), _) => text_problem(attribute, text, max_length),
        (Value::Bytes(bytes), _) => bytes_problem(attribute, bytes.len(), max_length),
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

fn text_problem(attribute: &Attribute, text: &str, max_length: Option<u32>) -> Option<Problem> {
    if text.contains('\0') {
        return Some(Problem::HasNul);
    }
    if attribute.required && text.is_empty() {
        return Some(Problem::Required);
    }
    length_problem(text.chars().count(), max_length).or_else(|| form_problem(attribute.text_form, text))
}

fn form_problem(form: TextForm, text: &str) -> Option<Problem> {
    match form {
        TextForm::SingleLine => text.chars().any(breaks_a_line).then_some(Problem::HasControl { lines_allowed: false }),
        TextForm::MultiLine => {
            let is_refused = |character: char| character.is_control() && !matches!(character, '\n' | '\r' | '\t');
            text.chars().any(is_refused).then_some(Problem::HasControl { lines_allowed: true })
        }
        TextForm::Uuid => {
            let is_stored_form =
                || parse_uuid_in_any_case(text).is_some_and(|uuid| uuid.as_hyphenated().to_string() == text);
            (!is_stored_form()).then_some(Problem::NotAUuid)
        }
    }
}

/// Whether a character has no place in a single line: a control character, or the line and paragraph separators of Unicode.
fn breaks_a_line(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// What is wrong with a line of text that people read in trails and metadata. It must look like what it is.
pub(crate) fn line_problem(text: &str, max_chars: u32) -> Option<Problem> {
    let given = text.chars().count();
    if text.trim().is_empty() {
        Some(Problem::Required)
    } else if u32::try_from(given).map_or(true, |given| given > max_chars) {
        Some(Problem::TooLong { given, limit: max_chars })
    } else if text.chars().any(breaks_a_line) {
        Some(Problem::HasControl { lines_allowed: false })
    } else {
        text.chars().any(is_invisible).then_some(Problem::HasInvisible)
    }
}

fn bytes_problem(attribute: &Attribute, given: usize, max_length: Option<u32>) -> Option<Problem> {
    if attribute.required && given == 0 { Some(Problem::Required) } else { length_problem(given, max_length) }
}

fn length_problem(given: usize, limit: Option<u32>) -> Option<Problem> {
    let limit = limit?;
    let too_long = usize::try_from(limit).is_ok_and(|limit| given > limit);
    too_long.then_some(Problem::TooLong { given, limit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{filter::FilterProblem, schema::Choice};

    const STATE: usize = 0;
    const STATUS: usize = 1;
    const TITLE: usize = 2;
    const MEMO: usize = 3;
    const OWNER: usize = 4;

    /// An entity with the states 1 and 2, of which 1 has the statuses 10 and 11, and 2 has 20.
    fn entity() -> Entity {
        let status = |number, state| Choice { state: Some(state), ..Choice::new(number, format!("STATUS_{number}")) };
        let states = vec![Choice::new(1, "STATE_1"), Choice::new(2, "STATE_2")];
        let statuses = vec![status(10, 1), status(11, 1), status(20, 2)];
        let text = |name, text_form| Attribute { text_form, max_length: Some(40), ..Attribute::new(name, Kind::Text) };
        Entity::new(
            "Task",
            "tasks",
            "task",
            vec![
                Attribute { default: Some(Value::Integer(1)), ..Attribute::new("state", Kind::Choice(states)) },
                Attribute {
                    state_attribute: Some("state".to_owned()),
                    ..Attribute::new("status", Kind::Choice(statuses))
                },
                Attribute { required: true, ..text("title", TextForm::SingleLine) },
                text("memo", TextForm::MultiLine),
                text("owner", TextForm::Uuid),
            ],
        )
    }

    fn clear(value: i64) -> Given {
        Given::Clear(Value::Integer(value))
    }

    fn record(state: i64, status: Option<i64>) -> Record {
        let time = Timestamp::from_unix_micros(0);
        let mut values = vec![None; 5];
        values[STATE] = Some(Value::Integer(state));
        values[STATUS] = status.map(Value::Integer);
        let id = RecordId::from_bytes([7; 16]);
        Record { id, revision: 1, create_time: time, update_time: time, created_by: None, modified_by: None, values }
    }

    #[test]
    fn new_record_has_the_default_status_of_its_state() {
        for (state, status) in [(None, 10), (Some(1), 10), (Some(2), 20)] {
            let title = (TITLE, Given::Clear(Value::Text("t".to_owned())));
            let mut draft = Draft { given: [title].into() };
            draft.given.extend(state.map(|state| (STATE, clear(state))));
            assert_eq!(check_create(&entity(), &mut draft), []);
            assert_eq!(values(&entity(), &draft)[STATUS], Some(Value::Integer(status)));
        }
    }

    #[test]
    fn status_follows_a_state_that_changes_and_one_that_it_does_not_belong_to() {
        let follows = |before: &Record, given: &[(usize, i64)], touched: &[usize]| {
            let draft = Draft { given: given.iter().map(|(index, value)| (*index, clear(*value))).collect() };
            let follow = statuses_that_follow(&entity(), before, &draft, &touched.iter().copied().collect());
            match follow.given.into_iter().next() {
                Some((STATUS, Given::Clear(Value::Integer(status)))) => Some(status),
                Some(_) => panic!("something else follows"),
                None => None,
            }
        };
        assert_eq!(follows(&record(1, Some(11)), &[(STATE, 2)], &[STATE]), Some(20));
        assert_eq!(follows(&record(2, Some(20)), &[(STATE, 1)], &[STATE]), Some(10));
        assert_eq!(follows(&record(1, None), &[(STATE, 2)], &[STATE]), Some(20));
        // Nothing changes: a status that belongs there stays, and so does none.
        assert_eq!(follows(&record(1, Some(11)), &[(STATE, 1)], &[STATE]), None);
        assert_eq!(follows(&record(1, None), &[(STATE, 1)], &[STATE]), None);
        assert_eq!(follows(&record(2, Some(11)), &[(STATE, 2)], &[STATE]), Some(20));
        // The caller decides the status, or nothing of both.
        assert_eq!(follows(&record(1, Some(11)), &[(STATE, 2), (STATUS, 10)], &[STATE, STATUS]), None);
        assert_eq!(follows(&record(1, Some(11)), &[(STATE, 2)], &[TITLE]), None);
        assert_eq!(follows(&record(1, Some(11)), &[], &[STATE]), None);
    }

    #[test]
    fn whole_record_is_checked_as_a_write_would_be() {
        let entity = entity();
        let named = |values: &[Option<Value>]| -> Vec<(String, String)> {
            let found = check_whole(&entity, values);
            found.into_iter().map(|violation| (violation.field, violation.problem.reason().to_owned())).collect()
        };
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let owner = "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506";
        let mut values = record(1, Some(11)).values;
        values[TITLE] = text("title");
        values[MEMO] = text("two\r\n\tlines");
        values[OWNER] = text(owner);
        assert_eq!(named(&values), []);
        for (index, value, reason) in [
            (TITLE, None, "REQUIRED"),
            (TITLE, text(""), "REQUIRED"),
            (TITLE, text("a\nb"), "HAS_CONTROL"),
            (TITLE, text(&"x".repeat(41)), "TOO_LONG"),
            (MEMO, text("a\u{1b}b"), "HAS_CONTROL"),
            (OWNER, text(&owner.to_uppercase()), "NOT_A_UUID"),
            (STATE, Some(Value::Integer(3)), "NOT_A_CHOICE"),
            (STATUS, Some(Value::Integer(20)), "STATUS_NOT_OF_STATE"),
        ] {
            let mut values = values.clone();
            values[index] = value;
            let reasons: Vec<_> = named(&values).into_iter().map(|(_, reason)| reason).collect();
            assert_eq!(reasons, [reason], "{index}");
        }
    }

    #[test]
    fn unknown_fields_are_named_where_they_look_like_names() {
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
