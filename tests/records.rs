//! Records: the five methods of every entity, and the rules of their attributes.
//!
//! Tests of schema rules read them from the descriptors, and check every attribute of every entity.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use prost_reflect::{DynamicMessage, Kind, Value};
use sealward_client::{
    Client, Code, EntityType, Error, ErrorReason, ListOptions, Records, built_in_pool, mail_v1, schema_v1,
};
use sealward_server::development::Person;

use crate::harness::{DEFAULT, Server, inside::Inside, mailbox, reason, reveal};

const NO_MASK: [&str; 0] = [];

pub(crate) fn entities() -> Vec<EntityType> {
    EntityType::all(&built_in_pool()).unwrap()
}

/// A UUID that no other record of this run has.
fn fresh_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("0191e2a4-5b6c-4d8e-9fa0-{:012x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An id where the entity needs one.
pub(crate) fn id_for(entity: &EntityType) -> Option<String> {
    entity.options.id_required.then(fresh_id)
}

/// The minimum of a Create: required attributes without a default.
pub(crate) fn least(entity: &EntityType) -> DynamicMessage {
    let mut record = DynamicMessage::new(entity.message.clone());
    for attribute in &entity.attributes {
        let options = &attribute.options;
        if options.required && options.default.is_none() && !options.output_only {
            let value = match attribute.field.kind() {
                Kind::String if options.uuid => Value::String("0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506".to_owned()),
                Kind::String => Value::String("x".to_owned()),
                // The second value restricts the others least: for a profile it is POP3, which few rules mention.
                Kind::Enum(_) => Value::EnumNumber(2),
                Kind::Int32 => Value::I32(1),
                kind => panic!("no example of {kind:?}"),
            };
            record.set_field(&attribute.field, value);
        }
    }
    record
}

pub(crate) async fn create_least(client: &Client, entity: &EntityType) -> DynamicMessage {
    client.records(entity).create(DEFAULT, least(entity), id_for(entity).as_deref()).await.unwrap()
}

/// A record of which only the name is given.
pub(crate) fn named(entity: &EntityType, name: &str) -> DynamicMessage {
    let mut record = DynamicMessage::new(entity.message.clone());
    record.set_field_by_name("name", Value::String(name.to_owned()));
    record
}

pub(crate) fn text(record: &DynamicMessage, field: &str) -> String {
    record.get_field_by_name(field).unwrap().as_str().unwrap().to_owned()
}

pub(crate) fn path(entity: &EntityType, attribute: &str) -> String {
    format!("{}.{attribute}", entity.options.singular)
}

fn names(entity: &EntityType, wanted: impl Fn(&schema_v1::Attribute) -> bool) -> Vec<String> {
    let attributes = entity.attributes.iter().filter(|attribute| wanted(&attribute.options));
    attributes.map(|attribute| attribute.name().to_owned()).collect()
}

/// The fields of a refusal, each once.
#[track_caller]
fn refused_fields<T>(outcome: Result<T, Error>) -> BTreeSet<String> {
    let Err(error) = outcome else { panic!("the call should have been refused") };
    assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, ErrorReason::FieldInvalid), "{error}");
    let fields: Vec<String> = error.field_violations().iter().map(|violation| violation.field.clone()).collect();
    let set: BTreeSet<String> = fields.iter().cloned().collect();
    assert_eq!(set.len(), fields.len(), "{fields:?}");
    set
}

fn set_of<const N: usize>(fields: [&str; N]) -> BTreeSet<String> {
    fields.map(str::to_owned).into()
}

/// The encrypted attributes of an answer: only whether they are set.
#[track_caller]
fn assert_null(entity: &EntityType, record: &DynamicMessage, is_set: bool) {
    for attribute in &entity.attributes {
        if attribute.options.encrypted {
            assert!(!record.has_field(&attribute.field), "{}", attribute.name());
        }
        if !attribute.options.reports_set.is_empty() {
            let reported = record.get_field(&attribute.field).as_bool();
            assert_eq!((record.has_field(&attribute.field), reported), (true, Some(is_set)), "{}", attribute.name());
        }
    }
}

