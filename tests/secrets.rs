//! Canaries: unique texts are used as passwords and keys, in calls that succeed and calls that fail; then the tests search
//! for them where a secret must not be.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use sealward_client::{Client, Error, ErrorReason, ExposeSecret, KeyOperation, ListOptions, SecretString, mail_v1, v1};
use sealward_server::development::Person;
use serde_json::json;

use crate::{
    export::exported,
    harness::{DEFAULT, Folder, inside::lose_configuration, mailbox, process::Process, reveal, settled},
    http1::Http1,
};

/// The core of every canary: what is searched for, since a part of a secret is one too.
const MARK: &str = "kQ7vZr2Xw9";

/// The beginning of a call of Connect.
const CREATE_MAILBOX: &str = "POST /sealward.mail.v1.MailboxService/CreateMailbox HTTP/1.1\r\nHost: localhost\r\n\
                              Content-Type: application/json\r\n";

/// A canary that is a good password, and a good key.
fn canary(number: u32) -> String {
    format!("{MARK}-{number}-{MARK}")
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[track_caller]
fn assert_clean(what: &str, bytes: &[u8]) {
    let wide: Vec<u8> = MARK.encode_utf16().flat_map(u16::to_le_bytes).collect();
    // In base64 the mark begins at one of three offsets; these parts don't depend on adjacent bytes.
    let base64 = [&b"a1E3dlpyMlh3O"[..], b"tRN3ZacjJYdz", b"rUTd2WnIyWHc5"];
    let hex = HEXLOWER.encode(MARK.as_bytes());
    for form in base64.into_iter().chain([MARK.as_bytes(), &wide, hex.as_bytes()]) {
        let position = bytes.windows(form.len()).position(|window| window == form);
        assert_eq!(position, None, "a canary is in {what}");
    }
}

/// All texts of a failed call: the error and its sources.
#[track_caller]
fn told<T>(outcome: Result<T, Error>, reason: ErrorReason) -> String {
    let Err(error) = outcome else { panic!("the call should have been refused") };
    assert_eq!(error.reason(), reason, "{error}");
    let mut told = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        told.push_str(&format!("{inner} {inner:?}"));
        cause = inner.source();
    }
    let call = error.call().unwrap();
    told.push_str(&format!("{:?} {:?}", call.metadata(), call.field_violations()));
    told
}

/// Calls of every kind that carry canaries, and the texts of the failed ones.
async fn use_canaries(admin: &Client) -> Vec<String> {
    let mailboxes = admin.mailboxes();
    let stored = mailboxes.create(DEFAULT, mailbox(&canary(1)), None).await.unwrap();
    let mut told_all = vec![format!("{stored:?}")];
    let profile = mail_v1::EmailServerProfile {
        display_name: Some("Exchange".to_owned()),
        server_type: Some(1),
        incoming_password: Some(canary(2)),
        outgoing_password: Some(canary(3)),
        ..mail_v1::EmailServerProfile::default()
    };
    told_all.push(format!("{:?}", admin.email_server_profiles().create(DEFAULT, profile, None).await.unwrap()));
    let update = mail_v1::Mailbox { name: stored.name.clone(), ..mailbox(&canary(4)) };
    told_all.push(format!("{:?}", mailboxes.update(update.clone(), ["password"]).await.unwrap()));
    assert_eq!(reveal(admin, &stored.name).await.unwrap(), Some(canary(4)));
    for (value, is_it) in [(canary(4), true), (canary(5), false)] {
        let compared = admin.compare_attribute(&stored.name, "password", &value.into(), "a test").await.unwrap();
        assert_eq!(compared, is_it);
    }

    let too_long = canary(5).repeat(20);
    let with_nul = format!("{}\0", canary(6));
    let in_both = mail_v1::Mailbox { username: Some("u".repeat(201)), ..mailbox(&with_nul) };
    let stale = mail_v1::Mailbox { etag: "1".to_owned(), ..update.clone() };
    let missing = mail_v1::Mailbox {
        name: format!("{DEFAULT}/mailboxes/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506"),
        ..update.clone()
    };
    let id = stored.name.rsplit('/').next().map(str::to_owned);
    told_all.extend([
        told(mailboxes.create(DEFAULT, mailbox(&too_long), None).await, ErrorReason::FieldInvalid),
        told(mailboxes.create(DEFAULT, in_both, None).await, ErrorReason::FieldInvalid),
        told(mailboxes.create(DEFAULT, mailbox(&canary(7)), Some(canary(7))).await, ErrorReason::FieldInvalid),
        told(mailboxes.create(DEFAULT, mailbox(&canary(7)), id).await, ErrorReason::AlreadyExists),
        told(mailboxes.create("organizations/nowhere", mailbox(&canary(7)), None).await, ErrorReason::NotFound),
        told(mailboxes.update(stale, ["password"]).await, ErrorReason::EtagMismatch),
        told(mailboxes.update(missing, ["password"]).await, ErrorReason::NotFound),
        told(mailboxes.update(update, [canary(8)]).await, ErrorReason::FieldInvalid),
        told(admin.reveal_attributes(&stored.name, [canary(9)], "a test").await, ErrorReason::FieldInvalid),
        told(mailboxes.get(format!("{DEFAULT}/mailboxes/{}", canary(9))).await, ErrorReason::FieldInvalid),
        told(
            mailboxes.list(DEFAULT, ListOptions::default().page_token(canary(9))).await,
            ErrorReason::PageTokenInvalid,
        ),
    ]);
    told_all
}

