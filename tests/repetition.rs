//! Repetition: a write with a request id happens once even if its answers are lost, and a dry run leaves no trace.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{DynamicMessage, Value};
use sealward_client::{
    Action, Client, Code, EntityType, Error, ErrorReason, Origin, RetryPolicy, WriteOptions, built_in_pool, mail_v1,
    new_request_id,
};
use sealward_server::development::Person;

use crate::harness::{
    DEFAULT, Folder, Server,
    inside::{Inside, files_with, lose_configuration},
    mailbox,
    process::Process,
    proxy::Proxy,
    reason, refused, reveal, settled,
};

const NO_MASK: [&str; 0] = [];

/// The same request, once more.
fn request(id: &str) -> WriteOptions {
    WriteOptions::request_id(id)
}

/// A mailbox without a password.
fn named(display_name: &str) -> mail_v1::Mailbox {
    mail_v1::Mailbox { display_name: Some(display_name.to_owned()), ..mail_v1::Mailbox::default() }
}

/// An update of a mailbox: its name and a display name.
fn renamed(mailbox: &mail_v1::Mailbox, display_name: &str) -> mail_v1::Mailbox {
    mail_v1::Mailbox { name: mailbox.name.clone(), ..named(display_name) }
}

/// The name of a missing record in the collection of an existing one.
fn missing_beside(name: &str) -> String {
    format!("{}/00000000-0000-7000-8000-000000000000", name.rsplit_once('/').unwrap().0)
}

async fn mailboxes(client: &Client) -> Vec<mail_v1::Mailbox> {
    client.mailboxes().list(DEFAULT, sealward_client::ListOptions::default().page_size(1_000)).await.unwrap().records
}

/// An id that is another request's already.
#[track_caller]
fn reused<T>(outcome: Result<T, Error>) {
    let metadata = [("organization", "default")];
    let error = refused(outcome, Code::InvalidArgument, ErrorReason::RequestIdReused, &metadata);
    assert_eq!(error.action(), Action::FixCall);
    let fields: Vec<_> = error.field_violations().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["request_id"]);
}

/// Every row of every table.
fn rows(inside: &Inside) -> BTreeMap<String, BTreeSet<String>> {
    inside.everything()
}

fn remembered(inside: &Inside) -> usize {
    rows(inside)["sealward_request"].len()
}

/// Makes every stored request a day older.
fn a_day_later(inside: &Inside) {
    let day_us = 24_i64 * 3_600 * 1_000_000;
    inside.execute(&format!("UPDATE sealward_request SET time = time - {day_us}"));
}

#[tokio::test]
async fn repeated_create_makes_one_record_and_returns_its_current_state() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let own_id = "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506";
    for given in [None, Some(own_id.to_owned())] {
        let id = new_request_id();
        let records = writer.mailboxes();
        let create = || records.create_with(DEFAULT, mailbox("hunter2"), given.clone(), request(&id));
        let created = create().await.unwrap();
        assert_eq!(create().await.unwrap(), created);
        assert_eq!(mailboxes(&writer).await, std::slice::from_ref(&created));

        let changed = writer.mailboxes().update(renamed(&created, "Changed"), NO_MASK).await.unwrap();
        assert_eq!(create().await.unwrap(), changed);
        assert_eq!((changed.etag.as_str(), changed.is_password_set), ("2", Some(true)));

        writer.mailboxes().delete(&created.name, "").await.unwrap();
        assert_eq!(reason(create().await), ErrorReason::NotFound);
        assert_eq!(mailboxes(&writer).await, []);
    }
}

