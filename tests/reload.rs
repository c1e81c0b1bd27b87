//! Files that change while the server runs, and the effect on existing connections.

pub(crate) mod wire;

use std::{
    cell::RefCell,
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    path::PathBuf,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use sealward_client::{
    Code, ErrorReason,
    mail_v1::{CreateMailboxRequest, mailbox_service_client::MailboxServiceClient},
    v1::{
        SetDataEncryptionKeyRequest, WatchReencryptionRequest,
        data_encryption_service_client::DataEncryptionServiceClient,
    },
};
use sealward_server::{
    development::{Development, Person},
    reload::{Outcome, Reloaded},
};
use tokio::time::timeout;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;

use self::wire::{Caller, call};
use crate::harness::{DEFAULT, Folder, PATIENCE, Server, mailbox, process::Process, reason, refused};

/// A CA of the clients.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// An administrator with a certificate of this number.
    fn admin(&self, server: &Server, serial: u64) -> Caller {
        let mut params = named("admin");
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let server_ca = fs::read_to_string(server.folder().development().ca()).unwrap();
        Caller::new(server.address(), &server_ca, &certificate, &key.serialize_pem())
    }

    /// A list, in its time, that revokes these certificates.
    fn list(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2999, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// The certificate of another CA, in PEM.
pub(crate) fn another_ca() -> String {
    Ca::new("another").pem
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// A server that trusts clients of these CAs, from separate files.
async fn server_for(cas: &[&Ca], lists: Option<String>) -> Server {
    let folder = Folder::new();
    fs::write(client_ca(&folder), pem(cas)).unwrap();
    if let Some(lists) = &lists {
        fs::write(client_crl(&folder), lists).unwrap();
    }
    let (ca, crl) = (client_ca(&folder), client_crl(&folder));
    Server::start_in(folder, |config| {
        config.tls.client_ca = Some(ca);
        config.tls.client_crl = lists.map(|_| crl);
    })
    .await
}

fn client_ca(folder: &Folder) -> PathBuf {
    folder.path().join("tls/client-ca.pem")
}

fn client_crl(folder: &Folder) -> PathBuf {
    folder.path().join("tls/client-crl.pem")
}

fn pem(cas: &[&Ca]) -> String {
    cas.iter().map(|ca| ca.pem.as_str()).collect()
}

fn person(server: &Server, person: Person) -> Caller {
    let development = server.folder().development();
    let read = |path| fs::read_to_string(path).unwrap();
    Caller::new(
        server.address(),
        &read(development.ca()),
        &read(development.certificate(person)),
        &read(development.key(person)),
    )
}

/// Edits the configuration file.
fn edit(development: &Development, from: &str, to: &str) {
    let file = development.config_file();
    let text = fs::read_to_string(&file).unwrap();
    let edited = text.replace(from, to);
    assert_ne!(edited, text);
    fs::write(file, edited).unwrap();
}

fn only_trust_taken(reloaded: &Reloaded) {
    let expected = Reloaded {
        configuration: Outcome::Unchanged,
        certificate: Outcome::Unchanged,
        trust: Outcome::Taken,
        token_issuers: Outcome::Unchanged,
    };
    assert_eq!(*reloaded, expected);
}

/// Asserts that the handshake was refused, so that the call has no answer.
#[track_caller]
fn assert_refused_in_handshake(outcome: Result<(), Status>) {
    let status = outcome.unwrap_err();
    assert!(status.get_details_error_info().is_none(), "{status:?}");
}

/// Reloads the server while this caller's first connection receives no bytes, and calls on it.
async fn reload_and_call_while_blocked(server: &Server, caller: &Caller, channel: &Channel) -> Status {
    let valve = caller.connections()[0].valve.clone();
    valve.shut();
    only_trust_taken(&server.reload().await);
    let mut written = valve.written();
    let pending = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel).await }
    });
    timeout(PATIENCE, written.changed()).await.unwrap().unwrap();
    // The call was sent, so later frames of the server are too late for it.
    valve.open();
    let outcome = timeout(PATIENCE, pending).await.unwrap().unwrap();
    assert_eq!(caller.connections().len(), 1);
    outcome.unwrap_err()
}

