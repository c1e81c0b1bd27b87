//! Rotation of the root key: the first one in the configuration seals all keys at a start, and the former one can be removed.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use sealward_client::{Client, ErrorReason};
use sealward_core::configuration::ConfigurationError;
use sealward_server::{
    app::{App, StartError},
    development::Person,
};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::{
    DEFAULT, Folder, PATIENCE, Server, health_of,
    inside::{Inside, flipped},
    mailbox,
    process::{Process, binary},
    reason, reveal,
};

/// Replaces the root key by a new one, and keeps the former one beside it.
pub(crate) fn renew(folder: &Path) {
    fs::rename(folder.join("root.key"), folder.join("former.key")).unwrap();
    // With the mode that a root key must have.
    let other = Folder::new();
    fs::copy(other.development().root_key(), folder.join("root.key")).unwrap();
    list(folder, &["root.key", "former.key"]);
}

/// Lists the root keys in these files in the configuration, the current one first.
pub(crate) fn list(folder: &Path, files: &[&str]) {
    const HEADER: &str = "\n[[root_key.sources]]\n";
    let path = folder.join("sealward.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (before, _) = text.split_once(HEADER).unwrap();
    let (_, last) = text.rsplit_once(HEADER).unwrap();
    let (_, after) = last.split_once("\n\n").unwrap();
    let sources = files.iter().map(|file| format!("{HEADER}type = \"file\"\npath = \"{file}\"\n")).collect::<String>();
    fs::write(path, format!("{before}{sources}\n{after}")).unwrap();
}

/// Removes the former root key and its setting.
fn remove_former(folder: &Path) {
    list(folder, &["root.key"]);
    fs::remove_file(folder.join("former.key")).unwrap();
}

async fn start_error(folder: &Folder) -> StartError {
    let mut config = folder.development().config().unwrap();
    config.listen.address = "127.0.0.1:0".parse().unwrap();
    App::start(config).await.err().unwrap()
}

/// The ids of the root keys that the key texts are sealed under.
fn sealed_under(folder: &Folder) -> Vec<Vec<u8>> {
    let mut ids: Vec<_> =
        Inside::configuration(folder).key_texts().into_iter().map(|sealed| sealed[1..9].to_vec()).collect();
    ids.sort();
    ids
}

fn root_keys_known(folder: &Folder) -> i64 {
    Inside::configuration(folder).number("SELECT count(*) FROM sealward_root_key")
}

/// A mailbox in each of some organizations besides the first, with its password.
async fn fill(server: &Server, organizations: usize) -> Vec<(String, String)> {
    let admin = server.client(Person::Admin);
    let mut mailboxes = Vec::new();
    for number in 0..=organizations {
        let organization = match number {
            0 => DEFAULT.to_owned(),
            _ => admin.create_organization(format!("contoso-{number}")).await.unwrap().name,
        };
        let password = format!("password {number}");
        let created = admin.mailboxes().create(&organization, mailbox(&password), None).await.unwrap();
        mailboxes.push((created.name, password));
    }
    mailboxes
}

async fn all_reveal(connector: &Client, mailboxes: &[(String, String)]) {
    for (name, password) in mailboxes {
        assert_eq!(reveal(connector, name).await.unwrap().as_ref(), Some(password), "{name}");
    }
}

#[tokio::test]
async fn first_root_key_seals_all_keys_at_the_next_start() {
    let server = Server::start().await;
    let mailboxes = fill(&server, 1).await;
    let admin = server.client(Person::Admin);
    let second_page = admin.list_organizations(1, "").await.unwrap().next_page_token;
    let folder = server.stop().await;
    let before = sealed_under(&folder);
    assert_eq!(before[0], before[1]);

    renew(&folder.path());
    list(&folder.path(), &["root.key"]);
    let error = start_error(&folder).await;
    assert!(matches!(error, StartError::Prepare(ConfigurationError::OtherRootKey)), "{error:?}");
    list(&folder.path(), &["root.key", "former.key"]);
    let server = Server::start_in(folder, |_| {}).await;
    all_reveal(&server.client(Person::Connector), &mailboxes).await;
    server.client(Person::Admin).list_organizations(1, &second_page).await.unwrap();
    let folder = server.stop().await;
    let after = sealed_under(&folder);
    assert_eq!(after[0], after[1]);
    assert_ne!(after[0], before[0]);
    assert_eq!(root_keys_known(&folder), 1);
    let trail = Inside::configuration(&folder).trail();
    let recorded: Vec<_> = trail.iter().filter(|record| record.action == "reseal-key-texts").collect();
    let mut subjects: Vec<_> = recorded.iter().map(|record| &*record.subject).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["organizations/contoso-1", DEFAULT]);
    assert!(recorded.iter().all(|record| record.outcome == "done" && record.identity.is_none()));

    // Nothing is left to do, and nothing is recorded.
    let server = Server::start_in(folder, |_| {}).await;
    let server = server.restart(remove_former, |_| {}).await;
    all_reveal(&server.client(Person::Connector), &mailboxes).await;
    let admin = server.client(Person::Admin);
    admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    assert_eq!(reason(admin.list_organizations(1, &second_page).await), ErrorReason::PageTokenInvalid);
    let folder = server.stop().await;
    assert_eq!(sealed_under(&folder), after);
    let again = Inside::configuration(&folder).trail();
    assert_eq!(again.iter().filter(|record| record.action == "reseal-key-texts").count(), 2);
}

