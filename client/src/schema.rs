//! Entities as their descriptors tell them: what the command line is made from, and what serves entities that weren't known when this
//! was compiled.
//!
//! Takes the options from [`sealward::options`]. The server checks a schema with all its rules; here only what is needed to
//! speak to it is asked for.

use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor, ServiceDescriptor};
use sealward::{
    FILE_DESCRIPTOR_SET,
    options::{self, Idempotency, OptionError},
};

use crate::{
    method::{Method, Repetition},
    schema_v1,
};

/// The descriptors of the contract, the four entities of mail among them.
///
/// # Panics
/// Never: the set is compiled in, and a test decodes it.
#[must_use]
pub fn built_in_pool() -> DescriptorPool {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the compiled-in descriptor set is whole")
}

/// An entity, and the service that has its standard methods.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EntityType {
    /// Its message.
    pub message: MessageDescriptor,
    /// The options of its message: collection, singular …
    pub options: schema_v1::Entity,
    /// Its attributes, in the order of their numbers. The fields `name`, `etag`, `create_time` and `update_time` are none.
    pub attributes: Vec<AttributeType>,
    /// What the contract says about it, for people.
    pub description: String,
    pub(crate) create: MethodDescriptor,
    pub(crate) get: MethodDescriptor,
    pub(crate) list: MethodDescriptor,
    pub(crate) update: MethodDescriptor,
    pub(crate) delete: MethodDescriptor,
}

/// An attribute of an entity.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttributeType {
    /// Its field.
    pub field: FieldDescriptor,
    /// The options of its field: encrypted, required …
    pub options: schema_v1::Attribute,
    /// What the contract says about it, for people.
    pub description: String,
}

/// Why descriptors can't be spoken to.
#[derive(Debug, thiserror::Error)]
#[error("the schema can't be used: {element}: {fault}")]
pub struct SchemaError {
    /// The full name of what is wrong.
    pub element: String,
    /// What is wrong with it.
    pub fault: String,
}

impl EntityType {
    /// Every entity that a service of `pool` serves, in the order of the services.
    ///
    /// # Errors
    /// If a service or its entity isn't what the option says it is.
    pub fn all(pool: &DescriptorPool) -> Result<Vec<Self>, SchemaError> {
        pool.services().filter_map(|service| Self::served_by(&service).transpose()).collect()
    }

    /// The attribute of a name, also of its JSON name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&AttributeType> {
        self.attributes.iter().find(|attribute| attribute.name() == name || attribute.field.json_name() == name)
    }

    /// The attribute that tells whether the encrypted one of this name has a value: `is_password_set` for `password`.
    #[must_use]
    pub fn reporter(&self, encrypted: &str) -> Option<&AttributeType> {
        self.attributes.iter().find(|attribute| attribute.options.reports_set == encrypted)
    }

    /// The names of the encrypted attributes.
    pub fn encrypted(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().filter(|attribute| attribute.options.encrypted).map(AttributeType::name)
    }

    fn served_by(service: &ServiceDescriptor) -> Result<Option<Self>, SchemaError> {
        let unreadable = |error: OptionError| fault(service.full_name(), error.to_string());
        let Some(full_name) = options::entity_service(service).map_err(unreadable)? else { return Ok(None) };
        let message = service
            .parent_pool()
            .get_message_by_name(&full_name)
            .ok_or_else(|| fault(service.full_name(), format!("there is no message {full_name}")))?;
        let options = options::entity(&message)
            .map_err(unreadable)?
            .ok_or_else(|| fault(&full_name, "it has no option `entity`"))?;

        let method = |name: String| {
            let found = service.methods().find(|method| method.name() == name);
            found.ok_or_else(|| fault(service.full_name(), format!("it has no method {name}")))
        };
        let name = message.name();
        Ok(Some(Self {
            create: method(format!("Create{name}"))?,
            get: method(format!("Get{name}"))?,
            list: method(format!("List{}", upper_first(&options.collection)))?,
            update: method(format!("Update{name}"))?,
            delete: method(format!("Delete{name}"))?,
            attributes: attributes(&message)?,
            description: comment(&message.parent_file(), message.path()),
            options,
            message,
        }))
    }
}

impl AttributeType {
    /// Its name, as in the contract.
    #[must_use]
    pub fn name(&self) -> &str {
        self.field.name()
    }
}

/// A method as its descriptor describes it.
pub(crate) fn method(descriptor: &MethodDescriptor) -> Method {
    let path = format!("/{}/{}", descriptor.parent_service().full_name(), descriptor.name());
    let is_idempotent = options::idempotency(descriptor) != Idempotency::Unknown;
    Method { path: path.into(), repetition: Repetition::of_method(is_idempotent) }
}

pub(crate) fn fault(element: &str, fault: impl Into<String>) -> SchemaError {
    SchemaError { element: element.to_owned(), fault: fault.into() }
}

fn attributes(message: &MessageDescriptor) -> Result<Vec<AttributeType>, SchemaError> {
    let mut attributes = Vec::new();
    for field in message.fields() {
        let read = options::attribute(&field).map_err(|error| fault(field.full_name(), error.to_string()))?;
        if let Some(options) = read {
            let description = comment(&message.parent_file(), field.path());
            attributes.push(AttributeType { field, options, description });
        }
    }
    Ok(attributes)
}

/// The comment before a declaration, as one line of text. Empty if the descriptors have none.
fn comment(file: &prost_reflect::FileDescriptor, path: &[i32]) -> String {
    let locations = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
    let comment =
        locations.filter(|location| location.path == path).find_map(|location| location.leading_comments.as_ref());
    comment.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
}

fn upper_first(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map(|first| first.to_uppercase().collect::<String>() + characters.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_entities_are_read_with_their_attributes_and_words() {
        let entities = EntityType::all(&built_in_pool()).unwrap();
        let singulars: Vec<_> = entities.iter().map(|entity| entity.options.singular.as_str()).collect();
        assert_eq!(singulars, ["email_server_profile", "mailbox", "queue", "user_settings"]);

        let mailbox = &entities[1];
        assert_eq!(mailbox.encrypted().collect::<Vec<_>>(), ["password"]);
        assert!(mailbox.attribute("display_name").unwrap().options.required);
        assert_eq!(mailbox.attribute("displayName").unwrap().name(), "display_name");
        assert!(mailbox.attribute("etag").is_none());
        assert!(mailbox.attribute("email_address").unwrap().description.starts_with("The e-mail address."));
        assert!(mailbox.description.starts_with("An address"));
        assert_eq!(method(&mailbox.list), Method::of(sealward::methods::ListMailboxes));
        assert_eq!(method(&mailbox.update), Method::of(sealward::methods::UpdateMailbox));
    }
}
