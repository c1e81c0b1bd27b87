//! The API of Sealward as Rust: messages, clients and servers generated from `proto/sealward`, and the descriptor set that
//! also is the schema of the mail entities.
//!
//! Messages that carry a secret print as their name only. Nothing here knows what the messages mean.

/// Everything in the package `sealward.v1`: the platform, which is served with any schema.
#[allow(missing_docs, clippy::disallowed_methods, reason = "generated; the comments of the contract document it")]
pub mod v1 {
    tonic::include_proto!("sealward.v1");
    include!(concat!(env!("OUT_DIR"), "/sealward.v1.debug.rs"));
}

/// The mail application.
pub mod mail {
    /// Everything in the package [`MAIL_PACKAGE`](super::MAIL_PACKAGE): mailboxes and what belongs to them.
    #[allow(missing_docs, clippy::disallowed_methods, reason = "generated; the comments of the contract document it")]
    pub mod v1 {
        tonic::include_proto!("sealward.mail.v1");
        include!(concat!(env!("OUT_DIR"), "/sealward.mail.v1.debug.rs"));
    }
}

/// Everything in the package [`SCHEMA_PACKAGE`].
pub mod schema {
    /// The messages of the options that turn messages of the contract into entities.
    #[allow(missing_docs, reason = "generated; the comments of the contract document it")]
    pub mod v1 {
        tonic::include_proto!("sealward.schema.v1");
    }
}

/// The package of the options that turn messages of the contract into entities.
pub const SCHEMA_PACKAGE: &str = "sealward.schema.v1";

/// The package of the platform.
pub const PLATFORM_PACKAGE: &str = "sealward.v1";

/// The package of the mail application.
pub const MAIL_PACKAGE: &str = "sealward.mail.v1";

/// The encoded `google.protobuf.FileDescriptorSet` of the platform without any application: imports, comments and Sealward's own options
/// included.
pub const PLATFORM_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/platform.descriptors.bin"));

