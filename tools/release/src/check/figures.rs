//! The figures in docs/install.md that need the packages unpacked: sizes after the installation, and the time of a start.

use std::{
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, Instant},
};

use super::server::Server;
use crate::{
    command::{Failure, file, text},
    files::walk,
    names::{CLI, SERVER},
    source::Source,
};

/// The starts of a program. The figure is their median.
const STARTS: usize = 21;

/// Prints the figures. `folder` has the unpacked archives, and `image` is the root of the unpacked image.
pub(super) fn print(source: &Source, folder: &Path, image: &Path) -> Result<(), Failure> {
    let archive = |name: &str| folder.join(source.archive(name));
    for (name, unpacked) in [
        (format!("sealward-cli-{}", source.version), archive("sealward-cli")),
        (format!("sealward-{}", source.version), archive("sealward")),
        ("container image".to_owned(), image.to_owned()),
    ] {
        let (files, bytes) = size(&unpacked)?;
        println!("{name}, unpacked: {:.1} MB in {files} files", bytes as f64 / 1e6);
    }
    let programs = archive("sealward").join("bin");
    let cli = programs.join(CLI.program);
    let start = median(|| {
        let begin = Instant::now();
        text(source.command(&cli).arg("--version"))?;
        Ok(begin.elapsed())
    })?;
    println!("`sealward --version`, from the creation of the process to its end: {:.1} ms", milliseconds(start));

    let data = folder.join("data of the starts");
    let mut command = source.command(programs.join(SERVER.program));
    command.args(["dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
    // The first start creates keys, certificates and databases.
    Server::start(&mut command, data.clone())?.stop()?;
    let start = median(|| {
        let begin = Instant::now();
        let server = Server::start(&mut command, data.clone())?;
        let took = begin.elapsed();
        server.stop()?;
        Ok(took)
    })?;
    println!("`sealward-server dev` with one organization, until it serves: {:.0} ms", milliseconds(start));
    Ok(())
}

/// The number of files in a folder and below it, and the sum of their sizes in bytes. Links count as nothing.
fn size(folder: &Path) -> Result<(usize, u64), Failure> {
    let (mut files, mut bytes) = (0, 0);
    walk(folder, &mut |path| {
        let metadata = path.symlink_metadata().map_err(file("find", path))?;
        if metadata.is_file() {
            files += 1;
            bytes += metadata.size();
        }
        Ok(())
    })?;
    Ok((files, bytes))
}

fn median(mut measure: impl FnMut() -> Result<Duration, Failure>) -> Result<Duration, Failure> {
    let mut took = (0..STARTS).map(|_| measure()).collect::<Result<Vec<_>, _>>()?;
    took.sort();
    took.get(STARTS / 2).copied().ok_or_else(|| Failure::wrong("there are no starts"))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
