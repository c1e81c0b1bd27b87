//! MetadataService: the entities and attributes of an organization.

use std::sync::Arc;

use sealward::v1::{
    AttributeChange as ChangeResource, AttributeMetadata, AttributeValue, EntityMetadata, GetEntityMetadataRequest,
    ListAttributeChangesRequest, ListAttributeChangesResponse, ListEntityMetadataRequest, ListEntityMetadataResponse,
    UpdateAttributeMetadataRequest, attribute_change,
    attribute_metadata::{Choice, Format, RequiredLevel as LevelResource, Type},
    attribute_value::Kind as ValueResource,
    metadata_service_server::MetadataService,
};
use sealward_core::{
    id::RecordId,
    list::log::Page,
    metadata::{
        changes::{self, AttributeChange, ChangeScope, Operation},
        update::{Customization, RequiredLevel, update},
    },
    name::{OrganizationName, RecordName},
    organization::Organization,
    permit::Permit,
    policy::{CustomizeAttributes, ReadAttributeChanges, ReadMetadata},
    schema::{Attribute, Entity, Kind, TextForm, Value},
    violation::{Problem, Violation},
};
use tonic::{Request, Response, Status};

use super::{
    dispatcher::Dispatcher,
    name::{self, ParsedName},
    paged_list::PagedList,
};
use crate::{schema::timestamp_to_proto, status};

const LIST: &str = "/sealward.v1.MetadataService/ListEntityMetadata";
const LIST_CHANGES: &str = "/sealward.v1.MetadataService/ListAttributeChanges";

pub(crate) struct Metadata {
    dispatcher: Arc<Dispatcher>,
}

impl Metadata {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Metadata { dispatcher }
    }

    /// Describes an entity of the schema with the organization's settings.
    fn described(&self, organization: &Organization, entity: &Arc<Entity>) -> EntityMetadata {
        let name = format!("{}/{COLLECTION}/{}", organization.resource_name(), entity.name);
        let customized = organization.schema().entity(entity);
        let attributes = entity.attributes.iter().zip(&customized.attributes);
        EntityMetadata {
            attributes: attributes.map(|(schema, customized)| described(&name, entity, schema, customized)).collect(),
            display_name: entity.display_name.clone(),
            collection: entity.collection.clone(),
            name,
        }
    }

    fn schema(&self) -> &sealward_core::schema::Schema {
        &self.dispatcher.deployment.schema
    }

    /// The resource that a parent names, whose changes are listed.
    fn parent<'a>(&'a self, text: &'a str) -> ParsedName<Parent<'a>> {
        // Three forms; the message shows each between backticks.
        let form = || {
            "organizations/{organization}`, `organizations/{organization}/{collection}/{id}` or \
             `organizations/{organization}/entityMetadata/{entity}/attributes/{attribute}"
                .to_owned()
        };
        let record = || {
            let RecordName { collection, id, .. } = RecordName::parse_reference(text)?;
            Some(Parent::Record(self.schema().by_collection(collection)?, id))
        };
        let parent = match (OrganizationName::from_resource_name(text), attribute_name(text)) {
            (Some(_), _) => Some(Parent::Organization),
            (None, Some((entity, attribute))) => Some(Parent::Attribute(entity, attribute)),
            (None, None) => record(),
        };
        ParsedName::new("parent", text, form, parent)
    }

    /// Whose changes are listed.
    fn changes_of<'a>(&'a self, parent: Parent<'a>, organization: &Organization) -> Result<ChangeScope<'a>, Status> {
        match parent {
            Parent::Organization => Ok(ChangeScope::Organization),
            Parent::Record(entity, id) => Ok(ChangeScope::Record(entity, id)),
            Parent::Attribute(entity, attribute) => {
                let (entity, attribute) = self.attribute(entity, attribute)?;
                if attribute.encrypted {
                    return Err(status::encrypted_attribute(organization, entity, attribute));
                }
                Ok(ChangeScope::Attribute(entity, attribute))
            }
        }
    }

    fn entity(&self, name: &str) -> Result<&Arc<Entity>, Status> {
        self.schema().by_name(name).ok_or_else(|| status::metadata_not_found("the entity doesn't exist"))
    }

    fn attribute(&self, entity: &str, attribute: &str) -> Result<(&Arc<Entity>, &Attribute), Status> {
        let entity = self.entity(entity)?;
        match entity.attribute(attribute) {
            Some(attribute) => Ok((entity, attribute)),
            None => Err(status::metadata_not_found("the entity doesn't have this attribute")),
        }
    }
}

