//! Output of answers: tables for people, JSON for programs, names for scripts. Messages for the user go to [`stderr`].
//!
//! JSON is that of the server's Connect answers, indented: fields have their JSON names, fields without presence are present, and encrypted
//! attributes without a value are null. Tables are made from the same JSON with the contract's field names.

pub(crate) mod color;
pub(crate) mod escape;
pub(crate) mod new_file;
pub(crate) mod pages;
pub(crate) mod progress;
pub(crate) mod stderr;
pub(crate) mod stdout;
pub(crate) mod table;

use std::{
    io::{self, IsTerminal as _},
    iter,
};

use crate::{failure::Failure, naming::short_enum_name};
use clap::{Args, ValueEnum};
use prost::{Message as _, Name};
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};
use sealward_client::{EntityType, built_in_pool};
use sealward_connect::json::{self, EncodeOptions, FieldNames};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use stderr::notice;
use stdout::{print_json, print_lines};
use terminal_size::{Width, terminal_size_of};
use zeroize::Zeroizing;

/// The output option of every command.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// Output format [default: the profile's; otherwise table on a terminal, else json].
    #[arg(long, global = true, env = "SEALWARD_OUTPUT", value_name = "FORMAT", value_enum)]
    pub(crate) output: Option<Format>,
}

/// The output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Readable table, or list of attributes.
    Table,
    /// JSON as the server's Connect answers, with names in lowerCamelCase.
    Json,
    /// One record name per line; answers without records are JSON.
    Name,
}

/// Prints answers in the output format of this run.
pub(crate) struct Output {
    format: Format,
    /// Width of the terminal, in columns; `None` without a terminal.
    width: Option<u16>,
}

/// Records to print: one page or several.
pub(crate) struct RecordList<'a> {
    /// The field of the response, such as `email_server_profiles`.
    pub(crate) collection: &'a str,
    /// The records as JSON.
    pub(crate) records: Vec<Value>,
    /// The columns of a table.
    pub(crate) columns: Vec<Column>,
    /// The number of leading columns that are never truncated. Of the others, the last ones are omitted if they don't fit.
    pub(crate) full_columns: usize,
    /// Other fields of the JSON.
    pub(crate) extra_fields: Map<String, Value>,
}

/// A column of a table of records.
pub(crate) struct Column {
    pub(crate) heading: String,
    pub(crate) value: Box<dyn Fn(&Value) -> String>,
}

impl Column {
    /// A column for a field, with the field's name as heading.
    pub(crate) fn of(name: &'static str) -> Self {
        let value = move |record: &Value| table::text(name, record.get(name).unwrap_or(&Value::Null));
        Self { heading: name.to_owned(), value: Box::new(value) }
    }

    /// A column with the items of a list, joined.
    pub(crate) fn joined(name: &'static str, separator: &'static str) -> Self {
        let value = move |record: &Value| {
            let items = record.get(name).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(Value::as_str).collect::<Vec<_>>().join(separator)
        };
        Self { heading: name.to_owned(), value: Box::new(value) }
    }
}

