//! Prints `docs/reference/api.md`: every service, message, field and error of the contract, from its descriptors and their comments.
//!
//! It is a crate of its own and not a part of `cargo xtask`, because it needs the contract compiled, and `cargo xtask` has to build before
//! everything else. `cargo xtask generate` runs it; a test at the bottom fails when the file is stale.

mod contract;
mod errors;
mod markdown;

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, ServiceDescriptor,
};
use sealward::{
    options::{self, Idempotency},
    schema::v1::{self, OnDelete, default_value},
};

use contract::comment;
use errors::{DEPENDS, reasons};
use markdown::{Prose, link, table};

const INTRODUCTION: &str = "\
<!-- Made by `cargo xtask generate` from proto/sealward. Change the comments there. -->

# API reference

Everything in [proto/sealward](../../proto/sealward), which is the contract. Generate a client for your language from it, or get it from a server
by reflection; [Getting started](../getting-started.md) shows both. It has three packages:

* `sealward.v1` is the platform. It works with any schema.
* `sealward.mail.v1` is the mail application: four entities, and how to sign in for a mailbox. A server can be set up without it.
* `sealward.schema.v1` has the options that turn messages into entities.

## How to read this

* **Methods** list the errors that they return, the privileges that callers need (one of them is enough), what the audit trail records, and
  whether a call is safe to repeat. An error is named by its gRPC code and its reason; [Errors](#errors) explains each reason.
* **Types** are protobuf's. *optional* fields have presence: absent, false, 0 and empty are told apart. *secret* ones are left out of debug
  output by the generated Rust code; keep them out of your own.
* **Entities** are messages that are stored. Their fields are attributes, and the column *Rules* says what the server does about them:
    * *encrypted*: sealed before it is stored, absent from every answer but that of [RevealAttributes](#revealattributes)
    * *required*: not null, and not an empty text, after the default was filled in; *ApplicationRequired* is the level that Dynamics 365 has
      for it, where that isn't SystemRequired
    * *several lines*: line breaks are allowed; every other text is a single line
    * *output only*: what a request says is ignored
    * *not at creation*, *not in an update*: refused there
* **Options** are the numbers that Dynamics 365 Customer Engagement gives to the values of an option set.
";

fn main() -> io::Result<()> {
    io::stdout().lock().write_all(document().as_bytes())
}

/// The whole reference.
fn document() -> String {
    let pool = contract::pool();
    let reference = Reference::new(&pool);
    let files = contract::files(&pool);
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n## Contents\n\n");
    files.iter().for_each(|file| contents(&mut text, file));
    files.iter().for_each(|file| reference.file(&mut text, file));
    // Parts end with a line break, and headings begin with one.
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    text
}

/// Writes the parts of the reference. Nothing can fail that writes to a `String`.
struct Reference {
    prose: Prose,
}

impl Reference {
    fn new(pool: &DescriptorPool) -> Self {
        let mut prose = Prose::default();
        error_reasons(pool).flat_map(|found| reasons(&found)).for_each(|reason| prose.knows(&reason.name));
        for file in contract::files(pool) {
            file.services()
                .flat_map(|service| service.methods().collect::<Vec<_>>())
                .for_each(|one| prose.knows(one.name()));
            file.messages().for_each(|message| prose.knows(message.name()));
        }
        Reference { prose }
    }

    fn file(&self, text: &mut String, file: &FileDescriptor) {
        match file.services().len() {
            0 => {
                heading(text, 2, &title(file));
                self.comment(text, file, PACKAGE_STATEMENT);
            }
            _ => file.services().for_each(|service| self.service(text, &service)),
        }
        section_contents(text, file);
        for method in file.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            self.method(text, &method);
        }
        file.messages().for_each(|message| self.message(text, &message));
        for found in file.enums() {
            if found.name() == ERROR_REASON { self.errors(text, &found) } else { self.option_set(text, &found) }
        }
        if file.extensions().len() > 0 {
            self.options(text, file);
        }
    }

    fn service(&self, text: &mut String, service: &ServiceDescriptor) {
        heading(text, 2, service.name());
        self.comment(text, &service.parent_file(), service.path());
        let rows = service.methods().map(|method| {
            let first = comment(&service.parent_file(), method.path()).into_iter().next().unwrap_or_default();
            vec![link(method.name()), self.prose.paragraph(first_sentence(&first))]
        });
        text.push_str(&table(&["Method", "Does"], rows));
    }

    fn method(&self, text: &mut String, method: &MethodDescriptor) {
        heading(text, 3, method.name());
        let streamed = |is_stream: bool| if is_stream { "a stream of " } else { "" };
        let (asks, answers) = (streamed(method.is_client_streaming()), streamed(method.is_server_streaming()));
        let (input, output) = (type_link(&Kind::Message(method.input())), type_link(&Kind::Message(method.output())));
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let _infallible = writeln!(text, "`{path}` takes {asks}{input} and answers with {answers}{output}.\n");
        for paragraph in comment(&method.parent_service().parent_file(), method.path()) {
            let shown = match paragraph.split_once(": ") {
                Some((label, rest)) if label.starts_with("Errors") => {
                    format!("**{label}:** {}", self.prose.paragraph(rest))
                }
                Some(_) | None => self.prose.paragraph(&paragraph),
            };
            let _infallible = writeln!(text, "{shown}\n");
        }
        text.push_str(&method_facts(&contract::method(method), options::idempotency(method)));
    }

    fn message(&self, text: &mut String, message: &MessageDescriptor) {
        if message.is_map_entry() {
            return;
        }
        heading(text, 3, &local_name(message.full_name()));
        self.comment(text, &message.parent_file(), message.path());
        let entity = contract::entity(message);
        if let Some(entity) = &entity {
            text.push_str(&entity_facts(message, entity));
        }
        match (message.fields().len(), &entity) {
            (0, _) => text.push_str("No fields.\n"),
            (_, None) => {
                let rows = message.fields().map(|field| self.field(&field));
                text.push_str(&table(&["Field", "No.", "Type", "Meaning"], rows));
            }
            (_, Some(entity)) => {
                let rows = message.fields().map(|field| {
                    let mut row = self.field(&field);
                    let rules = contract::attribute(&field).map(|attribute| rules(&field, attribute));
                    row.insert(3, rules.unwrap_or_default());
                    row
                });
                text.push_str(&table(&["Field", "No.", "Type", "Rules", "Meaning"], rows));
                self.rules_across(text, &entity.rules);
            }
        }
        message.child_messages().for_each(|inner| self.message(text, &inner));
        message.child_enums().for_each(|inner| self.option_set(text, &inner));
    }

    /// What records of an entity must not be, across fields.
    fn rules_across(&self, text: &mut String, rules: &[v1::Rule]) {
        if rules.is_empty() {
            return;
        }
        let _infallible = writeln!(
            text,
            "\nRules across fields. A record that meets a condition is refused with [FIELD_INVALID](#field_invalid); the violation \
             carries the reason.\n"
        );
        let rows = rules.iter().map(|rule| {
            let v1::Rule { reason, attribute, refuse_when, description, dynamics_code } = rule;
            let code =
                |text: &str| if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', r"\|")) };
            let must = format!("{} {}", code(attribute), self.prose.paragraph(description));
            vec![code(reason), must, code(refuse_when), code(dynamics_code)]
        });
        text.push_str(&table(&["Reason", "What must be", "Refused when", "dynamics_code"], rows));
    }

    fn field(&self, field: &FieldDescriptor) -> Vec<String> {
        let meaning = self.prose.cell(&comment(&field.parent_message().parent_file(), field.path()));
        vec![format!("`{}`", field.name()), field.number().to_string(), field_type(field), meaning]
    }

    fn option_set(&self, text: &mut String, found: &EnumDescriptor) {
        heading(text, 3, &local_name(found.full_name()));
        self.comment(text, &found.parent_file(), found.path());
        let has_options = found.values().any(|value| contract::option_number(&value).is_some());
        let rows = found.values().map(|value| {
            let mut row = vec![format!("`{}`", value.name()), value.number().to_string()];
            if has_options {
                row.push(contract::option_number(&value).map(|number| number.to_string()).unwrap_or_default());
            }
            row.push(self.prose.cell(&comment(&found.parent_file(), value.path())));
            row
        });
        let head: &[&str] =
            if has_options { &["Value", "No.", "Option", "Meaning"] } else { &["Value", "No.", "Meaning"] };
        text.push_str(&table(head, rows));
    }

    fn errors(&self, text: &mut String, found: &EnumDescriptor) {
        heading(text, 3, &local_name(found.full_name()));
        self.comment(text, &found.parent_file(), found.path());
        let reasons = reasons(found);
        let carried = || reasons.iter().filter(|reason| !reason.code.is_empty());
        let code = |number: &str| match number {
            "" | DEPENDS => number.to_owned(),
            _ => format!("`{number}`"),
        };
        let rows = carried().map(|reason| {
            let metadata = reason.metadata.split_once(" (").map_or(reason.metadata.as_str(), |(keys, _)| keys);
            vec![link(&reason.name), reason.code.clone(), metadata.to_owned(), code(&reason.dynamics_code)]
        });
        text.push_str(&table(&["Reason", "Code", "Metadata", "dynamics_code"], rows));
        for reason in carried() {
            heading(text, 4, &reason.name);
            let _infallible = write!(text, "{}. ", reason.code);
            for paragraph in &reason.text {
                let _infallible = writeln!(text, "{}\n", self.prose.paragraph(paragraph));
            }
            if !reason.metadata.is_empty() {
                let _infallible = writeln!(text, "Metadata: {}.", self.prose.paragraph(&reason.metadata));
            }
        }
    }

    /// The extensions that a file declares.
    fn options(&self, text: &mut String, file: &FileDescriptor) {
        heading(text, 3, "Where the options stand");
        let rows = file.extensions().map(|extension| {
            let meaning = self.prose.cell(&comment(file, extension.path()));
            let on = extension.containing_message().name().to_owned();
            vec![
                format!("`{}`", extension.name()),
                extension.number().to_string(),
                type_link(&extension.kind()),
                format!("`{on}`"),
                meaning,
            ]
        });
        text.push_str(&table(&["Option", "No.", "Type", "Of", "Meaning"], rows));
    }

    fn comment(&self, text: &mut String, file: &FileDescriptor, path: &[i32]) {
        for paragraph in comment(file, path) {
            let _infallible = writeln!(text, "{}\n", self.prose.paragraph(&paragraph));
        }
    }
}

/// What a file has, as a line of the contents.
fn contents(text: &mut String, file: &FileDescriptor) {
    if file.services().len() == 0 {
        let _infallible = writeln!(text, "* {}", link(&title(file)));
    }
    for service in file.services() {
        let methods = links(service.methods().map(|method| method.name().to_owned()));
        let _infallible = writeln!(text, "* {}: {methods}", link(service.name()));
    }
}

/// The messages and enums that a section has further down.
fn section_contents(text: &mut String, file: &FileDescriptor) {
    let messages = links(file.messages().map(|message| local_name(message.full_name())));
    let nested = file.messages().flat_map(|message| message.child_enums().collect::<Vec<_>>());
    let option_sets = links(nested.chain(file.enums()).map(|found| local_name(found.full_name())));
    for (label, names) in [("Messages", messages), ("Enums", option_sets)] {
        if !names.is_empty() {
            let _infallible = writeln!(text, "\n**{label}:** {names}");
        }
    }
}

fn links(names: impl Iterator<Item = String>) -> String {
    names.map(|name| link(&name)).collect::<Vec<_>>().join(", ")
}

/// What the options of a method say.
fn method_facts(needs: &v1::Method, idempotency: Idempotency) -> String {
    let v1::Method { privileges, any_identity, all_organizations, audit_actions, refused_as } = needs;
    let code = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
    let callers = match (any_identity, all_organizations) {
        (true, _) => "every caller with an identity, even without any role".to_owned(),
        (false, true) => format!("{} in all organizations (`*`)", code(privileges)),
        (false, false) => code(privileges),
    };
    let mut facts = format!("**Callers:** {callers}. [Permissions](permissions.md) lists the roles.\n\n");
    let recorded = match (audit_actions.as_slice(), refused_as.as_str()) {
        ([], "") => None,
        ([], action) => Some(format!("refused calls as `{action}`")),
        (actions, _) => Some(format!("each call as {}", code(actions))),
    };
    if let Some(recorded) = recorded {
        let _infallible = writeln!(facts, "**Audit trail:** {recorded}.\n");
    }
    match idempotency {
        Idempotency::NoSideEffects => facts.push_str("**Safe to repeat:** a call changes nothing.\n\n"),
        Idempotency::Idempotent => {
            facts.push_str("**Safe to repeat:** a call changes nothing, except that it leaves an audit record.\n\n");
        }
        Idempotency::Unknown => {}
    }
    facts
}

fn entity_facts(message: &MessageDescriptor, entity: &v1::Entity) -> String {
    let v1::Entity { collection, singular, storage_name, id_required, display_name, rules: _ } = entity;
    let storage_name = if storage_name.is_empty() { message.name() } else { storage_name };
    let id = if *id_required { "must be given" } else { "drawn by the server unless given" };
    let called = if display_name.is_empty() { message.name() } else { display_name };
    format!(
        "* An entity: *{called}*, in requests `{singular}`, in databases `{storage_name}`\n\
         * Resource name: `organizations/{{organization}}/{collection}/{{id}}`, the id {id}\n\n"
    )
}

/// What the server does about an attribute.
fn rules(field: &FieldDescriptor, attribute: v1::Attribute) -> String {
    let v1::Attribute {
        encrypted,
        required,
        default,
        max_length,
        minimum,
        maximum,
        output_only,
        immutable,
        not_valid_for_create,
        not_valid_for_update,
        reference,
        storage_name,
        deprecated_for,
        sent_to,
        reports_set,
        display_name,
        multi_line,
        uuid,
        application_required,
        state_attribute,
    } = attribute;
    let mut rules: Vec<String> = Vec::new();
    let flags = [
        (encrypted, "**encrypted**"),
        (required && !application_required, "required"),
        (required && application_required, "required (ApplicationRequired)"),
        (uuid, "a UUID"),
        (multi_line, "several lines"),
        (output_only, "output only"),
        (immutable, "immutable"),
        (not_valid_for_create, "not at creation"),
        (not_valid_for_update, "not in an update"),
    ];
    rules.extend(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, words)| words.to_owned()));
    rules.extend(default.and_then(|default| default.kind).map(|kind| format!("default {}", default_text(kind))));
    rules.extend(max_length.map(|length| {
        let unit = if field.kind() == Kind::Bytes { "bytes" } else { "characters" };
        format!("at most {length} {unit}")
    }));
    match (minimum, maximum) {
        (Some(minimum), Some(maximum)) => rules.push(format!("{minimum} to {maximum}")),
        (Some(minimum), None) => rules.push(format!("at least {minimum}")),
        (None, Some(maximum)) => rules.push(format!("at most {maximum}")),
        (None, None) => {}
    }
    rules.extend(reference.map(|reference| {
        let then = match reference.on_delete() {
            OnDelete::Clear => "null when that is deleted",
            OnDelete::Refuse => "that can't be deleted",
            OnDelete::Unspecified => "no word on deletion",
        };
        format!("refers to `{}`: {then}", reference.collection)
    }));
    let named = [
        (reports_set, "tells about"),
        (state_attribute, "belongs to"),
        (deprecated_for, "use instead:"),
        (sent_to.join(", "), "cleared by an update of these without it:"),
        (storage_name, "in databases"),
        (display_name, "for people:"),
    ];
    rules.extend(
        named.into_iter().filter(|(name, _)| !name.is_empty()).map(|(name, words)| format!("{words} `{name}`")),
    );
    rules.join("; ")
}

