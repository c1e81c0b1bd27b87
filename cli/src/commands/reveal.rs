//! `reveal`: the values of encrypted attributes, for who needs them and says why.

use std::io::IsTerminal as _;

use clap::{Arg, ArgAction, ArgMatches, Command, builder::PossibleValuesParser};
use sealward_client::{EntityType, SecretValue, v1};
use serde_json::{Map, Value};

use crate::{
    connection::Connection,
    delivery,
    failure::Failure,
    output::{self, Output},
    spelling::command_name,
};

/// The command, for the records of one entity or, with full names, of any.
pub(super) fn command(command: Command, entity: Option<&EntityType>) -> Command {
    let attribute = Arg::new(ATTRIBUTE)
        .long(ATTRIBUTE)
        .value_name("ATTRIBUTE")
        .action(ArgAction::Append)
        .required(true)
        .help("An encrypted attribute; can be given several times");
    let (attribute, name, example) = match entity {
        Some(entity) => {
            let encrypted: Vec<String> = entity.encrypted().map(str::to_owned).collect();
            let example = format!(
                "{} reveal ID --attribute {}",
                command_name(entity),
                encrypted.first().map_or("ATTRIBUTE", String::as_str)
            );
            let attribute = attribute.value_parser(PossibleValuesParser::new(encrypted));
            (attribute, "The record, by its id or its full name", example)
        }
        None => (
            attribute,
            "The record, by its full name: organizations/default/mailboxes/ID",
            "reveal organizations/default/mailboxes/ID --attribute password".to_owned(),
        ),
    };
    command
        .about("Reveal the values of encrypted attributes; the audit trail has who, what and why")
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
                .help("What the values are needed for, in words that an auditor understands; put no secret in it"),
        )
        .arg(Arg::new(RAW).long(RAW).action(ArgAction::SetTrue).help(
            "Print the value of the one attribute as it is, for a program; a terminal gets a line break after it",
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
        return Err(Failure::usage("--raw prints one value: give one --attribute"));
    }
    let name = match (entity, text(NAME)) {
        (Some(entity), name) => connection.record_name(&entity.options.collection, &name),
        (None, name) if name.contains('/') => name,
        (None, _) => {
            return Err(Failure::usage("give the record by its full name: organizations/default/mailboxes/ID"));
        }
    };

    delivery::check_open()?;
    let client = connection.connect().await?;
    let values = client.reveal_attributes(name, &attributes, text(PURPOSE)).await?;
    if is_raw {
        let value = values.values().next().ok_or_else(|| Failure::NoValue("the attribute is null".to_owned()))?;
        output::print_value(value.expose_bytes())?;
        return if std::io::stdout().is_terminal() { output::print_bytes(b"\n") } else { Ok(()) };
    }
    let shown: Map<String, Value> = attributes
        .into_iter()
        .map(|attribute| (attribute.clone(), values.get(&attribute).map_or(Value::Null, shown)))
        .collect();
    output.values(shown)
}

/// Text as it is, bytes in base64.
fn shown(value: &SecretValue) -> Value {
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
    fn text_is_shown_as_it_is_and_bytes_in_base64() {
        assert_eq!(shown(&SecretValue::Text("a b".into())), Value::String("a b".to_owned()));
        assert_eq!(shown(&SecretValue::Data(vec![0, 255].into())), Value::String("AP8=".to_owned()));
    }
}
