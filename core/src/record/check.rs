//! Checks a record: finds all violations of a create, of an update or of a stored record.
//!
//! A check of a create also adds defaults. This file doesn't read or write.

use std::collections::BTreeSet;

use crate::{
    record::{
        content::{Draft, Given, Record, Touched, values},
        rules,
    },
    schema::{
        check::{bytes_problem, check_value, text_problem, value_problem},
        entity::{Attribute, Entity, Kind, StateAndStatus},
        value::Value,
    },
    violation::{Problem, Violation, field_violation},
};

/// Returns all violations of a new record, and adds defaults. Removes input for attributes that only the service sets.
pub fn check_create(entity: &Entity, draft: &mut Draft) -> Vec<Violation> {
    check_new(entity, draft).1
}

/// Does a [`check_create`], and also returns the values of the record, by index of the entity's attributes.
pub(crate) fn check_new(entity: &Entity, draft: &mut Draft) -> (Vec<Option<Value>>, Vec<Violation>) {
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
    let values = values(entity, draft);
    violations.extend(rules::check_create(entity, &values, &wrong));
    (values, violations)
}

fn default_status(entity: &Entity, status: usize, state: &Value) -> Option<Value> {
    entity.states().find(|states| states.status == status)?.default_status(state)
}

/// Returns the statuses that an update sets in addition to its input: if it changes a record's state without a status,
/// the default status of the new state.
#[must_use]
pub(crate) fn default_statuses(entity: &Entity, before: &Record, draft: &Draft, touched: &Touched) -> Draft {
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

/// Returns all violations of a stored record that this deployment hasn't checked, for example an imported one: values
/// that no write could have stored, missing required values, and statuses that don't belong to their state. `values`
/// are by index of the entity's attributes.
///
/// Encrypted attributes aren't opened: their values are `None`. Rules across fields aren't checked, because a record
/// can be older than a rule. For the same reason, the limit of a text's length is the greatest that the organization
/// ever allowed. To check only the requirements of the schema, without those of the organization, pass the entity from
/// the deployment's schema.
#[must_use]
pub(crate) fn check_stored(entity: &Entity, values: &[Option<Value>]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (attribute, value) in entity.attributes.iter().zip(values) {
        let problem = match value {
            Some(value) => value_problem(attribute, value, attribute.length_stored()),
            None if attribute.required && !attribute.encrypted => Some(Problem::Required),
            None => None,
        };
        violations.extend(problem.map(|problem| field_violation(entity, attribute, problem)));
    }
    violations.extend(rules::check_statuses(entity, values, |_| true));
    violations
}

/// Returns all violations of an update of these attributes.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{RecordId, Timestamp},
        schema::entity::{Choice, TextForm},
    };

    const STATE: usize = 0;
    const STATUS: usize = 1;
    const TITLE: usize = 2;
    const MEMO: usize = 3;
    const OWNER: usize = 4;

    /// Returns an entity with the states 1 and 2. State 1 has the statuses 10 and 11, and state 2 has the status 20.
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
    fn status_follows_its_state() {
        let follows = |before: &Record, given: &[(usize, i64)], touched: &[usize]| {
            let draft = Draft { given: given.iter().map(|(index, value)| (*index, clear(*value))).collect() };
            let follow = default_statuses(&entity(), before, &draft, &touched.iter().copied().collect());
            match follow.given.into_iter().next() {
                Some((STATUS, Given::Clear(Value::Integer(status)))) => Some(status),
                Some(_) => panic!("something else follows"),
                None => None,
            }
        };
        assert_eq!(follows(&record(1, Some(11)), &[(STATE, 2)], &[STATE]), Some(20));
        assert_eq!(follows(&record(2, Some(20)), &[(STATE, 1)], &[STATE]), Some(10));
        assert_eq!(follows(&record(1, None), &[(STATE, 2)], &[STATE]), Some(20));
        // The state is unchanged: a valid status stays, and so does a missing one.
        assert_eq!(follows(&record(1, Some(11)), &[(STATE, 1)], &[STATE]), None);
        assert_eq!(follows(&record(1, None), &[(STATE, 1)], &[STATE]), None);
        assert_eq!(follows(&record(2, Some(11)), &[(STATE, 2)], &[STATE]), Some(20));
        // The caller sets the status, or changes neither.
        assert_eq!(follows(&record(1, Some(11)), &[(STATE, 2), (STATUS, 10)], &[STATE, STATUS]), None);
        assert_eq!(follows(&record(1, Some(11)), &[(STATE, 2)], &[TITLE]), None);
        assert_eq!(follows(&record(1, Some(11)), &[], &[STATE]), None);
    }

    #[test]
    fn stored_record_is_checked_like_a_write() {
        let entity = entity();
        let named = |values: &[Option<Value>]| -> Vec<(String, String)> {
            let found = check_stored(&entity, values);
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
}
