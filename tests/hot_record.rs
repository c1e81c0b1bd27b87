//! Many callers that change one record: each has its own revision, answer and records of the change, as if they had come
//! one after the other.

use std::collections::BTreeSet;

use sealward_client::{
    Client, Error, ErrorReason,
    mail_v1::Mailbox,
    v1::{AttributeMetadata, attribute_value::Kind},
};
use sealward_server::development::Person;
use tokio::task::JoinSet;

use crate::{
    crash::set_limits,
    harness::{DEFAULT, Folder, Server, inside::Inside, mailbox, process::Process, reveal, settled},
};

const CALLERS: usize = 64;

/// An update of the record with this name: its username and its password, both with this text.
fn update(name: &str, text: String) -> Mailbox {
    Mailbox { name: name.to_owned(), username: Some(text.clone()), password: Some(text), ..Mailbox::default() }
}

fn revision(record: &Mailbox) -> usize {
    record.etag.parse().unwrap()
}

/// Makes this many updates for each caller, one after the other, all callers at the same time.
async fn updates(writer: &Client, name: &str, each: usize) -> Vec<Result<Mailbox, Error>> {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (writer, name) = (writer.clone(), name.to_owned());
        callers.spawn(async move {
            let mut answers = Vec::new();
            for number in 0..each {
                let change = update(&name, format!("text {caller} {number}"));
                answers.push(writer.mailboxes().update(change, ["username", "password"]).await);
            }
            answers
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

async fn created(writer: &Client) -> Mailbox {
    writer.mailboxes().create(DEFAULT, mailbox("the first"), None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_update_has_its_own_revision_and_records() {
    const EACH: usize = 5;
    let server = Server::start().await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    let stored = created(&writer).await;
    let audited = AttributeMetadata {
        name: format!("{DEFAULT}/entityMetadata/Mailbox/attributes/username"),
        audited: Some(true),
        ..AttributeMetadata::default()
    };
    admin.update_attribute_metadata(audited, [""; 0], false).await.unwrap();

    let answers: Vec<Mailbox> =
        updates(&writer, &stored.name, EACH).await.into_iter().collect::<Result<_, _>>().unwrap();
    let mut by_revision: Vec<(usize, String)> =
        answers.iter().map(|answer| (revision(answer), answer.username.clone().unwrap())).collect();
    by_revision.sort();
    let revisions: Vec<usize> = by_revision.iter().map(|(revision, _)| *revision).collect();
    assert_eq!(revisions, (2..=CALLERS * EACH + 1).collect::<Vec<_>>());
    let texts: BTreeSet<&String> = by_revision.iter().map(|(_, text)| text).collect();
    assert_eq!(texts.len(), CALLERS * EACH);

    let last = by_revision.last().unwrap().1.clone();
    let now = writer.mailboxes().get(&stored.name).await.unwrap();
    assert!(answers.contains(&now));
    assert_eq!((revision(&now), now.username), (CALLERS * EACH + 1, Some(last.clone())));
    assert_eq!(reveal(&server.client(Person::Connector), &stored.name).await.unwrap(), Some(last));

    // Each change of the username follows the one before.
    let text = |value: &Option<sealward_client::v1::AttributeValue>| match value.as_ref().map(|value| &value.kind) {
        Some(Some(Kind::Text(text))) => Some(text.clone()),
        _ => None,
    };
    let changes = admin.list_attribute_changes(&*stored.name, "", 1_000, "").await.unwrap().records;
    let mut changes: Vec<_> = changes
        .iter()
        .map(|change| (usize::try_from(change.revision).unwrap(), text(&change.old_value), text(&change.new_value)))
        .collect();
    changes.sort();
    let mut before = stored.username;
    assert_eq!(changes.len(), by_revision.len());
    for (change, (revision, text)) in changes.into_iter().zip(by_revision) {
        assert_eq!(change, (revision, before, Some(text.clone())));
        before = Some(text);
    }
    let folder = server.stop().await;
    let trail = Inside::organization(&folder).trail();
    let writes = trail.iter().filter(|record| record.action == "write-encrypted-attributes").count();
    assert_eq!(writes, CALLERS * EACH + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_updates_with_one_etag_exactly_one_succeeds() {
    const ROUNDS: usize = 5;
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let mut current = created(&writer).await;
    for round in 0..ROUNDS {
        let mut callers = JoinSet::new();
        for caller in 0..16 {
            let writer = writer.clone();
            let change = Mailbox { etag: current.etag.clone(), ..update(&current.name, format!("{round} {caller}")) };
            callers.spawn(async move { writer.mailboxes().update(change, ["username"]).await });
        }
        let mut succeeded = Vec::new();
        for answer in callers.join_all().await {
            match answer {
                Ok(answer) => succeeded.push(answer),
                Err(error) => assert_eq!(error.reason(), ErrorReason::EtagMismatch, "{error:?}"),
            }
        }
        assert_eq!(succeeded.len(), 1);
        let next = succeeded.remove(0);
        assert_eq!(revision(&next), revision(&current) + 1);
        assert_eq!(writer.mailboxes().get(&current.name).await.unwrap(), next);
        current = next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_continue_after_callers_that_leave() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let stored = created(&writer).await;
    let mut leaving = JoinSet::new();
    for number in 0..CALLERS {
        let (writer, name) = (writer.clone(), stored.name.clone());
        leaving.spawn(async move {
            let mailboxes = writer.mailboxes();
            let call = mailboxes.update(update(&name, format!("left {number}")), ["username"]);
            // The number of polls is a place in the call. After the last one, it is cancelled.
            let mut call = std::pin::pin!(call);
            let mut polls = 0;
            std::future::poll_fn(|context| {
                polls += 1;
                if call.as_mut().poll(context).is_ready() || polls > number % 8 {
                    return std::task::Poll::Ready(());
                }
                std::task::Poll::Pending
            })
            .await;
        });
    }
    let answers = updates(&writer, &stored.name, 2).await;
    leaving.join_all().await;
    let mut revisions: Vec<usize> = answers.into_iter().map(|answer| revision(&answer.unwrap())).collect();
    let count = revisions.len();
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), count);
    let next = writer.mailboxes().update(update(&stored.name, "the last".to_owned()), ["username"]).await.unwrap();
    assert!((count + 2..=count + CALLERS + 2).contains(&revision(&next)));
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_during_a_change_of_the_key_are_sealed_under_the_right_key() {
    let server = Server::start().await;
    let (admin, writer) = (server.client(Person::Admin), server.client(Person::Writer));
    let stored = created(&writer).await;
    let (name, update_writer) = (stored.name.clone(), writer.clone());
    let updating = tokio::spawn(async move { updates(&update_writer, &name, 6).await });
    for number in 0..3 {
        admin.change_key(DEFAULT, &format!("an encryption key, number {number}").into()).await.unwrap();
        settled(&admin).await;
    }
    let answers: Vec<Mailbox> = updating.await.unwrap().into_iter().collect::<Result<_, _>>().unwrap();
    let last = answers.iter().max_by_key(|answer| revision(answer)).unwrap();
    assert_eq!(revision(last), answers.len() + 1);
    assert_eq!(writer.mailboxes().get(&stored.name).await.unwrap(), *last);
    assert_eq!(reveal(&server.client(Person::Connector), &stored.name).await.unwrap(), last.username);
    let folder = server.stop().await;
    assert_eq!(Inside::organization(&folder).data_key_versions().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_comes_before_or_after_each_update() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    for _ in 0..3 {
        let stored = created(&writer).await;
        let (name, update_writer) = (stored.name.clone(), writer.clone());
        let updating = tokio::spawn(async move { updates(&update_writer, &name, 2).await });
        writer.mailboxes().update(update(&stored.name, "before".to_owned()), ["password"]).await.unwrap();
        writer.mailboxes().delete(&stored.name, "").await.unwrap();
        let mut revisions = BTreeSet::new();
        for answer in updating.await.unwrap() {
            match answer {
                Ok(answer) => assert!(revisions.insert(revision(&answer))),
                Err(error) => assert_eq!(error.reason(), ErrorReason::NotFound, "{error:?}"),
            }
        }
        // The revision of the update before the delete is missing.
        assert!(revisions.last().is_none_or(|last| *last <= revisions.len() + 2));
        assert_eq!(writer.mailboxes().get(&stored.name).await.unwrap_err().reason(), ErrorReason::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_that_build_on_a_lost_one_are_made_again() {
    sqlite_only!("lets the sync of a file fail");
    for (failure, is_kept) in [("sync-failed-lost", false), ("sync-failed-kept", true)] {
        let folder = Folder::new();
        set_limits(&folder.path(), &[("key_changes_per_hour", 0)]);
        // Some commits after the start and the creation of the record.
        let server = Process::start_failing(&folder.path(), &format!("{failure}:14")).unwrap();
        let writer = folder.client(&server.address, Person::Writer);
        let stored = created(&writer).await;
        let answers = updates(&writer, &stored.name, 8).await;
        let count = answers.len();
        let (mut succeeded, mut unknown) = (Vec::new(), 0);
        for answer in answers {
            match answer {
                Ok(answer) => succeeded.push(answer),
                Err(error) => {
                    assert_eq!(error.reason(), ErrorReason::OutcomeUnknown, "{error:?}");
                    unknown += 1;
                }
            }
        }
        assert!(unknown > 0 && unknown < count, "{unknown} of {count}");
        let revisions: BTreeSet<usize> = succeeded.iter().map(revision).collect();
        assert_eq!(revisions.len(), succeeded.len());
        let expected = if is_kept { count } else { succeeded.len() };
        let now = writer.mailboxes().get(&stored.name).await.unwrap();
        assert_eq!(revision(&now), expected + 1);
        assert_eq!(
            reveal(&folder.client(&server.address, Person::Connector), &stored.name).await.unwrap(),
            now.username
        );
    }
}
