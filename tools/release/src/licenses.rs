//! The license texts of all crates in a program, as their licenses demand.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    command::{Failure, file},
    files::entries,
    inventory::{Crate, Inventory, Key},
    source::Source,
};

const INTRODUCTION: &str = "\
This program contains the following software. Its licenses, copyright notices and texts are below. Equal texts appear once, after the names
of all that use them. The standard library of Rust is under MIT or Apache-2.0, at the choice of its user.
";

/// The names of files with licenses and notices begin with one of these words.
const FILES: &[&str] = &["license", "licence", "copying", "copyright", "notice", "unlicense"];

/// The depth below a crate's folder where licenses of C sources are found: `c_src/mimalloc/v3/LICENSE`.
const DEPTH: usize = 4;

/// Returns one text with all licenses. It fails if a crate has neither a text nor a license whose text is known.
pub(crate) fn text(source: &Source, inventory: &Inventory) -> Result<String, Failure> {
    let apache = String::from_utf8_lossy(&source.read("LICENSE")?).into_owned();
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, krate) in &inventory.crates {
        for (name, text) in texts(key, krate, &apache)? {
            users.entry(text).or_default().push(name);
        }
    }
    let mut sections: Vec<(Vec<String>, String)> = users.into_iter().map(|(text, users)| (users, text)).collect();
    sections.sort();

    let mut document = format!("{INTRODUCTION}\n");
    for ((name, version), krate) in &inventory.crates {
        let _infallible = writeln!(document, "{name} {version}: {}", krate.license);
    }
    for (users, text) in sections {
        let _infallible = write!(document, "\n{}\n{}\n\n{}\n", "=".repeat(80), users.join(", "), text.trim_end());
    }
    Ok(document)
}

/// The texts of a crate, each with the crate's name and the file.
fn texts(key: &Key, krate: &Crate, apache: &str) -> Result<Vec<(String, String)>, Failure> {
    let (name, version) = key;
    let mut texts = Vec::new();
    for path in license_files(&krate.folder, DEPTH, krate.checksum.is_none())? {
        let bytes = fs::read(&path).map_err(file("read", &path))?;
        let relative = path.strip_prefix(&krate.folder).unwrap_or(&path).display();
        texts.push((format!("{name} {version} {relative}"), normal(&String::from_utf8_lossy(&bytes))));
    }
    if texts.is_empty() {
        // The crate only names its licenses.
        let authors =
            if krate.authors.is_empty() { format!("the authors of {name}") } else { krate.authors.join(", ") };
        let words: Vec<&str> = krate.license.split_whitespace().collect();
        let text = if words.contains(&"MIT") {
            MIT.replace("AUTHORS", &authors)
        } else if words.contains(&"Apache-2.0") {
            apache.to_owned()
        } else {
            return Err(Failure::wrong(format!("{name} {version} has no text of its license, {}", krate.license)));
        };
        texts.push((format!("{name} {version}"), normal(&text)));
    }
    Ok(texts)
}

/// The files with licenses in a folder, sorted. The folders of our own crates contain other crates, so only their own files count.
fn license_files(folder: &Path, depth: usize, is_ours: bool) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            if depth > 0 && !is_ours && !path.is_symlink() {
                found.extend(license_files(&path, depth - 1, is_ours)?);
            }
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_text =
            !name.ends_with(".rs") && !name.ends_with(".h") && !name.ends_with(".py") && !name.ends_with(".sh");
        if is_text && FILES.iter().any(|word| name.starts_with(word)) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The text with Unix line breaks, and without spaces at ends of lines, so that equal texts are found.
fn normal(text: &str) -> String {
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n").trim_matches('\n'))
}

const MIT: &str = "\
Copyright (c) AUTHORS

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the
\"Software\"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish,
distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to
the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE
SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{CLI, SERVER};

    #[test]
    fn every_crate_has_a_license_text_and_c_sources_too() {
        let source = Source::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
        for names in [&SERVER, &CLI] {
            let inventory = Inventory::of(&source, names).unwrap();
            let text = text(&source, &inventory).unwrap();
            for (name, version) in inventory.crates.keys() {
                let heading = format!("{name} {version}");
                assert!(text.matches(&heading).count() >= 2, "{heading}");
            }
            assert!(text.contains("aws-lc/LICENSE"));
        }
    }
}
