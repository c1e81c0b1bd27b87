//! The attributes of an entity in `--help`, with their descriptions from the contract.

use prost_reflect::Kind;
use sealward_client::{AttributeType, EntityType};

use crate::{input::record::Operation, naming::enum_names};

/// The attributes that a caller can set, with type and description.
pub(super) fn attributes(entity: &EntityType, operation: Operation) -> String {
    let writable = entity.attributes.iter().filter(|attribute| {
        let options = &attribute.options;
        let is_valid = match operation {
            Operation::Create | Operation::Import => !options.not_valid_for_create,
            Operation::Update => !options.not_valid_for_update && !options.immutable,
        };
        is_valid && !options.output_only && options.reports_set.is_empty()
    });
    let line = |attribute: &AttributeType| {
        let mut line = format!("  {}: {}\n      {}", attribute.name(), type_text(attribute), attribute.description);
        let cleared = cleared_by(entity, attribute.name());
        if operation == Operation::Update && !cleared.is_empty() {
            let names = cleared.join(" and ");
            line.push_str(&format!("\n      A change clears {names}, unless the same update sets a value."));
        }
        line
    };
    let lines: Vec<String> = writable.map(line).collect();
    format!("Attributes:\n{}", lines.join("\n"))
}

/// The encrypted attributes that a change of this attribute clears, because it changes the server that gets their values.
fn cleared_by<'a>(entity: &'a EntityType, name: &str) -> Vec<&'a str> {
    let sent = entity.attributes.iter().filter(|other| other.options.sent_to.iter().any(|to| to == name));
    sent.map(AttributeType::name).collect()
}

fn type_text(attribute: &AttributeType) -> String {
    let options = &attribute.options;
    let mut text = match attribute.field.kind() {
        Kind::String if options.uuid => "UUID".to_owned(),
        Kind::String if options.multi_line => "text, may have several lines".to_owned(),
        Kind::String => "text".to_owned(),
        Kind::Bytes => "bytes in base64".to_owned(),
        Kind::Bool => "true or false".to_owned(),
        Kind::Enum(kind) => format!("one of {}", enum_names(&kind).join(", ")),
        Kind::Message(_) => "time, such as 2026-01-31T12:00:00Z".to_owned(),
        Kind::Double
        | Kind::Float
        | Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64 => "number".to_owned(),
    };
    if options.encrypted {
        text.push_str("; encrypted, set with --secret");
    }
    if !options.deprecated_for.is_empty() {
        text.push_str(&format!("; deprecated, use {}", options.deprecated_for));
    }
    text
}

#[cfg(test)]
mod tests {
    use sealward_client::built_in_pool;

    use super::*;

    #[test]
    fn only_settable_attributes_are_listed() {
        let mailbox = &EntityType::all(&built_in_pool()).unwrap()[1];
        let create = attributes(mailbox, Operation::Create);
        assert!(create.contains("  password: text; encrypted, set with --secret\n      The password"), "{create}");
        assert!(create.contains("  status_code: one of active, inactive\n"), "{create}");
        assert!(!create.contains("is_password_set:") && !create.contains("enabled_for_act:"), "{create}");
        assert!(attributes(mailbox, Operation::Update).contains("enabled_for_act:"));
    }

    #[test]
    fn update_help_names_the_passwords_that_a_change_clears() {
        let profile = &EntityType::all(&built_in_pool()).unwrap()[0];
        let update = attributes(profile, Operation::Update);
        let expected = "A change clears incoming_password, unless the same update sets a value.";
        // The lines of one attribute: its name is indented by two spaces, its description by more.
        let help_of = |name: &str| {
            let (_, after) = update.split_once(&format!("\n  {name}: ")).unwrap();
            after.lines().take_while(|line| !line.starts_with("  ") || line.starts_with("   ")).collect::<String>()
        };
        assert!(help_of("incoming_port_number").contains(expected), "{update}");
        assert!(!help_of("description").contains("clears"), "{update}");
        assert!(!attributes(profile, Operation::Create).contains("A change clears"));
    }
}
