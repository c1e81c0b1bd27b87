//! The narrow path: comparing a value, and that a password can't be had by sending it elsewhere.

use fieldseal_client::{Client, Code, Error, ErrorReason, SecretString, v1::EmailServerProfile};
use fieldseal_server::development::Person;
use tokio::task::JoinSet;

use crate::harness::{DEFAULT, Server, inside::Inside, mailbox, reason, reveal};

async fn is(connector: &Client, name: &str, value: &str) -> Result<bool, Error> {
    connector.compare_attribute(name, "password", &SecretString::from(value), "a login").await
}

#[tokio::test]
async fn a_value_is_compared_and_recorded_and_never_given() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let mut without = mailbox("");
    without.password = None;
    let without = writer.mailboxes().create(DEFAULT, without, None).await.unwrap();
    let connector = server.client(Person::Connector);
    assert!(is(&connector, &stored.name, "hunter2").await.unwrap());
    for wrong in ["", "hunter", "hunter22", "Hunter2"] {
        assert!(!is(&connector, &stored.name, wrong).await.unwrap(), "{wrong}");
    }
    assert!(!is(&connector, &without.name, "").await.unwrap());
    let absent = stored.name.replace(&stored.name[stored.name.len() - 4..], "0000");
    assert_eq!(reason(is(&connector, &absent, "hunter2").await), ErrorReason::NotFound);
    let refused = connector.compare_attribute(&stored.name, "username", &"x".into(), "").await.unwrap_err();
    let fields: Vec<_> = refused.call().unwrap().field_violations().iter().map(|found| found.field.clone()).collect();
    assert_eq!(fields, ["attributes[0]", "purpose"]);
    for person in [Person::Writer, Person::Reader, Person::Auditor] {
        assert_eq!(reason(is(&server.client(person), &stored.name, "x").await), ErrorReason::PrivilegeMissing);
    }
    let trail = Inside::organization(&server.stop().await).trail();
    let told: Vec<_> = trail
        .iter()
        .filter(|record| record.action == "compare-attribute")
        .map(|record| (&*record.outcome, record.details.as_deref(), record.purpose.as_deref()))
        .collect();
    let done = |details| ("done", Some(details), Some("a login"));
    let different = done("different");
    assert_eq!(
        told,
        [done("equal"), different, different, different, different, different, ("NOT_FOUND", None, Some("a login")),]
    );
    assert!(!format!("{trail:?}").contains("hunter"));
}

#[tokio::test]
async fn of_many_guesses_at_once_no_more_than_the_limit_are_answered_and_a_restart_forgets_none() {
    const LIMIT: u32 = 5;
    let server = Server::start_with(|config| config.limits.comparisons_per_15_minutes = LIMIT).await;
    let writer = server.client(Person::Writer);
    let guessed = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
    let other = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap().name;
    let mut guesses = JoinSet::new();
    for number in 0..50 {
        let (connector, name) = (server.client(Person::Connector), guessed.clone());
        guesses.spawn(async move { is(&connector, &name, &format!("guess {number}")).await });
    }
    let mut answered = 0;
    while let Some(guess) = guesses.join_next().await {
        match guess.unwrap() {
            Ok(equal) => {
                assert!(!equal);
                answered += 1;
            }
            Err(error) => {
                assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, ErrorReason::ComparisonQuota));
                assert_eq!((error.metadata("limit"), error.metadata("interval_seconds")), (Some("5"), Some("900")));
                assert!(error.retry_delay().is_some());
            }
        }
    }
    assert!(answered <= LIMIT, "{answered}");
    let server = server.restart(|_| {}, |config| config.limits.comparisons_per_15_minutes = LIMIT).await;
    let connector = server.client(Person::Connector);
    assert_eq!(reason(is(&connector, &guessed, "hunter2").await), ErrorReason::ComparisonQuota);
    // Another record is another secret.
    assert!(is(&connector, &other, "hunter2").await.unwrap());
}

