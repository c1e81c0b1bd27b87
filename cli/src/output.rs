//! How answers are shown: tables for people, JSON for programs, bare names for scripts. Only this file writes answers to stdout.
//!
//! JSON is the mapping of proto3 with the contract's own field names. In records an encrypted attribute is there and null, so that nobody
//! wonders where it is; any other attribute without a value is left out, as proto3 has it. Messages to the person go to [`stderr`](crate::stderr).

use std::{
    io::{self, IsTerminal as _, Write as _},
    iter,
};

use clap::{Args, ValueEnum};
use prost::Name;
use prost_reflect::{DynamicMessage, Kind, SerializeOptions};
use sealward_client::{EntityType, built_in_pool};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terminal_size::{Width, terminal_size_of};
use zeroize::Zeroizing;

use crate::{failure::Failure, harmless, spelling::short_enum_name, stderr::notice, table};

/// The option that says how answers are shown.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// How to show the answer. Default: the profile's; else a table on a terminal, and JSON elsewhere.
    #[arg(long, global = true, env = "SEALWARD_OUTPUT", value_name = "FORMAT", value_enum)]
    pub(crate) output: Option<Format>,
}

/// The ways to show an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For people: a table of records, a list of one record's attributes.
    Table,
    /// For programs: the contract's own JSON.
    Json,
    /// For scripts: the name of each record, a line each. Answers that aren't records are shown as JSON.
    Name,
}

/// Shows answers, in the one way that was decided for this run.
pub(crate) struct Output {
    format: Format,
    /// Of the terminal, in columns.
    width: Option<u16>,
}

/// A page of records to show, or several in a row.
pub(crate) struct Listed<'a> {
    /// What the contract calls them in answers: `email_server_profiles`.
    pub(crate) collection: &'a str,
    /// In JSON.
    pub(crate) records: Vec<Value>,
    /// What a table shows of each.
    pub(crate) columns: Vec<Column>,
    /// How many of them, from the first on, are never cut. Where the others don't fit, the last ones are left out.
    pub(crate) whole: usize,
    /// Whatever else the answer has, for JSON.
    pub(crate) more: Map<String, Value>,
}

/// A column of a table of records.
pub(crate) struct Column {
    pub(crate) heading: String,
    pub(crate) value: Box<dyn Fn(&Value) -> String>,
}

impl Column {
    /// A field that is shown as it is.
    pub(crate) fn of(name: &'static str) -> Self {
        let value = move |record: &Value| table::text(name, record.get(name).unwrap_or(&Value::Null));
        Self { heading: name.to_owned(), value: Box::new(value) }
    }
}

