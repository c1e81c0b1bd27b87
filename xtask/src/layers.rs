//! `cargo xtask layers`: the order of the files. No circle of imports, and no public name without a user.
//!
//! This file finds the sources and prints; its modules don't know files, and what they check is in their documentation.

use std::{collections::BTreeSet, fs, path::Path, process::ExitCode};

use self::source::{Repository, Texts};
use crate::tools::Tools;

mod circles;
mod names;
mod public;
mod source;

pub(crate) const SUMMARY: &str = "finds circular imports between files, and public names that no other crate uses";

const HELP: &str = "\
Usage: cargo xtask layers

Reads every crate of the repository, fuzzers included, and fails
* if files of a crate import each other in a circle. A file imports the file that defines a name: a re-export leads to the definition, so a file
  that only declares modules and re-exports their names is in no circle. Code under #[cfg(test)] doesn't count. It prints the shortest circle
  through each file, with the lines that import.
* if a public name of an internal library (core, pem, server) is used by no other crate and isn't in xtask/src/layers/public.txt, or is
  in that list without need. A name in the signature of a name in use is in use. The API of the client library is for users and isn't judged.";

/// The libraries whose only users are in this repository.
const INTERNAL: [&str; 3] = ["sealward_core", "sealward_pem", "sealward_server"];

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
            println!("No circular imports, and no public name without a user.");
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
    read_folder(tools.root(), Path::new(""), &mut texts)?;
    let repository = Repository::read(&texts)?;
    let mut problems: Vec<String> = circles::circles(&repository).iter().map(ToString::to_string).collect();
    let mut unused = BTreeSet::new();
    for library in INTERNAL {
        unused.extend(public::unused(&repository, library)?);
    }
    problems.extend(public::compare(&unused, LIST));
    Ok(problems)
}

/// Reads the Rust files and manifests in a folder of the repository. Folders of builds and hidden folders are passed over.
fn read_folder(root: &Path, folder: &Path, texts: &mut Texts) -> Result<(), String> {
    let trouble = |error: std::io::Error| format!("{}: {error}", root.join(folder).display());
    for entry in fs::read_dir(root.join(folder)).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = folder.join(&name);
        if entry.file_type().map_err(trouble)?.is_dir() {
            if name != "target" && !name.starts_with('.') {
                read_folder(root, &path, texts)?;
            }
        } else if name == "Cargo.toml" || name.ends_with(".rs") {
            texts.insert(path, fs::read_to_string(entry.path()).map_err(trouble)?);
        }
    }
    Ok(())
}
