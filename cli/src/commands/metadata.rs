//! `metadata`: shows and customizes an organization's entities and attributes, and lists the changes of audited attributes.

use clap::{Args, Subcommand, ValueEnum};
use sealward_client::v1::{AttributeMetadata, attribute_metadata::RequiredLevel};
use serde_json::Value;

use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Column, Output, pages::PageOptions, stderr, table},
};

/// The commands under `metadata`.
#[derive(Subcommand)]
pub(super) enum MetadataCommand {
    /// List the entities.
    #[command(after_help = "Example:\n  sealward metadata list")]
    List {
        #[command(flatten)]
        page: PageOptions,
    },
    /// Show the attributes of an entity.
    #[command(
        after_help = "Examples:\n  sealward metadata show Mailbox\n  sealward metadata show Mailbox --output json"
    )]
    Show {
        /// Entity, such as Mailbox.
        #[arg(value_name = "ENTITY")]
        entity: String,
    },
    /// Customize an attribute of the organization.
    #[command(after_help = "\
A setting applies to later writes; stored values don't change. Encrypted
attributes can't be customized.

Examples:
  sealward metadata set Mailbox.email_address --audited true --indexed true
  sealward metadata set Mailbox.display_name --display-name 'Shared mailbox' --max-length 80
  sealward metadata set Mailbox.username --required application-required --check
  sealward metadata set Mailbox.display_name --reset display-name,max-length")]
    Set(SetArguments),
    /// List the changes of audited attributes with old and new values, newest first.
    #[command(after_help = "\
Examples:
  sealward metadata changes --limit 20
  sealward metadata changes organizations/default/mailboxes/0865…
  sealward metadata changes Mailbox.email_address --filter 'operation = OPERATION_DELETE' --all")]
    Changes {
        /// Record by full name, or attribute as Entity.attribute [default: the organization].
        #[arg(value_name = "RECORD|ENTITY.ATTRIBUTE")]
        of: Option<String>,
        /// Filter expression, as described in docs/filter.md.
        #[arg(long, value_name = "FILTER", default_value = "", hide_default_value = true)]
        filter: String,
        #[command(flatten)]
        page: PageOptions,
    },
}

/// Arguments of `metadata set`.
#[derive(Args)]
pub(super) struct SetArguments {
    /// Attribute, as Entity.attribute.
    #[arg(value_name = "ENTITY.ATTRIBUTE")]
    attribute: String,
    /// Display name, 1 to 100 characters.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Maximum length of values.
    #[arg(long, value_name = "LENGTH")]
    max_length: Option<i32>,
    /// Whether records must have a value.
    #[arg(long, value_name = "LEVEL", value_enum)]
    required: Option<Level>,
    /// Whether changes are recorded with old and new values.
    #[arg(long, value_name = "BOOLEAN")]
    audited: Option<bool>,
    /// Whether the attribute has an index, which speeds up filters and sorting.
    #[arg(long, value_name = "BOOLEAN")]
    indexed: Option<bool>,
    /// Settings to reset to the schema's values, separated by commas.
    #[arg(long, value_name = "SETTING,…", value_enum, value_delimiter = ',')]
    reset: Vec<Setting>,
    /// Validate the request without changing anything.
    #[arg(long)]
    check: bool,
}

/// Whether records must have a value.
#[derive(Clone, Copy, ValueEnum)]
enum Level {
    /// Optional.
    None,
    /// Required.
    ApplicationRequired,
}

/// A setting of an attribute.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Setting {
    DisplayName,
    MaxLength,
    Required,
    Audited,
    Indexed,
}

impl Setting {
    fn field(self) -> &'static str {
        match self {
            Setting::DisplayName => "display_name",
            Setting::MaxLength => "max_length",
            Setting::Required => "required_level",
            Setting::Audited => "audited",
            Setting::Indexed => "indexed",
        }
    }
}

impl SetArguments {
    /// The update and its mask.
    fn into_update(self, organization: &str) -> Result<(AttributeMetadata, Vec<&'static str>), Failure> {
        let given = [
            (Setting::DisplayName, self.display_name.is_some()),
            (Setting::MaxLength, self.max_length.is_some()),
            (Setting::Required, self.required.is_some()),
            (Setting::Audited, self.audited.is_some()),
            (Setting::Indexed, self.indexed.is_some()),
        ];
        let mut mask = Vec::new();
        for (setting, is_given) in given {
            match (is_given, self.reset.contains(&setting)) {
                (true, true) => {
                    return Err(Failure::usage(format!("{} can't be both set and reset", setting.field())));
                }
                (false, false) => {}
                (true, false) | (false, true) => mask.push(setting.field()),
            }
        }
        if mask.is_empty() {
            return Err(Failure::usage(
                "nothing to change: use an option such as --audited true; --help lists all options",
            ));
        }
        let level = self.required.map(|level| match level {
            Level::None => RequiredLevel::None,
            Level::ApplicationRequired => RequiredLevel::ApplicationRequired,
        });
        let attribute = AttributeMetadata {
            name: attribute_name(organization, &self.attribute)?,
            display_name: self.display_name,
            max_length: self.max_length,
            required_level: level.map(i32::from),
            audited: self.audited,
            indexed: self.indexed,
            ..AttributeMetadata::default()
        };
        Ok((attribute, mask))
    }
}

