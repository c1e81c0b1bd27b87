//! The source of a release: a commit of the repository, with its version and its time.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::{Failure, file, text};

/// What is released.
pub(crate) struct Source {
    /// The repository's root.
    pub(crate) root: PathBuf,
    /// The version of the workspace, for example `0.1.0`.
    pub(crate) version: String,
    /// The commit's hash.
    pub(crate) commit: String,
    /// The commit's time, in seconds since 1970: the time of every file in the packages. It is the `SOURCE_DATE_EPOCH` of all tools.
    pub(crate) time: u64,
    /// The processor as Rust names it, for example `x86_64`.
    pub(crate) arch: &'static str,
}

impl Source {
    /// Reads the last commit. Changes that aren't committed are part of the build, but not of the name: a release starts from a clean tree.
    pub(crate) fn open(root: &Path) -> Result<Self, Failure> {
        let root = root.canonicalize().map_err(file("find", root))?;
        let git = |arguments: &[&str]| text(Command::new("git").arg("-C").arg(&root).args(arguments));
        let commit = git(&["rev-parse", "--verify", "HEAD"])?;
        let time = git(&["log", "-1", "--format=%ct", "HEAD"])?;
        let time = time.parse().map_err(|_| Failure::wrong(format!("`{time}` isn't the time of a commit")))?;
        Ok(Self { version: version(&root)?, commit, time, arch: std::env::consts::ARCH, root })
    }

    /// A command in the repository, whose output doesn't depend on the user's time zone and language.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.env("SOURCE_DATE_EPOCH", self.time.to_string());
        command
    }

    /// The time of the commit in RFC 3339.
    pub(crate) fn time_rfc3339(&self) -> Result<String, Failure> {
        self.date(&["+%Y-%m-%dT%H:%M:%SZ"])
    }

    /// The time of the commit in RFC 2822.
    pub(crate) fn time_rfc2822(&self) -> Result<String, Failure> {
        self.date(&["-R"])
    }

    fn date(&self, format: &[&str]) -> Result<String, Failure> {
        text(self.command("date").args(["--utc", &format!("--date=@{}", self.time)]).args(format))
    }

    /// The content of a file of the repository.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let path = self.root.join(path);
        std::fs::read(&path).map_err(file("read", &path))
    }
}

/// The version in the workspace's manifest.
fn version(root: &Path) -> Result<String, Failure> {
    let path = root.join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).map_err(file("read", &path))?;
    let manifest: toml::Table = manifest.parse().map_err(|error| Failure::wrong(format!("Cargo.toml: {error}")))?;
    let package = manifest.get("workspace").and_then(|workspace| workspace.get("package"));
    let version = package.and_then(|package| package.get("version")).and_then(toml::Value::as_str);
    version.map(str::to_owned).ok_or_else(|| Failure::wrong("Cargo.toml has no workspace.package.version"))
}
