//! The API of Sealward in Rust: messages, clients and servers that are generated from `proto/sealward`, and the descriptor set,
//! which is also the schema of the mail entities.
//!
//! `Debug` of a message with a secret prints only its name. Nothing here knows the meaning of the messages.

pub mod codec;
#[cfg(test)]
#[path = "../build/methods.rs"]
mod declared_methods;
pub mod options;

/// The package `sealward.v1`: the platform, which is served with any schema.
#[allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::doc_overindented_list_items,
    reason = "generated; the comments of the contract document it"
)]
pub mod v1 {
    tonic::include_proto!("sealward.v1");
    include!(concat!(env!("OUT_DIR"), "/sealward.v1.debug.rs"));
}

/// The mail application.
pub mod mail {
    /// The package [`MAIL_PACKAGE`](super::MAIL_PACKAGE): mailboxes and related entities.
    #[allow(
        missing_docs,
        clippy::disallowed_methods,
        clippy::doc_overindented_list_items,
        reason = "generated; the comments of the contract document it"
    )]
    pub mod v1 {
        tonic::include_proto!("sealward.mail.v1");
        include!(concat!(env!("OUT_DIR"), "/sealward.mail.v1.debug.rs"));
    }
}

/// The package [`SCHEMA_PACKAGE`].
pub mod schema {
    /// The messages of the options that turn messages of the contract into entities.
    #[allow(
        missing_docs,
        clippy::doc_overindented_list_items,
        reason = "generated; the comments of the contract document it"
    )]
    pub mod v1 {
        tonic::include_proto!("sealward.schema.v1");
    }
}

/// A constant for every method of the contract, with the name of the method.
#[allow(non_upper_case_globals, reason = "generated; a constant has the name of its method")]
pub mod methods {
    /// A method of the contract.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Method {
        /// `/sealward.mail.v1.MailboxService/GetMailbox`.
        pub path: &'static str,
        /// Whether any call can be repeated: the `idempotency_level` is NO_SIDE_EFFECTS or IDEMPOTENT.
        pub is_idempotent: bool,
    }

    include!(concat!(env!("OUT_DIR"), "/sealward.methods.rs"));
}

/// The package of the options that turn messages of the contract into entities.
pub const SCHEMA_PACKAGE: &str = "sealward.schema.v1";

/// The package of the platform.
pub const PLATFORM_PACKAGE: &str = "sealward.v1";

/// The package of the mail application.
pub const MAIL_PACKAGE: &str = "sealward.mail.v1";

/// The encoded `google.protobuf.FileDescriptorSet` of the platform without any application, including imports, comments and Sealward's
/// own options.
pub const PLATFORM_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/platform.descriptors.bin"));

