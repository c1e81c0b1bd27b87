//! Access to secrets: comparison of a value, and passwords that can't be redirected to another server.

use sealward_client::{
    Client, Code, Error, ErrorReason, ExposeSecret, MailConnection, ResolvedMailbox, SecretString,
    mail_v1::{
        self, EmailServerProfile, Mailbox,
        email_server_profile::{self, CredentialRetrieval, ServerType},
        mailbox::{IncomingEmailDeliveryMethod, OutgoingEmailDeliveryMethod},
    },
};
use sealward_server::development::Person;
use tokio::task::JoinSet;

use crate::{
    due::scraped,
    harness::{DEFAULT, Server, inside::Inside, mailbox, reason, reveal},
};

async fn is(connector: &Client, name: &str, value: &str) -> Result<bool, Error> {
    connector.compare_attribute(name, "password", &SecretString::from(value), "a login").await
}

#[tokio::test]
async fn value_is_compared_and_recorded_but_never_returned() {
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
async fn concurrent_and_earlier_guesses_share_the_limit() {
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
                assert_eq!(error.metadata("bound"), Some("comparisons_per_15_minutes"));
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
async fn changing_the_server_of_a_password_clears_it() {
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
    let changes: [(&str, Change, bool, bool); 9] = [
        ("incoming_server_location", |p| p.incoming_server_location = Some("evil.example.net".to_owned()), false, true),
        ("incoming_port_number", |p| p.incoming_port_number = Some(1143), false, true),
        ("incoming_use_ssl", |p| p.incoming_use_ssl = Some(false), false, true),
        // The password for fetching can serve for sending.
        ("outgoing_server_location", |p| p.outgoing_server_location = None, false, false),
        ("default_server_location", |p| p.default_server_location = Some("evil.example.net".to_owned()), false, false),
        // Discovery of a server uses the user name.
        ("incoming_username", |p| p.incoming_username = Some("x@evil.example.net".to_owned()), false, true),
        ("server_type", |p| p.server_type = Some(ServerType::ImapSmtp.into()), false, false),
        // The same value as before, and attributes that don't affect the destination.
        ("incoming_server_location", |p| p.incoming_server_location = Some("imap.example.org".to_owned()), true, true),
        ("display_name", |p| p.display_name = Some("Q".to_owned()), true, true),
    ];
    for (field, change, incoming, outgoing) in changes {
        let mut stored = profiles.create(DEFAULT, profile.clone(), None).await.unwrap();
        change(&mut stored);
        let updated = profiles.update(stored, [field]).await.unwrap();
        let set = (updated.is_incoming_password_set, updated.is_outgoing_password_set);
        assert_eq!(set, (Some(incoming), Some(outgoing)), "{field}");
        // Only the answer to the update lists the cleared attributes.
        let read = EmailServerProfile { cleared_attributes: Vec::new(), ..updated };
        assert_eq!(profiles.get(&read.name).await.unwrap(), read);
    }
    // A caller that knows the password can set it in the same update.
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
async fn reveals_over_the_rate_are_refused_and_other_calls_succeed() {
    let server = Server::start_with(|config| {
        config.limits.reveals_per_minute_per_identity = 3;
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let connector = server.client(Person::Connector);
    for _ in 0..2 {
        reveal(&connector, &stored.name).await.unwrap();
    }
    assert!(is(&connector, &stored.name, "hunter2").await.unwrap());
    let refused = reveal(&connector, &stored.name).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::ResourceExhausted, ErrorReason::RateLimited));
    assert_eq!((refused.metadata("limit"), refused.metadata("interval_seconds")), (Some("3"), Some("60")));
    assert_eq!(refused.metadata("bound"), Some("reveals_per_minute_per_identity"));
    assert!(refused.retry_delay().is_some());
    let metrics = scraped(server.metrics_address()).await;
    let counted = "sealward_refused_by_bound_total{bound=\"reveals_per_minute_per_identity\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    // Other callers aren't affected.
    let admin = server.client(Person::Admin);
    reveal(&admin, &stored.name).await.unwrap();
    admin.mailboxes().get(&stored.name).await.unwrap();
}

#[tokio::test]
async fn calls_over_the_rate_are_refused() {
    let server = Server::start_with(|config| config.limits.calls_per_second_per_identity = 2).await;
    let writer = server.client(Person::Writer);
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let writer = writer.clone();
        calls.spawn(async move { writer.mailboxes().list(DEFAULT, sealward_client::ListOptions::default()).await });
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

/// A profile of an IMAP server with credentials of its own, and a mailbox that it serves.
async fn profile_and_mailbox(server: &Server, profile: EmailServerProfile) -> (EmailServerProfile, Mailbox) {
    let writer = server.client(Person::Writer);
    let profile = writer.email_server_profiles().create(DEFAULT, profile, None).await.unwrap();
    let mailbox = Mailbox {
        username: Some("sales@example.org".to_owned()),
        allow_email_connector_to_use_credentials: Some(true),
        email_server_profile: Some(profile.name.clone()),
        incoming_email_delivery_method: Some(IncomingEmailDeliveryMethod::ServerSideSync.into()),
        outgoing_email_delivery_method: Some(OutgoingEmailDeliveryMethod::ServerSideSync.into()),
        ..mailbox("of the mailbox")
    };
    let mailbox = writer.mailboxes().create(DEFAULT, mailbox, None).await.unwrap();
    (profile, mailbox)
}

fn imap_profile() -> EmailServerProfile {
    EmailServerProfile {
        display_name: Some("Post".to_owned()),
        server_type: Some(ServerType::ImapSmtp.into()),
        incoming_server_location: Some("imap.example.org".to_owned()),
        incoming_credential_retrieval: Some(CredentialRetrieval::EmailServerProfile.into()),
        incoming_username: Some("service".to_owned()),
        incoming_password: Some("for fetching".to_owned()),
        outgoing_server_location: Some("smtp.example.org".to_owned()),
        outgoing_username: Some("sender".to_owned()),
        outgoing_password: Some("for sending".to_owned()),
        ..EmailServerProfile::default()
    }
}

/// One line with all details of a connection.
fn line(connection: Option<&MailConnection>) -> String {
    let Some(found) = connection else { return "unused".to_owned() };
    format!(
        "{} {}:{} {} {} {} {}",
        found.protocol.as_str_name(),
        found.server.as_deref().unwrap_or("-"),
        found.port,
        if found.use_tls { "TLS" } else { "clear" },
        found.username.as_deref().unwrap_or("-"),
        found.password.as_ref().map_or("-", |password| password.expose_secret()),
        found.credentials.as_str_name(),
    )
}

#[tokio::test]
async fn mailbox_is_resolved_by_the_rules_of_dynamics_365() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let connector = server.client(Person::Connector);
    type Change = fn(&mut EmailServerProfile, &mut Mailbox);
    let imap = "PROTOCOL_IMAP imap.example.org:993 TLS service for fetching CREDENTIALS_OF_PROFILE";
    let none = |place: &str, why: &str| format!("{place} - - {why}");
    let (imap_at, smtp_at) = ("PROTOCOL_IMAP imap.example.org:993 TLS", "PROTOCOL_SMTP smtp.example.org:465 TLS");
    let cases: [(&str, Change, String, String); 17] = [
        (
            "one set of credentials",
            |_, _| {},
            imap.into(),
            format!("{smtp_at} service for fetching CREDENTIALS_OF_PROFILE"),
        ),
        (
            "two sets",
            |p, _| {
                p.use_same_settings_for_outgoing_connections = Some(false);
                p.outgoing_credential_retrieval = p.incoming_credential_retrieval;
                p.outgoing_use_ssl = Some(false);
            },
            imap.into(),
            "PROTOCOL_SMTP smtp.example.org:25 clear sender for sending CREDENTIALS_OF_PROFILE".into(),
        ),
        (
            "those of the mailbox, one server, ports given",
            |p, _| {
                p.incoming_credential_retrieval = Some(CredentialRetrieval::UserOrQueue.into());
                p.outgoing_server_location = None;
                p.incoming_port_number = Some(1993);
                p.outgoing_port_number = Some(1465);
            },
            "PROTOCOL_IMAP imap.example.org:1993 TLS sales@example.org of the mailbox CREDENTIALS_OF_MAILBOX".into(),
            "PROTOCOL_SMTP imap.example.org:1465 TLS sales@example.org of the mailbox CREDENTIALS_OF_MAILBOX".into(),
        ),
        (
            "those of the mailbox, which doesn't let them be used",
            |p, m| {
                p.incoming_credential_retrieval = Some(CredentialRetrieval::UserOrQueue.into());
                m.allow_email_connector_to_use_credentials = Some(false);
            },
            none(imap_at, "CREDENTIALS_NOT_ALLOWED"),
            none(smtp_at, "CREDENTIALS_NOT_ALLOWED"),
        ),
        (
            "those of the mailbox, without a password",
            |p, m| {
                p.incoming_credential_retrieval = Some(CredentialRetrieval::UserOrQueue.into());
                m.password = None;
            },
            none(imap_at, "CREDENTIALS_MISSING"),
            none(smtp_at, "CREDENTIALS_MISSING"),
        ),
        (
            "those of the mailbox, which has neither user name nor password",
            |p, m| {
                p.incoming_credential_retrieval = Some(CredentialRetrieval::UserOrQueue.into());
                (m.username, m.password) = (None, None);
            },
            none(imap_at, "CREDENTIALS_MISSING"),
            none(smtp_at, "CREDENTIALS_MISSING"),
        ),
        (
            "an empty password is one",
            |p, _| p.incoming_password = Some(String::new()),
            format!("{imap_at} service  CREDENTIALS_OF_PROFILE"),
            format!("{smtp_at} service  CREDENTIALS_OF_PROFILE"),
        ),
        (
            "none wanted",
            |p, _| p.incoming_credential_retrieval = Some(CredentialRetrieval::Anonymous.into()),
            none(imap_at, "CREDENTIALS_ANONYMOUS"),
            none(smtp_at, "CREDENTIALS_ANONYMOUS"),
        ),
        (
            "kept elsewhere",
            |p, _| p.incoming_credential_retrieval = Some(CredentialRetrieval::GmailOauth.into()),
            none(imap_at, "CREDENTIALS_ELSEWHERE"),
            none(smtp_at, "CREDENTIALS_ELSEWHERE"),
        ),
        (
            "nobody said whose",
            |p, _| p.incoming_credential_retrieval = None,
            none(imap_at, "CREDENTIALS_RETRIEVAL_MISSING"),
            none(smtp_at, "CREDENTIALS_RETRIEVAL_MISSING"),
        ),
        (
            "a default server",
            |p, _| {
                p.incoming_server_location = None;
                p.outgoing_server_location = None;
                p.default_server_location = Some("mail.example.org".to_owned());
            },
            "PROTOCOL_IMAP mail.example.org:993 TLS service for fetching CREDENTIALS_OF_PROFILE".into(),
            "PROTOCOL_SMTP mail.example.org:465 TLS service for fetching CREDENTIALS_OF_PROFILE".into(),
        ),
        (
            "no server for fetching",
            |p, _| p.incoming_server_location = None,
            none("PROTOCOL_IMAP -:993 TLS", "CREDENTIALS_SERVER_MISSING"),
            format!("{smtp_at} service for fetching CREDENTIALS_OF_PROFILE"),
        ),
        (
            "POP3 without TLS",
            |p, _| {
                p.server_type = Some(ServerType::Other.into());
                p.incoming_use_ssl = Some(false);
            },
            "PROTOCOL_POP3 imap.example.org:110 clear service for fetching CREDENTIALS_OF_PROFILE".into(),
            "PROTOCOL_SMTP smtp.example.org:25 clear service for fetching CREDENTIALS_OF_PROFILE".into(),
        ),
        (
            "Exchange, to be discovered",
            |p, _| {
                p.server_type = Some(ServerType::ExchangeServer.into());
                p.incoming_server_location = None;
                p.outgoing_server_location = None;
                p.use_auto_discover = Some(true);
            },
            "PROTOCOL_EXCHANGE -:443 TLS service for fetching CREDENTIALS_OF_PROFILE".into(),
            "PROTOCOL_EXCHANGE -:443 TLS service for fetching CREDENTIALS_OF_PROFILE".into(),
        ),
        (
            "Exchange, one port for both",
            |p, _| {
                p.server_type = Some(ServerType::ExchangeServer.into());
                p.outgoing_server_location = None;
                p.incoming_port_number = Some(8443);
            },
            "PROTOCOL_EXCHANGE imap.example.org:8443 TLS service for fetching CREDENTIALS_OF_PROFILE".into(),
            "PROTOCOL_EXCHANGE imap.example.org:8443 TLS service for fetching CREDENTIALS_OF_PROFILE".into(),
        ),
        (
            "only sending",
            |_, m| m.incoming_email_delivery_method = Some(IncomingEmailDeliveryMethod::None.into()),
            "unused".into(),
            format!("{smtp_at} service for fetching CREDENTIALS_OF_PROFILE"),
        ),
        (
            "nothing",
            |_, m| {
                m.incoming_email_delivery_method = None;
                m.outgoing_email_delivery_method = Some(OutgoingEmailDeliveryMethod::Outlook.into());
            },
            "unused".into(),
            "unused".into(),
        ),
    ];
    for (what, change, incoming, outgoing) in cases {
        let (mut profile, mut wanted) = (
            imap_profile(),
            Mailbox {
                username: Some("sales@example.org".to_owned()),
                allow_email_connector_to_use_credentials: Some(true),
                incoming_email_delivery_method: Some(IncomingEmailDeliveryMethod::ServerSideSync.into()),
                outgoing_email_delivery_method: Some(OutgoingEmailDeliveryMethod::ServerSideSync.into()),
                ..mailbox("of the mailbox")
            },
        );
        change(&mut profile, &mut wanted);
        wanted.email_server_profile =
            Some(writer.email_server_profiles().create(DEFAULT, profile, None).await.expect(what).name);
        let stored = writer.mailboxes().create(DEFAULT, wanted, None).await.expect(what);
        let found = connector.resolve_mailbox_connection(&stored.name, "new mail").await.expect(what);
        assert_eq!((line(found.incoming.as_ref()), line(found.outgoing.as_ref())), (incoming, outgoing), "{what}");
        let shown = format!("{found:?}");
        assert!(!shown.contains("for fetching") && !shown.contains("of the mailbox"), "{shown}");
    }

    // Unset TLS means TLS, as in every rule about it.
    let (profile, mailbox) = profile_and_mailbox(&server, imap_profile()).await;
    let silent = EmailServerProfile {
        name: profile.name,
        incoming_password: Some("for fetching".to_owned()),
        ..EmailServerProfile::default()
    };
    writer.email_server_profiles().update(silent, ["incoming_use_ssl", "incoming_password"]).await.unwrap();
    let found = connector.resolve_mailbox_connection(&mailbox.name, "new mail").await.unwrap();
    assert_eq!(line(found.incoming.as_ref()), imap);
}

#[tokio::test]
async fn refused_resolve_has_a_reason_and_each_resolve_records_the_server() {
    let server = Server::start().await;
    let writer = server.client(Person::Writer);
    let connector = server.client(Person::Connector);
    let (mut profile, mut stored) = profile_and_mailbox(&server, imap_profile()).await;
    connector.resolve_mailbox_connection(&stored.name, "new mail").await.unwrap();

    let resolve = || connector.resolve_mailbox_connection(&stored.name, "new mail");
    let refused_by_mail = |outcome: Result<ResolvedMailbox, Error>, reason| {
        let error = outcome.unwrap_err();
        assert_eq!((error.code(), error.mail_reason()), (Code::FailedPrecondition, reason), "{error}");
        assert_eq!((error.reason(), error.metadata("organization")), (ErrorReason::Unspecified, Some("default")));
    };
    stored.enabled_for_outgoing_email = Some(false);
    profile.state_code = Some(email_server_profile::StateCode::Inactive.into());
    profile.status_code = Some(email_server_profile::StatusCode::Inactive.into());
    let profile = writer.email_server_profiles().update(profile, ["state_code", "status_code"]).await.unwrap();
    refused_by_mail(resolve().await, mail_v1::ErrorReason::ProfileInactive);
    writer.email_server_profiles().delete(&profile.name, "").await.unwrap();
    refused_by_mail(resolve().await, mail_v1::ErrorReason::MailboxWithoutProfile);
    let inactive = Mailbox {
        name: stored.name.clone(),
        state_code: Some(mail_v1::mailbox::StateCode::Inactive.into()),
        status_code: Some(mail_v1::mailbox::StatusCode::Inactive.into()),
        ..Mailbox::default()
    };
    writer.mailboxes().update(inactive, ["state_code", "status_code"]).await.unwrap();
    refused_by_mail(resolve().await, mail_v1::ErrorReason::MailboxInactive);
    writer.mailboxes().delete(&stored.name, "").await.unwrap();
    assert_eq!(reason(resolve().await), ErrorReason::NotFound);
    for (name, purpose) in [(stored.name.as_str(), " "), (profile.name.as_str(), "new mail"), ("x", "new mail")] {
        let refused = connector.resolve_mailbox_connection(name, purpose).await;
        assert!(matches!(reason(refused), ErrorReason::FieldInvalid | ErrorReason::NotFound), "{name}");
    }
    for person in [Person::Writer, Person::Reader, Person::Auditor] {
        let refused = server.client(person).resolve_mailbox_connection(&stored.name, "new mail").await;
        assert_eq!(reason(refused), ErrorReason::PrivilegeMissing);
    }

    let trail = Inside::organization(&server.stop().await).trail();
    let told: Vec<_> = trail
        .iter()
        .filter(|record| record.action == "resolve-mailbox-connection" && record.purpose.is_some())
        .map(|record| (&*record.outcome, record.attributes.as_deref(), record.details.as_deref()))
        .collect();
    let places = "incoming imap.example.org:993 TLS, credentials of profile; \
                  outgoing smtp.example.org:465 TLS, credentials of profile";
    assert_eq!(
        told,
        [
            ("done", Some("EmailServerProfile.incoming_password"), Some(places)),
            ("PROFILE_INACTIVE", None, None),
            ("MAILBOX_WITHOUT_PROFILE", None, None),
            ("MAILBOX_INACTIVE", None, None),
            ("NOT_FOUND", None, None),
        ]
    );
    assert!(!format!("{trail:?}").contains("for fetching"));
}
