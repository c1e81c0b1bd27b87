//! The sizes of packages, compared with the table in docs/install.md.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    build_info,
    command::{Failure, file},
    source::Source,
    sums,
};

const DOCUMENT: &str = "docs/install.md";

/// The greatest difference between a size and the documented one, as a share of the size.
const DIFFERENCE_MAX: f64 = 0.1;

/// Compares the size of each package in `out` with the document. A package that the table doesn't have is an error. Packages that aren't in `out`, as
/// in a release without clients, don't count.
pub(super) fn compare(source: &Source, out: &Path) -> Result<(), Failure> {
    let document = String::from_utf8_lossy(&source.read(DOCUMENT)?).into_owned();
    let documented = documented(&document, &source.version);
    let mut problems = Vec::new();
    for path in sums::packages(out)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == build_info::NAME {
            continue;
        }
        let size = fs::metadata(&path).map_err(file("find", &path))?.len() as f64;
        let found = documented.get(&name);
        if !found.is_some_and(|documented| (documented - size).abs() <= DIFFERENCE_MAX * size) {
            problems.push(format!("{name} has {:.2} MB", size / 1e6));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::wrong(format!("correct the table in {DOCUMENT}:\n{}", problems.join("\n"))))
}

/// The sizes in bytes by file, from rows such as `| \`sealward_VERSION_amd64.deb\` | the command line | 3.1 MB |`.
fn documented(document: &str, version: &str) -> BTreeMap<String, f64> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [name, .., size] = cells.as_slice() else { return None };
        let (number, unit) = size.split_once(' ')?;
        let unit = match unit {
            "KB" => 1e3,
            "MB" => 1e6,
            _ => return None,
        };
        let name = name.strip_prefix('`')?.strip_suffix('`')?.replace("VERSION", version);
        Some((name, number.parse::<f64>().ok()? * unit))
    };
    document.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_table() {
        let table = "# Install\n\n| file | content | size |\n|---|---|---|\n| `a-VERSION.deb` | a | 3.1 MB |\n| `b` | b | 200 KB |\n\
                     | `c` | c | small |\n| question | answer |\n";
        let sizes = documented(table, "1.0.0");
        assert_eq!(sizes, BTreeMap::from([("a-1.0.0.deb".to_owned(), 3.1e6), ("b".to_owned(), 2e5)]));
    }
}
