//! Real proxies before the server, with the configurations in `deploy/mesh`: TLS passed through, and ended at the proxy as a hop.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use prost::Message as _;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::{HandshakeKind, pki_types::ServerName};
use sealward_client::{ErrorReason, Origin, mail_v1, v1};
use sealward_core::policy::{Binding, Role, Scope};
use sealward_server::development::Person;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{
    DEFAULT, Folder, PATIENCE,
    http::{Http, call, framed, tls_trusting, tls_with},
    mailbox,
    mesh::{Fixture, INGRESS, Mesh},
    raw, reason, reveal,
    reverse_proxy::{Form, nginx_uid},
    settled,
    tokens::{Signer, append, key_set, settings},
};

const RETRIEVE: &str = "/sealward.v1.DataEncryptionService/RetrieveDataEncryptionKey";
const IS_ACTIVE: &str = "/sealward.v1.DataEncryptionService/IsDataEncryptionActive";
const WHO_AM_I: &str = "/sealward.v1.AccessService/WhoAmI";
const IMPORT: &str = "/sealward.mail.v1.MailboxService/ImportMailboxes";
const XFCC: &str = "x-forwarded-client-cert";

/// The header of a caller that names itself as another one.
fn forged() -> String {
    format!("By={INGRESS};Hash={};URI=spiffe://example.org/admin", "0".repeat(64))
}

#[tokio::test]
async fn caller_through_a_proxy_is_the_caller_in_every_form() {
    for form in Form::ALL {
        let fixture = Fixture::start(form, |_| {}).await;
        let (admin, writer, connector) =
            (fixture.caller("admin"), fixture.caller("writer"), fixture.caller("connector"));
        let who = writer.who_am_i().await.unwrap();
        assert_eq!(who.identity, "spiffe:example.org/writer", "{form:?}");
        assert!(who.certificate.unwrap().expire_time.is_some());
        let created = writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
        assert_eq!(reveal(&connector, &created.name).await.unwrap().as_deref(), Some("hunter2"));
        assert_eq!(reason(reveal(&writer, &created.name).await), ErrorReason::PrivilegeMissing);
        // A stream.
        admin.change_key(DEFAULT, &"a new key, number 1".into()).await.unwrap();
        assert_eq!(settled(&admin).await.state(), v1::reencryption::State::Done);
        let state = admin.is_data_encryption_active(DEFAULT).await.unwrap();
        let ends_at = if form.is_hop() { v1::CallerTls::Hop } else { v1::CallerTls::Server };
        assert_eq!(state.caller_tls(), ends_at);
        let filter = "action = \"reveal-attributes\" AND outcome = done";
        let records = admin.list_audit_records(DEFAULT, filter, 0, "").await.unwrap().records;
        let hop = if form.is_hop() { "ingress" } else { "" };
        assert_eq!(records.len(), 1);
        assert_eq!((&*records[0].identity, &*records[0].hop), ("spiffe:example.org/connector", hop), "{form:?}");
    }
}

