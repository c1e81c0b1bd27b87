//! Batches: many records in one call, all or none, with the checks, the audit records and the idempotency of single calls.

use sealward_client::{
    Client, Code, Error, ErrorReason, ListOptions, WriteOptions,
    mail_v1::{CreateMailboxRequest, DeleteMailboxRequest, EmailServerProfile, Mailbox, UpdateMailboxRequest},
    new_request_id,
};
use sealward_server::development::Person;

use crate::harness::{DEFAULT, Server, inside::Inside, mailbox, reason, refused, reveal};

const NO_MASK: [&str; 0] = [];
const NO_NAMES: [&str; 0] = [];

/// A request to create a mailbox with this name.
fn create(display_name: &str) -> CreateMailboxRequest {
    let mailbox = Mailbox { display_name: Some(display_name.to_owned()), ..mailbox("hunter2") };
    CreateMailboxRequest { mailbox: Some(mailbox), ..CreateMailboxRequest::default() }
}

/// A request to change the display name of a mailbox.
fn rename(name: &str, display_name: &str) -> UpdateMailboxRequest {
    let display_name = Some(display_name.to_owned());
    let mailbox = Mailbox { name: name.to_owned(), display_name, ..Mailbox::default() };
    UpdateMailboxRequest { mailbox: Some(mailbox), ..UpdateMailboxRequest::default() }
}

fn delete(name: &str) -> DeleteMailboxRequest {
    DeleteMailboxRequest { name: name.to_owned(), ..DeleteMailboxRequest::default() }
}

fn id(number: u32) -> String {
    format!("0191e2a4-5b6c-7d8e-9fa0-0000{number:08x}")
}

fn name_of(number: u32) -> String {
    format!("{DEFAULT}/mailboxes/{}", id(number))
}

/// Creates mailboxes with the display names `0`, `1` …, and returns their names.
async fn created(client: &Client, count: usize) -> Vec<String> {
    let requests = (0..count).map(|number| create(&number.to_string())).collect();
    let created = client.mailboxes().batch_create(DEFAULT, requests, WriteOptions::default()).await.unwrap();
    created.into_iter().map(|mailbox| mailbox.name).collect()
}

async fn total(client: &Client) -> i64 {
    let options = ListOptions::default().page_size(1).with_total_size();
    client.mailboxes().list(DEFAULT, options).await.unwrap().total_size.unwrap()
}

/// The fields and reasons of an error's violations.
#[track_caller]
fn violations<T>(outcome: Result<T, Error>) -> Vec<(String, String)> {
    let Err(error) = outcome else { panic!("the call should have been refused") };
    error.field_violations().iter().map(|found| (found.field.clone(), found.reason.clone())).collect()
}