/// Key texts that become the key, or fail to. The last one that did is returned.
async fn use_key_canaries(admin: &Client, told_all: &mut Vec<String>) -> SecretString {
    let text = SecretString::from(canary(20));
    told_all.push(format!("{:?}", admin.change_key(DEFAULT, &text).await.unwrap()));
    settled(admin).await;
    let retrieved = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
    assert_eq!(retrieved.encryption_key.expose_secret(), text.expose_secret());
    told_all.push(format!("{retrieved:?}"));

    let too_long = SecretString::from(canary(21).repeat(5));
    let without_numeral = SecretString::from(MARK.replace(|character: char| character.is_numeric(), ""));
    let with_nul = SecretString::from(format!("{}\0", canary(22)));
    let other = SecretString::from(canary(23));
    let check = admin.set_data_encryption_key(DEFAULT, &other, KeyOperation::Change, true).await.unwrap();
    told_all.push(format!("{check:?}"));
    told_all.extend([
        told(admin.change_key(DEFAULT, &too_long).await, ErrorReason::KeyValidation),
        told(admin.change_key(DEFAULT, &without_numeral).await, ErrorReason::KeyValidation),
        told(admin.change_key(DEFAULT, &with_nul).await, ErrorReason::KeyValidation),
        told(admin.restore_key(DEFAULT, &other).await, ErrorReason::KeyAlreadyActive),
        told(admin.change_key("organizations/nowhere", &other).await, ErrorReason::NotFound),
        told(admin.change_key(canary(24), &other).await, ErrorReason::FieldInvalid),
    ]);
    text
}