#[tokio::test]
async fn forged_header_gives_no_caller_another_identity_in_any_form() {
    for form in Form::ALL {
        let fixture = Fixture::start(form, |_| {}).await;
        let writer = fixture.caller("writer");
        let forged = forged();
        let message = v1::RetrieveDataEncryptionKeyRequest { organization: DEFAULT.to_owned() }.encode_to_vec();
        let headers = [(XFCC, &*forged), ("x-forwarded-proto", "https")];
        let refused = raw::call_with_headers(&writer, RETRIEVE, &headers, &message).await.unwrap_err();
        let info = refused.get_details_error_info().unwrap();
        assert_eq!(info.reason, "PRIVILEGE_MISSING", "{form:?} {refused:?}");
        assert_eq!(info.metadata["identity"], "spiffe:example.org/writer");
        // Nor without a certificate.
        if form.has_optional_certificates() {
            let nobody = fixture.builder().connect_lazy().unwrap();
            let refused = raw::call_with_headers(&nobody, RETRIEVE, &headers, &message).await.unwrap_err();
            assert_eq!(refused.get_details_error_info().unwrap().reason, "IDENTITY_REQUIRED", "{form:?} {refused:?}");
        }
        // Nor with a certificate of another CA.
        let elsewhere = Folder::new();
        let another = Mesh::new(&elsewhere);
        let stranger = another.caller(fixture.server.folder(), &fixture.proxy.address(), "admin", fixture.ca());
        assert!(stranger.who_am_i().await.is_err(), "{form:?}");
        // Nor past the proxy. With the PROXY protocol, there is no way past it from its address.
        if form.sends_addresses() {
            continue;
        }
        let (folder, address) = (fixture.server.folder(), fixture.server.address());
        let nobody = folder.client_builder(address).connect_lazy().unwrap();
        let refused = raw::call_with_headers(&nobody, RETRIEVE, &headers, &message).await.unwrap_err();
        assert_eq!(refused.get_details_error_info().unwrap().reason, "IDENTITY_REQUIRED");
        let reader = fixture.server.client(Person::Reader);
        let refused = raw::call_with_headers(&reader, RETRIEVE, &headers, &message).await.unwrap_err();
        assert_eq!(refused.get_details_error_info().unwrap().metadata["identity"], "cn:reader");
        // The key of the hop alone is no caller.
        if matches!(form, Form::EnvoyHopOverTls | Form::HaproxyHop) {
            let hop = fixture.mesh.caller(folder, address, "ingress", folder.development().ca());
            let headers = [("x-forwarded-proto", "https")];
            let refused = raw::call_with_headers(&hop, RETRIEVE, &headers, &message).await.unwrap_err();
            assert_eq!(refused.get_details_error_info().unwrap().reason, "IDENTITY_REQUIRED");
        }
    }
}

#[tokio::test]
async fn token_names_a_caller_without_a_certificate() {
    for form in Form::ALL.into_iter().filter(|form| form.has_optional_certificates()) {
        let signer = Signer::new("a");
        let folder = Folder::new();
        std::fs::write(folder.path().join("jwks.json"), key_set(&[&signer])).unwrap();
        append(&folder.path(), &settings("jwks = \"jwks.json\""));
        let ada = "jwt:https://idp.example.org/#ada";
        let fixture = Fixture::start_in(folder, form, |config| {
            let identity = ada.parse().unwrap();
            config.bindings.push(Binding { identity, role: Role::RecordReader.into(), scope: Scope::All });
        })
        .await;
        let client = fixture.builder().bearer_token(signer.token("ada").into()).connect_lazy().unwrap();
        assert_eq!(client.who_am_i().await.unwrap().identity, ada, "{form:?}");
        // The header that a caller sends isn't compared with the token, because the proxy removes it, or the server does.
        let forged = forged();
        let bearer = format!("Bearer {}", signer.token("ada"));
        let headers = [(XFCC, &*forged), ("authorization", &bearer)];
        let nobody = fixture.builder().connect_lazy().unwrap();
        let message = v1::WhoAmIRequest::default().encode_to_vec();
        let who = raw::call_with_headers(&nobody, WHO_AM_I, &headers, &message).await.unwrap().unwrap();
        assert_eq!(v1::WhoAmIResponse::decode(&*who).unwrap().identity, ada, "{form:?}");
        let unnamed = raw::call(&nobody, WHO_AM_I, &message).await.unwrap_err();
        assert_eq!(unnamed.get_details_error_info().unwrap().reason, "IDENTITY_REQUIRED", "{form:?}");
    }
}

/// The files of a caller's certificate.
fn identity(fixture: &Fixture, name: &str) -> [PathBuf; 2] {
    fixture.mesh.svid(name, ExtendedKeyUsagePurpose::ClientAuth)
}

