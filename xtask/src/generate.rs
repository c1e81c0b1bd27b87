//! `cargo xtask generate`: the documents that are made from the code, so that they say what it does.
//!
//! Each comes from the program that knows: this file only runs it and keeps what it prints. Tests of those programs find out when a
//! document is stale.

use std::{fs, io::ErrorKind, process::ExitCode};

use crate::tools::{Tools, shown};

pub(crate) const SUMMARY: &str = "writes the references in docs/ anew, from the contract and the programs";

const HELP: &str = "\
Usage: cargo xtask generate
       cargo xtask generate --check

Writes docs/api.md from the contract, docs/cli.md from the command line, docs/configuration.md and docs/permissions.md from the server.
With --check it writes nothing, says which of them are stale, and fails if there are any.";

/// A document: where it lies, and what `cargo run` has to run to get it printed.
type Document = (&'static str, &'static [&'static str]);

const DOCUMENTS: &[Document] = &[
    ("docs/api.md", &["-p", "xtask", "--example", "api_reference"]),
    ("docs/cli.md", &["-p", "sealward-client", "--bin", "sealward", "--", "reference"]),
    ("docs/configuration.md", &["-p", "sealward-server", "--", "reference", "configuration"]),
    ("docs/permissions.md", &["-p", "sealward-server", "--", "reference", "permissions"]),
];

/// Writes the documents, or checks them. One that can't be made doesn't stop the others.
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
            Ok(outcome) => println!("{:<24}{outcome}", document.0),
            Err(trouble) => {
                is_good = false;
                eprintln!("{:<24}{trouble}", document.0);
            }
        }
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Brings one document up to date, or finds out whether it is.
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
    Ok("is written anew")
}

/// What a program of the workspace prints. Nothing is not taken for a document.
fn printed(tools: &Tools, program: &[&str]) -> Result<Vec<u8>, String> {
    let mut command = tools.cargo();
    command.args(["run", "--quiet", "--locked"]).args(program);
    let output = command.output().map_err(|error| format!("`{}` can't be started: {error}", shown(&command)))?;
    if !output.status.success() || output.stdout.is_empty() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` gave none ({}):\n{words}", shown(&command), output.status));
    }
    Ok(output.stdout)
}
