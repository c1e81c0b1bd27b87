//! The schema: entities and their attributes, as the service understands them.
//!
//! A schema is data that was checked once, when it was made: see [`Schema::new`]. Nothing here knows where it comes from (the server
//! reads it from protobuf descriptors) or how records travel.

use std::{collections::HashSet, sync::Arc};

use crate::{
    id::{RecordId, Timestamp},
    privilege::Privilege,
    rule::{Rule, RuleError},
};

/// The columns that every entity's table has beside those of its attributes.
pub const SYSTEM_COLUMNS: [&str; 6] = ["id", "revision", "create_time", "update_time", "created_by", "modified_by"];

/// All entities of a deployment.
#[derive(Clone, Debug)]
pub struct Schema {
    entities: Vec<Arc<Entity>>,
}

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

/// The value of an attribute that isn't encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of a boolean attribute.
    Boolean(bool),
    /// Of an integer or a choice.
    Integer(i64),
    /// Of a text.
    Text(String),
    /// Of bytes.
    Bytes(Vec<u8>),
    /// Of a time.
    Time(Timestamp),
    /// Of a reference.
    Reference(RecordId),
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

/// Why a schema can't be served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Two entities share a name that must be unique.
    #[error("two entities have the {what} `{name}`")]
    EntitiesCollide {
        /// Which of their names.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// An attribute can't be as it is declared.
    #[error("{entity}.{attribute}: {problem}")]
    Attribute {
        /// The entity's name.
        entity: String,
        /// The attribute's name.
        attribute: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A name can't be stored or spelled in a resource name.
    #[error(
        "{entity}: `{name}` can't be a {what}: use ASCII letters, digits and `_`, beginning with a letter, at most 63, and not beginning with `sealward_`"
    )]
    Name {
        /// The entity's name.
        entity: String,
        /// The name refused.
        name: String,
        /// Of what.
        what: &'static str,
    },
    /// A rule can't be as it is declared.
    #[error("{entity}, rule `{reason}`: {problem}")]
    Rule {
        /// The entity's name.
        entity: String,
        /// The rule's reason.
        reason: String,
        /// What is wrong.
        problem: RuleError,
    },
    /// Two rules of an entity can't be told apart.
    #[error("{entity} has two rules with the reason `{reason}`")]
    RulesCollide {
        /// The entity's name.
        entity: String,
        /// The reason.
        reason: String,
    },
}

impl Schema {
    /// A schema of these entities, checked.
    ///
    /// # Errors
    /// The first [`SchemaError`] found.
    pub fn new(entities: Vec<Entity>) -> Result<Schema, SchemaError> {
        unique(&entities, "name", |entity| &entity.name)?;
        unique(&entities, "collection", |entity| &entity.collection)?;
        unique(&entities, "singular", |entity| &entity.singular)?;
        // Tables are told apart without regard to case by some databases.
        unique(&entities, "storage name", |entity| &entity.storage_name)?;
        for entity in &entities {
            check_entity(entity, &entities)?;
        }
        Ok(Schema { entities: entities.into_iter().map(Arc::new).collect() })
    }

    /// All entities.
    #[must_use]
    pub fn entities(&self) -> &[Arc<Entity>] {
        &self.entities
    }

    /// The schema with each entity made anew by `change`; what of it stays as it is, is shared. The change is to keep names, kinds and the
    /// number of attributes.
    #[must_use]
    pub(crate) fn customized(&self, change: impl Fn(&Arc<Entity>) -> Arc<Entity>) -> Schema {
        Schema { entities: self.entities.iter().map(change).collect() }
    }

    /// The entity of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Entity>> {
        self.entities.iter().find(|entity| entity.name == name)
    }

    /// The entity that is stored in this table.
    #[must_use]
    pub fn by_storage_name(&self, name: &str) -> Option<&Arc<Entity>> {
        self.entities.iter().find(|entity| entity.storage_name == name)
    }

    /// The entity whose resource names have this segment.
    #[must_use]
    pub fn by_collection(&self, collection: &str) -> Option<&Arc<Entity>> {
        self.entities.iter().find(|entity| entity.collection == collection)
    }

    /// Every attribute, of any entity, that refers to records of `collection`.
    pub fn references_to<'a>(
        &'a self,
        collection: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<Entity>, &'a Attribute, OnDelete)> {
        self.entities.iter().flat_map(move |entity| {
            entity.attributes.iter().filter_map(move |attribute| match &attribute.kind {
                Kind::Reference { collection: target, on_delete } if target == collection => {
                    Some((entity, attribute, *on_delete))
                }
                Kind::Reference { .. }
                | Kind::Boolean
                | Kind::Integer32
                | Kind::Integer64
                | Kind::Choice(_)
                | Kind::Text
                | Kind::Bytes
                | Kind::Time
                | Kind::ReportsSet { .. } => None,
            })
        })
    }
}