/// The proxy takes the certificate of a resumed session from the session.
#[tokio::test]
async fn caller_of_a_resumed_session_is_the_same() {
    for form in Form::ALL.into_iter().filter(|form| form.is_hop()) {
        let fixture = Fixture::start(form, |_| {}).await;
        let config = Arc::new(tls_trusting(&fixture.ca(), Some(identity(&fixture, "writer"))));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let address: SocketAddr = fixture.proxy.address().parse().unwrap();
            let connector = TlsConnector::from(Arc::clone(&config));
            let stream = TcpStream::connect(address).await.unwrap();
            let stream = connector.connect(ServerName::from(address.ip()), stream).await.unwrap();
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            let mut http = Http::over(stream).await;
            let answer = http.send(call(WHO_AM_I, framed(&v1::WhoAmIRequest::default()))).await.unwrap();
            let who = v1::WhoAmIResponse::decode(&answer.body[5..]).unwrap();
            assert_eq!(who.identity, "spiffe:example.org/writer", "{form:?}");
        }
        assert_eq!(kinds[1], HandshakeKind::Resumed, "{form:?}");
    }
}

#[tokio::test]
async fn deadline_and_errors_with_details_pass_through_every_proxy() {
    for form in Form::ALL {
        let fixture = Fixture::start(form, |_| {}).await;
        let address: SocketAddr = fixture.proxy.address().parse().unwrap();
        let config = tls_trusting(&fixture.ca(), Some(identity(&fixture, "admin")));
        let name = if form.is_hop() { ServerName::from(address.ip()) } else { "localhost".try_into().unwrap() };
        let stream = TcpStream::connect(address).await.unwrap();
        let mut http = Http::over(TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()).await;
        let mut answer = async |timeout: &str| {
            let request = v1::IsDataEncryptionActiveRequest { organization: DEFAULT.to_owned() };
            let mut request = call(IS_ACTIVE, framed(&request));
            request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
            http.send(request).await.unwrap()
        };
        // Only the server refuses it.
        let refused = (Code::InvalidArgument, "TIMEOUT_INVALID".to_owned());
        assert_eq!(answer("soon").await.refusal(), refused, "{form:?}");
        // The server ends the call, or Envoy before it.
        assert_eq!(answer("0S").await.status().code(), Code::DeadlineExceeded, "{form:?}");
    }
}

/// A message of an import with one mailbox.
pub(crate) fn import_of_one(parent: &str) -> Vec<u8> {
    let request = mail_v1::CreateMailboxRequest { mailbox: Some(mailbox("hunter2")), ..Default::default() };
    let parent = parent.to_owned();
    mail_v1::ImportMailboxesRequest { parent, requests: vec![request], ..Default::default() }.encode_to_vec()
}

#[tokio::test]
async fn stream_in_both_directions_stays_open_through_every_proxy() {
    for form in Form::ALL {
        let fixture = Fixture::start(form, |_| {}).await;
        let writer = fixture.caller("writer");
        let (messages, received) = mpsc::channel(1);
        messages.send(import_of_one(DEFAULT)).await.unwrap();
        let mut results = raw::open(writer.channel(), IMPORT, &[], ReceiverStream::new(received)).await.unwrap();
        let mut next = async || timeout(PATIENCE, results.message()).await.unwrap().unwrap();
        for _ in 0..3 {
            // The result of a message, before the next message is sent. Other calls come and go meanwhile.
            let result = mail_v1::ImportMailboxesResponse::decode(&*next().await.unwrap()).unwrap();
            assert!(matches!(result.results[0].result, Some(mail_v1::import_mailboxes_result::Result::Name(_))));
            for _ in 0..20 {
                writer.who_am_i().await.unwrap();
            }
            messages.send(import_of_one("")).await.unwrap();
        }
        drop(messages);
        assert!(next().await.is_some(), "{form:?}");
        assert_eq!(next().await, None, "{form:?}");
    }
}

