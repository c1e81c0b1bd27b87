//! The documents: what they link to is there, and so is every test that they name.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["", "docs", "examples/mail-connector"].map(|folder| root.join(folder));
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
fn every_link_in_the_documents_leads_somewhere() {
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
fn every_test_that_a_promise_rests_on_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    for folder in ["core", "pem", "server/src", "client/src", "tests", "xtask", "examples"] {
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
fn every_number_of_dynamics_365_is_in_its_page() {
    let contract = contract();
    let is_number =
        |word: &&str| word.len() == 8 && word.starts_with("800") && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = contract.split(|character: char| !character.is_ascii_alphanumeric());
    let numbers: BTreeSet<_> = words.filter(is_number).map(str::to_owned).collect();
    assert!(numbers.len() > 20, "{numbers:?}");
    assert_eq!(missing_in("docs/dynamics-365.md", &numbers), Vec::<String>::new());
}
