//! The content of a record: the input from a caller, and the result for a caller.
//!
//! A draft contains the input of a call, including invalid input. This file doesn't check it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    crypto::secret::Plaintext,
    id::{RecordId, Timestamp, parse_uuid_in_any_case},
    schema::{
        entity::{Attribute, Entity},
        value::{Value, ValueRef},
    },
    violation::Problem,
};

/// A record as returned to callers: all attributes that aren't encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The id of the record.
    pub id: RecordId,
    /// The revision, which increases by one with each change and is the source of the etag.
    pub revision: i64,
    /// The creation time.
    pub create_time: Timestamp,
    /// The time of the last change.
    pub update_time: Timestamp,
    /// The identity that created the record; `None` for records from before this was stored.
    pub created_by: Option<String>,
    /// The identity that last changed the record; `None` if it was the service itself, or if the change is from before
    /// this was stored.
    pub modified_by: Option<String>,
    /// The values, by index of the entity's attributes. Encrypted attributes are always `None`. No code path returns
    /// their values to a caller.
    pub values: Vec<Option<Value>>,
}

/// The content of a record that is returned to callers, wherever it is stored.
pub trait RecordContent {
    /// The id of the record.
    fn id(&self) -> RecordId;

    /// The revision; see [`Record::revision`].
    fn revision(&self) -> i64;

    /// The creation time.
    fn create_time(&self) -> Timestamp;

    /// The time of the last change.
    fn update_time(&self) -> Timestamp;

    /// The identity that created the record; see [`Record::created_by`].
    fn created_by(&self) -> Option<&str>;

    /// The identity that last changed the record; see [`Record::modified_by`].
    fn modified_by(&self) -> Option<&str>;

    /// The value of the attribute with this index; see [`Record::values`].
    fn value(&self, index: usize) -> Option<ValueRef<'_>>;
}

impl RecordContent for Record {
    fn id(&self) -> RecordId {
        self.id
    }

    fn revision(&self) -> i64 {
        self.revision
    }

    fn create_time(&self) -> Timestamp {
        self.create_time
    }

    fn update_time(&self) -> Timestamp {
        self.update_time
    }

    fn created_by(&self) -> Option<&str> {
        self.created_by.as_deref()
    }

    fn modified_by(&self) -> Option<&str> {
        self.modified_by.as_deref()
    }

    fn value(&self, index: usize) -> Option<ValueRef<'_>> {
        self.values.get(index)?.as_ref().map(ValueRef::from)
    }
}

/// The input for one attribute.
pub enum Given {
    /// A value that isn't secret.
    Clear(Value),
    /// The value of an encrypted attribute.
    Secret(Plaintext),
    /// Input that isn't a value of this attribute.
    Wrong(Problem),
}

/// The input for a record.
#[derive(Default)]
pub struct Draft {
    /// The input, by index of the entity's attributes. Attributes without input are absent.
    pub given: BTreeMap<usize, Given>,
}

/// The indexes of the attributes that an update changes. A touched attribute without input becomes null.
pub type Touched = BTreeSet<usize>;

/// Converts text input for an unencrypted text attribute. UUIDs become lower case; other text is unchanged.
#[must_use]
pub fn given_text(attribute: &Attribute, text: String) -> Given {
    let uuid = if attribute.is_uuid() { parse_uuid_in_any_case(&text) } else { None };
    // An invalid UUID is kept: the check reports it with all other violations.
    Given::Clear(Value::Text(uuid.map_or(text, |uuid| uuid.as_hyphenated().to_string())))
}

/// Returns the values of a draft, including those that report whether a secret is set.
pub(crate) fn values(entity: &Entity, draft: &Draft) -> Vec<Option<Value>> {
    let given = |index| match draft.given.get(&index) {
        Some(Given::Clear(value)) => Some(value.clone()),
        Some(Given::Secret(_) | Given::Wrong(_)) | None => None,
    };
    let mut values: Vec<_> = (0..entity.attributes.len()).map(given).collect();
    report_set(entity, &mut values, |name| entity.position(name).is_some_and(|index| draft.given.contains_key(&index)));
    values
}

/// Sets the attributes that report whether an encrypted attribute has a value.
pub(crate) fn report_set(entity: &Entity, values: &mut [Option<Value>], is_set: impl Fn(&str) -> bool) {
    for (attribute, value) in entity.attributes.iter().zip(values) {
        if let Some(attribute) = attribute.reports_set() {
            *value = Some(Value::Boolean(is_set(attribute)));
        }
    }
}