/// The encoded `google.protobuf.FileDescriptorSet` of the whole contract, the mail application included.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sealward.descriptors.bin"));

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use std::collections::BTreeSet;

    use prost_reflect::{
        DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
    };

    use super::*;

    fn pool() -> DescriptorPool {
        DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap()
    }

    /// The value of one of our options, if it is given.
    fn option(options: &DynamicMessage, name: &str) -> Option<Value> {
        let extension =
            options.descriptor().parent_pool().get_extension_by_name(&format!("{SCHEMA_PACKAGE}.{name}")).unwrap();
        options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
    }

    fn attribute(field: &FieldDescriptor) -> Option<DynamicMessage> {
        option(&field.options(), "attribute").map(|value| value.as_message().unwrap().clone())
    }

    fn flag(attribute: &DynamicMessage, name: &str) -> bool {
        attribute.get_field_by_name(name).unwrap().as_bool().unwrap()
    }

    fn text(attribute: &DynamicMessage, name: &str) -> String {
        attribute.get_field_by_name(name).unwrap().as_str().unwrap().to_owned()
    }

    fn entities(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
        pool.all_messages().filter(|message| option(&message.options(), "entity").is_some()).collect()
    }

    /// Every attribute of every entity, with its options, under a name such as `Mailbox.password`.
    fn attributes(pool: &DescriptorPool) -> Vec<(String, FieldDescriptor, DynamicMessage)> {
        let fields = entities(pool).into_iter().flat_map(|entity| entity.fields().collect::<Vec<_>>());
        fields
            .filter_map(|field| {
                let name = format!("{}.{}", field.parent_message().name(), field.name());
                attribute(&field).map(|attribute| (name, field, attribute))
            })
            .collect()
    }

    #[test]
    fn the_entities_and_the_services_that_serve_them_are_in_the_descriptor_set() {
        let pool = pool();
        let names: BTreeSet<_> = entities(&pool).iter().map(|entity| entity.full_name().to_owned()).collect();
        let served: BTreeSet<_> = pool
            .services()
            .filter_map(|service| option(&service.options(), "entity_service"))
            .map(|entity| entity.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            names,
            ["EmailServerProfile", "Mailbox", "Queue", "UserSettings"]
                .map(|name| format!("{MAIL_PACKAGE}.{name}"))
                .into()
        );
        assert_eq!(served, names);
    }

    /// The Go module that the generated packages are in: the one name to settle before clients are published, here and in every file.
    const GO_MODULE: &str = "github.com/sealward/sealward/clients/go";

    /// Objective-C has no packages, so that each of ours has a prefix of its own.
    const OBJC_PREFIXES: [(&str, &str); 3] =
        [(PLATFORM_PACKAGE, "SLW"), (MAIL_PACKAGE, "SLWM"), (SCHEMA_PACKAGE, "SLWS")];

    #[test]
    fn every_file_names_its_package_in_each_language() {
        let mut packages = BTreeSet::new();
        for file in pool().files().filter(|file| file.package_name().starts_with("sealward.")) {
            let package = file.package_name();
            let (_, objc_prefix) = OBJC_PREFIXES.into_iter().find(|(name, _)| *name == package).unwrap();
            let words: Vec<&str> = package.split('.').collect();
            let upper: Vec<_> = words.iter().map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect();
            for (option, expected) in [
                ("csharp_namespace", Value::String(upper.join("."))),
                ("go_package", Value::String(format!("{GO_MODULE}/{};{}", words.join("/"), words.concat()))),
                ("java_multiple_files", Value::Bool(true)),
                ("java_package", Value::String(package.to_owned())),
                ("objc_class_prefix", Value::String(objc_prefix.to_owned())),
                ("php_namespace", Value::String(upper.join("\\"))),
                ("ruby_package", Value::String(upper.join("::"))),
            ] {
                assert_eq!(*file.options().get_field_by_name(option).unwrap(), expected, "{}: {option}", file.name());
            }
            packages.insert(package.to_owned());
        }
        assert_eq!(packages.len(), OBJC_PREFIXES.len());
    }

    #[test]
    fn the_platform_stands_without_the_mail_application() {
        let platform = DescriptorPool::decode(PLATFORM_DESCRIPTOR_SET).unwrap();
        let packages: BTreeSet<_> = platform.files().map(|file| file.package_name().to_owned()).collect();
        assert_eq!(packages, ["google.protobuf", PLATFORM_PACKAGE, SCHEMA_PACKAGE].map(str::to_owned).into());
        assert!(entities(&platform).is_empty());
        let of = |pool: &DescriptorPool| -> BTreeSet<String> {
            let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
            methods.map(|method| method.full_name().to_owned()).collect()
        };
        let of_the_platform = of(&pool()).into_iter().filter(|name| !name.starts_with(MAIL_PACKAGE)).collect();
        assert_eq!(of(&platform), of_the_platform);
    }

    #[test]
    fn every_service_of_an_entity_has_the_five_standard_methods() {
        for service in pool().services() {
            let Some(entity) = option(&service.options(), "entity_service") else { continue };
            let entity = pool().get_message_by_name(entity.as_str().unwrap()).unwrap();
            let options = option(&entity.options(), "entity").unwrap();
            let collection = text(options.as_message().unwrap(), "collection");
            let (first, rest) = collection.split_at(1);
            let name = entity.name();
            let expected = [
                format!("Create{name}"),
                format!("Get{name}"),
                format!("List{}{rest}", first.to_uppercase()),
                format!("Update{name}"),
                format!("Delete{name}"),
            ];
            let methods: Vec<_> = service.methods().map(|method| method.name().to_owned()).collect();
            assert_eq!(methods, expected);
        }
    }

    #[test]
    fn the_five_encrypted_attributes_are_redacted_and_each_has_its_report() {
        let pool = pool();
        let all = attributes(&pool);
        let encrypted: BTreeSet<_> = all
            .iter()
            .filter(|(_, _, attribute)| flag(attribute, "encrypted"))
            .map(|(name, _, _)| name.as_str())
            .collect();
        assert_eq!(
            encrypted,
            BTreeSet::from([
                "EmailServerProfile.incoming_password",
                "EmailServerProfile.outgoing_password",
                "Mailbox.password",
                "Queue.email_password",
                "UserSettings.email_password",
            ])
        );
        let reported: BTreeSet<_> = all
            .iter()
            .filter(|(_, _, attribute)| !text(attribute, "reports_set").is_empty())
            .map(|(_, field, attribute)| {
                assert_eq!(field.name(), format!("is_{}_set", text(attribute, "reports_set")));
                assert!(flag(attribute, "output_only") && field.kind() == Kind::Bool, "{}", field.full_name());
                format!("{}.{}", field.parent_message().name(), text(attribute, "reports_set"))
            })
            .collect();
        assert_eq!(reported, encrypted.iter().map(|name| (*name).to_owned()).collect());
        for (name, field, attribute) in &all {
            let redacted = field.options().get_field_by_name("debug_redact").unwrap().as_bool().unwrap();
            assert_eq!(redacted, flag(attribute, "encrypted"), "{name}");
        }
    }

    #[test]
    fn every_attribute_has_presence_and_every_other_field_is_one_every_entity_has() {
        for entity in entities(&pool()) {
            let mut others = Vec::new();
            for field in entity.fields() {
                match attribute(&field) {
                    Some(_) => assert!(field.supports_presence(), "{}", field.full_name()),
                    None => others.push(field.name().to_owned()),
                }
            }
            let of_every_entity = ["name", "etag", "create_time", "update_time", "created_by", "modified_by"];
            let (common, rest) = others.split_at(of_every_entity.len());
            assert_eq!(common, of_every_entity, "{}", entity.full_name());
            // Only the answer to an update has it, where values can be sent elsewhere.
            assert!(rest.iter().all(|name| name == "cleared_attributes"), "{}: {rest:?}", entity.full_name());
        }
    }

    #[test]
    fn what_an_attribute_names_exists() {
        let pool = pool();
        let all = attributes(&pool);
        let names: BTreeSet<_> = all.iter().map(|(name, _, _)| name.clone()).collect();
        for (name, field, attribute) in &all {
            let successor = text(attribute, "deprecated_for");
            assert!(successor.is_empty() || names.contains(&successor), "{name}: {successor}");
            let default = attribute.get_field_by_name("default").unwrap();
            if let (Kind::Enum(kind), true) = (field.kind(), attribute.has_field_by_name("default")) {
                let value = text(default.as_message().unwrap(), "enum_value");
                assert!(kind.get_value_by_name(&value).is_some(), "{name}: {value}");
            }
        }
    }

    #[test]
    fn every_value_of_an_option_set_but_the_first_has_the_number_of_the_original() {
        let pool = pool();
        for (name, field, _) in attributes(&pool) {
            let Kind::Enum(kind) = field.kind() else { continue };
            let mut numbers = BTreeSet::new();
            for value in kind.values() {
                match option(&value.options(), "option") {
                    Some(number) => assert!(numbers.insert(number.as_i32().unwrap()), "{name}: {} twice", value.name()),
                    None => assert_eq!(value.number(), 0, "{name}: {} has no number", value.name()),
                }
            }
        }
    }

    #[test]
    fn every_method_says_who_may_call_it_how_it_fails_and_whether_it_is_safe_to_repeat() {
        let mut methods = 0;
        for method in pool().services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let file = method.parent_file();
            let locations = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
            let comment = locations.filter(|location| location.path == method.path()).find_map(|location| {
                location
                    .leading_comments
                    .as_ref()
                    .map(|text| text.lines().map(str::trim).collect::<Vec<_>>().join("\n"))
            });
            let comment = comment.unwrap_or_default();
            for begins in
                [&["Callers: "][..], &["Errors: ", "Errors beside "], &["Safe to repeat", "Not safe to repeat"]]
            {
                let paragraphs =
                    comment.split("\n\n").filter(|text| begins.iter().any(|begin| text.starts_with(begin)));
                assert_eq!(paragraphs.count(), 1, "{}: {begins:?}", method.full_name());
            }
            methods += 1;
        }
        assert!(methods > 20);
    }

    #[test]
    fn every_write_of_a_record_can_be_checked_and_repeated() {
        for service in pool().services().filter(|service| option(&service.options(), "entity_service").is_some()) {
            for method in service.methods() {
                let is_write = ["Create", "Update", "Delete"].iter().any(|verb| method.name().starts_with(verb));
                let kind = |field| method.input().get_field_by_name(field).map(|field| field.kind());
                let kinds = (kind("validate_only"), kind("request_id"));
                let expected = if is_write { (Some(Kind::Bool), Some(Kind::String)) } else { (None, None) };
                assert_eq!(kinds, expected, "{}", method.full_name());
            }
        }
    }

    #[test]
    fn debug_of_a_message_with_a_secret_shows_its_name_only() {
        let secret = || Some("canary-1".to_owned());
        let mailbox = mail::v1::Mailbox { password: secret(), ..Default::default() };
        let request = mail::v1::CreateMailboxRequest { mailbox: Some(mailbox.clone()), ..Default::default() };
        let set = v1::SetDataEncryptionKeyRequest { encryption_key: "canary-1".to_owned(), ..Default::default() };
        let value = v1::SecretValue { value: Some(v1::secret_value::Value::Text("canary-1".to_owned())) };
        assert_eq!(format!("{mailbox:?}"), "Mailbox { .. }");
        assert_eq!(format!("{request:?}"), "CreateMailboxRequest { .. }");
        assert_eq!(format!("{set:?}"), "SetDataEncryptionKeyRequest { .. }");
        assert_eq!(format!("{value:?} {:?}", value.value), "SecretValue { .. } Some(Value { .. })");
        assert_eq!(format!("{:?}", mail::v1::mailbox::StateCode::Active), "STATE_CODE_ACTIVE");
    }
}
