//! PostgreSQL with pgcrypto, over TLS, `fsync` on; load by pgbench with prepared statements, one connection for each call in flight.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    figures::{Log, Round},
    outcome::Outcome,
    process::{self, Process, free_port},
    shape::Shape,
    work::Work,
};

/// The rows that are read and updated.
const ROWS: u64 = 10_000;
/// The rows of the table that one statement encrypts again.
const BULK_ROWS: u64 = 200_000;
const COMMAND_MAX: Duration = Duration::from_secs(120);
/// The system's user that PostgreSQL runs as if the bench runs as root, which PostgreSQL refuses.
const USER: &str = "postgres";

/// A running PostgreSQL.
pub(crate) struct Postgres {
    pub(super) process: Process,
    programs: PathBuf,
    folder: TempDir,
}

/// The newest PostgreSQL that Debian's packages installed.
pub(super) fn find() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok).map(|version| version.path());
    let folders = versions.map(|version| version.join("bin")).filter(|folder| folder.join("postgres").is_file());
    folders.max_by_key(|folder| folder.parent()?.file_name()?.to_str()?.parse::<u32>().ok())
}

impl Postgres {
    pub(super) async fn start(programs: &Path, tls: &Path) -> Outcome<Self> {
        // A folder of its own, because another user has to reach it.
        let folder = TempDir::new().map_err(|error| format!("a temporary folder can't be created: {error}"))?;
        let path = folder.path();
        for file in ["server.pem", "server.key"] {
            fs::copy(tls.join(file), path.join(file)).map_err(|error| format!("{file}: {error}"))?;
        }
        let is_root = fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0);
        let shown = path.display().to_string();
        if is_root {
            process::output("chown", &["-R".to_owned(), USER.to_owned(), shown.clone()], COMMAND_MAX).await?;
        }
        let prefix: Vec<String> = if is_root {
            let setpriv = ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups", "env"];
            setpriv.into_iter().map(str::to_owned).chain([format!("HOME={shown}")]).collect()
        } else {
            vec!["env".to_owned()]
        };
        let command = |program: &str, arguments: &[String]| -> Vec<String> {
            let program = programs.join(program).display().to_string();
            prefix.iter().cloned().chain([program]).chain(arguments.iter().cloned()).collect()
        };
        let run = async |program: &str, arguments: &[String]| {
            let words = command(program, arguments);
            let (first, rest) = words.split_first().ok_or("there is a program")?;
            process::output(first, rest, COMMAND_MAX).await
        };
        let data = format!("{shown}/data");
        let arguments = ["--pgdata", &data, "--no-sync", "--auth=trust", "--username=bench", "--encoding=UTF8"];
        run("initdb", &arguments.map(str::to_owned)).await?;