fn pair(field: &str, reason: &str) -> (String, String) {
    (field.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn batch_returns_records_in_the_order_of_its_requests() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let names = created(&writer, 1_000).await;
    assert_eq!((names.len(), total(&writer).await), (1_000, 1_000));
    let connector = server.client(Person::Connector);
    assert_eq!(reveal(&connector, &names[999]).await.unwrap().as_deref(), Some("hunter2"));

    let reversed: Vec<&String> = names.iter().rev().collect();
    let found = writer.mailboxes().batch_get(DEFAULT, reversed.clone(), ["display_name"]).await.unwrap();
    let found: Vec<_> = found.iter().map(|mailbox| (&mailbox.name, mailbox.display_name(), &*mailbox.etag)).collect();
    let expected: Vec<String> = (0..1_000).rev().map(|number| number.to_string()).collect();
    let expected: Vec<_> =
        reversed.iter().zip(&expected).map(|(name, display)| (*name, display.as_str(), "")).collect();
    assert_eq!(found, expected);

    let requests = names.iter().rev().map(|name| rename(name, "New")).collect();
    let updated = writer.mailboxes().batch_update(DEFAULT, requests, WriteOptions::default()).await.unwrap();
    assert!(updated.iter().zip(&reversed).all(|(mailbox, name)| mailbox.name == **name && mailbox.etag == "2"));
    assert!(updated.iter().all(|mailbox| mailbox.display_name() == "New" && mailbox.is_password_set == Some(true)));

    let requests = names.iter().map(|name| delete(name)).collect();
    writer.mailboxes().batch_delete(DEFAULT, requests, WriteOptions::default()).await.unwrap();
    assert_eq!(total(&writer).await, 0);
}

#[tokio::test]
async fn violation_names_its_item_and_nothing_is_written() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let names = created(&writer, 2).await;
    let nameless = CreateMailboxRequest { mailbox: Some(mailbox("hunter2")), ..CreateMailboxRequest::default() };
    let nameless = CreateMailboxRequest {
        mailbox: nameless.mailbox.map(|mailbox| Mailbox { display_name: None, ..mailbox }),
        mailbox_id: "x".to_owned(),
        ..nameless
    };
    let outcome = records.batch_create(DEFAULT, vec![create("a"), nameless], WriteOptions::default()).await;
    let expected = [pair("requests[1].mailbox_id", "NOT_A_UUID"), pair("requests[1].mailbox.display_name", "REQUIRED")];
    assert_eq!(violations(outcome), expected);

    let long = rename(&names[1], &"x".repeat(201));
    let outcome = records.batch_update(DEFAULT, vec![rename(&names[0], "b"), long], WriteOptions::default()).await;
    assert_eq!(violations(outcome), [pair("requests[1].mailbox.display_name", "TOO_LONG")]);

    // Options of the batch, and another organization.
    let options = CreateMailboxRequest {
        parent: "organizations/other".to_owned(),
        validate_only: true,
        request_id: new_request_id(),
        ..create("c")
    };
    let outcome = records.batch_create(DEFAULT, vec![options], WriteOptions::default()).await;
    let expected = [
        pair("requests[0].validate_only", "OF_BATCH"),
        pair("requests[0].request_id", "OF_BATCH"),
        pair("requests[0].parent", "NOT_A_NAME"),
    ];
    assert_eq!(violations(outcome), expected);
    let elsewhere = names[0].replace("organizations/default", "organizations/other");
    let outcome = records.batch_get(DEFAULT, [&names[1], &elsewhere], NO_MASK).await;
    assert_eq!(violations(outcome), [pair("names[1]", "NOT_A_NAME")]);
    let outcome = records.batch_delete(DEFAULT, vec![delete(&elsewhere)], WriteOptions::default()).await;
    assert_eq!(violations(outcome), [pair("requests[0].name", "NOT_A_NAME")]);

    let found = records.batch_get(DEFAULT, &names, NO_MASK).await.unwrap();
    assert!(found.iter().all(|mailbox| mailbox.etag == "1"));
    assert_eq!(total(&writer).await, 2);
}

#[tokio::test]
async fn empty_repeated_and_too_many_items_are_refused() {
    let server = Server::start_with(|config| config.limits.batch_items_max = 3).await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let names = created(&writer, 3).await;
    let options = WriteOptions::default;
    assert_eq!(violations(records.batch_get(DEFAULT, NO_NAMES, NO_MASK).await), [pair("names", "REQUIRED")]);
    assert_eq!(violations(records.batch_create(DEFAULT, vec![], options()).await), [pair("requests", "REQUIRED")]);
    assert_eq!(violations(records.batch_update(DEFAULT, vec![], options()).await), [pair("requests", "REQUIRED")]);
    assert_eq!(violations(records.batch_delete(DEFAULT, vec![], options()).await), [pair("requests", "REQUIRED")]);

    let twice = [&names[0], &names[1], &names[0]];
    assert_eq!(violations(records.batch_get(DEFAULT, twice, NO_MASK).await), [pair("names[2]", "REPEATED")]);
    let updates = twice.iter().map(|name| rename(name, "x")).collect();
    let outcome = records.batch_update(DEFAULT, updates, options()).await;
    assert_eq!(violations(outcome), [pair("requests[2].mailbox.name", "REPEATED")]);
    let deletes = twice.iter().map(|name| delete(name)).collect();
    let outcome = records.batch_delete(DEFAULT, deletes, options()).await;
    assert_eq!(violations(outcome), [pair("requests[2].name", "REPEATED")]);
    let same = || CreateMailboxRequest { mailbox_id: id(1), ..create("x") };
    let outcome = records.batch_create(DEFAULT, vec![same(), same()], options()).await;
    assert_eq!(violations(outcome), [pair("requests[1].mailbox_id", "REPEATED")]);

    let four = (0..4).map(|_| create("x")).collect();
    let metadata = [("bound", "batch_items_max"), ("dynamics_code", "80040203")];
    let outcome = records.batch_create(DEFAULT, four, options()).await;
    let error = refused(outcome, Code::InvalidArgument, ErrorReason::FieldInvalid, &metadata);
    assert_eq!(violations(Err::<(), _>(error)), [pair("requests", "TOO_MANY")]);
    let four: Vec<String> = (0..4).map(name_of).collect();
    assert_eq!(violations(records.batch_get(DEFAULT, four, NO_MASK).await), [pair("names", "TOO_MANY")]);
    assert_eq!(total(&writer).await, 3);
}

