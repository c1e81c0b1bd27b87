//! The image under Podman: loaded from its archive, and run with the options of docs/install.md.

use std::{fs, os::unix::fs::chown, path::Path, process::Command};

use tempfile::TempDir;

use super::server::Server;
use crate::{
    command::{Failure, file, output},
    image,
    source::Source,
};

/// A Podman with an own folder for images and containers, so that those of the user stay untouched. The runtime and the driver work wherever root
/// does, also in a container.
const PODMAN: &[&str] = &["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--runtime=runc"];

/// The options of docs/install.md, with the network of this machine.
const RUN: &[&str] =
    &["run", "--rm", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=host"];

/// By default, Podman raises these limits as far as the kernel allows, which needs a capability that root in a container lacks.
const LIMITS: &[&str] = &["--ulimit=nofile=4096:4096", "--ulimit=nproc=1024:1024"];

/// Loads the image, runs the server, and makes calls.
pub(super) fn run(source: &Source, out: &Path, cli: &Path) -> Result<(), Failure> {
    // Sockets are below it, whose paths have to be short.
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    let podman = || {
        let mut podman = source.command("podman");
        podman
            .arg("--root")
            .arg(folder.path().join("root"))
            .arg("--runroot")
            .arg(folder.path().join("run"))
            .args(PODMAN);
        podman
    };
    let called = call(source, out, cli, folder.path(), &podman);
    // Nothing stays after a failure either, such as mounts and a container that runs.
    output(podman().args(["rm", "--all", "--force", "--time=0"]))?;
    output(podman().args(["rmi", "--all", "--force"]))?;
    called
}

fn call(source: &Source, out: &Path, cli: &Path, folder: &Path, podman: &dyn Fn() -> Command) -> Result<(), Failure> {
    output(podman().args(["load", "--input"]).arg(out.join(image::name(source)?)))?;
    let data = folder.join("data");
    fs::create_dir(&data).map_err(file("create", &data))?;
    chown(&data, Some(image::USER), Some(image::USER)).map_err(file("set the owner of", &data))?;
    let mut run = podman();
    run.args(RUN).args(LIMITS).arg("--volume").arg(format!("{}:/{}", data.display(), image::DATA));
    run.arg(image::reference(source)).args(["dev", "--listen", "127.0.0.1:0", "--data-dir"]);
    run.arg(format!("/{}/dev", image::DATA));
    let server = Server::start(&mut run, data.join("dev"))?;
    server.call(cli)?;
    // Podman passes the signal on, and ends with the code of the server.
    server.stop()
}