fn unique(entities: &[Entity], what: &'static str, name: impl Fn(&Entity) -> &String) -> Result<(), SchemaError> {
    let mut seen = HashSet::new();
    match entities.iter().map(name).find(|name| !seen.insert(name.to_ascii_lowercase())) {
        Some(name) => Err(SchemaError::EntitiesCollide { what, name: name.clone() }),
        None => Ok(()),
    }
}

fn check_entity(entity: &Entity, entities: &[Entity]) -> Result<(), SchemaError> {
    for (what, name) in [
        ("name", &entity.name),
        ("collection", &entity.collection),
        ("singular", &entity.singular),
        ("storage name", &entity.storage_name),
    ] {
        check_name(entity, what, name)?;
    }
    let mut columns: HashSet<String> = SYSTEM_COLUMNS.iter().map(|&name| name.to_owned()).collect();
    for attribute in &entity.attributes {
        check_name(entity, "storage name", &attribute.storage_name)?;
        let problem = attribute_problem(attribute, entity, entities).or_else(|| {
            let taken = attribute.stored() && !columns.insert(attribute.storage_name.to_ascii_lowercase());
            taken.then_some("its storage name is taken")
        });
        if let Some(problem) = problem {
            return Err(SchemaError::Attribute {
                entity: entity.name.clone(),
                attribute: attribute.name.clone(),
                problem,
            });
        }
    }
    let mut reasons = HashSet::new();
    match entity.rules.iter().find(|rule| !reasons.insert(&rule.reason)) {
        Some(rule) => Err(SchemaError::RulesCollide { entity: entity.name.clone(), reason: rule.reason.clone() }),
        None => Ok(()),
    }
}

/// How the service's own tables begin.
const RESERVED_PREFIX: &str = "sealward_";

fn check_name(entity: &Entity, what: &'static str, name: &str) -> Result<(), SchemaError> {
    let fits = name.len() <= 63
        && !name.starts_with(RESERVED_PREFIX)
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if fits { Ok(()) } else { Err(SchemaError::Name { entity: entity.name.clone(), name: name.to_owned(), what }) }
}

fn attribute_problem(attribute: &Attribute, entity: &Entity, entities: &[Entity]) -> Option<&'static str> {
    if !attribute.encrypted && !attribute.sent_to.is_empty() {
        return Some("`sent_to` is for encrypted attributes");
    }
    let says_where = |name: &String| entity.attribute(name).is_some_and(|other| other.stored() && !other.encrypted);
    if !attribute.sent_to.iter().all(says_where) {
        return Some("`sent_to` must name stored attributes of the same entity that aren't encrypted");
    }
    if attribute.encrypted {
        if !matches!(attribute.kind, Kind::Text | Kind::Bytes) {
            return Some("only a string or bytes can be encrypted");
        }
        if attribute.default.is_some() {
            return Some("an encrypted attribute can't have a default, which would be in clear in the schema");
        }
        if attribute.output_only {
            return Some("an encrypted attribute that nobody can write is of no use");
        }
    }
    match &attribute.kind {
        Kind::Reference { collection, .. } if !entities.iter().any(|entity| entity.collection == *collection) => {
            return Some("it refers to a collection that no entity has");
        }
        Kind::ReportsSet { attribute } if !entity.attribute(attribute).is_some_and(|target| target.encrypted) => {
            return Some("`reports_set` must name an encrypted attribute of the same entity");
        }
        Kind::Reference { .. }
        | Kind::ReportsSet { .. }
        | Kind::Boolean
        | Kind::Integer32
        | Kind::Integer64
        | Kind::Choice(_)
        | Kind::Text
        | Kind::Bytes
        | Kind::Time => {}
    }
    if let Some(problem) = form_problem(attribute).or_else(|| status_problem(attribute, entity)) {
        return Some(problem);
    }
    if attribute.required && !attribute.stored() {
        return Some("a derived attribute can't be required");
    }
    if attribute.required && !attribute.can_be_required() {
        return Some(
            "it is required, and can't be given to a create and has no default, or is cleared with another record",
        );
    }
    if let (Some(minimum), Some(maximum)) = (attribute.minimum, attribute.maximum)
        && minimum > maximum
    {
        return Some("its minimum is above its maximum");
    }
    match &attribute.default {
        Some(default) if crate::record::check_value(attribute, default).is_some() => {
            Some("its default breaks its own limits")
        }
        Some(_) | None => None,
    }
}

