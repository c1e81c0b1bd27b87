//! The scenario through the command line `sealward`: a table from each rpc to its command.

use std::{
    fs,
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{
    driver::{Call, Declined, Driver, Outcome, Sent, Target},
    expectation::compare,
    file::Caller,
};
use crate::cli::{Run, sealward};

/// The steps that have no command: file, step, reason.
pub(super) const SKIPPED: &[(&str, &str, &str)] = &[
    ("connection-age.yaml", "the stream ends with its connection", CONTINUES),
    ("inactive.yaml", "a deletion must be confirmed", CONFIRMED),
    ("key-change-running.yaml", "a second stream of the same identity is refused", KEPT_OPEN),
    ("key-change-running.yaml", "follow the re-encryption", KEPT_OPEN),
    ("limits.yaml", "a second connection of the identity is refused", CONNECTION),
    ("records.yaml", "a batch creates two mailboxes", BATCH),
    ("records.yaml", "a batch deletes mailboxes", BATCH),
    ("records.yaml", "a batch is created as a whole or not at all", BATCH),
    ("records.yaml", "a read mask selects fields", READ_MASK),
    ("refusals.yaml", "a message that ends too early", RAW),
    ("refusals.yaml", "metadata that is too large", METADATA),
];

const CONFIRMED: &str = "the command compares the names before it calls";
const CONTINUES: &str = "the command continues on a new connection";
const KEPT_OPEN: &str = "the command ends with the stream";
const CONNECTION: &str = "each command has one connection";
const BATCH: &str = "commands write single records, and `import` each on its own";
const READ_MASK: &str = "`get` shows all fields";
const RAW: &str = "the command line sends only messages";
const METADATA: &str = "the command line sends no other metadata";

/// Runs a command for each step.
pub(super) struct CommandLine {
    target: Target,
    files: TempDir,
}

/// A command for a call.
struct Command {
    words: Vec<String>,
    stdin: String,
    /// Changes the printed JSON to the JSON of the response.
    response: fn(Value) -> Value,
    unknown: &'static [&'static str],
    /// The file that the command writes, instead of printing a response.
    written: Option<PathBuf>,
}

impl Command {
    /// A command that prints the response.
    fn of(words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { words, stdin: String::new(), response: |printed| printed, unknown: &[], written: None }
    }

    fn stdin(mut self, text: &str) -> Self {
        text.clone_into(&mut self.stdin);
        self
    }

    fn word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    /// Adds an option with the value of a field, if the request has the field.
    fn option(self, option: &str, request: &Value, field: &str) -> Self {
        match &request[field] {
            Value::Null => self,
            Value::Bool(true) => self.word(option),
            Value::Bool(false) => self,
            Value::String(text) => self.word(option).word(text),
            other => {
                let text = other.to_string();
                self.word(option).word(&text)
            }
        }
    }

    /// Adds an option with a file that has the value of a field, if the request has the field.
    fn secret_file(self, option: &str, request: &Value, field: &str, files: &Path) -> Self {
        let Some(secret) = request[field].as_str() else { return self };
        let file = files.join(field);
        fs::write(&file, secret).unwrap();
        self.word(option).word(file.to_str().unwrap())
    }
}

impl CommandLine {
    pub(super) fn new(target: &Target) -> Self {
        Self { target: target.clone(), files: TempDir::new().unwrap() }
    }

    /// The words that name the server and the identity.
    fn connection(&self, caller: Caller) -> Vec<String> {
        let folder = self.target.folder.path();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let endpoint = format!("https://{}", self.target.address);
        match (caller, self.target.person(caller)) {
            (Caller::Plaintext, _) => {
                let address = self.target.plaintext_address.as_ref().unwrap();
                words(&["--plaintext", "--endpoint", &format!("http://{address}")])
            }
            (_, Some(person)) => {
                words(&["--endpoint", &endpoint, "--dev", folder.to_str().unwrap(), "--as", person.name()])
            }
            (_, None) => words(&["--endpoint", &endpoint, "--ca", folder.join("tls/ca.pem").to_str().unwrap()]),
        }
    }
}