#[tokio::test]
async fn the_five_methods_of_every_entity_answer_without_encrypted_attributes() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let reader = server.client(Person::Reader);
    for entity in &entities() {
        let records = writer.records(entity);
        let encrypted = names(entity, |options| options.encrypted);
        let with_secrets = |mut record: DynamicMessage| {
            for name in &encrypted {
                record.set_field_by_name(name, Value::String("hunter2".to_owned()));
            }
            record
        };

        let id = fresh_id();
        let created = records.create(DEFAULT, with_secrets(least(entity)), Some(&id)).await.unwrap();
        assert_null(entity, &created, true);
        let name = text(&created, "name");
        assert_eq!(name, format!("{DEFAULT}/{}/{id}", entity.options.collection));
        assert_eq!(reader.records(entity).get(&name).await.unwrap(), created);
        assert_eq!(reader.records(entity).list(DEFAULT, ListOptions::default()).await.unwrap().records, [created]);

        let cleared = records.update(named(entity, &name), &encrypted).await.unwrap();
        assert_null(entity, &cleared, false);
        assert_eq!(reader.records(entity).get(&name).await.unwrap(), cleared);
        let set_again = records.update(with_secrets(named(entity, &name)), &encrypted).await.unwrap();
        assert_null(entity, &set_again, true);
        assert_eq!(reader.records(entity).list(DEFAULT, ListOptions::default()).await.unwrap().records, [set_again]);

        records.delete(&name, "").await.unwrap();
        assert_eq!(reason(records.get(&name).await), ErrorReason::NotFound);
        assert_eq!(reader.records(entity).list(DEFAULT, ListOptions::default()).await.unwrap().records, []);
    }
}

#[tokio::test]
async fn omitted_attribute_has_its_default_or_is_null() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    for entity in &entities() {
        let given = least(entity);
        let created = create_least(&writer, entity).await;
        assert_null(entity, &created, false);
        for attribute in &entity.attributes {
            let options = &attribute.options;
            if given.has_field(&attribute.field) {
                assert_eq!(created.get_field(&attribute.field), given.get_field(&attribute.field));
            } else if let Some(default) = options.default.as_ref().and_then(|default| default.kind.as_ref()) {
                let value = match default {
                    schema_v1::default_value::Kind::Text(text) => Value::String(text.clone()),
                    schema_v1::default_value::Kind::Integer(number) => Value::I32(i32::try_from(*number).unwrap()),
                    schema_v1::default_value::Kind::Boolean(value) => Value::Bool(*value),
                    schema_v1::default_value::Kind::EnumValue(name) => {
                        let kind = attribute.field.kind();
                        Value::EnumNumber(kind.as_enum().unwrap().get_value_by_name(name).unwrap().number())
                    }
                };
                assert_eq!(*created.get_field(&attribute.field), value, "{}", attribute.name());
            } else if options.reports_set.is_empty() {
                assert!(!created.has_field(&attribute.field), "{}", attribute.name());
            }
        }
    }
}

#[tokio::test]
async fn required_attribute_must_be_given_and_cannot_be_cleared() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    for entity in &entities() {
        let records = writer.records(entity);
        let paths = |names: Vec<String>| names.iter().map(|name| path(entity, name)).collect::<BTreeSet<_>>();
        let nothing = DynamicMessage::new(entity.message.clone());
        let without_default = names(entity, |options| options.required && options.default.is_none());
        let outcome = records.create(DEFAULT, nothing, id_for(entity).as_deref()).await;
        assert_eq!(refused_fields(outcome), paths(without_default));

        let name = text(&create_least(&writer, entity).await, "name");
        let required = names(entity, |options| options.required && !options.output_only);
        let outcome = records.update(named(entity, &name), &required).await;
        assert_eq!(refused_fields(outcome), paths(required));
    }
}

/// A record whose attributes are as long and as large, or as small, as they may be, `past` more; and the fields that have a bound there.
fn at_bounds(entity: &EntityType, is_upper: bool, past: i64) -> (DynamicMessage, BTreeSet<String>) {
    let mut record = least(entity);
    let mut bounded = BTreeSet::new();
    for attribute in entity.attributes.iter().filter(|attribute| !attribute.options.not_valid_for_create) {
        let options = &attribute.options;
        let value = match (options.max_length, options.minimum, options.maximum) {
            // A UUID has one length.
            (Some(_), _, _) if options.uuid => continue,
            (Some(length), _, _) if is_upper => {
                // Two bytes each: characters count, not bytes.
                Value::String("é".repeat(usize::try_from(i64::from(length) + past).unwrap()))
            }
            (_, _, Some(maximum)) if is_upper => Value::I32(i32::try_from(maximum + past).unwrap()),
            (_, Some(minimum), _) if !is_upper => Value::I32(i32::try_from(minimum - past).unwrap()),
            _ => continue,
        };
        record.set_field(&attribute.field, value);
        bounded.insert(path(entity, attribute.name()));
    }
    (record, bounded)
}

