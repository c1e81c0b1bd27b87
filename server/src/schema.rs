//! Reads the schema from descriptors, by Sealward's options on messages and services, once at the start.
//!
//! Every message with the option `entity` becomes an entity; every service with the option `entity_service` serves one, by the standard
//! methods, recognized by name and shape. The options of every method declare the requirements of a call. An invalid schema is an
//! error that names the declaration. Only this file and the codec use prost-reflect.

use std::{collections::BTreeSet, error::Error, sync::Arc};

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, EnumValueDescriptor, FieldDescriptor, FileDescriptor,
    Kind as ProtoKind, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};
use sealward::{
    options::{self, OptionError},
    schema::v1::{self as option, default_value},
};
use sealward_core::{
    audit::AuditAction,
    id::Timestamp,
    mail,
    policy::Privilege,
    schema::{
        Attribute, Choice, Entity, Kind, Lookups, OnDelete, Schema, SchemaError, TextForm, Value, display_name,
        rule::Rule, rule_text::RuleText,
    },
    store::Name,
};

use crate::descriptors::{complete, files_without_comments};

/// The fields of every entity that aren't attributes.
const SYSTEM_FIELDS: [&str; 6] = ["name", "etag", "create_time", "update_time", "created_by", "modified_by"];

/// The field in the response to an update that lists the encrypted attributes which the update cleared automatically. An entity with such
/// attributes needs it.
pub(crate) const CLEARED_FIELD: &str = "cleared_attributes";

/// A schema, with the descriptors and methods to serve it.
pub struct ServedSchema {
    /// The schema.
    pub schema: Arc<Schema>,
    /// The methods of all entity services.
    pub methods: Vec<EntityMethod>,
    /// The requirements of each method of the contract.
    pub needs: Vec<MethodNeeds>,
    /// The packages of its descriptors.
    pub packages: BTreeSet<String>,
    /// Its descriptors, health, reflection and the types of error details, without comments.
    pub descriptors: DescriptorPool,
}

/// The requirements of a method, from its options.
#[derive(Clone, Debug)]
pub struct MethodNeeds {
    /// `/sealward.mail.v1.MailboxService/CreateMailbox`
    pub path: String,
    /// The privileges, of which a caller needs one.
    pub privileges: Vec<Privilege>,
    /// Whether every caller with an identity may call it.
    pub any_identity: bool,
    /// Whether the privilege must be granted for all organizations.
    pub all_organizations: bool,
    /// The audit actions of calls, one for each privilege. If empty, successful calls aren't recorded.
    pub audit_actions: Vec<AuditAction>,
    /// The audit action of refused calls, if `audit_actions` is empty.
    pub refused_as: AuditAction,
    /// Whether it takes a stream.
    pub takes_stream: bool,
    /// Whether it returns a stream.
    pub answers_stream: bool,
}

/// One rpc of an entity service.
#[derive(Clone)]
pub struct EntityMethod {
    /// `/sealward.mail.v1.MailboxService/CreateMailbox`
    pub path: String,
    /// Its standard method.
    pub standard: StandardMethod,
    /// The entity it serves.
    pub entity: Arc<Entity>,
    /// The entity's message.
    pub resource: ResourceMessage,
    /// The request's message.
    pub input: MessageDescriptor,
    /// The response's message.
    pub output: MessageDescriptor,
    /// The field of the request that contains the items, for a batch or an import.
    pub items: Option<FieldDescriptor>,
    /// The fields of an import's response.
    pub results: Option<ResultFields>,
}

/// The fields of an import's response.
#[derive(Clone)]
pub struct ResultFields {
    /// The list of results.
    pub results: FieldDescriptor,
    /// In a result: the name of the created record.
    pub name: FieldDescriptor,
    /// In a result: the error.
    pub error: FieldDescriptor,
}

/// The standard methods of an entity service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardMethod {
    /// `CreateX`
    Create,
    /// `GetX`
    Get,
    /// `ListXs`
    List,
    /// `UpdateX`
    Update,
    /// `DeleteX`
    Delete,
    /// `BatchGetXs`
    BatchGet,
    /// `BatchCreateXs`
    BatchCreate,
    /// `BatchUpdateXs`
    BatchUpdate,
    /// `BatchDeleteXs`
    BatchDelete,
    /// `ImportXs`
    Import,
}

