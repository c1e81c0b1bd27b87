//! Pages whose commands are run: blocks of `sh`, followed by what they print in blocks of `text`.

use std::{path::Path, process::Command};

use super::process::{Process, binary, grpcurl, tools};

/// The address of the server in all pages.
pub(crate) const ADDRESS: &str = "127.0.0.1:7443";

/// JSON fields that differ in each run.
const VOLATILE: [&str; 2] = ["\"fingerprint\": ", "\"encryptionKey\": "];

/// Commands that are pasted together, and their output in the page.
pub(crate) struct Block {
    pub commands: String,
    pub shown: Vec<&'static str>,
}

/// The blocks of a part of a page.
pub(crate) fn blocks(part: &'static str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for fenced in part.split("\n```").skip(1).step_by(2) {
        match fenced.split_once('\n').unwrap() {
            ("sh", commands) => blocks.push(Block { commands: commands.to_owned(), shown: Vec::new() }),
            ("text", shown) => blocks.last_mut().unwrap().shown.extend(shown.lines()),
            (language, _) => panic!("a block of {language}"),
        }
    }
    blocks
}

/// Runs the blocks against a server, and checks that each prints what the page shows. They run in one shell, because later blocks use variables of
/// earlier ones.
#[track_caller]
pub(crate) fn check_blocks(blocks: &[Block], folder: &Path, server: &Process, variables: &[(&str, &str)]) {
    const END_OF_BLOCK: &str = "=== end of block ===\n";
    let ended = blocks.iter().map(|Block { commands, .. }| format!("{commands}\nprintf '{END_OF_BLOCK}'\n"));
    let script: String = ended.collect();
    let script = script.replace(ADDRESS, &server.address);
    let output = shell(&script, folder).envs(variables.iter().copied()).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = output.split_terminator(END_OF_BLOCK).collect();
    assert_eq!(printed.len(), blocks.len(), "{output}");
    for (Block { commands, shown }, printed) in blocks.iter().zip(printed) {
        assert!(
            is_shown(&printed.lines().collect::<Vec<_>>(), shown),
            "{commands}\nprints\n{printed}\nthe page shows\n{}",
            shown.join("\n")
        );
    }
}

/// Whether a printed line matches the page, in which `…` matches any text.
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

/// Whether the output matches the page, in which a line `…` matches any lines.
pub(crate) fn is_shown(printed: &[&str], shown: &[&str]) -> bool {
    match (printed, shown) {
        (_, [first, rest @ ..]) if first.trim() == "…" => {
            (0..=printed.len()).any(|skipped| is_shown(&printed[skipped..], rest))
        }
        ([line, printed @ ..], [first, shown @ ..]) => is_line(line, first) && is_shown(printed, shown),
        ([], []) => true,
        (_, _) => false,
    }
}

/// A shell in this folder with the programs on its PATH. Its errors are in its output.
pub(crate) fn shell(script: &str, folder: &Path) -> Command {
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
