//! The content of a record: what a caller gives for it, and what a caller gets back.
//!
//! A draft holds what was given, including what couldn't be read. Nothing here checks it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    crypto::secret::Plaintext,
    id::{RecordId, Timestamp, parse_uuid_in_any_case},
    schema::{
        entity::{Attribute, Entity},
        value::Value,
    },
    violation::Problem,
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

/// Fills in the attributes that tell whether an encrypted one has a value.
pub(crate) fn report_set(entity: &Entity, values: &mut [Option<Value>], is_set: impl Fn(&str) -> bool) {
    for (attribute, value) in entity.attributes.iter().zip(values) {
        if let Some(attribute) = attribute.reports_set() {
            *value = Some(Value::Boolean(is_set(attribute)));
        }
    }
}
