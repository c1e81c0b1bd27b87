//! `cargo xtask generate`: writes the documents that are generated from the code.
//!
//! A program of the workspace prints each document, except for the list of messages, which [`messages`] makes from the sources. This file
//! writes them. Tests of the programs fail if a document is stale.

use std::{fs, io::ErrorKind, process::ExitCode};

use crate::{
    messages,
    tools::{Tools, shown},
};

pub(crate) const SUMMARY: &str = "regenerates docs/reference/ from the contract, the programs and the sources";

const HELP: &str = "\
Usage: cargo xtask generate
       cargo xtask generate --check

Writes the documents in docs/reference: api.md from the contract, cli.md from the command line, configuration.md and permissions.md from
the server, messages.md from the sources. With --check, it writes nothing, lists stale documents, and fails if there are any.";

/// A document: its path and its origin.
type Document = (&'static str, Origin);

enum Origin {
    /// The arguments of `cargo run` that print the document.
    Program(&'static [&'static str]),
    /// The texts in the sources.
    Sources,
}

const DOCUMENTS: &[Document] = &[
    ("docs/reference/api.md", Origin::Program(&["-p", "sealward-api-reference"])),
    ("docs/reference/cli.md", Origin::Program(&["-p", "sealward-cli", "--", "reference"])),
    (
        "docs/reference/configuration.md",
        Origin::Program(&["-p", "sealward-server", "--", "reference", "configuration"]),
    ),
    ("docs/reference/permissions.md", Origin::Program(&["-p", "sealward-server", "--", "reference", "permissions"])),
    ("clients/service_config.json", Origin::Program(&["-p", "sealward-api-reference", "--", "service-config"])),
    (messages::PATH, Origin::Sources),
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
    let mut is_ok = true;
    for document in DOCUMENTS {
        match update(&tools, document, is_check) {
            Ok(outcome) => println!("{:<34}{outcome}", document.0),
            Err(problem) => {
                is_ok = false;
                eprintln!("{:<34}{problem}", document.0);
            }
        }
    }
    if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Updates a document, or checks whether it is up to date.
fn update(tools: &Tools, (path, origin): &Document, is_check: bool) -> Result<&'static str, String> {
    let file = tools.root().join(path);
    let generated = match origin {
        Origin::Program(arguments) => output_of(tools, arguments)?,
        Origin::Sources => messages::document(tools)?.into_bytes(),
    };
    let written = match fs::read(&file) {
        Ok(written) => written,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("can't be read: {error}")),
    };
    if written == generated {
        return Ok("up to date");
    }
    if is_check {
        return Err("stale: run `cargo xtask generate`".to_owned());
    }
    fs::write(&file, generated).map_err(|error| format!("can't be written: {error}"))?;
    Ok("updated")
}

/// The output of a program of the workspace. Empty output is an error.
fn output_of(tools: &Tools, program: &[&str]) -> Result<Vec<u8>, String> {
    let mut command = tools.cargo();
    command.args(["run", "--quiet", "--locked"]).args(program);
    let output = command.output().map_err(|error| format!("can't start `{}`: {error}", shown(&command)))?;
    if !output.status.success() || output.stdout.is_empty() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` printed no document ({}):\n{stderr}", shown(&command), output.status));
    }
    Ok(output.stdout)
}
