//! The Helm chart as an archive, which Helm installs as it is.

use std::{fs, path::Path};

use crate::{
    command::{Failure, file, text},
    source::Source,
    tree::{Effort, FILE, Tree, gzip},
};

/// The chart's folder in the repository. `helm` wants its name as the folder in the archive.
pub(crate) const FOLDER: &str = "deploy/helm/sealward";

/// The name of the archive.
pub(crate) fn name(source: &Source) -> String {
    format!("sealward-chart-{}.tgz", source.version)
}

/// Writes the archive.
pub(crate) fn write(source: &Source, out: &Path, effort: Effort) -> Result<(), Failure> {
    let description = String::from_utf8_lossy(&source.read(&format!("{FOLDER}/Chart.yaml"))?).into_owned();
    for line in [format!("version: {}", source.version), format!("appVersion: \"{}\"", source.version)] {
        if !description.lines().any(|other| other == line) {
            return Err(Failure::wrong(format!("{FOLDER}/Chart.yaml has no line `{line}`")));
        }
    }
    let mut tree = Tree::default();
    let listed = text(source.command("git").args(["ls-files", FOLDER]))?;
    for path in listed.lines() {
        let inside = path.strip_prefix("deploy/helm/").unwrap_or(path);
        tree.file(inside, FILE, source.read(path)?);
    }
    let path = out.join(name(source));
    fs::write(&path, gzip(&tree.tar(source.time)?, effort)).map_err(file("write", &path))
}
