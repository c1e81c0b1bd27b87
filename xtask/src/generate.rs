//! `cargo xtask generate`: writes the documents that are generated from the code.
//!
//! Each document is what a program of the workspace prints: this file only runs the programs and keeps their output. Tests of those programs
//! fail when a document is stale.

use std::{fs, io::ErrorKind, process::ExitCode};

use crate::tools::{Tools, shown};

pub(crate) const SUMMARY: &str = "regenerates docs/reference/ from the contract and the programs";

const HELP: &str = "\
Usage: cargo xtask generate
       cargo xtask generate --check

Writes the documents in docs/reference: api.md from the contract, cli.md from the command line, configuration.md and permissions.md from
the server. With --check, it writes nothing, names the stale documents, and fails if there are any.";

/// A document: its path, and the arguments of `cargo run` that print it.
type Document = (&'static str, &'static [&'static str]);

const DOCUMENTS: &[Document] = &[
    ("docs/reference/api.md", &["-p", "sealward-api-reference"]),
    ("docs/reference/cli.md", &["-p", "sealward-cli", "--", "reference"]),
    ("docs/reference/configuration.md", &["-p", "sealward-server", "--", "reference", "configuration"]),
    ("docs/reference/permissions.md", &["-p", "sealward-server", "--", "reference", "permissions"]),
];

/// Writes the documents, or checks them. If one fails, the others are still written.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let is_check = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--check"] => true,
        ["-h" | "--help"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::FAILURE;
        }
    };
    let tools = Tools::new();
    let mut is_good = true;
    for document in DOCUMENTS {
        match settle(&tools, document, is_check) {
            Ok(outcome) => println!("{:<34}{outcome}", document.0),
            Err(trouble) => {
                is_good = false;
                eprintln!("{:<34}{trouble}", document.0);
            }
        }
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Updates one document, or checks whether it is up to date.
fn settle(tools: &Tools, (path, program): &Document, is_check: bool) -> Result<&'static str, String> {
    let file = tools.root().join(path);
    let made = printed(tools, program)?;
    let written = match fs::read(&file) {
        Ok(written) => written,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("can't be read: {error}")),
    };
    if written == made {
        return Ok("is up to date");
    }
    if is_check {
        return Err("is stale: run `cargo xtask generate`".to_owned());
    }
    fs::write(&file, made).map_err(|error| format!("can't be written: {error}"))?;
    Ok("is regenerated")
}

/// What a program of the workspace prints. Empty output is an error.
fn printed(tools: &Tools, program: &[&str]) -> Result<Vec<u8>, String> {
    let mut command = tools.cargo();
    command.args(["run", "--quiet", "--locked"]).args(program);
    let output = command.output().map_err(|error| format!("can't start `{}`: {error}", shown(&command)))?;
    if !output.status.success() || output.stdout.is_empty() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` printed no document ({}):\n{words}", shown(&command), output.status));
    }
    Ok(output.stdout)
}