#[tonic::async_trait]
impl MetadataService for Metadata {
    async fn list_entity_metadata(
        &self,
        request: Request<ListEntityMetadataRequest>,
    ) -> Result<Response<ListEntityMetadataResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let parent = name::organization("parent", &request.parent);
        let permit: Permit<ReadMetadata> = self.dispatcher.enter(&extensions, &parent).await?;
        self.dispatcher.refresh_schema(permit.organization()).await?;
        let size = self.dispatcher.page_size(request.page_size);
        let size = match (size, parent.resource) {
            (Ok(size), Ok(_)) => size,
            (size, parent) => return Err(status::invalid(size.err().into_iter().chain(parent.err()).collect())),
        };
        let list = PagedList {
            root_key: &*self.dispatcher.deployment.ports.root_key,
            method: LIST,
            parent: &request.parent,
            identity: &permit.caller().identity,
            bytes_max: self.dispatcher.deployment.page_bytes_max,
        };
        let mut entities: Vec<_> = self.schema().entities().iter().collect();
        entities.sort_by_key(|entity| &entity.name);
        let message = |entity: &&Arc<Entity>| self.described(permit.organization(), entity);
        let (entity_metadata, next_page_token) =
            list.page(&entities, size, &request.page_token, |entity| entity.name.as_bytes(), message)?;
        Ok(Response::new(ListEntityMetadataResponse { entity_metadata, next_page_token }))
    }

    async fn get_entity_metadata(
        &self,
        request: Request<GetEntityMetadataRequest>,
    ) -> Result<Response<EntityMetadata>, Status> {
        let (_, extensions, request) = request.into_parts();
        let form = || format!("organizations/{{organization}}/{COLLECTION}/{{entity}}");
        let name = ParsedName::new("name", &request.name, form, entity_name(&request.name));
        let permit: Permit<ReadMetadata> = self.dispatcher.enter(&extensions, &name).await?;
        self.dispatcher.refresh_schema(permit.organization()).await?;
        let entity = self.entity(name.resource.map_err(invalid)?)?;
        Ok(Response::new(self.described(permit.organization(), entity)))
    }

    async fn update_attribute_metadata(
        &self,
        request: Request<UpdateAttributeMetadataRequest>,
    ) -> Result<Response<AttributeMetadata>, Status> {
        let (_, extensions, request) = request.into_parts();
        let given = request.attribute_metadata.unwrap_or_default();
        let form = || format!("organizations/{{organization}}/{COLLECTION}/{{entity}}/attributes/{{attribute}}");
        let name = ParsedName::new("attribute_metadata.name", &given.name, form, attribute_name(&given.name));
        let permit: Permit<CustomizeAttributes> = self.dispatcher.enter(&extensions, &name).await?;
        self.dispatcher.refresh_schema(permit.organization()).await?;
        let (entity, attribute) = name.resource.map_err(invalid)?;
        let (entity, attribute) = self.attribute(entity, attribute)?;
        let mask = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
        Dispatcher::within("update_mask", mask.len(), self.dispatcher.limits.mask_paths_max)
            .map_err(|violation| self.dispatcher.invalid(vec![violation]))?;
        let customization = customization(&given, &mask).map_err(status::invalid)?;
        let (bounded, organization) = (&self.dispatcher.bounded, Arc::clone(permit.organization()));
        let _turn = bounded.metadata.take(organization.id).await?;
        if !request.validate_only && switches_index(&organization, entity, attribute, &customization) {
            bounded.index_switches.admit(organization.id)?;
        }
        let deployment = &self.dispatcher.deployment;
        let updated = update(deployment, permit, (entity, attribute), &customization, request.validate_only).await;
        let after = updated.map_err(|error| status::update_metadata(error, &organization, entity, attribute))?;
        let parent = format!("{}/{COLLECTION}/{}", organization.resource_name(), entity.name);
        Ok(Response::new(described(&parent, entity, attribute, &after)))
    }

    async fn list_attribute_changes(
        &self,
        request: Request<ListAttributeChangesRequest>,
    ) -> Result<Response<ListAttributeChangesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let parent = self.parent(&request.parent);
        let permit: Permit<ReadAttributeChanges> = self.dispatcher.enter(&extensions, &parent).await?;
        let organization = Arc::clone(permit.organization());
        let of = self.changes_of(parent.resource.map_err(invalid)?, &organization)?;
        let size = self.dispatcher.page_size(request.page_size).map_err(invalid)?;
        let page = Page { size, token: &request.page_token, filter: &request.filter, method: LIST_CHANGES };
        let deployment = &self.dispatcher.deployment;
        let _held = self.dispatcher.bounded.lists.enter_in_turn(&permit.caller().identity).await?;
        let listed = changes::list(deployment, permit, of, &page).await;
        let (found, next_page_token) = listed.map_err(|error| self.dispatcher.audit_list_error(error))?;
        let resource = |change| change_resource(&organization.name, change);
        let attribute_changes = found.into_iter().map(resource).collect();
        Ok(Response::new(ListAttributeChangesResponse { attribute_changes, next_page_token }))
    }
}

