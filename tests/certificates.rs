//! The certificates that settings name: each is in GetServerStatus, in the metrics and in `check-config`, and has a finding before its end.

use std::{collections::BTreeSet, fs};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd};
use sealward_client::v1::{ServerStatus, server_finding::Severity};
use sealward_server::development::Person;
use serde_json::Value;

use crate::{
    due::scraped,
    harness::{
        Folder, Server,
        tokens::{append, settings},
    },
    operate::{checked, findings, program},
    traces::configure,
};

/// A setting and a subject.
type Named = (String, String);

/// A certificate with this name, which ends in this year, and its key.
fn issued(name: &str, end: i32) -> (String, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_after = date_time_ymd(end, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn of_status(status: &ServerStatus) -> BTreeSet<Named> {
    let certificates = status.certificates.iter();
    certificates.map(|certificate| (certificate.setting.clone(), certificate.subject.clone())).collect()
}

/// The certificates of a scrape.
fn of_metrics(scraped: &str) -> BTreeSet<Named> {
    let samples = scraped.lines().filter_map(|line| line.strip_prefix("sealward_certificate_not_after_seconds{"));
    let samples = samples.map(|sample| {
        let (setting, subject) = sample.rsplit_once("\"}").unwrap().0.split_once("\",subject=\"").unwrap();
        (setting.strip_prefix("setting=\"").unwrap().to_owned(), subject.to_owned())
    });
    samples.collect()
}

/// The facts of a report that are certificates.
fn of_check(report: &Value) -> BTreeSet<Named> {
    let facts = report["facts"].as_array().unwrap().iter();
    let facts = facts.filter(|fact| fact["text"].as_str().unwrap().contains(", valid until "));
    let facts = facts.map(|fact| {
        let (subject, _) = fact["text"].as_str().unwrap().rsplit_once(", valid until ").unwrap();
        let subject = subject.split_once(", for ").map_or(subject, |(subject, _)| subject);
        (fact["subject"].as_str().unwrap().to_owned(), subject.to_owned())
    });
    facts.collect()
}

#[tokio::test]
async fn every_certificate_of_a_setting_is_reported_everywhere() {
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name);
    // The server's certificate with its chain, a trust domain, the CA of a token issuer, and the collector of traces.
    let server_pem = path("tls/server.pem");
    let chain = fs::read_to_string(&server_pem).unwrap() + &fs::read_to_string(folder.development().ca()).unwrap();
    fs::write(&server_pem, chain).unwrap();
    for name in ["partner", "jwks"] {
        fs::write(path(&format!("{name}.pem")), issued(name, 2050).0).unwrap();
    }
    configure(&folder, 1);
    let config = folder.development().config_file();
    let text = fs::read_to_string(&config).unwrap();
    let (client, client_key) = (path("otel.pem"), path("otel.key"));
    let write_client = {
        let (client, client_key) = (client.clone(), client_key.clone());
        move |end| {
            let (certificate, key) = issued("exporter", end);
            fs::write(&client, certificate).unwrap();
            fs::write(&client_key, key).unwrap();
        }
    };
    let replaced = text.lines().map(|line| match line.split_once(" = ") {
        Some(("client_certificate", _)) => format!("client_certificate = \"{}\"\n", client.display()),
        Some(("client_key", _)) => format!("client_key = \"{}\"\n", client_key.display()),
        _ => format!("{line}\n"),
    });
    fs::write(&config, replaced.collect::<String>()).unwrap();
    append(&folder.path(), "\n[[trust_domains]]\nname = \"partner.example\"\nca = \"partner.pem\"\n");
    append(&folder.path(), &settings("jwks_url = \"https://localhost:1/keys\"\njwks_ca = \"jwks.pem\""));
    write_client(2050);

    let wanted = [
        "tls.certificate",
        "tls.client_ca",
        "token_issuers of https://idp.example.org/",
        "traces.ca",
        "traces.client_certificate",
        "trust_domains of partner.example",
    ];
    let server = Server::start_in(folder, |config| {
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let admin = server.client(Person::Admin);
    let reported = of_status(&admin.server_status().await.unwrap());
    let named: BTreeSet<_> = reported.iter().map(|(setting, _)| setting.as_str()).collect();
    assert_eq!(named.into_iter().collect::<Vec<_>>(), wanted);
    // Also the CA in the chain.
    assert_eq!(reported.iter().filter(|(setting, _)| setting == "tls.certificate").count(), 2, "{reported:?}");
    assert_eq!(of_metrics(&scraped(server.metrics_address()).await), reported);
    let (_, report) = checked(&mut program(), &config);
    assert_eq!(of_check(&report), reported);

    // One that has expired is a finding of the server and of the check, and an alert has its time.
    write_client(2020);
    let expired = |problem: &str| problem.contains("CN=exporter for the collector of traces expired on 2020-01-01");
    let (_, report) = checked(&mut program(), &config);
    let found = findings(&report).into_iter().find(|(_, subject, _)| subject == "traces.client_certificate").unwrap();
    assert!(found.0 == "warning" && expired(&found.2), "{found:?}");
    server.reload().await;
    let status = admin.server_status().await.unwrap();
    let found = status.findings.iter().find(|finding| finding.subject == "traces.client_certificate").unwrap();
    assert!(found.severity() == Severity::Warning && expired(&found.problem), "{found:?}");
    let ends = scraped(server.metrics_address()).await;
    assert!(ends.lines().any(|line| line.starts_with(
        "sealward_certificate_not_after_seconds{setting=\"traces.client_certificate\",subject=\"CN=exporter\"} 1577836800"
    )));

    // A file that can't be used is a finding, too, and its certificate isn't in use.
    fs::write(&client_key, "hunter2").unwrap();
    server.reload().await;
    let status = admin.server_status().await.unwrap();
    let found = status.findings.iter().find(|finding| finding.subject == "traces").unwrap();
    assert!(found.problem.contains("otel.key") && !found.problem.contains("hunter2"), "{found:?}");
    assert!(of_status(&status).iter().all(|(setting, _)| !setting.starts_with("traces")));
    write_client(2050);
    server.reload().await;
    let status = admin.server_status().await.unwrap();
    assert!(status.findings.iter().all(|finding| !finding.subject.starts_with("traces")), "{:?}", status.findings);
    assert_eq!(of_status(&status), reported);
}
