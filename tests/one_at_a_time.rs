//! One SetDataEncryptionKey at a time for an organization: concurrent, in sequence, from callers that leave and from one that sends
//! nothing.

use std::{
    convert::Infallible,
    fs,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use sealward_client::{
    Client, Error, ErrorReason, ExposeSecret, SecretString,
    v1::{self, reencryption::State},
};
use sealward_server::{config::Config, development::Person};
use tokio::{sync::oneshot, task::JoinSet, time::timeout};
use tonic::{
    Code, Request,
    client::Grpc,
    codegen::{http::uri::PathAndQuery, tokio_stream::Stream},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_prost::ProstCodec;

use crate::harness::{
    DEFAULT, PATIENCE, Server,
    inside::{Inside, lose_configuration},
    mailbox, reason, refused, reveal, settled,
};

/// Re-encryptions that take minutes, so that none ends during a test.
fn slow(config: &mut Config) {
    config.limits.reencryption_pause_ms = 60_000;
}

fn fast(config: &mut Config) {
    config.limits.reencryption_pause_ms = 0;
}

fn text(text: impl Into<String>) -> SecretString {
    text.into().into()
}

/// Compares a refusal with the contract, and returns the number of sealed cells and of all cells.
#[track_caller]
fn already_running<T>(outcome: Result<T, Error>, organization: &str) -> (u64, u64) {
    let Err(error) = outcome else { panic!("a second change was admitted") };
    let count = |key| error.metadata(key).unwrap().parse().unwrap();
    let (done, total): (u64, u64) = (count("cells_done"), count("cells_total"));
    assert!(done <= total, "{done} of {total}");
    let metadata = [
        ("organization", organization),
        ("dynamics_code", "8004852A"),
        ("cells_done", &done.to_string()),
        ("cells_total", &total.to_string()),
    ];
    let error = refused(Err::<T, _>(error), Code::Aborted, ErrorReason::SetKeyAlreadyRunning, &metadata);
    assert!(error.retry_delay().unwrap() > Duration::ZERO);
    (done, total)
}

async fn current_text(admin: &Client) -> String {
    admin.retrieve_data_encryption_key(DEFAULT).await.unwrap().encryption_key.expose_secret().to_owned()
}

#[tokio::test]
async fn one_of_many_concurrent_changes_runs() {
    const ROUNDS: u32 = 10;
    const CALLERS: u32 = 8;
    let mut server = Server::start_with(slow).await;
    // A re-encryption without cells would be over at once.
    server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    for round in 1..=ROUNDS {
        let mut calls = JoinSet::new();
        for caller in 0..CALLERS {
            // Each has a connection of its own.
            let admin = server.client(Person::Admin);
            let text = format!("round {round}, caller {caller}!");
            calls.spawn(async move { (text.clone(), admin.change_key(DEFAULT, &text.into()).await) });
        }
        let mut winners = Vec::new();
        while let Some(outcome) = calls.join_next().await {
            let (text, outcome) = outcome.unwrap();
            match outcome {
                Ok(changed) => winners.push((text, changed)),
                refused => drop(already_running(refused, "default")),
            }
        }
        let [(text, changed)] = &winners[..] else { panic!("round {round}: {winners:?}") };
        assert_eq!(changed.key_version, round + 1);
        assert_eq!(&current_text(&server.client(Person::Admin)).await, text);

        server = server.restart(|_| {}, fast).await;
        let admin = server.client(Person::Admin);
        assert_eq!(settled(&admin).await.state(), State::Done);
        assert_eq!(&current_text(&admin).await, text);
        server = server.restart(|_| {}, slow).await;
    }
    let folder = server.stop().await;
    assert_eq!(Inside::configuration(&folder).key_texts().len(), 1);
    assert_eq!(Inside::organization(&folder).data_key_versions(), [ROUNDS + 1]);
}

#[tokio::test]
async fn change_without_cells_does_not_pause() {
    let server = Server::start_with(slow).await;
    let admin = server.client(Person::Admin);
    for round in 0..3 {
        admin.change_key(DEFAULT, &text(format!("the key of round {round}!"))).await.unwrap();
        // Each pause would take a minute, the time that this test waits.
        assert_eq!(settled(&admin).await.state(), State::Done);
    }
}

#[tokio::test]
async fn next_key_call_can_start_after_the_answer() {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    for round in 0..20 {
        let refused = admin.restore_key(DEFAULT, &text("any")).await;
        assert_eq!(reason(refused), ErrorReason::KeyAlreadyActive);
        let refused = admin.change_key(DEFAULT, &text("short")).await;
        assert_eq!(reason(refused), ErrorReason::KeyValidation);
        if round % 5 == 0 {
            admin.change_key(DEFAULT, &text(format!("the key of round {round}!"))).await.unwrap();
            assert_eq!(settled(&admin).await.state(), State::Done);
        }
    }
}

#[tokio::test]
async fn organizations_do_not_wait_for_each_other() {
    let server = Server::start_with(slow).await;
    let admin = server.client(Person::Admin);
    admin.create_organization("contoso").await.unwrap();
    for organization in [DEFAULT, "organizations/contoso"] {
        server.client(Person::Writer).mailboxes().create(organization, mailbox("hunter2"), None).await.unwrap();
    }
    let key = text("one key for both, num 1");
    let (first, second) =
        tokio::join!(admin.change_key(DEFAULT, &key), admin.change_key("organizations/contoso", &key));
    assert_eq!((first.unwrap().key_version, second.unwrap().key_version), (2, 2));
    let other = text("another key, number 2");
    already_running(admin.change_key(DEFAULT, &other).await, "default");
    already_running(admin.change_key("organizations/contoso", &other).await, "contoso");
}

/// Polls until a condition holds. Each poll waits for an event: the answer of a call.
async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let asking = async { while !is_so().await {} };
    timeout(PATIENCE, asking).await.unwrap();
}

/// A change whose caller leaves in the middle of it: the organization's database is locked until the caller has left, so that the call
/// can't have been answered.
async fn a_caller_leaves(leave: impl AsyncFnOnce(Client, tokio::task::JoinHandle<()>)) {
    let server = Server::start_with(slow).await;
    server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let lock = Inside::organization(server.folder());
    lock.sqlite().execute_batch("BEGIN IMMEDIATE").unwrap();
    let caller = server.client(Person::Admin);
    let calling = {
        let caller = caller.clone();
        tokio::spawn(async move {
            let _lost = caller.change_key(DEFAULT, &text("left behind, number 1")).await;
        })
    };
    let configuration = Inside::configuration(server.folder());
    let admin = server.client(Person::Admin);
    until(async || {
        admin.is_data_encryption_active(DEFAULT).await.unwrap();
        configuration.key_texts().len() == 2
    })
    .await;
    assert!(!calling.is_finished());
    leave(caller, calling).await;
    lock.sqlite().execute_batch("ROLLBACK").unwrap();

    // No other change is admitted, and this one continues.
    until(async || admin.is_data_encryption_active(DEFAULT).await.unwrap().key_version == 2).await;
    already_running(admin.change_key(DEFAULT, &text("another key, number 2")).await, "default");
    assert_eq!(current_text(&admin).await, "left behind, number 1");
    let server = server.restart(|_| {}, fast).await;
    assert_eq!(settled(&server.client(Person::Admin)).await.state(), State::Done);
    assert_eq!(current_text(&server.client(Person::Admin)).await, "left behind, number 1");
}

#[tokio::test]
async fn cancelled_call_neither_stops_its_change_nor_admits_another() {
    sqlite_only!("locks the file of a database");
    a_caller_leaves(async |caller, calling| {
        calling.abort();
        assert!(calling.await.unwrap_err().is_cancelled());
        // On the same connection, so that the server has processed it.
        caller.is_data_encryption_active(DEFAULT).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn closed_connection_neither_stops_its_change_nor_admits_another() {
    sqlite_only!("locks the file of a database");
    a_caller_leaves(async |caller, calling| {
        calling.abort();
        assert!(calling.await.unwrap_err().is_cancelled());
        drop(caller);
    })
    .await;
}

/// A message that never arrives. Signals when it was requested.
struct Silence {
    asked: Option<oneshot::Sender<Infallible>>,
}

impl Stream for Silence {
    type Item = v1::SetDataEncryptionKeyRequest;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.asked = None;
        Poll::Pending
    }
}

#[tokio::test]
async fn silent_caller_blocks_no_other() {
    let server = Server::start().await;
    let files = server.folder().development();
    let (certificate, key) = (files.certificate(Person::Admin), files.key(Person::Admin));
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(fs::read(files.ca()).unwrap()))
        .identity(Identity::from_pem(fs::read(certificate).unwrap(), fs::read(key).unwrap()));
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address())).unwrap().tls_config(tls).unwrap();
    let channel: Channel = endpoint.connect().await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..3 {
        let (asked, was_asked) = oneshot::channel();
        let mut grpc = Grpc::new(channel.clone());
        silent.push(tokio::spawn(async move {
            grpc.ready().await.unwrap();
            let path = PathAndQuery::from_static("/sealward.v1.DataEncryptionService/SetDataEncryptionKey");
            let codec = ProstCodec::<v1::SetDataEncryptionKeyRequest, v1::SetDataEncryptionKeyResponse>::default();
            grpc.client_streaming(Request::new(Silence { asked: Some(asked) }), path, codec).await.map(drop)
        }));
        // The headers were sent before the body was requested.
        timeout(PATIENCE, was_asked).await.unwrap().unwrap_err();
    }
    // On the same connection, so that the server has seen the silent calls before this one.
    let mut loud = v1::data_encryption_service_client::DataEncryptionServiceClient::new(channel);
    let request = |encryption_key: &str, change_encryption_key| v1::SetDataEncryptionKeyRequest {
        organization: DEFAULT.to_owned(),
        encryption_key: encryption_key.to_owned(),
        change_encryption_key,
        validate_only: false,
    };
    let changed = loud.set_data_encryption_key(request("a new key, number 1", true)).await.unwrap();
    assert_eq!(changed.into_inner().key_version, 2);
    let admin = server.client(Person::Admin);
    assert_eq!(settled(&admin).await.state(), State::Done);
    admin.change_key(DEFAULT, &text("a new key, number 2")).await.unwrap();
    assert_eq!(settled(&admin).await.state(), State::Done);
    for call in &silent {
        assert!(!call.is_finished());
        call.abort();
    }
    for call in silent {
        assert!(call.await.unwrap_err().is_cancelled());
    }
}

