//! The documents: what they link to is there, and so is every test and every log event that they name. The contract documents every reason of
//! a violation.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["", "docs", "docs/reference", "examples/mail-connector"].map(|folder| root.join(folder));
    let files = folders.into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let is_markdown = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    files.map(|entry| entry.unwrap().path()).filter(is_markdown).collect()
}

/// The lines of a document that are no code.
fn prose(document: &Path) -> Vec<String> {
    let text = fs::read_to_string(document).unwrap();
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.map(str::to_owned).collect()
}

/// What code hosts make of the headings of a document.
fn anchors(document: &Path) -> BTreeSet<String> {
    let prose = prose(document);
    let headings = prose.iter().filter(|line| line.starts_with('#'));
    let anchor = |line: &String| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
        kept.map(|character| if character == ' ' { '-' } else { character }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_in_the_documents_has_a_target() {
    let documents = documents();
    assert!(documents.len() > 5);
    let mut broken = Vec::new();
    for document in &documents {
        for line in prose(document) {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            for target in targets.filter(|target| !target.starts_with("http")) {
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                let linked = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
                let is_there = linked.exists() && (anchor.is_empty() || anchors(&linked).contains(anchor));
                if !is_there {
                    broken.push(format!("{}: {target}", document.display()));
                }
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// The words before the colon in the list of the comment on this value of an enum.
fn listed(proto: &str, value: &str) -> BTreeSet<String> {
    let (before, _) = proto.split_once(&format!("  {value} = ")).unwrap();
    let comment: Vec<_> = before.lines().rev().map_while(|line| line.trim().strip_prefix("//")).collect();
    let items = comment.into_iter().filter_map(|line| line.strip_prefix(" * "));
    items.flat_map(|item| item.split_once(':').unwrap().0.split(", ").map(str::to_owned)).collect()
}

#[test]
fn documented_violation_reasons_match_the_code() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/sealward/v1/errors.proto");
    let documented = listed(&fs::read_to_string(proto).unwrap(), "ERROR_REASON_FIELD_INVALID");
    let reasons: BTreeSet<_> = sealward_core::violation::REASONS.iter().map(|reason| (*reason).to_owned()).collect();
    assert_eq!(documented, reasons);
}

/// Every file below a folder, without what its `.gitignore` leaves out.
fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let ignored = fs::read_to_string(folder.join(".gitignore")).unwrap_or_default();
    let is_ignored = |name: &str| name == ".git" || ignored.lines().any(|line| line.trim_matches('/') == name);
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if is_ignored(entry.file_name().to_str().unwrap()) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            files_below(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

#[test]
fn former_product_name_does_not_appear() {
    let former = ["field", "seal"].concat();
    let in_hex = HEXLOWER.encode(former.as_bytes());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    files_below(root, &mut files);
    assert!(files.len() > 300, "{}", files.len());
    let found: Vec<_> = files
        .iter()
        .filter(|file| {
            let path = file.strip_prefix(root).unwrap().to_string_lossy().to_lowercase();
            let text = String::from_utf8_lossy(&fs::read(file).unwrap()).to_lowercase();
            path.contains(&former) || text.contains(&former) || text.contains(&in_hex)
        })
        .collect();
    assert_eq!(found, Vec::<&PathBuf>::new());
}

/// The files of a folder that have this extension, as one text.
fn sources(folder: &Path, extension: &str, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, extension, all);
        } else if path.extension().is_some_and(|found| found == extension) {
            all.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_test_named_in_the_documents_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    for folder in [
        "src",
        "connect/src",
        "core",
        "pem",
        "store",
        "server/src",
        "client/src",
        "cli/src",
        "tests",
        "tools",
        "xtask",
        "examples",
    ] {
        sources(&root.join(folder), "rs", &mut all);
    }
    let mut named = 0;
    let mut missing = Vec::new();
    for document in ["ARCHITECTURE.md", "docs/invariants.md", "docs/threat-model.md"] {
        for line in prose(&root.join(document)) {
            for name in line.split('`').skip(1).step_by(2) {
                let is_test = name.matches('_').count() >= 4
                    && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit());
                if is_test {
                    named += 1;
                    if !all.contains(&format!("fn {name}(")) && !all.contains(&format!("fn {name}<")) {
                        missing.push(format!("{document}: {name}"));
                    }
                }
            }
        }
    }
    assert!(named > 60, "{named}");
    assert_eq!(missing, Vec::<String>::new());
}

/// What the server's sources log at this level: the message of each event, without those that are put together from parts.
fn logged(sources: &str, level: &str) -> Vec<String> {
    let logging = format!("tracing::{level}!(");
    let calls = sources.split(&logging).skip(1);
    calls.filter_map(last_literal).filter(|message| !message.contains('{')).collect()
}

/// The last text among the arguments of a call that begins here: the message of a logging macro.
fn last_literal(call: &str) -> Option<String> {
    let (mut depth, mut last, mut characters) = (1, None, call.chars().peekable());
    while let Some(character) = characters.next() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            '"' => {
                let mut text = String::new();
                while let Some(character) = characters.next().filter(|character| *character != '"') {
                    match (character, characters.peek().copied()) {
                        ('\\', Some('\n')) => while characters.next_if(|next| next.is_whitespace()).is_some() {},
                        ('\\', Some(_)) => text.extend(characters.next()),
                        (_, _) => text.push(character),
                    }
                }
                last = Some(text);
            }
            _ => {}
        }
        if depth == 0 {
            return last;
        }
    }
    None
}

#[test]
fn operations_reference_lists_every_warning_and_error_of_the_log() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let (_, section) = document.split_once("\n## Log events\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    // A row has the whole message, so that a rule on the field of a JSON log can match it exactly.
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let listed: Vec<(&str, &str)> = rows.map(|(message, rest)| (message, rest.split(" | ").next().unwrap())).collect();
    assert!(listed.len() > 50, "{}", listed.len());
    let mut all = String::new();
    for folder in ["server/src", "store/src"] {
        sources(&root.join(folder), "rs", &mut all);
    }
    let levels = ["error", "warn", "info", "debug"];
    let messages: BTreeMap<&str, Vec<String>> = levels.into_iter().map(|level| (level, logged(&all, level))).collect();
    // Some are constants, or arguments of a function that logs.
    let is_literal = |message: &str| all.contains(&format!("\"{message}\""));
    let is_logged = |message: &str| is_literal(message) || messages.values().flatten().any(|logged| logged == message);
    let gone: Vec<&str> = listed.iter().map(|(message, _)| *message).filter(|message| !is_logged(message)).collect();
    assert_eq!(gone, Vec::<&str>::new(), "docs/operations.md lists events that the server doesn't log");
    for level in ["error", "warn"] {
        let messages = &messages[level];
        assert!(messages.len() > 15, "{level}: {}", messages.len());
        let is_listed = |message: &&String| {
            listed.iter().any(|(listed, levels)| message == listed && levels.split(", ").any(|one| one == level))
        };
        let missing: Vec<&String> = messages.iter().filter(|message| !is_listed(message)).collect();
        assert_eq!(missing, Vec::<&String>::new(), "docs/operations.md lacks events at level {level}");
    }
}

/// Those of the words that a page doesn't have.
fn missing_in(page: &str, words: &BTreeSet<String>) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    words.iter().filter(|word| !text.contains(word.as_str())).cloned().collect()
}

fn contract() -> String {
    let mut all = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("proto"), "proto", &mut all);
    all
}

#[test]
fn every_error_reason_is_in_troubleshooting() {
    let contract = contract();
    let declared = contract.lines().filter_map(|line| line.trim().strip_prefix("ERROR_REASON_")?.split_once(" = "));
    let reasons: BTreeSet<_> =
        declared.map(|(name, _)| format!("`{name}`")).filter(|name| name != "`UNSPECIFIED`").collect();
    assert!(reasons.len() > 40, "{reasons:?}");
    assert_eq!(missing_in("docs/troubleshooting.md", &reasons), Vec::<String>::new());
}

#[test]
fn every_error_number_of_dynamics_365_is_documented() {
    let contract = contract();
    let is_number =
        |word: &&str| word.len() == 8 && word.starts_with("800") && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = contract.split(|character: char| !character.is_ascii_alphanumeric());
    let numbers: BTreeSet<_> = words.filter(is_number).map(str::to_owned).collect();
    assert!(numbers.len() > 20, "{numbers:?}");
    assert_eq!(missing_in("docs/dynamics-365.md", &numbers), Vec::<String>::new());
}
