//! A record as the command line gives it: from JSON, from `--set`, from `--secret`, and what `--clear` takes away.
//!
//! Nothing that was given for an encrypted attribute is ever repeated in an error. A null in JSON means *not given*, as proto3 has it: so
//! a record that was read can be edited and sent back without losing the encrypted attributes that the reader never got.

use std::{collections::BTreeSet, path::PathBuf};

use prost_reflect::{DynamicMessage, Kind, Value};
use sealward_client::{AttributeType, EntityType, ExposeSecret as _};
use serde_json::{Map, Value as Json};

use crate::{
    failure::Failure,
    secret_input::{Secrets, Source, byte_order_mark, check_not_empty, read_file, read_text},
    spelling::{command_name, enum_names, enum_value},
};

/// What the command line says about a record, in words.
#[derive(Default)]
pub(crate) struct Given<'a> {
    /// A file with JSON, or `-`.
    pub(crate) json: Option<&'a str>,
    /// `attribute=value`.
    pub(crate) set: Vec<&'a str>,
    /// `attribute`, `attribute=@FILE` or `attribute=-`.
    pub(crate) secret: Vec<&'a str>,
    /// `attribute`.
    pub(crate) clear: Vec<&'a str>,
}

/// A record to send.
pub(crate) struct Record {
    /// Its attributes.
    pub(crate) message: DynamicMessage,
    /// The attributes that were given or are to be cleared: the update mask.
    pub(crate) mask: BTreeSet<String>,
    /// What JSON had as `name`.
    pub(crate) name: Option<String>,
    /// What JSON had as `etag`.
    pub(crate) etag: Option<String>,
    /// Attributes that JSON had and that an update can't write.
    pub(crate) left_out: Vec<String>,
}

/// Whether the record is to be created or updated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Create,
    Update,
}

impl Given<'_> {
    /// Makes the record. What is wrong with the words is found before any secret is asked for.
    pub(crate) fn record(
        &self,
        entity: &EntityType,
        purpose: Purpose,
        secrets: &mut dyn Secrets,
    ) -> Result<Record, Failure> {
        let set = self.set.iter().map(|given| assignment(entity, given)).collect::<Result<Vec<_>, _>>()?;
        let sources = self.secret.iter().map(|given| secret_source(entity, given)).collect::<Result<Vec<_>, _>>()?;
        let cleared = self.clear.iter().map(|given| cleared(entity, given)).collect::<Result<Vec<_>, _>>()?;

        let mut document = match self.json {
            Some(place) => Document::read(entity, purpose, place, secrets)?,
            None => Document::default(),
        };
        let mut mask: BTreeSet<String> = document.attributes.keys().cloned().collect();
        mask.extend(document.encrypted.iter().map(|(attribute, _)| attribute.name().to_owned()));
        for (attribute, value) in set {
            mask.insert(attribute.name().to_owned());
            document.attributes.insert(attribute.name().to_owned(), value);
        }
        mask.extend(sources.iter().map(|(attribute, _)| attribute.name().to_owned()));
        for attribute in cleared {
            if !mask.insert(attribute.name().to_owned()) {
                let name = attribute.name();
                return Err(Failure::usage(format!("{name} is to be cleared, and was given a value too")));
            }
        }

        let mut message = from_json(entity, document.attributes)
            .map_err(|error| Failure::usage(format!("that isn't a {}: {error}", entity.message.name())))?;
        for (attribute, value) in document.encrypted {
            message.set_field(&attribute.field, value);
        }
        for (attribute, source) in sources {
            message.set_field(&attribute.field, secret_value(attribute, &source, secrets)?);
        }
        Ok(Record { message, mask, name: document.name, etag: document.etag, left_out: document.left_out })
    }
}

/// JSON, sorted into what has to be treated differently.
#[derive(Default)]
struct Document<'a> {
    attributes: Map<String, Json>,
    encrypted: Vec<(&'a AttributeType, Value)>,
    name: Option<String>,
    etag: Option<String>,
    left_out: Vec<String>,
}

