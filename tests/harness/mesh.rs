//! The trust domain example.org, with proxies before a server as in `deploy/mesh`.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use sealward_client::{Client, ClientBuilder};
use sealward_core::policy::{Binding, Role, Scope};
use sealward_server::config::{Assertable, Config, Hop, HopEntrance};
use tempfile::TempDir;

use super::{
    Folder, Server,
    reverse_proxy::{Form, ReverseProxy, nginx_uid, own_uid},
    tokens::ISSUER,
};

/// The hop's URI, in the certificate that it shows to callers.
pub(crate) const INGRESS: &str = "spiffe://example.org/ingress";

/// Callers, and their roles.
pub(crate) const CALLERS: [(&str, Role); 3] =
    [("admin", Role::SystemAdministrator), ("writer", Role::RecordWriter), ("connector", Role::SecretReader)];

/// Its CA, and a folder of certificates.
pub(crate) struct Mesh {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Mesh {
    pub(crate) fn new(folder: &Folder) -> Self {
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

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("callers.pem")
    }

    /// This CA, and the one of the development folder.
    pub(crate) fn both_cas(&self) -> PathBuf {
        self.folder.join("both.pem")
    }

    /// The files of an SVID: certificate and key.
    pub(crate) fn svid(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> [PathBuf; 2] {
        let mut params = CertificateParams::default();
        let id = format!("spiffe://example.org/{name}");
        // Clients connect to a proxy by its address.
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

    /// A folder with the files of a proxy.
    pub(crate) fn files(&self, folder: &Folder) -> TempDir {
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
    pub(crate) fn caller(&self, folder: &Folder, address: &str, name: &str, ca: PathBuf) -> Client {
        let [certificate, key] = self.svid(name, ExtendedKeyUsagePurpose::ClientAuth);
        folder.client_builder(address).ca_file(ca).identity_files(certificate, key).connect_lazy().unwrap()
    }

    /// Lets callers of the trust domain, and the hop of this form, call a server.
    pub(crate) fn admit(&self, config: &mut Config, hop: Option<Arc<Hop>>) {
        config.tls.client_ca = Some(self.both_cas());
        config.hops = hop.into_iter().collect();
        for (name, role) in CALLERS {
            let identity = format!("spiffe:example.org/{name}").parse().unwrap();
            config.bindings.push(Binding { identity, role: role.into(), scope: Scope::All });
        }
    }
}

/// The hop of this form, at this socket if it uses one.
pub(crate) fn hop(form: Form, socket: &Path) -> Option<Arc<Hop>> {
    let entrance = match form {
        Form::EnvoyHopOverTls | Form::EnvoyTwoServers | Form::HaproxyHop => {
            HopEntrance::Certificate("spiffe:example.org/ingress".parse().unwrap())
        }
        Form::EnvoyHopOverUnixSocket => HopEntrance::UnixSocket { path: socket.to_owned(), peer_uid: own_uid() },
        Form::NginxHop => HopEntrance::UnixSocket { path: socket.to_owned(), peer_uid: nginx_uid() },
        Form::EnvoyPassthrough
        | Form::EnvoyPassthroughWithAddress
        | Form::NginxPassthrough
        | Form::HaproxyPassthroughWithAddress => return None,
    };
    let (trust_domains, issuers) = (BTreeSet::from(["example.org".to_owned()]), BTreeSet::from([ISSUER.to_owned()]));
    Some(Arc::new(Hop {
        name: "ingress".into(),
        entrance,
        by: BTreeSet::from([INGRESS.to_owned()]),
        must_be_named: true,
        asserts: Assertable { trust_domains, issuers, ..Assertable::default() },
    }))
}

/// The Unix socket of the hop, in this folder.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join("ingress.sock")
}

/// A server behind a proxy.
pub(crate) struct Fixture {
    pub mesh: Mesh,
    pub server: Server,
    pub proxy: ReverseProxy,
    form: Form,
    /// The folder of the hop's socket, which the user of the proxy can enter.
    _sockets: TempDir,
}

impl Fixture {
    pub(crate) async fn start(form: Form, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(Folder::new(), form, change).await
    }

    pub(crate) async fn start_in(folder: Folder, form: Form, change: impl FnOnce(&mut Config)) -> Self {
        let mesh = Mesh::new(&folder);
        let sockets = TempDir::new().unwrap();
        fs::set_permissions(sockets.path(), Permissions::from_mode(0o755)).unwrap();
        let socket = socket(sockets.path());
        let hop = hop(form, &socket);
        let server = Server::start_in(folder, |config| {
            mesh.admit(config, hop);
            if form.sends_addresses() {
                config.listen.proxy_protocol_from = vec!["127.0.0.1/32".parse().unwrap()];
            }
            change(config);
        })
        .await;
        let address: SocketAddr = server.address().parse().unwrap();
        let proxy = ReverseProxy::in_mesh(form, mesh.files(server.folder()), &[address], &socket).await;
        Self { mesh, server, proxy, form, _sockets: sockets }
    }

    /// The CA of the certificate that a caller sees: passed through, that of the server.
    pub(crate) fn ca(&self) -> PathBuf {
        if self.form.is_hop() { self.mesh.ca() } else { self.server.folder().development().ca() }
    }

    /// A caller through the proxy.
    pub(crate) fn caller(&self, name: &str) -> Client {
        self.mesh.caller(self.server.folder(), &self.proxy.address(), name, self.ca())
    }

    /// A caller through the proxy, still without a certificate.
    pub(crate) fn builder(&self) -> ClientBuilder {
        self.server.folder().client_builder(&self.proxy.address()).ca_file(self.ca())
    }
}
