//! The machine that the figures were measured on.

use std::{fs, path::Path, process::Command};

/// The revision of the source, with its date.
pub(crate) fn revision() -> String {
    let log = Command::new("git").args(["log", "-1", "--format=%h of %cs"]).output();
    let log = log.map(|log| String::from_utf8_lossy(&log.stdout).trim().to_owned());
    log.ok().filter(|log| !log.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// One line: processor, cores, memory, kernel, and the file system of the databases.
pub(crate) fn describe(folder: &Path) -> String {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory_kib: u64 = field("/proc/meminfo", "MemTotal")
        .and_then(|memory| memory.trim_end_matches(" kB").parse().ok())
        .unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let disk = Command::new("df").args(["--output=fstype"]).arg(folder).output().ok();
    let disk = disk.map(|disk| String::from_utf8_lossy(&disk.stdout).into_owned());
    let disk = disk.as_deref().and_then(|disk| disk.lines().nth(1)).unwrap_or("an unknown file system").to_owned();
    format!("{cpu}, {cores} cores, {} GiB, Linux {}, databases on {disk}", memory_kib >> 20, kernel.trim())
}

/// The first value of a field in a file of lines `name : value`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