impl<'a> Document<'a> {
    fn read(entity: &'a EntityType, purpose: Purpose, place: &str, secrets: &mut dyn Secrets) -> Result<Self, Failure> {
        let text = match place {
            "-" => secrets.read_document("the JSON")?,
            file => read_file("the JSON", &PathBuf::from(file))?,
        };
        if byte_order_mark(&text).is_some() {
            return Err(Failure::usage("the JSON begins with a byte order mark: save it as UTF-8 without one"));
        }
        // serde_json tells line and column, never what is there.
        let parsed: Json = serde_json::from_slice(&text)
            .map_err(|error| Failure::usage(format!("the JSON can't be read: {error}")))?;
        let Json::Object(fields) = parsed else {
            return Err(Failure::usage("the JSON has to be an object: {\"attribute\": value, …}"));
        };
        Self::sort(entity, purpose, fields)
    }

    fn sort(entity: &'a EntityType, purpose: Purpose, fields: Map<String, Json>) -> Result<Self, Failure> {
        let mut document = Self::default();
        for (key, value) in fields {
            let Some(attribute) = entity.attribute(&key) else {
                document.take_standard_field(entity, &key, value)?;
                continue;
            };
            let options = &attribute.options;
            let name = attribute.name().to_owned();
            if value.is_null() || options.output_only || !options.reports_set.is_empty() {
                continue;
            }
            if purpose == Purpose::Update && (options.immutable || options.not_valid_for_update) {
                document.left_out.push(name);
            } else if options.encrypted {
                document.encrypted.push((attribute, encrypted_from_json(entity, attribute, value)?));
            } else {
                document.attributes.insert(name, value);
            }
        }
        Ok(document)
    }

    fn take_standard_field(&mut self, entity: &EntityType, key: &str, value: Json) -> Result<(), Failure> {
        let text = value.as_str().map(str::to_owned);
        match key {
            "name" => self.name = text,
            "etag" => self.etag = text,
            // The server's own; what was read can be sent back.
            "create_time" | "createTime" | "update_time" | "updateTime" | "created_by" | "createdBy"
            | "modified_by" | "modifiedBy" | "cleared_attributes" | "clearedAttributes" => {}
            _ => return Err(no_attribute(entity, key)),
        }
        Ok(())
    }
}

fn from_json(entity: &EntityType, fields: Map<String, Json>) -> Result<DynamicMessage, serde_json::Error> {
    DynamicMessage::deserialize(entity.message.clone(), Json::Object(fields))
}

/// Apart from the others, so that no error shows the value.
fn encrypted_from_json(entity: &EntityType, attribute: &AttributeType, value: Json) -> Result<Value, Failure> {
    let name = attribute.name();
    let is_text = attribute.field.kind() == Kind::String;
    let form = if is_text { "text" } else { "bytes in base64" };
    let wrong = || Failure::usage(format!("{name} has to be {form} in quotes"));
    let Json::String(text) = value else { return Err(wrong()) };
    if is_text {
        return Ok(Value::String(text));
    }
    let field = Map::from_iter([(name.to_owned(), Json::String(text))]);
    from_json(entity, field).ok().and_then(|mut message| message.take_field(&attribute.field)).ok_or_else(wrong)
}

