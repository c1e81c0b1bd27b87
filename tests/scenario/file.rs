//! The files of `clients/scenario`, as the README there describes them.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::{Map, Value};

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// The name of the file.
    #[serde(skip)]
    pub file: String,
    #[serde(rename = "name")]
    _name: String,
    #[serde(default)]
    pub server: ServerSpec,
    pub steps: Vec<Step>,
}

/// How the server is started.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerSpec {
    #[serde(default)]
    pub plaintext: bool,
    #[serde(default)]
    pub settings: Map<String, Value>,
}

/// A call, and its expected outcome.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub name: String,
    #[serde(rename = "as")]
    pub caller: Caller,
    pub call: String,
    pub request: Option<Value>,
    pub requests: Option<Requests>,
    pub raw: Option<String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    pub connection: Option<Connection>,
    #[serde(default)]
    pub keep_open: bool,
    pub expect: Expectation,
    #[serde(default)]
    pub save: BTreeMap<String, String>,
}

/// The identity of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Caller {
    Admin,
    Writer,
    Reader,
    Connector,
    Auditor,
    Nobody,
    Plaintext,
}

/// The connection of a call, unless it is the one of its identity.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Connection {
    New,
}

/// The messages of a client stream.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Requests {
    List(Vec<Value>),
    ForEach { for_each: Value, request: Value },
}

/// What a call returns: exactly one of these.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    pub answer: Option<Value>,
    pub stream: Option<StreamExpectation>,
    pub error: Option<Map<String, Value>>,
}

/// What a server stream returns.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamExpectation {
    #[serde(default)]
    pub min: usize,
    pub last: Option<Value>,
}

/// The folder of the files.
pub(super) fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/scenario")
}

/// Every file, in the order of their names.
pub(super) fn all() -> Vec<Scenario> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml")).collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Scenario {
    let text = fs::read_to_string(file).unwrap();
    let mut scenario: Scenario =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    scenario.file = file.file_name().unwrap().to_str().unwrap().to_owned();
    for step in &scenario.steps {
        let Expectation { answer, stream, error } = &step.expect;
        let expected = usize::from(answer.is_some()) + usize::from(stream.is_some()) + usize::from(error.is_some());
        assert_eq!(expected, 1, "{}: {}", scenario.file, step.name);
        let sent = [step.request.is_some(), step.requests.is_some(), step.raw.is_some()];
        assert!(sent.into_iter().filter(|is_sent| *is_sent).count() <= 1, "{}: {}", scenario.file, step.name);
    }
    scenario
}