#[tokio::test]
async fn repeated_update_with_any_etag_is_applied_once() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let created = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let id = new_request_id();
    let records = writer.mailboxes();
    let update = || {
        let record =
            mail_v1::Mailbox { etag: "1".to_owned(), password: Some("second".to_owned()), ..renamed(&created, "B") };
        records.update_with(record, ["display_name", "password"], request(&id))
    };
    let updated = update().await.unwrap();
    assert_eq!(updated.etag, "2");
    assert_eq!(update().await.unwrap(), updated);

    // Later writes of other callers stay.
    let others = mail_v1::Mailbox { password: Some("third".to_owned()), ..renamed(&created, "C") };
    let others = writer.mailboxes().update(others, NO_MASK).await.unwrap();
    assert_eq!(update().await.unwrap(), others);
    let connector = server.client(Person::Connector);
    assert_eq!(reveal(&connector, &created.name).await.unwrap().as_deref(), Some("third"));
    // Another request with the same etag is too late.
    let late = mail_v1::Mailbox { etag: "1".to_owned(), ..renamed(&created, "B") };
    let late = writer.mailboxes().update_with(late, NO_MASK, request(&new_request_id())).await;
    assert_eq!(reason(late), ErrorReason::EtagMismatch);

    writer.mailboxes().delete(&created.name, "").await.unwrap();
    assert_eq!(reason(update().await), ErrorReason::NotFound);
}

#[tokio::test]
async fn repeated_delete_succeeds_and_keeps_a_newer_record() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let created = writer.mailboxes().create(DEFAULT, named("A"), None).await.unwrap();
    for etag in ["", "1"] {
        let id = new_request_id();
        let records = writer.mailboxes();
        let delete = || records.delete_with(&created.name, etag, request(&id));
        delete().await.unwrap();
        delete().await.unwrap();
        assert_eq!(reason(writer.mailboxes().delete(&created.name, etag).await), ErrorReason::NotFound);

        let record_id = created.name.rsplit('/').next().map(str::to_owned);
        let again = writer.mailboxes().create(DEFAULT, named("B"), record_id).await.unwrap();
        delete().await.unwrap();
        assert_eq!(mailboxes(&writer).await, [again]);
    }
}

#[tokio::test]
async fn dynamic_client_repeats_like_the_typed_one() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let entities = EntityType::all(&built_in_pool()).unwrap();
    let queue = entities.iter().find(|entity| entity.options.singular == "queue").unwrap();
    let record = |name: &str| {
        let mut record = DynamicMessage::new(queue.message.clone());
        record.set_field_by_name("display_name", Value::String("Sales".to_owned()));
        record.set_field_by_name("name", Value::String(name.to_owned()));
        record
    };
    let records = writer.records(queue);
    let (create, update, delete) = (new_request_id(), new_request_id(), new_request_id());
    let checked = records.create_with(DEFAULT, record(""), None, WriteOptions::validate_only()).await.unwrap();
    assert_eq!(checked.get_field_by_name("etag").unwrap().as_str(), Some("1"));
    let created = records.create_with(DEFAULT, record(""), None, request(&create)).await.unwrap();
    assert_eq!(records.create_with(DEFAULT, record(""), None, request(&create)).await.unwrap(), created);
    let name = created.get_field_by_name("name").unwrap().as_str().unwrap().to_owned();
    let mask = ["display_name".to_owned()];
    let updated = records.update_with(record(&name), &mask, request(&update)).await.unwrap();
    assert_eq!(records.update_with(record(&name), &mask, request(&update)).await.unwrap(), updated);
    assert_eq!(
        records.list(DEFAULT, sealward_client::ListOptions::default().page_size(0)).await.unwrap().records,
        [updated]
    );
    records.delete_with(&name, "", WriteOptions::validate_only()).await.unwrap();
    records.delete_with(&name, "", request(&delete)).await.unwrap();
    records.delete_with(&name, "", request(&delete)).await.unwrap();
    assert_eq!(records.list(DEFAULT, sealward_client::ListOptions::default().page_size(0)).await.unwrap().records, []);
}