#[tokio::test]
async fn key_change_during_a_re_encryption_is_refused_with_its_progress() {
    let server = Server::start_with(slow).await;
    let writer = server.client(Person::Writer);
    for password in ["one", "two", "three"] {
        writer.mailboxes().create(DEFAULT, mailbox(password), None).await.unwrap();
    }
    let admin = server.client(Person::Admin);
    let key = text("a new key, number 1");
    admin.change_key(DEFAULT, &key).await.unwrap();
    // The first step counts the cells; then the re-encryption pauses.
    let mut watch = admin.watch_reencryption(DEFAULT).await.unwrap();
    loop {
        let running = watch.next().await.unwrap().unwrap();
        assert_eq!(running.state(), State::Running);
        if running.cells_total == 3 {
            break;
        }
    }
    assert_eq!(already_running(admin.change_key(DEFAULT, &text("another key, number 2")).await, "default"), (0, 3));
    assert_eq!(already_running(admin.change_key(DEFAULT, &key).await, "default"), (0, 3));
    assert_eq!(already_running(admin.restore_key(DEFAULT, &key).await, "default"), (0, 3));
    // The limit of one change is checked before the text.
    assert_eq!(already_running(admin.change_key(DEFAULT, &text("short")).await, "default"), (0, 3));

    // A server that resumes the re-encryption also refuses until it is done.
    let server = server.restart(|_| {}, slow).await;
    already_running(server.client(Person::Admin).change_key(DEFAULT, &key).await, "default");
    let server = server.restart(|_| {}, fast).await;
    let admin = server.client(Person::Admin);
    let done = settled(&admin).await;
    assert_eq!((done.state(), done.cells_done, done.cells_total), (State::Done, 3, 3));
    assert_eq!(admin.change_key(DEFAULT, &text("another key, number 2")).await.unwrap().key_version, 3);
}

