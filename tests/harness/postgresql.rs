//! A PostgreSQL server of the test process, with a database for each data folder.
//!
//! It is that of the store's tests: it has TLS, its own port and folder, and ends with this process.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sealward_server::config::{Storage, StorageOwner};
use tempfile::TempDir;

/// Starts the programs in a folder, and stops them when its input ends.
const SCRIPT: &str = include_str!("../../store/src/postgres/tests/cluster.sh");

/// The password of all roles, which the script contains.
const PASSWORD: &str = "of the tests";

/// The environment variable that selects the store of servers in the test process: `postgresql`, or files by default.
const STORE: &str = "SEALWARD_TEST_STORE";

static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);

struct Cluster {
    folder: PathBuf,
    port: u16,
    /// The CA of its certificate, in PEM.
    ca: String,
    /// Its input ends with this process, and the server with its input.
    _shell: Child,
}

/// The storage of a server on this folder, if this run of the tests uses PostgreSQL.
pub(crate) fn of_this_run(folder: &Path) -> Option<Storage> {
    std::env::var_os(STORE).is_some_and(|store| store == "postgresql").then(|| storage(folder))
}

/// The storage of a server on this folder: a database of its own, which later servers on the folder use too.
pub(crate) fn storage(folder: &Path) -> Storage {
    let known = folder.join("postgresql-database");
    let database = fs::read_to_string(&known).unwrap_or_else(|_| {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        CLUSTER.administer(&format!("CREATE DATABASE {name} OWNER sealward_owner TEMPLATE template0"));
        fs::write(&known, &name).unwrap();
        name
    });
    let password_file = folder.join("postgresql.password");
    fs::write(&password_file, PASSWORD).unwrap();
    fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600)).unwrap();
    let password_file = Some(password_file);
    let ca = folder.join("postgresql-ca.pem");
    fs::write(&ca, &CLUSTER.ca).unwrap();
    let address = format!("postgres://sealward@localhost:{}/{database}", CLUSTER.port).parse().unwrap();
    let owner = Some(StorageOwner { role: "sealward_owner".to_owned(), password_file: password_file.clone() });
    Storage { address, password_file, ca: Some(ca), identity: None, owner }
}

impl Cluster {
    fn start() -> Self {
        let programs = programs();
        let folder = TempDir::new().unwrap().keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        for (name, content, mode) in [("server.pem", server.pem(), 0o644), ("server.key", key.serialize_pem(), 0o600)] {
            fs::write(folder.join(name), content).unwrap();
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        // PostgreSQL refuses to run as root.
        let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
        let mut shell = Command::new(if is_root { "setpriv" } else { "sh" });
        if is_root {
            for name in ["", "server.pem", "server.key"] {
                let given = Command::new("chown").arg("postgres:postgres").arg(folder.join(name)).status().unwrap();
                assert!(given.success(), "install the Debian package postgresql");
            }
            shell.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "sh"]);
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = shell
            .args(["-c", SCRIPT, "sh"])
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
        Cluster { folder, port, ca: ca.pem(), _shell: child }
    }

    /// Executes a statement as a superuser. Blocks.
    fn administer(&self, text: &str) {
        let mut psql = Command::new(programs().join("psql"));
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-c", text, "-h"]).arg(&self.folder);
        let run = psql.args(["-p", &self.port.to_string()]).env("HOME", &self.folder).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
}

/// The folder of PostgreSQL's programs: the oldest supported version that is installed.
fn programs() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = installed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let version = versions.filter(|version| *version >= 15).min().expect("install the Debian package postgresql");
    Path::new("/usr/lib/postgresql").join(version.to_string()).join("bin")
}