impl StandardMethod {
    /// Every method, in the order of the contract.
    const ALL: [StandardMethod; 10] = [
        StandardMethod::Create,
        StandardMethod::Get,
        StandardMethod::List,
        StandardMethod::Update,
        StandardMethod::Delete,
        StandardMethod::BatchGet,
        StandardMethod::BatchCreate,
        StandardMethod::BatchUpdate,
        StandardMethod::BatchDelete,
        StandardMethod::Import,
    ];

    /// The name of the method for this entity.
    fn name(self, entity: &Entity) -> String {
        let (one, many) = (&entity.name, upper_first(&entity.collection));
        match self {
            StandardMethod::Create => format!("Create{one}"),
            StandardMethod::Get => format!("Get{one}"),
            StandardMethod::List => format!("List{many}"),
            StandardMethod::Update => format!("Update{one}"),
            StandardMethod::Delete => format!("Delete{one}"),
            StandardMethod::BatchGet => format!("BatchGet{many}"),
            StandardMethod::BatchCreate => format!("BatchCreate{many}"),
            StandardMethod::BatchUpdate => format!("BatchUpdate{many}"),
            StandardMethod::BatchDelete => format!("BatchDelete{many}"),
            StandardMethod::Import => format!("Import{many}"),
        }
    }

    /// The fields that a request needs.
    fn inputs(self, entity: &Entity) -> Vec<String> {
        let fields: &[&str] = match self {
            StandardMethod::Create => return vec!["parent".to_owned(), entity.singular.clone(), id_field(entity)],
            StandardMethod::Update => return vec![entity.singular.clone(), "update_mask".to_owned()],
            StandardMethod::Get => &["name"],
            StandardMethod::List => &["parent", "page_size", "page_token"],
            StandardMethod::Delete => &["name", "etag"],
            StandardMethod::BatchGet => &["parent", NAMES],
            StandardMethod::BatchCreate
            | StandardMethod::BatchUpdate
            | StandardMethod::BatchDelete
            | StandardMethod::Import => &["parent", REQUESTS],
        };
        fields.iter().map(|field| (*field).to_owned()).collect()
    }

    /// For a batch of requests: the method that a single request is for.
    pub(crate) fn of_item(self) -> Option<Self> {
        match self {
            StandardMethod::BatchCreate | StandardMethod::Import => Some(StandardMethod::Create),
            StandardMethod::BatchUpdate => Some(StandardMethod::Update),
            StandardMethod::BatchDelete => Some(StandardMethod::Delete),
            StandardMethod::Create
            | StandardMethod::Get
            | StandardMethod::List
            | StandardMethod::Update
            | StandardMethod::Delete
            | StandardMethod::BatchGet => None,
        }
    }
}

/// The field of a batch's request that contains the single requests.
pub(crate) const REQUESTS: &str = "requests";

/// The field of a batch's request that contains the names of records.
pub(crate) const NAMES: &str = "names";

fn id_field(entity: &Entity) -> String {
    format!("{}_id", entity.singular)
}

/// An entity's message, with the field of each attribute, by the attribute's index.
#[derive(Clone)]
pub struct ResourceMessage {
    /// The message.
    pub message: MessageDescriptor,
    /// The fields.
    pub fields: Arc<Vec<FieldDescriptor>>,
}