#[tokio::test]
async fn concurrent_restore_and_changes_each_see_a_consistent_state() {
    let mut server = Server::start().await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let mut key = current_text(&server.client(Person::Admin)).await;
    for round in 0..5 {
        server = server.restart(lose_configuration, fast).await;
        let before = server.client(Person::Admin).is_data_encryption_active(DEFAULT).await.unwrap();
        let mut changes = JoinSet::new();
        for caller in 0..4 {
            let admin = server.client(Person::Admin);
            let text = format!("round {round}, caller {caller}!");
            changes.spawn(async move { (text.clone(), admin.change_key(DEFAULT, &text.into()).await) });
        }
        let admin = server.client(Person::Admin);
        let restored = admin.restore_key(DEFAULT, &text(key.clone())).await;
        let mut version = before.key_version;
        while let Some(outcome) = changes.join_next().await {
            let (text, outcome) = outcome.unwrap();
            match outcome {
                Ok(changed) => {
                    assert!(restored.is_ok(), "round {round}: changed without a key");
                    assert_eq!(changed.key_version, version + 1);
                    (key, version) = (text, changed.key_version);
                }
                Err(error) if error.reason() == ErrorReason::KeyInactive => {
                    assert_eq!(error.metadata("wanted_fingerprint"), Some(before.fingerprint.as_str()));
                }
                Err(error) => drop(already_running(Err::<(), _>(error), "default")),
            }
        }
        match restored {
            Ok(restored) => assert_eq!(restored.fingerprint, before.fingerprint),
            Err(error) => {
                already_running(Err::<(), _>(error), "default");
                admin.restore_key(DEFAULT, &text(key.clone())).await.unwrap();
            }
        }
        settled(&admin).await;
        assert_eq!(current_text(&admin).await, key);
        assert_eq!(reveal(&server.client(Person::Connector), &stored.name).await.unwrap().as_deref(), Some("hunter2"));
    }
}
