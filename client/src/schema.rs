//! Entities and attributes, read from descriptors. The command line, and calls for entities that are known only at run time, are based on them.
//!
//! [`sealward::options`] reads the options. The server validates schemas; this file checks only what calls need.

use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor, ServiceDescriptor};
use sealward::{
    FILE_DESCRIPTOR_SET,
    options::{self, Idempotency, OptionError},
};

use crate::{
    method::{Method, RetrySafety},
    schema_v1,
};

/// Returns the descriptors of the contract, with the four mail entities.
///
/// # Panics
/// Never: the descriptor set is compiled in, and tests decode it.
#[must_use]
pub fn built_in_pool() -> DescriptorPool {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the compiled-in descriptor set is valid")
}

/// An entity, and the standard methods of its service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EntityType {
    /// The message of its records.
    pub message: MessageDescriptor,
    /// The options of the message, such as `collection` and `singular`.
    pub options: schema_v1::Entity,
    /// The attributes, ordered by field number. Standard fields such as `name` and `etag` aren't attributes.
    pub attributes: Vec<AttributeType>,
    /// The description in the contract.
    pub description: String,
    pub(crate) create: MethodDescriptor,
    pub(crate) get: MethodDescriptor,
    pub(crate) list: MethodDescriptor,
    pub(crate) update: MethodDescriptor,
    pub(crate) delete: MethodDescriptor,
    /// The service of a custom schema can lack the batches and the import.
    pub(crate) batch_get: Option<MethodDescriptor>,
    pub(crate) import: Option<MethodDescriptor>,
}

/// An attribute of an entity.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttributeType {
    /// The field of the message.
    pub field: FieldDescriptor,
    /// The options of the field, such as `encrypted` and `required`.
    pub options: schema_v1::Attribute,
    /// The description in the contract.
    pub description: String,
}

/// An error in descriptors.
#[derive(Debug, thiserror::Error)]
#[error("invalid schema: {element}: {problem}")]
pub struct SchemaError {
    /// The full name of the invalid element.
    pub element: String,
    /// The problem.
    pub problem: String,
}

impl EntityType {
    /// Returns every entity that has a service in `pool`, in the order of the services.
    ///
    /// # Errors
    /// [`SchemaError`] if a service or its entity doesn't match its options.
    pub fn all(pool: &DescriptorPool) -> Result<Vec<Self>, SchemaError> {
        pool.services().filter_map(|service| Self::served_by(&service).transpose()).collect()
    }

    /// Returns an attribute by its name or JSON name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&AttributeType> {
        self.attributes.iter().find(|attribute| attribute.name() == name || attribute.field.json_name() == name)
    }

    /// Returns the attribute that reports whether an encrypted attribute has a value: `is_password_set` for `password`.
    #[must_use]
    pub fn is_set_attribute(&self, encrypted: &str) -> Option<&AttributeType> {
        self.attributes.iter().find(|attribute| attribute.options.reports_set == encrypted)
    }

    /// Returns whether the entity's service can import records.
    #[must_use]
    pub fn has_import(&self) -> bool {
        self.import.is_some()
    }

    /// Returns the names of the encrypted attributes.
    pub fn encrypted(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().filter(|attribute| attribute.options.encrypted).map(AttributeType::name)
    }

    fn served_by(service: &ServiceDescriptor) -> Result<Option<Self>, SchemaError> {
        let unreadable = |error: OptionError| schema_error(service.full_name(), error.to_string());
        let Some(full_name) = options::entity_service(service).map_err(unreadable)? else { return Ok(None) };
        let message = service
            .parent_pool()
            .get_message_by_name(&full_name)
            .ok_or_else(|| schema_error(service.full_name(), format!("message {full_name} not found")))?;
        let options = options::entity(&message)
            .map_err(unreadable)?
            .ok_or_else(|| schema_error(&full_name, "missing option `entity`"))?;

        let method = |name: String| {
            let found = service.methods().find(|method| method.name() == name);
            found.ok_or_else(|| schema_error(service.full_name(), format!("missing method {name}")))
        };
        let name = message.name();
        let plural = upper_first(&options.collection);
        let optional = |name: String| service.methods().find(|method| method.name() == name);
        Ok(Some(Self {
            batch_get: optional(format!("BatchGet{plural}")),
            import: optional(format!("Import{plural}")),
            create: method(format!("Create{name}"))?,
            get: method(format!("Get{name}"))?,
            list: method(format!("List{plural}"))?,
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
    /// Returns the name in the contract.
    #[must_use]
    pub fn name(&self) -> &str {
        self.field.name()
    }
}

/// The method of a descriptor.
pub(crate) fn method(descriptor: &MethodDescriptor) -> Method {
    let path = format!("/{}/{}", descriptor.parent_service().full_name(), descriptor.name());
    let is_idempotent = options::idempotency(descriptor) != Idempotency::Unknown;
    Method { path: path.into(), retry_safety: RetrySafety::of_method(is_idempotent) }
}

pub(crate) fn schema_error(element: &str, problem: impl Into<String>) -> SchemaError {
    SchemaError { element: element.to_owned(), problem: problem.into() }
}

fn attributes(message: &MessageDescriptor) -> Result<Vec<AttributeType>, SchemaError> {
    let mut attributes = Vec::new();
    for field in message.fields() {
        let read = options::attribute(&field).map_err(|error| schema_error(field.full_name(), error.to_string()))?;
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
    fn built_in_entities_are_read_with_attributes_and_descriptions() {
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
