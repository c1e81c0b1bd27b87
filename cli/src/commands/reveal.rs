//! `reveal`: prints the values of encrypted attributes; requires a purpose for the audit trail.

use std::io::IsTerminal as _;

use clap::{Arg, ArgAction, ArgMatches, Command, builder::PossibleValuesParser};
use sealward_client::{EntityType, SecretValue, v1};
use serde_json::{Map, Value};

use crate::{
    connection::Connection,
    failure::Failure,
    naming::command_name,
    output::{self, Output, stdout},
};

/// The command for records of one entity; without an entity, the command that takes full names.
pub(super) fn command(command: Command, entity: Option<&EntityType>) -> Command {
    let attribute = Arg::new(ATTRIBUTE)
        .long(ATTRIBUTE)
        .value_name("ATTRIBUTE")
        .action(ArgAction::Append)
        .required(true)
        .help("Encrypted attribute to reveal; repeatable");
    let (attribute, name, example) = match entity {
        Some(entity) => {
            let encrypted: Vec<String> = entity.encrypted().map(str::to_owned).collect();
            let example = format!(
                "{} reveal ID --attribute {}",
                command_name(entity),
                encrypted.first().map_or("ATTRIBUTE", String::as_str)
            );
            let attribute = attribute.value_parser(PossibleValuesParser::new(encrypted));
            (attribute, "Record, by id or full name", example)
        }
        None => (
            attribute,
            "Record, by full name: organizations/default/mailboxes/ID",
            "reveal organizations/default/mailboxes/ID --attribute password".to_owned(),
        ),
    };
    command
        .about("Reveal the values of encrypted attributes; this is recorded in the audit trail")
        .after_help(format!(
            "Examples:\n  sealward {example} --purpose 'incoming mail'\n  sealward {example} --purpose 'incoming mail' --raw"
        ))
        .arg(Arg::new(NAME).value_name("NAME").required(true).help(name))
        .arg(attribute)
        .arg(
            Arg::new(PURPOSE)
                .long(PURPOSE)
                .value_name("TEXT")
                .required(true)
                .help("Reason for the access, recorded in the audit trail; must not contain secrets"),
        )
        .arg(Arg::new(RAW).long(RAW).action(ArgAction::SetTrue).help(
            "Print only the value, without a line break unless stdout is a terminal",
        ))
}

pub(super) async fn run(
    entity: Option<&EntityType>,
    matches: &ArgMatches,
    connection: &Connection,
    output: &Output,
) -> Result<(), Failure> {
    let text = |id| matches.get_one::<String>(id).cloned().unwrap_or_default();
    let attributes: Vec<String> = matches.get_many::<String>(ATTRIBUTE).unwrap_or_default().cloned().collect();
    let is_raw = matches.get_flag(RAW);
    if is_raw && attributes.len() != 1 {
        return Err(Failure::usage("--raw prints one value: use --attribute once"));
    }
    let name = match (entity, text(NAME)) {
        (Some(entity), name) => connection.record_name(&entity.options.collection, &name),
        (None, name) if name.contains('/') => name,
        (None, _) => {
            return Err(Failure::usage("use the full name of the record: organizations/default/mailboxes/ID"));
        }
    };

    stdout::check_open()?;
    let client = connection.connect().await?;
    let values = client.reveal_attributes(name, &attributes, text(PURPOSE)).await?;
    if is_raw {
        let value = values.values().next().ok_or_else(|| Failure::Failed("the attribute is null".to_owned()))?;
        stdout::print_value(value.expose_bytes())?;
        return if std::io::stdout().is_terminal() { stdout::print_bytes(b"\n") } else { Ok(()) };
    }
    let revealed: Map<String, Value> = attributes
        .into_iter()
        .map(|attribute| (attribute.clone(), values.get(&attribute).map_or(Value::Null, to_json)))
        .collect();
    output.values(revealed)
}

/// Text unchanged, bytes in base64.
fn to_json(value: &SecretValue) -> Value {
    match value.expose_text() {
        Some(text) => Value::String(text.to_owned()),
        None => {
            let data = v1::secret_value::Value::Data(value.expose_bytes().to_vec());
            let message = output::message(&v1::SecretValue { value: Some(data) });
            message.get("data").cloned().unwrap_or_default()
        }
    }
}

const NAME: &str = "name";
const ATTRIBUTE: &str = "attribute";
const PURPOSE: &str = "purpose";
const RAW: &str = "raw";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_unchanged_and_bytes_are_base64() {
        assert_eq!(to_json(&SecretValue::Text("a b".into())), Value::String("a b".to_owned()));
        assert_eq!(to_json(&SecretValue::Data(vec![0, 255].into())), Value::String("AP8=".to_owned()));
    }
}
