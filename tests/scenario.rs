//! The scenario of `clients/scenario`, run over gRPC, through the command line, and through Connect with JSON over plain HTTP.

mod command_line;
mod connect;
mod driver;
mod expectation;
mod file;
mod grpc;
mod messages;
mod variables;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use data_encoding::BASE64;
use serde_json::{Map, Value};
use tokio::{task::JoinSet, time::timeout};

use crate::harness::{Folder, process::Process};
use command_line::CommandLine;
use connect::Connect;
use driver::{Call, Declined, Driver, Outcome, Sent, Target};
use expectation::{ANY, at, compare};
use file::{Expectation, Requests, Scenario, ServerSpec, Step};
use grpc::Grpc;
use variables::Variables;

/// How long a step may take: far longer than any does.
const PATIENCE: Duration = Duration::from_secs(120);

/// A step that a driver can't make: file, step, reason.
type Skipped = (String, String, &'static str);

/// A server in a folder of its own.
fn start(server: ServerSpec) -> (Process, Target) {
    let folder = Folder::new();
    let mut process = Process::start(&folder.path());
    let mut settings = server.settings;
    if server.plaintext {
        settings.insert("listen.plaintext_address".to_owned(), Value::from("127.0.0.1:0"));
    }
    if !settings.is_empty() {
        process.terminate();
        assert!(process.wait().success());
        configure(&folder.development().config_file(), &settings);
        process = Process::start(&folder.path());
    }
    let plaintext = process.message.lines().find_map(|line| line.trim().strip_prefix("without TLS"));
    let plaintext_address = plaintext.map(|rest| rest.split(',').next().unwrap().trim().to_owned());
    let target = Target { folder: Arc::new(folder), address: process.address.clone(), plaintext_address };
    (process, target)
}

/// Changes settings in the configuration of a development server.
fn configure(file: &Path, settings: &Map<String, Value>) {
    let mut text = fs::read_to_string(file).unwrap();
    for (setting, value) in settings {
        let (_, name) = setting.split_once('.').unwrap();
        let is_setting = |line: &&str| {
            let line = line.strip_prefix("# ").unwrap_or(line);
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" = "))
        };
        let [line] = text.lines().filter(is_setting).collect::<Vec<_>>()[..] else {
            panic!("{setting} isn't one line")
        };
        text = text.replacen(&format!("\n{line}\n"), &format!("\n{name} = {value}\n"), 1);
    }
    fs::write(file, text).unwrap();
}

/// Runs a file, and returns its steps that the driver can't make.
async fn run<D: Driver>(scenario: &Scenario, driver: impl Fn(&Target) -> D) -> Vec<Skipped> {
    let server = scenario.server.clone();
    // Other files have calls open, which blocked threads would delay.
    let (_process, target) = tokio::task::spawn_blocking(|| start(server)).await.unwrap();
    let mut driver = driver(&target);
    let mut variables = Variables::default();
    let mut skipped = Vec::new();
    for step in &scenario.steps {
        let outcome = timeout(PATIENCE, run_step(step, &mut driver, &mut variables)).await;
        match outcome.unwrap_or_else(|_| Err("it takes too long".to_owned())) {
            Ok(None) => {}
            Ok(Some(Declined(why))) => skipped.push((scenario.file.clone(), step.name.clone(), why)),
            Err(problem) => panic!("{}: {}: {}", scenario.file, step.name, variables.masked(&problem)),
        }
    }
    skipped
}

async fn run_step<D: Driver>(
    step: &Step,
    driver: &mut D,
    variables: &mut Variables,
) -> Result<Option<Declined>, String> {
    let sent = match (&step.raw, &step.requests) {
        (Some(raw), _) => Sent::Raw(BASE64.decode(raw.as_bytes()).unwrap()),
        (None, None) => {
            Sent::Messages(vec![variables.resolve(step.request.as_ref().unwrap_or(&Value::Object(Map::new())))])
        }
        (None, Some(Requests::List(list))) => {
            Sent::Messages(list.iter().map(|request| variables.resolve(request)).collect())
        }
        (None, Some(Requests::ForEach { for_each, request })) => {
            let items = variables.resolve(for_each);
            let messages = items.as_array().unwrap().iter().map(|item| {
                variables.save("item", item.clone());
                variables.resolve(request)
            });
            Sent::Messages(messages.collect())
        }
    };
    let metadata = step.metadata.iter().map(|(name, value)| {
        (name.clone(), variables.resolve(&Value::from(value.clone())).as_str().unwrap().to_owned())
    });
    let call = Call { step, method: messages::method(&step.call), sent, metadata: metadata.collect() };
    let outcome = match driver.call(&call).await {
        Ok(outcome) => outcome,
        Err(declined) => return Ok(Some(declined)),
    };
    check(&step.expect, &outcome, driver, variables)?;
    for (name, path) in &step.save {
        variables.save(name, saved(&outcome, path));
    }
    Ok(None)
}

