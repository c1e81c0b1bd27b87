//! Valid values and errors about invalid ones: the form of texts, UUIDs, states, required values, and limits on errors.

use prost_reflect::{Kind, Value};
use sealward_client::{
    Client, Code, Error, ErrorReason, FieldViolation, ListOptions, SecretString,
    mail_v1::{
        self,
        mailbox::{StateCode, StatusCode},
    },
    v1::{
        self,
        attribute_metadata::{Format, RequiredLevel},
    },
};
use sealward_server::development::Person;

use crate::{
    due::scraped,
    harness::{DEFAULT, Server, inside::Inside, mailbox, reason},
    records::{create_least, entities, id_for, least, named, path, text},
};

const UPPER: &str = "0191E2A4-5B6C-7D8E-9FA0-B1C2D3E4F506";
const LOWER: &str = "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506";

/// The violations of an answer that must be FIELD_INVALID.
#[track_caller]
fn violations<T>(outcome: Result<T, Error>) -> Vec<FieldViolation> {
    let Err(error) = outcome else { panic!("the call should have been refused") };
    assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, ErrorReason::FieldInvalid), "{error}");
    error.field_violations().to_vec()
}

/// Fields and reasons of an answer that must be FIELD_INVALID.
#[track_caller]
fn reasons<T>(outcome: Result<T, Error>) -> Vec<(String, String)> {
    violations(outcome).into_iter().map(|violation| (violation.field, violation.reason)).collect()
}

fn pair(field: &str, reason: &str) -> (String, String) {
    (field.to_owned(), reason.to_owned())
}

fn key(text: &str) -> SecretString {
    text.to_owned().into()
}

#[tokio::test]
async fn reveal_of_too_many_attributes_is_refused_with_one_violation() {
    let server = Server::start_with(|config| {
        config.limits.reveal_attributes_max = 3;
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let connector = server.client(Person::Connector);
    let reveal = async |count: usize| connector.reveal_attributes(&stored.name, vec!["x"; count], "a test").await;
    let each: Vec<_> = (0..3).map(|position| pair(&format!("attributes[{position}]"), "NO_SUCH_FIELD")).collect();
    assert_eq!(reasons(reveal(3).await), each);
    for count in [4, 200_000] {
        let refused = violations(reveal(count).await);
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!((refused[0].field.as_str(), refused[0].reason.as_str()), ("attributes", "TOO_MANY"));
    }
    let metrics = scraped(server.metrics_address()).await;
    assert!(metrics.contains("sealward_refused_by_bound_total{bound=\"reveal_attributes_max\"} 2"), "{metrics}");
}

#[tokio::test]
async fn error_lists_16_violations_names_the_first_and_counts_the_others() {
    let server = Server::start().await;
    let reader = server.client(Person::Reader);
    let letters = || 'a'..='p';
    let paths =
        letters().flat_map(|one| letters().map(move |other| format!("no_such_field_with_a_long_name_{one}{other}")));
    let paths: Vec<String> = paths.collect();
    let error = reader.mailboxes().list(DEFAULT, ListOptions::default().read_mask(paths)).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, ErrorReason::FieldInvalid), "{error}");
    assert_eq!(error.field_violations().len(), 16);
    assert_eq!(error.metadata("violations_left_out"), Some("240"));
    assert_eq!(error.metadata("dynamics_codes"), Some(&*",".repeat(15)));
    let message = error.call().unwrap().message();
    assert_eq!(message, "read_mask: `no_such_field_with_a_long_name_aa` is not a field of this resource, and 255 more");
}

#[tokio::test]
async fn wrong_path_is_named_with_the_field_that_was_meant() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let meant = "`displayName` is not a field of this resource; did you mean `display_name`?";
    let described = |refused: Vec<FieldViolation>| -> Vec<String> {
        refused.into_iter().map(|violation| violation.description).collect()
    };
    let read = writer.mailboxes().get_fields(&stored.name, ["displayName"]).await;
    assert_eq!(described(violations(read)), [meant]);
    let update = mail_v1::Mailbox { name: stored.name.clone(), ..mail_v1::Mailbox::default() };
    let update = writer.mailboxes().update(update, ["displayName", "nothing"]).await;
    assert_eq!(described(violations(update)), [meant, "`nothing` is not a field of this resource"]);
    let order = writer.mailboxes().list(DEFAULT, ListOptions::default().order_by("displayName desc")).await;
    assert_eq!(described(violations(order)), [meant]);
}

