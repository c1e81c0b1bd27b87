//! Imports of records: a stream of requests in, a result for each out.

use sealward_client::{
    Client, Code, Error, ErrorReason, ImportResult, ListOptions,
    mail_v1::{CreateMailboxRequest, Mailbox},
    new_request_id,
};
use sealward_server::development::Person;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::harness::{DEFAULT, PATIENCE, Server, inside::Inside, mailbox, reason, reveal, settled};

fn create(display_name: &str) -> CreateMailboxRequest {
    let mailbox = Mailbox { display_name: Some(display_name.to_owned()), ..mailbox("hunter2") };
    CreateMailboxRequest { mailbox: Some(mailbox), ..CreateMailboxRequest::default() }
}

fn with_id(number: u32) -> CreateMailboxRequest {
    CreateMailboxRequest { mailbox_id: id(number), ..create(&number.to_string()) }
}

fn id(number: u32) -> String {
    format!("0191e2a4-5b6c-7d8e-9fa0-0000{number:08x}")
}

fn name_of(number: u32) -> String {
    format!("{DEFAULT}/mailboxes/{}", id(number))
}

/// Imports these messages, and returns the results.
async fn import(
    client: &Client,
    validate_only: bool,
    messages: Vec<Vec<CreateMailboxRequest>>,
) -> Result<Vec<ImportResult>, Error> {
    let records = client.mailboxes();
    let mut stream = records.import(DEFAULT, validate_only, tokio_stream::iter(messages)).await?;
    let mut results = Vec::new();
    while let Some(next) = stream.next().await? {
        results.extend(next);
    }
    Ok(results)
}

/// Names, and reasons of refusals.
fn words(results: Vec<ImportResult>) -> Vec<String> {
    results
        .into_iter()
        .map(|result| match result {
            Ok(name) => name,
            Err(error) => sealward_client::reason_name(error.reason()).to_owned(),
        })
        .collect()
}

async fn total(client: &Client) -> i64 {
    let options = ListOptions::default().page_size(1).with_total_size();
    client.mailboxes().list(DEFAULT, options).await.unwrap().total_size.unwrap()
}

#[tokio::test]
async fn every_request_has_its_result_in_order() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    writer.mailboxes().create(DEFAULT, mailbox("first"), Some(id(2))).await.unwrap();
    let nameless = CreateMailboxRequest { mailbox: Some(Mailbox::default()), ..with_id(3) };
    let dangling = |request: CreateMailboxRequest| CreateMailboxRequest {
        mailbox: request.mailbox.map(|mailbox| Mailbox {
            email_server_profile: Some(format!("{DEFAULT}/emailServerProfiles/{}", id(9))),
            ..mailbox
        }),
        ..request
    };
    let no_uuid = CreateMailboxRequest { mailbox_id: "x".to_owned(), ..create("x") };
    let dry_run = CreateMailboxRequest { validate_only: true, ..create("x") };
    let messages = vec![
        vec![with_id(1), with_id(2), nameless, dangling(with_id(4)), with_id(5)],
        vec![no_uuid, with_id(5), with_id(6), dry_run, with_id(6), with_id(7)],
        Vec::new(),
        vec![with_id(8)],
    ];
    let results = import(&writer, false, messages).await.unwrap();
    let refused = results[3].as_ref().unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.field_violations()[0].field, "mailbox.email_server_profile");
    assert_eq!(results[8].as_ref().unwrap_err().field_violations()[0].reason, "OF_BATCH");
    let expected = [
        &name_of(1),
        "ALREADY_EXISTS",
        "FIELD_INVALID",
        "FIELD_INVALID",
        &name_of(5),
        "FIELD_INVALID",
        "ALREADY_EXISTS",
        &name_of(6),
        "FIELD_INVALID",
        "ALREADY_EXISTS",
        &name_of(7),
        &name_of(8),
    ];
    assert_eq!(words(results), expected);
    assert_eq!(total(&writer).await, 6);
    let connector = server.client(Person::Connector);
    assert_eq!(reveal(&connector, &name_of(8)).await.unwrap().as_deref(), Some("hunter2"));
    assert_eq!(reveal(&connector, &name_of(2)).await.unwrap().as_deref(), Some("first"));
}