fn form_problem(attribute: &Attribute) -> Option<&'static str> {
    if attribute.application_required && !attribute.required {
        return Some("`application_required` is for required attributes");
    }
    if attribute.text_form != TextForm::SingleLine && attribute.kind != Kind::Text {
        return Some("only a string can be `multi_line` or a `uuid`");
    }
    if attribute.is_uuid() && attribute.encrypted {
        return Some("an encrypted attribute can't be a `uuid`, by which nothing could compare it");
    }
    None
}

fn status_problem(attribute: &Attribute, entity: &Entity) -> Option<&'static str> {
    let is_of_a_state = |choice: &Choice| choice.state.is_some();
    let Some(state) = &attribute.state_attribute else {
        let names_states = matches!(&attribute.kind, Kind::Choice(choices) if choices.iter().any(is_of_a_state));
        return names_states.then_some("its values name states, and it has no `state_attribute`");
    };
    let state = entity.attribute(state).filter(|state| state.stored());
    let (Kind::Choice(statuses), Some(Kind::Choice(states))) = (&attribute.kind, state.map(|state| &state.kind)) else {
        return Some("`state_attribute` must name an enum of the same entity, and stand at an enum");
    };
    let is_a_state = |status: &Choice| states.iter().any(|state| Some(state.number) == status.state);
    let has_a_status = |state: &Choice| statuses.iter().any(|status| status.state == Some(state.number));
    if !statuses.iter().all(is_a_state) {
        return Some("each of its values must name the `state` that it belongs to");
    }
    (!states.iter().all(has_a_status)).then_some("a state of its `state_attribute` has no status")
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::*;

    /// The problem of the last of these attributes.
    fn problem(attributes: Vec<Attribute>) -> Option<&'static str> {
        match Schema::new(vec![Entity::new("Task", "tasks", "task", attributes)]) {
            Ok(_) => None,
            Err(SchemaError::Attribute { problem, .. }) => Some(problem),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn each_status_belongs_to_a_state_and_each_state_has_a_status() {
        let status = |number, state| Choice { state, ..Choice::new(number, format!("STATUS_{number}")) };
        let of = |state_attribute: Option<&str>, statuses: Vec<Choice>| {
            let states = vec![Choice::new(1, "STATE_1"), Choice::new(2, "STATE_2")];
            problem(vec![
                Attribute::new("state", Kind::Choice(states)),
                Attribute {
                    state_attribute: state_attribute.map(str::to_owned),
                    ..Attribute::new("status", Kind::Choice(statuses))
                },
            ])
        };
        let both = || vec![status(1, Some(1)), status(2, Some(2))];
        assert_eq!(of(Some("state"), both()), None);
        assert_eq!(of(None, vec![status(1, None)]), None);
        let no_state = "its values name states, and it has no `state_attribute`";
        assert_eq!(of(None, both()), Some(no_state));
        let no_enum = "`state_attribute` must name an enum of the same entity, and stand at an enum";
        assert_eq!(of(Some("nothing"), both()), Some(no_enum));
        let misses = "each of its values must name the `state` that it belongs to";
        assert_eq!(of(Some("state"), vec![status(1, Some(1)), status(2, None)]), Some(misses));
        let empty = "a state of its `state_attribute` has no status";
        assert_eq!(of(Some("state"), vec![status(1, Some(1))]), Some(empty));
    }

    #[test]
    fn forms_are_for_texts_and_levels_for_required_attributes() {
        let flag = Attribute { text_form: TextForm::MultiLine, ..Attribute::new("flag", Kind::Boolean) };
        assert_eq!(problem(vec![flag]), Some("only a string can be `multi_line` or a `uuid`"));
        let secret = Attribute { encrypted: true, text_form: TextForm::Uuid, ..Attribute::new("secret", Kind::Text) };
        assert!(problem(vec![secret]).is_some());
        let level = Attribute { application_required: true, ..Attribute::new("title", Kind::Text) };
        assert_eq!(problem(vec![level]), Some("`application_required` is for required attributes"));
        let empty = Attribute {
            required: true,
            default: Some(Value::Text(String::new())),
            ..Attribute::new("title", Kind::Text)
        };
        assert_eq!(problem(vec![empty]), Some("its default breaks its own limits"));
    }
}
