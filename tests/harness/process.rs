//! The server as a process of its own: what it takes to kill it and start it again.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

/// A server process. Killed with the test.
pub struct Process {
    child: Child,
    pub address: String,
}

impl Process {
    /// `fieldseal-server dev` on this folder, once it says that it is ready.
    pub fn start(folder: &Path) -> Self {
        let mut child = Command::new(binary("fieldseal-server"))
            .args(["dev", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("the server ended before it was ready").unwrap();
            if let Some(address) = line.trim().strip_prefix("address") {
                break address.trim().to_owned();
            }
        };
        // The pipe is read to its end, so that the server never waits for it.
        std::thread::spawn(move || lines.for_each(drop));
        Process { child, address }
    }

    /// SIGKILL, as a power cut would be to the process.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A program of this workspace, built as the tests are.
pub fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        // target/<profile>/deps/black_box-…
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().and_then(Path::parent).unwrap().to_owned();
        let release = folder.ends_with("release").then_some("--release");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--bins", "--locked"])
            .args(release)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success());
        folder
    });
    folder.join(name)
}