impl Output {
    /// `format` is the format of the option or the profile.
    pub(crate) fn new(format: Option<Format>) -> Self {
        let stdout = io::stdout();
        let default = if stdout.is_terminal() { Format::Table } else { Format::Json };
        Self { format: format.unwrap_or(default), width: terminal_size_of(&stdout).map(|(Width(columns), _)| columns) }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Prints an answer that isn't a record.
    pub(crate) fn answer(&self, answer: &Value) -> Result<(), Failure> {
        match self.format {
            Format::Table => print_lines(&table::fields(&table::flat(answer), self.width)),
            Format::Json | Format::Name => print_json(&JsonNames(answer)),
        }
    }

    /// Prints values with their names, in the same order.
    pub(crate) fn values(&self, values: Map<String, Value>) -> Result<(), Failure> {
        if self.format != Format::Table {
            return print_json(&Value::Object(values));
        }
        let shown = |value: &Value| value.as_str().unwrap_or("(not set)").to_owned();
        let fields: Vec<(String, String)> = values.iter().map(|(name, value)| (name.clone(), shown(value))).collect();
        print_lines(&table::fields(&fields, self.width))
    }

    /// Prints a message that has a name and isn't a record of an entity.
    pub(crate) fn named(&self, message: &Value) -> Result<(), Failure> {
        match self.format {
            Format::Name => print_lines(&escape::line(text_of(message, "name"))),
            Format::Table | Format::Json => self.answer(message),
        }
    }

    /// Prints a record of an entity.
    pub(crate) fn record(&self, entity: &EntityType, record: &DynamicMessage) -> Result<(), Failure> {
        let record = crate::output::record(entity, record);
        match self.format {
            Format::Table => print_lines(&table::fields(&fields(entity, &record), self.width)),
            Format::Json | Format::Name => self.named(&record),
        }
    }

    /// Prints a list of records.
    pub(crate) fn list(&self, list: RecordList<'_>) -> Result<(), Failure> {
        let RecordList { collection, records, columns, full_columns, extra_fields } = list;
        match self.format {
            Format::Table if records.is_empty() => {
                notice(&format!("No {} found.", collection.replace('_', " ")));
                Ok(())
            }
            Format::Table => {
                let mut headings: Vec<&str> = columns.iter().map(|column| column.heading.as_str()).collect();
                let row = |record| columns.iter().map(|column| (column.value)(record)).collect();
                let mut rows: Vec<Vec<String>> = records.iter().map(row).collect();
                let fitting = table::fitting(&headings, &rows, full_columns, self.width);
                let omitted = headings.split_off(fitting);
                rows.iter_mut().for_each(|row| row.truncate(fitting));
                print_lines(&table::rows(&headings, &rows, full_columns, self.width))?;
                if !omitted.is_empty() {
                    notice(&format!("Columns that don't fit: {}. To show all: --output json.", omitted.join(", ")));
                }
                Ok(())
            }
            Format::Name => records.iter().try_for_each(|record| print_lines(&escape::line(text_of(record, "name")))),
            Format::Json => {
                let records = (collection.to_owned(), Value::Array(records));
                print_json(&JsonNames(&Value::Object(iter::once(records).chain(extra_fields).collect())))
            }
        }
    }
}

/// Adds the organization as the first field of an answer about its key, so that keys of organizations can't be confused.
pub(crate) fn with_organization(organization: &str, answer: Value) -> Value {
    let mut fields = Map::from_iter([("organization".to_owned(), Value::String(organization.to_owned()))]);
    match answer {
        Value::Object(others) => fields.extend(others),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
    }
    Value::Object(fields)
}

/// A generated message as JSON, with the contract's field names.
pub(crate) fn message<M: Name>(message: &M) -> Value {
    let descriptor = built_in_pool().get_message_by_name(&M::full_name());
    json(&descriptor.expect("the message is in the contract"), message.encode_to_vec())
}

/// A record of any entity as JSON, with null for each encrypted attribute, and with the contract's field names.
pub(crate) fn record(entity: &EntityType, record: &DynamicMessage) -> Value {
    json(&entity.message, record.encode_to_vec())
}

/// A record that was requested with the [`read_mask`] of these fields: without other fields that are empty or encrypted. Empty `fields` means
/// all.
pub(crate) fn record_with(entity: &EntityType, record: &DynamicMessage, fields: &[&str]) -> Value {
    let mut shown = crate::output::record(entity, record);
    if let (false, Some(values)) = (fields.is_empty(), shown.as_object_mut()) {
        let is_encrypted = |name: &str| entity.attribute(name).is_some_and(|attribute| attribute.options.encrypted);
        values.retain(|name, value| fields.contains(&name.as_str()) || !(is_encrypted(name) || is_empty(value)));
    }
    shown
}

/// The read mask for these fields. An encrypted attribute is replaced by the field that reports whether it is set.
pub(crate) fn read_mask(entity: &EntityType, fields: &[&str]) -> Vec<String> {
    let path = |field: &&str| match entity.attribute(field) {
        Some(attribute) if attribute.options.encrypted => {
            entity.is_set_attribute(field).map_or_else(|| NAME.to_owned(), |is_set| is_set.name().to_owned())
        }
        _ if *field == ID => NAME.to_owned(),
        _ => (*field).to_owned(),
    };
    let mut paths: Vec<String> = fields.iter().map(path).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// The default columns of a table: the id, the first attributes, and whether encrypted attributes are set.
pub(crate) fn default_columns(entity: &EntityType) -> Vec<Column> {
    let plain = entity.attributes.iter().filter(|attribute| {
        let options = &attribute.options;
        !options.encrypted && !options.output_only && options.reports_set.is_empty() && options.reference.is_none()
    });
    let plain = plain.take(PLAIN_COLUMNS).map(|attribute| attribute.name());
    let names: Vec<&str> = iter::once(ID).chain(plain).chain(entity.encrypted()).collect();
    names.into_iter().map(|name| entity_column(entity, name)).collect()
}

/// The columns for these names of attributes or standard fields.
pub(crate) fn columns(entity: &EntityType, names: &[&str]) -> Result<Vec<Column>, Failure> {
    let is_known = |name: &str| name == ID || entity.message.get_field_by_name(name).is_some();
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<String> = entity.message.fields().map(|field| field.name().to_owned()).collect();
        return Err(Failure::usage(format!("unknown field {unknown:?}: use id, {}", known.join(", "))));
    }
    Ok(names.iter().map(|name| entity_column(entity, name)).collect())
}

fn entity_column(entity: &EntityType, name: &str) -> Column {
    let heading = name.to_owned();
    if name == ID {
        return Column { heading, value: Box::new(|record| id_of(record).to_owned()) };
    }
    let (entity, name) = (entity.clone(), name.to_owned());
    Column { heading, value: Box::new(move |record| display_text(&entity, record, &name)) }
}

/// The attributes of a record that have a value, and for encrypted attributes whether they are set.
fn fields(entity: &EntityType, record: &Value) -> Vec<(String, String)> {
    let Value::Object(values) = record else { return Vec::new() };
    let reports_set =
        |name: &str| entity.attribute(name).is_some_and(|attribute| !attribute.options.reports_set.is_empty());
    let is_shown = |name: &str, value| !reports_set(name) && (entity.attribute(name).is_some() || !is_empty(value));
    let shown = values.iter().filter(|(name, value)| is_shown(name, value));
    shown.map(|(name, _)| (name.clone(), display_text(entity, record, name))).collect()
}

/// A value as readable text; for an encrypted attribute, whether it is set.
fn display_text(entity: &EntityType, record: &Value, name: &str) -> String {
    let value = record.get(name).unwrap_or(&Value::Null);
    let Some(attribute) = entity.attribute(name) else { return table::text(name, value) };
    if attribute.options.encrypted {
        let is_set =
            entity.is_set_attribute(name).and_then(|is_set| record.get(is_set.name())).and_then(Value::as_bool);
        return is_set.map_or("", |is_set| if is_set { "set" } else { "not set" }).to_owned();
    }
    match (attribute.field.kind(), value.as_str()) {
        (Kind::Enum(kind), Some(full)) => short_enum_name(&kind, full),
        (Kind::Message(_), Some(time)) => table::time(time),
        _ => table::text(name, value),
    }
}

/// The last part of a record's name.
fn id_of(record: &Value) -> &str {
    let name = text_of(record, "name");
    name.rsplit_once('/').map_or(name, |(_, id)| id)
}

fn text_of<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the value is an empty text or list: the value of a field that has no presence.
fn is_empty(value: &Value) -> bool {
    value.as_str().is_some_and(str::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn json(descriptor: &MessageDescriptor, wire: Vec<u8>) -> Value {
    let options = EncodeOptions { names: FieldNames::Proto, ..EncodeOptions::default() };
    let text = json::encode_with(descriptor, &Zeroizing::new(wire), options).expect("every answer has a JSON form");
    serde_json::from_slice(&text).expect("the mapping writes JSON")
}

/// JSON whose names are those of the contract, serialized with their JSON names.
struct JsonNames<'a>(&'a Value);

impl Serialize for JsonNames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (json_name(name), JsonNames(value))))
            }
            Value::Array(values) => serializer.collect_seq(values.iter().map(JsonNames)),
            value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => value.serialize(serializer),
        }
    }
}

