//! `sealward doctor`: each check finds its problem, says what to do about it, and leaves the others as they are.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _};

use sealward_server::development::Person;

use crate::{
    cli::{Run, Terminal, sealward},
    harness::{Server, inside::lose_configuration},
};

/// The status, the finding and the remedy of each check.
fn checks(run: &Run) -> BTreeMap<String, (String, String, String)> {
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let read = |check: &serde_json::Value| {
        (text(&check["check"]), (text(&check["status"]), text(&check["finding"]), text(&check["remedy"])))
    };
    report["checks"].as_array().unwrap().iter().map(read).collect()
}

fn with_status(run: &Run, status: &str) -> Vec<String> {
    checks(run).into_iter().filter(|(_, (is, _, _))| is == status).map(|(check, _)| check).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_passes_with_a_right_configuration() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let run = terminal.run(Person::Admin, "doctor");
    assert_eq!(run.code, 0, "{run:?}");
    let found = checks(&run);
    assert!(found.values().all(|(status, _, remedy)| status == "ok" && remedy.is_empty()), "{found:?}");
    assert!(found["server certificate"].1.contains("TLS 1.3"), "{found:?}");
    assert!(found["identity"].1.contains("cn:admin (system-administrator)"), "{found:?}");
    assert!(found["permissions"].1.contains("prvReadSqlEncryptionKey"), "{found:?}");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(found["versions"].1, format!("client and server {version}"));

    let reader = terminal.run(Person::Reader, "doctor");
    assert_eq!((reader.code, with_status(&reader, "not_checked")), (0, vec!["data encryption".to_owned()]));
    let table = terminal.run(Person::Reader, "doctor --output table").stdout;
    assert!(table.starts_with("STATUS") && table.contains("cn:reader (record-reader)"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_problem_is_found_with_its_remedy() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let folder = server.folder().path();
    let failed = |words: &[&str], check: &str, finding: &str, remedy: &str| {
        let run = sealward(&[words, &["doctor"]].concat(), "");
        assert_eq!(run.code, 1, "{words:?}: {run:?}");
        let found = checks(&run);
        let (status, found_finding, found_remedy) = &found[check];
        assert_eq!(status, "failed", "{words:?}: {found:?}");
        assert!(found_finding.contains(finding) && found_remedy.contains(remedy), "{words:?}: {found:?}");
    };
    let reader = terminal.connection(Person::Reader);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let elsewhere = format!("https://{closed}");
    let of_nobody = [&["--endpoint", &elsewhere][..], &reader[2..]].concat();
    failed(&of_nobody, "address", "refused", "port in --endpoint");

    let other_ca = folder.join("other.pem");
    fs::write(&other_ca, rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap().cert.pem()).unwrap();
    let other_ca = other_ca.to_str().unwrap();
    failed(&[&reader[..], &["--ca", other_ca]].concat(), "server certificate", "issued by", "--ca");
    failed(&[&reader[..], &["--domain-name", "elsewhere"]].concat(), "server certificate", "", "--domain-name");

    let mut params = rcgen::CertificateParams::new(vec!["late".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let key = rcgen::KeyPair::generate().unwrap();
    let (late, late_key) = (folder.join("late.pem"), folder.join("late.key"));
    fs::write(&late, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&late_key, key.serialize_pem()).unwrap();
    let files = ["--cert", late.to_str().unwrap(), "--key", late_key.to_str().unwrap()];
    failed(&[&reader[..], &files].concat(), "client certificate", "expired on 2021-01-01", "new certificate");
    let swapped = ["--cert", late_key.to_str().unwrap(), "--key", late.to_str().unwrap()];
    failed(&[&reader[..], &swapped].concat(), "client certificate", "late.key", "PEM");
    failed(&[&reader[..4], &["--as", "nobody"]].concat(), "client certificate", "nobody.pem", "--cert");

    let ca = folder.join("tls/ca.pem");
    let nobody = [&reader[..2], &["--ca", ca.to_str().unwrap()]].concat();
    failed(&nobody, "identity", "", "--cert");
    assert_eq!(with_status(&sealward(&[&nobody[..], &["doctor"]].concat(), ""), "warning"), ["client certificate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn doubtful_states_are_warnings() {
    let folder = Server::start().await.stop().await;
    lose_configuration(&folder.path());
    let server = Server::start_in(folder, |_| {}).await;
    let terminal = Terminal::at(&server);
    let key = server.folder().path().join("tls/admin.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let run = terminal.run(Person::Admin, "doctor");
    assert_eq!(run.code, 0, "{run:?}");
    let found = checks(&run);
    assert_eq!(with_status(&run, "warning"), ["data encryption", "key file"], "{found:?}");
    assert!(found["data encryption"].2.contains("sealward key restore"), "{found:?}");
    assert_eq!(found["key file"].2, format!("chmod 600 {}", key.display()));
    let elsewhere = terminal.run(Person::Admin, "doctor -o nowhere");
    assert_eq!(elsewhere.code, 1, "{elsewhere:?}");
}
