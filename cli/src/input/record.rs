//! A record from the command line: `--json`, `--set`, `--secret` and `--clear`.
//!
//! JSON is read by the mapping that the server uses for Connect. No error contains a value of an encrypted attribute. A null in JSON is the
//! same as a missing attribute: a record can be read, edited and sent back without clearing the encrypted attributes, which are null in the
//! answer.

use std::{collections::BTreeSet, path::PathBuf};

use prost_reflect::{DynamicMessage, Kind, Value};
use sealward_client::{AttributeType, EntityType, ExposeSecret as _, schema_v1};
use sealward_connect::json::{self, JsonProblem};
use serde_json::Value as Json;

use crate::{
    failure::Failure,
    input::secret::{SecretReader, Source, byte_order_mark, check_not_empty, read_file, read_text},
    naming::{command_name, enum_names, enum_value},
};

/// The options for a record, not yet parsed.
#[derive(Default)]
pub(crate) struct RecordArguments<'a> {
    /// A JSON file, or `-` for stdin.
    pub(crate) json: Option<&'a str>,
    /// `attribute=value`.
    pub(crate) set: Vec<&'a str>,
    /// `attribute`, `attribute=@FILE` or `attribute=-`.
    pub(crate) secret: Vec<&'a str>,
    /// `attribute`.
    pub(crate) clear: Vec<&'a str>,
}

/// A record to write.
pub(crate) struct Record {
    /// The record with its attributes.
    pub(crate) message: DynamicMessage,
    /// The update mask: the attributes to set or clear.
    pub(crate) mask: BTreeSet<String>,
    /// The field `name` of the JSON.
    pub(crate) name: Option<String>,
    /// The field `etag` of the JSON.
    pub(crate) etag: Option<String>,
    /// Attributes in the JSON that the write skips.
    pub(crate) skipped: Vec<String>,
}

/// The write that a record is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    /// A create of a record that may have been read from a server.
    Import,
}

impl RecordArguments<'_> {
    /// Parses the options and reads the record's values. Options are validated before the user is prompted for a secret.
    pub(crate) fn read(
        &self,
        entity: &EntityType,
        operation: Operation,
        secrets: &mut dyn SecretReader,
    ) -> Result<Record, Failure> {
        let set = self.set.iter().map(|option| assignment(entity, option)).collect::<Result<Vec<_>, _>>()?;
        let sources = self.secret.iter().map(|option| secret_source(entity, option)).collect::<Result<Vec<_>, _>>()?;
        let cleared = self.clear.iter().map(|name| attribute(entity, name)).collect::<Result<Vec<_>, _>>()?;

        let mut record = match self.json {
            Some(source) => read_json(entity, operation, source, secrets)?,
            None => Record::new(DynamicMessage::new(entity.message.clone())),
        };
        let Record { message, mask, .. } = &mut record;
        let assigned = set.iter().map(|(attribute, value)| (attribute.name().to_owned(), value.clone())).collect();
        let mut assigned = from_json(entity, Json::Object(assigned).to_string().as_bytes())?;
        for (attribute, _) in set {
            mask.insert(attribute.name().to_owned());
            if let Some(value) = assigned.take_field(&attribute.field) {
                message.set_field(&attribute.field, value);
            }
        }
        mask.extend(sources.iter().map(|(attribute, _)| attribute.name().to_owned()));
        for attribute in cleared {
            if !mask.insert(attribute.name().to_owned()) {
                let name = attribute.name();
                return Err(Failure::usage(format!("{name} can't be both set and cleared")));
            }
        }
        for (attribute, source) in sources {
            message.set_field(&attribute.field, secret_value(attribute, &source, secrets)?);
        }
        Ok(record)
    }
}

impl Record {
    fn new(message: DynamicMessage) -> Self {
        Record { message, mask: BTreeSet::new(), name: None, etag: None, skipped: Vec::new() }
    }
}

/// Reads a JSON document. The fields that a caller can't write are ignored, so that a record can be read and sent back.
fn read_json(
    entity: &EntityType,
    operation: Operation,
    source: &str,
    secrets: &mut dyn SecretReader,
) -> Result<Record, Failure> {
    let text = match source {
        "-" => secrets.read_document("JSON")?,
        file => read_file("JSON", &PathBuf::from(file))?,
    };
    parse_json(entity, operation, &text)
}

/// Reads a record to import from a line of JSON.
pub(crate) fn read_line(entity: &EntityType, line: &[u8]) -> Result<Record, Failure> {
    parse_json(entity, Operation::Import, line)
}