/// The encoded `google.protobuf.FileDescriptorSet` of the whole contract, including the mail application.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sealward.descriptors.bin"));

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::collections::BTreeSet;

    use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, Value};

    use super::*;
    use crate::{
        declared_methods::declared_methods,
        options::Idempotency,
        schema::v1::{Attribute, default_value},
    };

    fn pool() -> DescriptorPool {
        DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap()
    }

    fn entities(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
        pool.all_messages().filter(|message| options::entity(message).unwrap().is_some()).collect()
    }

    /// Returns every attribute of every entity, with its name (`Mailbox.password`) and options.
    fn attributes(pool: &DescriptorPool) -> Vec<(String, FieldDescriptor, Attribute)> {
        let fields = entities(pool).into_iter().flat_map(|entity| entity.fields().collect::<Vec<_>>());
        fields
            .filter_map(|field| {
                let name = format!("{}.{}", field.parent_message().name(), field.name());
                options::attribute(&field).unwrap().map(|attribute| (name, field, attribute))
            })
            .collect()
    }

    #[test]
    fn descriptor_set_has_the_entities_and_their_services() {
        let pool = pool();
        let names: BTreeSet<_> = entities(&pool).iter().map(|entity| entity.full_name().to_owned()).collect();
        let served: BTreeSet<_> =
            pool.services().filter_map(|service| options::entity_service(&service).unwrap()).collect();
        assert_eq!(
            names,
            ["EmailServerProfile", "Mailbox", "Queue", "UserSettings"]
                .map(|name| format!("{MAIL_PACKAGE}.{name}"))
                .into()
        );
        assert_eq!(served, names);
    }

    /// The Go module of the generated packages. It must be decided before clients are published, here and in every file.
    const GO_MODULE: &str = "github.com/sealward/sealward/clients/go";

    /// The prefix of each package in Java, where the name of a package begins with a reversed domain.
    const JAVA_PREFIX: &str = "io";

    /// The prefix of each package in Objective-C, which has no packages.
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
                ("java_package", Value::String(format!("{JAVA_PREFIX}.{package}"))),
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
    fn platform_descriptor_set_omits_the_mail_application() {
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
    fn every_service_of_an_entity_has_the_standard_methods() {
        for service in pool().services() {
            let Some(entity) = options::entity_service(&service).unwrap() else { continue };
            let entity = pool().get_message_by_name(&entity).unwrap();
            let collection = options::entity(&entity).unwrap().unwrap().collection;
            let (first, rest) = collection.split_at(1);
            let (name, plural) = (entity.name(), format!("{}{rest}", first.to_uppercase()));
            let expected = [
                format!("Create{name}"),
                format!("Get{name}"),
                format!("List{plural}"),
                format!("Update{name}"),
                format!("Delete{name}"),
                format!("BatchGet{plural}"),
                format!("BatchCreate{plural}"),
                format!("BatchUpdate{plural}"),
                format!("BatchDelete{plural}"),
                format!("Import{plural}"),
            ];
            let methods: Vec<_> = service.methods().map(|method| method.name().to_owned()).collect();
            assert_eq!(methods, expected);
        }
    }

    #[test]
    fn encrypted_attributes_are_redacted_and_each_has_its_report() {
        let pool = pool();
        let all = attributes(&pool);
        let encrypted: BTreeSet<_> =
            all.iter().filter(|(_, _, attribute)| attribute.encrypted).map(|(name, _, _)| name.as_str()).collect();
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
            .filter(|(_, _, attribute)| !attribute.reports_set.is_empty())
            .map(|(_, field, attribute)| {
                assert_eq!(field.name(), format!("is_{}_set", attribute.reports_set));
                assert!(attribute.output_only && field.kind() == Kind::Bool, "{}", field.full_name());
                format!("{}.{}", field.parent_message().name(), attribute.reports_set)
            })
            .collect();
        assert_eq!(reported, encrypted.iter().map(|name| (*name).to_owned()).collect());
        for (name, field, attribute) in &all {
            assert_eq!(options::is_secret(field), attribute.encrypted, "{name}");
        }
    }

    #[test]
    fn attributes_have_presence_and_other_fields_are_system_fields() {
        for entity in entities(&pool()) {
            let mut others = Vec::new();
            for field in entity.fields() {
                match options::attribute(&field).unwrap() {
                    Some(_) => assert!(field.supports_presence(), "{}", field.full_name()),
                    None => others.push(field.name().to_owned()),
                }
            }
            let of_every_entity = ["name", "etag", "create_time", "update_time", "created_by", "modified_by"];
            let (common, rest) = others.split_at(of_every_entity.len());
            assert_eq!(common, of_every_entity, "{}", entity.full_name());
            // Only entities whose values are sent elsewhere have it, for the response to an update.
            assert!(rest.iter().all(|name| name == "cleared_attributes"), "{}: {rest:?}", entity.full_name());
        }
    }

    #[test]
    fn successors_and_defaults_of_attributes_exist() {
        let pool = pool();
        let all = attributes(&pool);
        let names: BTreeSet<_> = all.iter().map(|(name, _, _)| name.clone()).collect();
        for (name, field, attribute) in &all {
            let successor = &attribute.deprecated_for;
            assert!(successor.is_empty() || names.contains(successor), "{name}: {successor}");
            let default = attribute.default.as_ref().and_then(|default| default.kind.as_ref());
            if let (Kind::Enum(kind), Some(default)) = (field.kind(), default) {
                let default_value::Kind::EnumValue(value) = default else { panic!("{name}: {default:?}") };
                assert!(kind.get_value_by_name(value).is_some(), "{name}: {value}");
            }
        }
    }

    #[test]
    fn option_values_except_the_first_have_unique_numbers() {
        let pool = pool();
        for (name, field, _) in attributes(&pool) {
            let Kind::Enum(kind) = field.kind() else { continue };
            let mut numbers = BTreeSet::new();
            for value in kind.values() {
                match options::option_number(&value).unwrap() {
                    Some(number) => assert!(numbers.insert(number), "{name}: {} twice", value.name()),
                    None => assert_eq!(value.number(), 0, "{name}: {} has no number", value.name()),
                }
            }
        }
    }

    #[test]
    fn every_method_documents_errors_and_repetition() {
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
            let paragraphs = |begins: &[&str]| {
                comment.split("\n\n").filter(|text| begins.iter().any(|begin| text.starts_with(begin))).count()
            };
            assert_eq!(paragraphs(&["Errors: ", "Errors, in addition to "]), 1, "{}", method.full_name());
            // The options define it, unless it depends on the request. They always define the callers.
            let depends = options::idempotency(&method) == Idempotency::Unknown;
            let repetition = paragraphs(&["Safe to repeat", "Not safe to repeat"]);
            assert_eq!(repetition, usize::from(depends), "{}", method.full_name());
            assert_eq!(paragraphs(&["Callers: "]), 0, "{}", method.full_name());
            methods += 1;
        }
        assert_eq!(methods, methods::ALL.len());
    }

    #[test]
    fn method_without_options_fails_the_build_with_its_name() {
        const LEVEL: &str = "option idempotency_level = IDEMPOTENT;";
        for (options, problem) in [
            (String::new(), "the option `idempotency_level` is missing"),
            (LEVEL.to_owned(), "the option `sealward.schema.v1.method` is missing"),
            (with_needs(LEVEL, ""), "set either `privileges` or `any_identity`"),
            (with_needs(LEVEL, r#"privileges: "a" any_identity: true"#), "set either `privileges` or `any_identity`"),
            (
                with_needs(LEVEL, r#"privileges: ["a", "b"] audit_actions: "c""#),
                "set one of `audit_actions` for each of `privileges`, or none",
            ),
            (
                with_needs("option idempotency_level = NO_SIDE_EFFECTS;", r#"privileges: "a" audit_actions: "c""#),
                "`idempotency_level` can't be NO_SIDE_EFFECTS, because `audit_actions` is set",
            ),
            (
                with_needs(LEVEL, r#"privileges: "a" audit_actions: "c" refused_as: "d""#),
                "set either `audit_actions` or `refused_as`",
            ),
        ] {
            let error = declared_methods(&pool_with_method(&options)).unwrap_err();
            assert_eq!(error, format!("method sealward.test.v1.Service.Call: {problem}"));
        }
        let declared = declared_methods(&pool_with_method(&with_needs(LEVEL, r#"privileges: "a""#))).unwrap();
        let [method] = &declared[..] else { panic!("{declared:?}") };
        assert_eq!(
            (&*method.name, &*method.path, method.is_idempotent),
            ("Call", "/sealward.test.v1.Service/Call", true)
        );
    }

    fn with_needs(level: &str, needs: &str) -> String {
        format!("{level} option (sealward.schema.v1.method) = {{{needs}}};")
    }

    /// Compiles a contract that has one method, with these options.
    fn pool_with_method(options: &str) -> DescriptorPool {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            r#"syntax = "proto3";
            package sealward.test.v1;
            import "sealward/schema/v1/annotations.proto";
            message Empty {{}}
            service Service {{ rpc Call(Empty) returns (Empty) {{ {options} }} }}"#
        );
        std::fs::write(folder.path().join("test.proto"), text).unwrap();
        let proto = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
        let mut compiler = protox::Compiler::new([folder.path(), &proto]).unwrap();
        compiler.include_imports(true).open_file("test.proto").unwrap();
        compiler.descriptor_pool()
    }

    #[test]
    fn record_writes_have_validate_only_and_request_id() {
        for service in pool().services().filter(|service| options::entity_service(service).unwrap().is_some()) {
            for method in service.methods() {
                let verbs = ["Create", "Update", "Delete", "BatchCreate", "BatchUpdate", "BatchDelete"];
                let is_write = verbs.iter().any(|verb| method.name().starts_with(verb));
                let kind = |field| method.input().get_field_by_name(field).map(|field| field.kind());
                let kinds = (kind("validate_only"), kind("request_id"));
                let expected = match method.name() {
                    // The requests in it have idempotency keys.
                    name if name.starts_with("Import") => (Some(Kind::Bool), None),
                    _ if is_write => (Some(Kind::Bool), Some(Kind::String)),
                    _ => (None, None),
                };
                assert_eq!(kinds, expected, "{}", method.full_name());
            }
        }
    }

    #[test]
    fn debug_of_a_message_with_a_secret_prints_only_its_name() {
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
