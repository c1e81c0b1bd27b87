//! The schema: entities and their attributes, as the service uses them.
//!
//! A schema is data that [`Schema::new`] has checked. This module doesn't know where a schema comes from (the server
//! reads it from protobuf descriptors) or how records are transported.

pub mod check;
pub(crate) mod column;
pub(crate) mod entity;
pub(crate) mod lookups;
pub mod rule;
pub mod rule_text;
pub(crate) mod value;

#[cfg(test)]
pub(crate) mod testing;

use std::{collections::HashSet, sync::Arc};

pub use entity::{Attribute, Choice, Entity, Kind, OnDelete, StateAndStatus, TextForm, display_name};
pub use lookups::Lookups;
pub use value::{Value, ValueRef};

use crate::{
    schema::rule::RuleError,
    store::Name,
    table::{declare::TableRow as _, record::RecordColumns},
};

/// All entities of a deployment.
#[derive(Clone, Debug)]
pub struct Schema {
    entities: Vec<Arc<Entity>>,
}

/// Why a schema can't be served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Two entities share a name that must be unique.
    #[error("two entities have the {what} `{name}`")]
    EntitiesCollide {
        /// The kind of name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The declaration of an attribute is invalid.
    #[error("{entity}.{attribute}: {problem}")]
    Attribute {
        /// The entity's name.
        entity: String,
        /// The attribute's name.
        attribute: String,
        /// The problem.
        problem: &'static str,
    },
    /// A name can't be used in a database or in a resource name.
    #[error(
        "{entity}: `{name}` can't be a {what}: use at most 63 ASCII letters, digits and `_`, beginning with a letter but not with `sealward_`"
    )]
    Name {
        /// The entity's name.
        entity: String,
        /// The refused name.
        name: String,
        /// The kind of name.
        what: &'static str,
    },
    /// The declaration of a rule is invalid.
    #[error("{entity}, rule `{reason}`: {problem}")]
    Rule {
        /// The entity's name.
        entity: String,
        /// The rule's reason.
        reason: String,
        /// The problem.
        problem: RuleError,
    },
    /// Two rules of an entity have the same reason.
    #[error("{entity} has two rules with the reason `{reason}`")]
    RulesCollide {
        /// The entity's name.
        entity: String,
        /// The reason.
        reason: String,
    },
}

impl Schema {
    /// Creates a schema from these entities, and checks it.
    ///
    /// # Errors
    /// The first [`SchemaError`] found.
    pub fn new(entities: Vec<Entity>) -> Result<Schema, SchemaError> {
        unique(&entities, "name", |entity| &entity.name)?;
        unique(&entities, "collection", |entity| &entity.collection)?;
        unique(&entities, "singular", |entity| &entity.singular)?;
        // Some databases compare table names without regard to case.
        unique(&entities, "storage name", |entity| &entity.storage_name)?;
        for entity in &entities {
            check_entity(entity, &entities)?;
        }
        Ok(Schema { entities: entities.into_iter().map(Arc::new).collect() })
    }

    /// Returns all entities.
    #[must_use]
    pub fn entities(&self) -> &[Arc<Entity>] {
        &self.entities
    }

    /// Returns a schema in which `change` has replaced each entity. Unchanged entities are shared. `change` must keep
    /// names, kinds and the number of attributes.
    #[must_use]
    pub(crate) fn customized(&self, change: impl Fn(&Arc<Entity>) -> Arc<Entity>) -> Schema {
        Schema { entities: self.entities.iter().map(change).collect() }
    }

    /// Returns the entity with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Entity>> {
        self.entities.iter().find(|entity| entity.name == name)
    }

    /// Returns the entity that is stored in this table.
    #[must_use]
    pub fn by_storage_name(&self, name: &str) -> Option<&Arc<Entity>> {
        self.entities.iter().find(|entity| entity.storage_name == name)
    }

    /// Returns the entity with this collection in its resource names.
    #[must_use]
    pub fn by_collection(&self, collection: &str) -> Option<&Arc<Entity>> {
        self.entities.iter().find(|entity| entity.collection == collection)
    }

    /// Returns every attribute, of any entity, that refers to records of `collection`.
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

fn unique(entities: &[Entity], what: &'static str, name: impl Fn(&Entity) -> &str) -> Result<(), SchemaError> {
    let mut seen = HashSet::new();
    match entities.iter().map(name).find(|name| !seen.insert(name.to_ascii_lowercase())) {
        Some(name) => Err(SchemaError::EntitiesCollide { what, name: name.to_owned() }),
        None => Ok(()),
    }
}

fn check_entity(entity: &Entity, entities: &[Entity]) -> Result<(), SchemaError> {
    for (what, name) in [
        ("name", &*entity.name),
        ("collection", &*entity.collection),
        ("singular", &*entity.singular),
        ("storage name", &*entity.storage_name),
    ] {
        check_name(entity, what, name)?;
    }
    let mut columns: HashSet<String> = RecordColumns::names().into_iter().map(Name::into_owned).collect();
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

/// The prefix of the service's own tables.
pub(crate) const RESERVED_PREFIX: &str = "sealward_";

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
    let can_be_destination =
        |name: &String| entity.attribute(name).is_some_and(|other| other.stored() && !other.encrypted);
    if !attribute.sent_to.iter().all(can_be_destination) {
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
            return Some("an encrypted attribute can't be output only, because no caller could set it");
        }
    }
    match &attribute.kind {
        Kind::Reference { collection, .. } if !entities.iter().any(|entity| entity.collection == *collection) => {
            return Some("it refers to an unknown collection");
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
            "it is required, but a create can't set it and it has no default, or the delete of another record clears it",
        );
    }
    if let (Some(minimum), Some(maximum)) = (attribute.minimum, attribute.maximum)
        && minimum > maximum
    {
        return Some("its minimum is above its maximum");
    }
    match &attribute.default {
        Some(default) if crate::schema::check::check_value(attribute, default).is_some() => {
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
        return names_states.then_some("its values name states, but it has no `state_attribute`");
    };
    let state = entity.attribute(state).filter(|state| state.stored());
    let (Kind::Choice(statuses), Some(Kind::Choice(states))) = (&attribute.kind, state.map(|state| &state.kind)) else {
        return Some("only an enum can have a `state_attribute`, which must name an enum of the same entity");
    };
    let is_a_state = |status: &Choice| states.iter().any(|state| Some(state.number) == status.state);
    let has_a_status = |state: &Choice| statuses.iter().any(|status| status.state == Some(state.number));
    if !statuses.iter().all(is_a_state) {
        return Some("each of its values must name the `state` that it belongs to");
    }
    (!states.iter().all(has_a_status)).then_some("a state of its `state_attribute` has no status")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::value::Value;

    /// Returns the problem of the last of these attributes.
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
        let no_state = "its values name states, but it has no `state_attribute`";
        assert_eq!(of(None, both()), Some(no_state));
        let no_enum = "only an enum can have a `state_attribute`, which must name an enum of the same entity";
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
