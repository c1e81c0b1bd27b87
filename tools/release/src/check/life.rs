//! The life of the Debian packages: a new Debian is booted with systemd in a container of `systemd-nspawn`, and `debian/life.sh` installs,
//! starts, upgrades, removes and purges the packages in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    command::{Failure, file, output, run, text},
    source::Source,
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

/// Runs the script with these packages.
pub(super) fn life(source: &Source, packages: &[PathBuf]) -> Result<(), Failure> {
    let debian = installed_debian(source)?;
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    let shared = folder.path();
    let mut files = Tree::default();
    files.file("life.sh", PROGRAM, include_str!("../../debian/life.sh"));
    files.file("life.service", FILE, UNIT.replace("VERSION", &source.version));
    files.write_to(shared)?;
    for package in packages {
        let name = package.file_name().unwrap_or_default();
        fs::copy(package, shared.join(name)).map_err(file("copy", package))?;
        next_version(source, package, shared)?;
    }

    // Changes go to memory, so the installed Debian can be used again.
    let mut boot = source.command("systemd-nspawn");
    boot.args(["--quiet", "--register=no", "--keep-unit", "--volatile=overlay", "--private-network", "--boot"]);
    boot.arg(format!("--directory={}", debian.display())).arg(format!("--bind={}:/packages", shared.display()));
    boot.arg(format!("--bind-ro={}:/etc/systemd/system/life.service", shared.join("life.service").display()));
    output(boot.args(["systemd.wants=life.service", "systemd.log_level=warning"]))?;

    let log = shared.join("log");
    let log = fs::read_to_string(&log).map_err(file("read", &log))?;
    if log.lines().last() == Some("PASSED") {
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