fn parse_json(entity: &EntityType, operation: Operation, text: &[u8]) -> Result<Record, Failure> {
    if byte_order_mark(text).is_some() {
        return Err(Failure::usage("the JSON begins with a byte order mark: save it as UTF-8 without one"));
    }
    let mut record = Record::new(from_json(entity, text)?);
    for field in entity.message.fields() {
        if !record.message.has_field(&field) {
            continue;
        }
        let name = field.name().to_owned();
        let Some(attribute) = entity.attribute(&name) else {
            let text = record.message.take_field(&field).and_then(|value| value.as_str().map(str::to_owned));
            match &*name {
                "name" => record.name = text,
                "etag" => record.etag = text,
                _ => {}
            }
            continue;
        };
        let options = &attribute.options;
        if options.output_only || !options.reports_set.is_empty() {
            record.message.clear_field(&field);
        } else if is_skipped(operation, options) {
            record.message.clear_field(&field);
            record.skipped.push(name);
        } else {
            record.mask.insert(name);
        }
    }
    Ok(record)
}

/// Whether a write skips an attribute that a record can have.
fn is_skipped(operation: Operation, options: &schema_v1::Attribute) -> bool {
    match operation {
        Operation::Create => false,
        Operation::Update => options.immutable || options.not_valid_for_update,
        Operation::Import => options.not_valid_for_create,
    }
}

/// Converts a JSON document. No error contains a value.
fn from_json(entity: &EntityType, document: &[u8]) -> Result<DynamicMessage, Failure> {
    let wire = json::decode(&entity.message, document).map_err(|error| {
        if let JsonProblem::UnknownField { name, .. } = &error.problem
            && error.path.is_empty()
        {
            return no_attribute(entity, name);
        }
        Failure::usage(format!("invalid {}: {error}", entity.message.name()))
    })?;
    let message = DynamicMessage::decode(entity.message.clone(), wire.as_slice());
    Ok(message.expect("the mapping writes a message of the descriptor"))
}

/// Parses `--set attribute=value`. Errors contain the value only if the attribute isn't encrypted.
fn assignment<'a>(entity: &'a EntityType, option: &str) -> Result<(&'a AttributeType, Json), Failure> {
    let Some((name, value)) = option.split_once('=') else {
        return Err(Failure::usage("--set needs ATTRIBUTE=VALUE; to set null in an update, use --clear ATTRIBUTE"));
    };
    let attribute = attribute(entity, name)?;
    if attribute.options.encrypted {
        return Err(Failure::usage(format!(
            "{name} is encrypted: don't pass its value on the command line, which shell history and process lists expose\n  \
             use --secret {name} (prompt), --secret {name}=@FILE or --secret {name}=- (stdin)"
        )));
    }
    let invalid = |expected: &str| Failure::usage(format!("invalid value {value:?} for {name}: expected {expected}"));
    let json = match attribute.field.kind() {
        Kind::Bool => Json::Bool(value.parse().map_err(|_| invalid("true or false"))?),
        Kind::Enum(kind) => enum_value(&kind, value)
            .map(Json::String)
            .ok_or_else(|| invalid(&format!("one of {}", enum_names(&kind).join(", "))))?,
        Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64 | Kind::Sfixed32 | Kind::Sfixed64 => {
            Json::from(value.parse::<i64>().map_err(|_| invalid("an integer"))?)
        }
        // All other kinds are strings in the JSON mapping: text, base64, a time.
        Kind::String
        | Kind::Bytes
        | Kind::Message(_)
        | Kind::Double
        | Kind::Float
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Fixed32
        | Kind::Fixed64 => Json::String(value.to_owned()),
    };
    Ok((attribute, json))
}

/// Parses `--secret attribute`, `attribute=@FILE` or `attribute=-`. Errors don't contain other text after `=`: it may be the secret.
fn secret_source<'a>(entity: &'a EntityType, option: &str) -> Result<(&'a AttributeType, Source), Failure> {
    let (name, source) = option.split_once('=').map_or((option, None), |(name, source)| (name, Some(source)));
    let attribute = attribute(entity, name)?;
    if !attribute.options.encrypted {
        return Err(Failure::usage(format!("{name} isn't encrypted: use --set {name}=VALUE")));
    }
    let source = match source.map(|source| (source, source.strip_prefix('@'))) {
        None => Source::PromptTwice,
        Some((_, Some(file))) if !file.is_empty() => Source::File(PathBuf::from(file)),
        Some(("-", None)) => Source::Stdin,
        Some(("prompt", None)) => Source::PromptTwice,
        Some(_) => {
            return Err(Failure::usage(format!(
                "--secret takes no value: don't pass secrets on the command line\n  \
                 use --secret {name} (prompt), --secret {name}=@FILE or --secret {name}=- (stdin)"
            )));
        }
    };
    Ok((attribute, source))
}

