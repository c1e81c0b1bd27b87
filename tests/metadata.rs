//! The effect of metadata: an organization's settings of attributes, and the records of audited attributes.

use sealward_client::{
    Client, Code, Error, ErrorReason, ListOptions, WriteOptions,
    mail_v1::{EmailServerProfile, Mailbox, email_server_profile::ServerType, mailbox},
    v1::{
        AttributeChange, AttributeMetadata,
        attribute_change::Operation,
        attribute_metadata::{RequiredLevel, Type},
        attribute_value::Kind,
    },
};
use sealward_core::{
    metadata::setting::index_name,
    store::Commit,
    table::{AttributeSettingRow, TableRow as _},
};
use sealward_server::development::Person;

use crate::harness::{
    DEFAULT, Folder, Server,
    inside::{Inside, files_with},
    mailbox, reason, refused, reveal,
};

fn attribute(entity: &str, attribute: &str) -> AttributeMetadata {
    AttributeMetadata {
        name: format!("{DEFAULT}/entityMetadata/{entity}/attributes/{attribute}"),
        ..AttributeMetadata::default()
    }
}

fn email_address() -> AttributeMetadata {
    attribute("Mailbox", "email_address")
}

async fn update(admin: &Client, attribute: AttributeMetadata) -> Result<AttributeMetadata, Error> {
    admin.update_attribute_metadata(attribute, [""; 0], false).await
}

async fn set_audited(admin: &Client, mut attribute: AttributeMetadata, audited: bool) {
    attribute.audited = Some(audited);
    assert_eq!(update(admin, attribute).await.unwrap().audited, Some(audited));
}

/// Every violation of an answer that must be FIELD_INVALID: field and reason.
fn violations<T>(outcome: Result<T, Error>) -> Vec<(String, String)> {
    let Err(error) = outcome else { panic!("the call should have been refused") };
    assert_eq!(error.reason(), ErrorReason::FieldInvalid, "{error:?}");
    let violations = error.call().unwrap().field_violations().iter();
    violations.map(|violation| (violation.field.clone(), violation.reason.clone())).collect()
}

fn violation(field: &str, reason: &str) -> Vec<(String, String)> {
    vec![(field.to_owned(), reason.to_owned())]
}

async fn changes(admin: &Client, parent: &str, filter: &str) -> Vec<AttributeChange> {
    admin.list_attribute_changes(parent, filter, 0, "").await.unwrap().records
}

/// A change in one line: attribute, action, revision, old and new value.
fn line(change: &AttributeChange) -> String {
    let value = |value: &Option<sealward_client::v1::AttributeValue>| {
        value.as_ref().map_or("null".to_owned(), |value| match value.kind.as_ref().unwrap() {
            Kind::Boolean(value) => value.to_string(),
            Kind::Integer(value) => value.to_string(),
            Kind::Choice(text) | Kind::Text(text) => text.clone(),
            Kind::Reference(name) => name.split('/').nth(2).unwrap().to_owned(),
            Kind::Data(data) => format!("{data:?}"),
            Kind::Time(time) => time.to_string(),
        })
    };
    let operation = change.operation().as_str_name();
    let (old, new) = (value(&change.old_value), value(&change.new_value));
    format!("{} {operation} {} {old} -> {new}", change.attribute, change.revision)
}