#[tokio::test]
async fn renewed_server_certificate_applies_to_new_connections_only() {
    let server = Server::start().await;
    let development = server.folder().development();
    let reader = person(&server, Person::Reader);
    let old = reader.channel();
    call(&old).await.unwrap();

    for file in ["tls/server.pem", "tls/server.key"] {
        fs::remove_file(development.folder().join(file)).unwrap();
    }
    // Creates missing files again, under the same CA.
    server.folder().development();
    let expected = Reloaded {
        configuration: Outcome::Unchanged,
        certificate: Outcome::Taken,
        trust: Outcome::Unchanged,
        token_issuers: Outcome::Unchanged,
    };
    assert_eq!(server.reload().await, expected);

    let another = person(&server, Person::Reader);
    call(&another.channel()).await.unwrap();
    assert_ne!(another.connections()[0].server_certificate, reader.connections()[0].server_certificate);
    call(&old).await.unwrap();
    assert_eq!(reader.connections().len(), 1);
    // A session of the former certificate can be resumed, too.
    call(&reader.channel()).await.unwrap();
    assert!(reader.connections()[1].is_resumed);
}

#[tokio::test]
async fn replaced_client_ca_admits_its_clients_and_refuses_former_ones() {
    let (former, next) = (Ca::new("former"), Ca::new("next"));
    let server = server_for(&[&former], None).await;
    let (left, entered) = (former.admin(&server, 1), next.admin(&server, 1));
    let channel = left.channel();
    call(&channel).await.unwrap();
    assert_refused_in_handshake(call(&entered.channel()).await);

    fs::write(client_ca(server.folder()), pem(&[&next])).unwrap();
    let status = reload_and_call_while_blocked(&server, &left, &channel).await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "IDENTITY_REQUIRED");
    assert_refused_in_handshake(call(&left.channel()).await);
    call(&entered.channel()).await.unwrap();
}

#[tokio::test]
async fn revoked_certificate_is_refused_for_new_and_old_connections() {
    let ca = Ca::new("clients");
    let server = server_for(&[&ca], Some(ca.list(&[]))).await;
    let (revoked, other) = (ca.admin(&server, 7), ca.admin(&server, 8));
    let channel = revoked.channel();
    call(&channel).await.unwrap();

    fs::write(client_crl(server.folder()), ca.list(&[7])).unwrap();
    let status = reload_and_call_while_blocked(&server, &revoked, &channel).await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "IDENTITY_REQUIRED");
    assert!(status.message().contains("revoked"), "{status:?}");
    assert_refused_in_handshake(call(&revoked.channel()).await);
    call(&other.channel()).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_any_of_two_lists_names_is_refused() {
    let ca = Ca::new("clients");
    // The former list is first.
    let server = server_for(&[&ca], Some(ca.list(&[]) + &ca.list(&[7]))).await;
    assert_refused_in_handshake(call(&ca.admin(&server, 7).channel()).await);
    call(&ca.admin(&server, 8).channel()).await.unwrap();
}

#[tokio::test]
async fn a_ca_renewed_with_a_new_key_keeps_its_clients_and_their_lists() {
    let (before, after) = (Ca::new("clients"), Ca::new("clients"));
    let server = server_for(&[&before, &after], Some(after.list(&[7]) + &before.list(&[8]))).await;
    for (ca, revoked, good) in [(&before, 8, 7), (&after, 7, 8)] {
        assert_refused_in_handshake(call(&ca.admin(&server, revoked).channel()).await);
        call(&ca.admin(&server, good).channel()).await.unwrap();
    }
}

#[tokio::test]
async fn an_unusable_server_certificate_does_not_replace_the_one_in_use() {
    let server = Server::start().await;
    let reader = person(&server, Person::Reader);
    let old = reader.channel();
    call(&old).await.unwrap();
    let tls = server.folder().development().folder().join("tls");
    let key = KeyPair::generate().unwrap();
    let issued = |change: fn(&mut CertificateParams)| {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        params.self_signed(&key).unwrap().pem()
    };
    for (change, words) in [
        (
            (|params| params.not_after = date_time_ymd(2020, 1, 1)) as fn(&mut CertificateParams),
            "it expired on 2020-01-01",
        ),
        (|params| params.not_before = date_time_ymd(2999, 1, 1), "it isn't valid before 2999-01-01"),
        (|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth], "lacks serverAuth"),
        (|params| params.subject_alt_names.clear(), "it has no subject alternative names"),
        (|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), "it is the certificate of a CA"),
    ] {
        fs::write(tls.join("server.pem"), issued(change)).unwrap();
        fs::write(tls.join("server.key"), key.serialize_pem()).unwrap();
        let Outcome::Refused(why) = server.reload().await.certificate else { panic!("{words}: it was loaded") };
        assert!(why.contains(words), "{why}");
        call(&person(&server, Person::Reader).channel()).await.unwrap();
    }
}