impl Driver for CommandLine {
    async fn call(&mut self, call: &Call<'_>) -> Result<Outcome, Declined> {
        let command = command(call, self.files.path())?;
        let mut words = self.connection(call.step.caller);
        words.extend(["--output".to_owned(), "json".to_owned()]);
        words.extend(command.words);
        let stdin = command.stdin;
        let run = tokio::task::spawn_blocking(move || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            sealward(&words, &stdin)
        });
        let run = run.await.unwrap();
        if let Some(error) = error(&run) {
            return Ok(Outcome { error: Some(error), ..Outcome::default() });
        }
        let printed = if run.stdout.is_empty() { json!({}) } else { serde_json::from_str(&run.stdout).unwrap() };
        let response = match command.written {
            Some(file) => json!({ "chunk": BASE64.encode(&fs::read(file).unwrap()) }),
            None => (command.response)(in_names_of_the_contract(printed)),
        };
        Ok(Outcome { messages: vec![response], error: None, unknown: command.unknown })
    }

    /// The command line prints the reason, the field of each violation and the call id, all in sentences.
    fn compare_error(&self, expected: &Value, actual: &Value) -> Result<(), String> {
        compare(&json!({ "reason": expected["reason"], "request_id": expected["request_id"] }), actual, "error")?;
        let text = actual["text"].as_str().unwrap();
        for violation in expected["field_violations"].as_array().into_iter().flatten() {
            let field = violation["field"].as_str().unwrap();
            if !text.contains(&format!("{field}: ")) {
                return Err(format!("no violation of {field} in {text}"));
            }
        }
        Ok(())
    }
}

/// The error that a command printed instead of a response: its reason is the first word after the program's name. A command can also print a
/// response and fail, such as `compare` for values that differ.
fn error(run: &Run) -> Option<Value> {
    if run.code == 0 || !run.stdout.is_empty() {
        return None;
    }
    let printed = run.stderr.split_once("sealward: ").map_or(run.stderr.as_str(), |(_, printed)| printed);
    let first = printed.split_once(": ").map_or("", |(first, _)| first);
    let is_reason = first.bytes().all(|byte| byte == b'_' || byte.is_ascii_uppercase());
    let reason = Some(first).filter(|first| is_reason && !first.is_empty());
    let call_id = printed.lines().find_map(|line| line.trim().strip_prefix("call id: "));
    Some(json!({ "reason": reason, "request_id": call_id, "text": run.stderr }))
}

fn text<'a>(request: &'a Value, field: &str) -> &'a str {
    request[field].as_str().unwrap_or_default()
}

/// The command for a call.
fn command(call: &Call<'_>, files: &Path) -> Result<Command, Declined> {
    let messages = match &call.sent {
        Sent::Raw(_) => return Err(Declined(RAW)),
        Sent::Messages(messages) => messages,
    };
    if !call.metadata.is_empty() {
        return Err(Declined(METADATA));
    }
    if call.step.connection.is_some() {
        return Err(Declined(CONNECTION));
    }
    let request = messages.first().cloned().unwrap_or_default();
    let service = call.method.parent_service().name().to_owned();
    match service.as_str() {
        "OrganizationService"
            if call.method.name() == "DeleteOrganization" && request["name"] != request["confirm_name"] =>
        {
            Err(Declined(CONFIRMED))
        }
        "OrganizationService" => Ok(organization(call.method.name(), messages, files)),
        "DataEncryptionService" => data_encryption(call, &request),
        "AuditService" => Ok(audit(call.method.name(), &request)),
        "SecretAccessService" => Ok(secret_access(call.method.name(), &request)),
        "MetadataService" => Ok(metadata(call.method.name(), &request)),
        "AccessService" => Ok(access(call.method.name(), &request)),
        "ServerService" => Ok(server(call.method.name())),
        "MailboxConnectionService" => Ok(Command {
            response: resolved,
            ..Command::of(&[
                "resolve",
                text(&request, "name"),
                "--purpose",
                text(&request, "purpose"),
                "--show-passwords",
            ])
        }),
        "MailboxService" => entity("mailbox", "mailbox", call.method.name(), &request),
        "EmailServerProfileService" => {
            entity("email-server-profile", "email_server_profile", call.method.name(), &request)
        }
        "QueueService" => entity("queue", "queue", call.method.name(), &request),
        "UserSettingsService" => entity("user-settings", "user_settings", call.method.name(), &request),
        _ => panic!("no command for {}", call.step.call),
    }
}

fn organization(method: &str, messages: &[Value], files: &Path) -> Command {
    let request = &messages[0];
    match method {
        "CreateOrganization" => Command::of(&["org", "create", text(request, "organization_id")]),
        "GetOrganization" => Command::of(&["org", "get", text(request, "name")]),
        "ListOrganizations" => page(Command::of(&["org", "list"]), request),
        "DeleteOrganization" => {
            // The command takes the id.
            let (_, confirmed) = text(request, "confirm_name").split_once('/').unwrap();
            Command::of(&["org", "delete", text(request, "name"), "--confirm", confirmed])
        }
        "ExportOrganization" => {
            let file = files.join("exported");
            let command = Command::of(&["org", "export", text(request, "name"), "--file", file.to_str().unwrap()]);
            Command { written: Some(file), unknown: &["rows_total"], ..command }
        }
        "ImportOrganization" => {
            let file = files.join("imported");
            let chunks = messages.iter().map(|message| BASE64.decode(text(message, "chunk").as_bytes()).unwrap());
            fs::write(&file, chunks.collect::<Vec<_>>().concat()).unwrap();
            Command::of(&["org", "import", file.to_str().unwrap()])
                .option("--id", request, "organization_id")
                .option("--as-copy", request, "as_copy")
                .secret_file("--source-key-file", request, "source_encryption_key", files)
                .secret_file("--key-file", request, "encryption_key", files)
        }
        _ => panic!("no command for {method}"),
    }
}