#[tokio::test]
async fn filter_error_is_printed_once_in_message_and_violation() {
    let server = Server::start().await;
    let options = ListOptions::default().filter("nothing = 1");
    let error = server.client(Person::Reader).mailboxes().list(DEFAULT, options).await.unwrap_err();
    let words = "at position 0: Mailbox has no field `nothing`";
    assert_eq!(error.call().unwrap().message(), format!("filter: {words}"));
    assert_eq!(error.field_violations()[0].description, words);
}

#[tokio::test]
async fn control_characters_are_refused_in_every_single_line_attribute() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let mut checked = 0;
    for entity in &entities() {
        let is_text = |attribute: &&sealward_client::AttributeType| {
            let options = &attribute.options;
            attribute.field.kind() == Kind::String
                && !options.uuid
                && options.reference.is_none()
                && !options.output_only
                && options.max_length.is_none_or(|length| length >= 3)
        };
        for attribute in entity.attributes.iter().filter(is_text) {
            let with = |text: &str| {
                let mut record = least(entity);
                record.set_field(&attribute.field, Value::String(text.to_owned()));
                record
            };
            let field = path(entity, attribute.name());
            let always = ["a\u{1b}b", "a\u{85}b", "a\u{7f}b", "a\u{1}b"];
            let breaks = ["a\rb", "a\nb", "a\tb"];
            let records = writer.records(entity);
            let create = async |text: &str| records.create(DEFAULT, with(text), id_for(entity).as_deref()).await;
            for wrong in always {
                assert_eq!(reasons(create(wrong).await), [pair(&field, "HAS_CONTROL")], "{field} {wrong:?}");
            }
            for line_break in breaks {
                let outcome = create(line_break).await;
                if attribute.options.multi_line {
                    outcome.unwrap();
                } else {
                    assert_eq!(reasons(outcome), [pair(&field, "HAS_CONTROL")], "{field} {line_break:?}");
                }
            }
            checked += 1;
        }
    }
    assert!(checked >= 20, "{checked}");
}