#[tokio::test]
async fn who_sends_a_password_to_another_server_sends_none() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let profiles = writer.email_server_profiles();
    let profile = EmailServerProfile {
        display_name: Some("P".to_owned()),
        server_type: Some(2),
        incoming_server_location: Some("imap.example.org".to_owned()),
        incoming_username: Some("service".to_owned()),
        incoming_password: Some("hunter2".to_owned()),
        outgoing_server_location: Some("smtp.example.org".to_owned()),
        outgoing_username: Some("service".to_owned()),
        outgoing_password: Some("hunter3".to_owned()),
        ..EmailServerProfile::default()
    };
    type Change = fn(&mut EmailServerProfile);
    let changes: [(&str, Change, bool, bool); 7] = [
        ("incoming_server_location", |p| p.incoming_server_location = Some("evil.example.net".to_owned()), false, true),
        ("incoming_port_number", |p| p.incoming_port_number = Some(1143), false, true),
        ("incoming_use_ssl", |p| p.incoming_use_ssl = Some(false), false, true),
        ("outgoing_server_location", |p| p.outgoing_server_location = None, true, false),
        ("default_server_location", |p| p.default_server_location = Some("evil.example.net".to_owned()), false, false),
        // The same value as before, and what says nothing of a place.
        ("incoming_server_location", |p| p.incoming_server_location = Some("imap.example.org".to_owned()), true, true),
        ("display_name", |p| p.display_name = Some("Q".to_owned()), true, true),
    ];
    for (field, change, incoming, outgoing) in changes {
        let mut stored = profiles.create(DEFAULT, profile.clone(), None).await.unwrap();
        change(&mut stored);
        let updated = profiles.update(stored, [field]).await.unwrap();
        let set = (updated.is_incoming_password_set, updated.is_outgoing_password_set);
        assert_eq!(set, (Some(incoming), Some(outgoing)), "{field}");
        assert_eq!(profiles.get(&updated.name).await.unwrap(), updated);
    }
    // Whoever knows the password can take it along.
    let mut stored = profiles.create(DEFAULT, profile, None).await.unwrap();
    stored.incoming_server_location = Some("imap2.example.org".to_owned());
    stored.incoming_password = Some("hunter2".to_owned());
    let updated = profiles.update(stored, ["incoming_server_location", "incoming_password"]).await.unwrap();
    assert_eq!(updated.is_incoming_password_set, Some(true));
    let values = server
        .client(Person::Connector)
        .reveal_attributes(&updated.name, ["incoming_password", "outgoing_password"], "a test")
        .await
        .unwrap();
    assert_eq!(values["incoming_password"].expose_text(), Some("hunter2"));
    assert_eq!(values["outgoing_password"].expose_text(), Some("hunter3"));
}

#[tokio::test]
async fn who_reveals_too_often_waits_and_can_go_on_with_the_rest() {
    let server = Server::start_with(|config| config.limits.reveals_per_minute_per_identity = 3).await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let connector = server.client(Person::Connector);
    for _ in 0..2 {
        reveal(&connector, &stored.name).await.unwrap();
    }
    assert!(is(&connector, &stored.name, "hunter2").await.unwrap());
    let refused = reveal(&connector, &stored.name).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::ResourceExhausted, ErrorReason::RateLimited));
    assert_eq!((refused.metadata("limit"), refused.metadata("interval_seconds")), (Some("3"), Some("60")));
    assert!(refused.retry_delay().is_some());
    // Nobody else waits.
    let admin = server.client(Person::Admin);
    reveal(&admin, &stored.name).await.unwrap();
    admin.mailboxes().get(&stored.name).await.unwrap();
}

#[tokio::test]
async fn who_calls_too_often_waits() {
    let server = Server::start_with(|config| config.limits.calls_per_second_per_identity = 2).await;
    let writer = server.client(Person::Writer);
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let writer = writer.clone();
        calls.spawn(async move { writer.mailboxes().list(DEFAULT, fieldseal_client::ListOptions::default()).await });
    }
    let mut refused = 0;
    while let Some(call) = calls.join_next().await {
        if let Err(error) = call.unwrap() {
            assert_eq!(error.reason(), ErrorReason::RateLimited);
            refused += 1;
        }
    }
    assert!((1..=48).contains(&refused), "{refused}");
}
