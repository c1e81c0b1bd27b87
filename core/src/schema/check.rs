//! Checks of a single value against its attribute.

use crate::{
    id::parse_uuid_in_any_case,
    schema::{
        entity::{Attribute, Kind, TextForm},
        value::Value,
    },
    text::is_invisible,
    violation::Problem,
};

/// Returns the problem of a value, as far as its attribute alone determines it.
#[must_use]
pub(crate) fn check_value(attribute: &Attribute, value: &Value) -> Option<Problem> {
    value_problem(attribute, value, attribute.max_length)
}

pub(crate) fn value_problem(attribute: &Attribute, value: &Value, max_length: Option<u32>) -> Option<Problem> {
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

pub(crate) fn text_problem(attribute: &Attribute, text: &str, max_length: Option<u32>) -> Option<Problem> {
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

/// Returns whether a character isn't allowed in a single line: a control character, or one of the separators U+2028 and
/// U+2029.
fn breaks_a_line(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Returns the problem of a line of text that people read in trails and metadata. Invisible characters are refused,
/// because the line must be what it looks like.
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

pub(crate) fn bytes_problem(attribute: &Attribute, given: usize, max_length: Option<u32>) -> Option<Problem> {
    if attribute.required && given == 0 { Some(Problem::Required) } else { length_problem(given, max_length) }
}

fn length_problem(given: usize, limit: Option<u32>) -> Option<Problem> {
    let limit = limit?;
    let too_long = usize::try_from(limit).is_ok_and(|limit| given > limit);
    too_long.then_some(Problem::TooLong { given, limit })
}
