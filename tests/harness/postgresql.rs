//! A PostgreSQL server of the test process, with a database for each data folder.
//!
//! It is that of the store's tests: it has TLS, its own port and folder, and ends with this process.
//!
//! With the environment variable `SEALWARD_TEST_STORE=postgresql`, each new data folder has a database, so that all tests run over PostgreSQL.
//! A test that only files can pass begins with [`sqlite_only`], which reports that it was skipped.

use std::{
    fs,
    io::{BufRead, BufReader, Write as _},
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

/// Starts the programs in a folder, and stops them when its input ends.
const SCRIPT: &str = include_str!("../../store/src/postgres/tests/cluster.sh");

/// The password of all roles, which the script contains.
pub(crate) const PASSWORD: &str = "of the tests";

/// The environment variable that selects the store of the tests: `postgresql`, or files by default.
const STORE: &str = "SEALWARD_TEST_STORE";

/// The file of a data folder with the name of its database.
const DATABASE: &str = "postgresql-database";

/// The file of a data folder in which the server keeps the id of the deployment.
const DEPLOYMENT: &str = "postgresql-deployment";

/// The files of a data folder with the settings of its database.
const PASSWORD_FILE: &str = "postgresql.password";
const CA_FILE: &str = "postgresql-ca.pem";

static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);

struct Cluster {
    folder: PathBuf,
    port: u16,
    /// The CA of its certificate, in PEM.
    ca: String,
    /// Its input ends with this process, and the server with its input.
    _shell: Child,
}

/// Whether new data folders have a database.
pub(crate) fn is_selected() -> bool {
    std::env::var_os(STORE).is_some_and(|store| store == "postgresql")
}

/// Ends a test that only files can pass, if this run of the tests uses PostgreSQL. The reason says what about files it needs.
macro_rules! sqlite_only {
    ($reason:literal) => {
        if $crate::harness::postgresql::skips($reason) {
            return;
        }
    };
}

/// Reports that the test is skipped, if it is: to stderr, which the test runner doesn't capture.
pub(crate) fn skips(reason: &str) -> bool {
    static SKIPPED: AtomicUsize = AtomicUsize::new(0);
    if is_selected() {
        let number = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("a test");
        let line = format!("skipped over PostgreSQL, number {number}: {name}: {reason}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    is_selected()
}

/// Creates a database, and writes it to the configuration of a data folder, unless that names one. Later servers on the folder use it.
pub(crate) fn configure(folder: &Path, file: &Path) {
    let configuration = fs::read_to_string(file).unwrap();
    if configuration.contains("\nurl = \"postgres://") {
        return;
    }
    let name = create_database();
    fs::write(folder.join(DATABASE), &name).unwrap();
    fs::write(folder.join(PASSWORD_FILE), PASSWORD).unwrap();
    fs::set_permissions(folder.join(PASSWORD_FILE), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.join(CA_FILE), &CLUSTER.ca).unwrap();
    let section = format!(
        "\n[storage]\nurl = \"postgres://sealward@{}/{name}\"\npassword_file = \"{PASSWORD_FILE}\"\nca = \"{CA_FILE}\"\n\
         owner = \"sealward_owner\"\nowner_password_file = \"{PASSWORD_FILE}\"\n",
        address()
    );
    assert!(configuration.contains("\n[storage]\n"));
    fs::write(file, configuration.replacen("\n[storage]\n", &section, 1)).unwrap();
}

/// Creates a database without tables, and returns its name. Blocks.
pub(crate) fn create_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    administer(&format!("CREATE DATABASE {name} OWNER sealward_owner TEMPLATE template0"));
    name
}

/// The CA of the PostgreSQL server's certificate, in PEM.
pub(crate) fn ca() -> &'static str {
    &CLUSTER.ca
}

/// `HOST:PORT` of the PostgreSQL server.
pub(crate) fn address() -> String {
    format!("localhost:{}", CLUSTER.port)
}

/// The database of a data folder; `None` if its data is in files.
pub(crate) fn database_of(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(DATABASE)).ok()
}

/// Lets the next server on this folder start at once, after a process was killed. Otherwise it would wait until the lease expires.
pub(crate) fn expire_leases(folder: &Path) {
    if let Some(database) = database_of(folder) {
        // A process that was killed early has created no table.
        let expire = "DO $$ BEGIN IF to_regclass('sealward._lease') IS NOT NULL THEN \
                      UPDATE sealward._lease SET expires = clock_timestamp() - interval '1 second'; END IF; END $$";
        execute(&database, &[expire]);
    }
}

