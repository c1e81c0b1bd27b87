//! Audit trails: listed, signed, verified by the server and without it, cut by age.

use std::process::Command;

use data_encoding::HEXLOWER;
use sealward_client::{Client, ErrorReason, v1::audit_finding::Fault};
use sealward_server::development::Person;

use crate::harness::{DEFAULT, PATIENCE, Server, inside::Inside, mailbox, process::binary, reason, reveal};

/// A server whose trail is signed each second, with some reveals in it.
async fn server_with_reveals() -> Server {
    let server = Server::start_with(|config| config.limits.audit_signature_interval_seconds = 1).await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let connector = server.client(Person::Connector);
    for _ in 0..5 {
        reveal(&connector, &stored.name).await.unwrap();
    }
    server
}

/// A restart, which signs all records.
async fn signed() -> Server {
    server_with_reveals().await.restart(|_| {}, |_| {}).await
}

async fn faults(client: &Client) -> Vec<(i64, Fault)> {
    let verified = client.verify_audit_trail(DEFAULT).await.unwrap();
    assert_eq!(verified.intact, verified.findings.is_empty());
    assert_eq!(verified.faults, i64::try_from(verified.findings.len()).unwrap());
    verified.findings.iter().map(|finding| (finding.sequence, finding.fault())).collect()
}

/// Manipulates the database while the server is stopped.
async fn tampered(server: Server, sql: &'static str) -> Server {
    let folder = server.stop().await;
    Inside::organization(&folder).execute(sql);
    Server::start_in(folder, |_| {}).await
}

