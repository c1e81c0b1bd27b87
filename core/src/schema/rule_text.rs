//! Parses rules as written in a schema.

use crate::{
    filter::expression::Filter,
    schema::{
        entity::Entity,
        rule::{Rule, RuleError},
    },
};

/// The text of a rule in a schema.
#[derive(Clone, Copy, Debug)]
pub struct RuleText<'a> {
    /// See [`Rule::reason`].
    pub reason: &'a str,
    /// The name of the attribute that violations are reported on.
    pub attribute: &'a str,
    /// The text of the filter.
    pub refuse_when: &'a str,
    /// See [`Rule::description`].
    pub description: &'a str,
    /// See [`Rule::dynamics_code`]; empty if there is none.
    pub dynamics_code: &'a str,
}
impl Rule {
    /// Parses a rule of an entity.
    ///
    /// # Errors
    /// The first [`RuleError`] found.
    pub fn read(text: &RuleText<'_>, entity: &Entity) -> Result<Rule, RuleError> {
        if !is_reason(text.reason) {
            return Err(RuleError::Reason);
        }
        let attribute = entity.position(text.attribute).ok_or(RuleError::Attribute)?;
        // Without an organization, a reference by name is refused: a schema doesn't know organizations.
        let refuse_when =
            Filter::parse(text.refuse_when, entity, None).map_err(|error| RuleError::RefuseWhen(Box::new(error)))?;
        let mut inputs = refuse_when.attributes();
        if inputs.is_empty() || inputs.len() != refuse_when.fields().len() {
            return Err(RuleError::NotOfAttributes);
        }
        let reported: Vec<usize> = inputs.iter().filter_map(|index| reported_by(entity, *index)).collect();
        inputs.extend(reported);
        if text.description.is_empty() {
            return Err(RuleError::Description);
        }
        if !(text.dynamics_code.is_empty() || is_dynamics_code(text.dynamics_code)) {
            return Err(RuleError::DynamicsCode);
        }
        Ok(Rule {
            reason: text.reason.to_owned(),
            attribute,
            refuse_when,
            description: text.description.to_owned(),
            dynamics_code: (!text.dynamics_code.is_empty()).then(|| text.dynamics_code.to_owned()),
            inputs,
        })
    }
}

/// Returns the index of the encrypted attribute that the attribute with this index reports on.
fn reported_by(entity: &Entity, index: usize) -> Option<usize> {
    entity.position(entity.attributes.get(index)?.reports_set()?)
}

fn is_reason(text: &str) -> bool {
    (2..=63).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn is_dynamics_code(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
}
