//! The audit copy: every record of every trail in a file or on stdout, through changes of file, server and organizations.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sealward_client::{Client, ErrorReason, ExposeSecret as _, KeyOperation, mail_v1, v1};
use sealward_server::{
    config::{AuditCopy, Config, CopyTo, OnFailure},
    development::Person,
};
use serde_json::Value;
use tonic::Code;

use crate::harness::{
    DEFAULT, Folder, PATIENCE, Server,
    inside::{Inside, Trail, files_with, organizations},
    mailbox,
    process::{Process, binary},
    reason, reveal,
};

/// The path of the copy of this folder's trails.
fn copy_in(folder: &Path) -> PathBuf {
    folder.join("audit.jsonl")
}

fn copying_to(path: PathBuf, on_failure: OnFailure) -> impl FnOnce(&mut Config) {
    move |config| {
        config.audit = Some(AuditCopy { to: CopyTo::File(path), on_failure });
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    }
}

async fn server(on_failure: OnFailure) -> (Server, PathBuf) {
    let folder = Folder::new();
    let path = copy_in(&folder.path());
    (Server::start_in(folder, copying_to(path.clone(), on_failure)).await, path)
}

/// A line of a copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    organization_uid: String,
    sequence: i64,
    action: String,
    hash: Vec<u8>,
}

fn lines(path: &Path) -> Vec<Line> {
    lines_of(&fs::read_to_string(path).unwrap())
}

fn lines_of(text: &str) -> Vec<Line> {
    assert!(text.is_empty() || text.ends_with('\n'));
    let line = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |field: &str| record[field].as_str().unwrap().to_owned();
        Line {
            organization_uid: text("organization_uid"),
            sequence: text("sequence").parse().unwrap(),
            action: text("action"),
            hash: data_encoding::BASE64.decode(text("hash").as_bytes()).unwrap(),
        }
    };
    text.lines().map(line).collect()
}

/// The lines of each trail, which must begin at 1, without a gap or a repetition.
#[track_caller]
fn whole(lines: Vec<Line>) -> BTreeMap<String, Vec<Line>> {
    let mut trails = BTreeMap::<String, Vec<Line>>::new();
    for line in lines {
        trails.entry(line.organization_uid.clone()).or_default().push(line);
    }
    for trail in trails.values() {
        let sequences: Vec<_> = trail.iter().map(|line| line.sequence).collect();
        assert_eq!(sequences, (1..=i64::try_from(trail.len()).unwrap()).collect::<Vec<_>>());
    }
    trails
}

/// The trails in the databases of a folder whose server has ended, by organization.
fn stored(folder: &Folder) -> BTreeMap<String, Vec<Trail>> {
    let trail = |inside: Inside| {
        let mut trail = inside.trail();
        trail.sort_by_key(|record| record.sequence);
        trail
    };
    let uids = organizations(&folder.path()).into_iter();
    let of_organizations = uids.map(|uid| (uid.clone(), trail(Inside::of(&folder.path(), &uid))));
    of_organizations.chain([(String::new(), trail(Inside::configuration(folder)))]).collect()
}

/// Asserts that the copy contains the records of the databases, in the order of each chain.
#[track_caller]
fn assert_matches_databases(copied: Vec<Line>, folder: &Folder) {
    let stored: BTreeMap<_, Vec<_>> = stored(folder)
        .into_iter()
        .map(|(uid, trail)| (uid, trail.into_iter().map(|record| (record.sequence, record.hash)).collect()))
        .collect();
    let copied: BTreeMap<_, Vec<_>> = whole(copied)
        .into_iter()
        .map(|(uid, trail)| (uid, trail.into_iter().map(|line| (line.sequence, line.hash)).collect()))
        .collect();
    assert_eq!(copied, stored);
}

/// `sealward audit verify --file`: its exit code, its JSON, and its text on stderr.
fn verify(path: &Path, words: &[&str]) -> (i32, Value, String) {
    let output = Command::new(binary("sealward"))
        .args(["audit", "verify", "--output", "json", "--file"])
        .arg(path)
        .args(words)
        .env_clear()
        .output()
        .unwrap();
    let told = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), told, String::from_utf8(output.stderr).unwrap())
}

