//! A PostgreSQL server of the test process: with TLS, on its own port and socket, in a folder of its own.
//!
//! It ends with the process, however that ends: a shell waits for the end of its input, then stops the server and removes
//! the folder.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, pem::PemObject},
};
use tempfile::TempDir;

use super::super::PostgresLogin;

/// The server.
pub(super) struct Cluster {
    folder: PathBuf,
    port: u16,
    ca: String,
    /// Its input ends with this process, and the server with its input.
    _shell: Child,
}

pub(super) static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);

const PASSWORD: &str = "of the tests";

impl Cluster {
    fn start() -> Self {
        let programs = programs();
        let folder = TempDir::new().unwrap().keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let (ca, certificate, key) = certificates();
        for (name, content) in [("server.pem", &certificate), ("server.key", &key)] {
            fs::write(folder.join(name), content).unwrap();
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        // PostgreSQL refuses to run as root.
        let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        if is_root {
            let given = Command::new("chown").args(["-R", "postgres:postgres"]).arg(&folder).status().unwrap();
            assert!(given.success(), "install the Debian package postgresql");
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = include_str!("cluster.sh");
        let mut shell = if is_root {
            let mut shell = Command::new("setpriv");
            shell.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "sh"]);
            shell
        } else {
            Command::new("sh")
        };
        let mut child = shell
            .args(["-c", script, "sh"])
            .arg(&programs)
            .arg(&folder)
            .arg(port.to_string())
            .env("HOME", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert_eq!(line, "ready\n", "PostgreSQL doesn't start: {}", log());
        Cluster { folder, port, ca, _shell: child }
    }

    /// The folder of the Unix socket.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// A login over TLS.
    pub(super) fn login(&self, user: &str, host: &str, database: &str) -> PostgresLogin {
        let address = format!("postgres://{user}@{host}:{}/{database}", self.port).parse().unwrap();
        PostgresLogin { address, password: Some(PASSWORD.into()), tls: trusting(&self.ca) }
    }

    /// A login over a Unix socket in this folder.
    pub(super) fn local_login(&self, user: &str, folder: &Path, database: &str) -> PostgresLogin {
        let folder = folder.to_str().unwrap().replace('/', "%2F");
        let address = format!("postgres://{user}@{folder}:{}/{database}", self.port).parse().unwrap();
        PostgresLogin { address, password: None, tls: trusting(&self.ca) }
    }

    /// Executes statements as a superuser. Blocks.
    pub(super) fn administer(&self, database: &str, text: &str) -> String {
        let run = Command::new(programs().join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", text])
            .arg("-h")
            .arg(&self.folder)
            .args(["-p", &self.port.to_string()])
            .env("HOME", &self.folder)
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap().trim().to_owned()
    }
}

/// A configuration that trusts only this CA.
pub(super) fn trusting(ca: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    Arc::new(config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth())
}

/// A CA, and the certificate and key of a server named localhost.
pub(super) fn certificates() -> (String, String, String) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = server.signed_by(&key, &ca).unwrap();
    (ca.pem(), certificate.pem(), key.serialize_pem())
}

/// The folder of PostgreSQL's programs: the oldest supported version that is installed.
fn programs() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<u32> = installed
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|version| *version >= 15)
        .collect();
    versions.sort_unstable();
    let version = versions.first().expect("install the Debian package postgresql");
    PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"))
}

/// An empty database.
pub(super) struct Database(String);

impl Database {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        CLUSTER.administer("postgres", &format!("CREATE DATABASE {name} OWNER sealward_owner TEMPLATE template0"));
        Database(name)
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// The login of the server's role.
    pub(super) fn login(&self) -> PostgresLogin {
        CLUSTER.login("sealward", "localhost", &self.0)
    }

    /// The login of the role that owns the tables.
    pub(super) fn owner(&self) -> PostgresLogin {
        CLUSTER.login("sealward_owner", "localhost", &self.0)
    }

    /// Executes statements as a superuser. Blocks.
    pub(super) fn administer(&self, text: &str) -> String {
        CLUSTER.administer(&self.0, text)
    }
}