/// Why descriptors can't be served.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// The bytes aren't a descriptor set.
    #[error("the descriptor set can't be read")]
    Unreadable(#[source] Box<dyn Error + Send + Sync>),
    /// An option can't be read.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A declaration can't be served.
    #[error("{place}: {problem}")]
    Wrong {
        /// The full name of the message, field, service or method.
        place: String,
        /// The problem.
        problem: String,
    },
    /// The schema as a whole is invalid.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

fn wrong(place: &str, problem: impl Into<String>) -> DescriptorError {
    DescriptorError::Wrong { place: place.to_owned(), problem: problem.into() }
}

/// Reads an encoded descriptor set.
///
/// # Errors
/// See [`DescriptorError`].
pub fn read(encoded: &[u8]) -> Result<ServedSchema, DescriptorError> {
    let (pool, count) = pool(encoded).map_err(DescriptorError::Unreadable)?;
    let files: Vec<_> = pool.files().take(count).collect();
    let services: Vec<_> = files.iter().flat_map(FileDescriptor::services).collect();
    let mut served = Vec::new();
    for service in &services {
        if let Some(message) = served_entity(&pool, service)? {
            served.push((service.clone(), message));
        }
    }
    let mut entities = Vec::new();
    for message in pool.all_messages() {
        if let Some(option) = options::entity(&message)? {
            let of_message = served.iter().filter(|(_, served)| *served == message).map(|(service, _)| service);
            entities.push(entity(&message, option, write_privilege(of_message)?)?);
        }
    }
    let schema = Arc::new(Schema::new(entities)?);
    let mut methods = Vec::new();
    for (service, message) in &served {
        methods.extend(entity_methods(service, message, &schema)?);
    }
    let needs = services.iter().flat_map(ServiceDescriptor::methods);
    let needs = needs.map(|method| method_needs(&method)).collect::<Result<_, _>>()?;
    let packages = files.iter().map(|file| file.package_name().to_owned()).collect();
    Ok(ServedSchema { schema, methods, needs, packages, descriptors: pool })
}

/// Decodes a descriptor set, and the files that clients need in addition. Returns the pool with the number of files in the set, which are
/// the first ones. There is one pool for all purposes, without comments, because it stays in memory.
fn pool(encoded: &[u8]) -> Result<(DescriptorPool, usize), Box<dyn Error + Send + Sync>> {
    let mut pool = DescriptorPool::new();
    for file in files_without_comments(&complete(encoded)?)? {
        pool.decode_file_descriptor_proto(&file[..])?;
    }
    Ok((pool, files_without_comments(encoded)?.len()))
}

/// The requirements of a method.
fn method_needs(method: &MethodDescriptor) -> Result<MethodNeeds, DescriptorError> {
    let place = method.full_name();
    let option::Method { privileges, any_identity, all_organizations, audit_actions, refused_as } =
        options::method(method)?.ok_or_else(|| wrong(place, "the option `method` is missing: add it"))?;
    let action = |name: &String| {
        let of_mail = mail::AUDIT_ACTIONS.iter().copied().find(|action| action.name() == name);
        of_mail
            .map_or_else(|| name.parse(), Ok)
            .map_err(|error| wrong(place, format!("`audit_actions` or `refused_as`: {error}")))
    };
    Ok(MethodNeeds {
        path: path(method),
        privileges: privileges
            .iter()
            .map(|name| name.parse::<Privilege>().map_err(|error| wrong(place, format!("`privileges`: {error}"))))
            .collect::<Result<_, _>>()?,
        any_identity,
        all_organizations,
        audit_actions: audit_actions.iter().map(action).collect::<Result<_, _>>()?,
        refused_as: if refused_as.is_empty() { AuditAction::Call } else { action(&refused_as)? },
        takes_stream: method.is_client_streaming(),
        answers_stream: method.is_server_streaming(),
    })
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

fn entity(
    message: &MessageDescriptor,
    option: option::Entity,
    write_privilege: Privilege,
) -> Result<Entity, DescriptorError> {
    for name in SYSTEM_FIELDS {
        if message.get_field_by_name(name).is_none() {
            return Err(wrong(message.full_name(), format!("an entity needs the field `{name}`")));
        }
    }
    let attributes: Vec<Attribute> =
        attribute_fields(message).map(|field| attribute(&field)).collect::<Result<_, _>>()?;
    if attributes.iter().any(|attribute| !attribute.sent_to.is_empty()) {
        let field = message.get_field_by_name(CLEARED_FIELD);
        if !field.is_some_and(|field| field.is_list() && field.kind() == ProtoKind::String) {
            let problem = format!("an entity with `sent_to` needs the field `repeated string {CLEARED_FIELD}`");
            return Err(wrong(message.full_name(), problem));
        }
    }
    let option::Entity { collection, singular, storage_name, id_required, display_name, rules } = option;
    let named = |given: String| if given.is_empty() { message.name().to_owned() } else { given };
    let mut entity = Entity {
        name: message.name().to_owned(),
        display_name: named(display_name),
        collection,
        singular,
        storage_name: permanent(named(storage_name)),
        id_required,
        write_privilege,
        attributes,
        rules: Vec::new(),
        lookups: Lookups::default(),
    };
    entity.rules = rules.iter().map(|declared| rule(&entity, declared)).collect::<Result<_, _>>()?;
    Ok(entity)
}

/// Keeps the name of a table or a column for the whole process, so that a copy of it costs nothing: each row that is
/// written has all of them. A process derives its schema once.
fn permanent(name: String) -> Name {
    Name::Borrowed(name.leak())
}

fn attribute(field: &FieldDescriptor) -> Result<Attribute, DescriptorError> {
    // Every field that isn't a system field is an attribute, with or without the option.
    let option = options::attribute(field)?.unwrap_or_default();
    if field.cardinality() != Cardinality::Optional
        || field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic())
    {
        return Err(wrong(field.full_name(), "an attribute can be neither repeated nor in a oneof"));
    }
    if !field.supports_presence() {
        return Err(wrong(field.full_name(), "an attribute must be `optional`, so that null differs from empty"));
    }
    let kind = kind(field, &option)?;
    let text_form = text_form(field, &option)?;
    let default = default(field, option.default)?;
    let given = |text: String| (!text.is_empty()).then_some(text);
    Ok(Attribute {
        name: field.name().to_owned(),
        display_name: given(option.display_name).unwrap_or_else(|| display_name(field.name())),
        storage_name: permanent(given(option.storage_name).unwrap_or_else(|| field.name().to_owned())),
        default,
        encrypted: option.encrypted,
        required: option.required,
        application_required: option.application_required,
        max_length: match option.max_length.map(u32::try_from).transpose() {
            Ok(None) if text_form == TextForm::Uuid => Some(UUID_LENGTH),
            Ok(max_length) => max_length,
            Err(_) => return Err(wrong(field.full_name(), "`max_length` is negative or too large")),
        },
        text_form,
        state_attribute: given(option.state_attribute),
        longest: None,
        minimum: option.minimum,
        maximum: option.maximum,
        output_only: option.output_only,
        immutable: option.immutable,
        valid_for_create: !option.not_valid_for_create,
        valid_for_update: !option.not_valid_for_update,
        deprecated_for: given(option.deprecated_for),
        sent_to: option.sent_to,
        is_audited: false,
        is_indexed: false,
        kind,
    })
}

fn kind(field: &FieldDescriptor, option: &option::Attribute) -> Result<Kind, DescriptorError> {
    let reports_set = &option.reports_set;
    match (field.kind(), &option.reference) {
        (ProtoKind::Bool, None) if !reports_set.is_empty() => Ok(Kind::ReportsSet { attribute: reports_set.clone() }),
        (_, _) if !reports_set.is_empty() => Err(wrong(field.full_name(), "`reports_set` is only valid for a bool")),
        (ProtoKind::String, Some(reference)) => {
            let on_delete = match reference.on_delete() {
                option::OnDelete::Clear => OnDelete::Clear,
                option::OnDelete::Refuse => OnDelete::Refuse,
                option::OnDelete::Unspecified => {
                    return Err(wrong(field.full_name(), "a reference must set `on_delete`"));
                }
            };
            Ok(Kind::Reference { collection: reference.collection.clone(), on_delete })
        }
        (_, Some(_)) => Err(wrong(field.full_name(), "a reference must be a string")),
        (ProtoKind::Bool, None) => Ok(Kind::Boolean),
        (ProtoKind::Int32, None) => Ok(Kind::Integer32),
        (ProtoKind::Int64, None) => Ok(Kind::Integer64),
        (ProtoKind::String, None) => Ok(Kind::Text),
        (ProtoKind::Bytes, None) => Ok(Kind::Bytes),
        (ProtoKind::Enum(choices), None) => choices_of(field, &choices, &option.state_attribute).map(Kind::Choice),
        (ProtoKind::Message(message), None) if message.full_name() == "google.protobuf.Timestamp" => Ok(Kind::Time),
        (_, None) => Err(wrong(
            field.full_name(),
            "an attribute must be a bool, int32, int64, string, bytes, an enum or a google.protobuf.Timestamp",
        )),
    }
}

/// The values of an enum, without `_UNSPECIFIED`.
fn choices_of(
    field: &FieldDescriptor,
    choices: &EnumDescriptor,
    state_attribute: &str,
) -> Result<Vec<Choice>, DescriptorError> {
    let states = field.parent_message().get_field_by_name(state_attribute).map(|states| states.kind());
    let choice = |value: EnumValueDescriptor| {
        let option = options::option_number(&value)?;
        let state = match (options::state(&value)?, &states) {
            (None, _) => None,
            (Some(name), Some(ProtoKind::Enum(states))) if states.get_value_by_name(&name).is_some() => {
                states.get_value_by_name(&name).map(|state| state.number())
            }
            (Some(_), _) => {
                return Err(wrong(value.full_name(), "`state` is not a value of the enum of `state_attribute`"));
            }
        };
        Ok(Choice { number: value.number(), name: value.name().to_owned(), option, state })
    };
    choices.values().filter(|value| value.number() != 0).map(choice).collect()
}

fn served_entity(
    pool: &DescriptorPool,
    service: &ServiceDescriptor,
) -> Result<Option<MessageDescriptor>, DescriptorError> {
    let Some(name) = options::entity_service(service)? else { return Ok(None) };
    if let Some(message) = pool.get_message_by_name(&name)
        && options::entity(&message)?.is_some()
    {
        return Ok(Some(message));
    }
    Err(wrong(service.full_name(), format!("the service serves `{name}`, which isn't an entity")))
}

/// The beginnings of the names of methods that write records.
const WRITING_VERBS: [&str; 7] = ["Create", "Update", "Delete", "BatchCreate", "BatchUpdate", "BatchDelete", "Import"];

/// The privilege for writing records of an entity: that of the writing methods of its services. prvWriteRecords if no method writes.
fn write_privilege<'a>(services: impl Iterator<Item = &'a ServiceDescriptor>) -> Result<Privilege, DescriptorError> {
    let mut found = None;
    for method in services.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        if !WRITING_VERBS.iter().any(|verb| method.name().starts_with(verb)) {
            continue;
        }
        match (method_needs(&method)?.privileges.as_slice(), found) {
            ([privilege], None) => found = Some(*privilege),
            ([privilege], Some(other)) if *privilege == other => {}
            _ => {
                return Err(wrong(
                    method.full_name(),
                    "all methods that write an entity must need the same single privilege",
                ));
            }
        }
    }
    Ok(found.unwrap_or(Privilege::WriteRecords))
}

