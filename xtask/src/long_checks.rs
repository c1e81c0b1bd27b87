//! Checks with tools that take long to build: `cargo xtask test --all`.
//!
//! They are ignored tests in `tests/`. A file records each check's last success, with a hash of its inputs. Every other run of the tests only
//! compares the hashes: it fails if the inputs of a check have changed since.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::{
    release,
    tools::{ISTIOCTL, Missing, OTELCOL, Output, RUSTC, SPIRE, Tool, Tools, shown},
};

/// A check. To add one, add it to [`LONG_CHECKS`], and mark its tests `#[ignore = "needs TOOL: cargo xtask test --all NAME"]`.
pub(crate) struct LongCheck {
    /// The name on the command line and in the record.
    pub(crate) name: &'static str,
    /// Its tool. It has to run again with another version.
    tool: Tool,
    install: fn(&Tools, &mut Output) -> Result<(), Missing>,
    /// The beginning of the names of its tests, which are ignored tests in `tests/`.
    tests: &'static str,
    /// What its result depends on: files, folders, and names with one `*`, relative to the root. The shorter the list, the less often the
    /// check has to run.
    inputs: &'static [&'static str],
}

pub(crate) const LONG_CHECKS: &[LongCheck] = &[
    LongCheck {
        name: "istio",
        tool: ISTIOCTL,
        install: Tools::istioctl,
        tests: "istio::",
        inputs: &["deploy/mesh/istio-*.yaml", "tests/istio.rs"],
    },
    LongCheck {
        name: "opentelemetry",
        tool: OTELCOL,
        install: Tools::otelcol,
        tests: "traces::",
        inputs: &["deploy/monitoring/otel-collector.yaml", "server/src/telemetry/traces", "tests/traces.rs"],
    },
    LongCheck {
        name: "packages",
        tool: ("debootstrap", "Debian"),
        install: Tools::booted_debian,
        tests: "packages::",
        inputs: &["deploy/encrypted-root-key.conf", "deploy/sealward*", "tests/packages.rs", "tools/release"],
    },
    LongCheck {
        name: "reproducible",
        tool: RUSTC,
        install: release::install_builders,
        tests: "reproducible::",
        // What decides how programs and packages are built. Each change of code would make the check stale otherwise, and takes it 20 minutes.
        inputs: &[
            ".cargo/config.toml",
            "Cargo.lock",
            "Cargo.toml",
            "build",
            "build.rs",
            "cli/Cargo.toml",
            "clients/go/go.mod",
            "clients/java/pom.xml",
            "clients/python/pyproject.toml",
            "clients/typescript/package.json",
            "rust-toolchain.toml",
            "server/Cargo.toml",
            "server/build.rs",
            "tests/reproducible.rs",
            "tools/release/Cargo.toml",
            "tools/release/debian/copyright",
            "tools/release/debian/description-*",
            "tools/release/debian/p*",
            "tools/release/go-module-zip",
            "tools/release/src/*.rs",
            "tools/release/src/rustc-wrapper.sh",
        ],
    },
    LongCheck {
        name: "spire",
        tool: SPIRE,
        install: Tools::spire,
        tests: "spiffe::spire::",
        inputs: &["server/src/workload_api", "server/src/workload_api.rs", "tests/spiffe.rs", "tests/spiffe"],
    },
];

/// Where the last successes are recorded.
pub(crate) const RECORD: &str = "tests/long-checks.txt";

const HEADING: &str = "\
# The last success of each check with a tool that takes long to build. Written by `cargo xtask test --all`: don't edit.
# check, date, tool, version, and SHA-256 of the inputs
";

/// Why a check didn't pass.
pub(crate) enum LongCheckError {
    /// Its tool can't be installed.
    Missing(Missing),
    Failed(String),
}

