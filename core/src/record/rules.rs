//! Checks the rules across fields of a record.
//!
//! A rule is checked when a write touches one of its input attributes, with the record as it will be stored. Other
//! attributes of a record that is older than a rule can still be changed. Encrypted attributes take part through the
//! attributes that report whether they are set. This file doesn't know specific rules.

use std::collections::BTreeSet;

use crate::{
    record::content::{Record, Touched},
    schema::{
        entity::{Entity, StateAndStatus},
        rule::Rule,
        value::Value,
    },
    violation::{Problem, Violation, field_violation},
};

/// Returns the violations of rules by a new record. Rules with an invalid input attribute are left out, because its
/// intended value is unknown.
#[must_use]
pub(crate) fn check_create(entity: &Entity, values: &[Option<Value>], wrong: &BTreeSet<usize>) -> Vec<Violation> {
    let mut violations = broken(entity, values, |rule| rule.inputs().is_disjoint(wrong));
    violations.extend(check_statuses(entity, values, |index| !wrong.contains(&index)));
    violations
}

/// Returns the violations of rules after an update of these attributes. Only rules with one of them as input are
/// checked.
#[must_use]
pub(crate) fn check_update(entity: &Entity, record: &Record, touched: &Touched) -> Vec<Violation> {
    let mut violations = broken(entity, &record.values, |rule| !rule.inputs().is_disjoint(touched));
    let touches = |states: &StateAndStatus<'_>| touched.contains(&states.state) || touched.contains(&states.status);
    if entity.states().any(|states| touches(&states)) {
        violations.extend(check_statuses(entity, &record.values, |_| true));
    }
    violations
}

/// Returns the violations of statuses that don't belong to their state, for relevant attributes.
pub(crate) fn check_statuses(
    entity: &Entity,
    values: &[Option<Value>],
    concerned: impl Fn(usize) -> bool,
) -> Vec<Violation> {
    let value = |index: usize| values.get(index).and_then(Option::as_ref);
    let misfits = entity.states().filter(|states| {
        concerned(states.state) && concerned(states.status) && !states.fit(value(states.state), value(states.status))
    });
    misfits
        .filter_map(|states| {
            let (attribute, status) = (entity.attributes.get(states.state)?, entity.attributes.get(states.status)?);
            let Some(Value::Integer(number)) = value(states.state) else { return None };
            let state = states.states.iter().find(|choice| i64::from(choice.number) == *number)?;
            let problem = Problem::StatusNotOfState {
                attribute: attribute.name.clone(),
                state: state.name.clone(),
                statuses: states.statuses_of(*number).collect::<Vec<_>>().join(" or "),
            };
            Some(field_violation(entity, status, problem))
        })
        .collect()
}