fn rule(entity: &Entity, declared: &option::Rule) -> Result<Rule, SchemaError> {
    let option::Rule { reason, attribute, refuse_when, description, dynamics_code } = declared;
    let text = RuleText { reason, attribute, refuse_when, description, dynamics_code };
    Rule::read(&text, entity).map_err(|problem| SchemaError::Rule {
        entity: entity.name.clone(),
        reason: reason.clone(),
        problem,
    })
}

fn attribute_fields(message: &MessageDescriptor) -> impl Iterator<Item = FieldDescriptor> + use<> {
    let mut fields: Vec<_> = message
        .fields()
        .filter(|field| !SYSTEM_FIELDS.contains(&field.name()) && field.name() != CLEARED_FIELD)
        .collect();
    fields.sort_by_key(FieldDescriptor::number);
    fields.into_iter()
}

fn text_form(field: &FieldDescriptor, option: &option::Attribute) -> Result<TextForm, DescriptorError> {
    match (option.multi_line, option.uuid) {
        (false, false) => Ok(TextForm::SingleLine),
        (true, false) => Ok(TextForm::MultiLine),
        (false, true) => Ok(TextForm::Uuid),
        (true, true) => Err(wrong(field.full_name(), "an attribute can't be both `multi_line` and `uuid`")),
    }
}

