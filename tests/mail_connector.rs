//! The mail connector of `examples/`, with a real Sealward on one side and a real IMAP server on the other.

use std::process::{Command, Output};

use sealward_client::mail_v1::{
    EmailServerProfile, Mailbox,
    email_server_profile::{CredentialRetrieval, ServerType},
    mailbox::IncomingEmailDeliveryMethod,
};
use sealward_server::development::Person;

use crate::harness::{
    DEFAULT, Server,
    dovecot::{Dovecot, HOST, Offer, PASSWORD, USER},
    inside::{Inside, Trail},
    mailbox,
    process::binary,
    settled,
};

/// The result of a run of the connector.
#[derive(Debug)]
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    /// The stderr of a failed run.
    #[track_caller]
    fn failure(&self) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (1, ""), "{self:?}");
        &self.stderr
    }
}

/// The connector, run for this mailbox with a certificate of this person.
fn run_as(person: Person, server: &Server, mailbox: &Mailbox, words: &[&str]) -> Run {
    let development = server.folder().development();
    let mut command = Command::new(binary("mail-connector"));
    command.env_clear().args(["--endpoint", &format!("https://{}", server.address())]);
    command.arg("--ca").arg(development.ca()).arg("--cert").arg(development.certificate(person));
    command.arg("--key").arg(development.key(person)).arg(&mailbox.name).args(words);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let run = Run { code: status.code().unwrap(), stdout: text(stdout), stderr: text(stderr) };
    assert!(!contains_password(&run.stdout) && !contains_password(&run.stderr), "{run:?}");
    run
}

/// Like [`run_as`] for the connector, which trusts the mail server's CA.
fn run(server: &Server, dovecot: &Dovecot, mailbox: &Mailbox) -> Run {
    run_as(Person::Connector, server, mailbox, &["--mail-ca", dovecot.ca().to_str().unwrap()])
}

/// Whether there is anything of the password in it: one of its words is enough, for those who quote or escape.
fn contains_password(text: &str) -> bool {
    PASSWORD.split(|character: char| !character.is_ascii_alphabetic()).any(|word| word.len() > 1 && text.contains(word))
}

/// A mailbox of the mail server's user, changed before it is stored, and a profile of the server.
async fn mailbox_of(server: &Server, dovecot: &Dovecot, use_tls: bool, change: impl FnOnce(&mut Mailbox)) -> Mailbox {
    let writer = server.client(Person::Writer);
    let profile = EmailServerProfile {
        display_name: Some("Post".to_owned()),
        server_type: Some(ServerType::ImapSmtp.into()),
        incoming_server_location: Some(HOST.to_owned()),
        incoming_port_number: Some(dovecot.port().into()),
        incoming_use_ssl: Some(use_tls),
        incoming_credential_retrieval: Some(CredentialRetrieval::UserOrQueue.into()),
        ..EmailServerProfile::default()
    };
    let profile = writer.email_server_profiles().create(DEFAULT, profile, None).await.unwrap();
    let mut mailbox = Mailbox {
        username: Some(USER.to_owned()),
        allow_email_connector_to_use_credentials: Some(true),
        email_server_profile: Some(profile.name),
        incoming_email_delivery_method: Some(IncomingEmailDeliveryMethod::ServerSideSync.into()),
        ..mailbox(PASSWORD)
    };
    change(&mut mailbox);
    writer.mailboxes().create(DEFAULT, mailbox, None).await.unwrap()
}

/// The resolves of a server's trail, which has no password; ends it.
async fn resolves(server: Server) -> Vec<Trail> {
    let trail = Inside::organization(&server.stop().await).trail();
    assert!(!contains_password(&format!("{trail:?}")));
    trail.into_iter().filter(|record| record.action == "resolve-mailbox-connection").collect()
}

