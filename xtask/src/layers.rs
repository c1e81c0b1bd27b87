//! `cargo xtask layers`: the order of the files. No import cycles, and no unused public names.
//!
//! This file prints. Its modules don't know files, and what they check is in their documentation.

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use crate::{
    source::Repository,
    texts::{self, Texts},
    tools::Tools,
};

mod circles;
mod names;
mod public;

pub(crate) const SUMMARY: &str = "finds import cycles between files, and unused public names";

const HELP: &str = "\
Usage: cargo xtask layers

Reads every crate of the repository, fuzzers included, and fails
* if files of a crate are in an import cycle. A file imports the file that defines a name: a re-export leads to the definition, so a file
  that only declares modules and re-exports their names is in no cycle. Code under #[cfg(test)] doesn't count. It prints the shortest cycle
  through each file, with its import lines.
* if a public name of an internal library (connect, core, manual, pem, store, server) is used by no other crate and isn't in xtask/src/layers/public.txt, or is
  in that list without need. A name in the signature of a name in use is in use. The API of the client library is for users and isn't judged.";

/// The libraries whose only users are in this repository.
const INTERNAL: [&str; 6] =
    ["sealward_connect", "sealward_core", "sealward_manual", "sealward_pem", "sealward_store", "sealward_server"];

/// The unused public names that stay, with reasons.
const LIST: &str = include_str!("layers/public.txt");

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if !arguments.is_empty() {
        println!("{HELP}");
        let is_help = arguments.iter().all(|argument| matches!(argument.as_str(), "-h" | "--help"));
        return if is_help { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match problems(&Tools::new()) {
        Ok(problems) if problems.is_empty() => {
            println!("No import cycles, and no unused public names.");
            ExitCode::SUCCESS
        }
        Ok(problems) => {
            problems.iter().for_each(|problem| println!("{problem}"));
            eprintln!("{} problems", problems.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that is wrong with the order of the files.
///
/// # Errors
/// The sources can't be read.
pub(crate) fn problems(tools: &Tools) -> Result<Vec<String>, String> {
    let mut texts = Texts::new();
    texts::read_folder(tools.root(), Path::new(""), &mut texts)?;
    let repository = Repository::read(&texts)?;
    let mut problems: Vec<String> = circles::circles(&repository).iter().map(ToString::to_string).collect();
    let mut unused = BTreeSet::new();
    for library in INTERNAL {
        unused.extend(public::unused(&repository, library)?);
    }
    problems.extend(public::compare(&unused, LIST));
    Ok(problems)
}
