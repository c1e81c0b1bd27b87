//! Refused handshakes: client, log and metrics get the reason each time. Plaintext on the TLS port is answered.

use std::{error::Error, fs, io::ErrorKind, sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use sealward_client::{Code, ErrorReason, ListOptions, Origin, RetryPolicy};
use sealward_server::development::Person;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    due::scraped,
    harness::{
        DEFAULT, Folder, PATIENCE, Server,
        http::{Http, call},
        process::Process,
    },
};

const LIST: &str = "/sealward.mail.v1.MailboxService/ListMailboxes";

/// A CA of clients, and a folder whose servers trust it.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// A CA whose certificate is in the file `client-ca.pem` of this folder.
    pub(crate) fn for_clients_of(folder: &Folder) -> Self {
        let ca = Self::make("clients");
        fs::write(folder.path().join("client-ca.pem"), &ca.1).unwrap();
        ca.0
    }

    /// A CA of this name, and its certificate in PEM.
    fn make(name: &str) -> (Self, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        (Self { issuer: Issuer::new(params, key) }, pem)
    }

    /// Files of a certificate and its key, valid from one year to another.
    fn certificate(&self, folder: &Folder, name: &str, from: i32, to: i32) -> [std::path::PathBuf; 2] {
        self.signed(folder, name, |params| {
            (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        })
    }

    /// Files of a certificate and its key, valid until this time, in seconds since 1970.
    pub(crate) fn certificate_until(&self, folder: &Folder, name: &str, end: u64) -> [std::path::PathBuf; 2] {
        self.signed(folder, name, |params| params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end))
    }

    fn signed(
        &self,
        folder: &Folder,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> [std::path::PathBuf; 2] {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let [certificate_file, key_file] = ["pem", "key"].map(|end| folder.path().join(format!("{name}.{end}")));
        fs::write(&certificate_file, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        [certificate_file, key_file]
    }
}

/// The error of a client with this certificate, with all its sources.
async fn refused(folder: &Folder, address: &str, [certificate, key]: &[std::path::PathBuf; 2]) -> String {
    let client = folder.client_builder(address).identity_files(certificate, key).connect_lazy().unwrap();
    let error = client.mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap_err();
    assert_eq!(error.call().unwrap().origin(), Origin::TlsRefused, "{error:?}");
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn refused_certificate_is_reported_to_its_client_and_counted() {
    let folder = Folder::new();
    let ca = Ca::for_clients_of(&folder);
    let expired = ca.certificate(&folder, "expired", 2020, 2021);
    let early = ca.certificate(&folder, "early", 2998, 2999);
    let stranger = Ca::make("strangers").0.certificate(&folder, "stranger", 2020, 2999);
    // Of a CA with the same name and another key.
    let impostor = Ca::make("clients").0.certificate(&folder, "impostor", 2020, 2999);
    let client_ca = folder.path().join("client-ca.pem");
    let server = Server::start_in(folder, |config| {
        config.tls.client_ca = Some(client_ca);
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    const TRIES: usize = 20;
    for _ in 0..TRIES {
        let told = refused(server.folder(), server.address(), &expired).await;
        assert!(told.contains("CertificateExpired"), "{told}");
    }
    refused(server.folder(), server.address(), &early).await;
    let told = refused(server.folder(), server.address(), &stranger).await;
    assert!(told.contains("UnknownCA"), "{told}");
    refused(server.folder(), server.address(), &impostor).await;

    let lines = [("certificate_expired", TRIES), ("certificate_not_yet_valid", 1), ("unknown_ca", 2)]
        .map(|(cause, count)| format!("sealward_handshakes_refused_total{{cause=\"{cause}\"}} {count}\n"));
    // The client knows of a refusal before the server has counted it.
    let counted = async {
        loop {
            let metrics = scraped(server.metrics_address()).await;
            if lines.iter().all(|line| metrics.contains(line)) {
                return;
            }
        }
    };
    timeout(PATIENCE, counted).await.expect("every refusal is counted once");
}

#[tokio::test]
async fn refused_certificate_is_logged_with_cause_and_subject() {
    let folder = Folder::new();
    let ca = Ca::for_clients_of(&folder);
    let early = ca.certificate(&folder, "early", 2998, 2999);
    let config = folder.development().config_file();
    let text = fs::read_to_string(&config).unwrap();
    let before = text.lines().find(|line| line.starts_with("client_ca = ")).unwrap().to_owned();
    let after = format!("client_ca = {:?}", folder.path().join("client-ca.pem"));
    fs::write(&config, text.replace(&before, &after).replace("# format = \"text\"", "format = \"json\"")).unwrap();
    let log = folder.path().join("log");
    let server = Process::start_logging(&folder.path(), fs::File::create(&log).unwrap());
    for _ in 0..3 {
        refused(&folder, &server.address, &early).await;
    }
    server.terminate();
    assert!(tokio::task::spawn_blocking(|| server.wait()).await.unwrap().success());

    let text = fs::read_to_string(&log).unwrap();
    let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let refusals: Vec<_> = events.iter().filter(|event| event["message"] == "handshake refused").collect();
    // A minute may have ended meanwhile.
    assert!((1..=2).contains(&refusals.len()), "{refusals:#?}");
    let refusal = refusals[0];
    assert_eq!((&refusal["level"], &refusal["cause"]), (&"WARN".into(), &"certificate_not_yet_valid".into()));
    assert_eq!(refusal["subject"], "CN=early");
    assert!(refusal["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{refusal}");
    assert!(!text.contains("certificate expired"), "{text}");
    let repeated = events.iter().filter(|event| event["message"] == "refusals repeated");
    let repeats: u64 = repeated.map(|event| event["repeats"].as_u64().unwrap()).sum();
    assert_eq!(refusals.len() as u64 + repeats, 3, "{events:#?}");
}

#[tokio::test]
async fn caller_and_log_are_told_why_an_accepted_certificate_has_no_identity() {
    let folder = Folder::new();
    let ca = Ca::for_clients_of(&folder);
    let [certificate, key] = ca.signed(&folder, "unfit", |params| {
        let id = "spiffe://example.org/unfit".try_into().unwrap();
        params.subject_alt_names = vec![SanType::URI(id)];
    });
    let config = folder.development().config_file();
    let text = fs::read_to_string(&config).unwrap();
    let before = text.lines().find(|line| line.starts_with("client_ca = ")).unwrap().to_owned();
    let after = format!("client_ca = {:?}", folder.path().join("client-ca.pem"));
    fs::write(&config, text.replace(&before, &after).replace("# format = \"text\"", "format = \"json\"")).unwrap();
    let log = folder.path().join("log");
    let server = Process::start_logging(&folder.path(), fs::File::create(&log).unwrap());
    let client = folder.client_builder(&server.address).identity_files(certificate, key).connect_lazy().unwrap();
    let error = client.mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::IdentityRequired);
    let told = error.to_string();
    assert!(told.contains("has a SPIFFE id, but isn't a valid X.509-SVID: it has no key usage"), "{told}");
    server.terminate();
    assert!(tokio::task::spawn_blocking(|| server.wait()).await.unwrap().success());

    let text = fs::read_to_string(&log).unwrap();
    let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let answered = events.iter().find(|event| event["reason"] == "IDENTITY_REQUIRED").expect(&text);
    assert!(answered["cause"].as_str().unwrap().contains("it has no key usage"), "{answered}");
}

#[tokio::test]
async fn call_without_tls_on_the_tls_port_gets_https_required() {
    let server =
        Server::start_with(|config| config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap())).await;
    let required = (Code::FailedPrecondition, "HTTPS_REQUIRED".to_owned());
    for path in [LIST, "/grpc.health.v1.Health/Check"] {
        let mut connection = Http::without_tls(server.address()).await;
        assert_eq!(connection.send(call(path, Vec::new())).await.unwrap().refusal(), required, "{path}");
        // One answer, and no more.
        let gone = async { while connection.send(call(path, Vec::new())).await.is_ok() {} };
        timeout(PATIENCE, gone).await.unwrap();
    }
    let endpoint = format!("http://{}", server.address());
    let client = sealward_client::Client::builder(endpoint).plaintext().retry(RetryPolicy::never());
    let error = client.connect_lazy().unwrap().mailboxes().list(DEFAULT, ListOptions::default()).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::HttpsRequired);

    let metrics = scraped(server.metrics_address()).await;
    assert!(metrics.contains("sealward_handshakes_refused_total{cause=\"plaintext\"} 3\n"), "{metrics}");
}

/// All bytes that the server answers to these bytes before it closes.
async fn answer_to(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server doesn't close");
    if let Err(error) = read {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn http_1_on_the_tls_port_gets_a_400_with_the_reason() {
    let server = Server::start().await;
    let long = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n{}", "x".repeat(50_000));
    for request in ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "PUT /secret HTTP/1.0\r\n\r\n", "P\r\n", &long] {
        let answer = answer_to(server.address(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("HTTPS_REQUIRED") && !answer.contains("secret"), "{answer}");
    }
    // Neither TLS nor HTTP.
    assert!(!answer_to(server.address(), b"\x00\x01\x02 nothing that anybody speaks").await.contains("HTTP"));
}

#[tokio::test]
async fn connections_without_tls_on_the_tls_port_block_no_caller() {
    let server = Server::start_with(|config| config.limits.connections_max = 2).await;
    let silent = |begin: &'static [u8]| {
        let address = server.address().to_owned();
        async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(begin).await.unwrap();
            stream
        }
    };
    // They have begun, and send no more bytes.
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(silent(b"PRI * HTTP/2.0\r\n").await);
    }
    let tls = Arc::new(crate::harness::http::tls(server.folder(), Some(Person::Reader)));
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(tls);
    timeout(PATIENCE, connector.connect(name, stream)).await.unwrap().unwrap();
    // The server closes them in the end.
    for mut stream in held {
        let _reset_or_closed = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap();
    }
}