fn data_encryption(call: &Call<'_>, request: &Value) -> Result<Command, Declined> {
    let with_key = |words: &[&str]| Command::of(words).word("--stdin").stdin(text(request, "encryption_key"));
    let command = match call.method.name() {
        "IsDataEncryptionActive" => Command::of(&["key", "status"]),
        "RetrieveDataEncryptionKey" => Command::of(&["key", "show"]),
        "SetDataEncryptionKey" if request["change_encryption_key"] == true => {
            with_key(&["key", "change", "--yes", "--no-wait"])
        }
        "SetDataEncryptionKey" => with_key(&["key", "restore"]),
        "WatchReencryption"
            if call.step.expect.error.as_ref().is_some_and(|error| error["reason"] == "CONNECTION_ENDING") =>
        {
            return Err(Declined(CONTINUES));
        }
        "WatchReencryption" if call.step.keep_open || call.step.expect.error.is_some() => {
            return Err(Declined(KEPT_OPEN));
        }
        "WatchReencryption" => Command::of(&["key", "watch"]),
        "VerifyCells" => Command { unknown: &["cells_total", "is_complete"], ..Command::of(&["key", "verify"]) },
        "ListUnreadableCells" => page(Command::of(&["key", "unreadable"]), request),
        "ListKeyChanges" => page(Command::of(&["key", "history"]), request),
        "AbandonEncryptedData" => {
            with_key(&["key", "abandon", "--yes", "--confirm", text(request, "confirm_fingerprint")])
        }
        method => panic!("no command for {method}"),
    };
    Ok(command.option("--organization", request, "organization"))
}

fn audit(method: &str, request: &Value) -> Command {
    let command = match method {
        "ListAuditRecords" => page(Command::of(&["audit", "list"]), request).option("--filter", request, "filter"),
        "VerifyAuditTrail" => Command::of(&["audit", "verify"]),
        _ => panic!("no command for {method}"),
    };
    command.option("--organization", request, "organization")
}

fn secret_access(method: &str, request: &Value) -> Command {
    match method {
        "RevealAttributes" => {
            let mut command = Command { response: revealed, ..Command::of(&["reveal", text(request, "name")]) };
            for attribute in request["attributes"].as_array().unwrap() {
                command = command.word("--attribute").word(attribute.as_str().unwrap());
            }
            command.word("--purpose").word(text(request, "purpose"))
        }
        "CompareAttribute" => {
            let command = Command::of(&["compare", text(request, "name"), "--attribute", text(request, "attribute")]);
            command
                .word("--purpose")
                .word(text(request, "purpose"))
                .word("--stdin")
                .stdin(text(&request["value"], "text"))
        }
        _ => panic!("no command for {method}"),
    }
}

fn metadata(method: &str, request: &Value) -> Command {
    match method {
        "ListEntityMetadata" => {
            page(Command::of(&["metadata", "list"]), request).option("--organization", request, "parent")
        }
        "GetEntityMetadata" => {
            let (organization, entity) = text(request, "name").split_once("/entityMetadata/").unwrap();
            Command::of(&["metadata", "show", entity, "--organization", organization])
        }
        "UpdateAttributeMetadata" => {
            let settings = &request["attribute_metadata"];
            let (organization, attribute) = text(settings, "name").split_once("/entityMetadata/").unwrap();
            let attribute = attribute.replace("/attributes/", ".");
            let mut command = Command::of(&["metadata", "set", &attribute, "--organization", organization]);
            for (option, field) in [("--audited", "audited"), ("--indexed", "indexed"), ("--max-length", "max_length")]
            {
                if !settings[field].is_null() {
                    command = command.word(option).word(&settings[field].to_string());
                }
            }
            command
        }
        "ListAttributeChanges" => {
            page(Command::of(&["metadata", "changes"]), request).option("--organization", request, "parent")
        }
        _ => panic!("no command for {method}"),
    }
}

fn access(method: &str, request: &Value) -> Command {
    match method {
        "WhoAmI" => Command::of(&["whoami"]),
        "ListBindings" => page(Command::of(&["access", "list", text(request, "identity")]), request),
        "ExplainAccess" => {
            let command = Command::of(&["access", "explain", text(request, "identity")]);
            command.option("--method", request, "method").option("--organization", request, "organization")
        }
        _ => panic!("no command for {method}"),
    }
}