#[tokio::test]
async fn repeated_import_creates_nothing_twice() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let keys: Vec<String> = (0..50).map(|_| new_request_id()).collect();
    let keyed = |key: &String| CreateMailboxRequest { request_id: key.clone(), ..create(key) };
    let all: Vec<_> = keys.iter().map(keyed).collect();
    // The first import ends early.
    let first = words(import(&writer, false, vec![all[..20].to_vec()]).await.unwrap());
    let second = words(import(&writer, false, vec![all[10..].to_vec(), all.clone()]).await.unwrap());
    assert_eq!(second[..10], first[10..]);
    assert_eq!(second[40..60], first[..]);
    assert_eq!(second[60..], second[10..40]);
    assert_eq!(total(&writer).await, 50);
    // A single create with the key of a request is its repetition, and another content is refused.
    let options = sealward_client::WriteOptions::request_id(&keys[0]);
    let again = writer.mailboxes().create_with(DEFAULT, all[0].mailbox.clone().unwrap(), None, options).await.unwrap();
    assert_eq!(again.name, first[0]);
    let other = CreateMailboxRequest { request_id: keys[0].clone(), ..create("other") };
    let invalid = CreateMailboxRequest { mailbox: Some(Mailbox::default()), ..other.clone() };
    let results =
        words(import(&writer, false, vec![vec![other.clone(), invalid, all[0].clone(), other]]).await.unwrap());
    assert_eq!(results, ["REQUEST_ID_REUSED", "FIELD_INVALID", &first[0], "REQUEST_ID_REUSED"]);
    assert_eq!(total(&writer).await, 50);
}

#[tokio::test]
async fn large_import_is_written_in_groups_with_one_audit_record_each() {
    let server = Server::start_with(|config| config.limits.import_group_max_records = 100).await;
    let writer = server.client(Person::Writer);
    let messages = (0..10).map(|message| (0..250).map(|number| with_id(message * 250 + number)).collect()).collect();
    let results = words(import(&writer, false, messages).await.unwrap());
    assert_eq!(results, (0..2_500).map(name_of).collect::<Vec<_>>());
    assert_eq!(total(&writer).await, 2_500);
    let auditor = server.client(Person::Auditor);
    let filter = "action = \"write-encrypted-attributes\"";
    let page = auditor.list_audit_records(DEFAULT, filter, 1_000, "").await.unwrap();
    let listed: Vec<usize> = page.records.iter().map(|record| record.records.len()).collect();
    assert!(listed.iter().all(|records| *records <= 100) && listed.iter().sum::<usize>() == 2_500, "{listed:?}");
    assert!(auditor.verify_audit_trail(DEFAULT).await.unwrap().intact);
}

#[tokio::test]
async fn dry_run_of_an_import_leaves_no_trace() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    writer.mailboxes().create(DEFAULT, mailbox("first"), Some(id(2))).await.unwrap();
    let messages = vec![vec![with_id(1), with_id(2), create("x")], vec![with_id(1)]];
    let results = words(import(&writer, true, messages).await.unwrap());
    assert_eq!((&results[0], &*results[1], &results[3]), (&name_of(1), "ALREADY_EXISTS", &name_of(1)));
    assert_eq!(total(&writer).await, 1);
    let trail = Inside::organization(&server.stop().await).trail();
    assert_eq!(trail.iter().filter(|record| record.action == "write-encrypted-attributes").count(), 1);
}

#[tokio::test]
async fn import_without_permission_or_with_a_wrong_message_is_refused() {
    let server = Server::start_with(|config| config.limits.batch_items_max = 3).await;
    let reader = server.client(Person::Reader);
    assert_eq!(reason(import(&reader, false, vec![vec![create("x")]]).await), ErrorReason::PrivilegeMissing);
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let none: Vec<Vec<CreateMailboxRequest>> = Vec::new();
    let missing = records.import("organizations/missing", false, tokio_stream::iter(none.clone())).await;
    assert_eq!(reason(missing), ErrorReason::NotFound);
    assert_eq!(reason(records.import("x", false, tokio_stream::iter(none)).await), ErrorReason::FieldInvalid);
    let four = (0..4).map(|_| create("x")).collect();
    let mut stream = records.import(DEFAULT, false, tokio_stream::iter(vec![vec![create("x")], four])).await.unwrap();
    // What was received before is finished.
    assert_eq!(stream.next().await.unwrap().unwrap().len(), 1);
    let error = stream.next().await.unwrap_err();
    assert_eq!((error.reason(), error.metadata("bound")), (ErrorReason::FieldInvalid, Some("batch_items_max")));
    assert_eq!(total(&writer).await, 1);
}