#[tokio::test]
async fn values_past_every_limit_are_refused_together() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let mut bounds = 0;
    for entity in &entities() {
        let records = writer.records(entity);
        for is_upper in [true, false] {
            let (at, bounded) = at_bounds(entity, is_upper, 0);
            let created = records.create(DEFAULT, at.clone(), id_for(entity).as_deref()).await.unwrap();
            for attribute in entity.attributes.iter().filter(|attribute| !attribute.options.encrypted) {
                if at.has_field(&attribute.field) {
                    assert_eq!(created.get_field(&attribute.field), at.get_field(&attribute.field));
                }
            }

            if bounded.is_empty() {
                continue;
            }
            let (mut past, _) = at_bounds(entity, is_upper, 1);
            let outcome = records.create(DEFAULT, past.clone(), id_for(entity).as_deref()).await;
            assert_eq!(refused_fields(outcome), bounded);
            past.set_field_by_name("name", Value::String(text(&created, "name")));
            assert_eq!(refused_fields(records.update(past, &[]).await), bounded);
            assert_eq!(records.get(&text(&created, "name")).await.unwrap(), created);
            bounds += bounded.len();
        }
    }
    assert!(bounds > 30, "{bounds}");
}

#[tokio::test]
async fn errors_of_encrypted_attributes_have_lengths_but_no_values() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let outcome = writer.mailboxes().create(DEFAULT, mailbox(&"z".repeat(201)), None).await;
    let error = outcome.unwrap_err();
    let violation = &error.field_violations()[0];
    assert_eq!(violation.field, "mailbox.password");
    assert!(violation.description.contains("201") && violation.description.contains("200"), "{violation:?}");
    assert!(!format!("{error} {error:?}").contains("zz"));
}

#[tokio::test]
async fn enum_accepts_only_its_values() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    for entity in &entities() {
        let records = writer.records(entity);
        let enums: Vec<_> = entity
            .attributes
            .iter()
            .filter(|attribute| !attribute.options.not_valid_for_create)
            .filter_map(|attribute| Some((attribute, attribute.field.kind().as_enum()?.clone())))
            .collect();
        let all: BTreeSet<String> = enums.iter().map(|(attribute, _)| path(entity, attribute.name())).collect();
        for wrong in [0, -1, 99] {
            let mut record = least(entity);
            enums.iter().for_each(|(attribute, _)| record.set_field(&attribute.field, Value::EnumNumber(wrong)));
            assert_eq!(refused_fields(records.create(DEFAULT, record, id_for(entity).as_deref()).await), all);
        }

        // One at a time: rules across fields may keep two values apart. A new record is active, and so is its status.
        for (attribute, kind) in enums.iter().filter(|(attribute, _)| attribute.options.state_attribute.is_empty()) {
            for value in kind.values().filter(|value| value.number() != 0) {
                let mut record = least(entity);
                record.set_field(&attribute.field, Value::EnumNumber(value.number()));
                let created = records.create(DEFAULT, record, id_for(entity).as_deref()).await.unwrap();
                assert_eq!(*created.get_field(&attribute.field), Value::EnumNumber(value.number()));
            }
        }
    }
}

#[tokio::test]
async fn output_only_fields_are_refused_or_ignored() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    for entity in &entities() {
        let records = writer.records(entity);
        let with = |mut record: DynamicMessage, wanted: &dyn Fn(&schema_v1::Attribute) -> bool| {
            for attribute in entity.attributes.iter().filter(|attribute| wanted(&attribute.options)) {
                let value = match attribute.field.kind() {
                    Kind::Bool => Value::Bool(false),
                    Kind::Enum(_) => Value::EnumNumber(2),
                    kind => panic!("no example of {kind:?}"),
                };
                record.set_field(&attribute.field, value);
            }
            record
        };

        let late = names(entity, |options| options.not_valid_for_create);
        if !late.is_empty() {
            let record = with(least(entity), &|options| options.not_valid_for_create);
            let expected: BTreeSet<String> = late.iter().map(|name| path(entity, name)).collect();
            assert_eq!(refused_fields(records.create(DEFAULT, record, id_for(entity).as_deref()).await), expected);
        }

        // A record that was read can be sent back: output-only fields are ignored.
        let mut record = with(least(entity), &|options| options.output_only);
        record.set_field_by_name("name", Value::String("anything".to_owned()));
        record.set_field_by_name("etag", Value::String("anything".to_owned()));
        let created = records.create(DEFAULT, record, id_for(entity).as_deref()).await.unwrap();
        let untouched = create_least(&writer, entity).await;
        for attribute in entity.attributes.iter().filter(|attribute| attribute.options.output_only) {
            assert_eq!(created.get_field(&attribute.field), untouched.get_field(&attribute.field));
        }
        let sent_back = records.update(created.clone(), &[]).await.unwrap();
        assert_ne!(text(&sent_back, "etag"), text(&created, "etag"));

        // A mask that names it is a mistake.
        let set_by_server = names(entity, |options| options.output_only);
        let expected: BTreeSet<String> = set_by_server.iter().map(|name| path(entity, name)).collect();
        let outcome = records.update(named(entity, &text(&created, "name")), &set_by_server).await;
        assert_eq!(refused_fields(outcome), expected);

        // An Update can set attributes that a Create can't.
        let late_given = with(named(entity, &text(&created, "name")), &|options| options.not_valid_for_create);
        let updated = records.update(late_given.clone(), &late).await;
        if late.is_empty() {
            continue;
        }
        let updated = updated.unwrap();
        for name in &late {
            assert_eq!(updated.get_field_by_name(name), late_given.get_field_by_name(name));
        }
    }
}