fn broken(entity: &Entity, values: &[Option<Value>], concerned: impl Fn(&Rule) -> bool) -> Vec<Violation> {
    let broken = entity.rules.iter().filter(|rule| concerned(rule) && rule.is_broken_by(values));
    broken
        .filter_map(|rule| {
            let attribute = entity.attributes.get(rule.attribute)?;
            let problem = Problem::Rule {
                reason: rule.reason.clone(),
                description: rule.description.clone(),
                dynamics_code: rule.dynamics_code.clone(),
            };
            Some(field_violation(entity, attribute, problem))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::secret::Plaintext,
        id::{RecordId, Timestamp},
        record::{
            check::check_create as check_draft,
            content::{Draft, Given},
        },
        schema::{
            Schema, SchemaError,
            entity::{Attribute, Kind},
            rule::RuleError,
            rule_text::RuleText,
        },
    };

    const LIMIT: usize = 0;
    const OPEN: usize = 1;
    const SECRET: usize = 2;
    const USER: usize = 4;

    fn without_rules() -> Entity {
        let mut secret = Attribute::new("secret", Kind::Text);
        secret.encrypted = true;
        let mut open = Attribute::new("open", Kind::Boolean);
        open.default = Some(Value::Boolean(true));
        let mut limit = Attribute::new("limit", Kind::Integer32);
        limit.maximum = Some(100);
        let is_secret_set = Attribute::new("is_secret_set", Kind::ReportsSet { attribute: "secret".to_owned() });
        Entity::new(
            "Door",
            "doors",
            "door",
            vec![limit, open, secret, is_secret_set, Attribute::new("user", Kind::Text)],
        )
    }

    const OPEN_WITH_LIMIT: RuleText<'_> = RuleText {
        reason: "OPEN_WITH_LIMIT",
        attribute: "open",
        refuse_when: "open = true AND limit > 10",
        description: "must be false above a limit of 10",
        dynamics_code: "8005E2AB",
    };

    const USER_MISSING: RuleText<'_> = RuleText {
        reason: "USER_MISSING",
        attribute: "user",
        refuse_when: "is_secret_set = true AND NOT user:*",
        description: "must have a value where there is a secret",
        dynamics_code: "",
    };

    fn entity() -> Entity {
        let mut entity = without_rules();
        entity.rules = [OPEN_WITH_LIMIT, USER_MISSING].map(|text| Rule::read(&text, &entity).unwrap()).to_vec();
        entity
    }

    fn secret() -> Given {
        Given::Secret(Plaintext::new(b"hunter2".to_vec()))
    }

    /// Returns the violations of a new record, as field and reason.
    fn created<const N: usize>(given: [(usize, Given); N]) -> Vec<(String, String)> {
        named(check_draft(&entity(), &mut Draft { given: given.into() }))
    }

    fn updated<const N: usize>(values: [Option<Value>; 5], touched: [usize; N]) -> Vec<(String, String)> {
        let now = Timestamp::from_unix_micros(0);
        let record = Record {
            id: RecordId::from_bytes([7; 16]),
            revision: 2,
            create_time: now,
            update_time: now,
            created_by: None,
            modified_by: None,
            values: values.to_vec(),
        };
        named(check_update(&entity(), &record, &touched.into()))
    }

    fn named(violations: Vec<Violation>) -> Vec<(String, String)> {
        violations.into_iter().map(|violation| (violation.field, violation.problem.reason().to_owned())).collect()
    }

    fn pair(field: &str, reason: &str) -> (String, String) {
        (field.to_owned(), reason.to_owned())
    }

    #[test]
    fn new_record_with_defaults_is_checked_against_every_rule() {
        let limit = |number| (LIMIT, Given::Clear(Value::Integer(number)));
        let open_with_limit = || pair("door.open", "OPEN_WITH_LIMIT");
        let user_missing = || pair("door.user", "USER_MISSING");
        assert_eq!(created([]), []);
        assert_eq!(created([limit(10)]), []);
        assert_eq!(created([limit(11)]), [open_with_limit()]);
        assert_eq!(created([limit(11), (OPEN, Given::Clear(Value::Boolean(false)))]), []);
        assert_eq!(created([(SECRET, secret())]), [user_missing()]);
        assert_eq!(created([(SECRET, secret()), (USER, Given::Clear(Value::Text(String::new())))]), []);
        assert_eq!(created([limit(11), (SECRET, secret())]), [open_with_limit(), user_missing()]);
        // A rule isn't checked if an input is invalid. Violations of other fields are listed together.
        assert_eq!(created([limit(101), (SECRET, secret())]), [pair("door.limit", "OUT_OF_RANGE"), user_missing()]);
        let unread = (USER, Given::Wrong(Problem::HasNul));
        assert_eq!(created([unread, (SECRET, secret())]), [pair("door.user", "HAS_NUL")]);
    }

    #[test]
    fn update_is_checked_against_rules_of_the_changed_attributes() {
        let set = || Some(Value::Boolean(true));
        let both_broken = [Some(Value::Integer(11)), set(), None, set(), None];
        let open_with_limit = || pair("door.open", "OPEN_WITH_LIMIT");
        let user_missing = || pair("door.user", "USER_MISSING");
        assert_eq!(updated(both_broken.clone(), []), []);
        assert_eq!(updated(both_broken.clone(), [LIMIT]), [open_with_limit()]);
        assert_eq!(updated(both_broken.clone(), [OPEN]), [open_with_limit()]);
        assert_eq!(updated(both_broken.clone(), [USER]), [user_missing()]);
        assert_eq!(updated(both_broken.clone(), [SECRET]), [user_missing()]);
        assert_eq!(updated(both_broken, [LIMIT, SECRET]), [open_with_limit(), user_missing()]);
        let cleared = [Some(Value::Integer(10)), set(), None, Some(Value::Boolean(false)), None];
        assert_eq!(updated(cleared, [LIMIT, SECRET]), []);
    }

    #[test]
    fn violation_has_the_description_of_the_rule() {
        let mut draft = Draft { given: [(LIMIT, Given::Clear(Value::Integer(11)))].into() };
        let violations = check_draft(&entity(), &mut draft);
        let problem = Problem::Rule {
            reason: "OPEN_WITH_LIMIT".to_owned(),
            description: "must be false above a limit of 10".to_owned(),
            dynamics_code: Some("8005E2AB".to_owned()),
        };
        assert_eq!(problem.to_string(), "must be false above a limit of 10");
        assert_eq!(violations, [Violation::new("door.open", problem)]);
    }

    #[test]
    fn meaningless_rule_is_refused() {
        let entity = without_rules();
        let refused = |text: RuleText<'_>| Rule::read(&text, &entity).unwrap_err();
        let right = OPEN_WITH_LIMIT;
        for reason in ["", "A", "open", "1A", "A-B", "_A", &"A".repeat(64)] {
            assert_eq!(refused(RuleText { reason, ..right }), RuleError::Reason, "{reason}");
        }
        assert_eq!(refused(RuleText { attribute: "window", ..right }), RuleError::Attribute);
        assert_eq!(refused(RuleText { description: "", ..right }), RuleError::Description);
        for refuse_when in ["", "name:*", "open = true AND create_time:*", "created_by:*"] {
            assert_eq!(refused(RuleText { refuse_when, ..right }), RuleError::NotOfAttributes, "{refuse_when}");
        }
        for dynamics_code in ["8005E2A", "8005E2ABC", "8005e2ab", "0x8005E2"] {
            assert_eq!(refused(RuleText { dynamics_code, ..right }), RuleError::DynamicsCode, "{dynamics_code}");
        }
        for (refuse_when, words) in [
            ("window = 1", "its `refuse_when` is not a valid filter: at position 0: Door has no field `window`"),
            (
                "open = true AND secret:*",
                "its `refuse_when` is not a valid filter: at position 16: `secret` is encrypted and can't be used in a filter: remove it",
            ),
        ] {
            assert_eq!(refused(RuleText { refuse_when, ..right }).to_string(), words);
        }
    }

    #[test]
    fn two_rules_with_one_reason_are_refused() {
        let mut entity = entity();
        let again = RuleText { refuse_when: "open = false", ..OPEN_WITH_LIMIT };
        entity.rules.push(Rule::read(&again, &entity).unwrap());
        let error = Schema::new(vec![entity]).unwrap_err();
        let wanted = SchemaError::RulesCollide { entity: "Door".to_owned(), reason: "OPEN_WITH_LIMIT".to_owned() };
        assert_eq!(error, wanted);
    }
}