fn default_text(kind: default_value::Kind) -> String {
    match kind {
        default_value::Kind::Text(text) => format!("`\"{text}\"`"),
        default_value::Kind::Integer(number) => format!("`{number}`"),
        default_value::Kind::Boolean(truth) => format!("`{truth}`"),
        default_value::Kind::EnumValue(name) => format!("`{name}`"),
    }
}

fn field_type(field: &FieldDescriptor) -> String {
    let kind = field.kind();
    let entry = kind.as_message().filter(|_| field.is_map());
    let mut shown = match entry {
        Some(entry) => {
            let [key, value] =
                [entry.map_entry_key_field(), entry.map_entry_value_field()].map(|field| type_link(&field.kind()));
            format!("map of {key} to {value}")
        }
        None => type_link(&kind),
    };
    if field.cardinality() == Cardinality::Repeated && entry.is_none() {
        shown.insert_str(0, "repeated ");
    }
    match field.containing_oneof() {
        Some(oneof) if oneof.is_synthetic() => shown.insert_str(0, "optional "),
        Some(oneof) => shown.push_str(&format!(", one of `{}`", oneof.name())),
        None => {}
    }
    if options::is_secret(field) {
        shown.push_str(", secret");
    }
    shown
}

/// A type by its name; a link, if it is described here.
fn type_link(kind: &Kind) -> String {
    let message = kind.as_message().map(MessageDescriptor::full_name);
    let Some(full_name) = message.or_else(|| kind.as_enum().map(EnumDescriptor::full_name)) else {
        return format!("`{kind:?}`").to_lowercase();
    };
    contract::local_name(full_name).map_or_else(|| format!("`{full_name}`"), link)
}