#[tokio::test]
async fn missing_existing_and_changed_records_are_named() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let names = created(&writer, 2).await;
    let mixed = || [names[0].clone(), name_of(1), names[1].clone(), name_of(2)];
    let missing = |error: Error, field: &str| {
        assert_eq!((error.code(), error.reason()), (Code::NotFound, ErrorReason::NotFound), "{error:?}");
        assert!(error.to_string().contains(&name_of(1)), "{error}");
        let found: Vec<_> = error.field_violations().iter().map(|found| found.field.clone()).collect();
        assert_eq!(found, [1, 3].map(|index| field.replace('*', &index.to_string())));
        assert!(error.field_violations()[1].description.contains(&name_of(2)), "{error:?}");
    };
    missing(records.batch_get(DEFAULT, mixed(), NO_MASK).await.unwrap_err(), "names[*]");
    let updates = mixed().iter().map(|name| rename(name, "x")).collect();
    let outcome = records.batch_update(DEFAULT, updates, WriteOptions::default()).await;
    missing(outcome.unwrap_err(), "requests[*].mailbox.name");
    for options in [WriteOptions::default(), WriteOptions::validate_only()] {
        let deletes = mixed().iter().map(|name| delete(name)).collect();
        let outcome = records.batch_delete(DEFAULT, deletes, options).await;
        missing(outcome.unwrap_err(), "requests[*].name");
    }

    let taken =
        |name: &String| CreateMailboxRequest { mailbox_id: name.rsplit('/').next().unwrap().to_owned(), ..create("x") };
    let requests = vec![taken(&names[1]), create("x"), taken(&names[0])];
    let outcome = records.batch_create(DEFAULT, requests, WriteOptions::default()).await;
    let error = outcome.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::AlreadyExists, ErrorReason::AlreadyExists));
    let expected = [0, 2].map(|index| pair(&format!("requests[{index}].mailbox_id"), "ALREADY_EXISTS"));
    assert_eq!(violations(Err::<(), _>(error)), expected);

    let stale = |request: UpdateMailboxRequest| UpdateMailboxRequest {
        mailbox: request.mailbox.map(|mailbox| Mailbox { etag: "7".to_owned(), ..mailbox }),
        ..request
    };
    let updates = vec![rename(&names[0], "x"), stale(rename(&names[1], "x"))];
    let error = records.batch_update(DEFAULT, updates, WriteOptions::default()).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Aborted, ErrorReason::EtagMismatch));
    assert_eq!(violations(Err::<(), _>(error)), [pair("requests[1].mailbox.etag", "ETAG_MISMATCH")]);
    let deletes = vec![delete(&names[0]), DeleteMailboxRequest { etag: "7".to_owned(), ..delete(&names[1]) }];
    let error = records.batch_delete(DEFAULT, deletes, WriteOptions::default()).await.unwrap_err();
    assert_eq!(violations(Err::<(), _>(error)), [pair("requests[1].etag", "ETAG_MISMATCH")]);

    let found = records.batch_get(DEFAULT, &names, NO_MASK).await.unwrap();
    assert!(found.iter().all(|mailbox| mailbox.etag == "1" && mailbox.display_name() != "x"));
}