#[tokio::test]
async fn descriptions_are_the_only_attributes_with_several_lines() {
    let multi_line: Vec<String> = entities()
        .iter()
        .flat_map(|entity| {
            let lines = entity.attributes.iter().filter(|attribute| attribute.options.multi_line);
            lines.map(|attribute| path(entity, attribute.name())).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(multi_line, ["email_server_profile.description", "queue.description"]);
}

#[tokio::test]
async fn empty_text_is_refused_where_schema_or_organization_requires_a_value() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let unnamed = || mail_v1::Mailbox { display_name: Some(String::new()), ..mailbox("hunter2") };
    let required = [pair("mailbox.display_name", "REQUIRED")];
    assert_eq!(reasons(writer.mailboxes().create(DEFAULT, unnamed(), None).await), required);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let unnamed = mail_v1::Mailbox { name: stored.name.clone(), ..unnamed() };
    assert_eq!(reasons(writer.mailboxes().update(unnamed, ["display_name"]).await), required);

    let level = v1::AttributeMetadata {
        name: format!("{DEFAULT}/entityMetadata/Mailbox/attributes/email_address"),
        required_level: Some(RequiredLevel::ApplicationRequired.into()),
        ..v1::AttributeMetadata::default()
    };
    server.client(Person::Admin).update_attribute_metadata(level, [""; 0], false).await.unwrap();
    let without = mail_v1::Mailbox { email_address: Some(String::new()), ..mailbox("hunter2") };
    let refused = writer.mailboxes().create(DEFAULT, without, None).await;
    assert_eq!(reasons(refused), [pair("mailbox.email_address", "REQUIRED")]);
}

#[tokio::test]
async fn uuids_are_checked_stored_in_lower_case_and_compared_as_uuids() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let owned = |owner: &str| mail_v1::Mailbox { owner_id: Some(owner.to_owned()), ..mailbox("hunter2") };
    for wrong in
        ["", "not-a-guid", "0191e2a45b6c7d8e9fa0b1c2d3e4f506", &format!("{{{LOWER}}}"), &LOWER.replace('0', "\u{660}")]
    {
        let refused = writer.mailboxes().create(DEFAULT, owned(wrong), None).await;
        let refused = reasons(refused);
        assert_eq!((refused.len(), refused[0].0.as_str()), (1, "mailbox.owner_id"), "{wrong}: {refused:?}");
        assert!(matches!(&*refused[0].1, "NOT_A_UUID" | "TOO_LONG"), "{refused:?}");
    }
    let stored = writer.mailboxes().create(DEFAULT, owned(UPPER), None).await.unwrap();
    assert_eq!(stored.owner_id.as_deref(), Some(LOWER));
    for filter in [
        format!("owner_id = {UPPER}"),
        format!("owner_id = \"{LOWER}\""),
        format!("owner_id != {} AND owner_id = {LOWER}", UPPER.replace('4', "5")),
        format!("NOT owner_id != {UPPER}"),
    ] {
        let found = writer.mailboxes().list(DEFAULT, ListOptions::default().filter(&filter)).await.unwrap().records;
        assert_eq!(found.len(), 1, "{filter}");
    }
    for filter in ["owner_id = x", "owner_id = \"0191*\"", "owner_id > 0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506"] {
        let listed = writer.mailboxes().list(DEFAULT, ListOptions::default().filter(filter)).await;
        assert_eq!(reason(listed), ErrorReason::FilterInvalid, "{filter}");
    }

    let profile = mail_v1::EmailServerProfile {
        display_name: Some("Sales".to_owned()),
        server_type: Some(2),
        ..mail_v1::EmailServerProfile::default()
    };
    let profile = writer.email_server_profiles().create(DEFAULT, profile, Some(LOWER.to_owned())).await.unwrap().name;
    let upper = profile.replace(LOWER, UPPER);
    let linked = mail_v1::Mailbox { email_server_profile: Some(upper.clone()), ..mailbox("hunter2") };
    let linked = writer.mailboxes().create(DEFAULT, linked, None).await.unwrap();
    assert_eq!(linked.email_server_profile.as_deref(), Some(&*profile));
    let filter = format!("email_server_profile = \"{upper}\"");
    let found = writer.mailboxes().list(DEFAULT, ListOptions::default().filter(filter)).await.unwrap().records;
    assert_eq!(found, [linked]);
}

async fn set(
    writer: &Client,
    name: &str,
    state: Option<StateCode>,
    status: Option<StatusCode>,
) -> Result<(StateCode, StatusCode), Error> {
    let changed = mail_v1::Mailbox {
        name: name.to_owned(),
        state_code: state.map(Into::into),
        status_code: status.map(Into::into),
        ..mail_v1::Mailbox::default()
    };
    let updated = writer.mailboxes().update(changed, [""; 0]).await?;
    Ok((updated.state_code(), updated.status_code()))
}

#[tokio::test]
async fn status_belongs_to_its_state_and_follows_a_change_of_it() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let misfit = [pair("mailbox.status_code", "STATUS_NOT_OF_STATE")];
    let wrong = mail_v1::Mailbox { status_code: Some(StatusCode::Inactive.into()), ..mailbox("hunter2") };
    assert_eq!(reasons(writer.mailboxes().create(DEFAULT, wrong, None).await), misfit);

    let (active, inactive) = (Some(StateCode::Active), Some(StateCode::Inactive));
    let name = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
    let both_inactive = (StateCode::Inactive, StatusCode::Inactive);
    let both_active = (StateCode::Active, StatusCode::Active);
    assert_eq!(set(&writer, &name, inactive, None).await.unwrap(), both_inactive);
    assert_eq!(set(&writer, &name, active, None).await.unwrap(), both_active);
    assert_eq!(set(&writer, &name, active, None).await.unwrap(), both_active);
    let error = set(&writer, &name, inactive, Some(StatusCode::Active)).await.unwrap_err();
    assert_eq!(error.metadata("dynamics_code"), Some("80048408"));
    assert_eq!(
        error.field_violations()[0].description,
        "must be STATUS_CODE_INACTIVE while state_code is STATE_CODE_INACTIVE"
    );
    assert_eq!(reasons(set(&writer, &name, None, Some(StatusCode::Inactive)).await), misfit);
    assert_eq!(set(&writer, &name, inactive, Some(StatusCode::Inactive)).await.unwrap(), both_inactive);
    assert_eq!(set(&writer, &name, None, Some(StatusCode::Inactive)).await.unwrap(), both_inactive);
    assert_eq!(reasons(set(&writer, &name, active, Some(StatusCode::Inactive)).await), misfit);
}

