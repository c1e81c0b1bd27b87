//! The life of the Debian packages in a container of `systemd-nspawn` with a new Debian: `debian/without-systemd.sh` installs, upgrades, removes
//! and purges the packages. Then systemd is booted, and `debian/life.sh` also starts the service.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    command::{Failure, file, output, run, text},
    names::CLI,
    source::Source,
    sums,
    tree::{FILE, PROGRAM, Tree},
};

/// The unit that runs the script when the system is up, and then switches it off.
const UNIT: &str = "\
[Unit]
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
StandardOutput=append:/packages/log
StandardError=append:/packages/log
TimeoutStartSec=300
ExecStart=/packages/life.sh /packages VERSION
";

/// The maximum time in a container, in seconds. It takes some 50.
const LIFE_SECONDS_MAX: &str = "600";

/// What a person has beside the README's commands: a terminal to confirm an installation, and a network for recommended packages.
const README_SETUP: &str = r#"#!/bin/sh
set -eux
cd "$1"
export DEBIAN_FRONTEND=noninteractive
echo 'APT::Get::Assume-Yes "true"; APT::Install-Recommends "false";' >/etc/apt/apt.conf.d/99readme
"#;

/// Runs the script with these packages.
pub(super) fn life(source: &Source, out: &Path, packages: &[PathBuf]) -> Result<(), Failure> {
    let debian = installed_debian(source)?;
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    let shared = folder.path();
    let mut files = Tree::default();
    files.file("life.sh", PROGRAM, include_str!("../../debian/life.sh"));
    files.file("without-systemd.sh", PROGRAM, include_str!("../../debian/without-systemd.sh"));
    files.file("life.service", FILE, UNIT.replace("VERSION", &source.version));
    files.write_to(shared)?;
    for package in packages {
        let name = package.file_name().unwrap_or_default();
        fs::copy(package, shared.join(name)).map_err(file("copy", package))?;
        next_version(source, package, shared)?;
    }

    let container = || {
        let mut container = source.command("timeout");
        container.args([LIFE_SECONDS_MAX, "systemd-nspawn", "--console=pipe"]);
        // Changes go to memory, so the installed Debian can be used again.
        container.args(["--quiet", "--register=no", "--keep-unit", "--volatile=overlay", "--private-network"]);
        container.arg(format!("--directory={}", debian.display()));
        container.arg(format!("--bind={}:/packages", shared.display()));
        container
    };
    files_of_readme(source, out, shared)?;
    let log = text(container().args(["/packages/readme.sh", "/packages"]))?;
    passed(&log)?;
    let log = text(container().args(["/packages/without-systemd.sh", "/packages", &source.version]))?;
    passed(&log)?;

    let mut boot = container();
    boot.arg(format!("--bind-ro={}:/etc/systemd/system/life.service", shared.join("life.service").display()));
    output(boot.args(["--boot", "systemd.wants=life.service", "systemd.log_level=warning"]))?;
    let log = shared.join("log");
    passed(&fs::read_to_string(&log).map_err(file("read", &log))?)
}

/// Writes the README's commands for a Debian as a script, and copies the archives that they unpack.
fn files_of_readme(source: &Source, out: &Path, shared: &Path) -> Result<(), Failure> {
    let readme = String::from_utf8_lossy(&source.read("README.md")?).into_owned();
    let section = readme.split("\n## ").find(|section| section.starts_with("Install\n")).unwrap_or_default();
    // In the container, root runs them.
    let commands: Vec<&str> = section.split('`').filter_map(|part| part.strip_prefix("sudo ")).collect();
    if commands.len() < 3 {
        return Err(Failure::wrong(format!("the README installs with fewer commands than before: {commands:?}")));
    }
    let mut script = README_SETUP.to_owned();
    for command in commands {
        let programs = if command.starts_with("apt-get") { "/usr/bin" } else { "/usr/local/bin" };
        script.push_str(&format!("{command}\n{programs}/{} --version\n", CLI.program));
    }
    script.push_str("echo PASSED\n");
    let mut files = Tree::default();
    files.file("readme.sh", PROGRAM, script);
    files.write_to(shared)?;
    for path in sums::packages(out)?.iter().filter(|path| path.extension().is_some_and(|extension| extension == "gz")) {
        fs::copy(path, shared.join(path.file_name().unwrap_or_default())).map_err(file("copy", path))?;
    }
    Ok(())
}

/// Whether a script ran to its end.
fn passed(log: &str) -> Result<(), Failure> {
    if log.lines().last().is_some_and(|line| line.trim_end() == "PASSED") {
        return Ok(());
    }
    Err(Failure::wrong(format!("the life of the packages ended early:\n{log}")))
}

/// The folder of a small Debian, which is installed once.
fn installed_debian(source: &Source) -> Result<PathBuf, Failure> {
    let folder = source.root.join("target/tools/debian");
    if !folder.join("sbin/init").exists() {
        let codename = text(source.command("sh").args(["-c", ". /etc/os-release && echo $VERSION_CODENAME"]))?;
        let mut install = source.command("debootstrap");
        install.args(["--variant=minbase", "--include=systemd,systemd-sysv,dbus", &codename]);
        run(install.arg(&folder))?;
    }
    Ok(folder)
}

/// Writes the same package with a higher version.
fn next_version(source: &Source, package: &Path, out: &Path) -> Result<(), Failure> {
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    let content = folder.path().join("content");
    output(source.command("dpkg-deb").arg("--raw-extract").arg(package).arg(&content))?;
    let control = content.join("DEBIAN/control");
    let text = fs::read_to_string(&control).map_err(file("read", &control))?;
    let version = format!("Version: {}", source.version);
    fs::write(&control, text.replace(&version, &format!("{version}+next"))).map_err(file("write", &control))?;
    output(source.command("dpkg-deb").args(["--root-owner-group", "-Znone", "--build"]).arg(&content).arg(out))?;
    Ok(())
}
