//! Rules across fields: every built-in rule on the wire, and when a rule is checked.

use std::collections::BTreeSet;

use prost_reflect::DynamicMessage;
use sealward_client::{Client, Code, EntityType, Error, ErrorReason, FieldViolation, built_in_pool, mail_v1};
use sealward_server::development::Person;
use serde_json::{Map, Value as Json, json};

use crate::harness::{DEFAULT, Server, inside::Inside, mailbox};

fn entity(name: &str) -> EntityType {
    let all = EntityType::all(&built_in_pool()).unwrap();
    all.into_iter().find(|entity| entity.message.name() == name).unwrap()
}

/// A rule, a record that breaks it and no other, and changes to that record of which each alone makes it right.
struct Case {
    entity: &'static str,
    reason: String,
    dynamics_code: &'static str,
    breaks: Json,
    mends: Vec<Json>,
}

fn profile(reason: &str, dynamics_code: &'static str, breaks: Json, mends: Vec<Json>) -> Case {
    Case { entity: "EmailServerProfile", reason: reason.to_owned(), dynamics_code, breaks, mends }
}

/// The cases of both directions: `way_` in the keys means one of them. Disabling sending also fixes a violation of sending.
fn both_ways(rule: &str, dynamics_code: &'static str, breaks: Json, mends: &[Json]) -> [Case; 2] {
    ["incoming", "outgoing"].map(|way| {
        let reason = format!("{}_{rule}", way.to_uppercase());
        let mut breaks = in_direction(&breaks, way);
        let mut mends: Vec<Json> = mends.iter().map(|mend| in_direction(mend, way)).collect();
        if way == "outgoing" {
            breaks["use_same_settings_for_outgoing_connections"] = json!(false);
            if rule != "LOCATION_NOT_REQUIRED" {
                mends.push(json!({ "use_same_settings_for_outgoing_connections": true }));
            }
        }
        profile(&reason, dynamics_code, breaks, mends)
    })
}

fn in_direction(fields: &Json, way: &str) -> Json {
    let fields = fields.as_object().unwrap().iter();
    fields.map(|(key, value)| (key.replace("way_", &format!("{way}_")), value.clone())).collect::<Map<_, _>>().into()
}