#[tokio::test]
async fn record_with_an_inconsistent_status_can_be_changed_and_repaired() {
    let server = Server::start().await;
    let name = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
    let folder = server.stop().await;
    Inside::organization(&folder).change(1, "UPDATE \"Mailbox\" SET state_code = 2");
    let server = Server::start_in(folder, |_| {}).await;
    let writer = server.client(Person::Writer);
    let renamed =
        mail_v1::Mailbox { name: name.clone(), username: Some("sales".to_owned()), ..mail_v1::Mailbox::default() };
    let renamed = writer.mailboxes().update(renamed, ["username"]).await.unwrap();
    assert_eq!((renamed.state_code(), renamed.status_code()), (StateCode::Inactive, StatusCode::Active));
    let repaired = set(&writer, &name, Some(StateCode::Inactive), None).await.unwrap();
    assert_eq!(repaired, (StateCode::Inactive, StatusCode::Inactive));
}

#[tokio::test]
async fn status_that_a_change_of_state_sets_is_recorded_like_any_other() {
    let server = Server::start().await;
    let (writer, admin) = (server.client(Person::Writer), server.client(Person::Admin));
    let status = format!("{DEFAULT}/entityMetadata/Mailbox/attributes/status_code");
    let audited =
        v1::AttributeMetadata { name: status.clone(), audited: Some(true), ..v1::AttributeMetadata::default() };
    admin.update_attribute_metadata(audited, [""; 0], false).await.unwrap();
    let name = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
    set(&writer, &name, Some(StateCode::Inactive), None).await.unwrap();
    let changes = admin.list_attribute_changes(&status, "operation = OPERATION_UPDATE", 0, "").await.unwrap().records;
    let value = |value: &Option<v1::AttributeValue>| format!("{:?}", value.as_ref().unwrap().kind);
    assert_eq!(changes.len(), 1);
    assert!(value(&changes[0].old_value).contains("STATUS_CODE_ACTIVE"), "{changes:?}");
    assert!(value(&changes[0].new_value).contains("STATUS_CODE_INACTIVE"), "{changes:?}");
}

#[tokio::test]
async fn metadata_has_dynamics_365_option_numbers_and_required_levels() {
    let server = Server::start().await;
    let reader = server.client(Person::Reader);
    let described = async |entity: &str| {
        reader.get_entity_metadata(format!("{DEFAULT}/entityMetadata/{entity}")).await.unwrap().attributes
    };
    let find = |attributes: &[v1::AttributeMetadata], name: &str| {
        attributes.iter().find(|attribute| attribute.name.ends_with(&format!("/attributes/{name}"))).unwrap().clone()
    };
    let profile = described("EmailServerProfile").await;
    let server_type = find(&profile, "server_type");
    let options: Vec<_> = server_type.choices.iter().map(|choice| (choice.number, choice.option)).collect();
    assert_eq!(options, [(1, Some(0)), (2, Some(1)), (3, Some(2)), (4, Some(3)), (5, Some(4))]);
    let status = find(&profile, "status_code");
    assert_eq!(status.state_attribute, "state_code");
    let states: Vec<_> = status.choices.iter().map(|choice| (choice.option, choice.state.as_str())).collect();
    assert_eq!(states, [(Some(1), "STATE_CODE_ACTIVE"), (Some(2), "STATE_CODE_INACTIVE")]);

    let (application, system) = (RequiredLevel::ApplicationRequired, RequiredLevel::SystemRequired);
    for (entity, name, level) in [
        ("EmailServerProfile", "display_name", application),
        ("EmailServerProfile", "server_type", application),
        ("EmailServerProfile", "state_code", system),
        ("EmailServerProfile", "status_code", RequiredLevel::None),
        ("Mailbox", "display_name", system),
        ("Queue", "display_name", application),
        ("Queue", "queue_view_type", system),
        ("UserSettings", "business_unit_id", system),
        ("UserSettings", "time_zone_code", system),
        ("UserSettings", "locale_id", application),
        ("UserSettings", "ui_language_id", system),
        ("UserSettings", "help_language_id", application),
    ] {
        assert_eq!(find(&described(entity).await, name).required_level(), level, "{entity}.{name}");
    }
    let queue = described("Queue").await;
    assert_eq!(find(&queue, "description").format(), Format::MultiLine);
    assert_eq!(find(&queue, "display_name").format(), Format::SingleLine);
    assert_eq!(find(&queue, "owner_id").format(), Format::Uuid);
    assert_eq!(find(&queue, "state_code").format(), Format::Unspecified);
}

