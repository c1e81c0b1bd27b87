//! What `--help` says about the attributes of an entity, in the contract's own words.

use prost_reflect::Kind;
use sealward_client::{AttributeType, EntityType};

use crate::{record::Purpose, spelling::enum_names};

/// The attributes that a caller can give, one after the other, with their form and what the contract says.
pub(crate) fn attributes(entity: &EntityType, purpose: Purpose) -> String {
    let writable = entity.attributes.iter().filter(|attribute| {
        let options = &attribute.options;
        let is_valid = match purpose {
            Purpose::Create => !options.not_valid_for_create,
            Purpose::Update => !options.not_valid_for_update && !options.immutable,
        };
        is_valid && !options.output_only && options.reports_set.is_empty()
    });
    let line = |attribute: &AttributeType| {
        let mut line = format!("  {}: {}\n      {}", attribute.name(), form(attribute), attribute.description);
        let cleared = sent_to(entity, attribute.name());
        if purpose == Purpose::Update && !cleared.is_empty() {
            let names = cleared.join(" and ");
            line.push_str(&format!("\n      Changing it clears {names}, unless the same update sets it again."));
        }
        line
    };
    let lines: Vec<String> = writable.map(line).collect();
    format!("Attributes:\n{}", lines.join("\n"))
}

/// The encrypted attributes whose values are sent to where this attribute says.
fn sent_to<'a>(entity: &'a EntityType, name: &str) -> Vec<&'a str> {
    let sent = entity.attributes.iter().filter(|other| other.options.sent_to.iter().any(|to| to == name));
    sent.map(AttributeType::name).collect()
}

fn form(attribute: &AttributeType) -> String {
    let options = &attribute.options;
    let mut form = match attribute.field.kind() {
        Kind::String if options.uuid => "UUID".to_owned(),
        Kind::String if options.multi_line => "text, several lines if need be".to_owned(),
        Kind::String => "text".to_owned(),
        Kind::Bytes => "bytes, in base64".to_owned(),
        Kind::Bool => "true or false".to_owned(),
        Kind::Enum(kind) => format!("one of {}", enum_names(&kind).join(", ")),
        Kind::Message(_) => "a time, as in 2026-01-31T12:00:00Z".to_owned(),
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
        | Kind::Sfixed64 => "a number".to_owned(),
    };
    if options.encrypted {
        form = format!("{form}; encrypted, so given with --secret");
    }
    if !options.deprecated_for.is_empty() {
        form = format!("{form}; {} has taken its place", options.deprecated_for);
    }
    form
}

#[cfg(test)]
mod tests {
    use sealward_client::built_in_pool;

    use super::*;

    #[test]
    fn what_can_be_given_is_listed_and_what_cannot_is_not() {
        let mailbox = &EntityType::all(&built_in_pool()).unwrap()[1];
        let create = attributes(mailbox, Purpose::Create);
        assert!(create.contains("  password: text; encrypted, so given with --secret\n      The password"), "{create}");
        assert!(create.contains("  status_code: one of active, inactive\n"), "{create}");
        assert!(!create.contains("is_password_set:") && !create.contains("enabled_for_act:"), "{create}");
        assert!(attributes(mailbox, Purpose::Update).contains("enabled_for_act:"));
    }

    #[test]
    fn update_help_says_which_passwords_a_change_clears() {
        let profile = &EntityType::all(&built_in_pool()).unwrap()[0];
        let update = attributes(profile, Purpose::Update);
        let words = "Changing it clears incoming_password, unless the same update sets it again.";
        // An attribute's own lines: its name is indented by two blanks, what is said of it by more.
        let of = |name: &str| {
            let (_, after) = update.split_once(&format!("\n  {name}: ")).unwrap();
            after.lines().take_while(|line| !line.starts_with("  ") || line.starts_with("   ")).collect::<String>()
        };
        assert!(of("incoming_port_number").contains(words), "{update}");
        assert!(!of("description").contains("clears"), "{update}");
        assert!(!attributes(profile, Purpose::Create).contains("Changing it clears"));
    }
}