impl From<String> for LongCheckError {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// The checks of these names; all if there are none.
///
/// # Errors
/// There is no check of a name.
pub(crate) fn named(names: &[String]) -> Result<Vec<&'static LongCheck>, String> {
    if names.is_empty() {
        return Ok(LONG_CHECKS.iter().collect());
    }
    let known = || LONG_CHECKS.iter().map(|check| check.name).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        let found = LONG_CHECKS.iter().find(|check| check.name == name);
        found.ok_or_else(|| format!("there is no check `{name}`: use {}", known()))
    };
    names.iter().map(find).collect()
}

impl LongCheck {
    /// Installs the tool, runs the tests, and records the success.
    pub(crate) fn run(&self, tools: &Tools, output: &mut Output) -> Result<(), LongCheckError> {
        (self.install)(tools, output).map_err(LongCheckError::Missing)?;
        let entry = self.entry(tools.root(), &today(tools)?)?;
        self.run_tests(tools, output)?;
        if self.entry(tools.root(), "")?.hash != entry.hash {
            return Err("its inputs changed while it ran".to_owned().into());
        }
        let mut entries: Vec<_> =
            recorded(tools.root())?.into_iter().filter(|other| other.check != self.name).collect();
        entries.push(entry);
        entries.sort_by(|one, other| one.check.cmp(&other.check));
        let lines: String = entries.iter().map(|entry| entry.line() + "\n").collect();
        let path = tools.root().join(RECORD);
        fs::write(&path, HEADING.to_owned() + &lines)
            .map_err(|error| format!("can't write {}: {error}", path.display()))?;
        output.line(&format!("   recorded in {RECORD}: commit it"));
        Ok(())
    }

    /// Runs the tests. There must be one: a filter that selects nothing would succeed.
    fn run_tests(&self, tools: &Tools, output: &mut Output) -> Result<(), String> {
        let command = |option: &[&str]| {
            let mut command = tools.cargo();
            // The whole workspace, so that dependencies have the same features as in other runs, and aren't compiled again.
            command.args(["test", "--workspace", "--locked", "--test", "black_box", "--", "--ignored", self.tests]);
            command.args(option);
            command
        };
        let mut list = command(&["--list"]);
        let listed = list.output().map_err(|error| format!("`{}` could not be started: {error}", shown(&list)))?;
        if !listed.status.success() {
            output.line(&String::from_utf8_lossy(&listed.stderr));
            return Err(format!("`{}`: {}", shown(&list), listed.status));
        }
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        let selected = names.lines().filter(|line| line.ends_with(": test"));
        if !selected.clone().any(|line| line.starts_with(self.tests)) {
            return Err(format!("there is no ignored test whose name begins with `{}`", self.tests));
        }
        let mut run = command(&[]);
        output.line(&format!("   {}", shown(&run)));
        match output.run(&mut run) {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("`{}`: {status}", shown(&run))),
            Err(error) => Err(format!("`{}` could not be started: {error}", shown(&run))),
        }
    }

    fn entry(&self, root: &Path, date: &str) -> Result<Entry, String> {
        let hash = hash_of(root, self.inputs)?;
        let (program, version) = self.tool;
        Ok(Entry { check: self.name.to_owned(), date: date.to_owned(), tool: format!("{program} {version}"), hash })
    }

    /// Why the check has to run again; `None` if it doesn't.
    fn stale(&self, root: &Path, recorded: &[Entry]) -> Result<Option<String>, String> {
        let now = self.entry(root, "")?;
        let run = format!("run `cargo xtask test --all {}`, and commit {RECORD}", self.name);
        let inputs = self.inputs.join(", ");
        Ok(match recorded.iter().find(|entry| entry.check == self.name) {
            None => Some(format!("{} has no recorded success: {run}", self.name)),
            Some(last) if last.tool != now.tool => {
                Some(format!("{} succeeded with {}, but the tool is now {}: {run}", self.name, last.tool, now.tool))
            }
            Some(last) if last.hash != now.hash => {
                Some(format!("{}: inputs changed since {} ({inputs}): {run}", self.name, last.date))
            }
            Some(_) => None,
        })
    }
}

