//! Rules across fields. A rule is a filter of the records that its entity must not have.

use std::collections::BTreeSet;

use crate::{
    filter::{
        error::FilterError,
        expression::{Field, Filter},
    },
    schema::value::Value,
};

/// A rule across fields of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Machine-readable name, unique in its entity, such as `AUTO_DISCOVER_NOT_ALLOWED`.
    pub reason: String,
    /// The index of the attribute that violations are reported on.
    pub attribute: usize,
    /// The filter of the records that violate the rule.
    pub refuse_when: Filter,
    /// The requirement in words. It follows the attribute's name in a message.
    pub description: String,
    /// The error number of Dynamics 365: eight hexadecimal digits.
    pub dynamics_code: Option<String>,
    pub(super) inputs: BTreeSet<usize>,
}

/// Why a rule can't be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The reason is malformed.
    #[error("its `reason` must be 2 to 63 upper-case ASCII letters, digits and `_`, beginning with a letter")]
    Reason,
    /// The attribute doesn't exist.
    #[error("its `attribute` is not an attribute of the entity")]
    Attribute,
    /// The filter is invalid.
    #[error("its `refuse_when` is not a valid filter: {0}")]
    RefuseWhen(Box<FilterError>),
    /// The filter tests a field other than an attribute, or no field.
    #[error("its `refuse_when` must test attributes, and no other fields")]
    NotOfAttributes,
    /// The description is missing.
    #[error("its `description` is missing")]
    Description,
    /// The error number is malformed.
    #[error("its `dynamics_code` must be 8 hexadecimal digits, letters in upper case")]
    DynamicsCode,
}

impl Rule {
    /// Returns the indexes of the attributes that the rule depends on. If the rule tests whether an encrypted attribute
    /// is set, they include the encrypted attribute.
    #[must_use]
    pub fn inputs(&self) -> &BTreeSet<usize> {
        &self.inputs
    }

    pub(crate) fn is_broken_by(&self, values: &[Option<Value>]) -> bool {
        self.refuse_when.holds(&|field| match field {
            Field::Attribute(index) => values.get(index)?.as_ref(),
            // Rules don't test these fields.
            Field::Name | Field::CreateTime | Field::UpdateTime | Field::CreatedBy | Field::ModifiedBy => None,
        })
    }
}
