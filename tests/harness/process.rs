//! The server as a separate process that can be killed and started again.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
};

use super::postgresql;

/// A server process. Killed with the test.
pub(crate) struct Process {
    child: Child,
    folder: PathBuf,
    pub address: String,
    /// Its stdout before it was ready.
    pub message: String,
}

/// How much memory a process has, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub resident: u64,
    /// The maximum resident size since the process began.
    pub greatest: u64,
}

impl Process {
    /// `sealward-server dev` on this folder, once it is ready.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_logging(folder, Stdio::null())
    }

    /// Like [`start`](Self::start), with this log.
    pub(crate) fn start_logging(folder: &Path, log: impl Into<Stdio>) -> Self {
        Self::start_program(&binary("sealward-server"), folder, log)
    }

    /// Like [`start_logging`](Self::start_logging), for a program that may be older than the tests.
    pub(crate) fn start_program(program: &Path, folder: &Path, log: impl Into<Stdio>) -> Self {
        Self::begin(program, folder, log.into(), "").expect("the server ended before it was ready")
    }

    /// Like [`start`](Self::start), but it kills itself at this fail point; `None` if that was before it was ready.
    pub(crate) fn start_failing(folder: &Path, fail_point: &str) -> Option<Self> {
        Self::begin(&binary("sealward-server"), folder, Stdio::null(), fail_point)
    }

    fn begin(program: &Path, folder: &Path, log: Stdio, fail_point: &str) -> Option<Self> {
        if postgresql::is_selected() {
            drop(super::Folder::at(folder));
        }
        let mut child = Command::new(program)
            .args(["dev", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder)
            .env("SEALWARD_FAIL_POINT", fail_point)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut message = String::new();
        // The last line of its greeting.
        while !message.contains("\nPress Ctrl-C ") {
            let Some(line) = lines.next() else {
                child.wait().unwrap();
                postgresql::expire_leases(folder);
                return None;
            };
            message.push_str(&line.unwrap());
            message.push('\n');
        }
        let address = message.lines().find_map(|line| line.trim().strip_prefix("address")).unwrap().trim().to_owned();
        // The pipe is read to its end, so that the server never waits for it.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Process { child, folder: folder.to_owned(), address, message })
    }

    /// Waits until the process was killed at its fail point.
    pub(crate) async fn killed(mut self) {
        let ended = tokio::task::spawn_blocking(move || {
            let status = self.child.wait().unwrap();
            postgresql::expire_leases(&self.folder);
            status
        });
        let status =
            tokio::time::timeout(super::PATIENCE, ended).await.expect("the fail point is not reached").unwrap();
        assert_eq!(status.signal(), Some(9), "{status}");
    }

    /// SIGKILL, as a power cut would be to the process.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        postgresql::expire_leases(&self.folder);
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The memory it has; `None` once it has ended.
    pub(crate) fn memory(&self) -> Option<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let bytes = |name: &str| {
            let kib = status.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?;
            Some(kib.parse::<u64>().ok()? * 1024)
        };
        Some(Memory { resident: bytes("VmRSS:")?, greatest: bytes("VmHWM:")? })
    }

    /// Sends SIGTERM. The process runs until it has drained.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGHUP. The process reloads its files.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let told = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    /// Waits until the process has ended.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A program of this workspace, built as the tests are.
pub(crate) fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        // target/<profile>/deps/black_box-…
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().and_then(Path::parent).unwrap().to_owned();
        let release = folder.ends_with("release").then_some("--release");
        let built = Command::new(env!("CARGO"))
            // Including a test: with other features, Cargo would compile most dependencies again.
            .args(["build", "--quiet", "--workspace", "--bins", "--test", "black_box", "--locked"])
            .args(release)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success());
        folder
    });
    folder.join(name)
}

/// The folder of the tools that `cargo xtask test` installs.
pub(crate) fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin")
}

/// grpcurl, from the PATH or the folder of `cargo xtask test`.
pub(crate) fn grpcurl() -> PathBuf {
    tool("grpcurl")
}

/// A tool, from the PATH or the folder of `cargo xtask test`.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([tools()]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: run the tests with `cargo xtask test`, which installs it"))
}
