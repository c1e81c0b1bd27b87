//! The source of a release: a commit of the repository, with its version and its time.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::{Failure, file, output, text};

/// What is released.
pub(crate) struct Source {
    /// The repository's root.
    pub(crate) root: PathBuf,
    /// The version of the workspace, for example `0.1.0`.
    pub(crate) version: String,
    /// The commit's hash.
    pub(crate) commit: String,
    /// Files that differ from the commit, or aren't in it. Ignored files don't count, nor does the record of long checks.
    pub(crate) changed: Vec<String>,
    /// The commit's time, in seconds since 1970: the time of every file in the packages. It is the `SOURCE_DATE_EPOCH` of all tools.
    pub(crate) time: u64,
    /// The processor as Rust names it, for example `x86_64`.
    pub(crate) arch: &'static str,
}

impl Source {
    /// Reads the last commit.
    pub(crate) fn open(root: &Path) -> Result<Self, Failure> {
        let root = root.canonicalize().map_err(file("find", root))?;
        let git = |arguments: &[&str]| text(Command::new("git").arg("-C").arg(&root).args(arguments));
        let commit = git(&["rev-parse", "--verify", "HEAD"])?;
        let time = git(&["log", "-1", "--format=%ct", "HEAD"])?;
        let time = time.parse().map_err(|_| Failure::wrong(format!("`{time}` isn't the time of a commit")))?;
        // Without optional locks: another git may work in the repository.
        let status = output(Command::new("git").arg("-C").arg(&root).args(STATUS))?;
        let status = String::from_utf8_lossy(&status);
        let changed = status.split_terminator('\0').filter(|file| !file.ends_with(RECORD)).map(str::to_owned).collect();
        Ok(Self { version: version(&root)?, commit, changed, time, arch: std::env::consts::ARCH, root })
    }

    /// The commit, with a mark if files differ from it: what the packages say about their source.
    pub(crate) fn revision(&self) -> String {
        if self.changed.is_empty() { self.commit.clone() } else { format!("{}-changed", self.commit) }
    }

    /// Refuses a source that isn't the commit: its packages would name a commit that they aren't built from.
    pub(crate) fn must_be_committed(&self) -> Result<(), Failure> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let shown: Vec<&str> = self.changed.iter().take(SHOWN_MAX).map(String::as_str).collect();
        Err(Failure::wrong(format!(
            "{} files differ from the commit {}: commit, stash or remove them. The first are:\n{}",
            self.changed.len(),
            self.commit,
            shown.join("\n")
        )))
    }

    /// A command in the repository, whose output doesn't depend on the user's time zone and language.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.env("SOURCE_DATE_EPOCH", self.time.to_string());
        command
    }

    /// The name of an archive of programs without its extension, which is also the folder in it.
    pub(crate) fn archive(&self, name: &str) -> String {
        format!("{name}-{}-linux-{}", self.version, self.arch)
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

/// The arguments of git that list files which differ from the commit, each with its state before it and a NUL after it. A renamed file is listed
/// as removed and as new.
const STATUS: [&str; 5] = ["--no-optional-locks", "status", "--porcelain", "-z", "--no-renames"];

/// The record of checks that take long. `cargo xtask test --all` writes it after each of them, and no package contains it.
const RECORD: &str = " tests/long-checks.txt";

/// The number of changed files in an error.
const SHOWN_MAX: usize = 10;

/// The version in the workspace's manifest.
fn version(root: &Path) -> Result<String, Failure> {
    let path = root.join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).map_err(file("read", &path))?;
    let manifest: toml::Table = manifest.parse().map_err(|error| Failure::wrong(format!("Cargo.toml: {error}")))?;
    let package = manifest.get("workspace").and_then(|workspace| workspace.get("package"));
    let version = package.and_then(|package| package.get("version")).and_then(toml::Value::as_str);
    version.map(str::to_owned).ok_or_else(|| Failure::wrong("Cargo.toml has no workspace.package.version"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn git(root: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"];
        output(Command::new("git").arg("-C").arg(root).args(identity).args(arguments)).unwrap();
    }

    #[test]
    fn source_with_changed_or_new_files_is_refused_and_says_so_in_its_revision() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("Cargo.toml"), "[workspace.package]\nversion = \"1.2.3\"\n").unwrap();
        fs::write(root.join(".gitignore"), "target\n").unwrap();
        git(root, &["init", "--quiet"]);
        git(root, &["add", "."]);
        git(root, &["commit", "--quiet", "--message", "one"]);
        fs::create_dir(root.join("target")).unwrap();
        fs::write(root.join("target/ignored"), "").unwrap();
        let clean = Source::open(root).unwrap();
        assert_eq!((clean.version.as_str(), clean.revision()), ("1.2.3", clean.commit.clone()));
        clean.must_be_committed().unwrap();

        let refused = |name: &str| {
            let source = Source::open(root).unwrap();
            assert_eq!(source.revision(), format!("{}-changed", clean.commit));
            let error = source.must_be_committed().unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(&clean.commit), "{error}");
        };
        fs::write(root.join("new file"), "").unwrap();
        refused("?? new file");
        fs::remove_file(root.join("new file")).unwrap();
        fs::write(root.join(".gitignore"), "target\nother\n").unwrap();
        refused(" M .gitignore");
        git(root, &["add", "."]);
        refused("M  .gitignore");
    }
}
