//! A server that runs as the manifests say, with what the kubelet and a container runtime do done by hand: volumes laid out as they are mounted, a
//! root file system that can't be written and has nothing but the program and libraries, an own process namespace, the user and groups of the
//! pod, and no capabilities.
//!
//! PostgreSQL is a real one. No cluster takes part: admission, the network and the storage of a cluster aren't tested. The tests need root.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    io::{BufRead as _, BufReader},
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
};

use sealward_client::{Client, RetryPolicy, generate_key_text};
use sealward_server::development::Person;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::watch, task::block_in_place, time::timeout};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::manifests::{Manifests, PLAIN, POD_CERTIFICATE, POSTGRESQL};
use crate::{
    harness::{Folder, PATIENCE, mailbox, postgresql, process::binary, proxy::Proxy, reveal},
    operate::{program, run},
};

/// What the pods of a release share: the Secrets and ConfigMaps of their namespace, and the database.
struct Release {
    manifests: Manifests,
    /// The certificates of the server and its callers.
    certificates: Folder,
    /// The folder with the root key.
    keys: TempDir,
    /// The address of the database; `None` if the data is in files.
    database: Option<String>,
}

/// A pod without its container: the volumes, and the root file system.
struct Pod {
    release: Arc<Release>,
    root: TempDir,
    user: u32,
}

/// A running container. Killed with the test.
struct Container {
    unshare: Child,
    log: Receiver<Value>,
    /// The event of the log with the addresses.
    serving: Value,
}

impl Pod {
    /// `None` without root, who alone can create files of other users, and mount.
    fn new(manifests: &str) -> Option<Self> {
        if !is_root() {
            eprintln!("not tested: this test needs root");
            return None;
        }
        let manifests = Manifests::read(manifests);
        let database = manifests.environment().remove(STORAGE_URL).map(|address| {
            // That of the tests, with the same role.
            let place = format!("{}/{}", postgresql::address(), postgresql::create_database());
            let changed = address.replace("db.example.org:5432/sealward", &place);
            assert_ne!(changed, address);
            changed
        });
        let release = Release { manifests, certificates: Folder::new(), keys: TempDir::new().unwrap(), database };
        Some(Self::of(Arc::new(release)))
    }

    /// A further pod.
    fn of(release: Arc<Release>) -> Self {
        let context = &release.manifests.pod()["securityContext"];
        let user = u32::try_from(context["runAsUser"].as_u64().unwrap()).unwrap();
        assert!(context["runAsGroup"] == user && context["fsGroup"] == user);
        let pod = Pod { release, root: TempDir::new().unwrap(), user };
        for volume in pod.release.manifests.mounts().values() {
            pod.lay_out(volume);
        }
        pod
    }

    /// Another pod of the same release.
    fn beside(&self) -> Self {
        Self::of(Arc::clone(&self.release))
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.root.path().join("volumes").join(name)
    }

    /// Creates a volume as the kubelet does.
    fn lay_out(&self, name: &str) {
        let folder = self.volume(name);
        fs::create_dir_all(&folder).unwrap();
        chown(&folder, Some(0), Some(self.user)).unwrap();
        match self.release.manifests.volume(name) {
            // A new file system. With fsGroup, its root gets the group, with access and the set-group-id bit.
            None => set_mode(&folder, 0o2775),
            Some(volume) if volume.get("emptyDir").is_some() => set_mode(&folder, 0o2777),
            Some(volume) => {
                // A Secret is in memory, in a folder that is sticky. That of a ConfigMap isn't.
                set_mode(&folder, if volume.get("configMap").is_some() { 0o2777 } else { 0o3777 });
                self.write(name, "..2026_11_30_20_00_00.1");
            }
        }
    }