#[tokio::test]
async fn results_arrive_while_the_stream_is_open() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let (sender, messages) = mpsc::channel(1);
    let mut stream = records.import(DEFAULT, false, ReceiverStream::new(messages)).await.unwrap();
    let admin = server.client(Person::Admin);
    for number in 0..3 {
        sender.send(vec![with_id(number)]).await.unwrap();
        let results = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(words(results), [name_of(number)]);
        // The key changes while the stream is open.
        admin.change_key(DEFAULT, &format!("a new key, number {number}").as_str().into()).await.unwrap();
        settled(&admin).await;
    }
    drop(sender);
    assert!(stream.next().await.unwrap().is_none());
    let connector = server.client(Person::Connector);
    for number in 0..3 {
        assert_eq!(reveal(&connector, &name_of(number)).await.unwrap().as_deref(), Some("hunter2"));
    }
}

#[tokio::test]
async fn draining_server_finishes_what_it_received_and_ends_the_import() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let (sender, messages) = mpsc::channel(1);
    let mut stream = records.import(DEFAULT, false, ReceiverStream::new(messages)).await.unwrap();
    sender.send(vec![with_id(1)]).await.unwrap();
    assert_eq!(words(stream.next().await.unwrap().unwrap()), [name_of(1)]);
    let ended = async {
        let error = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::Unavailable, ErrorReason::ShuttingDown));
    };
    let (folder, ()) = tokio::join!(server.stop(), ended);
    let server = Server::start_in(folder, |_| {}).await;
    assert_eq!(total(&server.client(Person::Writer)).await, 1);
}

#[tokio::test]
async fn import_over_the_rate_is_slowed_down_and_not_refused() {
    let server = Server::start_with(|config| config.limits.calls_per_second_per_identity = 40).await;
    let writer = server.client(Person::Writer);
    let results = import(&writer, false, vec![(0..100).map(with_id).collect()]).await.unwrap();
    assert!(results.len() == 100 && results.iter().all(Result::is_ok));
    // The import has used the rate.
    let names: Vec<String> = (0..30).map(name_of).collect();
    let refused = writer.mailboxes().batch_get(DEFAULT, names, [""; 0]).await;
    assert_eq!(reason(refused), ErrorReason::RateLimited);
}

#[tokio::test]
async fn import_of_many_short_messages_waits_for_its_rate() {
    let server = Server::start_with(|config| config.limits.calls_per_second_per_identity = 800).await;
    let writer = server.client(Person::Writer);
    // So many waiting frames ended the connection when each counted as 256 bytes.
    let messages = (0..2_000).map(|_| vec![create("x")]).collect();
    let results = import(&writer, false, messages).await.unwrap();
    assert!(results.len() == 2_000 && results.iter().all(Result::is_ok));
}

#[tokio::test]
async fn imports_of_one_identity_are_limited() {
    let server = Server::start_with(|config| config.limits.streams_per_identity_max = 1).await;
    let writer = server.client(Person::Writer);
    let records = writer.mailboxes();
    let (_sender, messages) = mpsc::channel(1);
    let _open = records.import(DEFAULT, false, ReceiverStream::new(messages)).await.unwrap();
    assert_eq!(reason(import(&writer, false, vec![vec![create("x")]]).await), ErrorReason::InFlightLimit);
}

#[tokio::test]
async fn inactive_organization_refuses_only_records_with_secrets() {
    let server = Server::start().await;
    let folder = server.stop().await;
    crate::harness::inside::lose_configuration(&folder.path());
    let server = Server::start_in(folder, |_| {}).await;
    let writer = server.client(Person::Writer);
    let plain = |request: CreateMailboxRequest| CreateMailboxRequest {
        mailbox: request.mailbox.map(|mailbox| Mailbox { password: None, ..mailbox }),
        ..request
    };
    let results = words(import(&writer, false, vec![vec![with_id(1), plain(with_id(2)), with_id(3)]]).await.unwrap());
    assert_eq!(results, ["DATA_ENCRYPTION_INACTIVE", &name_of(2), "DATA_ENCRYPTION_INACTIVE"]);
}