/// What a message or an enum that the reference is about is called there.
fn local_name(full_name: &str) -> String {
    contract::local_name(full_name).unwrap_or(full_name).to_owned()
}

/// What a file without a service is called: `Errors`, for `errors.proto`.
fn title(file: &FileDescriptor) -> String {
    let stem = file.name().rsplit('/').next().unwrap_or_default().trim_end_matches(".proto").replace('_', " ");
    let (first, rest) = stem.split_at_checked(1).unwrap_or_default();
    first.to_uppercase() + rest
}

fn first_sentence(paragraph: &str) -> &str {
    paragraph.split_once(". ").map_or(paragraph, |(first, _)| first).trim_end_matches('.')
}

fn heading(text: &mut String, level: usize, words: &str) {
    let _infallible = writeln!(text, "\n{} {words}\n", "#".repeat(level));
}

/// Where a comment about a whole file stands: before its `package`.
const PACKAGE_STATEMENT: &[i32] = &[2];

/// What the enum of a package's reasons is called.
const ERROR_REASON: &str = "ErrorReason";

/// The enums of reasons, one of a package.
fn error_reasons(pool: &DescriptorPool) -> impl Iterator<Item = EnumDescriptor> + '_ {
    pool.all_enums().filter(|found| found.name() == ERROR_REASON && contract::local_name(found.full_name()).is_some())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// The anchors of the headings, in their order.
    fn anchors(document: &str) -> Vec<String> {
        let headings = document.lines().filter(|line| line.starts_with('#'));
        headings.map(|line| markdown::anchor(line.trim_start_matches('#').trim())).collect()
    }

    #[test]
    fn the_reference_in_docs_is_what_the_contract_says() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/api.md");
        let written = fs::read_to_string(file).unwrap_or_default();
        for (number, (is, should_be)) in written.lines().zip(document().lines()).enumerate() {
            assert_eq!(
                is,
                should_be,
                "line {} of docs/reference/api.md is stale: run `cargo xtask generate`",
                number + 1
            );
        }
        assert_eq!(written, document(), "docs/reference/api.md is stale: run `cargo xtask generate`");
    }

    #[test]
    fn every_link_within_the_reference_leads_to_one_heading() {
        let document = document();
        let anchors = anchors(&document);
        let unique: BTreeSet<&String> = anchors.iter().collect();
        assert_eq!(unique.len(), anchors.len());
        let links = document.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned());
        for link in links {
            assert!(unique.contains(&link), "{link}");
        }
    }

    #[test]
    fn nothing_of_the_contract_is_left_out_or_unexplained() {
        let document = document();
        let pool = contract::pool();
        let anchors: BTreeSet<String> = anchors(&document).into_iter().collect();
        let ours = |name: &str| contract::local_name(name).is_some();
        let has_heading = |name: &str| assert!(anchors.contains(&markdown::anchor(name)), "{name}");
        let has_comment = |name: &str, file: &FileDescriptor, path: &[i32]| {
            assert!(!comment(file, path).is_empty(), "{name}");
        };
        for service in pool.services().filter(|service| ours(service.full_name())) {
            has_heading(service.name());
            for method in service.methods() {
                has_heading(method.name());
                let paragraphs = comment(&service.parent_file(), method.path());
                assert!(paragraphs.iter().any(|one| one.starts_with("Errors")), "{}", method.full_name());
            }
        }
        for message in pool.all_messages().filter(|message| ours(message.full_name()) && !message.is_map_entry()) {
            has_heading(&local_name(message.full_name()));
            for field in message.fields() {
                assert!(
                    document.contains(&format!("\n| `{}` | {} | ", field.name(), field.number())),
                    "{}",
                    field.full_name()
                );
                has_comment(field.full_name(), &message.parent_file(), field.path());
            }
        }
        for found in pool.all_enums().filter(|found| ours(found.full_name())) {
            has_heading(&local_name(found.full_name()));
            found.values().for_each(|value| has_comment(value.full_name(), &found.parent_file(), value.path()));
        }
    }

    #[test]
    fn every_reason_has_a_code_and_what_its_comment_says_of_metadata_and_numbers() {
        let pool = contract::pool();
        let found: Vec<_> = error_reasons(&pool).map(|found| reasons(&found)).collect();
        assert_eq!(found.len(), 2);
        for reason in found.iter().flat_map(|reasons| reasons.iter().skip(1)) {
            let code = reason.code.split([' ', ',']).next().unwrap();
            assert!(grpc_codes().contains(&code), "{}: {}", reason.name, reason.code);
            assert!(reason.text.iter().all(|text| !text.contains("dynamics_code ")), "{}", reason.name);
            assert!(!reason.text.is_empty(), "{}", reason.name);
            let number = reason.dynamics_code.as_str();
            let is_number = number.len() == 8 && u32::from_str_radix(number, 16).is_ok();
            assert!(is_number || ["", DEPENDS].contains(&number), "{}: {number}", reason.name);
        }
    }

    /// The codes of gRPC that errors have.
    fn grpc_codes() -> [&'static str; 16] {
        [
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        ]
    }
}