/// What the parent of a list of changes names.
enum Parent<'a> {
    Organization,
    Record(&'a Entity, RecordId),
    /// An entity and an attribute, by name.
    Attribute(&'a str, &'a str),
}

fn invalid(violation: Violation) -> Status {
    status::invalid(vec![violation])
}

/// The collection of descriptions of entities.
const COLLECTION: &str = "entityMetadata";

/// The entity in `organizations/{organization}/entityMetadata/{entity}`, whose organization was parsed before.
fn entity_name(name: &str) -> Option<&str> {
    let mut parts = name.split('/').skip(2);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(COLLECTION), Some(entity), None) => Some(entity),
        _ => None,
    }
}

/// The entity and the attribute in `organizations/{organization}/entityMetadata/{entity}/attributes/{attribute}`.
fn attribute_name(name: &str) -> Option<(&str, &str)> {
    let (entity, attribute) = name.split_once("/attributes/")?;
    Some((entity_name(entity)?, attribute))
}

/// The changes that an update requests.
fn customization(given: &AttributeMetadata, mask: &[String]) -> Result<Customization, Vec<Violation>> {
    let is_named = |field: &str| mask.iter().any(|path| path == field);
    let violations: Vec<_> = mask.iter().filter_map(|path| not_changeable(path)).collect();
    if !violations.is_empty() {
        return Err(violations);
    }
    let touched = |field: &str, is_present: bool| if mask.is_empty() { is_present } else { is_named(field) };
    let [display_name, max_length, required_level, audited, indexed] = CHANGEABLE;
    let level = match given.required_level.map(LevelResource::try_from) {
        None | Some(Ok(LevelResource::Unspecified)) => None,
        Some(Ok(LevelResource::None)) => Some(RequiredLevel::None),
        Some(Ok(LevelResource::ApplicationRequired)) => Some(RequiredLevel::ApplicationRequired),
        Some(Ok(LevelResource::SystemRequired)) => Some(RequiredLevel::SystemRequired),
        Some(Err(_)) => {
            return Err(vec![Violation::new("attribute_metadata.required_level", Problem::NotAChoice)]);
        }
    };
    Ok(Customization {
        display_name: touched(display_name, given.display_name.is_some()).then(|| given.display_name.clone()),
        max_length: touched(max_length, given.max_length.is_some()).then(|| given.max_length.map(i64::from)),
        required_level: touched(required_level, given.required_level.is_some()).then_some(level),
        audited: touched(audited, given.audited.is_some()).then_some(given.audited),
        indexed: touched(indexed, given.indexed.is_some()).then_some(given.indexed),
    })
}

