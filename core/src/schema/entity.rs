//! Entities and their attributes: the content of a schema.
//!
//! They are plain data. [`Schema::new`](crate::schema::Schema::new) checks them.

use crate::{
    privilege::Privilege,
    schema::{lookups::Lookups, rule::Rule, value::Value},
    store::Name,
};

/// A type of record.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Name, such as `Mailbox`.
    pub name: String,
    /// Name for people, such as `E-mail server profile`.
    pub display_name: String,
    /// Collection segment of resource names, such as `mailboxes`.
    pub collection: String,
    /// Name of one record in fields and commands, such as `mailbox`.
    pub singular: String,
    /// Name of the table and part of the associated data of cells. Never changes.
    pub storage_name: Name,
    /// Whether the caller must give the id of a new record.
    pub id_required: bool,
    /// The privilege to create, update and delete its records.
    pub write_privilege: Privilege,
    /// The attributes.
    pub attributes: Vec<Attribute>,
    /// The rules across attributes that its records must satisfy.
    pub rules: Vec<Rule>,
    /// The prepared reads of its records.
    pub lookups: Lookups,
}

/// A field of an entity.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Name, such as `email_address`.
    pub name: String,
    /// Name for people, such as `Email address`.
    pub display_name: String,
    /// Name of the column and part of the associated data of cells. Never changes.
    pub storage_name: Name,
    /// The kind of its values.
    pub kind: Kind,
    /// Whether it is write-only and sealed at rest.
    pub encrypted: bool,
    /// Whether it must have a value after defaults are applied: never null, and never an empty text or empty bytes.
    pub required: bool,
    /// For a required attribute: whether its level in Dynamics 365 is ApplicationRequired instead of SystemRequired.
    /// Both are enforced in the same way.
    pub application_required: bool,
    /// The value of a new record if the caller gives none.
    pub default: Option<Value>,
    /// The maximum length: of a text in Unicode scalar values, of bytes in bytes.
    pub max_length: Option<u32>,
    /// The form of a text.
    pub text_form: TextForm,
    /// For a status: the attribute of the same entity that contains the state of the status.
    pub state_attribute: Option<String>,
    /// The maximum length of stored values, in the same units. It is greater than `max_length` if an organization once
    /// accepted longer values.
    pub longest: Option<u32>,
    /// The minimum of an integer.
    pub minimum: Option<i64>,
    /// The maximum of an integer.
    pub maximum: Option<i64>,
    /// Whether only the service sets it. A caller's value is ignored.
    pub output_only: bool,
    /// Whether it can be set only when the record is created.
    pub immutable: bool,
    /// Whether a create may set it.
    pub valid_for_create: bool,
    /// Whether an update may set it.
    pub valid_for_update: bool,
    /// The replacement of an obsolete attribute, such as `Mailbox.password`.
    pub deprecated_for: Option<String>,
    /// For an encrypted attribute: the attributes of the same entity that determine the destination of its value. An
    /// update that changes one of them without setting the value clears it. A caller who can't read the value therefore
    /// can't have it sent to a destination of his choice.
    pub sent_to: Vec<String>,
    /// Whether each change is recorded with the old and the new value. An organization sets this; it is false in a
    /// schema.
    pub is_audited: bool,
    /// Whether it has an index. An organization sets this; it is false in a schema.
    pub is_indexed: bool,
}

/// The kind of an attribute's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A signed 32-bit integer.
    Integer32,
    /// A signed 64-bit integer.
    Integer64,
    /// One of these choices.
    Choice(Vec<Choice>),
    /// Unicode without U+0000.
    Text,
    /// Any bytes.
    Bytes,
    /// A point in time.
    Time,
    /// A reference to a record of another entity.
    Reference {
        /// The collection of the other entity.
        collection: String,
        /// The effect on the reference when that record is deleted.
        on_delete: OnDelete,
    },
    /// Whether the encrypted attribute with this name has a value. Derived at each read, never stored.
    ReportsSet {
        /// The name of the encrypted attribute.
        attribute: String,
    },
}