/// The caller's own address in the connection to the proxy.
#[tokio::test]
async fn peer_behind_a_load_balancer_is_its_client() {
    for form in [Form::EnvoyPassthroughWithAddress, Form::HaproxyPassthroughWithAddress] {
        let fixture = Fixture::start(form, |_| {}).await;
        let address: SocketAddr = fixture.proxy.address().parse().unwrap();
        let server: SocketAddr = fixture.server.address().parse().unwrap();
        // From another address of this machine than the proxy's.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let stream = socket.connect(address).await.unwrap();
        let client = stream.local_addr().unwrap();
        let config = tls_with(fixture.server.folder(), Some(identity(&fixture, "admin")));
        let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream);
        let mut http = Http::over(stream.await.unwrap()).await;
        let message = v1::RetrieveDataEncryptionKeyRequest { organization: DEFAULT.to_owned() };
        let answer = http.send(call(RETRIEVE, framed(&message))).await.unwrap();
        assert_eq!(answer.trailers["grpc-status"], "0");
        let admin = fixture.caller("admin");
        let records = admin.list_audit_records(DEFAULT, "action = \"retrieve-key\"", 0, "").await.unwrap().records;
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].peer, client.to_string(), "{form:?}");
        // A connection from the proxy's address without a header is closed before TLS.
        let direct = fixture.server.client(Person::Reader);
        assert_eq!(direct.who_am_i().await.unwrap_err().call().map(|call| call.origin()), Some(Origin::NotConnected));
        let mut raw = TcpStream::connect(server).await.unwrap();
        raw.write_all(b"PROXY TCP4 198.51.100.7 203.0.113.1 4660 7443\r\n").await.unwrap();
        assert_eq!(raw.read(&mut [0]).await.unwrap_or(0), 0);
    }
}

/// The file is run with the processes and the user that it names: several programs of that user are one hop.
#[tokio::test]
async fn nginx_serves_with_several_processes_of_its_own_user() {
    let fixture = Fixture::start(Form::NginxHop, |_| {}).await;
    let processors = std::thread::available_parallelism().unwrap().get();
    // It accepts connections before all of them have started.
    let started = async {
        loop {
            let users = fixture.proxy.users_of_children();
            if users.len() >= processors && users.iter().all(|user| *user == nginx_uid()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, started).await.unwrap_or_else(|_| panic!("{:?}", fixture.proxy.users_of_children()));
    // Each connection to nginx goes to any of its processes.
    let calls = (0..CALLERS).map(|_| {
        let writer = fixture.caller("writer");
        tokio::spawn(async move { writer.who_am_i().await.unwrap().identity })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), "spiffe:example.org/writer");
    }
}

/// The settings of Sealward in the comments of a file, which begin with a table.
fn settings_in(text: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.starts_with("#   ["));
    let lines = lines.map_while(|line| line.strip_prefix("#   ").or((line == "#").then_some("")));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn settings_in_the_files_are_valid() {
    let mut files = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/mesh")).unwrap() {
        let path = entry.unwrap().path();
        let added = settings_in(&std::fs::read_to_string(&path).unwrap());
        if added.is_empty() {
            continue;
        }
        let folder = Folder::new();
        let ca = folder.development().ca();
        let added = added.replace("/etc/istio/root-cert.pem", ca.to_str().unwrap());
        let file = folder.development().config_file();
        let before = std::fs::read_to_string(&file).unwrap();
        let listen = "\n[listen]\n";
        assert!(before.contains(listen));
        let after = if added.starts_with(listen.trim_start()) {
            before.replace(listen, &format!("\n{added}"))
        } else {
            format!("{before}\n{added}")
        };
        std::fs::write(&file, after).unwrap();
        let config = folder.development().config().unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        assert!(config.hops.len() == 1 || !config.listen.proxy_protocol_from.is_empty(), "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 9);
}

/// Calls while the server closes its connections.
const CALLERS: usize = 16;
const CALLS: usize = 200;

#[tokio::test]
async fn connections_at_their_maximum_age_fail_no_call_through_a_hop() {
    for form in [Form::EnvoyHopOverTls, Form::EnvoyHopOverUnixSocket, Form::NginxHop, Form::HaproxyHop] {
        let fixture = Fixture::start(form, |config| config.limits.connection_age_max_seconds = 1).await;
        let calls = (0..CALLERS).map(|_| {
            let writer = fixture.caller("writer");
            tokio::spawn(async move {
                for number in 0..CALLS {
                    let who = writer.who_am_i().await;
                    assert!(who.is_ok(), "{form:?} call {number}: {who:?}");
                }
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
    }
}
