//! How the command line spells names of the contract: entities as commands, values of enums as short words.

use prost_reflect::{EnumDescriptor, EnumValueDescriptor};
use sealward_client::EntityType;

/// The values of an option set, as short as they are unambiguous: `server_side_sync`.
pub(crate) fn enum_names(kind: &EnumDescriptor) -> Vec<String> {
    let chosen = kind.values().filter(|value| value.number() != 0);
    chosen.map(|value| short_enum_name(kind, value.name())).collect()
}

/// A value's full name as short as it is unambiguous.
pub(crate) fn short_enum_name(kind: &EnumDescriptor, full: &str) -> String {
    full.strip_prefix(&enum_prefix(kind)).unwrap_or(full).to_ascii_lowercase()
}

/// The full name of a value that was given in full, short, or by its number in Dynamics 365. The enum's own numbers mean other values, and
/// nobody sees them here.
pub(crate) fn enum_value(kind: &EnumDescriptor, given: &str) -> Option<String> {
    if let Ok(number) = given.parse::<i32>() {
        return kind.values().find(|value| option_number(value) == Some(number)).map(|value| value.name().to_owned());
    }
    let given = given.to_ascii_uppercase().replace('-', "_");
    let full = format!("{}{given}", enum_prefix(kind));
    kind.values().find(|value| value.name() == given || value.name() == full).map(|value| value.name().to_owned())
}

/// The number that Dynamics 365 has for a value.
fn option_number(value: &EnumValueDescriptor) -> Option<i32> {
    let options = value.options();
    let mut extensions = options.extensions();
    let is_option = |full_name: &str| full_name.strip_prefix(sealward::SCHEMA_PACKAGE) == Some(".option");
    extensions.find(|(extension, _)| is_option(extension.full_name()))?.1.as_i32()
}

/// What every value's name begins with: `STATE_CODE_` for StateCode.
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

/// What the entity's commands stand under: `email-server-profile`.
pub(crate) fn command_name(entity: &EntityType) -> String {
    entity.options.singular.replace('_', "-")
}
