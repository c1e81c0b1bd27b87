//! Every command in the README and the guide for newcomers prints the output that they show.

use std::{path::Path, process::Command};

use tempfile::TempDir;

use crate::harness::process::{Process, binary, grpcurl, tools};

const README: &str = include_str!("../README.md");
const GUIDE: &str = include_str!("../docs/getting-started.md");

/// The heading of the README's commands.
const USE: &str = "Use it\n";

/// The command that builds the command line in README and guide. The tests have built it already.
const BUILD: &str = "cargo build --release -p sealward-cli\n";

/// The command of the first terminal in README and guide.
const START: &str = "cargo run --release -p sealward-server -- dev";

/// The address of the guide's server.
const ADDRESS: &str = "127.0.0.1:7443";

/// JSON fields that differ in each run.
const VOLATILE: [&str; 2] = ["\"fingerprint\": ", "\"encryptionKey\": "];

/// A command of the guide, and its output there.
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

/// Whether a printed line matches the guide, in which `…` matches any text.
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

/// Whether the output matches the guide, in which a line `…` matches any lines.
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

/// Commands of the README that are pasted together, and their output there.
struct Block {
    commands: String,
    shown: Vec<&'static str>,
}

/// The blocks under the README's heading [`USE`]: commands in `sh`, what they print in `text`.
fn blocks() -> Vec<Block> {
    let section = README.split("\n## ").find(|section| section.starts_with(USE)).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    for fenced in section.split("\n```").skip(1).step_by(2) {
        match fenced.split_once('\n').unwrap() {
            ("sh", commands) => blocks.push(Block { commands: commands.to_owned(), shown: Vec::new() }),
            ("text", shown) => blocks.last_mut().unwrap().shown.extend(shown.lines()),
            (language, _) => panic!("a block of {language}"),
        }
    }
    blocks
}

/// A shell in this folder with the programs on its PATH. Its errors are in its output.
fn shell(script: &str, folder: &Path) -> Command {
    let mut path = vec![binary("sealward").parent().unwrap().to_owned(), tools()];
    path.extend(grpcurl().parent().map(Path::to_owned));
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .env("PATH", std::env::join_paths(&path).unwrap())
        .current_dir(folder);
    shell
}

fn run(command: &str, folder: &Path, server: &Process) -> String {
    let output = shell(&command.replace(ADDRESS, &server.address), folder)
        .env("SEALWARD_DEV", "./sealward-dev")
        .env("SEALWARD_OUTPUT", "json")
        .env("SEALWARD_ENDPOINT", format!("https://{}", server.address))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_of_the_readme_prints_what_the_readme_shows() {
    const END_OF_BLOCK: &str = "=== end of block ===\n";
    let folder = TempDir::new().unwrap();
    let _server = Process::start(&folder.path().join("sealward-dev"));
    let blocks = blocks();
    let commands: String = blocks.iter().map(|block| block.commands.as_str()).collect();
    assert!(README.contains(START) && commands.contains(BUILD) && GUIDE.contains(BUILD), "the commands have changed");
    assert!(blocks.iter().filter(|block| !block.shown.is_empty()).count() >= 4, "the README has become short");

    // One shell for all blocks, because later ones use variables of earlier ones.
    let ended = blocks.iter().map(|Block { commands, .. }| format!("{commands}\nprintf '{END_OF_BLOCK}'\n"));
    let script: String = ended.collect();
    let output = shell(&script.replace(BUILD, ""), folder.path()).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = output.split_terminator(END_OF_BLOCK).collect();
    assert_eq!(printed.len(), blocks.len(), "{output}");
    for (Block { commands, shown }, printed) in blocks.iter().zip(printed) {
        assert!(
            is_shown(&printed.lines().collect::<Vec<_>>(), shown),
            "{commands}\nprints\n{printed}\nthe README shows\n{}",
            shown.join("\n")
        );
    }
}

#[test]
fn every_command_of_the_guide_prints_what_the_guide_shows() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("sealward-dev");
    let mut server = Process::start(&data);
    let steps = steps();
    assert!(steps.len() > 15 && GUIDE.contains(START), "the guide is too short");
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