fn cases() -> Vec<Case> {
    const SERVER: &str = "SERVER_TYPE_EXCHANGE_SERVER";
    const SERVER_HYBRID: &str = "SERVER_TYPE_EXCHANGE_SERVER_HYBRID";
    const ONLINE_HYBRID: &str = "SERVER_TYPE_EXCHANGE_ONLINE_HYBRID";
    const OTHER: &str = "SERVER_TYPE_OTHER";
    const IMAP: &str = "SERVER_TYPE_IMAP_SMTP";
    const BASIC: &str = "AUTHENTICATION_PROTOCOL_BASIC";
    const NTLM: &str = "AUTHENTICATION_PROTOCOL_NTLM";
    const NEGOTIATE: &str = "AUTHENTICATION_PROTOCOL_NEGOTIATE";
    const OAUTH: &str = "AUTHENTICATION_PROTOCOL_OAUTH";
    const ANONYMOUS: &str = "CREDENTIAL_RETRIEVAL_ANONYMOUS";
    const WINDOWS: &str = "CREDENTIAL_RETRIEVAL_WINDOWS_INTEGRATED";
    const PROFILE: &str = "CREDENTIAL_RETRIEVAL_EMAIL_SERVER_PROFILE";
    const MAILBOX: &str = "CREDENTIAL_RETRIEVAL_USER_OR_QUEUE";
    const GMAIL: &str = "CREDENTIAL_RETRIEVAL_GMAIL_OAUTH";
    const AAD: &str = "CREDENTIAL_RETRIEVAL_AAD_OAUTH";
    let server = |server_type: &str| json!({ "server_type": server_type });
    let any_server_else = |but: &[&str]| -> Vec<Json> {
        let all = [SERVER, SERVER_HYBRID, ONLINE_HYBRID, OTHER, IMAP];
        all.into_iter().filter(|server_type| !but.contains(server_type)).map(server).collect()
    };
    let or = |mut mends: Vec<Json>, more: &[Json]| {
        mends.extend(more.iter().cloned());
        mends
    };
    let mut cases = Vec::new();
    for other in [OTHER, IMAP] {
        let mends = or(any_server_else(&[OTHER, IMAP]), &[json!({ "use_auto_discover": false })]);
        let breaks = json!({ "server_type": other, "use_auto_discover": true });
        cases.push(profile("AUTO_DISCOVER_NOT_ALLOWED", "8005E204", breaks, mends));

        let mends = or(any_server_else(&[OTHER, IMAP]), &[json!({ "way_use_impersonation": false })]);
        let breaks = json!({ "server_type": other, "way_use_impersonation": true });
        cases.extend(both_ways("IMPERSONATION_NOT_ALLOWED", "8005E236", breaks, &mends));
    }
    let breaks = json!({ "server_type": SERVER, "use_auto_discover": true, "way_server_location": "mail.example.com" });
    let mends = [
        json!({ "use_auto_discover": false }),
        json!({ "way_server_location": "" }),
        json!({ "way_server_location": null, "default_server_location": "mail.example.com" }),
    ];
    cases.extend(both_ways("LOCATION_NOT_REQUIRED", "8005E205", breaks, &mends));

    let with_ssl = json!({ "way_use_ssl": true });
    for hybrid in [SERVER_HYBRID, ONLINE_HYBRID] {
        let mends = [with_ssl.clone(), server(OTHER), server(IMAP)];
        let breaks = json!({ "server_type": hybrid, "way_use_ssl": false });
        cases.extend(both_ways("SSL_REQUIRED_FOR_ONLINE", "8005E201", breaks, &mends));

        let protocol = json!({ "way_authentication_protocol": "AUTHENTICATION_PROTOCOL_AUTO_DETECT" });
        let mends = or(any_server_else(&[SERVER_HYBRID, ONLINE_HYBRID]), &[protocol]);
        for directory in [NTLM, NEGOTIATE] {
            let breaks = json!({ "server_type": hybrid, "way_authentication_protocol": directory });
            cases.extend(both_ways("DIRECTORY_AUTHENTICATION_NOT_ALLOWED", "8005E23C", breaks, &mends));
        }
        for retrieval in [ANONYMOUS, WINDOWS] {
            let mends = [json!({ "way_credential_retrieval": MAILBOX }), server(OTHER), server(IMAP)];
            let breaks = json!({ "server_type": hybrid, "way_credential_retrieval": retrieval });
            cases.extend(both_ways("CREDENTIAL_RETRIEVAL_NOT_FOR_ONLINE", "8005E202", breaks, &mends));
        }
    }
    let breaks = json!({ "server_type": SERVER, "way_use_ssl": false });
    let mends = [with_ssl.clone(), server(OTHER), server(IMAP)];
    cases.extend(both_ways("SSL_REQUIRED_FOR_ON_PREMISE", "8005E234", breaks, &mends));

    let breaks = json!({ "server_type": SERVER, "way_credential_retrieval": ANONYMOUS });
    let mends = [json!({ "way_credential_retrieval": WINDOWS }), server(OTHER), server(IMAP)];
    cases.extend(both_ways("CREDENTIAL_RETRIEVAL_NOT_FOR_EXCHANGE", "8005E203", breaks, &mends));

    for (retrieval, protocol) in [(GMAIL, BASIC), (AAD, NTLM), (GMAIL, NEGOTIATE)] {
        let mends = [
            json!({ "way_authentication_protocol": OAUTH }),
            json!({ "way_authentication_protocol": null }),
            json!({ "way_credential_retrieval": PROFILE }),
        ];
        let breaks = json!({
            "server_type": IMAP, "way_credential_retrieval": retrieval, "way_authentication_protocol": protocol,
        });
        cases.extend(both_ways("AUTHENTICATION_PROTOCOL_INVALID", "8005E23B", breaks, &mends));
    }

    let breaks = json!({ "server_type": OTHER, "way_use_ssl": false, "way_authentication_protocol": BASIC });
    let mends = [with_ssl, json!({ "way_authentication_protocol": null })];
    cases.extend(both_ways("BASIC_AUTHENTICATION_NOT_ALLOWED", "8005E23D", breaks, &mends));

    for username in [json!(null), json!("")] {
        let breaks = json!({
            "server_type": SERVER,
            "way_credential_retrieval": PROFILE,
            "way_username": username,
            "way_password": "hunter2",
        });
        let mends = [
            json!({ "way_username": "sales" }),
            json!({ "way_password": null }),
            json!({ "way_credential_retrieval": MAILBOX }),
        ];
        cases.extend(both_ways("USERNAME_MISSING", "8005E209", breaks, &mends));
    }
    cases.extend(mailbox_cases());
    cases
}