pub(super) async fn run(command: MetadataCommand, connection: &Connection, output: &Output) -> Result<(), Failure> {
    let organization = connection.organization();
    match command {
        MetadataCommand::List { page } => {
            let client = connection.connect().await?;
            let mut pages = page.start();
            while let Some(next) = pages.next() {
                let page = client.list_entity_metadata(organization.as_str(), next.size, next.token).await?;
                let entities = page.records.iter().map(output::message);
                pages.add(entities.collect(), page.next_page_token, None);
            }
            let columns = vec![last_part("entity", "name"), Column::of("display_name"), Column::of("collection")];
            pages.show("entity_metadata", columns, output)
        }
        MetadataCommand::Show { entity } => {
            let client = connection.connect().await?;
            let name = format!("{organization}/entityMetadata/{entity}");
            let entity = output::message(&client.get_entity_metadata(name).await?);
            show_attributes(&entity, output)
        }
        MetadataCommand::Set(arguments) => {
            let is_check = arguments.check;
            let (attribute, mask) = arguments.into_update(&organization)?;
            let client = connection.connect().await?;
            let updated = client.update_attribute_metadata(attribute, mask, is_check).await?;
            let shown = output.named(&output::message(&updated));
            if is_check {
                shown?;
                stderr::notice("The request is valid. Nothing was changed (dry run).");
            } else {
                shown.map_err(|failure| failure.completed("the metadata was updated"))?;
                stderr::notice("Updated.");
            }
            Ok(())
        }
        MetadataCommand::Changes { of, filter, page } => {
            let parent = match of {
                None => organization,
                Some(record) if record.contains('/') => record,
                Some(attribute) => attribute_name(&organization, &attribute)?,
            };
            let client = connection.connect().await?;
            let mut pages = page.start();
            while let Some(next) = pages.next() {
                let page =
                    client.list_attribute_changes(parent.as_str(), filter.as_str(), next.size, next.token).await?;
                let changes = page.records.iter().map(output::message);
                pages.add(changes.collect(), page.next_page_token, None);
            }
            let columns = vec![
                time(),
                Column::of("identity"),
                operation(),
                Column::of("record"),
                Column::of("attribute"),
                value("old_value"),
                value("new_value"),
            ];
            pages.show("attribute_changes", columns, output)
        }
    }
}

/// `organizations/contoso/entityMetadata/Mailbox/attributes/email_address` of `Mailbox.email_address`.
fn attribute_name(organization: &str, text: &str) -> Result<String, Failure> {
    let (entity, attribute) = text
        .split_once('.')
        .ok_or_else(|| Failure::usage(format!("invalid attribute {text}: use the form Mailbox.email_address")))?;
    Ok(format!("{organization}/entityMetadata/{entity}/attributes/{attribute}"))
}

/// Shows an entity: its attributes as a table, or the server's response as JSON.
fn show_attributes(entity: &Value, output: &Output) -> Result<(), Failure> {
    if output.format() != output::Format::Table {
        return output.named(entity);
    }
    let attributes = entity.get("attributes").and_then(Value::as_array).cloned().unwrap_or_default();
    let short = |field: &'static str, prefix: &'static str| Column {
        heading: field.to_owned(),
        value: Box::new(move |attribute| {
            let full = table::text(field, attribute.get(field).unwrap_or(&Value::Null));
            full.trim_start_matches(prefix).to_ascii_lowercase().replace('_', "-")
        }),
    };
    let columns = vec![
        last_part("attribute", "name"),
        short("type", "TYPE_"),
        Column::of("max_length"),
        short("required_level", "REQUIRED_LEVEL_"),
        Column::of("encrypted"),
        Column::of("audited"),
        Column::of("indexed"),
        Column::of("display_name"),
    ];
    output.list(output::RecordList {
        collection: "attributes",
        records: attributes,
        columns,
        full_columns: 1,
        extra_fields: serde_json::Map::new(),
    })
}

fn last_part(heading: &str, field: &'static str) -> Column {
    let value = move |record: &Value| {
        let name = record.get(field).and_then(Value::as_str).unwrap_or_default();
        name.rsplit_once('/').map_or(name, |(_, last)| last).to_owned()
    };
    Column { heading: heading.to_owned(), value: Box::new(value) }
}

fn time() -> Column {
    let value = |change: &Value| table::time(change.get("time").and_then(Value::as_str).unwrap_or_default());
    Column { heading: "time".to_owned(), value: Box::new(value) }
}

fn operation() -> Column {
    let value = |change: &Value| {
        let full = change.get("operation").and_then(Value::as_str).unwrap_or_default();
        full.trim_start_matches("OPERATION_").to_ascii_lowercase()
    };
    Column { heading: "operation".to_owned(), value: Box::new(value) }
}

/// The value in an AttributeValue; empty if it is absent.
fn value(field: &'static str) -> Column {
    let value = move |change: &Value| {
        let kind = change.get(field).and_then(Value::as_object).and_then(|value| value.iter().next());
        kind.map_or(String::new(), |(name, value)| table::text(name, value))
    };
    Column { heading: field.to_owned(), value: Box::new(value) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        set: SetArguments,
    }

    fn update(line: &str) -> Result<(AttributeMetadata, Vec<&'static str>), Failure> {
        let line = Line::try_parse_from(format!("set {line}").split_whitespace()).unwrap();
        line.set.into_update("organizations/o")
    }

    #[test]
    fn given_settings_are_sent_and_reset_ones_are_named_without_a_value() {
        let (attribute, mask) = update("Mailbox.username --max-length 9 --reset audited,display-name").ok().unwrap();
        assert_eq!(attribute.name, "organizations/o/entityMetadata/Mailbox/attributes/username");
        assert_eq!((attribute.max_length, attribute.audited), (Some(9), None));
        assert_eq!(mask, ["display_name", "max_length", "audited"]);
    }

    #[test]
    fn contradictory_or_empty_update_is_refused() {
        for line in ["Mailbox.username", "Mailbox.username --indexed true --reset indexed", "username --indexed true"] {
            assert!(update(line).is_err(), "{line}");
        }
    }
}