fn check<D: Driver>(
    expect: &Expectation,
    outcome: &Outcome,
    driver: &D,
    variables: &mut Variables,
) -> Result<(), String> {
    if let Some(error) = &expect.error {
        let Some(actual) = &outcome.error else { return Err(format!("no error, but {:?}", outcome.messages)) };
        let mut expected = error.clone();
        expected.entry("domain").or_insert(Value::from("sealward"));
        expected.entry("request_id").or_insert(Value::from(ANY));
        return driver.compare_error(&variables.resolve(&Value::Object(expected)), actual);
    }
    if let Some(error) = &outcome.error {
        return Err(format!("the error {error}"));
    }
    let known = |expected: &Value| {
        let mut expected = expected.clone();
        if let Some(fields) = expected.as_object_mut() {
            fields.retain(|name, _| !outcome.unknown.contains(&name.as_str()));
        }
        expected
    };
    if let Some(stream) = &expect.stream {
        if outcome.messages.len() < stream.min {
            return Err(format!("{} messages", outcome.messages.len()));
        }
        let Some(last) = &stream.last else { return Ok(()) };
        return compare(&variables.resolve(&known(last)), outcome.messages.last().unwrap_or(&Value::Null), "last");
    }
    let [answer] = &outcome.messages[..] else { return Err(format!("{} answers", outcome.messages.len())) };
    compare(&variables.resolve(&known(expect.answer.as_ref().unwrap())), answer, "answer")
}

/// The value that a step saves.
fn saved(outcome: &Outcome, path: &str) -> Value {
    if let Some(path) = path.strip_prefix("*.") {
        return outcome.messages.iter().map(|message| at(message, path).clone()).collect();
    }
    let path = path.strip_prefix("last.").unwrap_or(path);
    let value = at(outcome.messages.last().unwrap(), path).clone();
    if value.is_null() { Value::from("") } else { value }
}

/// Runs every file, several at a time, and returns the steps that the driver can't make.
async fn run_all<D: Driver + Send + 'static>(driver: fn(&Target) -> D) -> BTreeSet<Skipped> {
    let scenarios = file::all();
    assert!(scenarios.len() >= 14, "{}", scenarios.len());
    let mut runs = JoinSet::new();
    for scenario in scenarios {
        runs.spawn(async move { run(&scenario, driver).await });
    }
    let mut skipped = BTreeSet::new();
    while let Some(run) = runs.join_next().await {
        match run {
            Ok(steps) => skipped.extend(steps),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    skipped
}

fn expected_skips(list: &[(&str, &str, &'static str)]) -> BTreeSet<Skipped> {
    list.iter().map(|(file, step, why)| ((*file).to_owned(), (*step).to_owned(), *why)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_passes_over_grpc() {
    assert_eq!(run_all(Grpc::new).await, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_passes_through_the_command_line() {
    assert_eq!(run_all(CommandLine::new).await, expected_skips(command_line::SKIPPED));
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_passes_through_connect_with_json() {
    assert_eq!(run_all(Connect::new).await, BTreeSet::new());
}

/// The names in the first column of the README's table of reasons, and those of the tests in its last column.
fn listed_reasons() -> BTreeMap<String, String> {
    let readme = fs::read_to_string(file::folder().join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Reasons that no step has\n").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix("` |"));
    rows.map(|row| {
        let (reason, rest) = row.split_once("` | ").unwrap();
        (reason.to_owned(), rest.rsplit_once('`').unwrap().1.to_owned())
    })
    .collect()
}

/// Every test function below a folder.
fn collect_tests(folder: &Path, tests: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_tests(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split_once("() {"));
            tests.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
}

#[test]
fn every_reason_of_the_contract_is_in_the_scenario_or_in_its_readme_with_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut contract = BTreeSet::new();
    for proto in ["proto/sealward/v1/errors.proto", "proto/sealward/mail/v1/mailbox_connection.proto"] {
        let text = fs::read_to_string(root.join(proto)).unwrap();
        let values = text.lines().filter_map(|line| line.trim().strip_prefix("ERROR_REASON_")?.split_once(" = "));
        contract.extend(values.map(|(name, _)| name.to_owned()).filter(|name| name != "UNSPECIFIED"));
    }
    assert!(contract.len() > 50, "{contract:?}");

    let scenarios = file::all();
    let errors = scenarios.iter().flat_map(|scenario| &scenario.steps).filter_map(|step| step.expect.error.as_ref());
    let caused: BTreeSet<String> = errors.map(|error| error["reason"].as_str().unwrap().to_owned()).collect();
    let listed = listed_reasons();
    let twice: Vec<_> = listed.keys().filter(|reason| caused.contains(*reason)).collect();
    assert_eq!(twice, Vec::<&String>::new(), "the README lists reasons that a step has");
    let all: BTreeSet<String> = caused.into_iter().chain(listed.keys().cloned()).collect();
    assert_eq!(all, contract);

    let mut tests = BTreeSet::new();
    for folder in ["tests", "core/src", "server/src", "store/src"] {
        collect_tests(&root.join(folder), &mut tests);
    }
    let missing: Vec<_> = listed.values().filter(|test| !tests.contains(*test)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "tests that the README names");
}