impl Output {
    /// `asked`: what the option, or the profile, says.
    pub(crate) fn new(asked: Option<Format>) -> Self {
        let stdout = io::stdout();
        let usual = if stdout.is_terminal() { Format::Table } else { Format::Json };
        Self { format: asked.unwrap_or(usual), width: terminal_size_of(&stdout).map(|(Width(columns), _)| columns) }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Shows an answer that isn't a record.
    pub(crate) fn answer(&self, answer: &Value) -> Result<(), Failure> {
        match self.format {
            Format::Table => print_lines(&table::fields(&table::flat(answer), self.width)),
            Format::Json | Format::Name => print_json(answer),
        }
    }

    /// Shows values by their names, exactly, in the same order.
    pub(crate) fn values(&self, values: Map<String, Value>) -> Result<(), Failure> {
        if self.format != Format::Table {
            return print_json(&Value::Object(values));
        }
        let shown = |value: &Value| value.as_str().unwrap_or("(not set)").to_owned();
        let fields: Vec<(String, String)> = values.iter().map(|(name, value)| (name.clone(), shown(value))).collect();
        print_lines(&table::fields(&fields, self.width))
    }

    /// Shows a message that has a name, and isn't a record of an entity.
    pub(crate) fn named(&self, message: &Value) -> Result<(), Failure> {
        match self.format {
            Format::Name => print_lines(&harmless::line(text_of(message, "name"))),
            Format::Table | Format::Json => self.answer(message),
        }
    }

    /// Shows a record of an entity.
    pub(crate) fn record(&self, entity: &EntityType, record: &DynamicMessage) -> Result<(), Failure> {
        let record = crate::output::record(entity, record);
        match self.format {
            Format::Table => print_lines(&table::fields(&fields(entity, &record), self.width)),
            Format::Json | Format::Name => self.named(&record),
        }
    }

    /// Shows several records.
    pub(crate) fn list(&self, listed: Listed<'_>) -> Result<(), Failure> {
        let Listed { collection, records, columns, whole, more } = listed;
        match self.format {
            Format::Table if records.is_empty() => {
                notice(&format!("There are no {} here.", collection.replace('_', " ")));
                Ok(())
            }
            Format::Table => {
                let mut headings: Vec<&str> = columns.iter().map(|column| column.heading.as_str()).collect();
                let row = |record| columns.iter().map(|column| (column.value)(record)).collect();
                let mut rows: Vec<Vec<String>> = records.iter().map(row).collect();
                let fitting = table::fitting(&headings, &rows, whole, self.width);
                let left_out = headings.split_off(fitting);
                rows.iter_mut().for_each(|row| row.truncate(fitting));
                print_lines(&table::rows(&headings, &rows, whole, self.width))?;
                if !left_out.is_empty() {
                    notice(&format!("Not shown for lack of room: {}. --output json has all.", left_out.join(", ")));
                }
                Ok(())
            }
            Format::Name => records.iter().try_for_each(|record| print_lines(&harmless::line(text_of(record, "name")))),
            Format::Json => {
                let records = (collection.to_owned(), Value::Array(records));
                print_json(&Value::Object(iter::once(records).chain(more).collect()))
            }
        }
    }
}

/// Prints a value to stdout, as JSON.
fn print_json(value: &Value) -> Result<(), Failure> {
    // Wiped, because a value may be an encryption key.
    let mut text = Zeroizing::new(
        serde_json::to_string_pretty(value).map_err(|error| Failure::undelivered(io::Error::from(error)))?,
    );
    if io::stdout().is_terminal() {
        text = Zeroizing::new(harmless::json(&text));
    }
    text.push('\n');
    print_bytes(text.as_bytes())
}

/// Prints lines to stdout, with colours where they belong.
fn print_lines(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Failure::undelivered)
}

/// Prints bytes to stdout as they are.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Failure::undelivered)
}

/// Prints a value to stdout as it is, for a program. A terminal gets it only if it can't be steered by it.
pub(crate) fn print_value(value: &[u8]) -> Result<(), Failure> {
    if io::stdout().is_terminal() && !std::str::from_utf8(value).is_ok_and(harmless::is_text) {
        return Err(Failure::NoValue(
            "the value has characters that would control the terminal or are invisible: send it to a file or a pipe"
                .to_owned(),
        ));
    }
    print_bytes(value)
}

/// An answer about an organization's key, with the organization in front: the key of which one it is must never be a guess.
pub(crate) fn of_organization(organization: &str, answer: Value) -> Value {
    let mut fields = Map::from_iter([("organization".to_owned(), Value::String(organization.to_owned()))]);
    match answer {
        Value::Object(others) => fields.extend(others),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
    }
    Value::Object(fields)
}

/// A generated message of the contract, its false and zero fields included.
pub(crate) fn message<M: Name>(message: &M) -> Value {
    let descriptor = built_in_pool().get_message_by_name(&M::full_name());
    let dynamic = descriptor.map(|descriptor| DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()));
    let dynamic = dynamic.expect("it is of the contract").expect("it was encoded a line above");
    json(&dynamic, false)
}

