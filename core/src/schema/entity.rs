//! Entities and their attributes: what a schema is made of.
//!
//! They are data. [`Schema::new`](crate::schema::Schema::new) checks them.

use crate::{
    privilege::Privilege,
    schema::{rule::Rule, value::Value},
};

/// A type of record.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Its name: `Mailbox`.
    pub name: String,
    /// Its name for people: `E-mail server profile`.
    pub display_name: String,
    /// Its segment in resource names: `mailboxes`.
    pub collection: String,
    /// Its name for one record, as fields and commands spell it: `mailbox`.
    pub singular: String,
    /// The name of its table and its part in the associated data of cells. Never changes.
    pub storage_name: String,
    /// Whether the caller must give the id of a new record.
    pub id_required: bool,
    /// What creating, updating and deleting its records needs.
    pub write_privilege: Privilege,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// What its records must not be, across attributes.
    pub rules: Vec<Rule>,
}

/// A field of an entity.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Its name: `email_address`.
    pub name: String,
    /// Its name for people: `Email address`.
    pub display_name: String,
    /// Its column and its part in the associated data of cells. Never changes.
    pub storage_name: String,
    /// What it holds.
    pub kind: Kind,
    /// Write-only, and sealed at rest.
    pub encrypted: bool,
    /// Never null, and never an empty text or empty bytes, once defaults are in.
    pub required: bool,
    /// Of a required attribute: Dynamics 365 calls its level ApplicationRequired, not SystemRequired. Both are enforced alike.
    pub application_required: bool,
    /// What a new record has where the caller gives nothing.
    pub default: Option<Value>,
    /// The longest text in Unicode scalar values, or the longest bytes.
    pub max_length: Option<u32>,
    /// What a text looks like.
    pub text_form: TextForm,
    /// Of a status: the attribute of the same entity that holds the state which the status belongs to.
    pub state_attribute: Option<String>,
    /// The longest value that may be stored, in the same units: longer than `max_length` where an organization once took longer ones.
    pub longest: Option<u32>,
    /// The smallest integer.
    pub minimum: Option<i64>,
    /// The largest integer.
    pub maximum: Option<i64>,
    /// Set by the service alone; what a caller gives is ignored.
    pub output_only: bool,
    /// Set when the record is created and never after.
    pub immutable: bool,
    /// Whether a create may give it.
    pub valid_for_create: bool,
    /// Whether an update may give it.
    pub valid_for_update: bool,
    /// What to use in its stead, if it is obsolete: `Mailbox.password`.
    pub deprecated_for: Option<String>,
    /// Of an encrypted attribute: the attributes of the same entity that say where its value is sent. An update that changes one of them
    /// and doesn't set the value too clears it, so that nobody sends to a place of his own what he can't read.
    pub sent_to: Vec<String>,
    /// Whether each change of it is recorded with old and new value. An organization's choice; a schema begins with false.
    pub is_audited: bool,
    /// Whether it has an index. An organization's choice; a schema begins with false.
    pub is_indexed: bool,
}

/// What an attribute holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// true or false
    Boolean,
    /// A whole number of 32 bits, signed.
    Integer32,
    /// A whole number of 64 bits, signed.
    Integer64,
    /// One of these.
    Choice(Vec<Choice>),
    /// Unicode without U+0000.
    Text,
    /// Any bytes.
    Bytes,
    /// A point in time.
    Time,
    /// A link to a record of another entity.
    Reference {
        /// The entity's collection.
        collection: String,
        /// What happens to the link when that record is deleted.
        on_delete: OnDelete,
    },
    /// Whether the encrypted attribute of this name has a value. Derived at each read, never stored.
    ReportsSet {
        /// Its name.
        attribute: String,
    },
}

/// What a text looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextForm {
    /// One line: no control characters, and neither of the separators U+2028 and U+2029.
    #[default]
    SingleLine,
    /// Lines: CR, LF and tabs, and no other control characters.
    MultiLine,
    /// A UUID with hyphens. Taken in any case, stored in lower case.
    Uuid,
}

/// A value that an attribute of choices can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its number, which is what is stored.
    pub number: i32,
    /// Its name: `SERVER_TYPE_OTHER`.
    pub name: String,
    /// Its number in Dynamics 365.
    pub option: Option<i32>,
    /// Of a status: the number of the state that it belongs to.
    pub state: Option<i32>,
}

impl Choice {
    /// A choice that Dynamics 365 doesn't number and that is no status.
    pub fn new(number: i32, name: impl Into<String>) -> Choice {
        Choice { number, name: name.into(), option: None, state: None }
    }
}