#[tokio::test]
async fn another_request_with_the_same_id_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let id = new_request_id();
    let first = || mail_v1::Mailbox { username: Some(String::new()), ..mailbox("hunter2") };
    let created = records.create_with(DEFAULT, first(), None, request(&id)).await.unwrap();
    let other_bodies = [
        mailbox("hunter2"),
        mail_v1::Mailbox { password: Some("hunter3".to_owned()), ..first() },
        mail_v1::Mailbox { password: Some(String::new()), ..first() },
        mail_v1::Mailbox { password: None, ..first() },
        mail_v1::Mailbox { password: Some(String::new()), username: Some("hunter2".to_owned()), ..first() },
        mail_v1::Mailbox { display_name: Some("Sale".to_owned()), username: Some("s".to_owned()), ..first() },
        mail_v1::Mailbox { email_address: Some(String::new()), ..first() },
    ];
    for body in other_bodies {
        reused(records.create_with(DEFAULT, body, None, request(&id)).await);
    }
    let own_id = created.name.rsplit('/').next().map(str::to_owned);
    reused(records.create_with(DEFAULT, first(), own_id, request(&id)).await);
    let queue = mail_v1::Queue { display_name: Some("Sales".to_owned()), ..mail_v1::Queue::default() };
    reused(writer.queues().create_with(DEFAULT, queue, None, request(&id)).await);
    reused(records.update_with(renamed(&created, "B"), NO_MASK, request(&id)).await);
    reused(records.delete_with(&created.name, "", request(&id)).await);
    // Ignored fields and explicit defaults make no difference.
    let same = mail_v1::Mailbox { name: "x".to_owned(), etag: "x".to_owned(), is_password_set: Some(false), ..first() };
    assert_eq!(records.create_with(DEFAULT, same, None, request(&id)).await.unwrap(), created);

    let id = new_request_id();
    let update = || mail_v1::Mailbox { username: Some("u".to_owned()), ..renamed(&created, "B") };
    let mask = ["display_name", "username"];
    let updated = records.update_with(update(), mask, request(&id)).await.unwrap();
    let other = records.create(DEFAULT, named("other"), None).await.unwrap();
    for (record, mask) in [
        (mail_v1::Mailbox { username: None, ..update() }, &mask[..]),
        (mail_v1::Mailbox { etag: "2".to_owned(), ..update() }, &mask),
        (mail_v1::Mailbox { name: other.name.clone(), ..update() }, &mask),
        (update(), &["display_name"]),
        (update(), &["display_name", "username", "password"]),
    ] {
        reused(records.update_with(record, mask.iter().copied(), request(&id)).await);
    }
    // An update without a mask writes the given attributes: the same.
    assert_eq!(records.update_with(update(), NO_MASK, request(&id)).await.unwrap(), updated);
    assert_eq!(mailboxes(&writer).await, [updated, other]);
}

#[tokio::test]
async fn request_id_is_scoped_to_caller_and_organization() {
    const CONTOSO: &str = "organizations/contoso";
    let server = Server::start().await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    admin.create_organization("contoso").await.unwrap();
    let id = new_request_id();
    let mut names = BTreeSet::new();
    for (client, organization, name) in
        [(&writer, DEFAULT, "A"), (&admin, DEFAULT, "B"), (&writer, CONTOSO, "A"), (&admin, CONTOSO, "D")]
    {
        let created = client.mailboxes().create_with(organization, named(name), None, request(&id)).await.unwrap();
        let again = client.mailboxes().create_with(organization, named(name), None, request(&id)).await.unwrap();
        assert_eq!(again, created);
        names.insert(created.name);
    }
    assert_eq!(names.len(), 4);
    // A caller that may not write learns nothing about earlier writes.
    let reader = server.client(Person::Reader);
    let outcome = reader.mailboxes().create_with(DEFAULT, named("A"), None, request(&id)).await;
    assert_eq!(reason(outcome), ErrorReason::PrivilegeMissing);
}