fn server(method: &str) -> Command {
    match method {
        "GetServerInfo" => Command::of(&["server", "info"]),
        "GetServerStatus" => Command::of(&["server", "status"]),
        _ => panic!("no command for {method}"),
    }
}

/// A command of an entity. `field` is the field of the record in a request.
fn entity(group: &str, field: &str, method: &str, request: &Value) -> Result<Command, Declined> {
    let verb = method.chars().next().into_iter().chain(method.chars().skip(1).take_while(char::is_ascii_lowercase));
    let command = match verb.collect::<String>().as_str() {
        "Create" => {
            let command = Command::of(&[group, "create", "--json", "-"]).stdin(&request[field].to_string());
            let command = command.option("--organization", request, "parent");
            write(command.option("--id", request, &format!("{field}_id")), request)
        }
        "Get" if !request["read_mask"].is_null() => return Err(Declined(READ_MASK)),
        "Get" => Command::of(&[group, "get", text(request, "name")]),
        "Batch" if method.starts_with("BatchGet") => {
            let names: Vec<&str> =
                request["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            let command = Command::of(&[&[group, "get"], names.as_slice()].concat());
            command.option("--organization", request, "parent")
        }
        "Batch" => return Err(Declined(BATCH)),
        "List" => {
            let command = page(Command::of(&[group, "list"]), request).option("--organization", request, "parent");
            let command = command.option("--filter", request, "filter").option("--order-by", request, "order_by");
            let command = command.option("--total", request, "return_total_size");
            match request["read_mask"].as_str() {
                Some(mask) => command.word("--fields").word(&snake_case(mask)),
                None => command,
            }
        }
        "Update" => update(group, field, request),
        "Delete" => {
            let command = Command::of(&[group, "delete", text(request, "name"), "--yes"]);
            write(command.option("--etag", request, "etag"), request)
        }
        verb => panic!("no command for {verb}"),
    };
    Ok(command)
}

/// Writes the attributes of the mask: those with a value, and those to clear.
fn update(group: &str, field: &str, request: &Value) -> Command {
    let record = request[field].as_object().unwrap();
    let mut command = Command::of(&[group, "update", record["name"].as_str().unwrap()]);
    command = command.option("--etag", &request[field], "etag");
    let mut set = Map::new();
    for name in snake_case(text(request, "update_mask")).split(',') {
        match record.get(name) {
            Some(value) => drop(set.insert(name.to_owned(), value.clone())),
            None => command = command.word("--clear").word(name),
        }
    }
    if !set.is_empty() {
        command = command.word("--json").word("-").stdin(&Value::Object(set).to_string());
    }
    write(command, request)
}

fn write(command: Command, request: &Value) -> Command {
    command.option("--check", request, "validate_only").option("--request-id", request, "request_id")
}

fn page(command: Command, request: &Value) -> Command {
    command.option("--page-size", request, "page_size").option("--page-token", request, "page_token")
}

fn snake_case(mask: &str) -> String {
    mask.chars().fold(String::new(), |mut snake, character| {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
        snake
    })
}

/// The JSON with the field names of the contract. The command line prints them in lower camel case.
fn in_names_of_the_contract(printed: Value) -> Value {
    match printed {
        Value::Object(fields) => {
            let renamed = fields.into_iter().map(|(name, value)| (snake_case(&name), in_names_of_the_contract(value)));
            Value::Object(renamed.collect())
        }
        Value::Array(values) => values.into_iter().map(in_names_of_the_contract).collect(),
        other => other,
    }
}

/// `reveal` prints the values by attribute.
fn revealed(printed: Value) -> Value {
    let values = printed.as_object().unwrap().iter();
    let values: Map<_, _> = values.map(|(name, value)| (name.clone(), json!({ "text": value }))).collect();
    json!({ "values": values })
}

/// `resolve` prints the short names of protocol and credentials, and passwords as text.
fn resolved(mut printed: Value) -> Value {
    for direction in printed.as_object_mut().unwrap().values_mut() {
        for (field, prefix) in [("protocol", "PROTOCOL_"), ("credentials", "CREDENTIALS_")] {
            direction[field] = Value::from(format!("{prefix}{}", direction[field].as_str().unwrap()));
        }
        direction["password"] = json!({ "text": direction["password"] });
    }
    printed
}

#[test]
fn every_group_of_commands_is_reached_by_the_scenario() {
    let services: std::collections::BTreeSet<String> = super::file::all()
        .iter()
        .flat_map(|scenario| &scenario.steps)
        .map(|step| step.call.split('/').next().unwrap().to_owned())
        .collect();
    let pool = prost_reflect::DescriptorPool::decode(sealward::FILE_DESCRIPTOR_SET).unwrap();
    let all = pool.services().map(|service| service.full_name().to_owned()).collect();
    assert_eq!(services, all);
}