fn mailbox_cases() -> Vec<Case> {
    let missing = [json!(null), json!("")].map(|username| Case {
        entity: "Mailbox",
        reason: "USERNAME_MISSING".to_owned(),
        dynamics_code: "8005E209",
        breaks: json!({
            "allow_email_connector_to_use_credentials": true, "username": username, "password": "hunter2",
        }),
        mends: vec![
            json!({ "username": "sales" }),
            json!({ "password": null }),
            json!({ "allow_email_connector_to_use_credentials": false }),
        ],
    });
    let not_deletable = [
        ("incoming_email_delivery_method", "INCOMING_EMAIL_DELIVERY_METHOD_NONE"),
        ("incoming_email_delivery_method", "INCOMING_EMAIL_DELIVERY_METHOD_OUTLOOK"),
        ("outgoing_email_delivery_method", "OUTGOING_EMAIL_DELIVERY_METHOD_OUTLOOK"),
    ];
    let not_deletable = not_deletable.map(|(field, method)| Case {
        entity: "Mailbox",
        reason: "EMAILS_NOT_DELETABLE".to_owned(),
        dynamics_code: "8005E233",
        breaks: json!({ "process_and_delete_emails": true, field: method }),
        mends: vec![
            json!({ "process_and_delete_emails": false }),
            json!({ field: null }),
            json!({ field: format!("{}_EMAIL_DELIVERY_METHOD_SERVER_SIDE_SYNC", &field[..8].to_uppercase()) }),
        ],
    });
    missing.into_iter().chain(not_deletable).collect()
}

/// A record with a name and these fields; what is null is left out.
fn record(entity: &EntityType, fields: &Json, changes: &Json) -> DynamicMessage {
    let mut record = json!({ "display_name": "Sales" });
    for (name, value) in fields.as_object().unwrap().iter().chain(changes.as_object().unwrap()) {
        record[name] = value.clone();
    }
    DynamicMessage::deserialize(entity.message.clone(), record).unwrap()
}

/// The violations of a refusal, and the number of the original that it carries.
#[track_caller]
fn refusal<T>(outcome: Result<T, Error>) -> (Vec<FieldViolation>, String) {
    let Err(error) = outcome else { panic!("the call should have been refused") };
    assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, ErrorReason::FieldInvalid), "{error}");
    (error.field_violations().to_vec(), error.metadata("dynamics_code").unwrap().to_owned())
}

/// Fields and reasons of a refusal.
#[track_caller]
fn reasons<T>(outcome: Result<T, Error>) -> Vec<(String, String)> {
    refusal(outcome).0.into_iter().map(|violation| (violation.field, violation.reason)).collect()
}

fn pair(field: &str, reason: &str) -> (String, String) {
    (field.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn every_built_in_rule_refuses_only_its_violation() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    for Case { entity: name, reason, dynamics_code, breaks, mends } in cases() {
        let entity = entity(name);
        let rule = entity.options.rules.iter().find(|rule| rule.reason == reason).unwrap();
        let records = writer.records(&entity);

        let refused = records.create(DEFAULT, record(&entity, &breaks, &json!({})), None).await;
        let violation = FieldViolation {
            field: format!("{}.{}", entity.options.singular, rule.attribute),
            description: rule.description.clone(),
            reason: reason.clone(),
        };
        assert_eq!(refusal(refused), (vec![violation], dynamics_code.to_owned()), "{breaks}");
        for mend in mends {
            let created = records.create(DEFAULT, record(&entity, &breaks, &mend), None).await;
            assert!(created.is_ok(), "{reason}: {breaks} with {mend}: {created:?}");
        }
    }
}

#[test]
fn every_built_in_rule_has_a_case() {
    let covered: BTreeSet<_> = cases().iter().map(|case| (case.entity.to_owned(), case.reason.clone())).collect();
    let all = EntityType::all(&built_in_pool()).unwrap();
    let rules: BTreeSet<_> = all
        .iter()
        .flat_map(|entity| {
            entity.options.rules.iter().map(|rule| (entity.message.name().to_owned(), rule.reason.clone()))
        })
        .collect();
    assert!(!rules.is_empty());
    assert_eq!(covered, rules);
}

#[tokio::test]
async fn profile_of_every_server_type_needs_only_its_passwords() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    for server_type in 1..=5 {
        let profile = mail_v1::EmailServerProfile {
            display_name: Some("Sales".to_owned()),
            server_type: Some(server_type),
            incoming_password: Some("hunter2".to_owned()),
            outgoing_password: Some("hunter2".to_owned()),
            ..mail_v1::EmailServerProfile::default()
        };
        writer.email_server_profiles().create(DEFAULT, profile, None).await.unwrap();
    }
}

async fn stored_mailbox(writer: &Client) -> mail_v1::Mailbox {
    let stored = mail_v1::Mailbox {
        username: Some("sales".to_owned()),
        allow_email_connector_to_use_credentials: Some(true),
        ..mailbox("hunter2")
    };
    writer.mailboxes().create(DEFAULT, stored, None).await.unwrap()
}

