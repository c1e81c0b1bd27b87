//! The machine that the figures were measured on.

use std::{fs, path::Path, process::Command};

/// The command, the revision of the source, and the machine, as lines of Markdown.
pub(crate) fn place(folder: &Path) -> String {
    let date = output("date", &["--utc", "+%Y-%m-%d %H:%M UTC"]);
    let revision = output("git", &["log", "-1", "--format=%h"]);
    let is_changed = !output("git", &["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs"]).is_empty();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = ["cargo xtask bench"].into_iter().chain(arguments.iter().map(String::as_str)).collect::<Vec<_>>();
    format!(
        "* `{}`, {date}, commit {revision}{}\n* {}",
        command.join(" "),
        if is_changed { " with changes" } else { "" },
        describe(folder)
    )
}

/// What a program prints, or nothing.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// One line: processor, cores, memory, kernel, and the file system of the databases.
fn describe(folder: &Path) -> String {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory_kib: u64 = field("/proc/meminfo", "MemTotal")
        .and_then(|memory| memory.trim_end_matches(" kB").parse().ok())
        .unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let disk = output("df", &["--output=fstype", &folder.to_string_lossy()]);
    let disk = disk.lines().nth(1).unwrap_or("an unknown file system");
    format!("{cpu}, {cores} cores, {} GiB, Linux {}, databases on {disk}", memory_kib >> 20, kernel.trim())
}

/// The first value of a field in a file of lines `name : value`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
