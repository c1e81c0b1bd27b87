//! Processes that are measured: started, read from `/proc`, and ended with the bench.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{echo, outcome::Outcome};

/// The maximum time for a process to start or to end. A server with 10 million records takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clock ticks per second in `/proc/PID/stat`: a constant of Linux on every architecture that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// The resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    /// The maximum since its start.
    pub(crate) most: f64,
}

/// A running process with an address. It is killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) id: u32,
    pub(crate) address: SocketAddr,
    /// From its creation to the line with the address.
    pub(crate) started_in: Duration,
    /// Kept open, so that the process never gets an error for its output.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// `sealward-server dev` in a folder. Its log goes to `/dev/null`, which costs what any fast reader of the log costs.
    pub(crate) async fn server(program: &Path, folder: &Path) -> Outcome<Self> {
        Self::start_server(Command::new(program), folder).await
    }

    /// Like [`server`](Self::server), under Callgrind, which writes to `profile`.
    pub(crate) async fn server_counted(program: &Path, folder: &Path, profile: &Path) -> Outcome<Self> {
        Self::start_server(counted(program, profile), folder).await
    }

    /// Like [`server`](Self::server), on this address.
    pub(crate) async fn server_at(program: &Path, folder: &Path, address: SocketAddr) -> Outcome<Self> {
        Self::start_server_at(Command::new(program), folder, &address.to_string()).await
    }

    async fn start_server(command: Command, folder: &Path) -> Outcome<Self> {
        Self::start_server_at(command, folder, "127.0.0.1:0").await
    }

    async fn start_server_at(mut command: Command, folder: &Path, address: &str) -> Outcome<Self> {
        command.args(["dev", "--listen", address, "--data-dir"]).arg(folder);
        Self::start(command, |line| line.trim().strip_prefix("address ").map(str::to_owned)).await
    }

    /// The echo, with the certificates of a server and these answers.
    pub(crate) async fn echo(tls: &Path, answers: &Path) -> Outcome<Self> {
        Self::start_echo(Command::new(this_program()?), tls, answers).await
    }

    /// Like [`echo`](Self::echo), under Callgrind, which writes to `profile`.
    pub(crate) async fn echo_counted(tls: &Path, answers: &Path, profile: &Path) -> Outcome<Self> {
        Self::start_echo(counted(&this_program()?, profile), tls, answers).await
    }

    async fn start_echo(mut command: Command, tls: &Path, answers: &Path) -> Outcome<Self> {
        command.arg("echo").arg("--tls").arg(tls).arg("--answers").arg(answers);
        Self::start(command, |line| line.strip_prefix(echo::GREETING).map(str::to_owned)).await
    }

    /// Starts a process, and waits for the line of its output with its address.
    pub(crate) async fn start(mut command: Command, address: impl Fn(&str) -> Option<String>) -> Outcome<Self> {
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        let failed = |why: String| format!("{name} didn't start: {why}");
        let created = Instant::now();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let id = child.id().ok_or_else(|| failed("it has ended".to_owned()))?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("the output is piped")?).lines();
        let found = async {
            while let Some(line) = lines.next_line().await.map_err(|error| failed(error.to_string()))? {
                if let Some(address) = address(&line) {
                    return address.trim().parse().map_err(|_| failed(format!("`{line}` has no address")));
                }
            }
            Err(failed("it ended without printing its address".to_owned()))
        };
        let address = timeout(PATIENCE, found).await.map_err(|_| failed("no address in time".to_owned()))??;
        Ok(Self { child, id, address, started_in: created.elapsed(), _stdout: lines })
    }

    /// The CPU time of all its threads since it was created.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        cpu(self.id)
    }

    /// Its memory.
    pub(crate) fn memory(&self) -> Outcome<Memory> {
        let file = format!("/proc/{}/status", self.id);
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        let bytes = |name: &str| {
            let kib = text.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?;
            Some(kib.parse::<f64>().ok()? * 1024.0)
        };
        let (now, most) = bytes("VmRSS:").zip(bytes("VmHWM:")).ok_or_else(|| format!("{file} has no sizes"))?;
        Ok(Memory { now, most })
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(mut self) -> Outcome<()> {
        let sent = Command::new("kill").args(["-TERM", &self.id.to_string()]).status().await;
        if !sent.is_ok_and(|status| status.success()) {
            return Err(format!("SIGTERM can't be sent to the process {}", self.id));
        }
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the process {} didn't end", self.id)),
        }
    }
}

/// A program on one core under Callgrind.
fn counted(program: &Path, profile: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0", "valgrind", "--tool=callgrind", "--quiet"]);
    command.arg(format!("--callgrind-out-file={}", profile.display())).arg(program);
    command
}

/// The CPU time of a process.
fn cpu(process: u32) -> Outcome<Duration> {
    let [user, system, ..] = times(process)?;
    Ok(from_ticks(user + system))
}

/// The CPU time of a process, of its children, and of the children that have ended.
pub(crate) fn cpu_of_family(parent: u32) -> Outcome<Duration> {
    let mut ticks: u64 = times(parent)?.iter().sum();
    for entry in std::fs::read_dir("/proc").map_err(|error| format!("/proc: {error}"))? {
        let name = entry.map_err(|error| format!("/proc: {error}"))?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process may end while this reads.
        let is_child = stat(process).is_ok_and(|fields| fields.get(PARENT) == Some(&parent.to_string()));
        if is_child && let Ok([user, system, ..]) = times(process) {
            ticks += user + system;
        }
    }
    Ok(from_ticks(ticks))
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND)
}

/// User and system time of a process, and of its children that have ended, in ticks.
fn times(process: u32) -> Outcome<[u64; 4]> {
    let fields = stat(process)?;
    let times: Vec<u64> = fields.iter().skip(TIMES).take(4).map_while(|field| field.parse().ok()).collect();
    times.try_into().map_err(|_| format!("the process {process} has no times"))
}

/// The fields of `/proc/PID/stat` after the program's name, which is in parentheses and may contain spaces.
fn stat(process: u32) -> Outcome<Vec<String>> {
    let file = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

/// The places of the parent's id and of the times among these fields.
const PARENT: usize = 1;
const TIMES: usize = 11;

/// A TCP port of the loopback address that was free a moment ago: these programs can't choose one and print it.
pub(crate) fn free_port() -> Outcome<u16> {
    let failed = |error| format!("there is no free port: {error}");
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .map(|address| address.port())
        .map_err(failed)
}

/// This program.
pub(crate) fn this_program() -> Outcome<std::path::PathBuf> {
    std::env::current_exe().map_err(|error| format!("the path of this program is unknown: {error}"))
}

/// Runs a program to its end within a time, and returns its output.
pub(crate) async fn output(program: impl AsRef<OsStr>, arguments: &[String], most: Duration) -> Outcome<String> {
    let name = program.as_ref().to_string_lossy().into_owned();
    let running = Command::new(&program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(most, running)
        .await
        .map_err(|_| format!("{name} took more than {most:?}"))?
        .map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