/// Polls until this holds.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn metric(server: &Server, name: &str) -> i64 {
    let metrics = crate::due::scraped(server.metrics_address()).await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {metrics}"));
    line.trim().parse().unwrap()
}

async fn is_failing(server: &Server) -> bool {
    metric(server, "sealward_audit_copy_failing").await == 1
}

async fn is_whole(server: &Server) -> bool {
    !is_failing(server).await && metric(server, "sealward_audit_copy_records_behind").await == 0
}

async fn retrieve(admin: &Client) {
    admin.retrieve_data_encryption_key(DEFAULT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_every_trail_is_copied_in_order_and_the_copy_verifies() {
    let (server, path) = server(OnFailure::Report).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let admin = server.client(Person::Admin);
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("canary"), None).await.unwrap();
    let connector = server.client(Person::Connector);
    for _ in 0..5 {
        reveal(&connector, &stored.name).await.unwrap();
    }
    admin.create_organization("contoso").await.unwrap();
    let key = admin.retrieve_data_encryption_key("organizations/contoso").await.unwrap();
    server.client(Person::Reader).retrieve_data_encryption_key(DEFAULT).await.unwrap_err();
    assert_eq!(reason(admin.change_key(DEFAULT, &"canary1!".into()).await), ErrorReason::KeyValidation);
    until("the copy isn't complete", async || is_whole(&server).await).await;
    let while_it_ran = lines(&path).len();
    let folder = server.stop().await;
    let copied = lines(&path);
    assert!(copied.len() >= while_it_ran && while_it_ran > 10);
    assert_matches_databases(copied.clone(), &folder);
    let actions: BTreeSet<_> = copied.iter().map(|line| line.action.as_str()).collect();
    assert!(actions.contains("reveal-attributes") && actions.contains("create-organization"), "{actions:?}");
    assert!(files_with(&folder.path(), b"canary").is_empty());
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("canary") && !text.contains(key.encryption_key.expose_secret()));

    // Verified alone, and with the head that was noted before.
    let (code, told, words) = verify(&path, &[]);
    assert_eq!((code, &told["intact"], told["chains"].as_array().unwrap().len()), (0, &true.into(), 3), "{words}");
    let heads: Vec<String> = words
        .lines()
        .filter_map(|line| Some(line.split_once("--head ")?.1.to_owned()))
        .flat_map(|head| ["--head".to_owned(), head])
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    assert_eq!((heads.len(), verify(&path, &heads).0), (6, 0));
    // A removed, changed or cut-off line is found; a repeated or truncated line is harmless.
    let all: Vec<&str> = text.lines().collect();
    let of_default = all.iter().position(|line| line.contains("reveal-attributes")).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = all.iter().map(|line| (*line).to_owned()).collect();
        change(&mut lines);
        let other = path.with_extension("other");
        fs::write(&other, lines.join("\n")).unwrap();
        let (code, told, _) = verify(&other, &heads);
        let findings = told["findings"].as_array().unwrap().clone();
        (code, findings.iter().map(|finding| finding["fault"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(changed(&|lines| drop(lines.remove(of_default))), (1, vec!["FAULT_MISSING".to_owned()]));
    let replace = |lines: &mut Vec<String>| lines[of_default] = lines[of_default].replace("a test", "b test");
    assert_eq!(changed(&replace), (1, vec!["FAULT_CHANGED".to_owned()]));
    let (code, faults) = changed(&|lines| lines.retain(|line| !line.contains("organizations/contoso")));
    assert_eq!((code, faults.contains(&"FAULT_CUT_OFF".to_owned())), (1, true));
    assert_eq!(changed(&|lines| lines.push(all[of_default].to_owned())), (0, vec![]));
    assert_eq!(changed(&|lines| lines.insert(1, all[of_default][..100].to_owned())), (0, vec![]));
}

#[tokio::test]
async fn a_line_of_the_copy_is_a_line_of_an_export() {
    let (server, path) = server(OnFailure::Report).await;
    retrieve(&server.client(Person::Admin)).await;
    until("the copy isn't complete", async || is_whole(&server).await).await;
    let exported = server.folder().path().join("exported.jsonl");
    let dev = server.folder().path();
    let output = tokio::process::Command::new(binary("sealward"))
        .args(["audit", "export", "--as", "auditor", "--endpoint", &format!("https://{}", server.address()), "--dev"])
        .arg(dev)
        .arg("--file")
        .arg(&exported)
        .env_clear()
        .output();
    assert!(output.await.unwrap().status.success());
    let exported = fs::read_to_string(exported).unwrap();
    let copied = fs::read_to_string(&path).unwrap();
    let unsigned: Vec<_> = exported.lines().filter(|line| !line.contains("\"signature\"")).collect();
    assert!(!unsigned.is_empty());
    for line in unsigned {
        assert!(copied.lines().any(|copied| copied == line), "{line}");
    }
}

#[tokio::test]
async fn copy_continues_after_restart_and_rotation_without_gap_or_repetition() {
    let (server, path) = server(OnFailure::Report).await;
    retrieve(&server.client(Person::Admin)).await;
    let server = server.restart(|_| {}, copying_to(path.clone(), OnFailure::Report)).await;
    retrieve(&server.client(Person::Admin)).await;
    // Renamed while the server runs: later records are in a new file of the old name.
    let old = path.with_extension("1");
    until("the copy isn't complete", async || is_whole(&server).await).await;
    fs::rename(&path, &old).unwrap();
    retrieve(&server.client(Person::Admin)).await;
    until("no new file is created", async || path.exists() && !lines(&path).is_empty()).await;
    // Renamed while the server is stopped.
    let oldest = path.with_extension("2");
    let between = |_: &Path| {
        fs::rename(&old, &oldest).unwrap();
        fs::rename(&path, &old).unwrap();
    };
    let server = server.restart(between, copying_to(path.clone(), OnFailure::Report)).await;
    retrieve(&server.client(Person::Admin)).await;
    // Without a copy for a while: the records of that time are copied later.
    let server = server.restart(|_| {}, |_| {}).await;
    retrieve(&server.client(Person::Admin)).await;
    let server = server.restart(|_| {}, copying_to(path.clone(), OnFailure::Report)).await;
    let folder = server.stop().await;
    let all: Vec<_> = [&oldest, &old, &path].into_iter().flat_map(|path| lines(path)).collect();
    assert!([&oldest, &old, &path].into_iter().all(|path| !lines(path).is_empty()));
    assert_matches_databases(all, &folder);

    // A file that continues another one verifies with the head of that one, or together with it.
    assert_eq!(verify(&old, &[]).0, 1);
    let heads = verify(&oldest, &[]).2;
    let heads: Vec<&str> = heads.lines().filter_map(|line| Some(line.split_once("--head ")?.1)).collect();
    let words: Vec<&str> = heads.iter().flat_map(|head| ["--head", *head]).collect();
    // The deployment's trail may have no new record; then its head precedes the file.
    let (_, told, _) = verify(&old, &words);
    assert!(!told["findings"].to_string().contains("MISSING"), "{told}");
    let together = path.with_extension("all");
    let text: Vec<_> = [&path, &oldest, &old].into_iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    fs::write(&together, text.concat()).unwrap();
    assert_eq!(verify(&together, &[]).0, 0);
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_a_copy_that_its_next_start_completes() {
    let folder = Folder::new();
    let path = copy_in(&folder.path());
    let config = folder.path().join("sealward.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("# file = \"audit.jsonl\"", "file = \"audit.jsonl\"")).unwrap();
    for _ in 0..3 {
        let process = Process::start(&folder.path());
        let admin = folder.client(&process.address, Person::Admin);
        for _ in 0..20 {
            retrieve(&admin).await;
        }
        process.kill();
        // As after a kill in the middle of a write.
        let mut text = fs::read_to_string(&path).unwrap();
        if !text.is_empty() {
            text.push_str("{\"writer\": \"");
            fs::write(&path, text).unwrap();
        }
    }
    let process = Process::start(&folder.path());
    process.terminate();
    assert!(process.wait().success());
    // The truncated lines remain lines.
    let text = fs::read_to_string(&path).unwrap();
    let sound: Vec<&str> = text.lines().filter(|line| *line != "{\"writer\": \"").collect();
    assert!(sound.len() + 3 >= text.lines().count());
    assert_eq!(verify(&path, &[]).0, 0);
    fs::write(&path, sound.join("\n") + "\n").unwrap();
    assert_matches_databases(lines(&path), &folder);
}

#[tokio::test]
async fn failing_copy_is_reported_and_caught_up_without_delaying_calls() {
    let (server, path) = server(OnFailure::Report).await;
    let admin = server.client(Person::Admin);
    until("the copy isn't complete", async || is_whole(&server).await).await;
    // A folder takes its place while the server writes to it.
    let old = path.with_extension("1");
    fs::rename(&path, &old).unwrap();
    fs::create_dir(&path).unwrap();
    retrieve(&admin).await;
    until("the failure isn't reported", async || is_failing(&server).await).await;
    for _ in 0..10 {
        retrieve(&admin).await;
    }
    assert!(metric(&server, "sealward_audit_copy_records_behind").await >= 10);
    fs::remove_dir(&path).unwrap();
    until("the copy isn't caught up", async || is_whole(&server).await).await;
    let folder = server.stop().await;
    assert_matches_databases([lines(&old), lines(&path)].concat(), &folder);
    assert!(lines(&path).len() >= 10);

    // A server starts, serves and ends with a copy that always fails.
    let nowhere = folder.path().join("nowhere/audit.jsonl");
    let server = Server::start_in(folder, copying_to(nowhere.clone(), OnFailure::Report)).await;
    assert!(is_failing(&server).await);
    retrieve(&server.client(Person::Admin)).await;
    fs::create_dir(nowhere.parent().unwrap()).unwrap();
    until("the copy isn't caught up", async || is_whole(&server).await).await;
    let folder = server.stop().await;
    assert_matches_databases([lines(&old), lines(&path), lines(&nowhere)].concat(), &folder);
}

/// The reason that each call with an audit record is refused with.
async fn recorded(server: &Server, mailbox: &str) -> Vec<(&'static str, ErrorReason)> {
    let admin = server.client(Person::Admin);
    let connector = server.client(Person::Connector);
    let auditor = server.client(Person::Auditor);
    let key = || "a new key, number 2".into();
    let mut told = vec![
        ("retrieve", reason(admin.retrieve_data_encryption_key(DEFAULT).await)),
        ("change", reason(admin.change_key(DEFAULT, &key()).await)),
        ("validate", reason(admin.set_data_encryption_key(DEFAULT, &key(), KeyOperation::Change, true).await)),
        ("restore", reason(admin.restore_key(DEFAULT, &key()).await)),
        ("reveal", reason(reveal(&connector, mailbox).await)),
        ("resolve", reason(connector.resolve_mailbox_connection(mailbox, "a test").await)),
        ("compare", reason(connector.compare_attribute(mailbox, "password", &"x".into(), "a test").await)),
        ("create", reason(admin.create_organization("contoso").await)),
        ("delete", reason(admin.delete_organization(DEFAULT).await)),
        ("export", reason(admin.export_organization(DEFAULT).await.map(drop))),
        ("verify trail", reason(auditor.verify_audit_trail(DEFAULT).await)),
        ("verify own trail", reason(auditor.verify_audit_trail("").await)),
    ];
    told.push(("import", reason(admin.import_organization("fabrikam", tokio_stream::iter([vec![0]])).await)));
    told.push(("abandon", reason(admin.abandon_encrypted_data(DEFAULT, "0000", &key(), true).await)));
    told.push(("verify cells", reason(admin.verify_cells(DEFAULT).await.map(drop))));
    let attribute = v1::AttributeMetadata {
        name: format!("{DEFAULT}/entityMetadata/Mailbox/attributes/email_address"),
        ..v1::AttributeMetadata::default()
    };
    told.push(("customize", reason(admin.update_attribute_metadata(attribute, ["is_audited"], false).await)));
    told
}

#[tokio::test]
async fn calls_that_need_an_audit_record_are_refused_if_configured() {
    let (server, path) = server(OnFailure::Refuse).await;
    let admin = server.client(Person::Admin);
    let writer = server.client(Person::Writer);
    let stored = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    retrieve(&admin).await;
    until("the copy isn't complete", async || is_whole(&server).await).await;

    let old = path.with_extension("1");
    fs::rename(&path, &old).unwrap();
    fs::create_dir(&path).unwrap();
    until("the failure isn't reported", async || is_failing(&server).await).await;
    for (call, reason) in recorded(&server, &stored.name).await {
        assert_eq!(reason, ErrorReason::AuditUnavailable, "{call}");
    }
    let error = admin.retrieve_data_encryption_key(DEFAULT).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    // Records are read and written, trails are listed, and refusals have their usual reason.
    writer.mailboxes().get(&stored.name).await.unwrap();
    let plain = mail_v1::Mailbox { password: None, ..mailbox("") };
    let plain = writer.mailboxes().create(DEFAULT, plain, None).await.unwrap();
    // But an encrypted attribute can't be written, except in a dry run, which writes no record.
    let mailboxes = writer.mailboxes();
    let with = |name: &str, password: Option<&str>| mail_v1::Mailbox {
        name: name.to_owned(),
        password: password.map(str::to_owned),
        ..mail_v1::Mailbox::default()
    };
    for written in [
        mailboxes.create(DEFAULT, mailbox("hunter2"), None).await.map(drop),
        mailboxes.update(with(&plain.name, Some("hunter2")), ["password"]).await.map(drop),
        mailboxes.update(with(&stored.name, None), ["password"]).await.map(drop),
        mailboxes.delete(&stored.name, "").await,
    ] {
        assert_eq!(reason(written), ErrorReason::AuditUnavailable);
    }
    let check = sealward_client::WriteOptions::validate_only();
    mailboxes.update_with(with(&stored.name, None), ["password"], check).await.unwrap();
    mailboxes.update(with(&plain.name, None), ["password"]).await.unwrap();
    mailboxes.delete(&plain.name, "").await.unwrap();
    assert!(admin.is_data_encryption_active(DEFAULT).await.unwrap().is_active);
    admin.list_key_changes(DEFAULT, 0, "").await.unwrap();
    let listed = server.client(Person::Auditor).list_audit_records(DEFAULT, "", 0, "").await.unwrap().records;
    assert!(listed.iter().all(|record| record.action != "reveal-attributes"));
    let denied = server.client(Person::Reader).retrieve_data_encryption_key(DEFAULT).await;
    assert_eq!(reason(denied), ErrorReason::PrivilegeMissing);

    fs::remove_dir(&path).unwrap();
    until("the copy isn't caught up", async || is_whole(&server).await).await;
    retrieve(&admin).await;
    reveal(&server.client(Person::Connector), &stored.name).await.unwrap();
    let folder = server.stop().await;
    assert_matches_databases([lines(&old), lines(&path)].concat(), &folder);

    // From the first call, if it fails from the start; the first write detects a full disk.
    let nowhere = folder.path().join("nowhere/audit.jsonl");
    let server = Server::start_in(folder, copying_to(nowhere, OnFailure::Refuse)).await;
    assert_eq!(
        reason(server.client(Person::Admin).retrieve_data_encryption_key(DEFAULT).await),
        ErrorReason::AuditUnavailable
    );
    let server = server.restart(|_| {}, copying_to("/dev/full".into(), OnFailure::Refuse)).await;
    let admin = server.client(Person::Admin);
    until("the full disk isn't reported", async || {
        let answer = admin.retrieve_data_encryption_key(DEFAULT).await;
        answer.is_err_and(|error| error.reason() == ErrorReason::AuditUnavailable)
    })
    .await;
}

#[tokio::test]
async fn restored_trail_is_copied_from_its_beginning() {
    sqlite_only!("puts an older file of a database back");
    let (server, path) = server(OnFailure::Report).await;
    let folder = server.stop().await;
    let older = fs::read(folder.organization_database()).unwrap();
    let server = Server::start_in(folder, copying_to(path.clone(), OnFailure::Report)).await;
    retrieve(&server.client(Person::Admin)).await;
    let folder = server.stop().await;
    let before = lines(&path).len();
    fs::write(folder.organization_database(), older).unwrap();
    let server = Server::start_in(folder, copying_to(path.clone(), OnFailure::Report)).await;
    retrieve(&server.client(Person::Admin)).await;
    let folder = server.stop().await;
    let uid = folder.organization_database().file_stem().unwrap().to_str().unwrap().to_owned();
    let again: Vec<_> = lines(&path)[before..].iter().filter(|line| line.organization_uid == uid).cloned().collect();
    let stored: Vec<_> = stored(&folder)[&uid].iter().map(|record| record.hash.clone()).collect();
    assert_eq!(again.into_iter().map(|line| line.hash).collect::<Vec<_>>(), stored);
    assert_eq!(verify(&path, &[]).0, 1);
}

#[tokio::test]
async fn the_trail_of_an_organization_is_copied_before_it_is_deleted() {
    let (server, path) = server(OnFailure::Report).await;
    let admin = server.client(Person::Admin);
    for _ in 0..20 {
        retrieve(&admin).await;
    }
    admin.delete_organization(DEFAULT).await.unwrap();
    let _folder = server.stop().await;
    let copied = whole(lines(&path));
    let of_default = copied.values().find(|trail| trail.iter().any(|line| line.action == "retrieve-key")).unwrap();
    assert_eq!(of_default.iter().filter(|line| line.action == "retrieve-key").count(), 20);
    assert!(copied[""].iter().any(|line| line.action == "delete-organization"));
}

#[tokio::test]
async fn stdout_copy_has_only_audit_records() {
    assert_copied_to_stdout_as("-").await;
}

#[tokio::test]
async fn path_of_stdout_has_only_audit_records() {
    assert_copied_to_stdout_as("/dev/stdout").await;
}

#[test]
fn a_path_that_is_stderr_is_refused() {
    let folder = Folder::new();
    let config = copying_in_file(&folder, "/dev/stderr");
    let output = Command::new(binary("sealward-server"))
        .args(["check-config", "--config"])
        .arg(&config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(!output.status.success() && said.contains("audit.file") && said.contains("stderr"), "{said}");
}

/// Sets the path of the copy in a folder's configuration.
fn copying_in_file(folder: &Folder, file: &str) -> PathBuf {
    let config = folder.path().join("sealward.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("# file = \"audit.jsonl\"", &format!("file = \"{file}\""))).unwrap();
    config
}

async fn assert_copied_to_stdout_as(file: &str) {
    let folder = Folder::new();
    copying_in_file(&folder, file);
    let mut child = Command::new(binary("sealward-server"))
        .args(["dev", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = loop {
        let line = stderr.next().expect("the server ended before it was ready").unwrap();
        if let Some(address) = line.trim().strip_prefix("address ") {
            break address.trim().to_owned();
        }
    };
    let rest = std::thread::spawn(move || stderr.for_each(drop));
    retrieve(&folder.client(&address, Person::Admin)).await;
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    // The client's connection must receive GOAWAY.
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    rest.join().unwrap();
    assert!(output.status.success());
    let path = copy_in(&folder.path());
    fs::write(&path, output.stdout).unwrap();
    assert_matches_databases(lines(&path), &folder);
    assert_eq!(verify(&path, &[]).0, 0);
}

/// A pipe that is open for reading and isn't read.
fn unread_pipe(folder: &Folder) -> (PathBuf, fs::File) {
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let end = reader(&path);
    (path, end)
}

/// A reader of a pipe. Opened for reading and writing, so that neither end waits for the other.
fn reader(path: &Path) -> fs::File {
    fs::OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pipe_without_a_reader_fails_and_the_next_reader_gets_every_record() {
    let folder = Folder::new();
    let (path, first) = unread_pipe(&folder);
    let server = Server::start_in(folder, copying_to(path.clone(), OnFailure::Refuse)).await;
    let admin = server.client(Person::Admin);
    retrieve(&admin).await;
    until("the copy isn't complete", async || is_whole(&server).await).await;
    // It has read nothing.
    drop(first);
    until("calls are answered without a reader", async || admin.retrieve_data_encryption_key(DEFAULT).await.is_err())
        .await;
    let refused = admin.retrieve_data_encryption_key(DEFAULT).await;
    assert_eq!(reason(refused), ErrorReason::AuditUnavailable);
    assert!(is_failing(&server).await);

    // A restart doesn't hide it.
    let server = server.restart(|_| {}, copying_to(path.clone(), OnFailure::Refuse)).await;
    let refused = server.client(Person::Admin).retrieve_data_encryption_key(DEFAULT).await;
    assert_eq!(reason(refused), ErrorReason::AuditUnavailable);
    let next = reader(&path);
    let admin = server.client(Person::Admin);
    until("calls are still refused", async || admin.retrieve_data_encryption_key(DEFAULT).await.is_ok()).await;
    until("the copy isn't complete", async || is_whole(&server).await).await;
    let folder = server.stop().await;
    // What is in the pipe, which then has no writer.
    let rest = fs::File::open(&path).unwrap();
    drop(next);
    assert_matches_databases(lines_of(&std::io::read_to_string(rest).unwrap()), &folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_pipe_fails_within_the_limit_and_the_server_ends() {
    let folder = Folder::new();
    let (path, mut pipe) = unread_pipe(&folder);
    let server = Server::start_in(folder, |config| {
        copying_to(path, OnFailure::Refuse)(config);
        config.limits.audit_copy_answer_max_ms = 200;
    })
    .await;
    let admin = server.client(Person::Admin);
    let begin = std::time::Instant::now();
    let mut answered = 0_usize;
    // A pipe holds 64 KiB; then the copy waits.
    let refused = loop {
        match admin.retrieve_data_encryption_key(DEFAULT).await {
            Ok(_) => answered += 1,
            Err(error) => break error,
        }
        assert!(begin.elapsed() < PATIENCE && answered < 100_000, "{answered}");
    };
    assert_eq!((refused.code(), refused.reason()), (Code::Unavailable, ErrorReason::AuditUnavailable));
    assert!(is_failing(&server).await);
    let by_bound = crate::due::scraped(server.metrics_address()).await;
    let line = "sealward_refused_by_bound_total{bound=\"audit_copy_answer_max_ms\"}";
    assert!(by_bound.contains(line), "{by_bound}");
    // Once it is read, calls are answered again, and no record is missing.
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        let mut lines = 0;
        while lines < answered {
            let count = std::io::Read::read(&mut pipe, &mut buffer).unwrap();
            lines += buffer[..count].iter().filter(|byte| **byte == b'\n').count();
        }
        pipe
    });
    until("calls are still refused", async || admin.retrieve_data_encryption_key(DEFAULT).await.is_ok()).await;
    let pipe = tokio::task::spawn_blocking(move || reader.join().unwrap()).await.unwrap();
    // It ends although the pipe isn't read.
    while admin.retrieve_data_encryption_key(DEFAULT).await.is_ok() {}
    server.stop().await;
    drop(pipe);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_refused_past_the_limit_of_uncopied_records() {
    let folder = Folder::new();
    let (path, pipe) = unread_pipe(&folder);
    let server = Server::start_in(folder, |config| {
        copying_to(path, OnFailure::Refuse)(config);
        // Longer than the test takes: only the number of records counts.
        config.limits.audit_copy_answer_max_ms = 60_000;
        config.limits.audit_copy_behind_max_records = 100;
    })
    .await;
    let admin = server.client(Person::Admin);
    let mut answered = 0_usize;
    let refused = loop {
        match admin.retrieve_data_encryption_key(DEFAULT).await {
            Ok(_) => answered += 1,
            Err(error) => break error,
        }
        assert!(answered < 5_000);
    };
    assert_eq!(refused.reason(), ErrorReason::AuditUnavailable);
    // The last admitted call is the first one past the limit.
    assert!((101..110).contains(&metric(&server, "sealward_audit_copy_records_behind").await));
    assert_eq!(metric(&server, "sealward_refused_by_bound_total{bound=\"audit_copy_behind_max_records\"}").await, 1);
    drop(pipe);
    drop(server);
}