#[tokio::test]
async fn an_auditor_lists_a_trail_by_pages_and_by_a_filter() {
    let server = server_with_reveals().await;
    let auditor = server.client(Person::Auditor);
    let filter = r#"action = "reveal-attributes" AND identity = "cn:connector""#;
    let mut sequences = Vec::new();
    let mut token = String::new();
    loop {
        let page = auditor.list_audit_records(DEFAULT, filter, 2, token.as_str()).await.unwrap();
        for record in &page.records {
            assert_eq!((&record.purpose[..], &record.attributes[..]), ("a test", &["password".to_owned()][..]));
            assert!(record.peer.starts_with("127.0.0.1:") && !record.call_id.is_empty());
            sequences.push(record.sequence);
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(sequences.len(), 5);
    assert!(sequences.is_sorted_by(|newer, older| newer > older), "{sequences:?}");

    let first = auditor.list_audit_records(DEFAULT, filter, 2, "").await.unwrap().next_page_token;
    for (filter, token, expected) in [
        ("password = 1", "", ErrorReason::FilterInvalid),
        ("name = \"x\"", "", ErrorReason::FilterInvalid),
        ("", "beef", ErrorReason::PageTokenInvalid),
        ("", first.as_str(), ErrorReason::PageTokenInvalid),
    ] {
        assert_eq!(reason(auditor.list_audit_records(DEFAULT, filter, 2, token).await), expected, "{filter}");
    }
    for person in [Person::Writer, Person::Reader, Person::Connector] {
        let client = server.client(person);
        assert_eq!(reason(client.list_audit_records(DEFAULT, "", 0, "").await), ErrorReason::PrivilegeMissing);
        assert_eq!(reason(client.verify_audit_trail("").await), ErrorReason::PrivilegeMissing);
    }
    // Those refusals are in the trail of the deployment.
    let refused = async {
        loop {
            let page = auditor.list_audit_records("", r#"identity = "cn:reader""#, 0, "").await.unwrap();
            if !page.records.is_empty() {
                return page.records;
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(refused[0].outcome, "PRIVILEGE_MISSING");
}

#[tokio::test]
async fn heads_are_signed_while_the_server_runs() {
    let server = server_with_reveals().await;
    let auditor = server.client(Person::Auditor);
    let signed = async {
        loop {
            let chain = auditor.verify_audit_trail(DEFAULT).await.unwrap().chains.remove(0);
            if chain.signed_sequence >= 6 {
                return chain;
            }
        }
    };
    let chain = tokio::time::timeout(PATIENCE, signed).await.unwrap();
    assert_eq!(chain.public_keys.len(), 1);
    assert!(auditor.verify_audit_trail("").await.unwrap().intact);
}

#[tokio::test]
async fn manipulated_trail_in_the_database_is_detected() {
    let server = signed().await;
    let auditor = server.client(Person::Auditor);
    assert_eq!(faults(&auditor).await, []);
    let last = auditor.verify_audit_trail(DEFAULT).await.unwrap().chains[0].last_sequence;

    let server = tampered(server, "UPDATE sealward_audit SET purpose = 'another' WHERE sequence = 3").await;
    assert_eq!(faults(&server.client(Person::Auditor)).await, [(3, Fault::Changed)]);
    let server = tampered(server, "UPDATE sealward_audit SET purpose = 'a test' WHERE sequence = 3").await;
    assert_eq!(faults(&server.client(Person::Auditor)).await, []);
    let swap = "UPDATE sealward_audit SET sequence = -3 WHERE sequence = 3; UPDATE sealward_audit SET sequence = 3 WHERE sequence = 4; \
                UPDATE sealward_audit SET sequence = 4 WHERE sequence = -3";
    let server = tampered(server, swap).await;
    let found = faults(&server.client(Person::Auditor)).await;
    assert!(found.contains(&(3, Fault::Changed)) && found.contains(&(4, Fault::Changed)), "{found:?}");
    let server = tampered(server, swap).await;
    let server = tampered(server, "DELETE FROM sealward_audit WHERE sequence = 3").await;
    assert_eq!(faults(&server.client(Person::Auditor)).await, [(4, Fault::Missing)]);
    assert!(last > 6);
}

#[tokio::test]
async fn cut_off_end_and_restored_older_trail_are_detected() {
    sqlite_only!("puts an older file of a database back");
    let folder = server_with_reveals().await.stop().await;
    let older = std::fs::read(folder.organization_database()).unwrap();
    let server = Server::start_in(folder, |_| {}).await;
    server.client(Person::Admin).retrieve_data_encryption_key(DEFAULT).await.unwrap();
    let folder = server.stop().await;

    // The last records and their signed heads are removed.
    let newer = std::fs::read(folder.organization_database()).unwrap();
    Inside::organization(&folder)
        .execute("DELETE FROM sealward_audit WHERE sequence > 6; DELETE FROM sealward_audit_head WHERE sequence > 6");
    let server = Server::start_in(folder, |_| {}).await;
    let found = faults(&server.client(Person::Auditor)).await;
    assert!(matches!(found[..], [(_, Fault::CutOff | Fault::Replaced)]), "{found:?}");
    let folder = server.stop().await;

    // An earlier complete and signed copy replaces the database.
    std::fs::write(folder.organization_database(), &newer).unwrap();
    let folder = Server::start_in(folder, |_| {}).await.stop().await;
    std::fs::write(folder.organization_database(), &older).unwrap();
    let server = Server::start_in(folder, |_| {}).await;
    let auditor = server.client(Person::Auditor);
    for _ in 0..2 {
        let found = faults(&auditor).await;
        assert!(matches!(found[..], [(_, Fault::CutOff | Fault::Replaced)]), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_trail_is_verified_without_a_server() {
    let server = signed().await;
    let file = server.folder().path().join("trail.jsonl");
    let run = |words: &[&str]| {
        let mut command = Command::new(binary("sealward"));
        command.arg("audit").args(words).args(["--output", "json"]).env_clear();
        command.output().unwrap()
    };
    let path = file.to_str().unwrap();
    let dev = server.folder().path();
    let endpoint = format!("https://{}", server.address());
    let exported =
        run(&["export", "--file", path, "--dev", dev.to_str().unwrap(), "--as", "auditor", "--endpoint", &endpoint]);
    assert!(exported.status.success(), "{exported:?}");
    let chain = server.client(Person::Auditor).verify_audit_trail(DEFAULT).await.unwrap().chains.remove(0);
    let key = HEXLOWER.encode(&chain.public_keys[0]);

    let whole = run(&["verify", "--file", path, "--public-key", &key]);
    assert!(whole.status.success(), "{whole:?}");
    let head = {
        let told: serde_json::Value = serde_json::from_slice(&whole.stdout).unwrap();
        let chain = &told["chains"][0];
        let hash = data_encoding::BASE64.decode(chain["lastHash"].as_str().unwrap().as_bytes()).unwrap();
        format!(
            "{}:{}:{}",
            chain["writer"].as_str().unwrap(),
            chain["lastSequence"].as_str().unwrap(),
            HEXLOWER.encode(&hash)
        )
    };
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let fault = |lines: Vec<String>, words: &[&str]| {
        std::fs::write(&file, lines.join("\n")).unwrap();
        let output = run(&[&["verify", "--file", path], words].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        told["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["fault"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let mut changed = owned(&lines);
    changed[2] = changed[2].replace("a test", "b test");
    assert_eq!(fault(changed, &[]), ["FAULT_CHANGED"]);
    let mut removed = owned(&lines);
    removed.remove(2);
    assert_eq!(fault(removed, &[]), ["FAULT_MISSING"]);
    let cut = owned(&lines[..lines.len() - 1]);
    assert_eq!(fault(cut, &["--head", &head]), ["FAULT_CUT_OFF"]);
    let other = "00".repeat(32);
    assert!(fault(owned(&lines), &["--public-key", &other]).iter().all(|fault| fault == "FAULT_SIGNER_UNKNOWN"));
}

#[tokio::test]
async fn expired_records_are_removed_up_to_a_signed_head() {
    let folder = server_with_reveals().await.stop().await;
    // Moved three days into the past; the server signs again at its next start.
    let server = Server::start_in(folder, |_| {}).await;
    let deployment = std::sync::Arc::clone(server.deployment());
    let organization = deployment.organization(&"default".parse().unwrap()).unwrap();
    let before = sealward_core::id::Timestamp::from_unix_micros(i64::MAX);
    let cut = sealward_core::audit::retention::cut_organization(&deployment, &organization, before).await.unwrap();
    assert!(cut >= 6, "{cut}");
    let auditor = server.client(Person::Auditor);
    let verified = auditor.verify_audit_trail(DEFAULT).await.unwrap();
    assert!(verified.intact, "{verified:?}");
    assert_eq!(verified.chains[0].first_sequence, i64::try_from(cut).unwrap() + 1);
    let records = auditor.list_audit_records(DEFAULT, "", 0, "").await.unwrap().records;
    assert!(
        records.iter().any(|record| record.action == "cut-audit-trail" && record.details == format!("through {cut}"))
    );
    assert!(!records.iter().any(|record| record.action == "reveal-attributes"));
    drop((deployment, organization));
    // And once more, when that has been signed too.
    let server = server.restart(|_| {}, |_| {}).await;
    assert!(server.client(Person::Auditor).verify_audit_trail(DEFAULT).await.unwrap().intact);
}