#[tokio::test]
async fn invalid_or_refused_request_is_not_stored() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let created = records.create(DEFAULT, named("A"), None).await.unwrap();
    let own_id = created.name.rsplit('/').next().map(str::to_owned);
    let missing = format!("{DEFAULT}/emailServerProfiles/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506");
    let linked = mail_v1::Mailbox { email_server_profile: Some(missing.clone()), ..named("A") };

    let id = new_request_id();
    let nameless = mail_v1::Mailbox::default();
    assert_eq!(reason(records.create_with(DEFAULT, nameless, None, request(&id)).await), ErrorReason::FieldInvalid);
    assert_eq!(reason(records.create_with(DEFAULT, linked, None, request(&id)).await), ErrorReason::FieldInvalid);
    let taken = records.create_with(DEFAULT, named("A"), own_id, request(&id)).await;
    assert_eq!(reason(taken), ErrorReason::AlreadyExists);
    let stale = mail_v1::Mailbox { etag: "9".to_owned(), ..renamed(&created, "B") };
    assert_eq!(reason(records.update_with(stale, NO_MASK, request(&id)).await), ErrorReason::EtagMismatch);
    let gone = mail_v1::Mailbox { name: missing_beside(&created.name), ..named("B") };
    assert_eq!(reason(records.update_with(gone, NO_MASK, request(&id)).await), ErrorReason::NotFound);
    assert_eq!(reason(records.delete_with(&created.name, "9", request(&id)).await), ErrorReason::EtagMismatch);
    let inside = Inside::organization(server.folder());
    assert_eq!(remembered(&inside), 0);
    // So the id is still free. After its use, an invalid request is invalid, and a refused one reports the reuse.
    records.update_with(renamed(&created, "B"), NO_MASK, request(&id)).await.unwrap();
    let invalid = renamed(&created, &"x".repeat(1_000));
    assert_eq!(reason(records.update_with(invalid, NO_MASK, request(&id)).await), ErrorReason::FieldInvalid);
    reused(records.delete_with(&created.name, "9", request(&id)).await);
    assert_eq!(remembered(&inside), 1);

    for wrong in ["1", " ", &id.to_uppercase(), &id.replace('-', ""), &format!("{{{id}}}")] {
        let outcomes = [
            records.create_with(DEFAULT, named("A"), None, request(wrong)).await.map(drop),
            records.update_with(renamed(&created, "C"), NO_MASK, request(wrong)).await.map(drop),
            records.delete_with(&created.name, "", request(wrong)).await,
        ];
        for outcome in outcomes {
            let error =
                refused(outcome, Code::InvalidArgument, ErrorReason::FieldInvalid, &[("dynamics_code", "80040203")]);
            let fields: Vec<_> = error.field_violations().iter().map(|violation| violation.field.as_str()).collect();
            assert_eq!(fields, ["request_id"], "{wrong}");
        }
    }
    // Together with the other violations.
    let error = records.create_with(DEFAULT, mail_v1::Mailbox::default(), None, request("1")).await.unwrap_err();
    let fields: BTreeSet<_> = error.field_violations().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, BTreeSet::from(["request_id", "mailbox.display_name"]));
}