#[tokio::test]
async fn missing_reference_names_every_item() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let profile = EmailServerProfile { display_name: Some("P".to_owned()), ..EmailServerProfile::default() };
    let profile = EmailServerProfile { server_type: Some(2), ..profile };
    let outcome = writer.email_server_profiles().create(DEFAULT, profile, None).await;
    let existing = outcome.map(|profile| profile.name).unwrap();
    let missing = format!("{DEFAULT}/emailServerProfiles/{}", id(1));
    let with = |profile: &String| {
        let request = create("x");
        let with = |mailbox| Mailbox { email_server_profile: Some(profile.clone()), ..mailbox };
        CreateMailboxRequest { mailbox: request.mailbox.map(with), ..request }
    };
    let requests = vec![with(&existing), with(&missing), create("x"), with(&missing)];
    let outcome = writer.mailboxes().batch_create(DEFAULT, requests, WriteOptions::default()).await;
    let field = |index| pair(&format!("requests[{index}].mailbox.email_server_profile"), "REFERENCE_MISSING");
    assert_eq!(violations(outcome), [field(1), field(3)]);
    assert_eq!(total(&writer).await, 0);

    // References are cleared when their targets are deleted.
    let requests = vec![with(&existing), create("x")];
    let created = writer.mailboxes().batch_create(DEFAULT, requests, WriteOptions::default()).await.unwrap();
    assert_eq!(created[0].email_server_profile.as_ref(), Some(&existing));
    let deletion = sealward_client::mail_v1::DeleteEmailServerProfileRequest { name: existing, ..Default::default() };
    writer.email_server_profiles().batch_delete(DEFAULT, vec![deletion], WriteOptions::default()).await.unwrap();
    let found = writer.mailboxes().get(&created[0].name).await.unwrap();
    assert_eq!((found.email_server_profile, found.etag.as_str()), (None, "2"));
}

#[tokio::test]
async fn repeated_batch_changes_nothing_and_returns_the_current_records() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let key = new_request_id();
    let create_both = || records.batch_create(DEFAULT, vec![create("a"), create("b")], WriteOptions::request_id(&key));
    let created = create_both().await.unwrap();
    assert_eq!(create_both().await.unwrap(), created);
    let other = records.batch_create(DEFAULT, vec![create("b"), create("a")], WriteOptions::request_id(&key)).await;
    assert_eq!(reason(other), ErrorReason::RequestIdReused);
    // A single create is another request.
    let single = records.create_with(DEFAULT, create("a").mailbox.unwrap(), None, WriteOptions::request_id(&key)).await;
    assert_eq!(reason(single), ErrorReason::RequestIdReused);
    assert_eq!(total(&writer).await, 2);

    let names: Vec<&str> = created.iter().map(|mailbox| mailbox.name.as_str()).collect();
    let key = new_request_id();
    let update_both = || {
        let updates = names.iter().map(|name| rename(name, "c")).collect();
        records.batch_update(DEFAULT, updates, WriteOptions::request_id(&key))
    };
    let updated = update_both().await.unwrap();
    records.update(rename(names[1], "d").mailbox.unwrap(), NO_MASK).await.unwrap();
    let again = update_both().await.unwrap();
    assert_eq!((&again[0], again[1].display_name(), &*again[1].etag), (&updated[0], "d", "3"));

    let key = new_request_id();
    let delete_both = || {
        let deletes = names.iter().map(|name| delete(name)).collect();
        records.batch_delete(DEFAULT, deletes, WriteOptions::request_id(&key))
    };
    delete_both().await.unwrap();
    delete_both().await.unwrap();
    let error = update_both().await.unwrap_err();
    assert_eq!((error.reason(), error.field_violations().len()), (ErrorReason::NotFound, 2));
}

