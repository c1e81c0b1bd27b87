//! Operating a server with the real program: preparation, checks, supervisor and log.

use std::{
    fs::{self, File, Permissions},
    io::{BufRead, BufReader, Read as _},
    os::{
        fd::AsFd as _,
        unix::{fs::PermissionsExt, net::UnixDatagram},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use sealward_client::{ErrorReason, mail_v1};
use sealward_server::development::Person;
use serde_json::Value;
use tempfile::TempDir;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    harness::{
        DEFAULT, Folder, PATIENCE, Server,
        inside::Inside,
        mailbox,
        process::{Process, binary},
        reason,
    },
    root_key::list,
};

pub(crate) fn program() -> Command {
    let mut command = Command::new(binary("sealward-server"));
    command.env_remove("CREDENTIALS_DIRECTORY").env_remove("SEALWARD_CONFIG").env_remove("NOTIFY_SOCKET");
    command
}

/// The result of a command: its exit code, stdout and stderr.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// `serve`, once it listens. Killed with the test.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(command: &mut Command, config: &Path) -> Self {
        command.args(["serve", "--config"]).arg(config).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().expect("the server ended before it was ready").unwrap();
        let address = line.strip_prefix("sealward-server listens on ").unwrap().strip_suffix(" (TLS)").unwrap();
        Serving { child, address: address.to_owned() }
    }

    /// Sends SIGTERM, and returns the result.
    fn end(mut self) -> ExitStatus {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The report of `check-config --json`, and the exit code.
pub(crate) fn checked(command: &mut Command, config: &Path) -> (i32, Value) {
    let (code, report, errors) = run(command.args(["check-config", "--json", "--config"]).arg(config));
    assert_eq!(errors, "");
    (code, serde_json::from_str(&report).unwrap())
}

/// Severity, subject and problem of every finding. Each has a remedy.
pub(crate) fn findings(report: &Value) -> Vec<(String, String, String)> {
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap();
    for finding in findings {
        assert!(!text(finding, "remedy").is_empty(), "{finding}");
    }
    let findings = findings.iter();
    findings.map(|finding| (text(finding, "severity"), text(finding, "subject"), text(finding, "problem"))).collect()
}

#[track_caller]
fn assert_found(found: &[(String, String, String)], wanted: &[(&str, &str, &str)]) {
    for (severity, subject, part) in wanted {
        let is_it =
            |(a, b, problem): &&(String, String, String)| a == severity && b == subject && problem.contains(part);
        assert_eq!(found.iter().filter(is_it).count(), 1, "{severity} {subject}: {part}: {found:#?}");
    }
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// `init` in a new folder, with the certificates of `dev` in their places.
struct Prepared {
    root: TempDir,
    certificates: Folder,
}

impl Prepared {
    fn new() -> Self {
        Prepared { root: TempDir::new().unwrap(), certificates: Folder::new() }
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("etc/sealward")
    }

    fn config(&self) -> PathBuf {
        self.folder().join("sealward.toml")
    }

    fn init(&self) -> Command {
        let mut command = program();
        command.arg("init").arg(self.folder()).args(["--listen", "127.0.0.1:0"]);
        command
    }

    fn put_certificates(&self, folder: &Path) {
        let tls = self.certificates.path().join("tls");
        for (from, to) in [("server.pem", "server.pem"), ("server.key", "server.key"), ("ca.pem", "client-ca.pem")] {
            fs::copy(tls.join(from), folder.join(to)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_server_is_prepared_checked_and_served() {
    let prepared = Prepared::new();
    let (code, message, _) = run(&mut prepared.init());
    assert_eq!(code, 0);
    assert!(message.contains("Bind your first administrator"), "{message}");
    assert!(message.contains(&format!("check-config --config {}", prepared.config().display())), "{message}");
    assert_eq!(fs::metadata(prepared.folder().join("root.key")).unwrap().permissions().mode() & 0o777, 0o600);

    // A second run changes nothing, and its refusal has a remedy.
    let before = fs::read(prepared.config()).unwrap();
    let (code, _, error) = run(&mut prepared.init());
    assert_eq!(code, 1);
    assert!(error.contains("is not overwritten: edit it, or select another folder"), "{error}");
    assert_eq!(fs::read(prepared.config()).unwrap(), before);
    let (code, printed, _) = run(prepared.init().arg("--print"));
    assert_eq!((code, printed.into_bytes()), (0, before));

    // The steps of the message: certificates, administrator, check, serve.
    prepared.put_certificates(&prepared.folder().join("tls"));
    let (code, report) = checked(&mut program(), &prepared.config());
    assert_eq!(code, 0, "{report:#}");
    assert_found(&findings(&report), &[("warning", "bindings", "no binding has the role system-administrator")]);
    replace(&prepared.config(), "# [[bindings]]\n# identity", "[[bindings]]\nidentity");
    replace(&prepared.config(), "# role = ", "role = ");
    replace(&prepared.config(), "# organizations = [", "organizations = [");
    let (code, report) = checked(&mut program(), &prepared.config());
    assert_eq!((code, findings(&report)), (0, vec![]));

    // Load balancers need this delay; a test doesn't wait for it.
    replace(&prepared.config(), "drain_delay_seconds = 5", "drain_delay_seconds = 0");
    let server = Serving::start(&mut program(), &prepared.config());
    let admin = prepared.certificates.client(&server.address, Person::Admin);
    admin.create_organization("contoso").await.unwrap();
    admin.mailboxes().create("organizations/contoso", mailbox("a password"), None).await.unwrap();

    // A check disturbs no caller, and reports what exists.
    let (code, report) = checked(&mut program(), &prepared.config());
    assert_eq!((code, findings(&report)), (0, vec![]));
    let state = admin.is_data_encryption_active("organizations/contoso").await.unwrap();
    let [organization] = &report["organizations"].as_array().unwrap()[..] else { panic!("{report:#}") };
    assert_eq!(organization["name"], "contoso");
    assert_eq!(organization["columns_to_add"], 0);
    assert_eq!(organization["fingerprint"], state.fingerprint);
    assert_eq!(organization["is_key_present"], true);
    admin.mailboxes().create("organizations/contoso", mailbox("another password"), None).await.unwrap();
    assert!(tokio::task::spawn_blocking(|| server.end()).await.unwrap().success());
    let (code, text, _) = run(program().args(["check-config", "--config"]).arg(prepared.config()));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&format!("contoso: schema up to date, key {} is present\n", state.fingerprint)), "{text}");
    assert!(text.ends_with("0 errors, 0 warnings\n"), "{text}");
}

#[test]
fn result_that_cannot_be_written_is_a_failure() {
    sqlite_only!("backups are copies of files");
    let folder = Folder::new();
    let parent = folder.path().parent().unwrap().to_owned();
    let with_config = |words: &[&str], last: Option<PathBuf>| {
        let mut command = program();
        command.args(words).arg("--config").arg(folder.development().config_file()).args(last);
        command
    };
    let server = Process::start(&folder.path());
    server.terminate();
    assert!(server.wait().success());
    assert_eq!(run(&mut with_config(&["backup"], Some(parent.join("sound")))).0, 0);
    let mut help = program();
    help.args(["backup", "--help"]);
    let mut print = program();
    print.args(["init", "--print"]).arg(parent.join("new"));
    let mut commands = [
        (with_config(&["check-config"], None), false),
        (with_config(&["check-config", "--json"], None), false),
        (with_config(&["backup", "--verify", "--json"], Some(parent.join("sound"))), false),
        (print, false),
        (help, false),
        // It is complete nevertheless, which the error says.
        (with_config(&["backup"], Some(parent.join("second"))), true),
    ];
    for (command, is_completed) in &mut commands {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (code, _, error) = run(command.stdout(full));
        assert_eq!(code, 1, "{command:?}: {error}");
        assert!(error.starts_with("error: the result can't be written to stdout"), "{command:?}: {error}");
        assert_eq!(error.contains("the backup is complete"), *is_completed, "{error}");
        if *is_completed {
            continue;
        }
        // The reader has exited, as `head` does: only the exit code reports it.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(run(command.stdout(writer)), (1, String::new(), String::new()), "{command:?}");
    }
    assert!(parent.join("second/configuration.db").exists());
}

#[tokio::test]
async fn server_runs_with_credentials_of_systemd() {
    let prepared = Prepared::new();
    let data_dir = prepared.root.path().join("state");
    let mut init = prepared.init();
    let (code, message, error) = run(init.args(["--systemd", "--admin", "cn:admin", "--data-dir"]).arg(&data_dir));
    assert_eq!(code, 0, "{error}");
    assert!(message.contains("sealward.service"), "{message}");
    prepared.put_certificates(&prepared.folder());

    // Without systemd, each credential is reported as missing, by name.
    let (code, report) = checked(&mut program(), &prepared.config());
    assert_eq!(code, 1);
    let missed = |setting| ("error", setting, "systemd loaded no credentials");
    let wanted = ["tls.certificate", "tls.key", "tls.client_ca", "root_key.sources[0].name"].map(missed);
    assert_found(&findings(&report), &wanted);

    // The mode that systemd gives a root key of a service with a user.
    set_mode(&prepared.folder().join("root.key"), 0o440);
    let with_credentials = || {
        let mut command = program();
        command.env("CREDENTIALS_DIRECTORY", prepared.folder());
        command
    };
    let (code, report) = checked(&mut with_credentials(), &prepared.config());
    assert_eq!((code, findings(&report)), (0, vec![]));
    let server = Serving::start(&mut with_credentials(), &prepared.config());
    let admin = prepared.certificates.client(&server.address, Person::Admin);
    admin.create_organization("contoso").await.unwrap();
}

#[test]
fn all_faults_before_a_first_start_are_reported_together() {
    let prepared = Prepared::new();
    assert_eq!(run(prepared.init().args(["--admin", "cn:admin"])).0, 0);
    let folder = prepared.folder();
    prepared.put_certificates(&folder.join("tls"));
    let tls = prepared.certificates.path().join("tls");
    fs::copy(tls.join("admin.key"), folder.join("tls/server.key")).unwrap();
    fs::copy(tls.join("reader.pem"), folder.join("tls/client-ca.pem")).unwrap();
    set_mode(&folder.join("root.key"), 0o640);
    set_mode(&folder.join("data"), 0o750);
    let slip = "[limits]\nconections_max = 5\npage_size_max = 2000\nkeepalive_timeout_seconds = \"long\"";
    replace(&prepared.config(), "[limits]", slip);
    replace(&prepared.config(), "# level = \"info\"", "level = \"loud\"");
    set_mode(&prepared.config(), 0o666);

    let (code, report) = checked(&mut program(), &prepared.config());
    assert_eq!(code, 1);
    assert_found(
        &findings(&report),
        &[
            ("error", "limits.conections_max", "did you mean connections_max?"),
            ("error", "limits.keepalive_timeout_seconds", "is a string"),
            ("error", "limits.page_size_max", "2000 is out of range: use 1 to 1000 records"),
            ("error", "log.level", "unknown level `loud`: use off"),
            ("error", prepared.config().to_str().unwrap(), "is writable by all users"),
            ("error", "tls.key", "does not belong to the first certificate"),
            ("error", "tls.client_ca", "can't be a client CA: it isn't a CA"),
            ("error", "root_key.sources[0]", "mode 0640"),
            ("error", "data_dir", "accessible to other users (mode 0750)"),
        ],
    );
    assert_eq!((&report["errors"], &report["warnings"]), (&Value::from(9), &Value::from(0)));

    // As text it is a list with remedies, without colours in a file.
    let (code, text, _) = run(program().args(["check-config", "--config"]).arg(prepared.config()));
    assert_eq!(code, 1);
    assert!(text.contains("error: root_key.sources[0]: the root key "), "{text}");
    assert!(text.contains(&format!("\n  chmod 600 {}/root.key", folder.display())), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    assert!(text.ends_with("9 errors, 0 warnings\n"), "{text}");

    // An unreadable configuration is reported, too.
    fs::write(prepared.config(), "data_dir = ").unwrap();
    let (code, report) = checked(&mut program(), &prepared.config());
    assert_eq!(code, 1);
    assert_found(&findings(&report), &[("error", prepared.config().to_str().unwrap(), "line 1")]);
    fs::remove_file(prepared.config()).unwrap();
    let (code, report) = checked(&mut program(), &prepared.config());
    assert_eq!(code, 1);
    assert_found(&findings(&report), &[("error", prepared.config().to_str().unwrap(), "can't read the configuration")]);
}

#[test]
fn check_config_names_each_root_key_source_and_its_problem() {
    let folder = Folder::new();
    let config = folder.development().config_file();
    let former = folder.path().join("former.key");
    list(&folder.path(), &["root.key", "former.key"]);
    let in_data_folder = [0, 1].map(|index| format!("root_key.sources[{index}]"));
    let in_data_folder =
        in_data_folder.each_ref().map(|setting| ("warning", setting.as_str(), "is in the data folder"));
    let with_error = |part| [&in_data_folder[..], &[("error", "root_key.sources[1]", part)]].concat();
    let (code, report) = checked(&mut program(), &config);
    assert_eq!(code, 1);
    assert_found(&findings(&report), &with_error("former.key: No such file"));
    fs::write(&former, b"32 bytes that nobody would guess").unwrap();
    set_mode(&former, 0o644);
    let (code, report) = checked(&mut program(), &config);
    assert_eq!(code, 1);
    assert_found(&findings(&report), &with_error("mode 0644"));
    let (_, _, error) = run(program().args(["serve", "--config"]).arg(&config));
    assert!(error.contains("can't load the root key of root_key.sources[1]"), "{error}");

    // A container platform mounts it with this mode.
    replace(&config, "type = \"file\"\npath = \"former.key\"", "type = \"mounted-secret\"\npath = \"former.key\"");
    let (code, report) = checked(&mut program(), &config);
    assert_eq!(code, 0, "{report:#}");
    assert_found(&findings(&report), &in_data_folder);
    let facts = report["facts"].as_array().unwrap().iter();
    let facts: Vec<_> = facts.filter(|fact| fact["subject"].as_str().unwrap().starts_with("root_key")).collect();
    let shown = |role: &str, source: &str| Value::from(format!("{source} is the {role} root key"));
    assert_eq!(facts[0]["text"], shown("current", &format!("file {}", folder.development().root_key().display())));
    assert_eq!(facts[1]["text"], shown("former", &format!("mounted secret {}", former.display())));
}

#[test]
fn what_has_the_path_of_a_hops_socket_is_reported() {
    let folder = Folder::new();
    let config = folder.development().config_file();
    let socket = folder.path().join("hop.sock");
    let text = fs::read_to_string(&config).unwrap();
    let hop = format!(
        "\n[[hops]]\nname = \"ingress\"\nunix_socket = \"{}\"\npeer_uid = 0\n\
         kinds = [\"spiffe\"]\ntrust_domains = [\"example.org\"]\n",
        socket.display()
    );
    fs::write(&config, text + &hop).unwrap();
    let of_hops = |report: &Value| {
        let found = findings(report).into_iter().filter(|(_, subject, _)| subject == "hops[0].unix_socket");
        found.map(|(severity, _, problem)| (severity, problem)).collect::<Vec<_>>()
    };
    let found = of_hops(&checked(&mut program(), &config).1);
    assert_eq!(found, []);
    let obstacles: [(&str, &dyn Fn()); 3] = [
        ("a link", &|| std::os::unix::fs::symlink("/dev/zero", &socket).unwrap()),
        ("a regular file", &|| fs::write(&socket, "").unwrap()),
        ("a folder", &|| fs::create_dir(&socket).unwrap()),
    ];
    for (kind, create) in obstacles {
        let _none = fs::remove_file(&socket);
        create();
        let (code, report) = checked(&mut program(), &config);
        assert_eq!(code, 1, "{report:#}");
        let problem = format!("{} is {kind}, not the socket of the hop ingress", socket.display());
        assert_eq!(of_hops(&report), [("error".to_owned(), problem)]);
        let (_, _, error) = run(program().args(["serve", "--config"]).arg(&config));
        assert!(error.contains(&format!("{kind} has this path: move it away")), "{error}");
    }
}

#[tokio::test]
async fn unwritable_audit_copy_is_reported() {
    let folder = Server::start().await.stop().await;
    let config = folder.development().config_file();
    let in_data_folder = ("warning", "root_key.sources[0]", "is in the data folder");
    replace(&config, "# file = \"audit.jsonl\"", "file = \"log/audit.jsonl\"");
    let (code, report) = checked(&mut program(), &config);
    assert_eq!(code, 0, "{report:#}");
    assert_found(&findings(&report), &[in_data_folder, ("warning", "audit.file", "doesn't exist")]);
    replace(&config, "# on_failure = \"report\"", "on_failure = \"refuse\"");
    let (code, report) = checked(&mut program(), &config);
    assert_eq!(code, 1);
    assert_found(
        &findings(&report),
        &[in_data_folder, ("error", "audit.file", "every call that needs an audit record is refused")],
    );
    fs::create_dir_all(folder.path().join("log/audit.jsonl")).unwrap();
    let (_, report) = checked(&mut program(), &config);
    assert_found(&findings(&report), &[in_data_folder, ("error", "audit.file", "is a folder")]);
    // What has the mode of a writable file or folder, but keeps nothing.
    for (file, expected) in
        [("/dev/full", "/dev/full is a device"), ("/proc/audit.jsonl", "can't create /proc/audit.jsonl")]
    {
        replace(&config, "file = \"log/audit.jsonl\"", &format!("file = \"{file}\""));
        let (code, report) = checked(&mut program(), &config);
        assert_eq!(code, 1, "{file}");
        assert_found(&findings(&report), &[in_data_folder, ("error", "audit.file", expected)]);
        replace(&config, &format!("file = \"{file}\""), "file = \"log/audit.jsonl\"");
    }
    fs::remove_dir(folder.path().join("log/audit.jsonl")).unwrap();
    fs::write(folder.path().join("log/audit.jsonl"), "").unwrap();
    set_mode(&folder.path().join("log/audit.jsonl"), 0o644);
    let (code, report) = checked(&mut program(), &config);
    assert_eq!(code, 0, "{report:#}");
    assert_found(
        &findings(&report),
        &[in_data_folder, ("warning", "audit.file", "accessible to other users (mode 0644)")],
    );
}

/// The folder of a stopped server with three organizations besides the first.
async fn four_organizations() -> Folder {
    let server = Server::start().await;
    let admin = server.client(Person::Admin);
    for name in ["contoso", "fabrikam", "northwind"] {
        admin.create_organization(name).await.unwrap();
    }
    server.stop().await
}

fn database(folder: &Folder, name: &str) -> PathBuf {
    let configuration = Inside::configuration(folder);
    let sql = "SELECT id FROM sealward_organizations WHERE name = ?1";
    let id: [u8; 16] = configuration.sqlite().query_row(sql, [name], |row| row.get(0)).unwrap();
    folder.path().join(format!("organizations/{}.db", uuid::Uuid::from_bytes(id)))
}

#[tokio::test]
async fn all_faults_of_databases_are_reported_together() {
    let folder = four_organizations().await;
    let config = folder.development().config_file();
    let in_data_folder = ("warning", "root_key.sources[0]", "is in the data folder");
    let (code, report) = checked(&mut program(), &config);
    assert_eq!(code, 0, "{report:#}");
    assert_found(&findings(&report), &[in_data_folder]);

    // The text of its key is missing.
    let forgotten = database(&folder, "default");
    let default_id = uuid::Uuid::parse_str(forgotten.file_stem().unwrap().to_str().unwrap()).unwrap();
    let forget = "DELETE FROM sealward_key_text WHERE organization = ?1";
    assert_eq!(Inside::configuration(&folder).sqlite().execute(forget, [&default_id.as_bytes()[..]]).unwrap(), 1);
    // Its database is missing.
    fs::remove_file(database(&folder, "contoso")).unwrap();
    // A bit of its ring is flipped.
    Inside::open(&database(&folder, "fabrikam")).change(1, "UPDATE sealward_key_ring SET mac = zeroblob(32)");
    set_mode(&database(&folder, "fabrikam"), 0o644);
    // A newer release has encrypted an attribute that this one doesn't know.
    let catalog = Inside::open(&database(&folder, "northwind"));
    catalog.change(1, "INSERT INTO sealward_catalog VALUES ('Mailbox', 'token', 'bytes', 1)");
    // A foreign file is among them.
    let stranger = folder.path().join("organizations/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506.db");
    fs::write(&stranger, b"something that is no database of this service, and long enough for a header").unwrap();
    replace(&config, "organizations = [\"*\"]", "organizations = [\"contosso\"]");

    let (code, report) = checked(&mut program(), &config);
    assert_eq!(code, 1);
    let bound_to_nobody = |index: usize| format!("bindings[{index}].organizations");
    let bindings: Vec<String> = (0..Person::ALL.len()).map(bound_to_nobody).collect();
    let mut wanted = vec![
        in_data_folder,
        ("warning", "organizations/default", "data encryption is inactive: the key with the fingerprint"),
        ("error", "organizations/contoso", "is missing"),
        ("error", "organizations/fabrikam", "its key ring is missing or damaged"),
        ("warning", "organizations/fabrikam", "is accessible to other users (mode 0644)"),
        ("error", "organizations/northwind", "Mailbox"),
        ("error", "data_dir", "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506.db"),
    ];
    wanted.extend(bindings.iter().map(|setting| ("warning", setting.as_str(), "organization contosso doesn't exist")));
    assert_found(&findings(&report), &wanted);

    // Another root key opens nothing.
    fs::remove_file(folder.path().join("root.key")).unwrap();
    fs::write(folder.path().join("root.key"), b"32 bytes that nobody would guess").unwrap();
    set_mode(&folder.path().join("root.key"), 0o600);
    let (_, report) = checked(&mut program(), &config);
    let sealed = ("error", "root_key.sources", "sealed under a root key that is not among these sources");
    let found = findings(&report);
    assert!(
        found.iter().any(|(a, b, c)| (a.as_str(), b.as_str()) == (sealed.0, sealed.1) && c.contains(sealed.2)),
        "{found:#?}"
    );
}

#[tokio::test]
async fn databases_without_a_configuration_database_are_a_warning() {
    let folder = Server::start().await.stop().await;
    crate::harness::inside::lose_configuration(&folder.path());
    let (code, report) = checked(&mut program(), &folder.development().config_file());
    assert_eq!(code, 0, "{report:#}");
    let found = findings(&report);
    let lost = "1 database of an organization exists: a start registers each without its key";
    assert!(found.iter().any(|(severity, _, problem)| severity == "warning" && problem.contains(lost)), "{found:#?}");
}

/// The lines of a JSON log.
fn events(log: &Path) -> Vec<Value> {
    fs::read_to_string(log).unwrap().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[tokio::test]
async fn json_log_has_identity_method_organization_and_code_of_each_call() {
    let folder = Folder::new();
    replace(&folder.development().config_file(), "# format = \"text\"", "format = \"json\"");
    let log = folder.path().join("log");
    let server = Process::start_logging(&folder.path(), File::create(&log).unwrap());
    let reader = folder.client(&server.address, Person::Reader);
    let missing = format!("{DEFAULT}/mailboxes/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506");
    let error = reader.mailboxes().get(missing).await.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::NotFound);
    let refused = reader.mailboxes().create(DEFAULT, mail_v1::Mailbox::default(), None).await.unwrap_err();
    reader.mailboxes().list(DEFAULT, sealward_client::ListOptions::default().page_size(0)).await.unwrap();
    let mut health = HealthClient::new(reader.channel());
    health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(reason(reader.mailboxes().get("nonsense").await), ErrorReason::FieldInvalid);
    server.terminate();
    assert!(tokio::task::spawn_blocking(|| server.wait()).await.unwrap().success());

    let events = events(&log);
    for event in &events {
        for name in ["timestamp", "level", "target", "message"] {
            assert!(event[name].is_string(), "{name}: {event}");
        }
    }
    let serving = events.iter().find(|event| event["message"] == "serving").unwrap();
    assert_eq!(serving["version"], env!("CARGO_PKG_VERSION"));
    assert!(serving["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{serving}");
    assert_eq!(serving["schema"], "EmailServerProfile Mailbox Queue UserSettings");
    assert_eq!(serving["organizations"], 0);

    // A line for each call, and none for a health check.
    let answered: Vec<_> = events.iter().filter(|event| event["message"] == "answered").collect();
    assert_eq!(answered.len(), 4, "{answered:#?}");
    let of = |id: &str| *answered.iter().find(|event| event["span"]["call_id"] == id).unwrap();
    let event = of(error.call_id().unwrap());
    assert_eq!(event["level"], "INFO");
    assert_eq!((&event["code"], &event["reason"]), (&Value::from("NotFound"), &Value::from("NOT_FOUND")));
    assert!(event["duration_us"].is_u64(), "{event}");
    assert_eq!(event["span"]["rpc"], "/sealward.mail.v1.MailboxService/GetMailbox");
    assert_eq!(event["span"]["organization"], "default");
    assert_eq!(event["span"]["identity"], "cn:reader");
    assert!(event["span"]["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{event}");
    // Refused before its message was read, so the organization isn't known.
    let event = of(refused.call_id().unwrap());
    assert_eq!(event["reason"], "PRIVILEGE_MISSING");
    assert!(event["span"].get("organization").is_none(), "{event}");
    let event = answered.iter().find(|event| event["code"] == "Ok").unwrap();
    assert!(event.get("reason").is_none(), "{event}");
}

/// The line of a call for a missing record, without what differs in each run: its id and all numbers.
async fn line_of_a_call(folder: &Folder, log: impl Into<Stdio>, read: impl FnOnce() -> String) -> String {
    let server = Process::start_logging(&folder.path(), log);
    let missing = format!("{DEFAULT}/mailboxes/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506");
    let error = folder.client(&server.address, Person::Reader).mailboxes().get(missing).await.unwrap_err();
    server.terminate();
    assert!(tokio::task::spawn_blocking(|| server.wait()).await.unwrap().success());
    let (log, id) = (read(), error.call_id().unwrap());
    let line = log.lines().find(|line| line.contains(id)).expect(&log);
    let mut masked = String::new();
    for character in line.replace(id, "ID").chars() {
        let is_in_style = masked.rsplit_once('\x1b').is_some_and(|(_, style)| !style.contains('m'));
        if !character.is_ascii_digit() || is_in_style {
            masked.push(character);
        } else if !masked.ends_with('#') {
            masked.push('#');
        }
    }
    masked
}

#[tokio::test]
async fn each_format_of_the_log_has_the_fields_of_a_call_in_their_order() {
    let folder = Folder::new();
    let path = folder.path().join("log");
    let in_file =
        async || line_of_a_call(&folder, File::create(&path).unwrap(), || fs::read_to_string(&path).unwrap()).await;
    assert_eq!(
        in_file().await,
        "#-#-#T#:#:#.#Z  INFO call{call_id=\"ID\" rpc=\"/sealward.mail.v#.MailboxService/GetMailbox\" peer=#.#.#.#:# \
         protocol=\"grpc\" client=\"rust/#.#.#\" identity=cn:reader organization=\"default\"}: \
         sealward_server::gates::trace: answered code=NotFound reason=\"NOT_FOUND\" duration_us=#"
    );
    let (screen, terminal) = pty_process::blocking::open().unwrap();
    let on_screen = line_of_a_call(&folder, terminal.as_fd().try_clone_to_owned().unwrap(), || {
        drop(terminal);
        let mut text = Vec::new();
        // Reading fails at the end, because no program has the terminal any more.
        let _ended = (&screen).read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    });
    // Styles as `<1m`, without their ends.
    let shown = on_screen.await.replace("\x1b[0m", "").replace("\x1b[", "<");
    assert_eq!(
        shown,
        "<2m#-#-#T#:#:#.#Z <32m INFO <1mcall<1m{<3mcall_id<2m=\"ID\" \
         <3mrpc<2m=\"/sealward.mail.v#.MailboxService/GetMailbox\" <3mpeer<2m=#.#.#.#:# <3mprotocol<2m=\"grpc\" \
         <3mclient<2m=\"rust/#.#.#\" <3midentity<2m=cn:reader <3morganization<2m=\"default\"<1m}<2m: \
         <2msealward_server::gates::trace<2m: answered <3mcode<2m=NotFound <3mreason<2m=\"NOT_FOUND\" \
         <3mduration_us<2m=#"
    );
    replace(&folder.development().config_file(), "# format = \"text\"", "format = \"json\"");
    assert_eq!(
        in_file().await,
        r##"{"timestamp":"#-#-#T#:#:#.#Z","level":"INFO","message":"answered","code":"NotFound","reason":"NOT_FOUND","##
            .to_owned()
            + r##""duration_us":#,"target":"sealward_server::gates::trace","span":{"call_id":"ID","client":"rust/#.#.#","##
            + r##""identity":"cn:reader","organization":"default","peer":"#.#.#.#:#","protocol":"grpc","##
            + r##""rpc":"/sealward.mail.v#.MailboxService/GetMailbox","name":"call"}}"##
    );
}

#[tokio::test]
async fn a_text_log_in_a_file_has_times_and_no_colours() {
    let folder = Folder::new();
    let log = folder.path().join("log");
    let server = Process::start_logging(&folder.path(), File::create(&log).unwrap());
    folder
        .client(&server.address, Person::Reader)
        .mailboxes()
        .list(DEFAULT, sealward_client::ListOptions::default().page_size(0))
        .await
        .unwrap();
    server.terminate();
    assert!(tokio::task::spawn_blocking(|| server.wait()).await.unwrap().success());
    let text = fs::read_to_string(&log).unwrap();
    assert!(!text.contains('\x1b'), "{text}");
    assert!(text.lines().all(|line| line.starts_with("20")), "{text}");
    let answered = text.lines().find(|line| line.contains("answered")).unwrap();
    assert!(answered.contains("organization=\"default\"") && answered.contains("identity=cn:reader"), "{answered}");
}

#[test]
fn supervisor_is_notified_of_start_and_end() {
    let prepared = Prepared::new();
    assert_eq!(run(prepared.init().args(["--admin", "cn:admin"])).0, 0);
    prepared.put_certificates(&prepared.folder().join("tls"));
    replace(&prepared.config(), "drain_delay_seconds = 5", "drain_delay_seconds = 0");
    let path = prepared.root.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut message = [0; 1_024];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let server = Serving::start(program().env("NOTIFY_SOCKET", &path), &prepared.config());
    let ready = told();
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(ready.contains(&format!("STATUS=listens on {}", server.address)), "{ready}");
    assert!(server.end().success());
    assert_eq!(told(), "STOPPING=1\n");
}

#[test]
fn version_command_names_protocols_and_storage() {
    let (code, text, _) = run(program().arg("--version"));
    assert_eq!(code, 0);
    assert!(text.starts_with(&format!("sealward-server {}\n", env!("CARGO_PKG_VERSION"))), "{text}");
    for part in ["sealward.v1", "TLS", "SQLite", std::env::consts::ARCH] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (_, short, _) = run(program().arg("-V"));
    assert_eq!(short, format!("sealward-server {}\n", env!("CARGO_PKG_VERSION")));
}