/// The length of a UUID with hyphens.
const UUID_LENGTH: u32 = 36;

fn default(field: &FieldDescriptor, default: Option<option::DefaultValue>) -> Result<Option<Value>, DescriptorError> {
    let Some(default) = default else { return Ok(None) };
    let refused = || wrong(field.full_name(), "`default` has another type than the field");
    match (default.kind, field.kind()) {
        (Some(default_value::Kind::Text(text)), ProtoKind::String) => Ok(Some(Value::Text(text))),
        (Some(default_value::Kind::Boolean(value)), ProtoKind::Bool) => Ok(Some(Value::Boolean(value))),
        (Some(default_value::Kind::Integer(number)), ProtoKind::Int32 | ProtoKind::Int64) => {
            Ok(Some(Value::Integer(number)))
        }
        (Some(default_value::Kind::EnumValue(name)), ProtoKind::Enum(choices)) => {
            let value = choices.get_value_by_name(&name).ok_or_else(refused)?;
            Ok(Some(Value::Integer(value.number().into())))
        }
        _ => Err(refused()),
    }
}

fn entity_methods(
    service: &ServiceDescriptor,
    message: &MessageDescriptor,
    schema: &Schema,
) -> Result<Vec<EntityMethod>, DescriptorError> {
    let entity = schema
        .by_name(message.name())
        .ok_or_else(|| wrong(service.full_name(), "the service serves an entity that isn't in the schema"))?;
    let resource = ResourceMessage { message: message.clone(), fields: Arc::new(attribute_fields(message).collect()) };
    service
        .methods()
        .map(|method| {
            let known = StandardMethod::ALL.into_iter().find(|standard| standard.name(entity) == method.name());
            let standard = known.ok_or_else(|| {
                let names: Vec<_> = StandardMethod::ALL.iter().map(|standard| standard.name(entity)).collect();
                let problem = format!("an entity service can only have the standard methods {}", names.join(", "));
                wrong(method.full_name(), problem)
            })?;
            check_shape(&method, standard, entity, message)?;
            Ok(EntityMethod {
                items: items_field(&method, standard, entity)?,
                results: if standard == StandardMethod::Import { Some(result_fields(&method)?) } else { None },
                path: path(&method),
                standard,
                entity: Arc::clone(entity),
                resource: resource.clone(),
                input: method.input(),
                output: method.output(),
            })
        })
        .collect()
}

