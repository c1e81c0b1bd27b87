//! Rules across fields: the records that an entity must not have, as a filter.

use std::collections::BTreeSet;

use crate::{
    filter::{
        error::FilterError,
        expression::{Field, Filter},
    },
    schema::value::Value,
};

/// A rule across fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name for programs, unique in its entity: `AUTO_DISCOVER_NOT_ALLOWED`.
    pub reason: String,
    /// The index of the attribute that a violation is reported on.
    pub attribute: usize,
    /// The records that break it.
    pub refuse_when: Filter,
    /// What must be the case, for people; follows the attribute's name.
    pub description: String,
    /// The error number of the original: eight hexadecimal digits.
    pub dynamics_code: Option<String>,
    pub(super) looks_at: BTreeSet<usize>,
}

/// Why a rule can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The reason isn't spelled as one.
    #[error("its `reason` must be 2 to 63 upper-case ASCII letters, digits and `_`, beginning with a letter")]
    Reason,
    /// There is no such attribute.
    #[error("its `attribute` names none of the entity's")]
    Attribute,
    /// The filter can't be read.
    #[error("its `refuse_when` can't be read: {0}")]
    RefuseWhen(Box<FilterError>),
    /// The filter looks at what every record has, or at nothing.
    #[error("its `refuse_when` must look at attributes, and at nothing but attributes")]
    NotOfAttributes,
    /// Nobody is told what must be the case.
    #[error("its `description` is missing")]
    Description,
    /// The number isn't spelled as one.
    #[error("its `dynamics_code` must be 8 hexadecimal digits, letters in upper case")]
    DynamicsCode,
}

impl Rule {
    /// The indexes of the attributes that decide it, an encrypted one beside the one that reports it.
    #[must_use]
    pub fn looks_at(&self) -> &BTreeSet<usize> {
        &self.looks_at
    }

    pub(crate) fn is_broken_by(&self, values: &[Option<Value>]) -> bool {
        self.refuse_when.holds(&|field| match field {
            Field::Attribute(index) => values.get(index)?.as_ref(),
            // No rule looks at these.
            Field::Name | Field::CreateTime | Field::UpdateTime | Field::CreatedBy | Field::ModifiedBy => None,
        })
    }
}