#[tokio::test]
async fn all_violations_of_a_record_are_reported_together() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let wrong = mail_v1::Mailbox {
        display_name: Some("a\0b".to_owned()),
        password: Some("c\0d".to_owned()),
        email_address: Some("e".repeat(101)),
        email_server_profile: Some("organizations/default/mailboxes/x".to_owned()),
        act_delivery_method: Some(0),
        enabled_for_act: Some(true),
        ..mail_v1::Mailbox::default()
    };
    let fields = [
        "mailbox.display_name",
        "mailbox.password",
        "mailbox.email_address",
        "mailbox.email_server_profile",
        "mailbox.act_delivery_method",
    ];
    let outcome = writer.mailboxes().create(format!("{DEFAULT}/"), wrong.clone(), Some("x".to_owned())).await;
    let mut expected = set_of(fields);
    expected.extend(set_of(["mailbox.enabled_for_act", "parent", "mailbox_id"]));
    assert_eq!(refused_fields(outcome), expected);

    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let wrong = mail_v1::Mailbox { name: stored.name.clone(), etag: "x".to_owned(), ..wrong };
    let mut mask: Vec<&str> = fields.iter().filter_map(|field| field.strip_prefix("mailbox.")).collect();
    mask.push("nothing");
    let mut expected = set_of(fields);
    expected.extend(set_of(["mailbox.etag", "update_mask"]));
    assert_eq!(refused_fields(writer.mailboxes().update(wrong, mask).await), expected);
    assert_eq!(writer.mailboxes().get(&stored.name).await.unwrap(), stored);
}

#[tokio::test]
async fn the_empty_text_is_a_value_and_has_a_cell() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let connector = server.client(Person::Connector);
    let empty = writer.mailboxes().create(DEFAULT, mailbox(""), None).await.unwrap();
    assert_eq!((empty.password.as_deref(), empty.is_password_set), (None, Some(true)));
    assert_eq!(reveal(&connector, &empty.name).await.unwrap().as_deref(), Some(""));
    let without = mail_v1::Mailbox { password: None, ..mailbox("") };
    let without = writer.mailboxes().create(DEFAULT, without, None).await.unwrap();
    assert_eq!((without.password.as_deref(), without.is_password_set), (None, Some(false)));
    assert_eq!(reveal(&connector, &without.name).await.unwrap(), None);

    let inside = Inside::organization(server.folder());
    let cells = inside.bytes("SELECT password FROM \"Mailbox\" WHERE password IS NOT NULL");
    assert_eq!(cells.iter().map(|cell| cell[0]).collect::<Vec<_>>(), [1]);

    // Of an attribute in the clear too.
    let described = mail_v1::Mailbox { name: empty.name, username: Some(String::new()), ..mail_v1::Mailbox::default() };
    let described = writer.mailboxes().update(described, ["username"]).await.unwrap();
    assert_eq!(described.username.as_deref(), Some(""));
}

#[tokio::test]
async fn update_mask_clears_fields_without_a_value_and_keeps_others() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let connector = server.client(Person::Connector);
    let full = mail_v1::Mailbox { username: Some("sales".to_owned()), ..mailbox("hunter2") };
    let stored = writer.mailboxes().create(DEFAULT, full, None).await.unwrap();
    let name = stored.name.clone();
    let only_name = || mail_v1::Mailbox { name: name.clone(), ..mail_v1::Mailbox::default() };

    // Not in the mask: unchanged, with any value in the record.
    let update = mail_v1::Mailbox {
        email_address: Some("sales@example.com".to_owned()),
        password: Some("other".to_owned()),
        ..only_name()
    };
    let updated = writer.mailboxes().update(update, ["email_address"]).await.unwrap();
    assert_eq!(updated.email_address.as_deref(), Some("sales@example.com"));
    assert_eq!((updated.username.as_deref(), updated.is_password_set), (Some("sales"), Some(true)));
    assert_eq!(reveal(&connector, &name).await.unwrap().as_deref(), Some("hunter2"));

    // Without a mask: only the given attributes.
    let update = mail_v1::Mailbox { password: Some("changed".to_owned()), ..only_name() };
    let updated = writer.mailboxes().update(update, NO_MASK).await.unwrap();
    assert_eq!(updated.username.as_deref(), Some("sales"));
    assert_eq!(updated.email_address.as_deref(), Some("sales@example.com"));
    assert_eq!(reveal(&connector, &name).await.unwrap().as_deref(), Some("changed"));

    // In the mask without a value: null.
    let updated = writer.mailboxes().update(only_name(), ["password", "email_address"]).await.unwrap();
    assert_eq!((updated.email_address.as_deref(), updated.is_password_set), (None, Some(false)));
    assert_eq!(updated.username.as_deref(), Some("sales"));
    assert_eq!(reveal(&connector, &name).await.unwrap(), None);
    assert_eq!(writer.mailboxes().get(&name).await.unwrap(), updated);
}