/// A name of the contract in lowerCamelCase, by protobuf's rule.
fn json_name(name: &str) -> String {
    let mut camel_case = String::with_capacity(name.len());
    for (index, word) in name.split('_').enumerate() {
        let (first, rest) = word.split_at_checked(1.min(word.len())).filter(|_| index > 0).unwrap_or(("", word));
        camel_case.push_str(&first.to_ascii_uppercase());
        camel_case.push_str(rest);
    }
    camel_case
}

const ID: &str = "id";
const NAME: &str = "name";

/// The number of attributes in the default columns, beside the id and encrypted attributes.
const PLAIN_COLUMNS: usize = 3;

#[cfg(test)]
mod tests {
    use sealward_client::{mail_v1, v1};

    use super::*;

    #[test]
    fn encrypted_attribute_is_null_and_other_absent_ones_are_left_out() {
        let entities = EntityType::all(&built_in_pool()).unwrap();
        let mailbox = &entities[1];
        let typed = mail_v1::Mailbox {
            name: "organizations/o/mailboxes/1".to_owned(),
            display_name: Some("Sales".to_owned()),
            is_password_set: Some(true),
            ..Default::default()
        };
        let wire = typed.encode_to_vec();
        let dynamic = DynamicMessage::decode(mailbox.message.clone(), wire.as_slice()).unwrap();
        let shown = record_with(mailbox, &dynamic, &["display_name", "password"]);
        assert_eq!(
            shown.to_string(),
            r#"{"name":"organizations/o/mailboxes/1","display_name":"Sales","password":null,"is_password_set":true}"#
        );
        // All fields: the JSON of Connect.
        let shown = serde_json::to_string(&JsonNames(&record(mailbox, &dynamic))).unwrap();
        assert_eq!(shown.as_bytes(), json::encode(&mailbox.message, &wire).unwrap().as_slice());
        let table: Vec<_> = fields(mailbox, &record(mailbox, &dynamic)).into_iter().map(|(name, _)| name).collect();
        assert_eq!(table, ["name", "display_name", "password"]);
    }

    #[test]
    fn names_in_json_are_those_of_the_descriptors() {
        let pool = built_in_pool();
        for field in pool.all_messages().flat_map(|message| message.fields().collect::<Vec<_>>()) {
            assert_eq!(json_name(field.name()), field.json_name(), "{}", field.full_name());
        }
    }

    #[test]
    fn false_and_zero_in_an_answer_are_shown() {
        let status = v1::IsDataEncryptionActiveResponse::default();
        let shown = message(&status).to_string();
        assert_eq!(
            shown,
            r#"{"is_active":false,"fingerprint":"","key_version":0,"cell_counts":[],"is_key_change_due":false,"caller_tls":"CALLER_TLS_UNSPECIFIED"}"#
        );
    }
}