#[tokio::test]
async fn rules_check_the_record_after_the_update() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let stored = stored_mailbox(&writer).await;
    let named = || mail_v1::Mailbox { name: stored.name.clone(), ..mail_v1::Mailbox::default() };
    let missing = [pair("mailbox.username", "USERNAME_MISSING")];

    assert_eq!(reasons(writer.mailboxes().update(named(), ["username"]).await), missing);
    // With another attribute in the same update it is right, and so it is after one that made it right.
    writer.mailboxes().update(named(), ["username", "password"]).await.unwrap();
    let password = mail_v1::Mailbox { password: Some("hunter3".to_owned()), ..named() };
    assert_eq!(reasons(writer.mailboxes().update(password.clone(), ["password"]).await), missing);
    let forbid = mail_v1::Mailbox { allow_email_connector_to_use_credentials: Some(false), ..named() };
    writer.mailboxes().update(forbid, ["allow_email_connector_to_use_credentials"]).await.unwrap();
    let last = writer.mailboxes().update(password, ["password"]).await.unwrap();

    let allow = mail_v1::Mailbox {
        allow_email_connector_to_use_credentials: Some(true),
        process_and_delete_emails: Some(true),
        outgoing_email_delivery_method: Some(2),
        ..named()
    };
    let both = [
        pair("mailbox.username", "USERNAME_MISSING"),
        pair("mailbox.process_and_delete_emails", "EMAILS_NOT_DELETABLE"),
    ];
    let mask: [&str; 0] = [];
    assert_eq!(reasons(writer.mailboxes().update(allow, mask).await), both);
    assert_eq!(writer.mailboxes().get(&stored.name).await.unwrap(), last);
}

#[tokio::test]
async fn record_older_than_a_rule_can_change_other_attributes() {
    let server = Server::start().await;
    let stored = stored_mailbox(&server.client(Person::Writer)).await;
    let folder = server.stop().await;
    Inside::organization(&folder).change(1, "UPDATE \"Mailbox\" SET username = NULL");
    let server = Server::start_in(folder, |_| {}).await;
    let writer = server.client(Person::Writer);
    let named = || mail_v1::Mailbox { name: stored.name.clone(), ..mail_v1::Mailbox::default() };
    let missing = [pair("mailbox.username", "USERNAME_MISSING")];

    let renamed = mail_v1::Mailbox { display_name: Some("Support".to_owned()), ..named() };
    writer.mailboxes().update(renamed, ["display_name"]).await.unwrap();
    let same = mail_v1::Mailbox { allow_email_connector_to_use_credentials: Some(true), ..named() };
    let outcome = writer.mailboxes().update(same, ["allow_email_connector_to_use_credentials"]).await;
    assert_eq!(reasons(outcome), missing);
    let password = mail_v1::Mailbox { password: Some("hunter3".to_owned()), ..named() };
    assert_eq!(reasons(writer.mailboxes().update(password, ["password"]).await), missing);
    let cleared = writer.mailboxes().update(named(), ["password"]).await.unwrap();
    assert_eq!(cleared.is_password_set, Some(false));
}

#[tokio::test]
async fn every_violation_has_a_reason_and_the_first_number_is_returned() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let unnamed = mail_v1::Mailbox { display_name: None, ..mailbox("hunter2") };
    let too_long =
        mail_v1::Mailbox { username: Some("u".repeat(201)), password: Some("p".repeat(201)), ..unnamed.clone() };
    let broken = mail_v1::Mailbox { allow_email_connector_to_use_credentials: Some(true), ..mailbox("hunter2") };
    let broken_too = mail_v1::Mailbox { email_address: Some("e".repeat(101)), ..broken.clone() };
    let required = pair("mailbox.display_name", "REQUIRED");
    let missing = pair("mailbox.username", "USERNAME_MISSING");
    for (record, wanted, code) in [
        (unnamed, vec![required.clone()], "80040203"),
        (
            too_long,
            vec![required, pair("mailbox.username", "TOO_LONG"), pair("mailbox.password", "TOO_LONG")],
            "80044331",
        ),
        (broken, vec![missing.clone()], "8005E209"),
        (broken_too, vec![pair("mailbox.email_address", "TOO_LONG"), missing], "80044331"),
    ] {
        let (violations, number) = refusal(writer.mailboxes().create(DEFAULT, record, None).await);
        let found: Vec<_> = violations.into_iter().map(|violation| (violation.field, violation.reason)).collect();
        assert_eq!((found, number.as_str()), (wanted, code));
    }
    let profile = mail_v1::EmailServerProfile {
        display_name: Some("Sales".to_owned()),
        server_type: Some(1),
        incoming_port_number: Some(65_536),
        ..mail_v1::EmailServerProfile::default()
    };
    let (violations, number) = refusal(writer.email_server_profiles().create(DEFAULT, profile, None).await);
    assert_eq!((violations[0].reason.as_str(), number.as_str()), ("OUT_OF_RANGE", "80061004"));
}
