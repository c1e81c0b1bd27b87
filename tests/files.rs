//! The files that a server trusts: read up to a limit, and only if other users can't change them.

use std::{fs, process::Command};

use sealward_server::{config::Config, development::Person, reload::Outcome};

use crate::{
    harness::{DEFAULT, Folder, Server, process::Process, reason},
    operate::{checked, findings, program, replace, run, set_mode},
};

fn refused_for(outcome: &Outcome, part: &str) {
    let Outcome::Refused(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains(part), "{why}");
}

const READER: &str = "identity = \"cn:reader\"";

#[tokio::test]
async fn pipe_or_device_instead_of_a_file_does_not_block_a_reload() {
    let server = Server::start().await;
    let development = server.folder().development();
    let certificate = server.folder().path().join("tls/server.pem");
    let kept = certificate.with_extension("kept");
    fs::rename(&certificate, &kept).unwrap();
    assert!(Command::new("mkfifo").arg(&certificate).status().unwrap().success());
    refused_for(&server.reload().await.certificate, "is a pipe");
    // The bindings apply in this reload and in the next.
    let reader = server.client(Person::Reader);
    reader.mailboxes().list(DEFAULT, sealward_client::ListOptions::default()).await.unwrap();
    replace(&development.config_file(), READER, "identity = \"cn:somebody else\"");
    let reloaded = server.reload().await;
    assert_eq!(reloaded.configuration, Outcome::Taken);
    refused_for(&reloaded.certificate, "is a pipe");
    let outcome = reader.mailboxes().list(DEFAULT, sealward_client::ListOptions::default()).await;
    assert_eq!(reason(outcome), sealward_client::ErrorReason::PrivilegeMissing);

    fs::remove_file(&certificate).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &certificate).unwrap();
    assert!(matches!(server.reload().await.certificate, Outcome::Refused(_)));
    fs::remove_file(&certificate).unwrap();
    fs::write(&certificate, vec![b'-'; 5 << 20]).unwrap();
    refused_for(&server.reload().await.certificate, "is larger than");
    fs::rename(&kept, &certificate).unwrap();
    assert_eq!(server.reload().await.certificate, Outcome::Unchanged);
}

#[tokio::test]
async fn files_that_others_can_change_are_not_reloaded() {
    let server = Server::start().await;
    let (folder, config) = (server.folder().path(), server.folder().development().config_file());
    // A user who can write there becomes administrator.
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("cn:admin", "cn:reader")).unwrap();
    set_mode(&config, 0o666);
    refused_for(&server.reload().await.configuration, "can be changed by other users");
    let reader = server.client(Person::Reader);
    assert_eq!(reason(reader.create_organization("mine").await), sealward_client::ErrorReason::PrivilegeMissing);
    set_mode(&config, 0o644);
    let tls = folder.join("tls");
    let before = fs::metadata(&tls).unwrap().permissions();
    set_mode(&tls, 0o777);
    let reloaded = server.reload().await;
    refused_for(&reloaded.certificate, "can be changed by other users");
    refused_for(&reloaded.trust, "can be changed by other users");
    fs::set_permissions(&tls, before).unwrap();
    assert_eq!(server.reload().await.trust, Outcome::Unchanged);
}

#[test]
fn a_server_does_not_start_on_files_that_others_can_change() {
    let folder = Folder::new();
    let config = folder.development().config_file();
    for (path, mode) in [(&config, 0o666), (&folder.path().join("tls/ca.pem"), 0o646)] {
        let before = fs::metadata(path).unwrap().permissions();
        set_mode(path, mode);
        let (code, _, error) = run(program().args(["serve", "--config"]).arg(&config));
        assert_eq!(code, 1);
        assert!(error.contains("is writable by all users: chmod go-w "), "{error}");
        let (code, report) = checked(&mut program(), &config);
        assert_eq!(code, 1);
        let found = findings(&report);
        assert!(found.iter().any(|(_, _, problem)| problem.contains("is writable by all users")), "{found:#?}");
        fs::set_permissions(path, before).unwrap();
    }
    assert!(Config::load(&config).is_ok());
}

#[test]
fn patterned_root_key_is_refused_at_start() {
    let folder = Folder::new();
    fs::write(folder.development().root_key(), [0; 32]).unwrap();
    let (code, _, error) = run(program().args(["serve", "--config"]).arg(folder.development().config_file()));
    assert_eq!(code, 1);
    assert!(error.contains("a root key is random"), "{error}");
}

#[test]
fn binding_with_an_invisible_character_is_a_warning() {
    for (identity, what) in [
        ("cn:J\u{f6}rg ", "ends with whitespace"),
        ("cn:J\u{f6}rg\u{200b}", "contains the invisible character U+200B"),
        ("cn:Jo\u{308}rg", "isn't in Unicode normalization form C"),
    ] {
        let folder = Folder::new();
        let config = folder.development().config_file();
        replace(&config, READER, &format!("identity = \"{identity}\""));
        let (code, report) = checked(&mut program(), &config);
        assert_eq!(code, 0, "{report:#}");
        let found = findings(&report);
        let is_it = |finding: &&(String, String, String)| finding.1.ends_with(".identity") && finding.2.contains(what);
        assert_eq!(found.iter().filter(is_it).count(), 1, "{found:#?}");
    }
}

#[tokio::test]
async fn bindings_of_an_organization_are_logged_at_its_creation_and_deletion() {
    let folder = Folder::new();
    let config = folder.development().config_file();
    let text = fs::read_to_string(&config).unwrap();
    let at = text.find(READER).unwrap();
    let (before, after) = text.split_at(at);
    fs::write(&config, format!("{before}{}", after.replacen("[\"*\"]", "[\"contoso\"]", 1))).unwrap();
    let log = folder.path().join("log");
    let server = Process::start_logging(&folder.path(), fs::File::create(&log).unwrap());
    let admin = folder.client(&server.address, Person::Admin);
    admin.create_organization("contoso").await.unwrap();
    admin.delete_organization("organizations/contoso").await.unwrap();
    server.terminate();
    assert!(tokio::task::spawn_blocking(move || server.wait()).await.unwrap().success());
    let logged = fs::read_to_string(log).unwrap();
    for event in ["role bindings already name created organization", "role bindings still name deleted organization"] {
        let line = logged.lines().find(|line| line.contains(event)).expect(event);
        assert!(line.contains("contoso") && line.contains("cn:reader"), "{line}");
    }
}