#[tokio::test]
async fn update_mask_of_anything_but_attributes_is_refused() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let update = || mail_v1::Mailbox { name: stored.name.clone(), ..mailbox("other") };
    for (path, reason) in [
        ("name", "IMMUTABLE"),
        ("etag", "OUTPUT_ONLY"),
        ("create_time", "OUTPUT_ONLY"),
        ("update_time", "OUTPUT_ONLY"),
        ("created_by", "OUTPUT_ONLY"),
        ("modified_by", "OUTPUT_ONLY"),
    ] {
        let error = writer.mailboxes().update(update(), [path]).await.unwrap_err();
        let violations = error.field_violations();
        let found: Vec<_> = violations.iter().map(|found| (found.field.as_str(), found.reason.as_str())).collect();
        assert_eq!(found, [(format!("mailbox.{path}").as_str(), reason)]);
    }
    for path in ["*", "", "mailbox.password", "password.x", "displayName", "sesame1"] {
        let update = update();
        let outcome = writer.mailboxes().update(update, [path]).await;
        let said = format!("{outcome:?}");
        assert_eq!(refused_fields(outcome), set_of(["update_mask"]), "{path}");
        // A path with digits may be a misplaced secret.
        assert!(!said.contains("sesame1"), "{said}");
    }
    assert_eq!(writer.mailboxes().get(&stored.name).await.unwrap(), stored);
}

#[tokio::test]
async fn times_of_years_1_to_9999_are_stored_to_the_microsecond() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let profile = |seconds, nanos| mail_v1::EmailServerProfile {
        display_name: Some("Exchange".to_owned()),
        server_type: Some(1),
        process_emails_received_after: Some(prost_types_timestamp(seconds, nanos)),
        ..mail_v1::EmailServerProfile::default()
    };
    const FIRST: i64 = -62_135_596_800;
    const LAST: i64 = 253_402_300_799;
    for (seconds, nanos, kept) in
        [(FIRST, 0, 0), (-1, 999_999_999, 999_999_000), (0, 1_999, 1_000), (LAST, 999_999_999, 999_999_000)]
    {
        let created = writer.email_server_profiles().create(DEFAULT, profile(seconds, nanos), None).await.unwrap();
        let read = writer.email_server_profiles().get(&created.name).await.unwrap();
        assert_eq!(read.process_emails_received_after, Some(prost_types_timestamp(seconds, kept)));
    }
    for (seconds, nanos) in [(FIRST - 1, 0), (LAST + 1, 0), (0, -1), (0, 1_000_000_000), (i64::MIN, 0), (i64::MAX, 0)] {
        let outcome = writer.email_server_profiles().create(DEFAULT, profile(seconds, nanos), None).await;
        assert_eq!(refused_fields(outcome), set_of(["email_server_profile.process_emails_received_after"]));
    }
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    assert_eq!(stored.create_time, stored.update_time);
    assert!(stored.create_time.is_some_and(|time| time.nanos % 1_000 == 0 && time.seconds > 1_700_000_000));
}

fn prost_types_timestamp(seconds: i64, nanos: i32) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos }
}

#[tokio::test]
async fn id_is_given_by_the_caller_or_a_uuid_of_version_7() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let drawn = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let id: uuid::Uuid = drawn.name.rsplit('/').next().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);

    let id = fresh_id();
    let given = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), Some(id.clone())).await.unwrap();
    assert_eq!(given.name, format!("{DEFAULT}/mailboxes/{id}"));
    let error = writer.mailboxes().create(DEFAULT, mailbox("other"), Some(id.clone())).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::AlreadyExists, ErrorReason::AlreadyExists));
    assert_eq!(error.metadata("dynamics_code"), Some("80040237"));
    assert_eq!((error.metadata("organization"), error.metadata("entity")), (Some("default"), Some("Mailbox")));
    assert_eq!(writer.mailboxes().get(&given.name).await.unwrap(), given);
    // An id is one entity's: another may use it too.
    let queue = mail_v1::Queue { display_name: Some("Sales".to_owned()), ..mail_v1::Queue::default() };
    writer.queues().create(DEFAULT, queue, Some(id.clone())).await.unwrap();

    for wrong in [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), format!(" {id}"), "1".to_owned()] {
        let outcome = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), Some(wrong.clone())).await;
        assert_eq!(refused_fields(outcome), set_of(["mailbox_id"]), "{wrong}");
        let outcome = writer.mailboxes().get(format!("{DEFAULT}/mailboxes/{wrong}")).await;
        assert_eq!(refused_fields(outcome), set_of(["name"]), "{wrong}");
    }

    let settings = || mail_v1::UserSettings {
        business_unit_id: Some(fresh_id()),
        time_zone_code: Some(110),
        locale_id: Some(1031),
        ui_language_id: Some(1031),
        help_language_id: Some(1031),
        ..mail_v1::UserSettings::default()
    };
    let outcome = writer.user_settings().create(DEFAULT, settings(), None).await;
    assert_eq!(refused_fields(outcome), set_of(["user_settings_id"]));
    writer.user_settings().create(DEFAULT, settings(), Some(id)).await.unwrap();
}