/// `attribute=value`, as JSON. The value is told in an error only once the attribute is known to be no secret.
fn assignment<'a>(entity: &'a EntityType, given: &str) -> Result<(&'a AttributeType, Json), Failure> {
    let Some((name, value)) = given.split_once('=') else {
        return Err(Failure::usage("--set takes ATTRIBUTE=VALUE; for null, an update has --clear ATTRIBUTE"));
    };
    let attribute = attribute(entity, name)?;
    if attribute.options.encrypted {
        return Err(Failure::usage(format!(
            "{name} is encrypted, and a command line is the wrong place for its value: history and process lists keep it.\n\
             Give it with --secret {name} (asks), --secret {name}=@FILE or --secret {name}=- (stdin)"
        )));
    }
    let wrong = |form: &str| Failure::usage(format!("{name} is {form}, not {value:?}"));
    let json = match attribute.field.kind() {
        Kind::Bool => Json::Bool(value.parse().map_err(|_| wrong("true or false"))?),
        Kind::Enum(kind) => enum_value(&kind, value)
            .map(Json::String)
            .ok_or_else(|| wrong(&format!("one of {}", enum_names(&kind).join(", "))))?,
        Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64 | Kind::Sfixed32 | Kind::Sfixed64 => {
            Json::from(value.parse::<i64>().map_err(|_| wrong("a whole number"))?)
        }
        // Whatever else there is has a form as text in the JSON mapping: text itself, base64, a time.
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

/// `attribute`, `attribute=@FILE` or `attribute=-`. What else stands after `=` may be the secret, and isn't repeated.
fn secret_source<'a>(entity: &'a EntityType, given: &str) -> Result<(&'a AttributeType, Source), Failure> {
    let (name, place) = given.split_once('=').map_or((given, None), |(name, place)| (name, Some(place)));
    let attribute = attribute(entity, name)?;
    if !attribute.options.encrypted {
        return Err(Failure::usage(format!("{name} isn't encrypted: give it with --set {name}=VALUE")));
    }
    let source = match place.map(|place| (place, place.strip_prefix('@'))) {
        None => Source::PromptTwice,
        Some((_, Some(file))) if !file.is_empty() => Source::File(PathBuf::from(file)),
        Some(("-", None)) => Source::Stdin,
        Some(("prompt", None)) => Source::PromptTwice,
        Some(_) => {
            return Err(Failure::usage(format!(
                "--secret {name} takes no value: a command line is the wrong place for it. It is asked for, or comes from \
                 --secret {name}=@FILE or --secret {name}=- (stdin)"
            )));
        }
    };
    Ok((attribute, source))
}

fn cleared<'a>(entity: &'a EntityType, name: &str) -> Result<&'a AttributeType, Failure> {
    attribute(entity, name)
}

fn secret_value(attribute: &AttributeType, source: &Source, secrets: &mut dyn Secrets) -> Result<Value, Failure> {
    let name = attribute.name();
    if attribute.field.kind() == Kind::String {
        return Ok(Value::String(read_text(secrets, name, source)?.expose_secret().to_owned()));
    }
    let mut secret = secrets.read(name, source)?;
    check_not_empty(name, source, &secret)?;
    Ok(Value::Bytes(std::mem::take(&mut *secret).into()))
}

/// An attribute that a caller can write at all.
fn attribute<'a>(entity: &'a EntityType, name: &str) -> Result<&'a AttributeType, Failure> {
    let attribute = entity.attribute(name).ok_or_else(|| no_attribute(entity, name))?;
    if attribute.options.output_only || !attribute.options.reports_set.is_empty() {
        return Err(Failure::usage(format!("{name} is set by the server")));
    }
    Ok(attribute)
}

fn no_attribute(entity: &EntityType, name: &str) -> Failure {
    let command = command_name(entity);
    let closest = entity
        .attributes
        .iter()
        .map(|attribute| (strsim::jaro_winkler(name, attribute.name()), attribute.name()))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let meant = closest.map(|(_, closest)| format!("; did you mean {closest}?")).unwrap_or_default();
    let entity = entity.message.name();
    Failure::usage(format!("{entity} has no attribute {name:?}{meant}; `sealward {command} create --help` lists them"))
}

/// From how alike two names are on (0 to 1) one is taken for a slip of the other.
const LIKENESS_MIN: f64 = 0.85;

#[cfg(test)]
mod tests {
    use sealward_client::built_in_pool;
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::*;