fn check_shape(
    method: &MethodDescriptor,
    standard: StandardMethod,
    entity: &Entity,
    message: &MessageDescriptor,
) -> Result<(), DescriptorError> {
    require_fields(&method.input(), &standard.inputs(entity))?;
    let output = method.output();
    let fits = match standard {
        StandardMethod::Create | StandardMethod::Get | StandardMethod::Update => output == *message,
        StandardMethod::List => {
            output.get_field_by_name("next_page_token").is_some() && list_field(&output, message).is_some()
        }
        StandardMethod::Delete | StandardMethod::BatchDelete => output.full_name() == "google.protobuf.Empty",
        StandardMethod::BatchGet | StandardMethod::BatchCreate | StandardMethod::BatchUpdate => {
            list_field(&output, message).is_some()
        }
        StandardMethod::Import => true,
    };
    if !fits {
        return Err(wrong(method.full_name(), "the response isn't that of the standard method with this name"));
    }
    let streams = (method.is_client_streaming(), method.is_server_streaming());
    match (standard == StandardMethod::Import, streams) {
        (true, (true, true)) | (false, (false, false)) => Ok(()),
        (true, _) => Err(wrong(method.full_name(), "an import takes and returns a stream")),
        (false, _) => Err(wrong(method.full_name(), "only an import takes or returns a stream")),
    }
}

fn require_fields(message: &MessageDescriptor, fields: &[String]) -> Result<(), DescriptorError> {
    match fields.iter().find(|name| message.get_field_by_name(name).is_none()) {
        Some(missing) => Err(wrong(message.full_name(), format!("the field `{missing}` is missing"))),
        None => Ok(()),
    }
}

/// The field with the items of a batch or an import, whose requests are those of the method for a single record.
fn items_field(
    method: &MethodDescriptor,
    standard: StandardMethod,
    entity: &Entity,
) -> Result<Option<FieldDescriptor>, DescriptorError> {
    let input = method.input();
    let wrong_items = |name: &str, what: &str| wrong(input.full_name(), format!("the field `{name}` must be {what}"));
    match standard.of_item() {
        None if standard == StandardMethod::BatchGet => {
            let names = input.get_field_by_name(NAMES);
            let names = names.filter(|field| field.is_list() && field.kind() == ProtoKind::String);
            names.map(Some).ok_or_else(|| wrong_items(NAMES, "a repeated string"))
        }
        None => Ok(None),
        Some(single) => {
            let requests = input.get_field_by_name(REQUESTS).filter(FieldDescriptor::is_list);
            let requests = requests.ok_or_else(|| wrong_items(REQUESTS, "a repeated message"))?;
            let ProtoKind::Message(request) = requests.kind() else {
                return Err(wrong_items(REQUESTS, "a repeated message"));
            };
            require_fields(&request, &single.inputs(entity))?;
            Ok(Some(requests))
        }
    }
}

/// The fields of an import's response: a list `results`, each with a `name` or an `error` in the form of `google.rpc.Status`.
fn result_fields(method: &MethodDescriptor) -> Result<ResultFields, DescriptorError> {
    let output = method.output();
    let problem = "an import's response needs the field `results`: a repeated message with a string `name` and a message `error` that has \
                   the fields of google.rpc.Status";
    let found = || {
        let results = output.get_field_by_name("results").filter(FieldDescriptor::is_list)?;
        let ProtoKind::Message(result) = results.kind() else { return None };
        let name =
            result.get_field_by_name("name").filter(|field| !field.is_list() && field.kind() == ProtoKind::String)?;
        let error = result.get_field_by_name("error").filter(|field| !field.is_list())?;
        let ProtoKind::Message(status) = error.kind() else { return None };
        is_status(&status).then_some(ResultFields { results, name, error })
    };
    found().ok_or_else(|| wrong(output.full_name(), problem))
}

