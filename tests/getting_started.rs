//! Every command in the README and the guide for newcomers prints the output that they show.

use std::path::Path;

use tempfile::TempDir;

use crate::harness::{
    pages::{ADDRESS, Block, blocks, check_blocks, is_shown, shell},
    process::Process,
};

const README: &str = include_str!("../README.md");
const GUIDE: &str = include_str!("../docs/getting-started.md");

/// The heading of the README's commands.
const USE: &str = "Use it\n";

/// The command that builds the command line in README and guide. The tests have built it already.
const BUILD: &str = "cargo build --release -p sealward-cli\n";

/// The command of the first terminal in README and guide.
const START: &str = "cargo run --release -p sealward-server -- dev";

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
    let folder = TempDir::new().unwrap();
    let server = Process::start(&folder.path().join("sealward-dev"));
    let section = README.split("\n## ").find(|section| section.starts_with(USE)).unwrap();
    let mut blocks = blocks(section);
    let commands: String = blocks.iter().map(|block| block.commands.as_str()).collect();
    assert!(README.contains(START) && commands.contains(BUILD) && GUIDE.contains(BUILD), "the commands have changed");
    assert!(blocks.iter().filter(|block| !block.shown.is_empty()).count() >= 4, "the README has become short");
    for Block { commands, .. } in &mut blocks {
        *commands = commands.replace(BUILD, "");
    }
    check_blocks(&blocks, folder.path(), &server, &[]);
}

#[test]
fn every_command_of_the_guide_prints_what_the_guide_shows() {
    sqlite_only!("the guide looks into files");
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