/// The form of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextForm {
    /// One line: no control characters, and no separators U+2028 and U+2029.
    #[default]
    SingleLine,
    /// Several lines: CR, LF and tabs, but no other control characters.
    MultiLine,
    /// A UUID with hyphens. Accepted in any case, stored in lower case.
    Uuid,
}

/// A value of an attribute of kind [`Kind::Choice`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The stored number.
    pub number: i32,
    /// The name, such as `SERVER_TYPE_OTHER`.
    pub name: String,
    /// The number in Dynamics 365.
    pub option: Option<i32>,
    /// For a status: the number of its state.
    pub state: Option<i32>,
}

impl Choice {
    /// Creates a choice that has no number in Dynamics 365 and isn't a status.
    pub fn new(number: i32, name: impl Into<String>) -> Choice {
        Choice { number, name: name.into(), option: None, state: None }
    }
}

/// A pair of choice attributes: a state and a status. Each status belongs to one state.
#[derive(Clone, Copy, Debug)]
pub struct StateAndStatus<'a> {
    /// The index of the state attribute.
    pub state: usize,
    /// The index of the status attribute.
    pub status: usize,
    /// The states.
    pub states: &'a [Choice],
    /// The statuses. The first status of a state is its default.
    pub statuses: &'a [Choice],
}

impl StateAndStatus<'_> {
    /// Returns whether a record may have this state and this status. A null fits any value.
    #[must_use]
    pub fn fit(&self, state: Option<&Value>, status: Option<&Value>) -> bool {
        match (state, status) {
            (Some(Value::Integer(state)), Some(Value::Integer(status))) => {
                let status = self.statuses.iter().find(|choice| i64::from(choice.number) == *status);
                status.and_then(|status| status.state).is_some_and(|of| i64::from(of) == *state)
            }
            (Some(_) | None, _) => true,
        }
    }

    /// Returns the default status of a state.
    #[must_use]
    pub fn default_status(&self, state: &Value) -> Option<Value> {
        let Value::Integer(state) = state else { return None };
        let first = self.statuses.iter().find(|choice| choice.state.is_some_and(|of| i64::from(of) == *state))?;
        Some(Value::Integer(first.number.into()))
    }

    /// Returns the names of the statuses of a state.
    pub fn statuses_of(&self, state: i64) -> impl Iterator<Item = &str> {
        let of_state = move |choice: &&Choice| choice.state.is_some_and(|of| i64::from(of) == state);
        self.statuses.iter().filter(of_state).map(|choice| choice.name.as_str())
    }
}

/// The effect on a reference when its record is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// The reference becomes null.
    Clear,
    /// The delete is refused.
    Refuse,
}

impl Attribute {
    /// Creates a nullable attribute without limits. Its storage name is its name, and callers may set it in any write.
    pub fn new(name: impl Into<String>, kind: Kind) -> Attribute {
        let name = name.into();
        Attribute {
            storage_name: name.clone().into(),
            display_name: display_name(&name),
            name,
            kind,
            encrypted: false,
            required: false,
            application_required: false,
            default: None,
            max_length: None,
            text_form: TextForm::SingleLine,
            state_attribute: None,
            longest: None,
            minimum: None,
            maximum: None,
            output_only: false,
            immutable: false,
            valid_for_create: true,
            valid_for_update: true,
            deprecated_for: None,
            sent_to: Vec::new(),
            is_audited: false,
            is_indexed: false,
        }
    }

    /// Returns whether its values are UUIDs. They compare as UUIDs, and have no maximum length.
    #[must_use]
    pub fn is_uuid(&self) -> bool {
        self.kind == Kind::Text && self.text_form == TextForm::Uuid
    }

    /// Returns the name of the encrypted attribute that it reports on, if any.
    #[must_use]
    pub fn reports_set(&self) -> Option<&str> {
        if let Kind::ReportsSet { attribute } = &self.kind { Some(attribute) } else { None }
    }