/// Imports of copies, with keys that open the file, and with others.
async fn copy_with_canaries(admin: &Client, key: &SecretString, told_all: &mut Vec<String>) {
    let file = exported(admin, DEFAULT).await;
    let copy = async |source: &SecretString, new: &SecretString| {
        let file = tokio_stream::iter(vec![file.clone()]);
        admin.import_organization_as_copy("copy", source, Some(new), file).await
    };
    let [new, wrong] = [canary(50), canary(51)].map(SecretString::from);
    told_all.extend([
        told(copy(&wrong, &new).await, ErrorReason::KeyMismatch),
        told(copy(&canary(52).repeat(60).into(), &new).await, ErrorReason::KeyValidation),
        told(copy(key, &canary(53).repeat(6).into()).await, ErrorReason::KeyValidation),
        told(copy(key, key).await, ErrorReason::KeyValidation),
    ]);
    told_all.push(format!("{:?}", copy(key, &new).await.unwrap()));
    let mailboxes = admin.mailboxes().list("organizations/copy", ListOptions::default()).await.unwrap();
    assert_eq!(reveal(admin, &mailboxes.records[0].name).await.unwrap(), Some(canary(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_log_error_or_file() {
    let folder = Folder::new();
    let configuration = folder.development().config_file();
    let verbose = fs::read_to_string(&configuration).unwrap().replace("# level = \"info\"", "level = \"trace\"");
    assert!(verbose.contains("\nlevel = \"trace\""));
    // The first log is for programs, the second for people.
    let json = verbose.replace("# format = \"text\"", "format = \"json\"");
    assert_ne!(json, verbose);
    fs::write(&configuration, json).unwrap();
    let logs = [folder.path().join("first.log"), folder.path().join("second.log")];

    let server = Process::start_logging(&folder.path(), File::create(&logs[0]).unwrap());
    let admin = folder.client(&server.address, Person::Admin);
    let mut told_all = use_canaries(&admin).await;
    let key = use_key_canaries(&admin, &mut told_all).await;
    copy_with_canaries(&admin, &key, &mut told_all).await;
    // Refused calls carry secrets, too.
    let reader = folder.client(&server.address, Person::Reader);
    told_all.extend([
        told(reader.mailboxes().create(DEFAULT, mailbox(&canary(30)), None).await, ErrorReason::PrivilegeMissing),
        told(reader.change_key(DEFAULT, &canary(31).into()).await, ErrorReason::PrivilegeMissing),
        told(reader.restore_key(DEFAULT, &key).await, ErrorReason::PrivilegeMissing),
    ]);

    // A secret in the place of a name is shown to its caller, and to nobody else.
    let text = json!({ "parent": DEFAULT, "mailbox": { canary(32): canary(33) } }).to_string();
    let mut connection = Http1::over_tls(&folder, &server.address, Some(Person::Admin)).await;
    connection.send(format!("{CREATE_MAILBOX}Content-Length: {}\r\n\r\n{text}", text.len())).await;
    let answer = connection.answer().await.unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains(&canary(32)) && !answer.body.contains(&canary(33)), "{answer:?}");

    // With the log of write-ahead still there, as a thief would find it.
    for file in files(&folder.path()) {
        assert_clean(&file.display().to_string(), &fs::read(&file).unwrap());
    }
    server.kill();

    // Without the configuration database the key must be restored; a wrong one is refused.
    lose_configuration(&folder.path());
    fs::write(&configuration, verbose).unwrap();
    let server = Process::start_logging(&folder.path(), File::create(&logs[1]).unwrap());
    let admin = folder.client(&server.address, Person::Admin);
    told_all.extend([
        told(admin.restore_key(DEFAULT, &canary(40).into()).await, ErrorReason::KeyMismatch),
        told(admin.restore_key(DEFAULT, &canary(41).repeat(60).into()).await, ErrorReason::KeyValidation),
        told(admin.change_key(DEFAULT, &canary(42).into()).await, ErrorReason::KeyInactive),
        told(admin.mailboxes().create(DEFAULT, mailbox(&canary(43)), None).await, ErrorReason::DataEncryptionInactive),
    ]);
    admin.restore_key(DEFAULT, &key).await.unwrap();
    let mailboxes = admin.mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap();
    told_all.push(format!("{mailboxes:?}"));
    assert_eq!(reveal(&admin, &mailboxes.records[0].name).await.unwrap(), Some(canary(4)));
    server.terminate();
    assert!(tokio::task::spawn_blocking(|| server.wait()).await.unwrap().success());

    for (number, told) in told_all.iter().enumerate() {
        assert_clean(&format!("what answer {number} told"), told.as_bytes());
    }
    let everything = files(&folder.path());
    for file in &everything {
        assert_clean(&file.display().to_string(), &fs::read(file).unwrap());
    }
    // The search covered logs and databases.
    for log in &logs {
        let text = fs::read_to_string(log).unwrap();
        assert!(text.contains("SetDataEncryptionKey"), "{text}");
    }
    let json = fs::read_to_string(&logs[0]).unwrap();
    assert!(json.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{json}");
    assert!(everything.iter().filter(|file| file.extension().is_some_and(|extension| extension == "db")).count() >= 2);
}

#[tokio::test]
async fn debug_shows_no_secret_of_a_request_or_an_answer() {
    let request = mail_v1::CreateMailboxRequest {
        mailbox: Some(mailbox(&canary(1))),
        ..mail_v1::CreateMailboxRequest::default()
    };
    assert_clean("a request", format!("{request:?}").as_bytes());
    let request =
        v1::SetDataEncryptionKeyRequest { encryption_key: canary(2), ..v1::SetDataEncryptionKeyRequest::default() };
    assert_clean("a request", format!("{request:?}").as_bytes());
    let answer = v1::RetrieveDataEncryptionKeyResponse {
        encryption_key: canary(3),
        ..v1::RetrieveDataEncryptionKeyResponse::default()
    };
    assert_clean("an answer", format!("{answer:?}").as_bytes());
    let value = v1::SecretValue { value: Some(v1::secret_value::Value::Text(canary(4))) };
    let answer = v1::RevealAttributesResponse { values: [("password".to_owned(), value)].into() };
    assert_clean("an answer", format!("{answer:?}").as_bytes());

    let folder = Folder::new();
    // An address without a server, and a client that can't be built.
    let client = folder.client("127.0.0.1:1", Person::Admin);
    let error = client.mailboxes().create(DEFAULT, mailbox(&canary(5)), None).await.unwrap_err();
    assert_clean("an error", format!("{error} {error:?}").as_bytes());
    let error = client.change_key(DEFAULT, &canary(6).into()).await.unwrap_err();
    assert_clean("an error", format!("{error} {error:?}").as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn server_memory_is_excluded_from_core_dumps() {
    let folder = Folder::new();
    let server = Process::start(&folder.path());
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    server.kill();
}