/// Removes the rows of the configuration database, as if it were lost.
pub(crate) fn lose_configuration(folder: &Path, database: &str) {
    let lose = "DO $$ DECLARE name text; BEGIN FOR name IN SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid \
                WHERE relnamespace = 'sealward'::regnamespace AND relkind = 'r' AND attname = '_organization_id' \
                LOOP EXECUTE format('DELETE FROM sealward.%I WHERE _organization_id = %L', name, \
                '00000000-0000-0000-0000-000000000000'); END LOOP; END $$";
    execute(database, &[lose]);
    fs::remove_file(folder.join(DEPLOYMENT)).unwrap();
}

/// Executes a statement as a superuser in a database that no test uses. Blocks.
pub(crate) fn administer(text: &str) -> String {
    execute("postgres", &[text])
}

/// Executes statements as a superuser, and returns what they print. Blocks.
pub(crate) fn execute(database: &str, texts: &[&str]) -> String {
    let mut psql = psql(database);
    for text in texts {
        psql.args(["-c", text]);
    }
    output_of(&mut psql).trim().to_owned()
}

/// psql as a superuser, which executes what it reads.
pub(crate) fn psql(database: &str) -> Command {
    let mut psql = CLUSTER.program("psql", database);
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
    psql
}

/// Everything in a database, as text: bytes in hexadecimal digits. Blocks.
pub(crate) fn dump(database: &str) -> String {
    output_of(&mut CLUSTER.program("pg_dump", database))
}

fn output_of(command: &mut Command) -> String {
    let run = command.output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// The UUIDs of the organizations in a database.
pub(crate) fn organizations(database: &str) -> Vec<String> {
    let ids = "SELECT _organization_id FROM sealward._guard WHERE state = 'ready' \
               AND _organization_id <> '00000000-0000-0000-0000-000000000000'";
    execute(database, &[ids]).lines().map(str::to_owned).collect()
}

/// The rows of an organization, or of the configuration, in a database. They are accessed as the role that owns the tables.
#[derive(Debug)]
pub(crate) struct Rows {
    database: String,
    set_up: [String; 3],
}

impl Rows {
    /// Those of the only organization.
    pub(crate) fn of_organization(database: &str) -> Self {
        let ids = organizations(database);
        let [id] = &ids[..] else { panic!("{ids:?}") };
        Self::of(database, id)
    }

    pub(crate) fn of_configuration(database: &str) -> Self {
        Self::of(database, "00000000-0000-0000-0000-000000000000")
    }

    pub(crate) fn of(database: &str, id: &str) -> Self {
        let set_up = [
            "SET ROLE sealward_owner".to_owned(),
            "SET search_path = sealward".to_owned(),
            format!("SET sealward.organization = '{id}'"),
        ];
        Self { database: database.to_owned(), set_up }
    }

    /// Executes statements.
    pub(crate) fn execute(&self, text: &str) -> String {
        let texts: Vec<&str> = self.set_up.iter().map(String::as_str).chain([text]).collect();
        execute(&self.database, &texts)
    }

    /// The rows of a query, each a JSON object.
    pub(crate) fn query(&self, text: &str) -> Vec<Value> {
        let rows = self.execute(&format!("SELECT coalesce(json_agg(found), '[]') FROM ({text}) AS found"));
        serde_json::from_str(&rows).unwrap()
    }

    /// Executes a statement, and returns the number of rows that it changed.
    pub(crate) fn change(&self, text: &str) -> usize {
        let changed = format!("WITH changed AS ({text} RETURNING 1) SELECT count(*) FROM changed");
        self.execute(&changed).parse().unwrap()
    }
}

/// The bytes of a JSON value.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    data_encoding::HEXLOWER.decode(text.strip_prefix("\\x").unwrap().as_bytes()).unwrap()
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

    /// A program of PostgreSQL, for a database as a superuser.
    fn program(&self, name: &str, database: &str) -> Command {
        let mut command = Command::new(programs().join(name));
        command.args(["-U", "postgres", "-d", database, "-p", &self.port.to_string(), "-h"]).arg(&self.folder);
        command.env("HOME", &self.folder);
        command
    }
}

/// The folder of PostgreSQL's programs: the oldest supported version that is installed.
fn programs() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = installed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let version = versions.filter(|version| *version >= 15).min().expect("install the Debian package postgresql");
    Path::new("/usr/lib/postgresql").join(version.to_string()).join("bin")
}
