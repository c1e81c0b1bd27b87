//! Real proxies before a server, with the settings of the guide or of `deploy/mesh`: Envoy, nginx and HAProxy as children of the test.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use http::Request;
use sealward_server::development::Person;
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};

use super::{PATIENCE, Server, http::Http, process::tools};

/// A program that passes requests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Envoy,
    Nginx,
    Haproxy,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Envoy, Self::Nginx, Self::Haproxy];

    fn settings(self) -> (&'static str, &'static str) {
        match self {
            Self::Envoy => ("envoy.yaml", include_str!("../../docs/proxies/envoy.yaml")),
            Self::Nginx => ("nginx.conf", include_str!("../../docs/proxies/nginx.conf")),
            Self::Haproxy => ("haproxy.cfg", include_str!("../../docs/proxies/haproxy.cfg")),
        }
    }
}

/// A proxy with a configuration in `deploy/mesh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    EnvoyPassthrough,
    EnvoyPassthroughWithAddress,
    EnvoyHopOverTls,
    EnvoyHopOverUnixSocket,
    /// As [`EnvoyHopOverTls`](Self::EnvoyHopOverTls), with reads to both servers and all other calls to the first.
    EnvoyTwoServers,
    NginxPassthrough,
    NginxHop,
    HaproxyPassthroughWithAddress,
    HaproxyHop,
}

impl Form {
    /// All forms before one server.
    pub(crate) const ALL: [Self; 8] = [
        Self::EnvoyPassthrough,
        Self::EnvoyPassthroughWithAddress,
        Self::EnvoyHopOverTls,
        Self::EnvoyHopOverUnixSocket,
        Self::NginxPassthrough,
        Self::NginxHop,
        Self::HaproxyPassthroughWithAddress,
        Self::HaproxyHop,
    ];

    fn kind(self) -> Kind {
        match self {
            Self::EnvoyPassthrough
            | Self::EnvoyPassthroughWithAddress
            | Self::EnvoyHopOverTls
            | Self::EnvoyHopOverUnixSocket
            | Self::EnvoyTwoServers => Kind::Envoy,
            Self::NginxPassthrough | Self::NginxHop => Kind::Nginx,
            Self::HaproxyPassthroughWithAddress | Self::HaproxyHop => Kind::Haproxy,
        }
    }

    fn settings(self) -> &'static str {
        match self {
            Self::EnvoyPassthrough => include_str!("../../deploy/mesh/envoy-passthrough.yaml"),
            Self::EnvoyPassthroughWithAddress => {
                include_str!("../../deploy/mesh/envoy-passthrough-proxy-protocol.yaml")
            }
            Self::EnvoyHopOverTls => include_str!("../../deploy/mesh/envoy-hop-tls.yaml"),
            Self::EnvoyHopOverUnixSocket => include_str!("../../deploy/mesh/envoy-hop-unix-socket.yaml"),
            Self::EnvoyTwoServers => include_str!("../../deploy/mesh/envoy-two-servers.yaml"),
            Self::NginxPassthrough => include_str!("../../deploy/mesh/nginx-passthrough.conf"),
            Self::NginxHop => include_str!("../../deploy/mesh/nginx-hop.conf"),
            Self::HaproxyPassthroughWithAddress => include_str!("../../deploy/mesh/haproxy-passthrough.cfg"),
            Self::HaproxyHop => include_str!("../../deploy/mesh/haproxy-hop.cfg"),
        }
    }

    /// Whether it names each connection's address in a header of the PROXY protocol.
    pub(crate) fn sends_addresses(self) -> bool {
        matches!(self, Self::EnvoyPassthroughWithAddress | Self::HaproxyPassthroughWithAddress)
    }

    /// Whether it ends the TLS of callers.
    pub(crate) fn is_hop(self) -> bool {
        !self.sends_addresses() && !matches!(self, Self::EnvoyPassthrough | Self::NginxPassthrough)
    }

    /// Whether it accepts callers without a certificate.
    pub(crate) fn has_optional_certificates(self) -> bool {
        !matches!(self, Self::EnvoyHopOverTls | Self::EnvoyHopOverUnixSocket | Self::EnvoyTwoServers)
    }
}

