//! The files of Istio in `deploy/mesh`, checked with istioctl: each alone, and for references between resources.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::harness::process::tool;

const FILES: [&str; 3] = ["istio-passthrough.yaml", "istio-sidecar-unix-socket.yaml", "istio-waypoint.yaml"];

/// Without a cluster.
fn istioctl(arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new(tool("istioctl"));
    // It reads no settings of the user.
    command.args(arguments).arg(file).env("KUBECONFIG", "/dev/null").env("HOME", file.parent().unwrap());
    command.output().unwrap()
}

fn validated(file: &Path) -> Output {
    istioctl(&["validate", "--filename"], file)
}

/// Fails on warnings too.
fn analyzed(file: &Path) -> Output {
    istioctl(&["analyze", "--use-kube=false", "--failure-threshold", "Warning"], file)
}

/// The file with a change, in this folder.
fn changed(folder: &TempDir, name: &str, from: &str, to: &str) -> PathBuf {
    let settings = fs::read_to_string(deployed(name)).unwrap();
    assert!(settings.contains(from), "{name}: {from}");
    let file = folder.path().join(name);
    fs::write(&file, settings.replace(from, to)).unwrap();
    file
}

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/mesh").join(name)
}

#[test]
#[ignore = "needs istioctl: cargo xtask test --all istio"]
fn files_are_valid_alone_and_together() {
    let folder = TempDir::new().unwrap();
    for name in FILES {
        for output in [validated, analyzed].map(|check| check(&changed(&folder, name, "\n", "\n"))) {
            assert!(output.status.success(), "{name}: {output:?}");
        }
    }
}

#[test]
#[ignore = "needs istioctl: cargo xtask test --all istio"]
fn faults_in_the_files_are_found() {
    let folder = TempDir::new().unwrap();
    for (name, from, to) in [
        ("istio-passthrough.yaml", "mode: PASSTHROUGH", "mode: PASS"),
        ("istio-sidecar-unix-socket.yaml", "unix:///run", "unix:/run"),
        ("istio-waypoint.yaml", "mode: MUTUAL", "mode: MUTUALLY"),
    ] {
        let output = validated(&changed(&folder, name, from, to));
        assert!(!output.status.success(), "{name}: {output:?}");
    }
    let name = "istio-passthrough.yaml";
    let output = analyzed(&changed(&folder, name, "gateways: [\"sealward\"]", "gateways: [\"other\"]"));
    assert!(!output.status.success(), "{name}: {output:?}");
}