    /// Writes a version of a volume's files, and swaps the link to it.
    fn write(&self, name: &str, version: &str) {
        let (folder, volume) = (self.volume(name), self.release.manifests.volume(name).unwrap());
        let files = folder.join(version);
        fs::create_dir(&files).unwrap();
        chown(&files, Some(0), Some(self.user)).unwrap();
        set_mode(&files, 0o2755);
        for file in self.release.manifests.files_of(name).unwrap() {
            let path = files.join(&file);
            fs::write(&path, self.content(volume, &file)).unwrap();
            let (owner, mode) = if let Some(secret) = volume.get("secret") {
                (0, u32::try_from(secret["defaultMode"].as_u64().unwrap()).unwrap())
            } else if volume.get("projected").is_some() {
                // The kubelet gives keys that it issues to the user of the pod, and then adds the group.
                (self.user, 0o640)
            } else {
                (0, 0o644)
            };
            chown(&path, Some(owner), Some(self.user)).unwrap();
            set_mode(&path, mode);
            if !folder.join(&file).exists() {
                symlink(Path::new("..data").join(&file), folder.join(&file)).unwrap();
            }
        }
        symlink(version, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    }

    /// The content of the Secrets and ConfigMaps that the manifests name.
    fn content(&self, volume: &Value, file: &str) -> Vec<u8> {
        let tls = self.release.certificates.path().join("tls");
        let read = |name: &str| fs::read(tls.join(name)).unwrap();
        match (volume["name"].as_str().unwrap(), file) {
            ("config", _) => {
                let configuration = self.release.manifests.configuration();
                // A test doesn't wait for load balancers, and its callers have the names of the harness.
                assert!(configuration.contains("drain_delay_seconds = 5\n"));
                let configuration = configuration.replace("drain_delay_seconds = 5\n", "drain_delay_seconds = 0\n");
                format!("{configuration}{BINDINGS}").into_bytes()
            }
            ("root-key", _) => fs::read(self.root_key()).unwrap(),
            ("tls", "tls.crt") => read("server.pem"),
            ("tls", "tls.key") => read("server.key"),
            ("tls", "bundle.pem") => [read("server.key"), read("server.pem")].concat(),
            ("client-ca", "ca.crt") => read("ca.pem"),
            ("postgresql-password" | "postgresql-owner", "password") => postgresql::PASSWORD.into(),
            ("postgresql-ca", "ca.crt") => postgresql::ca().into(),
            (volume, file) => panic!("{volume}: {file}"),
        }
    }

    /// The root key, as docs/kubernetes.md creates it.
    fn root_key(&self) -> PathBuf {
        let folder = self.release.keys.path().join("new");
        if !folder.exists() {
            let (code, _, error) = run(program().arg("init").arg(&folder));
            assert_eq!(code, 0, "{error}");
        }
        folder.join("root.key")
    }

    /// The environment of the manifests, with ports that no other test uses, this address for calls, and that of the database.
    fn environment(&self, address: &str) -> BTreeMap<String, String> {
        let mut environment = self.release.manifests.environment();
        environment.extend(self.release.database.clone().map(|database| (STORAGE_URL.to_owned(), database)));
        for variable in
            ["SEALWARD_LISTEN_ADDRESS", "SEALWARD_LISTEN_PLAINTEXT_ADDRESS", "SEALWARD_LISTEN_METRICS_ADDRESS"]
        {
            let given = environment.get_mut(variable).unwrap_or_else(|| panic!("{variable}"));
            assert!(given.starts_with("0.0.0.0:"), "{given}");
            FREE_PORT.clone_into(given);
        }
        environment.insert("SEALWARD_LISTEN_ADDRESS".to_owned(), address.to_owned());
        environment
    }

    /// The commands that mount the root file system and the volumes, and run the container's command in place of the shell.
    fn script(&self) -> String {
        let root = self.root.path().join("rootfs");
        let libraries = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"].map(Path::new).into_iter();
        let program = binary("sealward-server");
        let command: Vec<_> = self.release.manifests.container()["command"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        let mut script = String::from("set -eu\n");
        let mut mount = |from: &Path, to: &Path, is_read_only: bool| {
            let (place, from) = (root.join(to.strip_prefix("/").unwrap()), from.display());
            if fs::metadata(from.to_string()).unwrap().is_dir() {
                fs::create_dir_all(&place).unwrap();
            } else {
                fs::create_dir_all(place.parent().unwrap()).unwrap();
                fs::write(&place, "").unwrap();
            }
            let place = place.display();
            script.push_str(&format!("mount --bind '{from}' '{place}'\n"));
            if is_read_only {
                script.push_str(&format!("mount -o remount,bind,ro '{place}'\n"));
            }
        };
        mount(&root_of(&root), Path::new("/"), true);
        for library in libraries.filter(|library| library.exists()) {
            mount(library, library, true);
        }
        mount(&program, Path::new(command[0]), true);
        mount(Path::new("/dev/null"), Path::new("/dev/null"), false);
        // The first is in the image; the kubelet mounts the second.
        for (name, content) in [("nsswitch.conf", "hosts: files dns\n"), ("hosts", "127.0.0.1 localhost\n")] {
            let file = self.root.path().join(name);
            fs::write(&file, content).unwrap();
            mount(&file, &Path::new("/etc").join(name), true);
        }
        for (place, volume) in self.release.manifests.mounts() {
            let is_writable =
                self.release.manifests.volume(&volume).is_none_or(|volume| volume.get("emptyDir").is_some());
            mount(&self.volume(&volume), Path::new(&place), !is_writable);
        }
        fs::create_dir_all(root.join("proc")).unwrap();
        let (root, user, command) = (root.display(), self.user, command.join(" "));
        script.push_str(&format!("mount -t proc proc '{root}/proc'\n"));
        script.push_str(&format!(
            "exec setpriv --no-new-privs chroot --userspec={user}:{user} --groups={user} '{root}' {command}\n"
        ));
        script
    }

    /// Starts the container, which listens on this address for calls, and waits until it serves.
    fn start(&self, address: &str) -> Container {
        let mut unshare = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--pid", "--fork", "/bin/sh", "-c"])
            .arg(self.script())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.environment(address))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(unshare.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // Every line is one object, also for the collector of the logs.
                let line = serde_json::from_str(&line).unwrap_or_else(|_| Value::String(line));
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut container = Container { unshare, log, serving: Value::Null };
        container.serving = awaited(&container.log, "serving");
        container
    }

    fn client(&self, container: &Container, person: Person) -> Client {
        self.release.certificates.client(container.address("address"), person)
    }

    /// A client that repeats calls.
    fn patient_client(&self, address: &str, person: Person, retry: RetryPolicy) -> Client {
        let development = self.release.certificates.development();
        let builder = self.release.certificates.client_builder(address).retry(retry);
        builder.identity_files(development.certificate(person), development.key(person)).connect_lazy().unwrap()
    }

    /// Runs a command in the container, as `kubectl exec` does.
    fn exec(&self, container: &Container, arguments: &[&str]) -> (i32, String, String) {
        let (target, user) = (container.server().unwrap().to_string(), self.user.to_string());
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &target, "--mount", "--pid", "--root", "--wd", "--setuid", &user, "--setgid", &user]);
        run(nsenter.arg("/usr/bin/sealward-server").args(arguments).env_clear().envs(self.environment(FREE_PORT)))
    }
}