#[tokio::test]
async fn interrupted_root_key_rotation_continues_at_the_next_start() {
    let server = Server::start().await;
    let mailboxes = fill(&server, 6).await;
    let folder = server.stop().await;
    let former = sealed_under(&folder);
    renew(&folder.path());

    // Killed as soon as a text is sealed again.
    let mut child = Command::new(binary("sealward-server"))
        .args(["dev", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while sealed_under(&folder) == former && begun.elapsed() < PATIENCE {}
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(sealed_under(&folder), former);

    let server = Server::start_in(folder, |_| {}).await;
    all_reveal(&server.client(Person::Connector), &mailboxes).await;
    let server = server.restart(remove_former, |_| {}).await;
    all_reveal(&server.client(Person::Connector), &mailboxes).await;
    let folder = server.stop().await;
    let now = sealed_under(&folder);
    assert!(now.iter().all(|id| *id == now[0] && *id != former[0]));
    // Despite several starts, each organization was sealed again once.
    let trail = Inside::configuration(&folder).trail();
    assert_eq!(trail.iter().filter(|record| record.action == "reseal-key-texts").count(), mailboxes.len());
}

#[tokio::test]
async fn locked_organization_keeps_the_former_root_key_until_the_next_start() {
    sqlite_only!("takes the lock file of an organization");
    let server = Server::start().await;
    let mailboxes = fill(&server, 1).await;
    let folder = server.stop().await;
    renew(&folder.path());
    let lock = File::create(folder.organization_database().with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let folder = Server::start_in(folder, |_| {}).await.stop().await;
    let ids = sealed_under(&folder);
    assert_ne!(ids[0], ids[1]);
    assert_eq!(root_keys_known(&folder), 2);
    drop(lock);

    list(&folder.path(), &["root.key"]);
    let error = start_error(&folder).await;
    assert!(matches!(error, StartError::Prepare(ConfigurationError::OtherRootKey)), "{error:?}");
    list(&folder.path(), &["root.key", "former.key"]);
    let server = Server::start_in(folder, |_| {}).await;
    let server = server.restart(remove_former, |_| {}).await;
    all_reveal(&server.client(Person::Connector), &mailboxes).await;
}

// On other threads, so that the connection closes while this one waits for the process to end.
#[tokio::test(flavor = "multi_thread")]
async fn text_that_no_root_key_opens_is_logged_and_retains_no_root_key() {
    let server = Server::start().await;
    let mailboxes = fill(&server, 0).await;
    let key = server.client(Person::Admin).retrieve_data_encryption_key(DEFAULT).await.unwrap();
    let folder = server.stop().await;
    renew(&folder.path());
    {
        let configuration = Inside::configuration(&folder);
        let damaged = flipped(&configuration.key_texts()[0]);
        configuration.execute(&format!("UPDATE sealward_key_text SET sealed = {}", configuration.literal(&damaged)));
    }

    let log = folder.path().join("log");
    let process = Process::start_logging(&folder.path(), File::create(&log).unwrap());
    let admin = folder.client(&process.address, Person::Admin);
    let status = admin.is_data_encryption_active(DEFAULT).await.unwrap();
    assert_eq!((status.is_active, &status.fingerprint), (false, &key.fingerprint));
    admin.restore_key(DEFAULT, &key.encryption_key).await.unwrap();
    process.terminate();
    assert!(process.wait().success());
    let log = fs::read_to_string(log).unwrap();
    let line = log.lines().find(|line| line.contains("key text not opened by any root key")).unwrap();
    assert!(line.contains("default") && line.contains(&key.fingerprint), "{line}");

    remove_former(&folder.path());
    let server = Server::start_in(folder, |_| {}).await;
    all_reveal(&server.client(Person::Connector), &mailboxes).await;
}

#[tokio::test]
async fn server_without_a_listed_root_key_is_not_serving() {
    let server = Server::start().await;
    health_of(&server, "", ServingStatus::Serving).await;
    // As another server lists it before it seals under it.
    let configuration = Inside::configuration(server.folder());
    configuration.change(1, "INSERT INTO sealward_root_key (check_value, create_time) VALUES (zeroblob(32), 1)");
    health_of(&server, "", ServingStatus::NotServing).await;
    configuration.change(1, "DELETE FROM sealward_root_key WHERE check_value = zeroblob(32)");
    health_of(&server, "", ServingStatus::Serving).await;
}
