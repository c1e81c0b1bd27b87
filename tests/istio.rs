//! The files of Istio in `deploy/mesh`, checked with istioctl: each alone, and for references between resources.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::harness::process::tool;

/// Each file, with the one warning that istioctl prints for it. `EnvoyFilter` is the only way to set a header before a sidecar's application, and
/// the CA is in the Secret, where istioctl doesn't look.
const FILES: [(&str, Option<&str>); 3] = [
    ("istio-passthrough.yaml", None),
    ("istio-sidecar-unix-socket.yaml", Some("EnvoyFilter exposes internal implementation details")),
    ("istio-waypoint.yaml", Some("has TLS mode set to MUTUAL but no caCertificates are set")),
];

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

/// The problems that an analysis of the whole file finds.
fn analyzed(file: &Path) -> Vec<String> {
    let output = istioctl(&["analyze", "--use-kube=false", "--all-namespaces"], file);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let problems: Vec<_> = text.lines().filter(|line| line.contains(" [IST")).map(str::to_owned).collect();
    assert!(!problems.is_empty() || text.contains("No validation issues found"), "{text}");
    problems
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
    for (name, warning) in FILES {
        let file = changed(&folder, name, "\n", "\n");
        let output = validated(&file);
        assert!(output.status.success(), "{name}: {output:?}");
        let problems = analyzed(&file);
        let is_known = |problem: &String| warning.is_some_and(|warning| problem.contains(warning));
        assert!(problems.iter().all(is_known) && problems.len() == warning.iter().count(), "{name}: {problems:?}");
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
    for (name, from, to, problem) in [
        ("istio-passthrough.yaml", "gateways: [\"sealward\"]", "gateways: [\"other\"]", "gateway not found"),
        ("istio-sidecar-unix-socket.yaml", "append_action", "append_actions", "unknown field"),
    ] {
        let problems = analyzed(&changed(&folder, name, from, to));
        assert!(problems.iter().any(|found| found.contains(problem)), "{name}: {problems:?}");
    }
}
