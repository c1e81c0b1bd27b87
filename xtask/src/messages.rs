//! `docs/reference/messages.md`: every message that a person can see, for reviews of their language.
//!
//! This file chooses the sources and lays out the document; [`text`] finds the texts in a file.

use std::{collections::BTreeMap, path::Path};

use self::text::{Kind, Level};
use crate::{
    source::Repository,
    texts::{self, Texts},
    tools::Tools,
};

mod text;

/// Where the document is, from the root of the repository.
pub(crate) const PATH: &str = "docs/reference/messages.md";

/// The crates whose messages are listed, with their sources.
const CRATES: [(&str, &[&str]); 10] = [
    ("server", &["server/src"]),
    ("core", &["core/src"]),
    ("store", &["store/src"]),
    ("pem", &["pem/src"]),
    ("client", &["client/src"]),
    ("cli", &["cli/src"]),
    ("examples", &["examples"]),
    ("sealward", &["src"]),
    ("build", &["build.rs", "build"]),
    ("xtask", &["xtask/src"]),
];

const INTRODUCTION: &str = "\
<!-- Made by `cargo xtask generate` from the sources of all crates. Change the texts there. -->

# Messages

Every text in the code that a person can see: errors, log messages by level, help of the command line, texts of panics, and other texts of two
words or more. Tests are left out. The [configuration reference](configuration.md) has the texts of settings, the
[API reference](api.md) those of the contract.

`{…}` is a placeholder. A text with several lines continues in indented lines. In a file, the texts are in their order, each once.
";

/// The texts of a crate: by kind, then by file.
type Sections = BTreeMap<Kind, BTreeMap<String, Vec<String>>>;

/// The document.
///
/// # Errors
/// The sources can't be read.
pub(crate) fn document(tools: &Tools) -> Result<String, String> {
    let mut texts = Texts::new();
    texts::read_folder(tools.root(), Path::new(""), &mut texts)?;
    document_of(texts)
}

fn document_of(mut texts: Texts) -> Result<String, String> {
    texts.retain(|path, _| path.ends_with("Cargo.toml") || CRATES.iter().any(|(_, sources)| contains(sources, path)));
    let repository = Repository::read(&texts)?;
    let files = repository.files();
    let mut document = INTRODUCTION.to_owned();
    for (name, sources) in CRATES {
        let mut sections = Sections::new();
        for path in files.iter().filter(|path| contains(sources, path)) {
            let shown = path.display().to_string();
            let text = texts.get(*path).map(String::as_str).unwrap_or_default();
            for (kind, text) in text::texts(text).map_err(|error| format!("{shown}: {error}"))? {
                let listed = sections.entry(kind).or_default().entry(shown.clone()).or_default();
                let lines = lines(&text);
                if !listed.contains(&lines) {
                    listed.push(lines);
                }
            }
        }
        if !sections.is_empty() {
            document.push_str(&format!("\n## {name}\n"));
            sections.iter().for_each(|(kind, files)| add_section(&mut document, *kind, files));
        }
    }
    Ok(document)
}

fn contains(sources: &[&str], path: &Path) -> bool {
    sources.iter().any(|source| path.starts_with(source))
}

fn add_section(document: &mut String, kind: Kind, files: &BTreeMap<String, Vec<String>>) {
    document.push_str(&format!("\n### {}\n", heading(kind)));
    for (file, texts) in files {
        document.push_str(&format!("\n#### {file}\n\n```text\n{}\n```\n", texts.join("\n")));
    }
}

fn heading(kind: Kind) -> &'static str {
    match kind {
        Kind::Error => "Errors",
        Kind::Log(Level::Error) => "Log messages: error",
        Kind::Log(Level::Warn) => "Log messages: warn",
        Kind::Log(Level::Info) => "Log messages: info",
        Kind::Log(Level::Debug) => "Log messages: debug",
        Kind::Log(Level::Trace) => "Log messages: trace",
        Kind::CommandLine => "Command line",
        Kind::Panic => "Panics",
        Kind::Other => "Other",
    }
}

/// A text as the document shows it: further lines indented, so that they aren't taken for other texts, and control characters escaped.
fn lines(text: &str) -> String {
    let visible = |line: &str| -> String {
        line.trim_end()
            .chars()
            .map(
                |character| {
                    if character.is_control() { character.escape_default().to_string() } else { character.into() }
                },
            )
            .collect()
    };
    text.trim_matches('\n')
        .split('\n')
        .enumerate()
        .map(|(number, line)| match (number, visible(line)) {
            (0, line) => line,
            (_, line) if line.is_empty() => line,
            (_, line) => format!("    {line}"),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use std::fs;

    use super::*;

    fn listed(files: &[(&str, &str)]) -> String {
        let texts = files.iter().map(|(path, text)| (path.into(), (*text).to_owned())).collect();
        document_of(texts).unwrap().strip_prefix(INTRODUCTION).unwrap().to_owned()
    }

    #[test]
    fn list_in_docs_is_current() {
        let tools = Tools::new();
        let written = fs::read_to_string(tools.root().join(PATH)).unwrap_or_default();
        let current = document(&tools).unwrap();
        let first = written.lines().zip(current.lines()).find(|(written, current)| written != current);
        assert!(written == current, "{PATH} is stale: run `cargo xtask generate`; the first difference: {first:?}");
    }

    #[test]
    fn texts_are_grouped_by_crate_and_kind_and_file() {
        let files = [
            ("server/Cargo.toml", "[package]\nname = \"sealward-server\"\n"),
            ("server/src/lib.rs", "mod a; mod b; #[cfg(test)] mod tests;"),
            ("server/src/b.rs", r#"#[error("b is bad")] struct B;"#),
            (
                "server/src/a.rs",
                r#"#[error("a is bad")] struct A; fn f() { info!("started"); info!("ended"); info!("started") }"#,
            ),
            ("server/src/tests.rs", r#"#[error("not shown")] struct A;"#),
            ("tools/Cargo.toml", "[package]\nname = \"tool\"\n"),
            ("tools/src/lib.rs", r#"#[error("not shown")] struct A;"#),
        ];
        let expected = "
## server

### Errors

#### server/src/a.rs

```text
a is bad
```

#### server/src/b.rs

```text
b is bad
```

### Log messages: info

#### server/src/a.rs

```text
started
ended
```
";
        assert_eq!(listed(&files), expected);
    }

    #[test]
    fn further_lines_of_a_text_are_indented() {
        assert_eq!(lines("\nUsage:\n  run \n\n\tend\u{1b}[0m\n"), "Usage:\n      run\n\n    \\tend\\u{1b}[0m");
    }
}