/// A record of any entity.
pub(crate) fn record(entity: &EntityType, record: &DynamicMessage) -> Value {
    let mut known = match json(record, true) {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    let fields = entity.message.fields().filter_map(|field| {
        let name = field.name().to_owned();
        let is_encrypted = entity.attribute(&name).is_some_and(|attribute| attribute.options.encrypted);
        known.remove(&name).or(is_encrypted.then_some(Value::Null)).map(|value| (name, value))
    });
    Value::Object(fields.collect())
}

/// A record that was asked for with the [`read_mask`] of these fields: of encrypted attributes it has those alone. None: all of them.
pub(crate) fn record_with(entity: &EntityType, record: &DynamicMessage, fields: &[&str]) -> Value {
    let mut shown = crate::output::record(entity, record);
    if let (false, Some(values)) = (fields.is_empty(), shown.as_object_mut()) {
        let is_encrypted = |name: &str| entity.attribute(name).is_some_and(|attribute| attribute.options.encrypted);
        values.retain(|name, _| fields.contains(&name.as_str()) || !is_encrypted(name));
    }
    shown
}

/// What to ask for to show these fields: of an encrypted one, whether it is set.
pub(crate) fn read_mask(entity: &EntityType, fields: &[&str]) -> Vec<String> {
    let asked = |field: &&str| match entity.attribute(field) {
        Some(attribute) if attribute.options.encrypted => {
            entity.reporter(field).map_or_else(|| NAME.to_owned(), |reporter| reporter.name().to_owned())
        }
        _ if *field == ID => NAME.to_owned(),
        _ => (*field).to_owned(),
    };
    let mut paths: Vec<String> = fields.iter().map(asked).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// What a table shows of a record unless told otherwise: its id, the first attributes, and which secrets it has.
pub(crate) fn usual_columns(entity: &EntityType) -> Vec<Column> {
    let plain = entity.attributes.iter().filter(|attribute| {
        let options = &attribute.options;
        !options.encrypted && !options.output_only && options.reports_set.is_empty() && options.reference.is_none()
    });
    let plain = plain.take(PLAIN_COLUMNS).map(|attribute| attribute.name());
    let names: Vec<&str> = iter::once(ID).chain(plain).chain(entity.encrypted()).collect();
    names.into_iter().map(|name| entity_column(entity, name)).collect()
}

/// The columns of these names: of attributes, and of the fields that every record has.
pub(crate) fn columns(entity: &EntityType, names: &[&str]) -> Result<Vec<Column>, Failure> {
    let is_known = |name: &str| name == ID || entity.message.get_field_by_name(name).is_some();
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<String> = entity.message.fields().map(|field| field.name().to_owned()).collect();
        return Err(Failure::usage(format!("there is no field {unknown:?}; there are id, {}", known.join(", "))));
    }
    Ok(names.iter().map(|name| entity_column(entity, name)).collect())
}

fn entity_column(entity: &EntityType, name: &str) -> Column {
    let heading = name.to_owned();
    if name == ID {
        return Column { heading, value: Box::new(|record| id_of(record).to_owned()) };
    }
    let (entity, name) = (entity.clone(), name.to_owned());
    Column { heading, value: Box::new(move |record| shown(&entity, record, &name)) }
}

/// The attributes of a record that have a value, and the encrypted ones with whether they have.
fn fields(entity: &EntityType, record: &Value) -> Vec<(String, String)> {
    let Value::Object(values) = record else { return Vec::new() };
    let reports_set =
        |name: &str| entity.attribute(name).is_some_and(|attribute| !attribute.options.reports_set.is_empty());
    let names = values.keys().filter(|name| !reports_set(name));
    names.map(|name| (name.clone(), shown(entity, record, name))).collect()
}

/// A value as a person reads it: of an encrypted attribute, whether it is set.
fn shown(entity: &EntityType, record: &Value, name: &str) -> String {
    let value = record.get(name).unwrap_or(&Value::Null);
    let Some(attribute) = entity.attribute(name) else { return table::text(name, value) };
    if attribute.options.encrypted {
        let is_set = entity.reporter(name).and_then(|reports| record.get(reports.name())).and_then(Value::as_bool);
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

fn json(message: &DynamicMessage, skip_default_fields: bool) -> Value {
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(skip_default_fields);
    message.serialize_with_options(serde_json::value::Serializer, &options).expect("every message has a JSON form")
}

const ID: &str = "id";
const NAME: &str = "name";

/// How many attributes fit beside an id.
const PLAIN_COLUMNS: usize = 3;

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use sealward_client::{mail_v1, v1};

    use super::*;

    #[test]
    fn an_encrypted_attribute_is_null_where_it_belongs_and_other_absent_ones_are_left_out() {
        let entities = EntityType::all(&built_in_pool()).unwrap();
        let mailbox = &entities[1];
        let typed = mail_v1::Mailbox {
            name: "organizations/o/mailboxes/1".to_owned(),
            display_name: Some("Sales".to_owned()),
            is_password_set: Some(true),
            ..Default::default()
        };
        let dynamic = DynamicMessage::decode(mailbox.message.clone(), typed.encode_to_vec().as_slice()).unwrap();
        assert_eq!(
            record(mailbox, &dynamic).to_string(),
            r#"{"name":"organizations/o/mailboxes/1","display_name":"Sales","password":null,"is_password_set":true}"#
        );
    }

    #[test]
    fn what_is_false_or_zero_in_an_answer_is_shown() {
        let status = v1::IsDataEncryptionActiveResponse::default();
        let shown = message(&status).to_string();
        assert_eq!(
            shown,
            r#"{"is_active":false,"fingerprint":"","key_version":0,"cell_counts":[],"is_key_change_due":false}"#
        );
    }
}