/// The connector's output of a login to the server.
fn success(dovecot: &Dovecot, tls: &str) -> String {
    format!(
        "Logged in to {HOST}:{} {tls} as {USER}, with the credentials of the mailbox.\n\
         INBOX has 2 messages, newest first:\n  Your order 4711\n  Hello \u{fffd}[2Jthere\nLogged out.\n",
        dovecot.port()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn login_to_a_real_mail_server_prints_the_server_but_no_password() {
    let server = Server::start().await;
    let dovecot = Dovecot::start(Offer::Tls);
    let mailbox = mailbox_of(&server, &dovecot, true, |_| {}).await;
    let ca = dovecot.ca();
    let words = ["--mail-ca", ca.to_str().unwrap(), "--purpose", "the mail of noon"];
    let run = run_as(Person::Connector, &server, &mailbox, &words);
    assert_eq!((run.code, run.stdout, &*run.stderr), (0, success(&dovecot, "with TLS"), ""));

    let place = format!("incoming {HOST}:{} TLS, credentials of mailbox", dovecot.port());
    let log = dovecot.end();
    assert!(log.contains("Login: user=<sales@example.org>") && log.contains("Disconnected: Logged out"), "{log}");
    assert!(!contains_password(&log), "{log}");
    let resolves = resolves(server).await;
    let [resolve] = resolves.as_slice() else { panic!("{resolves:?}") };
    assert_eq!((&*resolve.outcome, &*resolve.subject), ("done", &*mailbox.name));
    assert_eq!(resolve.identity.as_deref(), Some("cn:connector"));
    assert_eq!(resolve.purpose.as_deref(), Some("the mail of noon"));
    assert_eq!(resolve.attributes.as_deref(), Some("Mailbox.password"));
    assert_eq!(resolve.details, Some(place));
}

#[tokio::test(flavor = "multi_thread")]
async fn login_survives_a_key_change_and_fails_after_a_password_change() {
    let server = Server::start().await;
    let mut dovecot = Dovecot::start(Offer::Tls);
    let mut mailbox = mailbox_of(&server, &dovecot, true, |_| {}).await;
    let admin = server.client(Person::Admin);
    admin.change_key(DEFAULT, &"another key, 2".into()).await.unwrap();
    // Regardless of whether the cell was already sealed again.
    assert_eq!(run(&server, &dovecot, &mailbox).stdout, success(&dovecot, "with TLS"));
    settled(&admin).await;
    assert_eq!(run(&server, &dovecot, &mailbox).stdout, success(&dovecot, "with TLS"));

    mailbox.password = Some(PASSWORD.replace("horse", "mouse"));
    let mailbox = server.client(Person::Writer).mailboxes().update(mailbox, ["password"]).await.unwrap();
    let refused = run(&server, &dovecot, &mailbox);
    let said = "mail-connector: mail server: login refused: Authentication failed.\n";
    assert_eq!(refused.failure(), said);
    let log = dovecot.wait_for("auth failed, 1 attempts");
    assert!(log.contains("Password mismatch") && !contains_password(log) && !log.contains("mouse"), "{log}");
    let outcomes: Vec<_> = resolves(server).await.into_iter().map(|resolve| resolve.outcome).collect();
    assert_eq!(outcomes, ["done", "done", "done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_of_sealward_is_reported_without_a_mail_server_connection() {
    let server = Server::start().await;
    let dovecot = Dovecot::start(Offer::Tls);
    let kept = mailbox_of(&server, &dovecot, true, |m| m.allow_email_connector_to_use_credentials = Some(false)).await;
    let not_allowed = run(&server, &dovecot, &kept);
    assert!(not_allowed.failure().contains("the mailbox doesn't allow connectors to use its credentials"));
    let unused = mailbox_of(&server, &dovecot, true, |m| m.incoming_email_delivery_method = None).await;
    assert!(run(&server, &dovecot, &unused).failure().contains("the mailbox doesn't fetch mail"));
    let without_profile = mailbox_of(&server, &dovecot, true, |m| m.email_server_profile = None).await;
    assert!(run(&server, &dovecot, &without_profile).failure().contains("MAILBOX_WITHOUT_PROFILE: "));
    let reader = run_as(Person::Reader, &server, &kept, &[]);
    assert!(reader.failure().contains("PRIVILEGE_MISSING: ") && reader.stderr.contains("\n  call id: "), "{reader:?}");

    let nameless = run(&server, &dovecot, &Mailbox { name: "sales".to_owned(), ..kept });
    assert!(nameless.failure().contains("FIELD_INVALID: ") && nameless.stderr.contains("\n  name: "), "{nameless:?}");

    let log = dovecot.end();
    assert!(!log.contains("imap-login"), "{log}");
    let told: Vec<_> =
        resolves(server).await.into_iter().filter_map(|resolve| Some((resolve.outcome, resolve.details?))).collect();
    assert!(told.iter().all(|(_, details)| !details.contains("credentials of")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_of_an_unknown_ca_gets_no_password() {
    let server = Server::start().await;
    let mut dovecot = Dovecot::start(Offer::Tls);
    let mailbox = mailbox_of(&server, &dovecot, true, |_| {}).await;
    // A CA, and not that of the mail server.
    let other = server.folder().development().ca();
    let refused = run_as(Person::Connector, &server, &mailbox, &["--mail-ca", other.to_str().unwrap()]);
    let said = refused.failure();
    assert!(said.contains("TLS handshake failed, no password was sent: invalid peer certificate"), "{said}");
    let log = dovecot.wait_for("alert unknown ca");
    assert!(!log.contains("client in: AUTH"), "{log}");

    let no_ca = run_as(Person::Connector, &server, &mailbox, &["--mail-ca", "/nowhere/ca.pem"]);
    assert!(no_ca.failure().contains("can't read the CA file /nowhere/ca.pem"));
}

#[tokio::test(flavor = "multi_thread")]
async fn password_is_sent_in_the_clear_only_on_request() {
    let server = Server::start().await;
    let dovecot = Dovecot::start(Offer::Cleartext);
    let mailbox = mailbox_of(&server, &dovecot, false, |_| {}).await;
    let refused = run_as(Person::Connector, &server, &mailbox, &[]);
    assert!(refused.failure().contains("--allow-cleartext"), "{refused:?}");
    let allowed = run_as(Person::Connector, &server, &mailbox, &["--allow-cleartext"]);
    assert_eq!(allowed.stdout, success(&dovecot, "without TLS"), "{allowed:?}");
    assert_eq!(dovecot.end().matches("client in: AUTH").count(), 1);
}