#[tokio::test]
async fn stale_etag_is_rejected() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let first = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let change = |etag: &str| mail_v1::Mailbox {
        name: first.name.clone(),
        etag: etag.to_owned(),
        username: Some(format!("of {etag}")),
        ..mail_v1::Mailbox::default()
    };
    let second = writer.mailboxes().update(change(&first.etag), ["username"]).await.unwrap();
    assert_ne!(second.etag, first.etag);
    assert_eq!(second.create_time, first.create_time);

    let stale = [
        writer.mailboxes().update(change(&first.etag), ["username"]).await.map(drop),
        writer.mailboxes().delete(&first.name, &first.etag).await,
    ];
    for outcome in stale {
        let error = outcome.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::Aborted, ErrorReason::EtagMismatch));
        assert_eq!(error.metadata("dynamics_code"), Some("80060882"));
        assert_eq!((error.metadata("organization"), error.metadata("entity")), (Some("default"), Some("Mailbox")));
    }
    assert_eq!(writer.mailboxes().get(&first.name).await.unwrap(), second);

    for malformed in ["x", "0", "01", "-1", "+1", " 1", "1 ", "99999999999999999999"] {
        let outcome = writer.mailboxes().update(change(malformed), ["username"]).await;
        assert_eq!(refused_fields(outcome), set_of(["mailbox.etag"]), "{malformed}");
        let outcome = writer.mailboxes().delete(&first.name, malformed).await;
        assert_eq!(refused_fields(outcome), set_of(["etag"]), "{malformed}");
    }
    writer.mailboxes().delete(&first.name, &second.etag).await.unwrap();
}

#[tokio::test]
async fn a_reference_names_a_record_of_its_collection_in_the_same_organization() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let admin = server.client(Person::Admin);
    admin.create_organization("contoso").await.unwrap();
    let profile = || mail_v1::EmailServerProfile {
        display_name: Some("Exchange".to_owned()),
        server_type: Some(1),
        ..mail_v1::EmailServerProfile::default()
    };
    let here = writer.email_server_profiles().create(DEFAULT, profile(), None).await.unwrap();
    let elsewhere = writer.email_server_profiles().create("organizations/contoso", profile(), None).await.unwrap();
    let other = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let missing = format!("{DEFAULT}/emailServerProfiles/{}", fresh_id());
    let refer = |to: &str| mail_v1::Mailbox { email_server_profile: Some(to.to_owned()), ..mailbox("hunter2") };
    for wrong in [&missing, &elsewhere.name, &other.name, &here.name.to_uppercase(), &format!("{}/", here.name), ""] {
        let outcome = writer.mailboxes().create(DEFAULT, refer(wrong), None).await;
        assert_eq!(refused_fields(outcome), set_of(["mailbox.email_server_profile"]), "{wrong}");
        let update = mail_v1::Mailbox { name: other.name.clone(), ..refer(wrong) };
        let outcome = writer.mailboxes().update(update, ["email_server_profile"]).await;
        assert_eq!(refused_fields(outcome), set_of(["mailbox.email_server_profile"]), "{wrong}");
    }

    let linked = writer.mailboxes().create(DEFAULT, refer(&here.name), None).await.unwrap();
    assert_eq!(linked.email_server_profile.as_deref(), Some(here.name.as_str()));
    writer.email_server_profiles().delete(&here.name, "").await.unwrap();
    let cleared = writer.mailboxes().get(&linked.name).await.unwrap();
    assert_eq!(cleared.email_server_profile, None);
    assert_ne!(cleared.etag, linked.etag);
    assert_eq!(cleared.is_password_set, Some(true));
    // Records without a link were not changed.
    assert_eq!(writer.mailboxes().get(&other.name).await.unwrap(), other);
}

fn page_of(size: i32) -> ListOptions {
    ListOptions::default().page_size(size)
}

fn page_after(size: i32, token: impl Into<String>) -> ListOptions {
    page_of(size).page_token(token)
}