/// Whether an update creates or drops an index, as far as known in memory.
fn switches_index(
    organization: &Organization,
    entity: &Arc<Entity>,
    attribute: &Attribute,
    customization: &Customization,
) -> bool {
    let present = organization.schema().entity(entity);
    let is_indexed = present.attribute(&attribute.name).is_some_and(|attribute| attribute.is_indexed);
    customization.indexed.is_some_and(|wanted| wanted.unwrap_or(false) != is_indexed)
}

/// The violation of a path of an update mask, if any.
fn not_changeable(path: &str) -> Option<Violation> {
    let of_field = |problem| Some(Violation::new(format!("attribute_metadata.{path}"), problem));
    match path {
        "name" => of_field(Problem::Immutable),
        _ if CHANGEABLE.contains(&path) => None,
        _ if OUTPUT_ONLY.contains(&path) => of_field(Problem::OutputOnly),
        _ => Some(Violation::new("update_mask", Problem::no_such_field(path, CHANGEABLE))),
    }
}

/// The fields that an update can change.
const CHANGEABLE: [&str; 5] = ["display_name", "max_length", "required_level", "audited", "indexed"];

/// The fields that only the service sets.
const OUTPUT_ONLY: [&str; 16] = [
    "type",
    "minimum",
    "maximum",
    "encrypted",
    "valid_for_create",
    "valid_for_read",
    "valid_for_update",
    "customizable",
    "auditable",
    "indexable",
    "deprecated_for",
    "choices",
    "references",
    "reports_set",
    "format",
    "state_attribute",
];

/// A choice. A choice of a status has the name of its state.
fn choice_resource(choice: &sealward_core::schema::Choice, states: Option<&Attribute>) -> Choice {
    let state = match states.map(|states| &states.kind) {
        Some(Kind::Choice(states)) => states.iter().find(|state| Some(state.number) == choice.state),
        Some(_) | None => None,
    };
    Choice {
        name: choice.name.clone(),
        number: choice.number,
        option: choice.option,
        state: state.map(|state| state.name.clone()).unwrap_or_default(),
    }
}

/// The format of a text.
fn format_of(attribute: &Attribute) -> Format {
    match (&attribute.kind, attribute.text_form) {
        (Kind::Text, TextForm::SingleLine) => Format::SingleLine,
        (Kind::Text, TextForm::MultiLine) => Format::MultiLine,
        (Kind::Text, TextForm::Uuid) => Format::Uuid,
        _ => Format::Unspecified,
    }
}

/// Describes an attribute of the entity with this resource name, from the schema and from the organization's settings.
fn described(name: &str, entity: &Entity, schema: &Attribute, customized: &Attribute) -> AttributeMetadata {
    let is_settable = schema.stored() && !schema.output_only;
    let number = |bound: Option<i64>| bound.filter(|_| matches!(schema.kind, Kind::Integer32 | Kind::Integer64));
    let level = match RequiredLevel::of(schema, customized) {
        RequiredLevel::None => LevelResource::None,
        RequiredLevel::ApplicationRequired => LevelResource::ApplicationRequired,
        RequiredLevel::SystemRequired => LevelResource::SystemRequired,
    };
    let states = schema.state_attribute.as_deref().and_then(|name| entity.attribute(name));
    let (kind, choices, references) = match &schema.kind {
        Kind::Boolean | Kind::ReportsSet { .. } => (Type::Boolean, Vec::new(), ""),
        Kind::Integer32 => (Type::Integer32, Vec::new(), ""),
        Kind::Integer64 => (Type::Integer64, Vec::new(), ""),
        Kind::Choice(choices) => {
            (Type::Choice, choices.iter().map(|choice| choice_resource(choice, states)).collect(), "")
        }
        Kind::Text => (Type::Text, Vec::new(), ""),
        Kind::Bytes => (Type::Bytes, Vec::new(), ""),
        Kind::Time => (Type::Time, Vec::new(), ""),
        Kind::Reference { collection, .. } => (Type::Reference, Vec::new(), collection.as_str()),
    };
    AttributeMetadata {
        name: format!("{name}/attributes/{}", schema.name),
        r#type: kind.into(),
        display_name: Some(customized.display_name.clone()),
        max_length: customized.max_length.map(|length| i32::try_from(length).unwrap_or(i32::MAX)),
        minimum: number(schema.minimum),
        maximum: number(schema.maximum),
        required_level: Some(level.into()),
        encrypted: schema.encrypted,
        valid_for_create: is_settable && schema.valid_for_create,
        valid_for_read: !schema.encrypted,
        valid_for_update: is_settable && schema.valid_for_update && !schema.immutable,
        customizable: schema.is_customizable(),
        auditable: schema.is_auditable(),
        audited: Some(customized.is_audited),
        indexable: customized.is_indexable(),
        indexed: Some(customized.is_indexed),
        deprecated_for: schema.deprecated_for.clone().unwrap_or_default(),
        choices,
        references: references.to_owned(),
        reports_set: schema.reports_set().unwrap_or_default().to_owned(),
        format: format_of(schema).into(),
        state_attribute: schema.state_attribute.clone().unwrap_or_default(),
    }
}