    /// Returns whether it has its own column.
    #[must_use]
    pub fn stored(&self) -> bool {
        self.reports_set().is_none()
    }

    /// Returns whether an organization may change its name for people, its maximum length and its required level.
    #[must_use]
    pub fn is_customizable(&self) -> bool {
        !self.encrypted
    }

    /// Returns whether its changes can be recorded: it has its own values, and they aren't secret.
    #[must_use]
    pub fn is_auditable(&self) -> bool {
        self.stored() && !self.encrypted
    }

    /// Returns whether it can have an index: its values are ordered, and short enough for an index in any database.
    #[must_use]
    pub fn is_indexable(&self) -> bool {
        self.is_auditable()
            && match self.kind {
                Kind::Bytes | Kind::ReportsSet { .. } => false,
                Kind::Text => self.length_stored().is_some_and(|length| length <= INDEXED_CHARS_MAX),
                Kind::Boolean
                | Kind::Integer32
                | Kind::Integer64
                | Kind::Choice(_)
                | Kind::Time
                | Kind::Reference { .. } => true,
            }
    }

    /// Returns the maximum length of a stored value; `None` if there is no limit.
    #[must_use]
    pub fn length_stored(&self) -> Option<u32> {
        self.max_length.max(self.longest).filter(|_| self.max_length.is_some())
    }

    /// Returns whether every record can keep a value: a create can set it or it has a default, and the delete of
    /// another record doesn't clear it.
    #[must_use]
    pub fn can_be_required(&self) -> bool {
        let is_cleared = matches!(self.kind, Kind::Reference { on_delete: OnDelete::Clear, .. });
        self.stored() && !is_cleared && (self.default.is_some() || !self.output_only && self.valid_for_create)
    }
}

/// The maximum length of a text with an index, in Unicode scalar values. In UTF-8 that is at most 2,000 bytes;
/// PostgreSQL indexes up to 2,704.
pub(crate) const INDEXED_CHARS_MAX: u32 = 500;

/// Derives a name for people from an attribute's name: `Email address` from `email_address`.
#[must_use]
pub fn display_name(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut characters = words.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}

impl Entity {
    /// Creates an entity without rules. Its storage name and its name for people are its name, and records without an
    /// id get one.
    pub fn new(
        name: impl Into<String>,
        collection: impl Into<String>,
        singular: impl Into<String>,
        attributes: Vec<Attribute>,
    ) -> Entity {
        let name = name.into();
        Entity {
            display_name: name.clone(),
            storage_name: name.clone().into(),
            name,
            collection: collection.into(),
            singular: singular.into(),
            id_required: false,
            write_privilege: Privilege::WriteRecords,
            attributes,
            rules: Vec::new(),
            lookups: Lookups::default(),
        }
    }

    /// Returns the attribute with this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// Returns the index of the attribute with this name.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.attributes.iter().position(|attribute| attribute.name == name)
    }

    /// Returns the attribute that is stored in this column, and its index.
    #[must_use]
    pub fn stored_in(&self, column: &str) -> Option<(usize, &Attribute)> {
        self.attributes.iter().enumerate().find(|(_, attribute)| attribute.storage_name == column)
    }

    /// Returns the states of the entity, each with its status attribute.
    pub fn states(&self) -> impl Iterator<Item = StateAndStatus<'_>> {
        self.attributes.iter().enumerate().filter_map(|(status, attribute)| {
            let state = self.position(attribute.state_attribute.as_deref()?)?;
            match (&self.attributes.get(state)?.kind, &attribute.kind) {
                (Kind::Choice(states), Kind::Choice(statuses)) => {
                    Some(StateAndStatus { state, status, states, statuses })
                }
                _ => None,
            }
        })
    }

    /// Returns the encrypted attributes.
    pub fn encrypted(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|attribute| attribute.encrypted)
    }
}
