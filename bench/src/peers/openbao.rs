//! OpenBao on raft with one node, TLS, and a file as its audit device; secrets engine KV, version 1.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{process::Command, time::interval};

use crate::{
    figures::Round,
    h2load::{self, Amount},
    outcome::Outcome,
    process::{self, Process, free_port},
    shape::Shape,
    work::Work,
};

/// The keys that are written and read.
const KEYS: usize = 1_000;
/// What is stored under each key: what a mailbox of the bench contains.
const VALUE: &str = r#"{"display_name":"Sales","email_address":"sales@example.com","username":"sales@example.com","password":"correct horse battery staple"}"#;
const MOUNT: &str = "bench";
/// The attempts to use a server that elects itself, ten a second.
const ATTEMPTS: u32 = 200;
const COMMAND_MAX: Duration = Duration::from_secs(30);

/// A running OpenBao.
pub(crate) struct OpenBao {
    pub(super) process: Process,
    token: String,
}

/// `bao` on the PATH.
pub(super) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("bao")).find(|program| program.is_file())
}

impl OpenBao {
    pub(super) async fn start(program: &Path, tls: &Path, folder: &Path) -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder.join("raft")).map_err(failed)?;
        let (port, cluster_port) = (free_port()?, free_port()?);
        let (tls, shown) = (tls.display(), folder.display());
        let config = format!(
            r#"storage "raft" {{ path = "{shown}/raft" node_id = "bench" }}
listener "tcp" {{ address = "127.0.0.1:{port}" tls_cert_file = "{tls}/server.pem" tls_key_file = "{tls}/server.key" }}
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
log_level = "warn"
audit "file" "bench" {{ options {{ file_path = "{shown}/audit.log" }} }}
"#
        );
        fs::write(folder.join("config.hcl"), config).map_err(failed)?;
        let mut command = Command::new(program);
        command.arg("server").arg("-config").arg(folder.join("config.hcl"));
        let process = Process::start(command, |line| {
            line.trim().strip_prefix("Listener 1: tcp (addr: \"")?.split('"').next().map(str::to_owned)
        })
        .await?;

        let cli = Cli { program, address: format!("https://127.0.0.1:{port}"), ca: format!("{tls}/ca.pem") };
        let initialized =
            cli.run("", &["operator", "init", "-key-shares=1", "-key-threshold=1", "-format=json"]).await?;
        let initialized: serde_json::Value =
            serde_json::from_str(&initialized).map_err(|error| format!("bao operator init: {error}"))?;
        let text = |pointer: &str| {
            let text = initialized.pointer(pointer).and_then(|value| value.as_str());
            text.map(str::to_owned).ok_or_else(|| format!("bao operator init printed no {pointer}"))
        };
        let (key, token) = (text("/unseal_keys_b64/0")?, text("/root_token")?);
        cli.run("", &["operator", "unseal", &key]).await?;
        // It answers once it has elected itself.
        let mut tick = interval(Duration::from_millis(100));
        let mut attempt = 0;
        let mount = format!("-path={MOUNT}");
        while let Err(error) = cli.run(&token, &["secrets", "enable", &mount, "-version=1", "kv"]).await {
            attempt += 1;
            if attempt == ATTEMPTS {
                return Err(error);
            }
            tick.tick().await;
        }
        let peer = Self { process, token };
        let shape = Shape { in_flight: 16, connections: 1 };
        peer.load(Work::Create, shape, Amount::Calls(KEYS as u64), folder).await?;
        Ok(peer)
    }

    pub(super) async fn run(&self, work: Work, shape: Shape, seconds: f64, scratch: &Path) -> Outcome<Round> {
        self.load(work, shape, Amount::Seconds(seconds), scratch).await
    }

    async fn load(&self, work: Work, shape: Shape, amount: Amount, scratch: &Path) -> Outcome<Round> {
        let body = scratch.join("openbao.json");
        fs::write(&body, VALUE).map_err(|error| format!("{}: {error}", body.display()))?;
        let (body, success) = match work {
            Work::Read | Work::Reveal => (None, OK),
            Work::Create | Work::Update => (Some(body.as_path()), NO_CONTENT),
        };
        let paths: Vec<String> = (0..KEYS).map(|key| format!("/v1/{MOUNT}/{key}")).collect();
        let load = h2load::Load {
            address: self.process.address,
            paths: &paths,
            headers: &[format!("x-vault-token: {}", self.token)],
            body,
            success,
            answer_bytes: None,
            connections: shape.connections,
            in_flight: shape.in_flight,
            amount,
            rate: None,
            log: &scratch.join("openbao.load.log"),
        };
        let cpu = self.process.cpu()?;
        let log = h2load::run(&load).await?;
        Round::of(log, self.process.cpu()?.saturating_sub(cpu))
    }
}

const OK: i32 = 200;
const NO_CONTENT: i32 = 204;

/// The command line of OpenBao.
struct Cli<'a> {
    program: &'a Path,
    address: String,
    ca: String,
}

impl Cli<'_> {
    async fn run(&self, token: &str, arguments: &[&str]) -> Outcome<String> {
        let mut all = vec![
            format!("BAO_ADDR={}", self.address),
            format!("BAO_CACERT={}", self.ca),
            format!("BAO_TOKEN={token}"),
            self.program.display().to_string(),
        ];
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        process::output("env", &all, COMMAND_MAX).await
    }
}