async fn walk(mailboxes: Records<'_, mail_v1::Mailbox>, page_size: i32) -> Vec<String> {
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let page = mailboxes.list(DEFAULT, page_after(page_size, token)).await.unwrap();
        assert!(page.records.len() <= usize::try_from(page_size).unwrap());
        names.extend(page.records.into_iter().map(|record| record.name));
        token = page.next_page_token;
        if token.is_empty() {
            return names;
        }
    }
}

#[tokio::test]
async fn pages_have_every_record_once_in_the_order_of_ids() {
    let server = Server::start_with(|config| config.limits.page_size_max = 5).await;
    let writer = server.client(Person::Writer);
    let mut names = Vec::new();
    for _ in 0..7 {
        names.push(writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name);
    }
    names.sort();
    for page_size in [1, 2, 3, 5, 7, 1_000, i32::MAX] {
        assert_eq!(walk(writer.mailboxes(), page_size).await, names, "{page_size}");
    }
    // A size above the limit or an omitted one means the limit.
    for page_size in [0, 6, i32::MAX] {
        assert_eq!(writer.mailboxes().list(DEFAULT, page_of(page_size)).await.unwrap().records.len(), 5);
    }
    for page_size in [-1, i32::MIN] {
        assert_eq!(refused_fields(writer.mailboxes().list(DEFAULT, page_of(page_size)).await), set_of(["page_size"]));
    }

    // The last record of a page may be deleted; others are neither left out nor repeated.
    let first = writer.mailboxes().list(DEFAULT, page_of(3)).await.unwrap();
    writer.mailboxes().delete(&names[2], "").await.unwrap();
    let rest = writer.mailboxes().list(DEFAULT, page_after(5, first.next_page_token)).await.unwrap();
    assert_eq!(
        rest.records.iter().map(|record| &record.name).collect::<Vec<_>>(),
        names[3..].iter().collect::<Vec<_>>()
    );
    assert_eq!(rest.next_page_token, "");
}

#[tokio::test]
async fn a_page_token_is_for_its_caller_and_its_list_only() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let reader = server.client(Person::Reader);
    server.client(Person::Admin).create_organization("contoso").await.unwrap();
    for _ in 0..2 {
        writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    }
    let token = writer.mailboxes().list(DEFAULT, page_of(1)).await.unwrap().next_page_token;
    assert_eq!(writer.mailboxes().list(DEFAULT, page_after(1, &token)).await.unwrap().records.len(), 1);

    let flipped = |position: usize| {
        let mut bytes = token.clone().into_bytes();
        bytes[position] = if bytes[position] == b'0' { b'1' } else { b'0' };
        String::from_utf8(bytes).unwrap()
    };
    let forged = [
        flipped(0),
        flipped(31),
        flipped(32),
        flipped(token.len() - 1),
        token[2..].to_owned(),
        "x".to_owned(),
        "é".repeat(48),
    ];
    let mut outcomes = Vec::new();
    for forged in &forged {
        outcomes.push(writer.mailboxes().list(DEFAULT, page_after(1, forged)).await.map(drop));
    }
    outcomes.push(reader.mailboxes().list(DEFAULT, page_after(1, &token)).await.map(drop));
    outcomes.push(writer.queues().list(DEFAULT, page_after(1, &token)).await.map(drop));
    outcomes.push(writer.mailboxes().list("organizations/contoso", page_after(1, &token)).await.map(drop));
    outcomes.push(writer.list_organizations(1, &token).await.map(drop));
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, ErrorReason::PageTokenInvalid));
        assert_eq!(error.field_violations()[0].field, "page_token");
    }
}

#[tokio::test]
async fn concurrent_updates_of_one_record_all_succeed() {
    const WRITERS: usize = 16;
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let tasks: Vec<_> = (0..WRITERS)
        .map(|number| {
            let writer = writer.clone();
            let update = mail_v1::Mailbox {
                name: stored.name.clone(),
                username: Some(format!("user {number}")),
                password: Some(format!("password {number}")),
                ..mail_v1::Mailbox::default()
            };
            tokio::spawn(async move { writer.mailboxes().update(update, NO_MASK).await })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap().unwrap());
    }
    let mut revisions: Vec<usize> = answers.iter().map(|answer| answer.etag.parse().unwrap()).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (2..=WRITERS + 1).collect::<Vec<_>>());
    let last = answers.iter().max_by_key(|answer| answer.etag.parse::<usize>().unwrap()).unwrap();
    assert_eq!(writer.mailboxes().get(&stored.name).await.unwrap(), *last);
    let password = reveal(&server.client(Person::Connector), &stored.name).await.unwrap().unwrap();
    assert_eq!(password.replace("password", "user"), last.username.clone().unwrap());
}

