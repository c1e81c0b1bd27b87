//! A server whose data is in PostgreSQL.
//!
//! `SEALWARD_TEST_STORE=postgresql` runs all tests so. The tests here always do, and need what only a database server can do to its users.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
};

use sealward_client::{Code, Error, ErrorReason, ExposeSecret, SecretString};
use sealward_core::configuration::ConfigurationError;
use sealward_server::{
    app::{App, StartError},
    config::{Config, Storage, StorageOwner},
    development::Person,
};
use serde_json::Value;

use crate::{
    export::exported,
    harness::{
        DEFAULT, Folder, Server,
        inside::{Inside, lose_configuration},
        mailbox, postgresql, reason, reveal, settled,
    },
    operate::{checked, findings, program, run},
};

/// A server on a new database.
async fn started() -> Server {
    Server::start_in(Folder::over_postgresql(), |_| {}).await
}

/// The configuration of a server on a folder that isn't running.
fn configuration(folder: &Folder) -> Config {
    let mut config = folder.development().config().unwrap();
    config.listen.address = "127.0.0.1:0".parse().unwrap();
    config
}

/// Why a server with a changed configuration doesn't start, and the whole text, which contains no password.
async fn not_started(folder: &Folder, change: impl FnOnce(&mut Config, &mut Storage)) -> (StartError, String) {
    let mut config = configuration(folder);
    let mut storage = config.storage.clone().unwrap();
    change(&mut config, &mut storage);
    config.storage = config.storage.and(Some(storage));
    let error = App::start(config).await.err().unwrap();
    let mut text = format!("{error}; {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!("; {cause}; {cause:?}"));
        source = cause.source();
    }
    for secret in [postgresql::PASSWORD, "hunter2"] {
        assert!(!text.contains(secret), "{text}");
    }
    (error, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_survive_a_key_change_and_a_restart() {
    let server = started().await;
    let writer = server.client(Person::Writer);
    let mut names = Vec::new();
    for password in ["hunter2", "tr0ub4dor&3"] {
        let stored = writer.mailboxes().create(DEFAULT, mailbox(password), None).await.unwrap();
        assert_eq!((stored.password, stored.is_password_set), (None, Some(true)));
        names.push(stored.name);
    }
    let admin = server.client(Person::Admin);
    let text = SecretString::from("a new key, number 1");
    admin.change_key(DEFAULT, &text).await.unwrap();
    let reencryption = settled(&admin).await;
    assert_eq!(reencryption.cells_done, 2);
    let cells: Vec<_> = names.iter().map(|name| Inside::organization(server.folder()).password_cell(name)).collect();

    let server = server.restart(|_| {}, |_| {}).await;
    let connector = server.client(Person::Connector);
    for (name, password) in names.iter().zip(["hunter2", "tr0ub4dor&3"]) {
        assert_eq!(reveal(&connector, name).await.unwrap().as_deref(), Some(password));
    }
    let admin = server.client(Person::Admin);
    let kept = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    assert_eq!(kept.encryption_key.expose_secret(), text.expose_secret());
    // No database is in the folder, and no text in PostgreSQL.
    let folder = server.folder().path();
    assert!(!folder.join("configuration.db").exists() && !folder.join("organizations").exists());
    let inside = Inside::organization(server.folder());
    assert_eq!(inside.data_key_versions(), [2]);
    assert_eq!(names.iter().map(|name| inside.password_cell(name)).collect::<Vec<_>>(), cells);
    let dump = postgresql::dump(&postgresql::database_of(&folder).unwrap());
    for secret in ["hunter2", "tr0ub4dor&3", text.expose_secret()] {
        let digits: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!dump.contains(secret) && !dump.contains(&digits), "{secret}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_key_is_restored() {
    let server = started().await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let key = server.client(Person::Admin).retrieve_data_encryption_key(DEFAULT).await.unwrap().encryption_key;
    let server = server.restart(lose_configuration, |_| {}).await;
    let (admin, connector) = (server.client(Person::Admin), server.client(Person::Connector));
    assert!(!admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active);
    assert_eq!(reason(reveal(&connector, &stored.name).await), ErrorReason::DataEncryptionInactive);
    assert_eq!(reason(admin.restore_key(DEFAULT, &"another key, number 1".into()).await), ErrorReason::KeyMismatch);
    admin.restore_key(DEFAULT, &key).await.unwrap();
    assert_eq!(reveal(&connector, &stored.name).await.unwrap().as_deref(), Some("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn organization_is_exported_imported_verified_and_deleted() {
    const COPY: &str = "organizations/copy";
    let server = started().await;
    let (writer, admin) = (server.client(Person::Writer), server.client(Person::Admin));
    let mut names = Vec::new();
    for number in 0..50 {
        let created = writer.mailboxes().create(DEFAULT, mailbox(&format!("canary {number}")), None).await.unwrap();
        names.push(created.name);
    }
    let key = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap().encryption_key;
    let file = exported(&admin, DEFAULT).await;
    let chunks: Vec<_> = file.chunks(1_000).map(<[u8]>::to_vec).collect();
    admin.import_organization_as_copy("copy", &key, None, tokio_stream::iter(chunks)).await.unwrap();
    admin.delete_organization(DEFAULT).await.unwrap();
    assert_eq!(reason(admin.is_data_encryption_active(DEFAULT).await), ErrorReason::NotFound);

    let server = server.restart(|_| {}, |_| {}).await;
    let (connector, auditor) = (server.client(Person::Connector), server.client(Person::Auditor));
    for (number, name) in names.iter().enumerate() {
        let revealed = reveal(&connector, &name.replace(DEFAULT, COPY)).await.unwrap();
        assert_eq!(revealed, Some(format!("canary {number}")));
    }
    let mut stream = auditor.verify_cells(COPY).await.unwrap();
    let mut last = None;
    while let Some(message) = stream.next().await.unwrap() {
        assert_eq!((message.unreadable_cells.len(), message.census_miscounts.len()), (0, 0));
        last = Some(message);
    }
    assert_eq!(last.map(|last| (last.is_complete, last.cells_checked)), Some((true, 50)));
    assert!(auditor.verify_audit_trail(COPY).await.unwrap().intact);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_record_and_missing_record_are_not_found() {
    let server = started().await;
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    writer.mailboxes().delete(&stored.name, "").await.unwrap();
    let connector = server.client(Person::Connector);
    assert_eq!(reason(reveal(&connector, &stored.name).await), ErrorReason::NotFound);
    server.stop().await;
}

/// Checks an answer of a server whose database doesn't answer: a client repeats the call after a delay.
#[track_caller]
fn assert_unavailable<T>(outcome: Result<T, Error>) {
    let Err(error) = outcome else { panic!("the call should have failed") };
    // Of a call that must be recorded, the record is what can't be written.
    let is_expected = matches!(error.reason(), ErrorReason::StoreUnavailable | ErrorReason::AuditUnavailable);
    assert!(error.code() == Code::Unavailable && is_expected, "{error:?}");
    assert!(error.retry_delay().is_some(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_unavailable_while_the_database_is_and_then_recover() {
    let server = started().await;
    let (writer, reader) = (server.client(Person::Writer), server.client(Person::Reader));
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let database = postgresql::database_of(&server.folder().path()).unwrap();
    for round in 0..2 {
        let allow = |is_allowed: bool| {
            postgresql::administer(&format!("ALTER DATABASE {database} WITH ALLOW_CONNECTIONS {is_allowed}"));
        };
        allow(false);
        let terminate = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
        postgresql::administer(&terminate);
        assert_unavailable(reader.mailboxes().get(&stored.name).await);
        assert_unavailable(writer.mailboxes().create(DEFAULT, mailbox("lost"), None).await);
        assert_unavailable(
            server.client(Person::Connector).reveal_attributes(&stored.name, ["password"], "test").await,
        );
        allow(true);
        assert_eq!(reader.mailboxes().get(&stored.name).await.unwrap(), stored);
        let created = writer.mailboxes().create(DEFAULT, mailbox("found"), None).await.unwrap();
        let revealed = reveal(&server.client(Person::Connector), &created.name).await.unwrap();
        assert_eq!(revealed.as_deref(), Some("found"), "{round}");
    }
    let all = reader.mailboxes().list(DEFAULT, Default::default()).await.unwrap();
    assert_eq!(all.records.len(), 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_a_free_connection_are_unavailable_in_bounded_time() {
    let server = Server::start_in(Folder::over_postgresql(), |config| config.limits.storage_connections_max = 4).await;
    let (writer, reader) = (server.client(Person::Writer), server.client(Person::Reader));
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let database = postgresql::database_of(&server.folder().path()).unwrap();
    let mut psql = postgresql::psql(&database);
    let mut locking = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = locking.stdin.take().unwrap();
    input.write_all(b"BEGIN; LOCK TABLE sealward.\"Mailbox\" IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n").unwrap();
    let mut line = String::new();
    BufReader::new(locking.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    let calls: Vec<_> = (0..12)
        .map(|_| {
            let (reader, name) = (reader.clone(), stored.name.clone());
            tokio::spawn(async move { reader.mailboxes().get(&name).await })
        })
        .collect();
    // The first ones wait for the table, and the others for a connection.
    for call in calls {
        assert_unavailable(call.await.unwrap());
    }
    drop(input);
    assert!(locking.wait().unwrap().success());
    assert_eq!(reader.mailboxes().get(&stored.name).await.unwrap(), stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_does_not_start_with_a_database_that_it_cannot_use() {
    let folder = started().await.stop().await;
    let words = async |words: &str, change: &dyn Fn(&mut Storage)| {
        let (error, text) = not_started(&folder, |_, storage| change(storage)).await;
        assert!(matches!(error, StartError::Postgres(_)), "{text}");
        assert!(text.contains(words), "{words}: {text}");
    };
    let (at, database) = (postgresql::address(), postgresql::database_of(&folder.path()).unwrap());
    let role = |role: &'static str| {
        let address = format!("postgres://{role}@{at}/{database}");
        move |storage: &mut Storage| {
            storage.address = address.parse().unwrap();
            storage.owner = None;
        }
    };
    let unreachable = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("postgres://sealward@{}/any", listener.local_addr().unwrap()).replace("127.0.0.1", "localhost")
    };
    words("Connection refused", &|storage| storage.address = unreachable.parse().unwrap()).await;
    let wrong = folder.path().join("wrong.password");
    fs::copy(folder.path().join("postgresql.password"), &wrong).unwrap();
    fs::write(&wrong, "hunter2\n").unwrap();
    words("refused the login (28P01)", &|storage| storage.password_file = Some(wrong.clone())).await;
    words("refused the login (28P01)", &|storage| {
        storage.owner = Some(StorageOwner { role: "sealward_owner".to_owned(), password_file: Some(wrong.clone()) });
    })
    .await;
    words("invalid peer certificate", &|storage| storage.ca = Some(folder.development().ca())).await;
    words("not valid for name", &|storage| {
        storage.address =
            format!("postgres://sealward@{at}/{database}").replace("localhost", "127.0.0.1").parse().unwrap();
    })
    .await;
    words("refused the login (3D000)", &|storage| {
        storage.address = format!("postgres://sealward@{at}/missing").parse().unwrap();
    })
    .await;
    // Roles that row-level security doesn't restrict.
    words("owns tables: use another one", &role("sealward_owner")).await;
    let chief = format!("CREATE ROLE chief SUPERUSER LOGIN PASSWORD '{}'", postgresql::PASSWORD);
    postgresql::administer(&chief);
    words("is a superuser", &role("chief")).await;
    // With the tables of this version, the role that owns them isn't needed.
    Server::start_in(folder, |config| config.storage.as_mut().unwrap().owner = None).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_does_not_start_with_the_data_of_another_deployment() {
    let [one, other] = [started().await.stop().await, started().await.stop().await];
    let of_other = configuration(&other).storage.unwrap().address;
    let (error, text) = not_started(&one, |_, storage| storage.address = of_other.clone()).await;
    assert!(matches!(error, StartError::OtherStore(_)) && text.contains("belongs to deployment"), "{text}");
    // A folder that doesn't know its deployment has another root key.
    let known = one.path().join("postgresql-deployment");
    let id = fs::read(&known).unwrap();
    fs::remove_file(&known).unwrap();
    let (error, text) = not_started(&one, |_, storage| storage.address = of_other.clone()).await;
    assert!(matches!(error, StartError::Prepare(ConfigurationError::OtherRootKey)), "{text}");
    fs::write(&known, id).unwrap();
    // An empty database isn't taken for the lost one.
    let empty = Folder::over_postgresql();
    let of_empty = configuration(&empty).storage.unwrap().address;
    let (error, text) = not_started(&one, |_, storage| storage.address = of_empty.clone()).await;
    assert!(matches!(error, StartError::OtherStore(_)) && text.contains("is empty"), "{text}");
    // Neither is a folder without databases, without the setting.
    let mut config = configuration(&one);
    config.storage = None;
    let error = App::start(config).await.err().unwrap();
    assert!(error.to_string().contains("is in PostgreSQL, but storage.url isn't set"), "{error}");
    // And databases in files aren't forgotten.
    fs::write(one.path().join("configuration.db"), "").unwrap();
    let (error, text) = not_started(&one, |_, _| {}).await;
    assert!(matches!(error, StartError::OtherStore(_)) && text.contains("doesn't move data from files"), "{text}");
    fs::remove_file(one.path().join("configuration.db")).unwrap();
    Server::start_in(one, |_| {}).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_on_files_refuse_and_say_what_to_use() {
    let folder = Folder::over_postgresql();
    let config = folder.development().config_file();
    let to = folder.path().parent().unwrap().join("backup");
    for command in ["backup", "restore"] {
        let (code, printed, error) = run(program().args([command, "--config"]).arg(&config).arg(&to));
        assert_eq!((code, printed.as_str()), (1, ""));
        assert!(error.contains("use pg_dump or pg_basebackup, see docs/postgresql.md"), "{error}");
        assert!(!to.exists());
    }
    fs::create_dir(&to).unwrap();
    let verify = ["backup", "--verify", "--json", "--config"];
    let (code, report, _) = run(program().args(verify).arg(&config).arg(&to));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(code, 1);
    assert!(findings(&report).iter().any(|(_, subject, _)| subject == "storage.url"), "{report}");
}

/// The findings about the database, and the fact about it.
fn checked_database(config: &Path) -> (Vec<(String, String, String)>, Option<String>) {
    let (_, report) = checked(&mut program(), config);
    let found = findings(&report).into_iter().filter(|(_, subject, _)| subject == "storage.url").collect();
    let facts = report["facts"].as_array().unwrap().iter();
    let mut fact =
        facts.filter(|fact| fact["subject"] == "storage.url").map(|fact| fact["text"].as_str().unwrap().to_owned());
    (found, fact.next_back())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_connects_to_the_database() {
    let folder = Folder::over_postgresql();
    let config = folder.development().config_file();
    let (found, fact) = checked_database(&config);
    assert_eq!(found, []);
    assert!(fact.unwrap().contains("no tables yet"));
    let server = Server::start_in(folder, |_| {}).await;
    // A running server isn't disturbed.
    let (found, fact) = checked_database(&config);
    let (fact, at) = (fact.unwrap(), postgresql::address());
    assert_eq!(found, []);
    assert!(fact.starts_with("PostgreSQL ") && fact.contains(&at) && fact.contains("1 organization;"), "{fact}");
    let status = server.client(Person::Admin).server_status().await.unwrap().stores.remove(0);
    let database = postgresql::database_of(&server.folder().path()).unwrap();
    assert!(status.engine.starts_with("PostgreSQL "), "{status:?}");
    assert_eq!((status.location, status.available_bytes), (format!("{at}/{database}"), None));
    fs::write(server.folder().path().join("postgresql.password"), "hunter2").unwrap();
    let (found, _) = checked_database(&config);
    let [(severity, _, problem)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(severity, "error");
    assert!(problem.contains("28P01") && !problem.contains("hunter2"), "{problem}");
}