/// A state and its status: two attributes of choices, where each status belongs to one state.
#[derive(Clone, Copy, Debug)]
pub struct StateAndStatus<'a> {
    /// The index of the state.
    pub state: usize,
    /// The index of the status.
    pub status: usize,
    /// The states.
    pub states: &'a [Choice],
    /// The statuses. The first one of a state is its default.
    pub statuses: &'a [Choice],
}

impl StateAndStatus<'_> {
    /// Whether a record may have these two: a null goes with everything.
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

    /// The default status of a state.
    #[must_use]
    pub fn default_status(&self, state: &Value) -> Option<Value> {
        let Value::Integer(state) = state else { return None };
        let first = self.statuses.iter().find(|choice| choice.state.is_some_and(|of| i64::from(of) == *state))?;
        Some(Value::Integer(first.number.into()))
    }

    /// The names of the statuses of a state.
    pub fn statuses_of(&self, state: i64) -> impl Iterator<Item = &str> {
        let of_state = move |choice: &&Choice| choice.state.is_some_and(|of| i64::from(of) == state);
        self.statuses.iter().filter(of_state).map(|choice| choice.name.as_str())
    }
}

/// What becomes of a link when the record it points to is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// The link becomes null.
    Clear,
    /// The delete is refused.
    Refuse,
}

impl Attribute {
    /// A nullable attribute without limits of its own, stored under its own name, that callers may give whenever they write.
    pub fn new(name: impl Into<String>, kind: Kind) -> Attribute {
        let name = name.into();
        Attribute {
            storage_name: name.clone(),
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

    /// Whether its values are UUIDs, which compare as such and have no length of their own.
    #[must_use]
    pub fn is_uuid(&self) -> bool {
        self.kind == Kind::Text && self.text_form == TextForm::Uuid
    }

    /// The name of the encrypted attribute that it tells about, if it tells whether one has a value.
    #[must_use]
    pub fn reports_set(&self) -> Option<&str> {
        if let Kind::ReportsSet { attribute } = &self.kind { Some(attribute) } else { None }
    }

    /// Whether it has a column of its own.
    #[must_use]
    pub fn stored(&self) -> bool {
        self.reports_set().is_none()
    }

    /// Whether an organization may change its name for people, its greatest length, and whether a record must have it.
    #[must_use]
    pub fn is_customizable(&self) -> bool {
        !self.encrypted
    }

    /// Whether its changes can be recorded: it has values, and they are no secrets.
    #[must_use]
    pub fn is_auditable(&self) -> bool {
        self.stored() && !self.encrypted
    }

    /// Whether it can have an index: its values have an order, and are short enough for an index of any database.
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

    /// How long a value that is stored may be; `None` if there is no bound.
    #[must_use]
    pub fn length_stored(&self) -> Option<u32> {
        self.max_length.max(self.longest).filter(|_| self.max_length.is_some())
    }

    /// Whether a record can be made to have a value for good: somebody can give it one, or it comes with a default, and it doesn't go with
    /// another record.
    #[must_use]
    pub fn can_be_required(&self) -> bool {
        let is_cleared = matches!(self.kind, Kind::Reference { on_delete: OnDelete::Clear, .. });
        self.stored() && !is_cleared && (self.default.is_some() || !self.output_only && self.valid_for_create)
    }
}

/// The longest text that can have an index, in Unicode scalar values. In UTF-8 that is at most 2,000 bytes; PostgreSQL indexes up to 2,704.
pub const INDEXED_CHARS_MAX: u32 = 500;

/// A name for people, made of one for programs: `Email address` of `email_address`.
#[must_use]
pub fn display_name(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut characters = words.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}

impl Entity {
    /// An entity without rules, stored and shown under its own name, whose records get an id if they come without one.
    pub fn new(
        name: impl Into<String>,
        collection: impl Into<String>,
        singular: impl Into<String>,
        attributes: Vec<Attribute>,
    ) -> Entity {
        let name = name.into();
        Entity {
            display_name: name.clone(),
            storage_name: name.clone(),
            name,
            collection: collection.into(),
            singular: singular.into(),
            id_required: false,
            write_privilege: Privilege::WriteRecords,
            attributes,
            rules: Vec::new(),
        }
    }

    /// The attribute of this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// Where among its attributes the one of this name stands.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.attributes.iter().position(|attribute| attribute.name == name)
    }

    /// The attribute that is stored in this column, and where it stands.
    #[must_use]
    pub fn stored_in(&self, column: &str) -> Option<(usize, &Attribute)> {
        self.attributes.iter().enumerate().find(|(_, attribute)| attribute.storage_name == column)
    }

    /// The states that it has, each with its status.
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

    /// The encrypted attributes.
    pub fn encrypted(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|attribute| attribute.encrypted)
    }
}
