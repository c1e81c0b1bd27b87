//! Names of the contract in the spelling of the command line: entities as commands, enum values without prefix.

use prost_reflect::{EnumDescriptor, EnumValueDescriptor};
use sealward_client::EntityType;

/// The short names of an enum's values, such as `server_side_sync`.
pub(crate) fn enum_names(kind: &EnumDescriptor) -> Vec<String> {
    let chosen = kind.values().filter(|value| value.number() != 0);
    chosen.map(|value| short_enum_name(kind, value.name())).collect()
}

/// The short name of an enum value: without prefix, in lower case.
pub(crate) fn short_enum_name(kind: &EnumDescriptor, full: &str) -> String {
    full.strip_prefix(&enum_prefix(kind)).unwrap_or(full).to_ascii_lowercase()
}

/// The full name of an enum value from its full name, short name or Dynamics 365 number. The enum's own numbers differ from those numbers,
/// and aren't accepted.
pub(crate) fn enum_value(kind: &EnumDescriptor, given: &str) -> Option<String> {
    if let Ok(number) = given.parse::<i32>() {
        return kind.values().find(|value| option_number(value) == Some(number)).map(|value| value.name().to_owned());
    }
    let given = given.to_ascii_uppercase().replace('-', "_");
    let full = format!("{}{given}", enum_prefix(kind));
    kind.values().find(|value| value.name() == given || value.name() == full).map(|value| value.name().to_owned())
}

/// The Dynamics 365 number of an enum value.
fn option_number(value: &EnumValueDescriptor) -> Option<i32> {
    let options = value.options();
    let mut extensions = options.extensions();
    let is_option = |full_name: &str| full_name.strip_prefix(sealward::SCHEMA_PACKAGE) == Some(".option");
    extensions.find(|(extension, _)| is_option(extension.full_name()))?.1.as_i32()
}

/// The common prefix of the value names: `STATE_CODE_` for StateCode.
fn enum_prefix(kind: &EnumDescriptor) -> String {
    let mut prefix = String::new();
    for character in kind.name().chars() {
        if character.is_ascii_uppercase() && !prefix.is_empty() {
            prefix.push('_');
        }
        prefix.push(character.to_ascii_uppercase());
    }
    prefix + "_"
}

/// The command of an entity, such as `email-server-profile`.
pub(crate) fn command_name(entity: &EntityType) -> String {
    entity.options.singular.replace('_', "-")
}
