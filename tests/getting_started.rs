//! The guide for newcomers, followed to the letter: every command of its `console` blocks is run, and prints what the guide shows.

use std::{path::Path, process::Command};

use tempfile::TempDir;

use crate::harness::process::{Process, binary, grpcurl, tools};

const GUIDE: &str = include_str!("../docs/getting-started.md");

/// What the guide types into the first terminal.
const START: &str = "cargo run --release -p sealward-server -- dev";

/// Where the guide's server listens.
const ADDRESS: &str = "127.0.0.1:7443";

/// What is different in each run, by its name in JSON.
const VOLATILE: [&str; 2] = ["\"fingerprint\": ", "\"encryption_key\": "];

/// A command of the guide, and what it prints there.
struct Step {
    command: String,
    shown: Vec<&'static str>,
}

fn steps() -> Vec<Step> {
    let blocks = GUIDE.split("\n```console\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let mut steps: Vec<Step> = Vec::new();
    for block in blocks {
        let mut is_command = false;
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step { command: command.to_owned(), shown: Vec::new() });
                is_command = true;
            } else if is_command {
                let command = &mut steps.last_mut().unwrap().command;
                command.push('\n');
                command.push_str(line);
            } else {
                steps.last_mut().unwrap().shown.push(line);
            }
            is_command = is_command && is_open(&steps.last().unwrap().command);
        }
    }
    steps
}

/// Whether the shell waits for more: after a backslash, within quotes, or in a loop.
fn is_open(command: &str) -> bool {
    let in_quotes = command.matches('\'').count() % 2 == 1;
    let in_loop = command.starts_with("for ") && !command.ends_with("done");
    command.ends_with('\\') || in_quotes || in_loop
}

/// Whether a printed line is the one that the guide shows, in which `…` stands for anything.
fn is_line(printed: &str, shown: &str) -> bool {
    if let Some(name) = VOLATILE.into_iter().find(|name| shown.trim_start().starts_with(name)) {
        return printed.trim_start().starts_with(name);
    }
    let mut parts = shown.split('…');
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap()) else { return false };
    for part in parts {
        let Some(at) = rest.rfind(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || shown.ends_with('…')
}

/// Whether what was printed is what the guide shows, in which a line of `…` stands for any lines.
fn is_shown(printed: &[&str], shown: &[&str]) -> bool {
    match (printed, shown) {
        (_, [first, rest @ ..]) if first.trim() == "…" => {
            (0..=printed.len()).any(|skipped| is_shown(&printed[skipped..], rest))
        }
        ([line, printed @ ..], [first, shown @ ..]) => is_line(line, first) && is_shown(printed, shown),
        ([], []) => true,
        (_, _) => false,
    }
}

fn run(command: &str, folder: &Path, server: &Process) -> String {
    let mut path = vec![binary("sealward").parent().unwrap().to_owned(), tools()];
    path.extend(grpcurl().parent().map(Path::to_owned));
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let output = Command::new("bash")
        .args(["-c", &format!("exec 2>&1\n{}", command.replace(ADDRESS, &server.address))])
        .env("PATH", std::env::join_paths(&path).unwrap())
        .env("SEALWARD_DEV", "./sealward-dev")
        .env("SEALWARD_OUTPUT", "json")
        .env("SEALWARD_ENDPOINT", format!("https://{}", server.address))
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_of_the_guide_prints_what_the_guide_shows() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("sealward-dev");
    let mut server = Process::start(&data);
    let steps = steps();
    assert!(steps.len() > 15 && GUIDE.contains(START), "the guide has become short");
    for Step { command, shown } in steps {
        if command == START {
            server.kill();
            server = Process::start(&data);
            continue;
        }
        let printed = run(&command, folder.path(), &server);
        assert!(
            is_shown(&printed.lines().collect::<Vec<_>>(), &shown),
            "$ {command}\nprints\n{printed}\nthe guide shows\n{}",
            shown.join("\n")
        );
    }
}