#[tokio::test]
async fn what_an_update_clears_is_reported_for_each_record_also_to_a_repetition() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let profile = |location: &str| EmailServerProfile {
        display_name: Some("P".to_owned()),
        server_type: Some(2),
        incoming_server_location: Some(location.to_owned()),
        incoming_username: Some("service".to_owned()),
        incoming_password: Some("canary-1".to_owned()),
        ..EmailServerProfile::default()
    };
    let request = |location| sealward_client::mail_v1::CreateEmailServerProfileRequest {
        email_server_profile: Some(profile(location)),
        ..Default::default()
    };
    let profiles = writer.email_server_profiles();
    let requests = vec![request("a.example.org"), request("b.example.org")];
    let created = profiles.batch_create(DEFAULT, requests, WriteOptions::default()).await.unwrap();
    let key = new_request_id();
    let update = || {
        let moved = |stored: &EmailServerProfile| sealward_client::mail_v1::UpdateEmailServerProfileRequest {
            email_server_profile: Some(EmailServerProfile {
                name: stored.name.clone(),
                incoming_server_location: Some("b.example.org".to_owned()),
                ..EmailServerProfile::default()
            }),
            ..Default::default()
        };
        profiles.batch_update(DEFAULT, created.iter().map(moved).collect(), WriteOptions::request_id(&key))
    };
    for updated in [update().await.unwrap(), update().await.unwrap()] {
        assert_eq!(updated[0].cleared_attributes, ["incoming_password"]);
        assert_eq!(updated[1].cleared_attributes, [""; 0]);
        assert_eq!(updated[1].is_incoming_password_set, Some(true));
    }
}

#[tokio::test]
async fn dry_run_of_a_batch_leaves_no_trace() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let names = created(&writer, 2).await;
    let dry_run = WriteOptions::validate_only;
    let checked = records.batch_create(DEFAULT, vec![create("x"), create("y")], dry_run()).await.unwrap();
    assert_eq!(checked.iter().map(Mailbox::display_name).collect::<Vec<_>>(), ["x", "y"]);
    let updates = names.iter().map(|name| rename(name, "x")).collect();
    let checked = records.batch_update(DEFAULT, updates, dry_run()).await.unwrap();
    assert!(checked.iter().all(|mailbox| mailbox.etag == "2"));
    records.batch_delete(DEFAULT, names.iter().map(|name| delete(name)).collect(), dry_run()).await.unwrap();
    let found = records.batch_get(DEFAULT, &names, NO_MASK).await.unwrap();
    assert!(found.iter().all(|mailbox| mailbox.etag == "1"));
    assert_eq!(total(&writer).await, 2);
    let trail = Inside::organization(&server.stop().await).trail();
    assert_eq!(trail.iter().filter(|record| record.action == "write-encrypted-attributes").count(), 1);
}

#[tokio::test]
async fn batch_has_one_audit_record_that_lists_its_records() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let names = created(&writer, 3).await;
    // Without an effect on an encrypted attribute, there is no record.
    records.batch_update(DEFAULT, vec![rename(&names[0], "x")], WriteOptions::default()).await.unwrap();
    let clear = |name: &String| UpdateMailboxRequest {
        mailbox: Some(Mailbox { name: name.clone(), ..Mailbox::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["password".to_owned()] }),
        ..UpdateMailboxRequest::default()
    };
    let set = UpdateMailboxRequest {
        mailbox: Some(Mailbox { name: names[2].clone(), password: Some("new".to_owned()), ..Mailbox::default() }),
        ..UpdateMailboxRequest::default()
    };
    let updates = vec![clear(&names[0]), clear(&names[1]), set];
    records.batch_update(DEFAULT, updates, WriteOptions::default()).await.unwrap();

    let auditor = server.client(Person::Auditor);
    let filter = "action = \"write-encrypted-attributes\"";
    let page = auditor.list_audit_records(DEFAULT, filter, 0, "").await.unwrap();
    let ids = |names: &[&String]| -> Vec<String> {
        names.iter().map(|name| name.rsplit('/').next().unwrap().to_owned()).collect()
    };
    let found: Vec<_> = page
        .records
        .iter()
        .rev()
        .map(|record| (record.subject.as_str(), record.details.as_str(), record.records.clone()))
        .collect();
    let collection = format!("{DEFAULT}/mailboxes");
    let expected = [
        (collection.as_str(), "set password", ids(&[&names[0], &names[1], &names[2]])),
        (collection.as_str(), "cleared password", ids(&[&names[0], &names[1]])),
        (names[2].as_str(), "set password", Vec::new()),
    ];
    assert_eq!(found, expected);
    for (name, records) in [(&names[0], 2), (&names[1], 2), (&names[2], 2)] {
        let page = auditor.list_audit_records(DEFAULT, format!("record = \"{name}\""), 0, "").await.unwrap();
        assert_eq!(page.records.len(), records, "{name}");
    }
    assert!(auditor.verify_audit_trail(DEFAULT).await.unwrap().intact);
}