fn secret_value(attribute: &AttributeType, source: &Source, secrets: &mut dyn SecretReader) -> Result<Value, Failure> {
    let name = attribute.name();
    if attribute.field.kind() == Kind::String {
        return Ok(Value::String(read_text(secrets, name, source)?.expose_secret().to_owned()));
    }
    let mut secret = secrets.read(name, source)?;
    check_not_empty(name, source, &secret)?;
    Ok(Value::Bytes(std::mem::take(&mut *secret).into()))
}

/// The attribute of this name, if callers can write it.
fn attribute<'a>(entity: &'a EntityType, name: &str) -> Result<&'a AttributeType, Failure> {
    let attribute = entity.attribute(name).ok_or_else(|| no_attribute(entity, name))?;
    if attribute.options.output_only || !attribute.options.reports_set.is_empty() {
        return Err(Failure::usage(format!("{name} is read-only: it is set by the server")));
    }
    Ok(attribute)
}

fn no_attribute(entity: &EntityType, name: &str) -> Failure {
    let command = command_name(entity);
    let closest = entity
        .attributes
        .iter()
        .map(|attribute| (strsim::jaro_winkler(name, attribute.name()), attribute.name()))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let suggestion = closest.map(|(_, closest)| format!("; did you mean {closest}?")).unwrap_or_default();
    let entity = entity.message.name();
    Failure::usage(format!(
        "{entity} has no attribute {name:?}{suggestion}; `sealward {command} create --help` lists them"
    ))
}

/// Minimum Jaro-Winkler similarity (0 to 1) for a suggestion.
const SIMILARITY_MIN: f64 = 0.85;

#[cfg(test)]
mod tests {
    use sealward_client::built_in_pool;
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::*;