/// Whether a message has the fields of `google.rpc.Status`, with the same numbers.
fn is_status(message: &MessageDescriptor) -> bool {
    let field = |number: u32, name: &str| message.get_field(number).filter(|field| field.name() == name);
    let is_any = |kind: &ProtoKind| matches!(kind, ProtoKind::Message(of) if of.full_name() == "google.protobuf.Any");
    field(1, "code").is_some_and(|code| code.kind() == ProtoKind::Int32 && !code.is_list())
        && field(2, "message").is_some_and(|text| text.kind() == ProtoKind::String && !text.is_list())
        && field(3, "details").is_some_and(|details| details.is_list() && is_any(&details.kind()))
}

/// The field of the response to a list or a batch that contains the records.
#[must_use]
pub(crate) fn list_field(output: &MessageDescriptor, message: &MessageDescriptor) -> Option<FieldDescriptor> {
    output.fields().find(|field| field.is_list() && matches!(field.kind(), ProtoKind::Message(of) if of == *message))
}

fn upper_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}

/// Microseconds of a protobuf timestamp. `None` outside the years 1 to 9999. Nanoseconds are truncated.
#[must_use]
pub(crate) fn timestamp_from_proto(seconds: i64, nanos: i32) -> Option<Timestamp> {
    // 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the range in google/protobuf/timestamp.proto.
    let in_range = (-62_135_596_800..=253_402_300_799).contains(&seconds) && (0..1_000_000_000).contains(&nanos);
    in_range.then(|| Timestamp::from_unix_micros(seconds * 1_000_000 + i64::from(nanos / 1_000)))
}