#[tokio::test]
async fn read_mask_with_an_encrypted_attribute_returns_no_value() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    for entity in &entities() {
        let name = text(&create_least(&writer, entity).await, "name");
        let records = writer.records(entity);
        let secrets: Vec<String> = entity.encrypted().map(str::to_owned).collect();
        let mut secret = named(entity, &name);
        secrets
            .iter()
            .for_each(|secret_name| secret.set_field_by_name(secret_name, Value::String("canary".to_owned())));
        records.update(secret, &secrets).await.unwrap();
        let only_name = named(entity, &name);
        assert_eq!(records.get_fields(&name, &secrets).await.unwrap(), only_name);
        let options = ListOptions::default().read_mask(secrets.clone());
        assert_eq!(records.list(DEFAULT, options).await.unwrap().records, [only_name]);
    }
}

#[tokio::test]
async fn purposes_and_display_names_refuse_hidden_characters() {
    let server = Server::start().await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let (connector, admin) = (server.client(Person::Connector), server.client(Person::Admin));
    for (character, problem) in [
        ('\n', "HAS_CONTROL"),
        ('\u{2028}', "HAS_CONTROL"),
        ('\u{202e}', "HAS_INVISIBLE"),
        ('\u{2066}', "HAS_INVISIBLE"),
        ('\u{200b}', "HAS_INVISIBLE"),
        ('\u{feff}', "HAS_INVISIBLE"),
    ] {
        let text = format!("fetch{character}mail");
        let revealed = connector.reveal_attributes(&stored.name, ["password"], &text).await;
        assert_eq!(reasons(revealed), [pair("purpose", problem)], "{character:?}");
        let renamed = v1::AttributeMetadata {
            name: format!("{DEFAULT}/entityMetadata/Mailbox/attributes/email_address"),
            display_name: Some(text),
            ..v1::AttributeMetadata::default()
        };
        let renamed = admin.update_attribute_metadata(renamed, [""; 0], true).await;
        assert_eq!(reasons(renamed), [pair("attribute_metadata.display_name", problem)], "{character:?}");
    }
}

#[tokio::test]
async fn key_with_an_invisible_character_is_refused_when_it_is_set() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    for invisible in ['\u{feff}', '\u{200b}', '\u{fe0f}', '\u{e0041}'] {
        let error = admin.change_key(DEFAULT, &key(&format!("{invisible}a new key 1"))).await.unwrap_err();
        assert_eq!(error.reason(), ErrorReason::KeyValidation);
        let given: Vec<_> = error.field_violations().iter().map(|violation| violation.reason.as_str()).collect();
        assert_eq!(given, ["NO_SYMBOL", "HAS_INVISIBLE"], "{invisible:?}");
        assert_eq!(error.metadata("dynamics_codes"), Some("80048528,80048528"));
        assert!(error.call().unwrap().message().ends_with(", and 1 more"), "{error}");
    }
}

#[tokio::test]
async fn page_token_violation_has_a_reason() {
    let server = Server::start().await;
    let listed = server.client(Person::Reader).mailboxes().list(DEFAULT, ListOptions::default().page_token("x")).await;
    let error = listed.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::PageTokenInvalid);
    assert_eq!(error.field_violations()[0].reason, "NOT_A_PAGE_TOKEN");
}

#[tokio::test]
async fn malformed_name_of_four_megabytes_is_refused() {
    let server = Server::start().await;
    let reader = server.client(Person::Reader);
    let name = format!("{DEFAULT}{}", "/".repeat(3_900_000));
    let described = reader.get_entity_metadata(name.as_str()).await;
    assert_eq!(reasons(described), [pair("name", "NOT_A_NAME")]);
    assert_eq!(reasons(reader.mailboxes().get(name.as_str()).await), [pair("name", "NOT_A_NAME")]);
}