    /// Returns a fixed text for each secret, and a fixed document.
    struct Fixed(&'static str, Json);

    impl SecretReader for Fixed {
        fn read(&mut self, _what: &str, source: &Source) -> Result<Zeroizing<Vec<u8>>, Failure> {
            Ok(Zeroizing::new(format!("{} from {source:?}", self.0).into_bytes()))
        }

        fn read_document(&mut self, _what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
            Ok(Zeroizing::new(self.1.to_string().into_bytes()))
        }
    }

    fn mailbox() -> EntityType {
        EntityType::all(&built_in_pool()).unwrap().swap_remove(1)
    }

    fn record(arguments: &RecordArguments<'_>, document: Json, operation: Operation) -> Result<Record, Failure> {
        arguments.read(&mailbox(), operation, &mut Fixed("typed", document))
    }

    fn refusal(arguments: &RecordArguments<'_>, document: Json) -> String {
        let refused = record(arguments, document, Operation::Create).err().unwrap();
        let Failure::Usage(text) = refused else { panic!("{refused:?}") };
        text
    }

    fn value(record: &Record, attribute: &str) -> Json {
        let value = record.message.get_field_by_name(attribute).unwrap().into_owned();
        value.as_str().map_or_else(|| format!("{value:?}").into(), Json::from)
    }

    #[test]
    fn record_is_built_from_json_assignments_and_secrets() {
        let arguments = RecordArguments {
            json: Some("-"),
            set: vec!["display_name=Sales=1", "state_code=inactive", "process_and_delete_emails=true"],
            secret: vec!["password"],
            clear: vec!["username"],
        };
        let document = json!({"displayName": "overridden", "email_address": "a@example.com", "etag": "7", "name": "n"});
        let record = record(&arguments, document, Operation::Update).ok().unwrap();
        assert_eq!(value(&record, "display_name"), "Sales=1");
        assert_eq!(value(&record, "email_address"), "a@example.com");
        assert_eq!(value(&record, "password"), "typed from PromptTwice");
        assert_eq!(value(&record, "state_code"), "EnumNumber(2)");
        assert_eq!(value(&record, "process_and_delete_emails"), "Bool(true)");
        assert!(!record.message.has_field_by_name("username"));
        assert_eq!(
            record.mask.iter().map(String::as_str).collect::<Vec<_>>(),
            ["display_name", "email_address", "password", "process_and_delete_emails", "state_code", "username"]
        );
        assert_eq!((record.name.as_deref(), record.etag.as_deref()), (Some("n"), Some("7")));
    }

    #[test]
    fn record_that_was_read_can_be_sent_back_and_clears_no_secret() {
        let read = json!({
            "name": "n", "etag": "7", "create_time": "2026-01-31T12:00:00Z", "update_time": "2026-01-31T12:00:00Z",
            "display_name": "Sales", "password": null, "is_password_set": true, "is_forward_mailbox": true,
        });
        let arguments = RecordArguments { json: Some("-"), ..RecordArguments::default() };
        let record = record(&arguments, read, Operation::Update).ok().unwrap();
        assert_eq!(record.mask.iter().map(String::as_str).collect::<Vec<_>>(), ["display_name"]);
    }

    #[test]
    fn secret_is_never_read_from_an_argument_or_printed() {
        let set =
            refusal(&RecordArguments { set: vec!["password=canary-1"], ..RecordArguments::default() }, Json::Null);
        assert!(set.contains("--secret password=@FILE"), "{set}");
        let secret =
            refusal(&RecordArguments { secret: vec!["password=canary-1"], ..RecordArguments::default() }, Json::Null);
        assert!(secret.contains("--secret password=-"), "{secret}");
        let bare = refusal(&RecordArguments { set: vec!["canary-1"], ..RecordArguments::default() }, Json::Null);
        let from_json = RecordArguments { json: Some("-"), ..RecordArguments::default() };
        let number = refusal(&from_json, json!({"password": 47_110_815}));
        assert!(number.contains("password"), "{number}");
        for text in [set, secret, bare, number] {
            assert!(!text.contains("canary-1") && !text.contains("47110815"), "{text}");
        }
    }

    #[test]
    fn secrets_in_json_are_accepted_and_not_shown_in_errors() {
        let from_json = RecordArguments { json: Some("-"), ..RecordArguments::default() };
        let taken = record(&from_json, json!({"password": "canary-1"}), Operation::Create).ok().unwrap();
        assert_eq!(value(&taken, "password"), "canary-1");
        let refused = refusal(&from_json, json!({"password": "canary-1", "display_name": 5}));
        assert!(!refused.contains("canary-1"), "{refused}");
    }

    #[test]
    fn sources_of_secrets_are_distinguished() {
        let entity = mailbox();
        let source = |given| secret_source(&entity, given).map(|(_, source)| source);
        assert_eq!(source("password").ok(), Some(Source::PromptTwice));
        assert_eq!(source("password=prompt").ok(), Some(Source::PromptTwice));
        assert_eq!(source("password=@p.txt").ok(), Some(Source::File("p.txt".into())));
        assert_eq!(source("password=-").ok(), Some(Source::Stdin));
        assert!(source("password=").is_err() && source("password=@").is_err());
        assert!(source("display_name").is_err() && source("nothing").is_err());
    }

    #[test]
    fn unknown_words_are_explained() {
        for (given, explained) in [
            ("nothing=1", "has no attribute"),
            ("usernmae=u", "did you mean username?"),
            ("is_password_set=true", "set by the server"),
            ("process_and_delete_emails=yes", "true or false"),
            ("state_code=asleep", "one of active, inactive"),
            ("display_name", "ATTRIBUTE=VALUE"),
        ] {
            let text = refusal(&RecordArguments { set: vec![given], ..RecordArguments::default() }, Json::Null);
            assert!(text.contains(explained), "{text}");
        }
        let both = RecordArguments { set: vec!["username=u"], clear: vec!["username"], ..RecordArguments::default() };
        assert!(refusal(&both, Json::Null).contains("cleared"));
        let unknown = RecordArguments { json: Some("-"), ..RecordArguments::default() };
        assert!(refusal(&unknown, json!({"colour": "red"})).contains("colour"));
    }

    #[test]
    fn choices_are_accepted_by_full_and_short_name() {
        let entity = mailbox();
        let Kind::Enum(kind) = entity.attribute("incoming_email_delivery_method").unwrap().field.kind() else {
            panic!()
        };
        assert_eq!(enum_names(&kind), ["none", "outlook", "server_side_sync", "forward_mailbox"]);
        for given in ["server-side-sync", "INCOMING_EMAIL_DELIVERY_METHOD_SERVER_SIDE_SYNC"] {
            assert_eq!(enum_value(&kind, given).as_deref(), Some("INCOMING_EMAIL_DELIVERY_METHOD_SERVER_SIDE_SYNC"));
        }
    }

    #[test]
    fn dynamics_365_option_number_selects_its_choice() {
        let entity = mailbox();
        let Kind::Enum(kind) = entity.attribute("incoming_email_delivery_method").unwrap().field.kind() else {
            panic!()
        };
        for (number, name) in [("0", "NONE"), ("1", "OUTLOOK"), ("2", "SERVER_SIDE_SYNC"), ("3", "FORWARD_MAILBOX")] {
            let full = format!("INCOMING_EMAIL_DELIVERY_METHOD_{name}");
            assert_eq!(enum_value(&kind, number), Some(full));
        }
        for wrong in ["4", "-1", ""] {
            assert_eq!(enum_value(&kind, wrong), None, "{wrong}");
        }
    }
}