/// Seconds and nanoseconds of a protobuf timestamp.
#[must_use]
pub(crate) fn timestamp_to_proto(time: Timestamp) -> prost_types::Timestamp {
    // A timestamp outside protobuf's range has no JSON form.
    let micros = time.writable().unix_micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables and sealed values are bound to these names: a changed name would orphan stored data.
    #[test]
    fn storage_names_of_the_mail_entities_never_change() {
        let served = read(sealward::FILE_DESCRIPTOR_SET).unwrap();
        let names: Vec<_> = served.schema.entities().iter().map(|entity| &*entity.storage_name).collect();
        assert_eq!(names, ["EmailServerProfile", "Mailbox", "Queue", "UserSettings"]);
        let cells: BTreeSet<_> = served
            .schema
            .entities()
            .iter()
            .flat_map(|entity| {
                entity.encrypted().map(|sealed| format!("{}.{}", entity.storage_name, sealed.storage_name))
            })
            .collect();
        assert_eq!(
            cells,
            [
                "EmailServerProfile.incoming_password",
                "EmailServerProfile.outgoing_password",
                "Mailbox.password",
                "Queue.email_password",
                "UserSettings.email_password",
            ]
            .map(str::to_owned)
            .into()
        );
    }

    #[test]
    fn platform_schema_has_no_entities() {
        let served = read(sealward::PLATFORM_DESCRIPTOR_SET).unwrap();
        assert!(served.schema.entities().is_empty() && served.methods.is_empty());
        assert!(!served.packages.contains(sealward::MAIL_PACKAGE));
    }

    #[test]
    fn built_in_schema_is_complete() {
        let served = read(sealward::FILE_DESCRIPTOR_SET).unwrap();
        let names: Vec<_> = served.schema.entities().iter().map(|entity| entity.name.as_str()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert_eq!(served.methods.len(), 4 * StandardMethod::ALL.len());
        let encrypted: Vec<String> = served
            .schema
            .entities()
            .iter()
            .flat_map(|entity| entity.encrypted().map(|attribute| format!("{}.{}", entity.name, attribute.name)))
            .collect();
        for wanted in [
            "EmailServerProfile.incoming_password",
            "EmailServerProfile.outgoing_password",
            "Mailbox.password",
            "Queue.email_password",
            "UserSettings.email_password",
        ] {
            assert!(encrypted.iter().any(|name| name == wanted), "{wanted} of {encrypted:?}");
        }
        assert_eq!(encrypted.len(), 5);
    }

    /// The built-in descriptors, with one text replaced by another of the same length.
    fn read_with(text: &str, other: &str) -> Result<ServedSchema, DescriptorError> {
        assert_eq!(text.len(), other.len());
        let mut encoded = sealward::FILE_DESCRIPTOR_SET.to_vec();
        let at = encoded.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
        encoded.splice(at..at + text.len(), other.bytes());
        read(&encoded)
    }

    #[test]
    fn enum_value_has_its_name_and_unspecified_is_null() {
        let served = read(sealward::FILE_DESCRIPTOR_SET).unwrap();
        let profiles = served.schema.by_collection("emailServerProfiles").unwrap();
        let Kind::Choice(choices) = &profiles.attribute("server_type").unwrap().kind else { panic!("no choice") };
        let found: Vec<_> = choices.iter().map(|choice| (choice.number, choice.name.as_str())).collect();
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found.contains(&(2, "SERVER_TYPE_OTHER")), "{found:?}");
    }

    #[test]
    fn malformed_rule_is_an_error_that_names_it() {
        for (text, other, words) in [
            (
                "use_auto_discover = true AND incoming_server_location",
                "use_auto_discover = true AND incoming_server_lacation",
                "EmailServerProfile, rule `INCOMING_LOCATION_NOT_REQUIRED`: its `refuse_when` is not a valid filter: at position 29: \
                 EmailServerProfile has no field `incoming_server_lacation`",
            ),
            (
                "incoming_use_ssl = false AND",
                "incoming_use_ssl = falso AND",
                "EmailServerProfile, rule `INCOMING_SSL_REQUIRED_FOR_ONLINE`: its `refuse_when` is not a valid filter: at position 19: \
                 `incoming_use_ssl` must be compared with `true` or `false`",
            ),
            (
                "8005E233",
                "8005e233",
                "Mailbox, rule `EMAILS_NOT_DELETABLE`: its `dynamics_code` must be 8 hexadecimal digits, letters in upper case",
            ),
            (
                "EMAILS_NOT_DELETABLE",
                "EMAILS_NOT-DELETABLE",
                "Mailbox, rule `EMAILS_NOT-DELETABLE`: its `reason` must be 2 to 63 upper-case ASCII letters, digits and `_`, \
                 beginning with a letter",
            ),
            (
                "OUTGOING_LOCATION_NOT_REQUIRED",
                "INCOMING_LOCATION_NOT_REQUIRED",
                "EmailServerProfile has two rules with the reason `INCOMING_LOCATION_NOT_REQUIRED`",
            ),
        ] {
            let error = read_with(text, other).err().expect(words);
            assert_eq!(error.to_string(), words);
        }
    }

    #[test]
    fn unknown_name_in_a_method_option_is_an_error_with_the_method() {
        for (text, other, words) in [
            (
                "prvCustomizeAttributes",
                "prvCustomizeAttributez",
                "sealward.v1.MetadataService.UpdateAttributeMetadata: `privileges`: unknown privilege `prvCustomizeAttributez`",
            ),
            (
                "update-attribute-metadata",
                "update-attribute_metadata",
                "sealward.v1.MetadataService.UpdateAttributeMetadata: `audit_actions` or `refused_as`: \
                 unknown audit action `update-attribute_metadata`",
            ),
        ] {
            let error = read_with(text, other).err().expect(words);
            assert_eq!(error.to_string(), words);
        }
    }

    #[test]
    fn methods_that_write_an_entity_need_the_same_privilege() {
        let error = read_with("prvWriteRecords", "prvReadContract").err().unwrap();
        assert!(
            error.to_string().ends_with(": all methods that write an entity must need the same single privilege"),
            "{error}"
        );
    }

    #[test]
    fn time_is_converted_to_the_microsecond_and_back() {
        for micros in [0, -1, 1, 1_700_000_000_123_456, -62_135_596_800_000_000] {
            let time = Timestamp::from_unix_micros(micros);
            let proto = timestamp_to_proto(time);
            assert_eq!(timestamp_from_proto(proto.seconds, proto.nanos), Some(time));
        }
        assert_eq!(timestamp_from_proto(253_402_300_800, 0), None);
        assert_eq!(timestamp_from_proto(0, -1), None);
    }
}