#[tokio::test]
async fn entities_are_described_with_the_options_of_each_attribute() {
    let server = Server::start().await;
    let reader = server.client(Person::Reader);
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let page = reader.list_entity_metadata(DEFAULT, 1, token).await.unwrap();
        assert_eq!(page.records.len(), 1);
        names.extend(page.records.into_iter().map(|entity| entity.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let named = |entity: &str| format!("{DEFAULT}/entityMetadata/{entity}");
    assert_eq!(names, ["EmailServerProfile", "Mailbox", "Queue", "UserSettings"].map(named));

    let described = reader.get_entity_metadata(named("Mailbox")).await.unwrap();
    assert_eq!((&*described.display_name, &*described.collection), ("Mailbox", "mailboxes"));
    let of = |name: &str| {
        let full = format!("{}/attributes/{name}", described.name);
        described.attributes.iter().find(|attribute| attribute.name == full).unwrap()
    };
    let password = of("password");
    assert!(password.encrypted && password.valid_for_create && password.valid_for_update && !password.valid_for_read);
    assert!(!password.auditable && !password.customizable && !password.indexable);
    assert_eq!((password.r#type(), password.max_length), (Type::Text, Some(200)));
    let is_set = of("is_password_set");
    assert!(is_set.valid_for_read && !is_set.valid_for_create && !is_set.valid_for_update && !is_set.auditable);
    assert_eq!(is_set.reports_set, "password");
    let name = of("display_name");
    assert_eq!(name.required_level(), RequiredLevel::SystemRequired);
    let email = of("email_address");
    assert!(email.auditable && email.customizable && email.indexable && !email.encrypted);
    assert_eq!(
        (email.audited, email.indexed, email.display_name.as_deref()),
        (Some(false), Some(false), Some("Email address"))
    );
    assert_eq!(email.required_level(), RequiredLevel::None);
    let profile = of("email_server_profile");
    assert_eq!((profile.r#type(), &*profile.references), (Type::Reference, "emailServerProfiles"));
    assert!(of("state_code").choices.iter().any(|choice| choice.name == "STATE_CODE_ACTIVE"));

    let nothing = reader.get_entity_metadata(named("Nothing")).await;
    assert_eq!(reason(nothing), ErrorReason::NotFound);
    let wrong = reader.get_entity_metadata(format!("{DEFAULT}/entityMetadata/Mailbox/attributes/password")).await;
    assert_eq!(violations(wrong), violation("name", "NOT_A_NAME"));
}

#[tokio::test]
async fn an_audited_attribute_records_old_and_new_value_with_every_change() {
    let server = Server::start().await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    let profile = EmailServerProfile {
        display_name: Some("Post".to_owned()),
        server_type: Some(ServerType::ImapSmtp.into()),
        ..EmailServerProfile::default()
    };
    let profile = writer.email_server_profiles().create(DEFAULT, profile, None).await.unwrap();
    let unseen = Mailbox { email_address: Some("before@example.org".to_owned()), ..mailbox("secret of before") };
    writer.mailboxes().create(DEFAULT, unseen, None).await.unwrap();
    for name in ["email_address", "email_server_profile", "state_code", "process_and_delete_emails"] {
        set_audited(&admin, attribute("Mailbox", name), true).await;
    }

    let stored = Mailbox {
        email_address: Some("a@example.org".to_owned()),
        email_server_profile: Some(profile.name.clone()),
        username: Some("not audited".to_owned()),
        ..mailbox("secret of create")
    };
    let stored = writer.mailboxes().create(DEFAULT, stored, None).await.unwrap();
    let changed = |change: fn(&mut Mailbox)| {
        let mut mailbox = Mailbox { name: stored.name.clone(), ..Mailbox::default() };
        change(&mut mailbox);
        mailbox
    };
    let same = changed(|m| {
        m.email_address = Some("a@example.org".to_owned());
        m.username = Some("changed".to_owned());
        m.password = Some("secret of update".to_owned());
    });
    writer.mailboxes().update(same, ["email_address", "username", "password"]).await.unwrap();
    let other = changed(|m| m.email_address = Some("b@example.org".to_owned()));
    writer.mailboxes().update(other, ["email_address"]).await.unwrap();
    let state = changed(|m| {
        m.state_code = Some(mailbox::StateCode::Inactive.into());
        m.status_code = Some(mailbox::StatusCode::Inactive.into());
    });
    writer.mailboxes().update(state, ["state_code", "status_code", "email_address"]).await.unwrap();
    writer.email_server_profiles().delete(&profile.name, "").await.unwrap();
    writer.mailboxes().delete(&stored.name, "").await.unwrap();

    let of_record = changes(&admin, &stored.name, "").await;
    let mut lines: Vec<String> = of_record.iter().rev().map(line).collect();
    // The changes of one call have no order.
    for call in [0..4, 5..7, 8..10] {
        lines[call].sort();
    }
    assert_eq!(
        lines,
        [
            "email_address OPERATION_CREATE 1 null -> a@example.org",
            "email_server_profile OPERATION_CREATE 1 null -> emailServerProfiles",
            "process_and_delete_emails OPERATION_CREATE 1 null -> false",
            "state_code OPERATION_CREATE 1 null -> STATE_CODE_ACTIVE",
            "email_address OPERATION_UPDATE 3 a@example.org -> b@example.org",
            "email_address OPERATION_UPDATE 4 b@example.org -> null",
            "state_code OPERATION_UPDATE 4 STATE_CODE_ACTIVE -> STATE_CODE_INACTIVE",
            "email_server_profile OPERATION_UPDATE 5 emailServerProfiles -> null",
            "process_and_delete_emails OPERATION_DELETE 5 false -> null",
            "state_code OPERATION_DELETE 5 STATE_CODE_INACTIVE -> null",
        ]
    );
    for change in &of_record {
        assert_eq!((&*change.identity, &*change.record), ("cn:writer", &*stored.name));
        assert!(change.time.is_some() && !change.call_id.is_empty());
    }
    // By attribute, by organization, by a filter, and page by page.
    let of_attribute = changes(&admin, &email_address().name, "").await;
    assert_eq!(of_attribute.len(), 3);
    assert_eq!(changes(&admin, DEFAULT, "").await, of_record);
    let deletes = changes(&admin, DEFAULT, "operation = OPERATION_DELETE AND revision >= 5").await;
    assert!(deletes.len() == 2 && deletes.iter().all(|change| change.operation() == Operation::Delete));
    let (mut walked, mut token) = (Vec::new(), String::new());
    loop {
        let page = admin.list_attribute_changes(&*stored.name, "", 3, token).await.unwrap();
        walked.extend(page.records);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(walked, of_record);
    let elsewhere = admin.list_attribute_changes(DEFAULT, "", 3, "0100").await;
    assert_eq!(reason(elsewhere), ErrorReason::PageTokenInvalid);
    assert_eq!(reason(admin.list_attribute_changes(DEFAULT, "old_value:*", 0, "").await), ErrorReason::FilterInvalid);
    assert_eq!(reason(admin.list_attribute_changes(DEFAULT, "create_time:*", 0, "").await), ErrorReason::FilterInvalid);
    assert_eq!(
        violations(admin.list_attribute_changes("organizations/default/x", "", 0, "").await),
        violation("parent", "NOT_A_NAME")
    );

    let secret = admin.list_attribute_changes(attribute("Mailbox", "password").name, "", 0, "").await;
    let metadata = [("organization", "default"), ("entity", "Mailbox"), ("attribute", "password")];
    refused(secret, Code::FailedPrecondition, ErrorReason::EncryptedAttribute, &metadata);

    // After auditing is switched off, no more changes are recorded, and earlier ones are kept.
    set_audited(&admin, email_address(), false).await;
    let later = Mailbox { email_address: Some("later@example.org".to_owned()), ..mailbox("secret of later") };
    let later = writer.mailboxes().create(DEFAULT, later, None).await.unwrap();
    assert!(changes(&admin, &later.name, "").await.iter().all(|change| change.attribute != "email_address"));
    assert_eq!(changes(&admin, &email_address().name, "").await, of_attribute);

    let folder = server.stop().await;
    assert_eq!(files_with(&folder.path().join("organizations"), b"secret of"), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn links_removed_with_a_record_are_recorded_one_by_one() {
    let server = Server::start().await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    set_audited(&admin, attribute("Mailbox", "email_server_profile"), true).await;
    let profile = EmailServerProfile {
        display_name: Some("Post".to_owned()),
        server_type: Some(ServerType::ImapSmtp.into()),
        ..EmailServerProfile::default()
    };
    let profile = writer.email_server_profiles().create(DEFAULT, profile, None).await.unwrap();
    let mut names = Vec::new();
    for _ in 0..5 {
        let linked = Mailbox { email_server_profile: Some(profile.name.clone()), ..mailbox("hunter2") };
        names.push(writer.mailboxes().create(DEFAULT, linked, None).await.unwrap().name);
    }
    let checked = WriteOptions::validate_only();
    writer.email_server_profiles().delete_with(&profile.name, "", checked).await.unwrap();
    writer.email_server_profiles().delete(&profile.name, "").await.unwrap();
    for name in names {
        let stored = writer.mailboxes().get(&name).await.unwrap();
        assert_eq!((stored.email_server_profile, &*stored.etag), (None, "2"));
        let [cleared, linked] = &changes(&admin, &name, "").await[..] else { panic!("{name}") };
        assert_eq!(line(cleared), "email_server_profile OPERATION_UPDATE 2 emailServerProfiles -> null");
        assert_eq!(cleared.old_value, linked.new_value);
    }
}

/// How SQLite would read the mailboxes that a filter by e-mail address selects, or in that order.
fn plans(folder: &Folder) -> [String; 2] {
    let inside = Inside::organization(folder);
    let plan = |sql: &str| {
        let mut statement = inside.sqlite().prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.query_map([], |row| row.get::<_, String>("detail")).unwrap();
        steps.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    };
    [
        plan(r#"SELECT "id" FROM "Mailbox" WHERE "email_address" = 'a' ORDER BY "id" ASC NULLS FIRST LIMIT 51"#),
        plan(r#"SELECT "id" FROM "Mailbox" ORDER BY "email_address" ASC NULLS FIRST, "id" ASC NULLS FIRST LIMIT 51"#),
    ]
}

#[tokio::test]
async fn index_is_created_used_and_dropped() {
    sqlite_only!("reads the plans of SQLite");
    let server = Server::start().await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    for address in ["b@example.org", "a@example.org"] {
        let stored = Mailbox { email_address: Some(address.to_owned()), ..mailbox("hunter2") };
        writer.mailboxes().create(DEFAULT, stored, None).await.unwrap();
    }
    let found = async |client: &Client| {
        let options = ListOptions::default().filter("email_address = \"a@*\"").order_by("email_address");
        client.mailboxes().list(DEFAULT, options).await.unwrap().records.len()
    };
    assert_eq!(found(&writer).await, 1);
    let indexed = AttributeMetadata { indexed: Some(true), ..email_address() };
    assert_eq!(update(&admin, indexed.clone()).await.unwrap().indexed, Some(true));
    assert_eq!(found(&writer).await, 1);

    let entity = server.deployment().schema.by_name("Mailbox").unwrap().clone();
    let name = index_name(&entity, entity.attribute("email_address").unwrap());
    let folder = server.stop().await;
    let [by_filter, by_order] = plans(&folder);
    assert_eq!(by_filter, format!("SEARCH Mailbox USING COVERING INDEX {name} (email_address=?)"));
    assert_eq!(by_order, format!("SCAN Mailbox USING COVERING INDEX {name}"));

    let server = Server::start_in(folder, |_| {}).await;
    let admin = server.client(Person::Admin);
    assert_eq!(found(&server.client(Person::Writer)).await, 1);
    assert_eq!(update(&admin, indexed).await.unwrap().indexed, Some(true));
    update(&admin, AttributeMetadata { indexed: Some(false), ..email_address() }).await.unwrap();
    assert_eq!(found(&server.client(Person::Writer)).await, 1);
    let [by_filter, by_order] = plans(&server.stop().await);
    assert!(!by_filter.contains(&*name) && !by_order.contains(&*name), "{by_filter}; {by_order}");
}

#[tokio::test]
async fn length_and_required_level_apply_to_all_later_writes() {
    let server = Server::start().await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    let with = |address: Option<String>| Mailbox { email_address: address, ..mailbox("hunter2") };
    let long = || Some("a".repeat(100));
    let stored = writer.mailboxes().create(DEFAULT, with(long()), None).await.unwrap();
    let none = writer.mailboxes().create(DEFAULT, with(None), None).await.unwrap();

    let shorter = AttributeMetadata { max_length: Some(9), ..email_address() };
    assert_eq!(update(&admin, shorter).await.unwrap().max_length, Some(9));
    let too_long = violation("mailbox.email_address", "TOO_LONG");
    assert_eq!(violations(writer.mailboxes().create(DEFAULT, with(Some("a".repeat(10))), None).await), too_long);
    writer.mailboxes().create(DEFAULT, with(Some("a".repeat(9))), None).await.unwrap();
    // Stored values stay, can be read, and other attributes can be updated.
    let mut update_elsewhere = writer.mailboxes().get(&stored.name).await.unwrap();
    assert_eq!(update_elsewhere.email_address, long());
    update_elsewhere.username = Some("elsewhere".to_owned());
    writer.mailboxes().update(update_elsewhere.clone(), ["username"]).await.unwrap();
    assert_eq!(violations(writer.mailboxes().update(update_elsewhere, ["email_address"]).await), too_long);

    let longer = AttributeMetadata { max_length: Some(4_000), ..email_address() };
    update(&admin, longer).await.unwrap();
    writer.mailboxes().create(DEFAULT, with(Some("a".repeat(4_000))), None).await.unwrap();
    assert_eq!(violations(writer.mailboxes().create(DEFAULT, with(Some("a".repeat(4_001))), None).await), too_long);

    let level = RequiredLevel::ApplicationRequired;
    let required = AttributeMetadata { required_level: Some(level.into()), ..email_address() };
    assert_eq!(update(&admin, required).await.unwrap().required_level(), level);
    let missing = violation("mailbox.email_address", "REQUIRED");
    assert_eq!(violations(writer.mailboxes().create(DEFAULT, with(None), None).await), missing);
    let cleared = Mailbox { name: stored.name.clone(), ..Mailbox::default() };
    assert_eq!(violations(writer.mailboxes().update(cleared, ["email_address"]).await), missing);
    let without = Mailbox { name: none.name.clone(), username: Some("still".to_owned()), ..Mailbox::default() };
    writer.mailboxes().update(without, ["username"]).await.unwrap();

    // The settings survive a restart, and can be reset.
    let server = server.restart(|_| {}, |_| {}).await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    assert_eq!(violations(writer.mailboxes().create(DEFAULT, with(None), None).await), missing);
    let mask = ["max_length", "required_level", "display_name"];
    let named = AttributeMetadata { display_name: Some("Address".to_owned()), ..email_address() };
    let after = admin.update_attribute_metadata(named, mask, false).await.unwrap();
    assert_eq!((after.max_length, after.required_level()), (Some(100), RequiredLevel::None));
    assert_eq!(after.display_name.as_deref(), Some("Address"));
    writer.mailboxes().create(DEFAULT, with(None), None).await.unwrap();
    assert_eq!(violations(writer.mailboxes().create(DEFAULT, with(Some("a".repeat(101))), None).await), too_long);
    // The display name is that of the organization.
    let described = writer.get_entity_metadata(format!("{DEFAULT}/entityMetadata/Mailbox")).await.unwrap();
    assert!(described.attributes.contains(&after));
}

#[tokio::test]
async fn encrypted_attribute_cannot_be_customized() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    let encrypted = [
        ("EmailServerProfile", "incoming_password"),
        ("EmailServerProfile", "outgoing_password"),
        ("Mailbox", "password"),
        ("Queue", "email_password"),
        ("UserSettings", "email_password"),
    ];
    let asked: [fn(&mut AttributeMetadata); 5] = [
        |a| a.audited = Some(true),
        |a| a.indexed = Some(true),
        |a| a.display_name = Some("Word".to_owned()),
        |a| a.max_length = Some(10),
        |a| a.required_level = Some(RequiredLevel::ApplicationRequired.into()),
    ];
    for (entity, name) in encrypted {
        for ask in asked {
            let mut update_of = attribute(entity, name);
            ask(&mut update_of);
            for validate_only in [true, false] {
                let outcome = admin.update_attribute_metadata(update_of.clone(), [""; 0], validate_only).await;
                let metadata = [("organization", "default"), ("entity", entity), ("attribute", name)];
                let error = refused(outcome, Code::FailedPrecondition, ErrorReason::EncryptedAttribute, &metadata);
                assert!(error.to_string().contains("encrypted"), "{error}");
            }
        }
    }
    let folder = server.stop().await;
    let database = Inside::organization(&folder);
    assert_eq!(database.number(&format!("SELECT count(*) FROM {}", AttributeSettingRow::TABLE)), 0);
}

#[tokio::test]
async fn schema_is_not_weakened_and_all_faults_are_reported_together() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    let level = |entity, name, level: RequiredLevel| AttributeMetadata {
        required_level: Some(level.into()),
        ..attribute(entity, name)
    };
    for weaker in [
        level("Mailbox", "display_name", RequiredLevel::None),
        level("Mailbox", "display_name", RequiredLevel::ApplicationRequired),
        level("EmailServerProfile", "server_type", RequiredLevel::None),
    ] {
        let told = violation("attribute_metadata.required_level", "SYSTEM_REQUIRED");
        assert_eq!(violations(update(&admin, weaker).await), told);
    }
    for same in [
        level("Mailbox", "display_name", RequiredLevel::SystemRequired),
        level("EmailServerProfile", "server_type", RequiredLevel::ApplicationRequired),
    ] {
        let wanted = same.required_level();
        assert_eq!(update(&admin, same).await.unwrap().required_level(), wanted);
    }
    let all = AttributeMetadata {
        display_name: Some(String::new()),
        max_length: Some(9),
        required_level: Some(RequiredLevel::ApplicationRequired.into()),
        audited: Some(true),
        indexed: Some(true),
        ..attribute("Mailbox", "is_password_set")
    };
    let told = violations(update(&admin, all).await);
    assert_eq!(told.len(), 5, "{told:?}");
    let long = AttributeMetadata { indexed: Some(true), ..attribute("Queue", "description") };
    assert_eq!(violations(update(&admin, long).await), violation("attribute_metadata.indexed", "NOT_INDEXABLE"));
    for (path, field, reason) in [
        ("nothing", "update_mask", "NO_SUCH_FIELD"),
        ("encrypted", "attribute_metadata.encrypted", "OUTPUT_ONLY"),
        ("name", "attribute_metadata.name", "IMMUTABLE"),
    ] {
        let wrong_mask = admin.update_attribute_metadata(email_address(), [path], false).await;
        assert_eq!(violations(wrong_mask), violation(field, reason));
    }
    for name in ["Mailbox/attributes/nothing", "Nothing/attributes/password"] {
        let unknown =
            AttributeMetadata { name: format!("{DEFAULT}/entityMetadata/{name}"), ..AttributeMetadata::default() };
        assert_eq!(reason(update(&admin, unknown).await), ErrorReason::NotFound);
    }
}

#[tokio::test]
async fn customization_is_in_the_trail_once_and_a_dry_run_is_not() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    let wanted = AttributeMetadata { audited: Some(true), max_length: Some(50), ..email_address() };
    let checked = admin.update_attribute_metadata(wanted.clone(), [""; 0], true).await.unwrap();
    assert_eq!((checked.audited, checked.max_length), (Some(true), Some(50)));
    for _ in 0..2 {
        assert_eq!(update(&admin, wanted.clone()).await.unwrap(), checked);
    }
    let refused = server.client(Person::Writer).update_attribute_metadata(wanted.clone(), [""; 0], false).await;
    assert_eq!(reason(refused), ErrorReason::PrivilegeMissing);
    let trail = Inside::organization(&server.stop().await).trail();
    let told: Vec<_> = trail.iter().filter(|record| record.action == "update-attribute-metadata").collect();
    let [record] = told[..] else { panic!("{told:?}") };
    assert_eq!((&*record.subject, record.identity.as_deref()), (&*wanted.name, Some("cn:admin")));
    assert_eq!(record.details.as_deref(), Some("max_length: 100 -> 50; audited: false -> true"));
}

/// A setting that another server or call has just changed applies to a write that began earlier.
#[tokio::test]
async fn write_checked_with_older_metadata_is_checked_again() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let organization = server.deployment().organization(&"default".parse().unwrap()).unwrap();
    let choose = async |column: &str, max_length: i64, revision: i64| {
        let row = AttributeSettingRow {
            table_name: "Mailbox".to_owned(),
            column_name: column.to_owned(),
            display_name: None,
            max_length: Some(max_length),
            longest: None,
            required: false,
            audited: true,
            indexed: false,
            revision,
        };
        organization.store.commit(Commit::of(vec![row.insert()])).await.unwrap();
    };
    choose("email_address", 5, 1).await;
    let long = Mailbox { email_address: Some("a@example.org".to_owned()), ..mailbox("hunter2") };
    let too_long = violation("mailbox.email_address", "TOO_LONG");
    assert_eq!(violations(writer.mailboxes().create(DEFAULT, long, None).await), too_long);
    choose("username", 9, 2).await;
    let named = Mailbox { username: Some("a".to_owned()), ..stored.clone() };
    writer.mailboxes().update(named, ["username"]).await.unwrap();
    choose("display_name", 9, 3).await;
    writer.mailboxes().delete(&stored.name, "").await.unwrap();
    let mut lines: Vec<_> = changes(&server.client(Person::Admin), &stored.name, "").await.iter().map(line).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "display_name OPERATION_DELETE 2 Sales -> null",
            "username OPERATION_DELETE 2 a -> null",
            "username OPERATION_UPDATE 2 null -> a",
        ]
    );
}

#[tokio::test]
async fn repetition_returns_its_record_even_if_it_is_invalid_by_now() {
    let server = Server::start().await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    let wanted = || Mailbox { email_address: Some("a@example.org".to_owned()), ..mailbox("hunter2") };
    let options = || WriteOptions::request_id("0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506");
    let created = writer.mailboxes().create_with(DEFAULT, wanted(), None, options()).await.unwrap();
    update(&admin, AttributeMetadata { max_length: Some(5), ..email_address() }).await.unwrap();
    assert_eq!(writer.mailboxes().create_with(DEFAULT, wanted(), None, options()).await.unwrap(), created);
    let too_long = violation("mailbox.email_address", "TOO_LONG");
    assert_eq!(violations(writer.mailboxes().create(DEFAULT, wanted(), None).await), too_long);
}

#[tokio::test]
async fn export_contains_customizations_and_attribute_changes() {
    sqlite_only!("reads the plans of SQLite");
    let here = Server::start().await;
    let (admin, writer) = (here.client(Person::Admin), here.client(Person::Writer));
    let wanted = AttributeMetadata {
        audited: Some(true),
        indexed: Some(true),
        display_name: Some("Address".to_owned()),
        ..email_address()
    };
    let chosen = update(&admin, wanted).await.unwrap();
    let stored = Mailbox { email_address: Some("a@example.org".to_owned()), ..mailbox("hunter2") };
    writer.mailboxes().create(DEFAULT, stored, None).await.unwrap();
    let recorded = changes(&admin, DEFAULT, "").await;
    let mut stream = admin.export_organization(DEFAULT).await.unwrap();
    let mut file = Vec::new();
    while let Some(message) = stream.next().await.unwrap() {
        file.push(message.chunk);
    }

    let there = Server::start().await;
    let admin = there.client(Person::Admin);
    // It has the name of the organization that each server begins with.
    admin.delete_organization(DEFAULT).await.unwrap();
    admin.import_organization("", tokio_stream::iter(file)).await.unwrap();
    assert_eq!(changes(&admin, DEFAULT, "").await, recorded);
    let described = admin.get_entity_metadata(format!("{DEFAULT}/entityMetadata/Mailbox")).await.unwrap();
    assert!(described.attributes.contains(&chosen));
    let [by_filter, _] = plans(&there.stop().await);
    assert!(by_filter.contains("USING COVERING INDEX sealward_by_"), "{by_filter}");
}

/// A row that is written into the database can't enable the recording of a password.
#[tokio::test]
async fn row_that_enables_auditing_of_a_password_is_ignored() {
    sqlite_only!("writes a row with SQL of SQLite");
    let server = Server::start().await;
    let row = "INSERT INTO sealward_attribute_setting VALUES ('Mailbox', 'password', 'Open', 10, 10, 1, 1, 1, 1)";
    let folder = server.stop().await;
    Inside::organization(&folder).change(1, row);
    let server = Server::start_in(folder, |_| {}).await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("a secret of 24 characters"), None).await.unwrap();
    writer.mailboxes().update(Mailbox { password: None, ..stored.clone() }, ["password"]).await.unwrap();
    assert_eq!(reveal(&server.client(Person::Connector), &stored.name).await.unwrap(), None);
    assert_eq!(changes(&server.client(Person::Admin), DEFAULT, "").await, []);
    assert_eq!(files_with(&server.stop().await.path(), b"a secret of"), Vec::<std::path::PathBuf>::new());
}