/// The folder of the root file system, which exists before anything is mounted on it.
fn root_of(root: &Path) -> PathBuf {
    fs::create_dir_all(root).unwrap();
    root.to_owned()
}

/// The variable with the address of the database.
const STORAGE_URL: &str = "SEALWARD_STORAGE_URL";

/// A free port on loopback.
const FREE_PORT: &str = "127.0.0.1:0";

const BINDINGS: &str = r#"
[[bindings]]
identity = "cn:admin"
role = "system-administrator"
organizations = ["*"]

[[bindings]]
identity = "cn:writer"
role = "record-writer"
organizations = ["*"]

[[bindings]]
identity = "cn:connector"
role = "secret-reader"
organizations = ["*"]
"#;

/// Waits for an event of the log.
#[track_caller]
fn awaited(log: &Receiver<Value>, event: &str) -> Value {
    let mut before = Vec::new();
    loop {
        match log.recv_timeout(PATIENCE) {
            Ok(line) if line["message"] == event => return line,
            Ok(line) => before.push(line),
            Err(_) => panic!("the log lacks `{event}`: {before:#?}"),
        }
    }
}

impl Container {
    /// An address on which the server listens: `address`, `plaintext_address` or `metrics_address`.
    fn address(&self, name: &str) -> &str {
        self.serving[name].as_str().unwrap()
    }