        let port = free_port()?;
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            format!("unix_socket_directories={shown}"),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={shown}/server.pem"),
            format!("ssl_key_file={shown}/server.key"),
            "max_connections=300".to_owned(),
        ];
        let settings = settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]);
        let server = command("postgres", &["-D".to_owned(), data].into_iter().chain(settings).collect::<Vec<_>>());
        // Its log goes to stderr, and has the line that it is ready.
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"exec "$@" 2>&1"#, "sh"]).args(server);
        let is_ready = |line: &str| line.contains("ready to accept connections").then(|| format!("127.0.0.1:{port}"));
        let process = Process::start(shell, is_ready).await?;
        let peer = Self { process, programs: programs.to_owned(), folder };
        peer.sql(&format!(
            "CREATE EXTENSION pgcrypto;
             CREATE TABLE mailbox (id bigserial PRIMARY KEY, display_name text, email_address text, username text, password bytea);
             INSERT INTO mailbox (display_name, email_address, username, password)
             SELECT 'Sales', 'sales@example.com', 'sales@example.com', {SEALED} FROM generate_series(1, {ROWS});
             VACUUM ANALYZE mailbox;"
        ))
        .await?;
        Ok(peer)
    }

    pub(super) async fn run(&self, work: Work, shape: Shape, seconds: f64, scratch: &Path) -> Outcome<Round> {
        let script = match work {
            Work::Read => format!(
                "\\set id random(1, {ROWS})\nSELECT id, display_name, email_address, username, password IS NOT NULL FROM mailbox WHERE id = :id;\n"
            ),
            Work::Reveal => format!(
                "\\set id random(1, {ROWS})\nSELECT pgp_sym_decrypt(password, {KEY}) FROM mailbox WHERE id = :id;\n"
            ),
            Work::Create => format!(
                "INSERT INTO mailbox (display_name, email_address, username, password) VALUES ('Sales', 'sales@example.com', 'sales@example.com', {SEALED}) RETURNING id, display_name, email_address, username;\n"
            ),
            Work::Update => format!(
                "\\set id random(1, {ROWS})\nUPDATE mailbox SET password = {SEALED} WHERE id = :id RETURNING id, display_name, email_address, username;\n"
            ),
        };
        let failed = |error: std::io::Error| format!("pgbench: {error}");
        let logs = scratch.join("pgbench");
        fs::create_dir_all(&logs).map_err(failed)?;
        fs::write(logs.join("script"), script).map_err(failed)?;
        let cpu = process::cpu_of_family(self.process.id)?;
        let arguments = [
            "PGSSLMODE=require".to_owned(),
            self.programs.join("pgbench").display().to_string(),
            "--host=127.0.0.1".to_owned(),
            format!("--port={}", self.process.address.port()),
            "--username=bench".to_owned(),
            "--no-vacuum".to_owned(),
            "--protocol=prepared".to_owned(),
            format!("--client={}", shape.in_flight),
            // Whole seconds only.
            format!("--time={}", seconds.ceil()),
            "--log".to_owned(),
            format!("--log-prefix={}", logs.join("log").display()),
            format!("--file={}", logs.join("script").display()),
            "postgres".to_owned(),
        ];
        let output = process::output("env", &arguments, Duration::from_secs_f64(seconds) + COMMAND_MAX).await?;
        let cpu = process::cpu_of_family(self.process.id)?.saturating_sub(cpu);
        let log = read_log(&logs, &output)?;
        fs::remove_dir_all(&logs).map_err(failed)?;
        Round::of(log, cpu)
    }

    /// Decrypts and encrypts every row of a table again in one statement, and returns the rows per second.
    pub(crate) async fn encrypt_again(&self) -> Outcome<f64> {
        self.sql(&format!(
            "CREATE TABLE bulk AS SELECT id, 'Sales'::text AS display_name,
                encrypt('correct horse battery staple', '0123456789abcdef', 'aes') AS password
             FROM generate_series(1, {BULK_ROWS}) AS id;
             ALTER TABLE bulk ADD PRIMARY KEY (id);
             CHECKPOINT;"
        ))
        .await?;
        let start = Instant::now();
        self.sql("UPDATE bulk SET password = encrypt(decrypt(password, '0123456789abcdef', 'aes'), 'fedcba9876543210', 'aes');").await?;
        Ok(BULK_ROWS as f64 / start.elapsed().as_secs_f64())
    }

    async fn sql(&self, text: &str) -> Outcome<()> {
        let script = self.folder.path().join("script.sql");
        fs::write(&script, text).map_err(|error| format!("{}: {error}", script.display()))?;
        let arguments = [
            "PGSSLMODE=require".to_owned(),
            self.programs.join("psql").display().to_string(),
            "--no-psqlrc".to_owned(),
            "--quiet".to_owned(),
            "--set=ON_ERROR_STOP=1".to_owned(),
            "--host=127.0.0.1".to_owned(),
            format!("--port={}", self.process.address.port()),
            "--username=bench".to_owned(),
            format!("--file={}", script.display()),
            "postgres".to_owned(),
        ];
        process::output("env", &arguments, COMMAND_MAX).await.map(|_| ())
    }
}

/// A key for pgcrypto, and the SQL expression of a sealed value.
const KEY: &str = "'a key of some length'";
const SEALED: &str = "pgp_sym_encrypt('correct horse battery staple', 'a key of some length', 'cipher-algo=aes256')";

/// The log of pgbench, with the rate that it printed.
fn read_log(folder: &Path, output: &str) -> Outcome<Log> {
    let failed = |error: std::io::Error| format!("pgbench: {error}");
    let rate = output.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
    let rate = rate.ok_or_else(|| format!("pgbench printed no rate: {output}"))?;
    let mut times_us = Vec::new();
    for file in fs::read_dir(folder).map_err(failed)? {
        let file = file.map_err(failed)?;
        if !file.file_name().to_string_lossy().starts_with("log.") {
            continue;
        }
        let text = fs::read_to_string(file.path()).map_err(failed)?;
        // Client, number, time in microseconds, and more.
        times_us.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<u32>().ok()));
    }
    times_us.sort_unstable();
    let span = Duration::from_secs_f64(times_us.len() as f64 / rate);
    Ok(Log { times_us, refused: 0, span })
}