#[tokio::test]
async fn one_of_concurrent_updates_with_one_etag_succeeds() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let writer = writer.clone();
            let update = mail_v1::Mailbox { username: Some(format!("user {number}")), ..stored.clone() };
            tokio::spawn(async move { writer.mailboxes().update(update, ["username"]).await })
        })
        .collect();
    let mut succeeded = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => succeeded += 1,
            Err(error) => assert_eq!(error.reason(), ErrorReason::EtagMismatch),
        }
    }
    assert_eq!(succeeded, 1);
}

#[tokio::test]
async fn every_method_reports_a_missing_record_as_not_found() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    for organization in [DEFAULT, "organizations/nowhere"] {
        let name = format!("{organization}/mailboxes/{}", fresh_id());
        let mut outcomes = vec![
            admin.mailboxes().get(&name).await.map(drop),
            admin.mailboxes().update(mail_v1::Mailbox { name: name.clone(), ..mailbox("x") }, NO_MASK).await.map(drop),
            admin.mailboxes().delete(&name, "").await,
            admin.mailboxes().delete(&name, "1").await,
            reveal(&admin, &name).await.map(drop),
        ];
        if organization != DEFAULT {
            outcomes.push(admin.mailboxes().create(organization, mailbox("x"), None).await.map(drop));
            outcomes.push(admin.mailboxes().list(organization, ListOptions::default()).await.map(drop));
            outcomes.push(admin.get_organization(organization).await.map(drop));
            outcomes.push(admin.is_data_encryption_active(organization).await.map(drop));
        }
        for outcome in outcomes {
            let error = outcome.unwrap_err();
            assert_eq!((error.code(), error.reason()), (Code::NotFound, ErrorReason::NotFound));
            assert_eq!(error.metadata("dynamics_code"), Some("80040217"));
            if organization == DEFAULT {
                assert_eq!(
                    (error.metadata("organization"), error.metadata("entity")),
                    (Some("default"), Some("Mailbox"))
                );
            }
        }
    }
}

#[tokio::test]
async fn organizations_are_created_shown_and_listed() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    let created = admin.create_organization("contoso").await.unwrap();
    assert_eq!(created.name, "organizations/contoso");
    assert!(created.uid.parse::<uuid::Uuid>().is_ok() && created.create_time.is_some());
    assert_eq!(admin.get_organization("organizations/contoso").await.unwrap(), created);
    assert!(admin.is_data_encryption_active("organizations/contoso").await.unwrap().is_active);

    let error = admin.create_organization("contoso").await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::AlreadyExists, ErrorReason::AlreadyExists));
    assert_eq!(error.metadata("dynamics_code"), Some("80040237"));
    let too_long = "a".repeat(64);
    for wrong in ["", "Contoso", "-a", "a-", "a b", "a/b", "a.b", "é", "..", &too_long] {
        assert_eq!(refused_fields(admin.create_organization(wrong).await), set_of(["organization_id"]), "{wrong}");
    }
    let longest = "a".repeat(63);
    for id in ["0", &longest] {
        admin.create_organization(id).await.unwrap();
    }

    let expected =
        ["0".to_owned(), longest, "contoso".to_owned(), "default".to_owned()].map(|id| format!("organizations/{id}"));
    for page_size in [1, 3, 4] {
        let (mut names, mut token) = (Vec::new(), String::new());
        loop {
            let page = admin.list_organizations(page_size, token).await.unwrap();
            names.extend(page.records.into_iter().map(|organization| organization.name));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(names, expected);
    }
    assert_eq!(refused_fields(admin.list_organizations(-1, "").await), set_of(["page_size"]));
}

#[tokio::test]
async fn a_record_of_one_organization_is_not_seen_in_another() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    admin.create_organization("contoso").await.unwrap();
    let id = fresh_id();
    let here = admin.mailboxes().create(DEFAULT, mailbox("of default"), Some(id.clone())).await.unwrap();
    let there = format!("organizations/contoso/mailboxes/{id}");
    assert_eq!(reason(admin.mailboxes().get(&there).await), ErrorReason::NotFound);
    assert_eq!(reason(reveal(&admin, &there).await), ErrorReason::NotFound);
    assert_eq!(reason(admin.mailboxes().delete(&there, "").await), ErrorReason::NotFound);
    assert_eq!(admin.mailboxes().list("organizations/contoso", ListOptions::default()).await.unwrap().records, []);

    // The same id in both is two records.
    admin.mailboxes().create("organizations/contoso", mailbox("of contoso"), Some(id)).await.unwrap();
    assert_eq!(reveal(&admin, &here.name).await.unwrap().as_deref(), Some("of default"));
    assert_eq!(reveal(&admin, &there).await.unwrap().as_deref(), Some("of contoso"));
    admin.mailboxes().delete(&there, "").await.unwrap();
    assert_eq!(admin.mailboxes().get(&here.name).await.unwrap(), here);
}