#[tokio::test]
async fn batch_needs_the_privileges_of_single_calls() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let names = created(&writer, 1).await;
    let reader = server.client(Person::Reader);
    let records = reader.mailboxes();
    assert_eq!(records.batch_get(DEFAULT, &names, NO_MASK).await.unwrap().len(), 1);
    let create = records.batch_create(DEFAULT, vec![create("x")], WriteOptions::default()).await;
    assert_eq!(reason(create), ErrorReason::PrivilegeMissing);
    let update = records.batch_update(DEFAULT, vec![rename(&names[0], "x")], WriteOptions::default()).await;
    assert_eq!(reason(update), ErrorReason::PrivilegeMissing);
    let delete = records.batch_delete(DEFAULT, vec![delete(&names[0])], WriteOptions::default()).await;
    assert_eq!(reason(delete), ErrorReason::PrivilegeMissing);
    let connector = server.client(Person::Connector);
    let get = connector.mailboxes().batch_get(DEFAULT, &names, NO_MASK).await;
    assert_eq!(reason(get), ErrorReason::PrivilegeMissing);
}

#[tokio::test]
async fn items_of_a_batch_count_towards_the_rate() {
    let server = Server::start_with(|config| config.limits.calls_per_second_per_identity = 50).await;
    let writer = server.client(Person::Writer);
    let names = created(&writer, 40).await;
    let error = writer.mailboxes().batch_get(DEFAULT, &names, NO_MASK).await.unwrap_err();
    assert_eq!((error.reason(), error.metadata("limit")), (ErrorReason::RateLimited, Some("50")));
    assert!(error.retry_delay().is_some());
    // Such a batch is never admitted.
    let reader = server.client(Person::Reader);
    let error = reader.mailboxes().batch_get(DEFAULT, (0..51).map(name_of), NO_MASK).await.unwrap_err();
    assert_eq!((error.reason(), error.retry_delay()), (ErrorReason::RateLimited, None));
}

#[tokio::test]
async fn answer_over_the_message_limit_is_refused_before_anything_is_done() {
    let server = Server::start_with(|config| config.limits.message_size_max_bytes = 262_144).await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let too_large = |outcome: Result<Vec<Mailbox>, Error>| {
        let metadata = [("bound", "message_size_max_bytes"), ("limit", "253952")];
        refused(outcome, Code::OutOfRange, ErrorReason::MessageTooLarge, &metadata);
    };
    let many = |count: usize| (0..count).map(|number| create(&number.to_string())).collect();
    too_large(records.batch_create(DEFAULT, many(1_000), WriteOptions::default()).await);
    assert_eq!(total(&writer).await, 0);
    let mut names = Vec::new();
    for _ in 0..5 {
        names.extend(created(&writer, 200).await);
    }
    too_large(records.batch_get(DEFAULT, &names, NO_MASK).await);
    let updates = names.iter().map(|name| rename(name, "x")).collect();
    too_large(records.batch_update(DEFAULT, updates, WriteOptions::default()).await);
    assert_eq!(records.get(&names[0]).await.unwrap().etag, "1");
}