    /// Answers what it was asked with a fixed text, and hands out a fixed document.
    struct Fixed(&'static str, Json);

    impl Secrets for Fixed {
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

    fn record(given: &Given<'_>, document: Json, purpose: Purpose) -> Result<Record, Failure> {
        given.record(&mailbox(), purpose, &mut Fixed("typed", document))
    }

    fn refusal(given: &Given<'_>, document: Json) -> String {
        let refused = record(given, document, Purpose::Create).err().unwrap();
        let Failure::Usage(text) = refused else { panic!("{refused:?}") };
        text
    }

    fn value(record: &Record, attribute: &str) -> Json {
        let value = record.message.get_field_by_name(attribute).unwrap().into_owned();
        value.as_str().map_or_else(|| format!("{value:?}").into(), Json::from)
    }

    #[test]
    fn a_record_is_put_together_from_json_assignments_and_secrets() {
        let given = Given {
            json: Some("-"),
            set: vec!["display_name=Sales=1", "state_code=inactive", "process_and_delete_emails=true"],
            secret: vec!["password"],
            clear: vec!["username"],
        };
        let document = json!({"displayName": "overridden", "email_address": "a@example.com", "etag": "7", "name": "n"});
        let record = record(&given, document, Purpose::Update).ok().unwrap();
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
    fn what_was_read_can_be_sent_back_and_clears_no_encrypted_attribute() {
        let read = json!({
            "name": "n", "etag": "7", "create_time": "2026-01-31T12:00:00Z", "update_time": "2026-01-31T12:00:00Z",
            "display_name": "Sales", "password": null, "is_password_set": true, "is_forward_mailbox": true,
        });
        let given = Given { json: Some("-"), ..Given::default() };
        let record = record(&given, read, Purpose::Update).ok().unwrap();
        assert_eq!(record.mask.iter().map(String::as_str).collect::<Vec<_>>(), ["display_name"]);
    }

    #[test]
    fn a_secret_is_never_taken_from_an_argument_nor_repeated() {
        let set = refusal(&Given { set: vec!["password=canary-1"], ..Given::default() }, Json::Null);
        assert!(set.contains("--secret password=@FILE"), "{set}");
        let secret = refusal(&Given { secret: vec!["password=canary-1"], ..Given::default() }, Json::Null);
        assert!(secret.contains("--secret password=-"), "{secret}");
        let bare = refusal(&Given { set: vec!["canary-1"], ..Given::default() }, Json::Null);
        let from_json = Given { json: Some("-"), ..Given::default() };
        let number = refusal(&from_json, json!({"password": 47_110_815}));
        assert!(number.contains("password"), "{number}");
        for text in [set, secret, bare, number] {
            assert!(!text.contains("canary-1") && !text.contains("47110815"), "{text}");
        }
    }

    #[test]
    fn json_may_have_secrets_and_they_are_not_shown_with_other_faults() {
        let from_json = Given { json: Some("-"), ..Given::default() };
        let taken = record(&from_json, json!({"password": "canary-1"}), Purpose::Create).ok().unwrap();
        assert_eq!(value(&taken, "password"), "canary-1");
        let refused = refusal(&from_json, json!({"password": "canary-1", "display_name": 5}));
        assert!(!refused.contains("canary-1"), "{refused}");
    }

    #[test]
    fn sources_of_secrets_are_told_apart() {
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
    fn wrong_words_are_explained() {
        for (given, explained) in [
            ("nothing=1", "has no attribute"),
            ("usernmae=u", "did you mean username?"),
            ("is_password_set=true", "set by the server"),
            ("process_and_delete_emails=yes", "true or false"),
            ("state_code=asleep", "one of active, inactive"),
            ("display_name", "ATTRIBUTE=VALUE"),
        ] {
            let text = refusal(&Given { set: vec![given], ..Given::default() }, Json::Null);
            assert!(text.contains(explained), "{text}");
        }
        let both = Given { set: vec!["username=u"], clear: vec!["username"], ..Given::default() };
        assert!(refusal(&both, Json::Null).contains("cleared"));
        let unknown = Given { json: Some("-"), ..Given::default() };
        assert!(refusal(&unknown, json!({"colour": "red"})).contains("colour"));
    }

    #[test]
    fn options_are_known_by_their_full_and_their_short_names() {
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
