//! A real SPIRE server and agent, which renew the certificate of a server under load.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::timeout;

use super::{Load, api, updates_in, with_workload_api};
use crate::{
    due::scraped,
    harness::{Folder, Server},
    reload::wire::{Caller, call},
};

/// The lifetime of the server's certificate, in seconds. The agent renews it after a half, and looks every five seconds.
const LIFETIME_SECONDS: u32 = 20;

/// The number of certificates that the server has, one after the other.
const CERTIFICATES: usize = 3;

/// How long the test waits for SPIRE: far longer than some renewals take.
const SPIRE_PATIENCE: Duration = Duration::from_secs(180);

/// A deployment of SPIRE. Its processes end with the test.
struct Spire {
    folder: TempDir,
    processes: Vec<Child>,
}

impl Drop for Spire {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ended = process.kill();
            let _status = process.wait();
        }
    }
}

impl Spire {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A SPIRE server of the trust domain example.org, when it answers.
    async fn start() -> Self {
        let mut spire = Self { folder: TempDir::new().unwrap(), processes: Vec::new() };
        let folder = spire.folder.path().display();
        // The port is free now. SPIRE can't choose one.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = format!(
            r#"server {{
                bind_address = "127.0.0.1"
                bind_port = "{port}"
                socket_path = "{folder}/server.sock"
                trust_domain = "example.org"
                data_dir = "{folder}/server"
            }}
            plugins {{
                DataStore "sql" {{ plugin_data {{ database_type = "sqlite3" connection_string = "{folder}/spire.sqlite3" }} }}
                NodeAttestor "join_token" {{ plugin_data {{}} }}
                KeyManager "memory" {{ plugin_data {{}} }}
            }}"#
        );
        let agent = format!(
            r#"agent {{
                server_address = "127.0.0.1"
                server_port = "{port}"
                socket_path = "{folder}/agent.sock"
                trust_domain = "example.org"
                data_dir = "{folder}/agent"
                insecure_bootstrap = true
            }}
            plugins {{
                NodeAttestor "join_token" {{ plugin_data {{}} }}
                KeyManager "memory" {{ plugin_data {{}} }}
                WorkloadAttestor "unix" {{ plugin_data {{}} }}
            }}"#
        );
        fs::write(spire.path("server.conf"), server).unwrap();
        fs::write(spire.path("agent.conf"), agent).unwrap();
        spire.spawn("spire-server", "server.conf", &[]);
        let answering = async {
            while spire.try_ask(&["healthcheck"]).is_err() {
                tokio::task::yield_now().await
            }
        };
        timeout(SPIRE_PATIENCE, answering).await.expect("the SPIRE server doesn't answer");
        spire
    }

    fn spawn(&mut self, program: &str, configuration: &str, arguments: &[&str]) {
        let log = fs::File::create(self.path(&format!("{program}.log"))).unwrap();
        let mut command = Command::new(program);
        command.args(["run", "-config"]).arg(self.path(configuration)).args(arguments);
        let started = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.processes
            .push(started.unwrap_or_else(|error| panic!("{program}: {error}: run cargo xtask test --all spire")));
    }

    /// The output of a command of the SPIRE server; or its errors, if it failed.
    fn try_ask(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("spire-server");
        let output = command.args(arguments).arg("-socketPath").arg(self.path("server.sock")).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn ask(&self, arguments: &[&str]) -> String {
        self.try_ask(arguments).unwrap_or_else(|error| panic!("spire-server {arguments:?}: {error}"))
    }

    /// Starts the agent, with entries for processes of this user.
    fn start_agent(&mut self, ids: &[&str]) {
        let (node, uid) = ("spiffe://example.org/node", fs::metadata("/proc/self").unwrap().uid());
        let lifetime = LIFETIME_SECONDS.to_string();
        for id in ids {
            let selector = format!("unix:uid:{uid}");
            let of_entry = ["-parentID", node, "-spiffeID", id, "-selector", &selector, "-dns", "localhost"];
            let of_svid = ["-x509SVIDTTL", &lifetime];
            self.ask(&[&["entry", "create"][..], &of_entry, &of_svid].concat());
        }
        let token = self.ask(&["token", "generate", "-spiffeID", node]);
        let token = token.trim().strip_prefix("Token: ").unwrap().to_owned();
        self.spawn("spire-agent", "agent.conf", &["-joinToken", &token]);
    }

    /// The files of an SVID for an administrator, in PEM: CA, certificate and key.
    fn mint(&self) -> [String; 3] {
        let folder = self.path("admin");
        fs::create_dir(&folder).unwrap();
        self.ask(&["x509", "mint", "-spiffeID", "spiffe://example.org/admin", "-write", folder.to_str().unwrap()]);
        ["bundle.pem", "svid.pem", "key.pem"].map(|name| fs::read_to_string(folder.join(name)).unwrap())
    }
}

#[tokio::test]
#[ignore = "needs SPIRE: cargo xtask test --all spire"]
async fn spire_rotates_the_certificate_under_load_without_a_failed_call() {
    let mut spire = Spire::start().await;
    // The agent sends both SVIDs to the server.
    spire.start_agent(&["spiffe://example.org/other", "spiffe://example.org/sealward"]);
    let socket = spire.path("agent.sock");
    let server = Server::start_in(Folder::new(), |config| {
        with_workload_api(config, socket);
        config.limits.workload_api_wait_ms = 120_000;
        api(config).spiffe_id = Some("spiffe://example.org/sealward".parse().unwrap());
    })
    .await;
    let [ca, certificate, key] = spire.mint();
    let caller = || Caller::new(server.address(), &ca, &certificate, &key);
    let load = Load::start(&[caller()]);
    let mut certificates = BTreeSet::new();
    let rotating = async {
        while certificates.len() < CERTIFICATES {
            // Without a session of a former handshake, which would have its certificate.
            let caller = caller();
            call(&caller.channel()).await.unwrap();
            certificates.insert(caller.connections()[0].server_certificate.to_vec());
        }
    };
    timeout(SPIRE_PATIENCE, rotating).await.unwrap();
    load.advance().await;
    let calls = load.stop().await;
    println!("{calls} calls over {CERTIFICATES} certificates, none failed");
    let metrics = scraped(server.metrics_address()).await;
    assert_eq!(updates_in(&metrics, "refused"), 0);
    assert!(updates_in(&metrics, "applied") >= 2 && metrics.contains("sealward_workload_api_connected 1"), "{metrics}");
}
