//! A real Envoy before the server, with the configurations in `deploy/mesh`: TLS passed through, and ended at Envoy as a hop.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use prost::Message as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::ServerName;
use sealward_client::{Client, ErrorReason, ListOptions, Origin, v1};
use sealward_core::policy::{Binding, Role, Scope};
use sealward_server::{
    config::{Assertable, Config, Hop, HopEntrance},
    development::Person,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::{Notify, watch},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic_types::StatusExt as _;

use crate::harness::{
    DEFAULT, Folder, PATIENCE, Server,
    http::{Http, call, framed, tls_with},
    mailbox, raw, reason, reveal,
    reverse_proxy::{Form, ReverseProxy},
    settled,
};

const RETRIEVE: &str = "/sealward.v1.DataEncryptionService/RetrieveDataEncryptionKey";
const XFCC: &str = "x-forwarded-client-cert";
const INGRESS: &str = "spiffe://example.org/ingress";

/// The trust domain example.org: its CA, and a folder of certificates.
struct Mesh {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Mesh {
    fn new(folder: &Folder) -> Self {
        let development_ca = fs::read_to_string(folder.development().ca()).unwrap();
        let folder = folder.path().join("mesh");
        fs::create_dir(&folder).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "example.org");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap().pem();
        fs::write(folder.join("callers.pem"), &ca).unwrap();
        // With the persons of the development CA.
        fs::write(folder.join("both.pem"), development_ca + &ca).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    fn ca(&self) -> PathBuf {
        self.folder.join("callers.pem")
    }

    /// The files of an SVID: certificate and key.
    fn svid(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> [PathBuf; 2] {
        let mut params = CertificateParams::default();
        let id = format!("spiffe://example.org/{name}");
        // Clients connect to Envoy by its address.
        params.subject_alt_names =
            vec![SanType::URI(id.try_into().unwrap()), SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let [certificate, key_file] = ["pem", "key"].map(|end| self.folder.join(format!("{name}.{end}")));
        fs::write(&certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        [certificate, key_file]
    }

    /// A folder with the files of Envoy.
    fn files(&self, folder: &Folder) -> TempDir {
        let files = TempDir::new().unwrap();
        let [proxy, proxy_key] = self.svid("ingress", ExtendedKeyUsagePurpose::ServerAuth);
        for (name, from) in [("proxy.pem", proxy), ("proxy.key", proxy_key)] {
            fs::rename(from, files.path().join(name)).unwrap();
        }
        let [client, client_key] = self.svid("ingress", ExtendedKeyUsagePurpose::ClientAuth);
        for (name, from) in [
            ("client.pem", client),
            ("client.key", client_key),
            ("callers.pem", self.ca()),
            ("ca.pem", folder.development().ca()),
        ] {
            fs::copy(from, files.path().join(name)).unwrap();
        }
        files
    }

    /// A caller with an SVID, at this address. The address has a certificate of this CA.
    fn caller(&self, folder: &Folder, address: &str, name: &str, ca: PathBuf) -> Client {
        let [certificate, key] = self.svid(name, ExtendedKeyUsagePurpose::ClientAuth);
        folder.client_builder(address).ca_file(ca).identity_files(certificate, key).connect_lazy().unwrap()
    }
}

/// A server behind Envoy.
struct Fixture {
    mesh: Mesh,
    server: Server,
    envoy: ReverseProxy,
    form: Form,
}

fn socket(folder: &Folder) -> PathBuf {
    folder.path().join("ingress.sock")
}

fn own_uid() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid()
}

/// The hop of this form.
fn hop(form: Form, folder: &Folder) -> Option<Arc<Hop>> {
    let entrance = match form {
        Form::Passthrough | Form::PassthroughWithAddress => return None,
        Form::HopOverTls => HopEntrance::Certificate("spiffe:example.org/ingress".parse().unwrap()),
        Form::HopOverUnixSocket => HopEntrance::UnixSocket { path: socket(folder), peer_uid: own_uid() },
    };
    let trust_domains = BTreeSet::from(["example.org".to_owned()]);
    Some(Arc::new(Hop {
        name: "ingress".into(),
        entrance,
        by: BTreeSet::from([INGRESS.to_owned()]),
        must_be_named: true,
        asserts: Assertable { trust_domains, ..Assertable::default() },
    }))
}

/// Lets callers of the trust domain, and the hop of this form, call a server.
fn admit(config: &mut Config, mesh: &Mesh, hop: Option<Arc<Hop>>) {
    config.tls.client_ca = Some(mesh.folder.join("both.pem"));
    config.hops = hop.into_iter().collect();
    for (name, role) in
        [("admin", Role::SystemAdministrator), ("writer", Role::RecordWriter), ("connector", Role::SecretReader)]
    {
        let identity = format!("spiffe:example.org/{name}").parse().unwrap();
        config.bindings.push(Binding { identity, role: role.into(), scope: Scope::All });
    }
}

impl Fixture {
    async fn start(form: Form, change: impl FnOnce(&mut Config)) -> Self {
        let folder = Folder::new();
        let mesh = Mesh::new(&folder);
        let (hop, socket) = (hop(form, &folder), socket(&folder));
        let server = Server::start_in(folder, |config| {
            admit(config, &mesh, hop);
            change(config);
        })
        .await;
        let address: SocketAddr = server.address().parse().unwrap();
        let envoy = ReverseProxy::in_mesh(form, mesh.files(server.folder()), &[address], &socket).await;
        Self { mesh, server, envoy, form }
    }

    /// A caller through Envoy.
    fn caller(&self, name: &str) -> Client {
        // Passed through, the caller sees the certificate of the server.
        let ca = match self.form {
            Form::Passthrough | Form::PassthroughWithAddress => self.server.folder().development().ca(),
            Form::HopOverTls | Form::HopOverUnixSocket => self.mesh.ca(),
        };
        self.mesh.caller(self.server.folder(), &self.envoy.address(), name, ca)
    }
}

#[tokio::test]
async fn caller_through_envoy_is_the_caller_in_every_form() {
    for form in [Form::Passthrough, Form::HopOverTls, Form::HopOverUnixSocket] {
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
        let ends_at = match form {
            Form::Passthrough | Form::PassthroughWithAddress => v1::CallerTls::Server,
            Form::HopOverTls | Form::HopOverUnixSocket => v1::CallerTls::Hop,
        };
        assert_eq!(state.caller_tls(), ends_at);
        let filter = "action = \"reveal-attributes\" AND outcome = done";
        let records = admin.list_audit_records(DEFAULT, filter, 0, "").await.unwrap().records;
        let hop = if form == Form::Passthrough { "" } else { "ingress" };
        assert_eq!(records.len(), 1);
        assert_eq!((&*records[0].identity, &*records[0].hop), ("spiffe:example.org/connector", hop), "{form:?}");
    }
}

#[tokio::test]
async fn forged_header_gives_no_caller_another_identity_in_any_form() {
    for form in [Form::Passthrough, Form::HopOverTls, Form::HopOverUnixSocket] {
        let fixture = Fixture::start(form, |_| {}).await;
        let writer = fixture.caller("writer");
        let forged = format!("By={INGRESS};Hash={};URI=spiffe://example.org/admin", "0".repeat(64));
        let message = v1::RetrieveDataEncryptionKeyRequest { organization: DEFAULT.to_owned() }.encode_to_vec();
        let headers = [(XFCC, &*forged), ("x-forwarded-proto", "https")];
        let refused = raw::call_with_headers(&writer, RETRIEVE, &headers, &message).await.unwrap_err();
        let info = refused.get_details_error_info().unwrap();
        assert_eq!(info.reason, "PRIVILEGE_MISSING", "{form:?} {refused:?}");
        assert_eq!(info.metadata["identity"], "spiffe:example.org/writer");
        // Nor past Envoy.
        let (folder, address) = (fixture.server.folder(), fixture.server.address());
        let nobody = folder.client_builder(address).connect_lazy().unwrap();
        let refused = raw::call_with_headers(&nobody, RETRIEVE, &headers, &message).await.unwrap_err();
        assert_eq!(refused.get_details_error_info().unwrap().reason, "IDENTITY_REQUIRED");
        let reader = fixture.server.client(Person::Reader);
        let refused = raw::call_with_headers(&reader, RETRIEVE, &headers, &message).await.unwrap_err();
        assert_eq!(refused.get_details_error_info().unwrap().metadata["identity"], "cn:reader");
        // The key of the hop alone is no caller.
        if form == Form::HopOverTls {
            let hop = fixture.mesh.caller(folder, address, "ingress", folder.development().ca());
            let headers = [("x-forwarded-proto", "https")];
            let refused = raw::call_with_headers(&hop, RETRIEVE, &headers, &message).await.unwrap_err();
            assert_eq!(refused.get_details_error_info().unwrap().reason, "IDENTITY_REQUIRED");
        }
    }
}

/// The caller's own address in the connection to Envoy.
#[tokio::test]
async fn peer_behind_a_load_balancer_is_its_client() {
    let from = |config: &mut Config| config.listen.proxy_protocol_from = vec!["127.0.0.1/32".parse().unwrap()];
    let fixture = Fixture::start(Form::PassthroughWithAddress, from).await;
    let address: SocketAddr = fixture.envoy.address().parse().unwrap();
    let server: SocketAddr = fixture.server.address().parse().unwrap();
    let [certificate, key] = fixture.mesh.svid("admin", ExtendedKeyUsagePurpose::ClientAuth);
    // From another address of this machine than Envoy's.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = socket.connect(address).await.unwrap();
    let client = stream.local_addr().unwrap();
    let config = tls_with(fixture.server.folder(), Some([certificate, key]));
    let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream);
    let mut http = Http::over(stream.await.unwrap()).await;
    let message = v1::RetrieveDataEncryptionKeyRequest { organization: DEFAULT.to_owned() };
    let answer = http.send(call(RETRIEVE, framed(&message))).await.unwrap();
    assert_eq!(answer.trailers["grpc-status"], "0");
    let admin = fixture.caller("admin");
    let records = admin.list_audit_records(DEFAULT, "action = \"retrieve-key\"", 0, "").await.unwrap().records;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].peer, client.to_string());
    // A connection from Envoy's address without a header is closed before TLS.
    let direct = fixture.server.client(Person::Reader);
    assert_eq!(direct.who_am_i().await.unwrap_err().call().map(|call| call.origin()), Some(Origin::NotConnected));
    let mut raw = TcpStream::connect(server).await.unwrap();
    raw.write_all(b"PROXY TCP4 198.51.100.7 203.0.113.1 4660 7443\r\n").await.unwrap();
    assert_eq!(raw.read(&mut [0]).await.unwrap_or(0), 0);
}

/// Calls while the server closes its connections.
const CALLERS: usize = 16;
const CALLS: usize = 200;

#[tokio::test]
async fn connections_at_their_maximum_age_fail_no_call_through_a_hop() {
    for form in [Form::HopOverTls, Form::HopOverUnixSocket] {
        let fixture = Fixture::start(form, |config| config.limits.connection_age_max_seconds = 1).await;
        let calls = (0..CALLERS).map(|_| {
            let writer = fixture.caller("writer");
            tokio::spawn(async move {
                for number in 0..CALLS {
                    let who = writer.who_am_i().await;
                    assert!(who.is_ok(), "call {number}: {who:?}");
                }
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
    }
}

/// Whether a server in this process that has stopped still closes its databases: then there are logs beside them.
fn is_being_closed(folder: &Path) -> bool {
    let entries = [folder.to_owned(), folder.join("organizations")].map(|folder| fs::read_dir(folder).unwrap());
    let mut names = entries.into_iter().flatten().map(|entry| entry.unwrap().file_name());
    names.any(|name| name.to_string_lossy().ends_with("-wal"))
}

#[tokio::test]
async fn server_that_stops_fails_no_call_while_another_one_serves() {
    let folder = Folder::new();
    let mesh = Mesh::new(&folder);
    let form = Form::HopOverTls;
    let hop = hop(form, &folder);
    let first = Server::start_in(folder, |config| admit(config, &mesh, hop.clone())).await;
    let writer = first.client(Person::Writer);
    writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    // Reads only: the two have separate databases.
    let folder = first.stop().await;
    while is_being_closed(&folder.path()) {
        tokio::task::yield_now().await;
    }
    let copies = TempDir::new().unwrap();
    let copy = copies.path().join("dev");
    let copied = std::process::Command::new("cp").arg("-a").arg(folder.path()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let first = Server::start_in(folder, |config| admit(config, &mesh, hop.clone())).await;
    let second = Server::start_in(Folder::at(&copy), |config| admit(config, &mesh, hop)).await;
    let servers = [&first, &second].map(|server| server.address().parse().unwrap());
    let envoy = ReverseProxy::in_mesh(form, mesh.files(first.folder()), &servers, &socket(first.folder())).await;

    let (done, counted) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (enough, is_enough) = watch::channel(false);
    let calls: Vec<_> = (0..CALLERS)
        .map(|_| {
            let writer = mesh.caller(second.folder(), &envoy.address(), "writer", mesh.ca());
            let (done, counted, is_enough) = (Arc::clone(&done), Arc::clone(&counted), is_enough.clone());
            tokio::spawn(async move {
                while !*is_enough.borrow() {
                    let listed = writer.mailboxes().list(DEFAULT, ListOptions::default()).await;
                    assert_eq!(listed.unwrap().records.len(), 1);
                    done.fetch_add(1, Ordering::SeqCst);
                    counted.notify_one();
                }
            })
        })
        .collect();
    let until = async |number| {
        while done.load(Ordering::SeqCst) < number {
            counted.notified().await;
        }
    };
    timeout(PATIENCE, until(CALLERS * 20)).await.unwrap();
    first.stop().await;
    let at_stop = done.load(Ordering::SeqCst);
    timeout(PATIENCE, until(at_stop + CALLERS * 20)).await.unwrap();
    enough.send_replace(true);
    for call in calls {
        call.await.unwrap();
    }
}