/// The socket in the settings.
const SOCKET: &str = "/run/sealward/ingress.sock";

/// A running proxy. Ended with the test.
pub(crate) struct ReverseProxy {
    kind: Kind,
    child: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl ReverseProxy {
    /// Starts one before the TLS port of this server, with the certificate of this person, and waits until it accepts connections. Its own
    /// certificate is the server's, so the clients of the server's folder trust it.
    pub(crate) async fn start(kind: Kind, server: &Server, person: Person) -> Self {
        let folder = TempDir::new().unwrap();
        let development = server.folder().development();
        let tls = server.folder().path().join("tls");
        for (name, from) in [
            ("proxy.pem", tls.join("server.pem")),
            ("proxy.key", tls.join("server.key")),
            ("client.pem", development.certificate(person)),
            ("client.key", development.key(person)),
            ("ca.pem", development.ca()),
        ] {
            std::fs::copy(from, folder.path().join(name)).unwrap();
        }
        let (name, settings) = kind.settings();
        let address = free_address();
        let settings = changed(kind, settings, folder.path(), address, &[server.address().parse().unwrap()]);
        Self::run(kind, name, settings, folder, address).await
    }

    /// Starts one in a form of `deploy/mesh`, with the files of this folder, before servers at these addresses or on this Unix socket.
    pub(crate) async fn in_mesh(form: Form, folder: TempDir, servers: &[SocketAddr], socket: &Path) -> Self {
        let (kind, address) = (form.kind(), free_address());
        let mut settings =
            changed(kind, form.settings(), folder.path(), address, servers).replace(SOCKET, socket.to_str().unwrap());
        if form == Form::EnvoyTwoServers {
            // For what Envoy counts.
            settings.push_str("admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }\n");
        }
        Self::run(kind, kind.settings().0, settings, folder, address).await
    }

    async fn run(kind: Kind, name: &str, settings: String, folder: TempDir, address: SocketAddr) -> Self {
        let file = folder.path().join(name);
        std::fs::write(&file, settings).unwrap();
        // The processes of nginx that serve run as another user, as in a system.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // HAProxy has a certificate and its key in one file.
        for name in ["proxy", "client"] {
            let read = |end| std::fs::read_to_string(folder.path().join(format!("{name}.{end}"))).unwrap();
            std::fs::write(folder.path().join(format!("{name}.both.pem")), read("pem") + &read("key")).unwrap();
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child =
            command(kind, &file).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut proxy = Self { kind, child, folder, address };
        let accepting = async {
            while !accepts(address).await {
                assert!(proxy.child.try_wait().unwrap().is_none(), "{kind:?} ended: {}", proxy.log());
                tokio::task::yield_now().await;
            }
        };
        assert!(timeout(PATIENCE, accepting).await.is_ok(), "{kind:?} doesn't accept connections");
        proxy
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// What Envoy with two servers counts: the sum of the counters and gauges whose names end like this.
    pub(crate) async fn counted(&self, end: &str) -> u64 {
        let address = std::fs::read_to_string(self.folder.path().join("admin")).unwrap();
        let mut admin = Http::without_tls(address.trim()).await;
        let answer = admin.send(Request::get("http://envoy/stats").body(Vec::new()).unwrap()).await.unwrap();
        let answer = std::str::from_utf8(&answer.body).unwrap();
        let values = answer.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| name.ends_with(end));
        let values: Vec<u64> = values.map(|(_, value)| value.trim().parse().unwrap()).collect();
        assert!(!values.is_empty(), "{end}: {answer}");
        values.iter().sum()
    }

    /// The user of each of its child processes.
    pub(crate) fn users_of_children(&self) -> Vec<u32> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        children.split_whitespace().map(|child| fs::metadata(format!("/proc/{child}")).unwrap().uid()).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for ReverseProxy {
    fn drop(&mut self) {
        // The first process of nginx ends the others. Without it, they would stay.
        let is_told = self.kind == Kind::Nginx && terminated(&self.child);
        if !is_told {
            let _gone = self.child.kill();
        }
        let _status = self.child.wait();
    }
}

fn terminated(child: &Child) -> bool {
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().is_ok_and(|status| status.success())
}

/// The user of this process.
pub(crate) fn own_uid() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

/// The user of nginx's workers with the settings of `deploy/mesh/nginx-hop.conf`. Only root can run them as another user than itself.
pub(crate) fn nginx_uid() -> u32 {
    if own_uid() != 0 {
        return own_uid();
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = users.lines().find(|line| line.starts_with("www-data:")).expect("Debian has the user www-data");
    user.split(':').nth(2).unwrap().parse().unwrap()
}

/// The settings with this test's files and addresses.
fn changed(kind: Kind, settings: &str, folder: &Path, address: SocketAddr, servers: &[SocketAddr]) -> String {
    let mut changed = settings.replace("/etc/proxy", folder.to_str().unwrap());
    let port = |address: &SocketAddr| match kind {
        Kind::Envoy => format!("port_value: {}", address.port()),
        Kind::Nginx | Kind::Haproxy => address.to_string(),
    };
    let listens: SocketAddr = (Ipv4Addr::LOCALHOST, 8443).into();
    assert!(changed.contains(&port(&listens)));
    changed = changed.replace(&port(&listens), &port(&address));
    for (server, number) in servers.iter().zip(7443..) {
        let written: SocketAddr = (Ipv4Addr::LOCALHOST, number).into();
        assert!(changed.contains(&port(&written)) || changed.contains(SOCKET), "{written}");
        changed = changed.replace(&port(&written), &port(server));
    }
    if kind == Kind::Haproxy && own_uid() != 0 {
        // Only root can run it as another user.
        changed = changed.replace("    user haproxy\n    group haproxy\n", "");
    }
    if kind == Kind::Nginx {
        // Not in folders of the system.
        changed = changed.replace("http {\n", &nginx_folders(folder));
    }
    changed
}

fn nginx_folders(folder: &Path) -> String {
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let lines = kinds.map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()));
    format!("http {{\naccess_log off;\n{}", lines.concat())
}

fn command(kind: Kind, file: &Path) -> Command {
    let folder = file.parent().unwrap().display();
    let admin = format!("{folder}/admin");
    let (program, arguments): (_, Vec<String>) = match kind {
        Kind::Envoy => (
            "envoy",
            [
                "--concurrency",
                "1",
                "--use-dynamic-base-id",
                "--log-level",
                "error",
                "--admin-address-path",
                &admin,
                "-c",
            ]
            .map(str::to_owned)
            .into(),
        ),
        Kind::Nginx => {
            let globals = format!("daemon off; pid {folder}/pid; error_log stderr;");
            ("nginx", vec!["-p".to_owned(), folder.to_string(), "-g".to_owned(), globals, "-c".to_owned()])
        }
        Kind::Haproxy => ("haproxy", vec!["-db".to_owned(), "-f".to_owned()]),
    };
    let mut command = Command::new(found(program));
    command.args(arguments).arg(file);
    command
}

/// A program from the PATH, from the folders that only root's PATH has, or from the folder of `cargo xtask test`.
fn found(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), tools()]);
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{program} is missing: run the tests with `cargo xtask test`, which installs it"))
}

/// Whether a program accepts connections at this address. While none does, the system can choose the same port for this end, and then connects
/// it to itself.
async fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok_and(|stream| stream.local_addr().is_ok_and(|local| local != address))
}

/// An address that is free now, and that no other test of this process got: two proxies could share a port without an error.
fn free_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    loop {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        if GIVEN.lock().unwrap().insert(address) {
            return address;
        }
    }
}
