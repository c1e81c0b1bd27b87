//! `metadata`: attributes as an organization has them, and what audited ones recorded.

use clap::{Args, Subcommand, ValueEnum};
use sealward_client::v1::{AttributeMetadata, attribute_metadata::RequiredLevel};
use serde_json::Value;

use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Column, Output},
    pages::PageOptions,
    stderr, table,
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
    /// Show the attributes of an entity: types, lengths, what must be given, what is encrypted, audited and indexed.
    #[command(
        after_help = "Examples:\n  sealward metadata show Mailbox\n  sealward metadata show Mailbox --output json"
    )]
    Show {
        /// The entity.
        #[arg(value_name = "ENTITY")]
        entity: String,
    },
    /// Choose for an attribute of the organization: its name for people, its greatest length, whether it is required, audited, indexed.
    #[command(after_help = "\
A choice counts for every write from then on; what is stored stays as it is. Nothing can be chosen for an encrypted attribute.

Examples:
  sealward metadata set Mailbox.email_address --audited true --indexed true
  sealward metadata set Mailbox.display_name --display-name 'Shared mailbox' --max-length 80
  sealward metadata set Mailbox.username --required application-required --check
  sealward metadata set Mailbox.display_name --reset display-name,max-length")]
    Set(SetArguments),
    /// List the changes of audited attributes, the newest first, with old and new values.
    #[command(after_help = "\
Examples:
  sealward metadata changes --limit 20
  sealward metadata changes organizations/default/mailboxes/0865…
  sealward metadata changes Mailbox.email_address --filter 'operation = OPERATION_DELETE' --all")]
    Changes {
        /// Of a record, by its name, or of an attribute, as Entity.attribute. Default: all of --organization.
        #[arg(value_name = "OF")]
        of: Option<String>,
        /// Which changes; docs/filter.md has the language.
        #[arg(long, value_name = "FILTER", default_value = "", hide_default_value = true)]
        filter: String,
        #[command(flatten)]
        page: PageOptions,
    },
}

/// What to choose.
#[derive(Args)]
pub(super) struct SetArguments {
    /// The attribute, as Entity.attribute.
    #[arg(value_name = "ENTITY.ATTRIBUTE")]
    attribute: String,
    /// Its name for people, 1 to 100 characters.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// The greatest length of its values.
    #[arg(long, value_name = "LENGTH")]
    max_length: Option<i32>,
    /// Whether a record must have a value.
    #[arg(long, value_name = "LEVEL", value_enum)]
    required: Option<Level>,
    /// Whether to record each change, with old and new value.
    #[arg(long, value_name = "BOOLEAN")]
    audited: Option<bool>,
    /// Whether to have an index, which lists that filter or order by it use.
    #[arg(long, value_name = "BOOLEAN")]
    indexed: Option<bool>,
    /// What to have as in the schema again, joined by commas.
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    reset: Vec<Changeable>,
    /// Only check whether it is possible.
    #[arg(long)]
    check: bool,
}

/// Whether a record must have a value.
#[derive(Clone, Copy, ValueEnum)]
enum Level {
    /// It need not.
    None,
    /// It must.
    ApplicationRequired,
}

/// What can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Changeable {
    DisplayName,
    MaxLength,
    Required,
    Audited,
    Indexed,
}

impl Changeable {
    fn field(self) -> &'static str {
        match self {
            Changeable::DisplayName => "display_name",
            Changeable::MaxLength => "max_length",
            Changeable::Required => "required_level",
            Changeable::Audited => "audited",
            Changeable::Indexed => "indexed",
        }
    }
}

impl SetArguments {
    /// What is to be changed, and which fields of it.
    fn into_update(self, organization: &str) -> Result<(AttributeMetadata, Vec<&'static str>), Failure> {
        let given = [
            (Changeable::DisplayName, self.display_name.is_some()),
            (Changeable::MaxLength, self.max_length.is_some()),
            (Changeable::Required, self.required.is_some()),
            (Changeable::Audited, self.audited.is_some()),
            (Changeable::Indexed, self.indexed.is_some()),
        ];
        let mut mask = Vec::new();
        for (what, is_given) in given {
            match (is_given, self.reset.contains(&what)) {
                (true, true) => {
                    return Err(Failure::usage(format!("{} is both given and reset", what.field())));
                }
                (false, false) => {}
                (true, false) | (false, true) => mask.push(what.field()),
            }
        }
        if mask.is_empty() {
            return Err(Failure::usage("say what to change: --audited true, for example; --help has all"));
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
            let mut pages = page.begin();
            while let Some(next) = pages.next() {
                let page = client.list_entity_metadata(organization.as_str(), next.size, next.token).await?;
                let entities = page.records.iter().map(output::message);
                pages.take(entities.collect(), page.next_page_token, None);
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
                stderr::notice("The request is valid. Nothing was changed.");
            } else {
                shown.map_err(|failure| failure.done("the metadata is updated"))?;
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
            let mut pages = page.begin();
            while let Some(next) = pages.next() {
                let page =
                    client.list_attribute_changes(parent.as_str(), filter.as_str(), next.size, next.token).await?;
                let changes = page.records.iter().map(output::message);
                pages.take(changes.collect(), page.next_page_token, None);
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
        .ok_or_else(|| Failure::usage("name an attribute as Entity.attribute: Mailbox.email_address"))?;
    Ok(format!("{organization}/entityMetadata/{entity}/attributes/{attribute}"))
}

/// An entity's attributes, one a line; as JSON, the entity as it was answered.
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
    output.list(output::Listed {
        collection: "attributes",
        records: attributes,
        columns,
        whole: 1,
        more: serde_json::Map::new(),
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

/// What is in an AttributeValue; nothing if it is absent.
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
    fn what_is_given_is_changed_and_what_is_reset_is_named_and_absent() {
        let (attribute, mask) = update("Mailbox.username --max-length 9 --reset audited,display-name").ok().unwrap();
        assert_eq!(attribute.name, "organizations/o/entityMetadata/Mailbox/attributes/username");
        assert_eq!((attribute.max_length, attribute.audited), (Some(9), None));
        assert_eq!(mask, ["display_name", "max_length", "audited"]);
    }

    #[test]
    fn what_contradicts_itself_or_says_nothing_is_refused() {
        for line in ["Mailbox.username", "Mailbox.username --indexed true --reset indexed", "username --indexed true"] {
            assert!(update(line).is_err(), "{line}");
        }
    }
}