fn change_resource(organization: &OrganizationName, change: AttributeChange) -> ChangeResource {
    let AttributeChange { time, identity, call_id, entity, record, attribute, operation, revision, .. } = change;
    let attribute = entity.attributes.get(attribute);
    let value = |value| Some(attribute_value(organization, &attribute?.kind, value?));
    ChangeResource {
        time: Some(timestamp_to_proto(time)),
        identity,
        call_id,
        record: record_name(organization, &entity.collection, record),
        attribute: attribute.map(|attribute| attribute.name.clone()).unwrap_or_default(),
        operation: match operation {
            Operation::Create => attribute_change::Operation::Create,
            Operation::Update => attribute_change::Operation::Update,
            Operation::Delete => attribute_change::Operation::Delete,
        }
        .into(),
        revision,
        old_value: value(change.old_value),
        new_value: value(change.new_value),
    }
}

fn record_name(organization: &OrganizationName, collection: &str, id: RecordId) -> String {
    RecordName { organization: organization.clone(), collection, id }.to_string()
}

fn attribute_value(organization: &OrganizationName, kind: &Kind, value: Value) -> AttributeValue {
    let value = match (kind, value) {
        (Kind::Choice(choices), Value::Integer(number)) => {
            let known = choices.iter().find(|choice| i64::from(choice.number) == number);
            ValueResource::Choice(known.map_or_else(|| number.to_string(), |choice| choice.name.clone()))
        }
        (Kind::Reference { collection, .. }, Value::Reference(id)) => {
            ValueResource::Reference(record_name(organization, collection, id))
        }
        (_, Value::Boolean(value)) => ValueResource::Boolean(value),
        (_, Value::Integer(value)) => ValueResource::Integer(value),
        (_, Value::Text(value)) => ValueResource::Text(value),
        (_, Value::Bytes(value)) => ValueResource::Data(value),
        (_, Value::Time(value)) => ValueResource::Time(timestamp_to_proto(value)),
        (_, Value::Reference(id)) => ValueResource::Reference(id.to_string()),
    };
    AttributeValue { kind: Some(value) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_field_of_an_attribute_is_listed_as_changeable_or_fixed() {
        let pool = prost_reflect::DescriptorPool::decode(sealward::FILE_DESCRIPTOR_SET).unwrap();
        let message = pool.get_message_by_name("sealward.v1.AttributeMetadata").unwrap();
        let fields: BTreeSet<_> = message.fields().map(|field| field.name().to_owned()).collect();
        let known = ["name"].into_iter().chain(CHANGEABLE).chain(OUTPUT_ONLY);
        assert_eq!(known.map(str::to_owned).collect::<BTreeSet<_>>(), fields);
        assert!(CHANGEABLE.into_iter().all(|path| not_changeable(path).is_none()));
    }
}