#[tokio::test]
async fn the_ends_of_certificates_and_lists_are_in_the_metrics() {
    let ca = Ca::new("clients");
    let folder = Folder::new();
    fs::write(client_ca(&folder), pem(&[&ca])).unwrap();
    fs::write(client_crl(&folder), ca.list(&[])).unwrap();
    let (client_ca, client_crl) = (client_ca(&folder), client_crl(&folder));
    let server = Server::start_in(folder, |config| {
        config.tls.client_ca = Some(client_ca);
        config.tls.client_crl = Some(client_crl);
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let metrics = crate::due::scraped(server.metrics_address()).await;
    for expected in [
        "sealward_certificate_not_after_seconds{setting=\"tls.certificate\",subject=\"CN=sealward-server\"} ",
        "sealward_certificate_not_after_seconds{setting=\"tls.client_ca\",subject=\"CN=clients\"} 67090118400",
        "sealward_revocation_list_next_update_seconds{issuer=\"CN=clients\",number=\"1\"} 32472144000",
    ] {
        assert!(metrics.contains(expected), "{expected} is missing: {metrics}");
    }
}

#[tokio::test]
async fn a_session_begun_under_another_trust_is_not_resumed() {
    let ca = Ca::new("clients");
    let server = server_for(&[&ca], Some(ca.list(&[]))).await;
    let (revoked, other) = (ca.admin(&server, 7), ca.admin(&server, 8));
    for caller in [&revoked, &other] {
        for is_resumed in [false, true] {
            call(&caller.channel()).await.unwrap();
            assert_eq!(caller.connections().last().unwrap().is_resumed, is_resumed);
        }
    }

    fs::write(client_crl(server.folder()), ca.list(&[7])).unwrap();
    only_trust_taken(&server.reload().await);
    assert_refused_in_handshake(call(&revoked.channel()).await);
    for is_resumed in [false, true] {
        call(&other.channel()).await.unwrap();
        assert_eq!(other.connections().last().unwrap().is_resumed, is_resumed);
    }
}

#[tokio::test]
async fn change_of_trust_causes_no_error_for_trusted_callers() {
    let (first, second) = (Ca::new("first"), Ca::new("second"));
    let folder = Folder::new();
    fs::write(client_ca(&folder), pem(&[&first])).unwrap();
    let ca = client_ca(&folder);
    let server = Server::start_in(folder, |config| {
        config.tls.client_ca = Some(ca);
        // A re-encryption that runs throughout the test.
        config.limits.reencryption_pause_ms = 60_000;
        config.limits.reencryption_batch_cells = 1;
    })
    .await;
    let admin = first.admin(&server, 1);
    let channel = admin.channel();
    let mut records = MailboxServiceClient::new(channel.clone());
    for _ in 0..3 {
        let create = CreateMailboxRequest {
            parent: DEFAULT.to_owned(),
            mailbox: Some(mailbox("hunter2")),
            ..Default::default()
        };
        records.create_mailbox(create).await.unwrap();
    }
    let mut keys = DataEncryptionServiceClient::new(channel.clone());
    let change = SetDataEncryptionKeyRequest {
        organization: DEFAULT.to_owned(),
        encryption_key: "a new key, number 1".to_owned(),
        change_encryption_key: true,
        ..Default::default()
    };
    keys.set_data_encryption_key(change).await.unwrap();
    let watch = WatchReencryptionRequest { organization: DEFAULT.to_owned() };
    let mut watch = keys.watch_reencryption(watch).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    assert_eq!(admin.connections().len(), 1);

    fs::write(client_ca(server.folder()), pem(&[&first, &second])).unwrap();
    only_trust_taken(&server.reload().await);
    let moved = async {
        while admin.connections().len() == 1 {
            call(&channel).await.unwrap();
        }
        call(&channel).await.unwrap();
    };
    timeout(PATIENCE, moved).await.unwrap();
    assert_eq!(admin.connections().len(), 2);
    // On the connection that accepts no more calls.
    for _ in 0..2 {
        timeout(PATIENCE, watch.message()).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn old_connection_is_replaced_without_an_error() {
    let server = Server::start_with(|config| config.limits.connection_age_max_seconds = 1).await;
    let reader = person(&server, Person::Reader);
    let channel = reader.channel();
    let moved = async {
        while reader.connections().len() < 2 {
            call(&channel).await.unwrap();
        }
    };
    timeout(PATIENCE, moved).await.unwrap();
}

#[tokio::test]
async fn removed_binding_applies_to_the_next_call() {
    let server = Server::start().await;
    let development = server.folder().development();
    let reader = person(&server, Person::Reader);
    let channel = reader.channel();
    call(&channel).await.unwrap();

    let configuration = fs::read_to_string(development.config_file()).unwrap();
    edit(&development, "cn:reader", "cn:somebody else");
    assert_eq!(server.reload().await.configuration, Outcome::Taken);
    let status = call(&channel).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "PRIVILEGE_MISSING");

    // Unusable files change nothing.
    fs::write(development.config_file(), "data_dir = 7\n").unwrap();
    let Outcome::Refused(why) = server.reload().await.configuration else { panic!("a broken file was loaded") };
    assert!(why.contains("data_dir"), "{why}");
    assert_eq!(call(&channel).await.unwrap_err().code(), Code::PermissionDenied);
    fs::remove_file(development.config_file()).unwrap();
    assert!(matches!(server.reload().await.configuration, Outcome::Refused(_)));

    fs::write(development.config_file(), configuration).unwrap();
    assert_eq!(server.reload().await.configuration, Outcome::Taken);
    call(&channel).await.unwrap();
    assert_eq!(server.reload().await.configuration, Outcome::Unchanged);
    assert_eq!(reader.connections().len(), 1);
}

#[tokio::test]
async fn changed_files_are_reloaded_without_a_signal() {
    let server = Server::start_with(|config| config.limits.reload_check_interval_seconds = 1).await;
    let channel = person(&server, Person::Reader).channel();
    call(&channel).await.unwrap();
    edit(&server.folder().development(), "cn:reader", "cn:somebody else");
    let noticed = async {
        loop {
            match call(&channel).await {
                Ok(()) => {}
                Err(status) => break status,
            }
        }
    };
    assert_eq!(timeout(PATIENCE, noticed).await.unwrap().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn unusable_files_keep_the_current_state() {
    let ca = Ca::new("clients");
    let server = server_for(&[&ca], Some(ca.list(&[7]))).await;
    let development = server.folder().development();
    let (admin, revoked) = (ca.admin(&server, 1), ca.admin(&server, 7));
    let old = admin.channel();
    call(&old).await.unwrap();
    let tls = development.folder().join("tls");
    let cut = |text: String| text[..text.len() / 2].to_owned();

    let read = |file: &str| fs::read_to_string(tls.join(file)).unwrap();
    for (file, content, is_certificate) in [
        ("server.pem", read("admin.pem"), true),
        ("server.pem", cut(read("server.pem")), true),
        ("server.key", String::new(), true),
        ("client-ca.pem", "no certificate".to_owned(), false),
        ("client-ca.pem", cut(ca.pem.clone()), false),
        ("client-crl.pem", cut(ca.list(&[7])), false),
        ("client-crl.pem", ca.pem.clone(), false),
    ] {
        let before = read(file);
        fs::write(tls.join(file), content).unwrap();
        let reloaded = server.reload().await;
        let (broken, whole) = if is_certificate {
            (reloaded.certificate, reloaded.trust)
        } else {
            (reloaded.trust, reloaded.certificate)
        };
        assert!(matches!(broken, Outcome::Refused(_)), "{file}: {broken:?}");
        assert_eq!(whole, Outcome::Unchanged, "{file}");
        call(&admin.channel()).await.unwrap();
        assert_refused_in_handshake(call(&revoked.channel()).await);
        fs::write(tls.join(file), before).unwrap();
    }
    let unchanged = Reloaded {
        configuration: Outcome::Unchanged,
        certificate: Outcome::Unchanged,
        trust: Outcome::Unchanged,
        token_issuers: Outcome::Unchanged,
    };
    assert_eq!(server.reload().await, unchanged);
    call(&old).await.unwrap();
}

#[tokio::test]
async fn revocation_list_is_configured_and_swapped_while_running() {
    let folder = Folder::new();
    let ca = Ca::new("clients");
    mount(&folder, "first", &ca, &[]);
    let development = folder.development();
    edit(&development, "client_ca = \"tls/ca.pem\"", "client_ca = \"mounted/ca.pem\"");
    let server = Server::start_in(folder, |_| {}).await;
    let (revoked, other) = (ca.admin(&server, 7), ca.admin(&server, 8));
    call(&revoked.channel()).await.unwrap();

    edit(&development, "# client_crl = \"crl.pem\"", "client_crl = \"mounted/crl.pem\"");
    let taken = Reloaded {
        configuration: Outcome::Taken,
        certificate: Outcome::Unchanged,
        trust: Outcome::Taken,
        token_issuers: Outcome::Unchanged,
    };
    assert_eq!(server.reload().await, taken);
    call(&revoked.channel()).await.unwrap();

    mount(server.folder(), "second", &ca, &[7]);
    only_trust_taken(&server.reload().await);
    assert_refused_in_handshake(call(&revoked.channel()).await);
    call(&other.channel()).await.unwrap();
}

/// Mounts a CA with its list as a cluster mounts a secret: the files' folder is a link, which is exchanged as a whole.
fn mount(folder: &Folder, version: &str, ca: &Ca, revoked: &[u64]) {
    let files = folder.path().join(version);
    fs::create_dir(&files).unwrap();
    fs::write(files.join("ca.pem"), &ca.pem).unwrap();
    fs::write(files.join("crl.pem"), ca.list(revoked)).unwrap();
    let next = folder.path().join("next");
    std::os::unix::fs::symlink(version, &next).unwrap();
    fs::rename(next, folder.path().join("mounted")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_files() {
    let folder = Folder::new();
    let (log, log_end) = std::io::pipe().unwrap();
    let server = Process::start_logging(&folder.path(), log_end);
    let mut lines = BufReader::new(log).lines();
    let seen = RefCell::new(Vec::new());
    let mut logged = |words: &str| {
        let mut lines = lines.by_ref().map_while(Result::ok).inspect(|line| seen.borrow_mut().push(line.clone()));
        lines.find(|line| line.contains(words)).expect("the log ended without it")
    };
    let reader = folder.client(&server.address, Person::Reader);
    reader.list_organizations(0, "").await.unwrap();

    let development = folder.development();
    edit(&development, "cn:reader", "cn:somebody else");
    edit(&development, "# level = \"info\"", "level = \"debug\"");
    edit(&development, "# page_size_max = 1000", "page_size_max = 7");
    server.hang_up();
    logged("role bindings reloaded");
    let waits = logged("changed setting needs a restart");
    assert!(waits.contains("limits.page_size_max"), "{waits}");
    // With its former value, it waits no longer.
    edit(&development, "page_size_max = 7", "# page_size_max = 1000");
    edit(&development, "cn:somebody else", "cn:another");
    server.hang_up();
    logged("role bindings reloaded");
    let reverted = seen.borrow().len();
    refused(
        reader.list_organizations(0, "").await,
        Code::PermissionDenied,
        ErrorReason::PrivilegeMissing,
        &[("privilege", "prvReadOrganizations"), ("identity", "cn:reader")],
    );
    // An event that the level before left out.
    drop(TcpStream::connect(&server.address).unwrap());
    logged("cause=\"hung_up\"");

    let admin = folder.client(&server.address, Person::Admin);
    fs::write(development.config_file(), "[[bindings]]\n").unwrap();
    server.hang_up();
    let failed = logged("the previous version stays in use");
    assert!(failed.contains("configuration") && failed.contains("data_dir: missing"), "{failed}");
    assert!(seen.borrow()[reverted..].iter().all(|line| !line.contains("needs a restart")), "{seen:?}");
    admin.list_organizations(0, "").await.unwrap();
    assert_eq!(reason(reader.list_organizations(0, "").await), ErrorReason::PrivilegeMissing);
    server.terminate();
    assert!(tokio::task::spawn_blocking(|| server.wait()).await.unwrap().success());
}
