//! The oldest GNU C library that runs the programs: read from them, and compared with the documents.

use std::{fmt, fs, path::Path, str::FromStr};

use tempfile::TempDir;

use crate::{
    command::{Failure, file, text},
    programs::Program,
    source::Source,
};

/// A version of the GNU C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = std::num::ParseIntError;

    /// `2.34`, or with a part for fixes, which needs no more: `2.2.5`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split('.');
        let mut next = || numbers.next().unwrap_or_default().parse();
        Ok(Self { major: next()?, minor: next()? })
    }
}

/// Fails if the documents name an older version than the programs need. A release must need exactly the documented one.
pub(crate) fn check(source: &Source, programs: &[&Program], is_release: bool) -> Result<(), Failure> {
    let document = String::from_utf8_lossy(&source.read(DOCUMENT)?).into_owned();
    let documented = documented(&document)?;
    for program in programs {
        let needed = needed(source, &program.binary)?;
        if needed > documented || is_release && needed != documented {
            let name = program.names.program;
            return Err(Failure::wrong(format!(
                "{name} needs {PHRASE} {needed}, but {DOCUMENT} says {documented}: correct the document"
            )));
        }
    }
    Ok(())
}

/// The version that a document names.
fn documented(document: &str) -> Result<Version, Failure> {
    let found = document.split_once(PHRASE).and_then(|(_, rest)| rest.split_whitespace().next());
    let version = found.and_then(|word| word.trim_end_matches(['.', ',', ';']).parse().ok());
    version.ok_or_else(|| Failure::wrong(format!("{DOCUMENT} names no version after `{PHRASE}`")))
}

/// The highest version among those that the program's symbols need.
fn needed(source: &Source, binary: &[u8]) -> Result<Version, Failure> {
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    let program = folder.path().join("program");
    fs::write(&program, binary).map_err(file("write", &program))?;
    highest(&text(source.command("objdump").arg("--private-headers").arg(&program))?)
}

/// The highest version in the output of objdump, which has lines such as `0x06969194 0x00 14 GLIBC_2.34`.
fn highest(headers: &str) -> Result<Version, Failure> {
    let names = headers.split_whitespace().filter_map(|word| word.strip_prefix("GLIBC_"));
    let mut highest = None;
    for name in names {
        // Other names mark features that only newer versions have, such as GLIBC_ABI_DT_RELR.
        let version =
            name.parse().map_err(|_| Failure::wrong(format!("GLIBC_{name} isn't the version of a symbol")))?;
        highest = highest.max(Some(version));
    }
    highest.ok_or_else(|| Failure::wrong("a program needs no symbol of the GNU C library"))
}

const DOCUMENT: &str = "docs/install.md";

/// What is before the version.
const PHRASE: &str = "the GNU C library";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_version_is_found_by_number() {
        let headers = "  required from libm.so.6:\n    0x09691a75 0x00 08 GLIBC_2.2.5\n    0x06969189 0x00 05 GLIBC_2.29\n\
                       required from libc.so.6:\n    0x09691974 0x00 12 GLIBC_2.3.4\n    0x0b792650 0x00 03 GCC_3.0\n";
        assert_eq!(highest(headers).unwrap().to_string(), "2.29");
        assert!(highest("GLIBC_2.36 GLIBC_ABI_DT_RELR").is_err());
        assert!(highest("GCC_3.0").is_err());
    }

    #[test]
    fn documented_version_is_the_one_after_the_name_of_the_library() {
        assert_eq!(documented("They need the GNU C library 2.34 or newer.").unwrap().to_string(), "2.34");
        assert!(documented("They need the GNU C library.").is_err());
        assert!(documented("They need Debian 12.").is_err());
    }

    #[test]
    fn this_program_needs_a_version_that_is_here() {
        let source = Source::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
        let here = text(source.command("getconf").arg("GNU_LIBC_VERSION")).unwrap();
        let here: Version = here.trim_start_matches("glibc ").parse().unwrap();
        let needed = needed(&source, &fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        assert!(needed <= here, "{needed} {here}");
    }
}
