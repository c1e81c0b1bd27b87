//! Real proxies before a server, with the settings of the guide: Envoy, nginx and HAProxy as children of the test.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use sealward_server::development::Person;
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};

use super::{PATIENCE, Server, process::tools};

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

/// A form of Envoy in `deploy/mesh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Passthrough,
    PassthroughWithAddress,
    HopOverTls,
    HopOverUnixSocket,
}

impl Form {
    fn settings(self) -> &'static str {
        match self {
            Self::Passthrough => include_str!("../../deploy/mesh/envoy-passthrough.yaml"),
            Self::PassthroughWithAddress => {
                include_str!("../../deploy/mesh/envoy-passthrough-proxy-protocol.yaml")
            }
            Self::HopOverTls => include_str!("../../deploy/mesh/envoy-hop-tls.yaml"),
            Self::HopOverUnixSocket => include_str!("../../deploy/mesh/envoy-hop-unix-socket.yaml"),
        }
    }
}

/// The socket in the settings.
const SOCKET: &str = "/run/sealward/ingress.sock";

/// A running proxy. Ended with the test.
pub(crate) struct ReverseProxy {
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
        for name in ["proxy", "client"] {
            let read = |end| std::fs::read_to_string(folder.path().join(format!("{name}.{end}"))).unwrap();
            std::fs::write(folder.path().join(format!("{name}.both.pem")), read("pem") + &read("key")).unwrap();
        }
        let address = free_address();
        let (name, settings) = kind.settings();
        let settings = changed(kind, settings, folder.path(), address, server.address().parse().unwrap());
        Self::run(kind, name, settings, folder, address).await
    }

    /// Starts Envoy in a form of `deploy/mesh`, with the files of this folder, before servers at these addresses or on this Unix socket.
    pub(crate) async fn in_mesh(form: Form, folder: TempDir, servers: &[SocketAddr], socket: &Path) -> Self {
        let address = free_address();
        let endpoint =
            "        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 7443 } } }\n";
        let settings = form.settings();
        assert!(settings.contains(endpoint) != settings.contains(SOCKET), "{form:?}");
        let endpoints: String =
            servers.iter().map(|server| endpoint.replace("7443", &server.port().to_string())).collect();
        let settings = settings
            .replace(endpoint, &endpoints)
            .replace(SOCKET, socket.to_str().unwrap())
            .replace("port_value: 8443", &format!("port_value: {}", address.port()))
            .replace("/etc/proxy", folder.path().to_str().unwrap());
        Self::run(Kind::Envoy, "envoy.yaml", settings, folder, address).await
    }

    async fn run(kind: Kind, name: &str, settings: String, folder: TempDir, address: SocketAddr) -> Self {
        let file = folder.path().join(name);
        std::fs::write(&file, settings).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child =
            command(kind, &file).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut proxy = Self { child, folder, address };
        let accepting = async {
            while TcpStream::connect(address).await.is_err() {
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

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for ReverseProxy {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The settings of the guide, with this test's files and addresses.
fn changed(kind: Kind, settings: &str, folder: &Path, address: SocketAddr, server: SocketAddr) -> String {
    let mut changed = settings.replace("/etc/proxy", folder.to_str().unwrap());
    let ports: &[(&str, String)] = match kind {
        Kind::Envoy => &[
            ("port_value: 8443", format!("port_value: {}", address.port())),
            ("port_value: 7443", format!("port_value: {}", server.port())),
        ],
        Kind::Nginx => &[
            ("127.0.0.1:8443", address.to_string()),
            ("127.0.0.1:7443", server.to_string()),
            // Not in folders of the system.
            ("http {\n", nginx_folders(folder)),
        ],
        Kind::Haproxy => &[("127.0.0.1:8443", address.to_string()), ("127.0.0.1:7443", server.to_string())],
    };
    for (from, to) in ports {
        assert!(changed.contains(from), "{from}");
        changed = changed.replace(from, to);
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
    let (program, arguments): (_, Vec<String>) = match kind {
        Kind::Envoy => (
            "envoy",
            ["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error", "-c"].map(str::to_owned).into(),
        ),
        Kind::Nginx => {
            let globals = format!("daemon off; master_process off; pid {folder}/pid; error_log stderr;");
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

/// An address that is free now.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