#[tokio::test]
async fn request_id_expires_after_24_hours_and_later_writes_remove_its_row() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let inside = Inside::organization(server.folder());
    let id = new_request_id();
    let first = records.create_with(DEFAULT, named("A"), None, request(&id)).await.unwrap();
    let minute_us = 60_000_000_i64;
    a_day_later(&inside);
    inside.execute(&format!("UPDATE sealward_request SET time = time + {minute_us}"));
    assert_eq!(records.create_with(DEFAULT, named("A"), None, request(&id)).await.unwrap(), first);
    inside.execute(&format!("UPDATE sealward_request SET time = time - {minute_us}"));
    // Expired although its row exists: errors are those of a first call, and the id can be used again.
    let stale = mail_v1::Mailbox { etag: "9".to_owned(), ..renamed(&first, "B") };
    assert_eq!(reason(records.update_with(stale, NO_MASK, request(&id)).await), ErrorReason::EtagMismatch);
    assert_eq!(remembered(&inside), 1);
    let second = records.create_with(DEFAULT, named("B"), None, request(&id)).await.unwrap();
    assert_eq!(records.create_with(DEFAULT, named("B"), None, request(&id)).await.unwrap(), second);
    assert_eq!(mailboxes(&writer).await, [first, second.clone()]);
    assert_eq!(remembered(&inside), 1);

    for _ in 0..40 {
        records.update_with(renamed(&second, "C"), NO_MASK, request(&new_request_id())).await.unwrap();
    }
    a_day_later(&inside);
    let mut left = Vec::new();
    for _ in 0..4 {
        records.update_with(renamed(&second, "C"), NO_MASK, request(&new_request_id())).await.unwrap();
        left.push(remembered(&inside));
    }
    // Each write adds one and removes up to 16.
    assert_eq!(left, [26, 11, 3, 4]);
    // A write without a request id removes none.
    records.update(renamed(&second, "D"), NO_MASK).await.unwrap();
    assert_eq!(remembered(&inside), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_calls_with_one_id_make_one_record() {
    let server = Server::start().await;
    let writers = [server.client(Person::Writer), server.client(Person::Writer)];
    let id = new_request_id();
    let calls: Vec<_> = (0..100)
        .map(|number| {
            let (writer, id) = (writers[number % 2].clone(), id.clone());
            tokio::spawn(async move {
                // One in five asks for something else.
                let record = if number % 5 == 0 { named("other") } else { mailbox("hunter2") };
                let is_other = record.password.is_none();
                (is_other, writer.mailboxes().create_with(DEFAULT, record, None, request(&id)).await)
            })
        })
        .collect();
    let mut answered = Vec::new();
    for call in calls {
        answered.push(call.await.unwrap());
    }
    let [only] = &mailboxes(&writers[0]).await[..] else { panic!("exactly one record must exist") };
    let made_is_other = only.display_name.as_deref() == Some("other");
    for (is_other, outcome) in answered {
        if is_other == made_is_other { assert_eq!(outcome.unwrap(), *only) } else { reused(outcome) }
    }

    let id = new_request_id();
    let calls: Vec<_> = (0..100)
        .map(|number: usize| {
            let (writer, id) = (writers[number % 2].clone(), id.clone());
            let record = mail_v1::Mailbox { etag: "1".to_owned(), ..renamed(only, "B") };
            tokio::spawn(async move { writer.mailboxes().update_with(record, NO_MASK, request(&id)).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().etag, "2");
    }
    let id = new_request_id();
    let calls: Vec<_> = (0..100)
        .map(|number: usize| {
            let (writer, id, name) = (writers[number % 2].clone(), id.clone(), only.name.clone());
            tokio::spawn(async move { writer.mailboxes().delete_with(name, "2", request(&id)).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(mailboxes(&writers[0]).await, []);
}

#[tokio::test]
async fn a_repetition_is_known_after_a_restart_and_while_the_key_is_missing() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let ids: Vec<String> = (0..4).map(|_| new_request_id()).collect();
    let created = writer.mailboxes().create_with(DEFAULT, mailbox("hunter2"), None, request(&ids[0])).await.unwrap();
    let second =
        |record: &mail_v1::Mailbox| mail_v1::Mailbox { password: Some("second".to_owned()), ..renamed(record, "B") };
    let updated = writer.mailboxes().update_with(second(&created), NO_MASK, request(&ids[1])).await.unwrap();

    let server = server.restart(lose_configuration, |_| {}).await;
    let (writer, admin) = (server.client(Person::Writer), server.client(Person::Admin));
    assert!(!admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active);
    let records = writer.mailboxes();
    let again = records.create_with(DEFAULT, mailbox("hunter2"), None, request(&ids[0])).await.unwrap();
    assert_eq!(again, updated);
    assert_eq!(records.update_with(second(&created), NO_MASK, request(&ids[1])).await.unwrap(), updated);
    reused(records.create_with(DEFAULT, mailbox("hunter3"), None, request(&ids[0])).await);
    // A new request that needs the key is refused and not stored; one that doesn't need it is made and stored.
    let inactive = ErrorReason::DataEncryptionInactive;
    assert_eq!(reason(records.create_with(DEFAULT, mailbox("x"), None, request(&ids[2])).await), inactive);
    let plain = records.create_with(DEFAULT, named("C"), None, request(&ids[2])).await.unwrap();
    assert_eq!(records.create_with(DEFAULT, named("C"), None, request(&ids[2])).await.unwrap(), plain);
    records.delete_with(&plain.name, "", request(&ids[3])).await.unwrap();
    let server = server.restart(|_| {}, |_| {}).await;
    let records = server.client(Person::Writer);
    records.mailboxes().delete_with(&plain.name, "", request(&ids[3])).await.unwrap();
    assert_eq!(mailboxes(&records).await, [updated]);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_killed_during_writes_applies_each_request_at_most_once() {
    const WRITES: usize = 24;
    let folder = Folder::new();
    let mut names = BTreeSet::new();
    for round in 1..=3 {
        let server = Process::start(&folder.path());
        let ids: Vec<String> = (0..WRITES).map(|_| new_request_id()).collect();
        let create = |client: Client, id: String, number: usize| async move {
            let record = mailbox(&format!("{round} {number}"));
            client.mailboxes().create_with(DEFAULT, record, None, request(&id)).await
        };
        let writer = folder.client(&server.address, Person::Writer);
        let mut calls: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(number, id)| tokio::spawn(create(writer.clone(), id.clone(), number)))
            .collect();
        // The kill falls among the writes: one of them, at least, is acknowledged by then.
        calls.remove(round * 4).await.unwrap().unwrap();
        server.kill();
        for call in calls {
            let _made_or_not = call.await.unwrap();
        }

        let server = Process::start(&folder.path());
        let writer = folder.client(&server.address, Person::Writer);
        let connector = folder.client(&server.address, Person::Connector);
        for (number, id) in ids.iter().enumerate() {
            let made = create(writer.clone(), id.clone(), number).await.unwrap();
            assert_eq!((made.etag.as_str(), made.is_password_set), ("1", Some(true)));
            assert_eq!(reveal(&connector, &made.name).await.unwrap(), Some(format!("{round} {number}")));
            assert!(names.insert(made.name), "two requests made one record");
        }
        let there: BTreeSet<String> = mailboxes(&writer).await.into_iter().map(|mailbox| mailbox.name).collect();
        assert_eq!(there, names);
        server.kill();
    }
}

#[tokio::test]
async fn validate_only_write_returns_the_result_and_leaves_no_trace() {
    let server = Server::start().await;
    let (writer, admin) = (server.client(Person::Writer), server.client(Person::Admin));
    let profile =
        mail_v1::EmailServerProfile { display_name: Some("P".to_owned()), server_type: Some(1), ..Default::default() };
    let profile = admin.email_server_profiles().create(DEFAULT, profile, None).await.unwrap();
    let linked = mail_v1::Mailbox { email_server_profile: Some(profile.name.clone()), ..mailbox("hunter2") };
    let stored = writer.mailboxes().create(DEFAULT, linked, None).await.unwrap();
    let records = writer.mailboxes();
    let check = WriteOptions::validate_only;
    let inside = Inside::organization(server.folder());
    let before = rows(&inside);
    let own_id = "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506".to_owned();

    // The result of the write.
    let checked = records.create_with(DEFAULT, mailbox("x"), Some(own_id.clone()), check()).await.unwrap();
    assert_eq!(checked.name, format!("{DEFAULT}/mailboxes/{own_id}"));
    assert_eq!((checked.etag.as_str(), checked.is_password_set, &checked.password), ("1", Some(true), &None));
    assert_eq!(checked.create_time, checked.update_time);
    let drawn = records.create_with(DEFAULT, mailbox("x"), None, check()).await.unwrap();
    assert!(drawn.name.rsplit('/').next().unwrap().parse::<uuid::Uuid>().is_ok());
    let change = || mail_v1::Mailbox { etag: "1".to_owned(), username: Some("u".to_owned()), ..renamed(&stored, "B") };
    let mask = ["display_name", "username", "password"];
    let would_be = records.update_with(change(), mask, check()).await.unwrap();
    assert_eq!((would_be.etag.as_str(), would_be.is_password_set), ("2", Some(false)));
    assert_eq!((would_be.display_name.as_deref(), would_be.username.as_deref()), (Some("B"), Some("u")));
    assert_eq!(would_be.email_server_profile, Some(profile.name.clone()));
    records.delete_with(&stored.name, "1", check()).await.unwrap();
    admin.email_server_profiles().delete_with(&profile.name, "", check()).await.unwrap();
    assert_eq!(rows(&inside), before);

    // The refusal of the write.
    let missing = missing_beside(&profile.name);
    let badly_linked = || mail_v1::Mailbox { email_server_profile: Some(missing.clone()), ..named("A") };
    let taken = stored.name.rsplit('/').next().map(str::to_owned);
    let gone = mail_v1::Mailbox { name: missing_beside(&stored.name), ..named("B") };
    let gone_name = gone.name.clone();
    let stale = mail_v1::Mailbox { etag: "2".to_owned(), ..change() };
    let relinked = mail_v1::Mailbox { name: stored.name.clone(), ..badly_linked() };
    let refusals = [
        (records.create_with(DEFAULT, mail_v1::Mailbox::default(), None, check()).await, ErrorReason::FieldInvalid),
        (records.create_with(DEFAULT, badly_linked(), None, check()).await, ErrorReason::FieldInvalid),
        (records.create_with(DEFAULT, mailbox("x"), taken, check()).await, ErrorReason::AlreadyExists),
        (records.create_with("organizations/none", named("A"), None, check()).await, ErrorReason::NotFound),
        (records.update_with(change(), ["nothing"], check()).await, ErrorReason::FieldInvalid),
        (records.update_with(relinked, NO_MASK, check()).await, ErrorReason::FieldInvalid),
        (records.update_with(stale, mask, check()).await, ErrorReason::EtagMismatch),
        (records.update_with(gone, NO_MASK, check()).await, ErrorReason::NotFound),
        (
            server.client(Person::Reader).mailboxes().update_with(change(), mask, check()).await,
            ErrorReason::PrivilegeMissing,
        ),
    ];
    for (outcome, expected) in refusals {
        assert_eq!(reason(outcome), expected);
    }
    assert_eq!(reason(records.delete_with(&stored.name, "2", check()).await), ErrorReason::EtagMismatch);
    assert_eq!(reason(records.delete_with(gone_name, "", check()).await), ErrorReason::NotFound);
    assert_eq!(rows(&inside), before);
    assert_eq!(mailboxes(&writer).await, std::slice::from_ref(&stored));

    // Its request id is ignored, and can be used later.
    let id = new_request_id();
    for id in [id.as_str(), "no id"] {
        let options = WriteOptions { validate_only: true, request_id: Some(id.to_owned()) };
        records.create_with(DEFAULT, named("A"), None, options).await.unwrap();
    }
    assert_eq!(rows(&inside), before);
    let updated = records.update_with(change(), mask, request(&id)).await.unwrap();
    assert_eq!(updated, mail_v1::Mailbox { update_time: updated.update_time, ..would_be });
    let options = WriteOptions { validate_only: true, request_id: Some(id.clone()) };
    assert_eq!(reason(records.update_with(change(), mask, options).await), ErrorReason::EtagMismatch);
    drop(inside);

    // The key must be present only where the write would need it.
    let server = server.restart(lose_configuration, |_| {}).await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let inside = Inside::organization(server.folder());
    let before = rows(&inside);
    let inactive = ErrorReason::DataEncryptionInactive;
    assert_eq!(reason(records.create_with(DEFAULT, mailbox("x"), None, check()).await), inactive);
    let secret = mail_v1::Mailbox { password: Some("x".to_owned()), ..renamed(&stored, "B") };
    assert_eq!(reason(records.update_with(secret, NO_MASK, check()).await), inactive);
    records.update_with(renamed(&stored, "B"), ["display_name", "password"], check()).await.unwrap();
    assert_eq!(rows(&inside), before);
}

#[tokio::test]
async fn stored_request_reveals_no_values() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let canary = "canary-kWz7-2xR9";
    for _ in 0..2 {
        writer.mailboxes().create_with(DEFAULT, mailbox(canary), None, request(&new_request_id())).await.unwrap();
    }
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    let macs: BTreeSet<Vec<u8>> = inside.bytes("SELECT mac FROM sealward_request").into_iter().collect();
    // Not even that two requests are equal.
    assert_eq!(macs.iter().map(Vec::len).collect::<Vec<_>>(), [32, 32]);
    assert_eq!(files_with(&folder.path(), canary.as_bytes()), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn older_database_stores_requests_after_a_start() {
    sqlite_only!("the database of an older version, which removes a table or a column");
    let server = Server::start().await;
    let created = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let folder = server.stop().await;
    let inside = Inside::organization(&folder);
    inside
        .sqlite()
        .execute_batch(
            "DROP TABLE sealward_request;
             DELETE FROM sealward_catalog WHERE table_name = 'sealward_request';
             DELETE FROM sealward_column_type WHERE table_name = 'sealward_request';",
        )
        .unwrap();
    drop(inside);
    let server = Server::start_in(folder, |_| {}).await;
    let writer = server.client(Person::Writer);
    let id = new_request_id();
    let records = writer.mailboxes();
    let update = || records.update_with(renamed(&created, "B"), NO_MASK, request(&id));
    let updated = update().await.unwrap();
    assert_eq!(update().await.unwrap(), updated);
    let inside = Inside::organization(server.folder());
    let index = "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name = 'sealward_request_by_time'";
    assert_eq!(inside.sqlite().query_row(index, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

/// A client that repeats calls, through a proxy.
fn repeating(server: &Server, proxy: &Proxy, person: Person) -> Client {
    let development = server.folder().development();
    let builder = server.folder().client_builder(&proxy.address).retry(RetryPolicy::default());
    builder.identity_files(development.certificate(person), development.key(person)).connect_lazy().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn client_repeats_a_write_whose_answer_is_lost_and_it_happens_once() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.address()).await;
    let direct = server.client(Person::Writer);
    let writer = repeating(&server, &proxy, Person::Writer);

    let created = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    proxy.keep_back();
    let call = tokio::spawn({
        let writer = writer.clone();
        async move { writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await }
    });
    let two = proxy.until(async || mailboxes(&direct).await, |all| all.len() == 2).await;
    proxy.cut();
    let second = call.await.unwrap().unwrap();
    assert!(two.contains(&second) && second != created);
    assert_eq!(mailboxes(&direct).await, two);

    proxy.keep_back();
    let call = tokio::spawn({
        let (writer, record) = (writer.clone(), mail_v1::Mailbox { etag: "1".to_owned(), ..renamed(&created, "B") });
        async move { writer.mailboxes().update(record, NO_MASK).await }
    });
    let updated =
        proxy.until(async || direct.mailboxes().get(&created.name).await.unwrap(), |record| record.etag == "2").await;
    proxy.cut();
    assert_eq!(call.await.unwrap().unwrap(), updated);

    proxy.keep_back();
    let call = tokio::spawn({
        let (writer, name) = (writer.clone(), created.name.clone());
        async move { writer.mailboxes().delete(name, "2").await }
    });
    proxy.until(async || mailboxes(&direct).await, |all| all.len() == 1).await;
    proxy.cut();
    call.await.unwrap().unwrap();

    // A change of the key isn't repeated. The caller can repeat it with the same text, which changes nothing.
    let admin = server.client(Person::Admin);
    let through = repeating(&server, &proxy, Person::Admin);
    through.is_data_encryption_active(DEFAULT).await.unwrap();
    proxy.keep_back();
    let call = tokio::spawn({
        let through = through.clone();
        async move { through.change_key(DEFAULT, &"a new key, number 2".into()).await }
    });
    proxy
        .until(async || admin.is_data_encryption_active(DEFAULT).await.unwrap(), |status| status.key_version == 2)
        .await;
    settled(&admin).await;
    proxy.cut();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!((error.action(), error.call().unwrap().origin()), (Action::CheckOutcome, Origin::Broken), "{error:?}");
    assert_eq!(through.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap().key_version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_cannot_repeat_reports_an_unknown_outcome() {
    let server = Server::start().await;
    let direct = server.client(Person::Writer);
    // Without an id a write isn't repeated; with one it is, and can't connect.
    for (id, is_repeated) in [(Some(String::new()), false), (None, true)] {
        let proxy = Proxy::start(server.address()).await;
        let writer = repeating(&server, &proxy, Person::Writer);
        let before = mailboxes(&writer).await.len();
        proxy.keep_back();
        let call = tokio::spawn(async move {
            let options = WriteOptions { validate_only: false, request_id: id };
            writer.mailboxes().create_with(DEFAULT, named("A"), None, options).await
        });
        proxy.until(async || mailboxes(&direct).await, |all| all.len() == before + 1).await;
        proxy.stop().await;
        let error = call.await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.action()), (Code::Unavailable, Action::CheckOutcome), "{error:?}");
        let last = error.call().unwrap().origin();
        assert_eq!(last == Origin::NotConnected, is_repeated, "{error:?}");
    }
    assert_eq!(mailboxes(&direct).await.len(), 2);
}
