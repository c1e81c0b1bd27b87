//! Several servers over one PostgreSQL database. Each answers every call, and what one commits holds for the others at once.

use std::{collections::BTreeSet, process::Stdio};

use sealward_client::{
    Client, Code, Error, ErrorReason, ExposeSecret, ListOptions, WriteOptions,
    mail_v1::Mailbox,
    v1::{AttributeMetadata, attribute_metadata::RequiredLevel, reencryption::State},
};
use sealward_server::{config::Config, development::Person};
use tokio::{task::JoinSet, time::timeout};

use crate::harness::{
    DEFAULT, Folder, PATIENCE, Server, inside::Inside, mailbox, postgresql, process::Process, reason, reveal, settled,
};

/// Two servers.
async fn two(change: impl Fn(&mut Config)) -> [Server; 2] {
    let one = Server::start_in(Folder::over_postgresql(), &change).await;
    let other = one.beside(&change).await;
    [one, other]
}

/// Re-encryptions that take minutes, so that none ends during a test.
fn slow(config: &mut Config) {
    config.limits.reencryption_pause_ms = 60_000;
}

fn fast(config: &mut Config) {
    config.limits.reencryption_pause_ms = 0;
}

/// Repeats a call until its outcome is as wanted.
async fn eventually<T>(mut call: impl AsyncFnMut() -> T, is_wanted: impl Fn(&T) -> bool) -> T {
    let repeated = async {
        loop {
            let outcome = call().await;
            if is_wanted(&outcome) {
                return outcome;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, repeated).await.expect("the outcome doesn't change")
}

/// Changes the key. The lock of a change that was just completed at another server may not be free yet.
async fn change_key(admin: &Client, text: &str) {
    let changed = eventually(
        async || admin.change_key(DEFAULT, &text.into()).await,
        |changed| !matches!(changed, Err(error) if error.reason() == ErrorReason::SetKeyAlreadyRunning),
    );
    changed.await.unwrap();
}

async fn verify(server: &Server, organization: &str, cells: i64) {
    let auditor = server.client(Person::Auditor);
    let mut stream = auditor.verify_cells(organization).await.unwrap();
    let mut last = None;
    while let Some(message) = stream.next().await.unwrap() {
        assert_eq!((message.unreadable_cells.len(), message.census_miscounts.len()), (0, 0), "{message:?}");
        last = Some(message);
    }
    assert_eq!(last.map(|last| (last.is_complete, last.cells_checked)), Some((true, cells)));
    let verified = auditor.verify_audit_trail(organization).await.unwrap();
    assert!(verified.intact, "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn record_of_one_server_is_that_of_the_other() {
    let [one, other] = two(|_| {}).await;
    let (writer, same) = (one.client(Person::Writer), other.client(Person::Writer));
    let mut etag = String::new();
    for round in 0..10 {
        let (first, second) = if round % 2 == 0 { (&writer, &same) } else { (&same, &writer) };
        let stored = first.mailboxes().create(DEFAULT, mailbox(&format!("hunter{round}")), None).await.unwrap();
        assert_eq!(second.mailboxes().get(&stored.name).await.unwrap(), stored);
        let connector = if round % 2 == 0 { other.client(Person::Connector) } else { one.client(Person::Connector) };
        assert_eq!(reveal(&connector, &stored.name).await.unwrap(), Some(format!("hunter{round}")));
        let renamed = Mailbox { display_name: Some("Renamed".to_owned()), ..stored.clone() };
        let renamed = second.mailboxes().update(renamed, ["display_name"]).await.unwrap();
        // The former state is no longer that of the first one.
        let stale = first.mailboxes().delete(&stored.name, &stored.etag).await;
        assert_eq!(reason(stale), ErrorReason::EtagMismatch);
        etag = renamed.etag;
        first.mailboxes().delete(&stored.name, &etag).await.unwrap();
        assert_eq!(reason(second.mailboxes().get(&stored.name).await), ErrorReason::NotFound);
    }
    assert!(!etag.is_empty());
    verify(&other, DEFAULT, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn organization_of_one_server_is_served_by_the_other_at_once() {
    let [one, other] = two(|_| {}).await;
    let (admin, same) = (one.client(Person::Admin), other.client(Person::Admin));
    for round in 0..5 {
        let created = admin.create_organization(format!("org{round}")).await.unwrap();
        // Without a wait, by a name that the other server has never seen.
        assert!(same.is_data_encryption_active(&created.name).await.unwrap().is_active);
        assert_eq!(reason(same.create_organization(format!("org{round}")).await), ErrorReason::AlreadyExists);
        let stored = other.client(Person::Writer).mailboxes().create(&created.name, mailbox("x"), None).await.unwrap();
        same.delete_organization(&created.name).await.unwrap();
        let gone = async |client: &Client| client.mailboxes().get(&stored.name).await;
        assert_eq!(reason(gone(&other.client(Person::Reader)).await), ErrorReason::NotFound);
        // The first server may not know it yet, but it answers with no data.
        let reader = one.client(Person::Reader);
        let answer = eventually(
            async || gone(&reader).await,
            |answer: &Result<_, Error>| {
                let Err(error) = answer else { panic!("a record of a deleted organization: {answer:?}") };
                assert!([Code::Unavailable, Code::NotFound].contains(&error.code()), "{error:?}");
                error.code() == Code::NotFound
            },
        );
        answer.await.unwrap_err();
        // Its name can be used again, at either.
        let again = admin.create_organization(format!("org{round}")).await.unwrap();
        assert_eq!(reason(gone(&other.client(Person::Reader)).await), ErrorReason::NotFound);
        assert!(same.is_data_encryption_active(&again.name).await.unwrap().is_active);
    }
    let names = eventually(
        async || {
            let listed = same.list_organizations(0, "").await.unwrap().records;
            listed.into_iter().map(|organization| organization.name).collect::<BTreeSet<_>>()
        },
        |names| names.len() == 6,
    );
    assert!(names.await.contains(DEFAULT));
}

#[tokio::test(flavor = "multi_thread")]
async fn setting_of_an_attribute_holds_for_the_next_write_at_the_other_server() {
    let [one, other] = two(|_| {}).await;
    let name = format!("{DEFAULT}/entityMetadata/Mailbox/attributes/email_address");
    let writer = other.client(Person::Writer);
    for required in [true, false, true] {
        let level = if required { RequiredLevel::ApplicationRequired } else { RequiredLevel::None };
        let setting = AttributeMetadata {
            name: name.clone(),
            required_level: Some(level.into()),
            ..AttributeMetadata::default()
        };
        one.client(Person::Admin).update_attribute_metadata(setting, ["required_level"], false).await.unwrap();
        let created = writer.mailboxes().create(DEFAULT, mailbox("x"), None).await;
        assert_eq!(created.is_err(), required, "{created:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_that_one_server_changes_seals_at_the_other_at_once() {
    let [one, other] = two(fast).await;
    let servers = [&one, &other];
    let mut names = Vec::new();
    for round in 0_u32..4 {
        let (changing, writing) = (servers[round as usize % 2], servers[(round as usize + 1) % 2]);
        let text = format!("a new key, number {round}");
        change_key(&changing.client(Person::Admin), &text).await;
        let stored = writing.client(Person::Writer).mailboxes().create(DEFAULT, mailbox(&text), None).await.unwrap();
        // Sealed under the new key, which the other server has read.
        let cell = Inside::organization(one.folder()).password_cell(&stored.name);
        assert_eq!(u32::from_be_bytes(cell[1..5].try_into().unwrap()), round + 2, "{cell:?}");
        names.push((stored.name, text.clone()));
        for server in servers {
            let admin = server.client(Person::Admin);
            let kept = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
            assert_eq!(kept.encryption_key.expose_secret(), text);
            assert_eq!(admin.is_data_encryption_active(DEFAULT).await.unwrap().key_version, round + 2);
            for (name, password) in &names {
                let revealed = reveal(&server.client(Person::Connector), name).await.unwrap();
                assert_eq!(revealed.as_ref(), Some(password));
            }
        }
        settled(&writing.client(Person::Admin)).await;
    }
    verify(&other, DEFAULT, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_the_key_changes_at_both_servers_runs() {
    let [one, other] = two(slow).await;
    one.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let mut calls = JoinSet::new();
    for number in 0..8 {
        let admin = if number % 2 == 0 { one.client(Person::Admin) } else { other.client(Person::Admin) };
        calls.spawn(async move { admin.change_key(DEFAULT, &format!("a new key, number {number}").into()).await });
    }
    let outcomes = calls.join_all().await;
    let refused: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 7, "{refused:?}");
    for error in &refused {
        assert_eq!(error.reason(), ErrorReason::SetKeyAlreadyRunning, "{error:?}");
        assert!(error.retry_delay().is_some());
    }
    // Each server reports it, and the one that started later serves the organization meanwhile.
    let third = one.beside(slow).await;
    for server in [&one, &other, &third] {
        let admin = server.client(Person::Admin);
        let mut watch = admin.watch_reencryption(DEFAULT).await.unwrap();
        assert_eq!(watch.next().await.unwrap().unwrap().state(), State::Running);
        assert_eq!(reason(admin.delete_organization(DEFAULT).await), ErrorReason::SetKeyAlreadyRunning);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn re_encryption_of_a_server_that_stops_is_continued_by_the_other() {
    const CELLS: usize = 30;
    let one = Server::start_in(Folder::over_postgresql(), |config| {
        slow(config);
        config.limits.reencryption_batch_cells = 1;
    })
    .await;
    let other = one.beside(fast).await;
    let writer = one.client(Person::Writer);
    for number in 0..CELLS {
        writer.mailboxes().create(DEFAULT, mailbox(&format!("hunter{number}")), None).await.unwrap();
    }
    one.client(Person::Admin).change_key(DEFAULT, &"a new key, number 1".into()).await.unwrap();
    one.stop().await;
    let admin = other.client(Person::Admin);
    let reencryption = settled(&admin).await;
    assert_eq!(reencryption.cells_done, i64::try_from(CELLS).unwrap());
    assert_eq!(Inside::organization(other.folder()).data_key_versions(), [2]);
    verify(&other, DEFAULT, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_id_and_page_token_are_valid_at_every_server() {
    let [one, other] = two(|_| {}).await;
    let servers = [one.client(Person::Writer), other.client(Person::Writer)];
    let id = || WriteOptions::request_id("01997f1e-7d3c-7b6a-8f0e-3c1d2b4a5e6f");
    let first = servers[0].mailboxes().create_with(DEFAULT, mailbox("x"), None, id()).await.unwrap();
    let again = servers[1].mailboxes().create_with(DEFAULT, mailbox("x"), None, id()).await.unwrap();
    assert_eq!(first.name, again.name);
    for number in 0..9 {
        servers[number % 2].mailboxes().create(DEFAULT, mailbox("x"), None).await.unwrap();
    }
    let (mut names, mut token) = (BTreeSet::new(), String::new());
    for turn in 0.. {
        let options = ListOptions::default().page_size(3).page_token(&token);
        let page = servers[turn % 2].mailboxes().list(DEFAULT, options).await.unwrap();
        names.extend(page.records.into_iter().map(|record| record.name));
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    assert_eq!(names.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_at_several_servers_during_a_key_change_are_all_there() {
    const WRITERS: usize = 6;
    const EACH: usize = 20;
    let [one, other] = two(fast).await;
    let third = one.beside(fast).await;
    let servers = [&one, &other, &third];
    let mut writing = JoinSet::new();
    for number in 0..WRITERS {
        let writer = servers[number % 3].client(Person::Writer);
        writing.spawn(async move {
            let mut stored = Vec::new();
            for count in 0..EACH {
                let password = format!("password {number}.{count}");
                let record = writer.mailboxes().create(DEFAULT, mailbox(&password), None).await.unwrap();
                let changed = Mailbox { password: Some(format!("{password}!")), ..record };
                let record = writer.mailboxes().update(changed, ["password"]).await.unwrap();
                stored.push((record.name, format!("{password}!")));
            }
            stored
        });
    }
    let mut changes = 0;
    let mut stored = Vec::new();
    while !writing.is_empty() {
        change_key(&servers[changes % 3].client(Person::Admin), &format!("a new key, number {changes}")).await;
        changes += 1;
        settled(&servers[changes % 3].client(Person::Admin)).await;
        while let Some(written) = writing.try_join_next() {
            stored.extend(written.unwrap());
        }
    }
    assert_eq!(stored.len(), WRITERS * EACH);
    for (number, (name, password)) in stored.iter().enumerate() {
        let revealed = reveal(&servers[number % 3].client(Person::Connector), name).await.unwrap();
        assert_eq!(revealed.as_ref(), Some(password));
    }
    verify(&third, DEFAULT, i64::try_from(WRITERS * EACH).unwrap()).await;
}

/// Sends a signal to a process.
fn signal(process: &Process, name: &str) {
    let sent = std::process::Command::new("kill").arg(name).arg(process.id().to_string()).status().unwrap();
    assert!(sent.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn re_encryption_of_a_server_that_was_killed_or_paused_is_continued_by_the_other() {
    for is_killed in [true, false] {
        let folder = Folder::over_postgresql();
        let configuration = folder.development().config_file();
        let text = std::fs::read_to_string(&configuration).unwrap();
        let slow = text.replacen("\n[limits]\n", "\n[limits]\nreencryption_pause_ms = 60000\n", 1);
        assert_ne!(slow, text);
        std::fs::write(&configuration, slow).unwrap();
        let process = Process::start_logging(&folder.path(), Stdio::null());
        let other = Server::start_in(folder.beside(), fast).await;
        let admin = folder.client(&process.address, Person::Admin);
        let writer = folder.client(&process.address, Person::Writer);
        let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
        admin.change_key(DEFAULT, &"a new key, number 1".into()).await.unwrap();
        signal(&process, if is_killed { "-KILL" } else { "-STOP" });
        let same = other.client(Person::Admin);
        assert_eq!(
            reason(same.change_key(DEFAULT, &"a new key, number 2".into()).await),
            ErrorReason::SetKeyAlreadyRunning
        );
        // Instead of the 10 s that a lease lasts. The process may have renewed it just before.
        eventually(
            async || {
                postgresql::expire_leases(&folder.path());
                same.is_data_encryption_active(DEFAULT).await.unwrap().reencryption.unwrap().state()
            },
            |state| *state == State::Done,
        )
        .await;
        change_key(&same, "a new key, number 2").await;
        settled(&same).await;
        if !is_killed {
            // Awake again, it does nothing with what it remembers.
            signal(&process, "-CONT");
            let created = writer.mailboxes().create(DEFAULT, mailbox("after the pause"), None).await.unwrap();
            let connector = folder.client(&process.address, Person::Connector);
            assert_eq!(reveal(&connector, &stored.name).await.unwrap().as_deref(), Some("hunter2"));
            let revealed = reveal(&other.client(Person::Connector), &created.name).await.unwrap();
            assert_eq!(revealed.as_deref(), Some("after the pause"));
            let kept = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
            assert_eq!(kept.encryption_key.expose_secret(), "a new key, number 2");
        }
        assert_eq!(Inside::organization(other.folder()).data_key_versions(), [3]);
        verify(&other, DEFAULT, if is_killed { 1 } else { 2 }).await;
        if !is_killed {
            process.kill();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_of_comparisons_holds_across_servers() {
    const LIMIT: u32 = 5;
    let [one, other] = two(|config| config.limits.comparisons_per_15_minutes = LIMIT).await;
    let mut names = Vec::new();
    for _ in 0..2 {
        let stored = one.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
        names.push(stored.name);
    }
    let mut calls = JoinSet::new();
    for number in 0..40 {
        let connector = if number % 2 == 0 { one.client(Person::Connector) } else { other.client(Person::Connector) };
        let (name, guess) = (names[number / 2 % 2].clone(), format!("hunter{number}").into());
        calls.spawn(async move { connector.compare_attribute(&name, "password", &guess, "a test").await });
    }
    let (done, refused): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(done.len(), 2 * usize::try_from(LIMIT).unwrap());
    for error in refused {
        assert_eq!(reason(error), ErrorReason::ComparisonQuota);
    }
    // It is in the trail, and nowhere else is it counted.
    let auditor = other.client(Person::Auditor);
    let filter = "action = \"compare-attribute\" AND outcome = \"done\"";
    let recorded = auditor.list_audit_records(DEFAULT, filter, 100, "").await.unwrap().records;
    assert_eq!(recorded.len(), done.len());
    // A restart forgets none.
    let one = one.restart(|_| {}, |config| config.limits.comparisons_per_15_minutes = LIMIT).await;
    for name in &names {
        let again = one.client(Person::Connector).compare_attribute(name, "password", &"x".into(), "a test").await;
        assert_eq!(reason(again), ErrorReason::ComparisonQuota);
    }
}
