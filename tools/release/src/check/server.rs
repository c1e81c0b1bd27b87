//! A server that runs in the files of a package.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::command::{Failure, file, text};

/// A running development server. It is killed when dropped.
pub(super) struct Server {
    process: Child,
    /// Open while the server runs, which would otherwise write to a closed pipe.
    stdout: Option<BufReader<ChildStdout>>,
    /// The folder of its certificates, as seen from outside.
    folder: PathBuf,
}

/// The steps of a container engine that matter here: a mount namespace of its own, a read-only root, the data folder, the user, no
/// capabilities. `$1` is the root, and `$2` the data folder.
const IN_IMAGE: &str = r#"
mount --bind "$1" "$1"
mount --bind -o remount,ro "$1"
mount --bind "$2" "$1/var/lib/sealward"
mount -t proc proc "$1/proc"
shift 2
"#;

impl Server {
    /// Starts the server of an image as this user and group, with a data folder that belongs to them.
    pub(super) fn start_in_image(root: &Path, data: &Path, (user, group): (u32, u32)) -> Result<Self, Failure> {
        fs::create_dir(data).map_err(file("create", data))?;
        chown(data, Some(user), Some(group)).map_err(file("set the owner of", data))?;
        let run = format!(
            "set -e{IN_IMAGE}exec chroot --userspec={user}:{group} --groups= \"$0\" /usr/bin/sealward-server dev \
             --data-dir /var/lib/sealward/dev --listen 127.0.0.1:0"
        );
        let mut command = Command::new("unshare");
        // `chroot` drops all capabilities with the user; it keeps none, as it starts a program that has none.
        command.args(["--mount", "--", "sh", "-c", &run]).arg(root).arg(root).arg(data).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        Self::start(&mut command, data.join("dev"))
    }

    /// Starts a development server, and waits until it serves.
    pub(super) fn start(command: &mut Command, folder: PathBuf) -> Result<Self, Failure> {
        let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let process = process.map_err(|error| Failure::Start { command: "sealward-server dev".to_owned(), error })?;
        let mut server = Self { process, stdout: None, folder };
        server.stdout = server.process.stdout.take().map(BufReader::new);
        let mut lines = server.stdout.iter_mut().flat_map(|stdout| stdout.lines().map_while(Result::ok));
        if lines.any(|line| line.contains("is running")) {
            return Ok(server);
        }
        let mut log = String::new();
        if let Some(mut stderr) = server.process.stderr.take() {
            stderr.read_to_string(&mut log).map_err(file("read", Path::new("the server's log")))?;
        }
        Err(Failure::wrong(format!("the server didn't start:\n{log}")))
    }

    /// Writes a record with a secret, reads null, and reveals the secret.
    pub(super) fn call(&self, cli: &Path) -> Result<(), Failure> {
        let secret = self.folder.join("secret");
        fs::write(&secret, SECRET).map_err(file("write", &secret))?;
        let sealward = |arguments: &[&str]| {
            let mut command = Command::new(cli);
            command.env_clear().env("SEALWARD_DEV", &self.folder).env("SEALWARD_OUTPUT", "json");
            text(command.args(arguments))
        };
        let secret = format!("password=@{}", secret.display());
        let create = ["--as", "writer", "mailbox", "create", "--set", "display_name=Sales", "--secret", &secret];
        let mailbox = sealward(&[create.as_slice(), &["--output", "name"]].concat())?;
        let read = sealward(&["--as", "reader", "mailbox", "get", &mailbox])?;
        let reveal = ["mailbox", "reveal", &mailbox, "--attribute", "password", "--purpose", "test of the package"];
        let revealed = sealward(&[["--as", "connector"].as_slice(), &reveal].concat())?;
        if read.contains("\"password\": null") && !read.contains(SECRET) && revealed.contains(SECRET) {
            return Ok(());
        }
        Err(Failure::wrong(format!("unexpected answers:\n{read}\n{revealed}")))
    }

    /// Stops the server as an engine does, by SIGTERM. It has to end with success.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        text(Command::new("kill").arg("-TERM").arg(self.process.id().to_string()))?;
        let status = self.process.wait().map_err(file("wait for", Path::new("the server")))?;
        if status.success() { Ok(()) } else { Err(Failure::wrong(format!("the server ended with {status}"))) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _has_ended = self.process.kill();
        let _is_gone = self.process.wait();
    }
}

const SECRET: &str = "tr0ub4dor&3";