    /// The id of the server's process outside its namespace, while it runs.
    fn server(&self) -> Option<u32> {
        let children = format!("/proc/{0}/task/{0}/children", self.unshare.id());
        fs::read_to_string(children).ok()?.trim().parse().ok()
    }

    fn signal(&self, signal: &str) {
        let server = self.server().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &server]).status().unwrap().success());
    }

    /// A field of the process's status.
    fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server().unwrap())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
        value.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Sends SIGTERM, and returns the result.
    fn end(mut self) -> ExitStatus {
        self.signal("-TERM");
        self.unshare.wait().unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.server().is_some() {
            self.signal("-KILL");
        }
        let _status = self.unshare.wait();
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").unwrap().lines().any(|line| line == "Uid:\t0\t0\t0\t0")
}

/// The answer to the gRPC probe of the kubelet, which has its own connection.
async fn probed(address: &str) -> ServingStatus {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap().into_inner().status()
}

const ORGANIZATION: &str = "organizations/contoso";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_runs_as_the_manifests_say() {
    let Some(pod) = Pod::new(PLAIN) else { return };
    let container = pod.start(FREE_PORT);
    assert_eq!(probed(container.address("plaintext_address")).await, ServingStatus::Serving);
    // Process 1 of its namespace, as the user of the pod, and without any privilege.
    let (server, user) = (container.server().unwrap(), pod.user);
    assert_eq!(container.status("NSpid"), format!("{server} 1"));
    assert_eq!(container.status("Uid"), [user; 4].map(|user| user.to_string()).join(" "));
    assert_eq!(container.status("Groups"), user.to_string());
    assert_eq!((container.status("CapEff").trim_start_matches('0'), &*container.status("NoNewPrivs")), ("", "1"));

    let admin = pod.client(&container, Person::Admin);
    admin.create_organization("contoso").await.unwrap();
    let created =
        pod.client(&container, Person::Writer).mailboxes().create(ORGANIZATION, mailbox("kept"), None).await.unwrap();
    // Work that could need temporary files: a key change with its re-encryption, and a backup.
    admin.change_key(ORGANIZATION, &generate_key_text()).await.unwrap();
    let mut reencryption = admin.watch_reencryption(ORGANIZATION).await.unwrap();
    while reencryption.next().await.unwrap().is_some() {}
    let (code, _, error) = pod.exec(&container, &["backup", "/var/lib/sealward/backup"]);
    assert_eq!(code, 0, "{error}");
    let (code, report, error) = pod.exec(&container, &["check-config"]);
    assert_eq!(code, 0, "{report}{error}");
    assert!(
        report.contains("data_dir: /var/lib/sealward/data, from the environment variable SEALWARD_DATA_DIR\n"),
        "{report}"
    );
    assert!(report.ends_with("0 errors, 0 warnings\n"), "{report}");

    // An upgrade: stopped, and started again on the same volume. A write that begins in the gap waits, and takes effect once.
    let address = container.address("address").to_owned();
    assert!(container.end().success());
    let writer = |retry| pod.patient_client(&address, Person::Writer, retry);
    let write = async |client: Client| client.mailboxes().create(ORGANIZATION, mailbox("in the gap"), None).await;
    assert!(write(writer(RetryPolicy::never())).await.is_err());
    let patient = writer(RetryPolicy { attempts_max: 20, ..RetryPolicy::default() });
    let write = tokio::spawn(write(patient));
    let container = pod.start(&address);
    let in_the_gap = write.await.unwrap().unwrap();
    let connector = pod.client(&container, Person::Connector);
    for (mailbox, password) in [(created, "kept"), (in_the_gap, "in the gap")] {
        assert_eq!(reveal(&connector, &mailbox.name).await.unwrap().as_deref(), Some(password));
    }
    assert!(container.end().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_credential_bundle_is_loaded_in_one_go() {
    let Some(pod) = Pod::new(POD_CERTIFICATE) else { return };
    let container = pod.start(FREE_PORT);
    pod.client(&container, Person::Admin).who_am_i().await.unwrap();
    // The kubelet replaces key and chain together.
    let tls = pod.release.certificates.path().join("tls");
    fs::remove_file(tls.join("server.pem")).unwrap();
    fs::remove_file(tls.join("server.key")).unwrap();
    pod.release.certificates.development();
    pod.write("tls", "..2026_11_30_21_00_00.2");
    container.signal("-HUP");
    awaited(&container.log, "server certificate reloaded");
    pod.client(&container, Person::Admin).who_am_i().await.unwrap();
    assert!(container.end().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_over_postgresql_replace_each_other() {
    let Some(pod) = Pod::new(POSTGRESQL) else { return };
    let container = pod.start(FREE_PORT);
    let (code, report, error) = pod.exec(&container, &["check-config"]);
    assert_eq!(code, 0, "{report}{error}");
    // The kubelet lets all users write to an emptyDir. The container has no other user.
    assert!(report.contains("warning: data_dir: other users can replace the data folder"), "{report}");
    assert!(report.ends_with("0 errors, 1 warning\n"), "{report}");
    let admin = pod.client(&container, Person::Admin);
    admin.create_organization("contoso").await.unwrap();
    let created =
        pod.client(&container, Person::Writer).mailboxes().create(ORGANIZATION, mailbox("kept"), None).await.unwrap();
    admin.change_key(ORGANIZATION, &generate_key_text()).await.unwrap();
    let mut reencryption = admin.watch_reencryption(ORGANIZATION).await.unwrap();
    while reencryption.next().await.unwrap().is_some() {}

    // The volume has no data, so a further pod with an empty one serves the same organizations.
    let mut files: Vec<_> =
        fs::read_dir(pod.volume("data").join("data")).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["lock", "postgresql-deployment"]);
    assert!(container.end().success());
    let pod = pod.beside();
    let container = pod.start(FREE_PORT);
    assert_eq!(probed(container.address("plaintext_address")).await, ServingStatus::Serving);
    let connector = pod.client(&container, Person::Connector);
    assert_eq!(reveal(&connector, &created.name).await.unwrap().as_deref(), Some("kept"));
    assert!(container.end().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_update_over_postgresql_fails_no_call() {
    let Some(former) = Pod::new(POSTGRESQL) else { return };
    let container = former.start(FREE_PORT);
    former.client(&container, Person::Admin).create_organization("contoso").await.unwrap();
    // New connections lead to one server, as those of a Service lead to a pod that is ready.
    let service = Proxy::start(container.address("address")).await;
    let writer = former.patient_client(&service.address, Person::Writer, RetryPolicy::default());
    let (written, mut seen) = watch::channel(Vec::new());
    let writing = tokio::spawn(async move {
        while !written.is_closed() {
            let created = writer.mailboxes().create(ORGANIZATION, mailbox("kept"), None).await.unwrap();
            written.send_modify(|names| names.push(created.name));
        }
    });
    let mut write = async || {
        let expected = seen.borrow_and_update().len() + 100;
        let written = timeout(PATIENCE, seen.wait_for(|names| names.len() >= expected)).await;
        written.unwrap().unwrap().clone()
    };
    write().await;
    // The Deployment starts a pod, and stops a former one when that is ready.
    let pod = former.beside();
    let next = block_in_place(|| pod.start(FREE_PORT));
    assert_eq!(probed(next.address("plaintext_address")).await, ServingStatus::Serving);
    write().await;
    service.lead_to(next.address("address"));
    assert!(block_in_place(|| container.end()).success());
    let names = write().await;
    drop(seen);
    writing.await.unwrap();
    let connector = pod.client(&next, Person::Connector);
    // Some of them, because the rate of reveals is limited.
    for name in names.iter().step_by(names.len() / 50) {
        assert_eq!(reveal(&connector, name).await.unwrap().as_deref(), Some("kept"), "{name}");
    }
    assert!(block_in_place(|| next.end()).success());
}