/// The checks that have to run again, with reasons, and lines of the record that belong to no check.
///
/// # Errors
/// The record or an input can't be read.
pub(crate) fn problems(root: &Path) -> Result<Vec<String>, String> {
    let recorded = recorded(root)?;
    let mut problems = Vec::new();
    for check in LONG_CHECKS {
        problems.extend(check.stale(root, &recorded)?);
    }
    let unknown = recorded.iter().filter(|entry| !LONG_CHECKS.iter().any(|check| check.name == entry.check));
    problems.extend(unknown.map(|entry| format!("{} isn't a check: remove its line from {RECORD}", entry.check)));
    Ok(problems)
}

/// A line of the record.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    check: String,
    /// `YYYY-MM-DD`
    date: String,
    /// Name and version.
    tool: String,
    hash: String,
}

impl Entry {
    fn line(&self) -> String {
        format!("{}  {}  {}  {}", self.check, self.date, self.tool, self.hash)
    }

    fn parse(line: &str) -> Option<Self> {
        let [check, date, tool, version, hash] = *line.split_whitespace().collect::<Vec<_>>() else { return None };
        let tool = format!("{tool} {version}");
        Some(Self { check: check.to_owned(), date: date.to_owned(), tool, hash: hash.to_owned() })
    }
}

fn recorded(root: &Path) -> Result<Vec<Entry>, String> {
    let path = root.join(RECORD);
    let text = fs::read_to_string(&path).map_err(|error| format!("can't read {}: {error}", path.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| Entry::parse(line).ok_or_else(|| format!("malformed line in {RECORD}: {line}"))).collect()
}

/// SHA-256 over the paths and contents of the files, in the order of their paths.
fn hash_of(root: &Path, inputs: &[&str]) -> Result<String, String> {
    let mut files = BTreeSet::new();
    for input in inputs {
        let before = files.len();
        add_files(root, input, &mut files).map_err(|error| format!("can't read {input}: {error}"))?;
        if files.len() == before {
            return Err(format!("{input} is in the inputs of a check, but adds no file"));
        }
    }
    let mut hash = Sha256::new();
    for file in files {
        let contents = fs::read(root.join(&file)).map_err(|error| format!("can't read {}: {error}", file.display()))?;
        // With lengths, so that no other files give the same bytes.
        for part in [file.to_string_lossy().as_bytes(), &contents] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        write!(text, "{byte:02x}").map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// Adds the files of an input, relative to the root: a file, all files in a folder, or those in a folder whose names match a `*`.
fn add_files(root: &Path, input: &str, files: &mut BTreeSet<PathBuf>) -> std::io::Result<()> {
    let path = Path::new(input);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some((begin, end)) = name.split_once('*') else {
        if !root.join(path).is_dir() {
            files.insert(path.to_owned());
            return Ok(());
        }
        return add_matching(root, path, "", "", files);
    };
    add_matching(root, path.parent().unwrap_or(Path::new("")), begin, end, files)
}

fn add_matching(
    root: &Path,
    folder: &Path,
    begin: &str,
    end: &str,
    files: &mut BTreeSet<PathBuf>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let matches = name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end);
        match (matches, entry.file_type()?.is_dir()) {
            (false, _) => {}
            (true, true) => add_matching(root, &folder.join(name), "", "", files)?,
            (true, false) => drop(files.insert(folder.join(name))),
        }
    }
    Ok(())
}

/// Today's date in UTC.
fn today(tools: &Tools) -> Result<String, String> {
    let date =
        tools.command("date").args(["-u", "+%F"]).output().map_err(|error| format!("can't run date: {error}"))?;
    Ok(String::from_utf8_lossy(&date.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder below the target folder, for this test.
    fn folder(name: &str) -> PathBuf {
        let root = Tools::new().root().join("target/tmp/long-checks").join(name);
        let _not_there = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("tests")).unwrap();
        fs::create_dir_all(root.join("deploy/mesh/more")).unwrap();
        root
    }

    fn check(inputs: &'static [&'static str]) -> LongCheck {
        LongCheck { name: "istio", tool: ("istioctl", "1"), install: |_, _| Ok(()), tests: "istio::", inputs }
    }

    #[test]
    fn check_is_stale_after_a_change_of_its_inputs_or_its_tool() {
        let root = folder("stale");
        let file = root.join("deploy/mesh/istio-a.yaml");
        fs::write(&file, "one").unwrap();
        fs::write(root.join("deploy/mesh/envoy.yaml"), "other").unwrap();
        let check = check(&["deploy/mesh/istio-*.yaml"]);
        let record = [check.entry(&root, "2026-11-30").unwrap()];
        assert_eq!(check.stale(&root, &record).unwrap(), None);
        assert!(check.stale(&root, &[]).unwrap().unwrap().contains("no recorded success"));

        // Not an input, and a change without other contents.
        fs::write(root.join("deploy/mesh/envoy.yaml"), "changed").unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, "one").unwrap();
        assert_eq!(check.stale(&root, &record).unwrap(), None);

        fs::write(&file, "two").unwrap();
        let why = check.stale(&root, &record).unwrap().unwrap();
        assert!(why.contains("since 2026-11-30") && why.contains("cargo xtask test --all istio"), "{why}");
        fs::write(&file, "one").unwrap();
        fs::write(root.join("deploy/mesh/istio-b.yaml"), "").unwrap();
        assert!(check.stale(&root, &record).unwrap().is_some());
        fs::remove_file(root.join("deploy/mesh/istio-b.yaml")).unwrap();
        let newer = LongCheck { tool: ("istioctl", "2"), ..check };
        assert!(newer.stale(&root, &record).unwrap().unwrap().contains("the tool is now istioctl 2"));
    }

    #[test]
    fn hash_depends_on_names_and_contents_and_needs_a_file_for_each_input() {
        let root = folder("hash");
        for (name, contents) in [("a", "12"), ("ab", "2"), ("more/c", "3")] {
            fs::write(root.join("deploy/mesh").join(name), contents).unwrap();
        }
        let of = |inputs: &[&str]| hash_of(&root, inputs).unwrap();
        let all = of(&["deploy/mesh"]);
        assert_eq!(all.len(), 64);
        assert_eq!(all, of(&["deploy/mesh/more/c", "deploy/mesh/a*"]));
        assert_ne!(all, of(&["deploy/mesh/a*"]));
        fs::write(root.join("deploy/mesh/a"), "1").unwrap();
        fs::write(root.join("deploy/mesh/ab"), "22").unwrap();
        assert_ne!(all, of(&["deploy/mesh"]));
        assert!(hash_of(&root, &["deploy/mesh/istio-*"]).unwrap_err().contains("adds no file"));
        assert!(hash_of(&root, &["deploy/none.yaml"]).is_err());
    }

    #[test]
    fn record_is_read_as_it_was_written() {
        let root = folder("record");
        fs::write(root.join("deploy/mesh/istio-a.yaml"), "one").unwrap();
        let entry = check(&["deploy/mesh"]).entry(&root, "2026-11-30").unwrap();
        fs::write(root.join(RECORD), format!("{HEADING}{}\n", entry.line())).unwrap();
        assert_eq!(recorded(&root).unwrap(), [entry]);
        fs::write(root.join(RECORD), "istio 2026-11-30\n").unwrap();
        assert!(recorded(&root).unwrap_err().contains("malformed line"));
    }

    #[test]
    fn unknown_check_is_refused_with_the_known_names() {
        let error = named(&["consul".to_owned()]).err().unwrap();
        assert!(error.contains("`consul`") && error.contains("istio"), "{error}");
        assert_eq!(named(&[]).unwrap().len(), LONG_CHECKS.len());
    }
}
