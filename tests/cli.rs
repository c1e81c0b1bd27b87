//! The command line `sealward`, run by a program: JSON on stdout, text on stderr, exit codes; and the commands that `dev` prints.
//! The output on a terminal is tested in [`terminal`](super::terminal).

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use sealward_server::development::Person;
use serde_json::{Value, json};

use crate::harness::{
    Folder, Server,
    inside::lose_configuration,
    process::{Process, binary, grpcurl, tools},
};

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub(crate) fn of(output: Output) -> Self {
        Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The JSON of a run that succeeded.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The stderr of a run that failed with this code.
    #[track_caller]
    pub(crate) fn failure(&self, code: i32) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        &self.stderr
    }
}

/// `sealward` without its environment variables and profiles.
pub(crate) fn command() -> Command {
    let mut command = Command::new(binary("sealward"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SEALWARD_")) {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// `sealward` with these arguments, and without its environment variables.
pub(crate) fn sealward(words: &[&str], stdin: &str) -> Run {
    sealward_with(words, stdin, &[])
}

/// As [`sealward`], with these variables.
pub(crate) fn sealward_with(words: &[&str], stdin: &str, variables: &[(&str, &str)]) -> Run {
    let mut command = command();
    command.envs(variables.iter().copied());
    let mut child =
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that has ended without reading it isn't a failure.
    let _unread = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    Run::of(child.wait_with_output().unwrap())
}

/// The command line against a server.
pub(crate) struct Terminal {
    pub endpoint: String,
    folder: String,
}

impl Terminal {
    pub(crate) fn at(server: &Server) -> Self {
        let folder = server.folder().path().to_str().unwrap().to_owned();
        Terminal { endpoint: format!("https://{}", server.address()), folder }
    }

    pub(crate) fn run(&self, person: Person, words: &str) -> Run {
        self.run_with(person, words, "")
    }

    /// The arguments contain no spaces.
    pub(crate) fn run_with(&self, person: Person, words: &str, stdin: &str) -> Run {
        self.run_words(person, &words.split_whitespace().collect::<Vec<_>>(), stdin)
    }

    fn run_words(&self, person: Person, words: &[&str], stdin: &str) -> Run {
        sealward(&[&self.connection(person), words].concat(), stdin)
    }

    /// The arguments that name the server and the identity.
    pub(crate) fn connection(&self, person: Person) -> [&str; 6] {
        ["--endpoint", &self.endpoint, "--dev", &self.folder, "--as", person.name()]
    }

    /// Runs the command with this stdout.
    pub(crate) fn run_into(&self, person: Person, words: &str, stdout: impl Into<Stdio>) -> Run {
        let words = [&self.connection(person)[..], &words.split_whitespace().collect::<Vec<_>>()].concat();
        let output = command().args(words).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).output();
        Run::of(output.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_is_created_shown_changed_revealed_and_deleted() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let created = terminal
        .run_with(Person::Writer, "mailbox create --set display_name=Sales --secret password=-", "hunter2\n")
        .json();
    assert_eq!((&created["password"], &created["isPasswordSet"]), (&Value::Null, &json!(true)));
    let name = created["name"].as_str().unwrap();
    let id = name.rsplit('/').next().unwrap();
    assert_eq!(terminal.run(Person::Reader, &format!("mailbox get {id}")).json(), created);
    assert_eq!(terminal.run(Person::Reader, &format!("mailbox get {name}")).json(), created);
    assert_eq!(terminal.run(Person::Reader, "mailbox list").json(), json!({ "mailboxes": [created] }));

    let reveal = format!("mailbox reveal {id} --attribute password --purpose incoming-mail");
    assert_eq!(terminal.run(Person::Connector, &reveal).json(), json!({ "password": "hunter2" }));
    let raw = terminal.run(Person::Connector, &format!("reveal {name} --attribute password --purpose x --raw"));
    assert_eq!((raw.code, raw.stdout.as_str()), (0, "hunter2"));

    // From a file, and with JSON from stdin; a record that was read can be sent back.
    let secret = server.folder().path().join("secret");
    std::fs::write(&secret, "from a file\n").unwrap();
    let update = format!("mailbox update {id} --set username=sales --secret password=@{}", secret.display());
    assert_eq!(terminal.run(Person::Writer, &update).json()["username"], "sales");
    assert_eq!(terminal.run(Person::Connector, &reveal).json(), json!({ "password": "from a file" }));
    let read = terminal.run(Person::Writer, &format!("mailbox get {id}")).stdout;
    let edited = read.replace("\"Sales\"", "\"Support\"");
    let sent_back = terminal.run_with(Person::Writer, &format!("mailbox update {id} --json -"), &edited).json();
    assert_eq!((&sent_back["displayName"], &sent_back["isPasswordSet"]), (&json!("Support"), &json!(true)));
    let stale = terminal.run_with(Person::Writer, &format!("mailbox update {id} --json -"), &edited);
    assert!(stale.failure(1).contains("ETAG_MISMATCH"), "{stale:?}");

    let cleared = terminal.run(Person::Writer, &format!("mailbox update {id} --clear password")).json();
    assert_eq!((&cleared["password"], &cleared["isPasswordSet"]), (&Value::Null, &json!(false)));
    assert_eq!(cleared["displayName"], "Support");
    assert_eq!(terminal.run(Person::Connector, &reveal).json(), json!({ "password": null }));
    let nothing = terminal.run(Person::Connector, &format!("{reveal} --raw"));
    assert!(nothing.failure(1).contains("null"), "{nothing:?}");

    // There is no terminal to ask at, so an option must confirm.
    let unasked = terminal.run(Person::Writer, &format!("mailbox delete {id}"));
    assert!(unasked.failure(2).contains("--yes"), "{unasked:?}");
    assert_eq!(terminal.run(Person::Reader, &format!("mailbox get {id}")).code, 0);
    let deleted = terminal.run(Person::Writer, &format!("mailbox delete {id} --yes"));
    assert_eq!((deleted.code, deleted.stdout.as_str()), (0, ""), "{deleted:?}");
    let missing = terminal.run(Person::Reader, &format!("mailbox get {id}"));
    assert!(missing.failure(1).contains("NOT_FOUND"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entity_has_its_commands() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let id = "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506";
    for (entity, collection, given, secret) in [
        (
            "email-server-profile",
            "emailServerProfiles",
            "--set display_name=x --set server_type=other",
            "incoming_password",
        ),
        ("mailbox", "mailboxes", "--set display_name=x", "password"),
        ("queue", "queues", "--set display_name=x", "email_password"),
        (
            "user-settings",
            "userSettings",
            "--set business_unit_id=0191E2A4-5B6C-7D8E-9FA0-B1C2D3E4F506 --set time_zone_code=110 --set locale_id=1031 --set ui_language_id=1031 \
             --set help_language_id=1031",
            "email_password",
        ),
    ] {
        let create = format!("{entity} create --id {id} {given} --secret {secret}=-");
        let created = terminal.run_with(Person::Writer, &create, "hunter2").json();
        let (field, is_set) = (camel_case(secret), camel_case(&format!("is_{secret}_set")));
        assert_eq!((&created[field], &created[&is_set]), (&Value::Null, &json!(true)));
        assert_eq!(terminal.run(Person::Reader, &format!("{entity} get {id}")).json(), created);
        let listed = terminal.run(Person::Reader, &format!("{entity} list --all --page-size 1")).json();
        assert_eq!(listed, json!({ collection: [created] }));
        let reveal = format!("{entity} reveal {id} --attribute {secret} --purpose x");
        assert_eq!(terminal.run(Person::Connector, &reveal).json(), json!({ secret: "hunter2" }));
        let cleared = terminal.run(Person::Writer, &format!("{entity} update {id} --clear {secret}")).json();
        assert_eq!(cleared[is_set], json!(false));
        assert_eq!(terminal.run(Person::Writer, &format!("{entity} delete {id} --yes")).code, 0);
    }
}

/// The JSON name of a field.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

#[tokio::test(flavor = "multi_thread")]
async fn key_is_shown_changed_watched_and_restored() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let first = terminal.run(Person::Admin, "key status").json();
    assert_eq!((&first["isActive"], &first["keyVersion"]), (&json!(true), &json!(1)));
    let shown = terminal.run(Person::Admin, "key show").json();
    assert_eq!(shown["fingerprint"], first["fingerprint"]);
    let raw = terminal.run(Person::Admin, "key show --raw");
    assert_eq!((raw.code, json!(raw.stdout)), (0, shown["encryptionKey"].clone()));

    let checked = terminal.run_with(Person::Admin, "key change --stdin --check", "a new key, number 1");
    assert_eq!(checked.json()["keyVersion"], json!(1));
    let changed = terminal.run_with(Person::Admin, "key change --stdin", "a new key, number 1\n");
    let set = changed.json();
    assert_eq!((&set["keyVersion"], &set["encryptionKey"]), (&json!(2), &Value::Null));
    assert!(!changed.stderr.contains("a new key"), "{changed:?}");
    let watched = terminal.run(Person::Admin, "key watch").json();
    assert_eq!((&watched["state"], &watched["keyVersion"]), (&json!("STATE_DONE"), &json!(2)));
    assert_eq!(terminal.run(Person::Admin, "key show").json()["encryptionKey"], "a new key, number 1");

    // A generated key is shown once; it is the key after the change.
    let generated = terminal.run(Person::Admin, "key change --wait");
    assert_eq!(generated.code, 0, "{generated:?}");
    let mut documents = serde_json::Deserializer::from_str(&generated.stdout).into_iter::<Value>();
    let (set, watched) = (documents.next().unwrap().unwrap(), documents.next().unwrap().unwrap());
    assert_eq!(watched["state"], "STATE_DONE");
    assert_eq!(terminal.run(Person::Admin, "key show").json()["encryptionKey"], set["encryptionKey"]);

    let short = terminal.run_with(Person::Admin, "key change --stdin", "short");
    let said = short.failure(1);
    assert!(said.contains("KEY_VALIDATION") && said.contains("  encryption_key: "), "{said}");
    let active = terminal.run_with(Person::Admin, "key restore --stdin", "a new key, number 1");
    assert!(active.failure(1).contains("sealward key change"), "{active:?}");

    // `ensure_organization` would refuse: the organization is there, inactive.
    let server = server.restart(lose_configuration, |_| {}).await;
    let terminal = Terminal::at(&server);
    let inactive = terminal.run(Person::Admin, "key status");
    assert_eq!(inactive.json()["isActive"], json!(false));
    let wanted = set["fingerprint"].as_str().unwrap();
    assert!(inactive.stderr.contains(wanted) && inactive.stderr.contains("sealward key restore"), "{inactive:?}");
    let refused = terminal.run(Person::Admin, "key show");
    assert!(refused.failure(1).contains(wanted), "{refused:?}");
    let wrong = terminal.run_with(Person::Admin, "key restore --stdin", "a new key, number 1");
    assert!(wrong.failure(1).contains("KEY_MISMATCH"), "{wrong:?}");
    let file = server.folder().path().join("kept.key");
    std::fs::write(&file, set["encryptionKey"].as_str().unwrap()).unwrap();
    let restored = terminal.run(Person::Admin, &format!("key restore --file {}", file.display())).json();
    assert_eq!(restored["fingerprint"], set["fingerprint"]);
    assert_eq!(terminal.run(Person::Admin, "key status").json()["isActive"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn organizations_are_created_shown_listed_and_selected() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let created = terminal.run(Person::Admin, "org create contoso").json();
    assert_eq!(created["name"], "organizations/contoso");
    assert_eq!(terminal.run(Person::Auditor, "org get contoso").json(), created);
    assert_eq!(terminal.run(Person::Auditor, "org get organizations/contoso").json(), created);
    assert_eq!(terminal.run(Person::Auditor, "org get -o contoso").json(), created);
    let listed = terminal.run(Person::Auditor, "org list --all --page-size 1").json();
    let names: Vec<_> = listed["organizations"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["organizations/contoso", "organizations/default"]);
    let again = terminal.run(Person::Admin, "org create contoso");
    assert!(again.failure(1).contains("ALREADY_EXISTS"), "{again:?}");

    terminal.run(Person::Writer, "-o contoso mailbox create --set display_name=Sales").json();
    assert_eq!(
        terminal.run(Person::Reader, "mailbox list -o contoso").json()["mailboxes"].as_array().unwrap().len(),
        1
    );
    assert_eq!(terminal.run(Person::Reader, "mailbox list").json(), json!({ "mailboxes": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn write_can_be_validated_and_happens_once_per_request_id() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let nothing = json!({ "mailboxes": [] });

    let checked = terminal.run(Person::Writer, "mailbox create --set display_name=Sales --check");
    assert_eq!(checked.json()["etag"], "1");
    assert!(checked.stderr.contains("Nothing was changed"), "{checked:?}");
    assert_eq!(terminal.run(Person::Reader, "mailbox list").json(), nothing);
    let id = "0191e2a4-5b6c-4d8e-9fa0-b1c2d3e4f506";
    let create = format!("mailbox create --set display_name=Sales --request-id {id}");
    let created = terminal.run(Person::Writer, &create).json();
    assert_eq!(terminal.run(Person::Writer, &create).json(), created);
    let name = created["name"].as_str().unwrap();

    let update = format!("mailbox update {name} --set display_name=Support");
    let checked = terminal.run(Person::Writer, &format!("{update} --check"));
    assert_eq!(checked.json()["etag"], "2");
    let other = terminal.run(Person::Writer, &format!("{update} --request-id {id}"));
    assert!(other.failure(1).contains("REQUEST_ID_REUSED"), "{other:?}");
    let deleted = terminal.run(Person::Writer, &format!("mailbox delete {name} --check"));
    assert_eq!((deleted.code, deleted.stderr.contains("Deleted")), (0, false), "{deleted:?}");
    assert_eq!(terminal.run(Person::Reader, &format!("mailbox get {name}")).json(), created);
    let both = terminal.run(Person::Writer, &format!("{update} --check --request-id {id}"));
    assert!(both.failure(2).contains("cannot be used with"), "{both:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_records_are_printed_in_every_format() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let create = |name: &str| {
        let words = format!("mailbox create --output name --set display_name={name} --secret password=-");
        let run = terminal.run_with(Person::Writer, &words, "hunter2");
        assert_eq!(run.code, 0, "{run:?}");
        run.stdout.trim_end().to_owned()
    };
    let names = ["Sales", "Support", "Billing"].map(create);

    let get = format!("mailbox get {} {}", names[2], names[0].rsplit('/').next().unwrap());
    let got = terminal.run(Person::Reader, &get).json();
    assert_eq!((&got["mailboxes"][0]["name"], &got["mailboxes"][1]["name"]), (&json!(names[2]), &json!(names[0])));

    let listed = terminal.run(Person::Reader, "mailbox list --all --output name");
    let mut sorted = names.to_vec();
    sorted.sort();
    assert_eq!(listed.stdout.lines().collect::<Vec<_>>(), sorted);
    let limited = terminal.run(Person::Reader, "mailbox list --limit 2 --page-size 1").json();
    assert_eq!(limited["mailboxes"].as_array().unwrap().len(), 2);
    let token = limited["nextPageToken"].as_str().unwrap();
    let rest = terminal.run(Person::Reader, &format!("mailbox list --page-token {token}")).json();
    assert_eq!((rest["mailboxes"].as_array().unwrap().len(), &rest["nextPageToken"]), (1, &Value::Null));

    let table =
        terminal.run(Person::Reader, "mailbox list --all --output table --fields display_name,password,username");
    assert_eq!(table.code, 0, "{table:?}");
    let mut lines: Vec<&str> = table.stdout.lines().collect();
    assert_eq!(lines.remove(0).split_whitespace().collect::<Vec<_>>(), ["display_name", "password", "username"]);
    lines.sort_unstable();
    assert_eq!(lines, ["Billing       set", "Sales         set", "Support       set"]);
    let unknown = terminal.run(Person::Reader, "mailbox list --fields colour");
    assert!(unknown.failure(2).contains("display_name"), "{unknown:?}");
    let with_words = |words: &[&str]| {
        let words = [&["--output", "json", "mailbox", "list"], words].concat();
        terminal.run_words(Person::Reader, &words, "").json()
    };
    let picked = with_words(&[
        "--filter",
        "display_name = \"S*\"",
        "--order-by",
        "display_name desc",
        "--fields",
        "id,display_name,password",
    ]);
    let expected = |index: usize, display_name: &str| json!({ "name": names[index], "displayName": display_name, "password": null, "isPasswordSet": true });
    assert_eq!(picked, json!({ "mailboxes": [expected(1, "Support"), expected(0, "Sales")] }));
    let counted = with_words(&["--total", "--page-size", "1", "--limit", "2", "--fields", "etag"]);
    assert_eq!((&counted["totalSize"], counted["mailboxes"].as_array().unwrap().len()), (&json!("3"), 2));
    let refused = terminal.run_words(Person::Reader, &["mailbox", "list", "--filter", "password = \"hunter2\""], "");
    assert!(refused.failure(1).contains("ENCRYPTED_ATTRIBUTE") && !refused.stderr.contains("hunter2"), "{refused:?}");
    let cut = terminal.run(Person::Reader, "mailbox list --output table --page-size 1");
    assert!(cut.stderr.contains("--all"), "{cut:?}");
    // A file gets neither the colours nor the width of a terminal.
    assert!(!cut.stdout.contains('\u{1b}') && !cut.stdout.contains('…'), "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_override_profiles() {
    let server = Server::start().await;
    let folder = server.folder().path();
    let file = folder.join("profiles/config.toml");
    let config = ["--config", file.to_str().unwrap()];
    let run = |words: &str| sealward(&[&config[..], &words.split_whitespace().collect::<Vec<_>>()].concat(), "");
    let endpoint = format!("https://{}", server.address());
    let dev = folder.to_str().unwrap();

    let set = run(&format!("profile set reader --endpoint {endpoint} --dev {dev} --as reader --use"));
    assert_eq!(set.code, 0, "{set:?}");
    let set = run(&format!("profile set admin --endpoint {endpoint} --dev {dev} --as admin -o contoso"));
    assert_eq!(set.code, 0, "{set:?}");
    assert_eq!(run("mailbox list").json(), json!({ "mailboxes": [] }));
    assert_eq!(run("--profile admin org create contoso").json()["name"], "organizations/contoso");
    assert_eq!(run("--profile admin org get").json()["name"], "organizations/contoso");
    assert_eq!(run("--profile admin org get -o default").json()["name"], "organizations/default");
    let from_environment = [("SEALWARD_PROFILE", "admin"), ("SEALWARD_ORGANIZATION", "default")];
    let got = sealward_with(&[&config[..], &["org", "get"]].concat(), "", &from_environment);
    assert_eq!(got.json()["name"], "organizations/default");

    let listed = run("profile list").json();
    let names: Vec<_> = listed["profiles"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!((names, &listed["defaultProfile"]), (vec![json!("admin"), json!("reader")], &json!("reader")));
    let shown = run("profile show admin").json();
    assert_eq!((&shown["organization"], &shown["endpoint"]), (&json!("contoso"), &json!(endpoint)));
    assert!(shown["key"].as_str().unwrap().ends_with("tls/admin.key"));
    assert_eq!(run("profile use admin").code, 0);
    assert_eq!(run("org get").json()["name"], "organizations/contoso");
    assert_eq!(run("profile remove admin").code, 0);
    let missing = run("--profile admin org get");
    assert!(missing.failure(2).contains("reader"), "{missing:?}");
    let no_file = run("profile set other --ca /nowhere/ca.pem");
    assert!(no_file.failure(2).contains("/nowhere/ca.pem"), "{no_file:?}");

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o660)).unwrap();
        let refused = run("--profile reader mailbox list");
        assert!(refused.failure(2).contains("chmod go-w"), "{refused:?}");
    }
}

#[test]
fn offline_commands_work_without_a_server() {
    let version = sealward(&["version"], "");
    assert_eq!((version.code, version.stdout.as_str()), (0, concat!("sealward ", env!("CARGO_PKG_VERSION"), "\n")));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = sealward(&["completions", shell], "");
        assert!(script.code == 0 && script.stdout.contains("user-settings"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = sealward(&["man", "--dir", folder.path().to_str().unwrap()], "");
    assert_eq!(pages.code, 0, "{pages:?}");
    assert!(std::fs::read_to_string(folder.path().join("sealward-key-change.1")).unwrap().contains("generated"));
    let help = sealward(&["help", "key", "change"], "");
    assert!(help.code == 0 && help.stdout.contains("Examples:"), "{help:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_printed_on_stderr_with_advice() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);

    // 1: the call failed.
    let long = "x".repeat(201);
    let invalid = terminal.run_with(
        Person::Writer,
        &format!("mailbox create --set username={long} --secret password=-"),
        &"canary".repeat(40),
    );
    let said = invalid.failure(1);
    for expected in [
        // The first is in the message, and isn't printed twice.
        "sealward: FIELD_INVALID: mailbox.display_name: must have a value, and 2 more\n  mailbox.username: ",
        "\n  mailbox.password: ",
        "\n  call id: ",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert!(!said.contains("canary"), "{said}");
    let forbidden = terminal.run(Person::Reader, "mailbox create --set display_name=x");
    assert!(forbidden.failure(1).contains("prvWriteRecords"), "{forbidden:?}");
    let endpoint = "https://127.0.0.1:1";
    let folder = server.folder().path();
    let dev = ["--dev", folder.to_str().unwrap(), "--as", "reader"];
    let nobody_there = sealward(&[&["--endpoint", endpoint], &dev[..], &["mailbox", "list"]].concat(), "");
    assert!(nobody_there.failure(1).contains("--endpoint"), "{nobody_there:?}");
    let http = format!("http://{}", server.plaintext_address.as_ref().unwrap());
    let plaintext = sealward(&["--endpoint", &http, "--plaintext", "mailbox", "list"], "");
    assert!(plaintext.failure(1).contains("HTTPS_REQUIRED"), "{plaintext:?}");

    // 2: the command was wrong, and no call was made.
    for (words, expected) in [
        ("mailbox create --set display_name=x --set password=canary", "--secret password"),
        ("mailbox create --set display_name=x --secret password=canary", "takes no value"),
        ("mailbox create --set nothing=x", "no attribute"),
        ("mailbox create --set display_name=x --set status_code=nothing", "one of active, inactive"),
        ("mailbox create --set is_password_set=true", "set by the server"),
        ("mailbox update x", "nothing to update"),
        ("mailbox reveal x --attribute password", "--purpose"),
        ("mailbox reveal x --attribute display_name --purpose x", "possible values: password"),
        ("mailbox nothing", "unrecognized subcommand"),
        ("key change canary", "unexpected argument"),
        ("nothing", "unrecognized subcommand"),
    ] {
        let wrong = terminal.run(Person::Writer, words);
        let said = wrong.failure(2);
        assert!(said.contains(expected), "{words}: {said}");
        assert!(words.starts_with("key") || !said.contains("canary"), "{words}: {said}");
    }
    let nobody = sealward(&["--endpoint", &terminal.endpoint, "mailbox", "list"], "");
    assert!(nobody.failure(2).contains("--ca"), "{nobody:?}");
    let no_file = sealward(&["--endpoint", &terminal.endpoint, "--ca", "/nowhere/ca.pem", "mailbox", "list"], "");
    assert!(no_file.failure(2).contains("/nowhere/ca.pem"), "{no_file:?}");
    assert_eq!(terminal.run(Person::Reader, "mailbox list").json(), json!({ "mailboxes": [] }));

    // 0: help isn't a failure.
    let help = sealward(&["mailbox", "create", "--help"], "");
    assert!(help.code == 0 && help.stdout.contains("display_name"), "{help:?}");
}

#[test]
fn every_command_that_dev_prints_works_when_pasted() {
    let folder = Folder::new();
    let server = Process::start(&folder.path());
    let commands: Vec<&str> = server
        .message
        .split("\n\n")
        .filter(|paragraph| ["grpcurl ", "sealward ", "printf "].iter().any(|word| paragraph.starts_with(word)))
        .collect();
    assert_eq!(commands.len(), 7, "{}", server.message);

    let mut path = vec![binary("sealward").parent().unwrap().to_owned(), tools()];
    path.extend(grpcurl().parent().map(Path::to_owned));
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let elsewhere = tempfile::tempdir().unwrap();
    let mut revealed = 0;
    for command in commands {
        let output = Command::new("sh")
            .args(["-c", command])
            .env("PATH", std::env::join_paths(&path).unwrap())
            // Unchanged, from any folder.
            .current_dir(elsewhere.path())
            .output()
            .unwrap();
        let run = Run::of(output);
        assert_eq!(run.code, 0, "{command}\n{run:?}");
        serde_json::from_str::<Value>(&run.stdout).unwrap();
        revealed += usize::from(run.stdout.contains("correct horse battery staple"));
    }
    // Only by the two commands that reveal it.
    assert_eq!(revealed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_described_and_customized_and_changes_listed() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let listed = terminal.run(Person::Reader, "metadata list --all").json();
    assert_eq!(listed["entityMetadata"].as_array().unwrap().len(), 4);
    let names = terminal.run(Person::Reader, "metadata list --output name").stdout;
    assert!(names.lines().any(|name| name == "organizations/default/entityMetadata/Mailbox"), "{names}");

    let set = "metadata set Mailbox.email_address --audited true --max-length 30";
    let checked = terminal.run(Person::Admin, &format!("{set} --check"));
    assert!(checked.stderr.contains("Nothing was changed"), "{checked:?}");
    let chosen = terminal.run(Person::Admin, set).json();
    assert_eq!((&chosen["audited"], &chosen["maxLength"]), (&json!(true), &json!(30)));
    let created = terminal
        .run(Person::Writer, "mailbox create --set display_name=Sales --set email_address=a@example.org")
        .json();
    let name = created["name"].as_str().unwrap();
    let changes = terminal.run(Person::Admin, &format!("metadata changes {name}")).json();
    let [change] = &changes["attributeChanges"].as_array().unwrap()[..] else { panic!("{changes}") };
    assert_eq!((&change["identity"], &change["newValue"]), (&json!("cn:writer"), &json!({ "text": "a@example.org" })));
    let table = terminal.run(Person::Admin, "metadata changes Mailbox.email_address --output table").stdout;
    assert!(table.contains("create") && table.contains("a@example.org"), "{table}");
    let shown = terminal.run(Person::Reader, "metadata show Mailbox --output table").stdout;
    let line = shown.lines().find(|line| line.starts_with("email_address")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>()[..6], ["email_address", "text", "30", "none", "no", "yes"]);

    let encrypted = terminal.run(Person::Admin, "metadata set Mailbox.password --audited true");
    assert!(encrypted.failure(1).contains("ENCRYPTED_ATTRIBUTE"), "{encrypted:?}");
    let nothing = terminal.run(Person::Admin, "metadata set Mailbox.email_address");
    assert!(nothing.failure(2).contains("nothing to change"), "{nothing:?}");
    let reset = terminal.run(Person::Admin, "metadata set Mailbox.email_address --reset max-length,audited").json();
    assert_eq!((&reset["audited"], &reset["maxLength"]), (&json!(false), &json!(100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_is_resolved_and_a_value_compared() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let profile = "email-server-profile create --set display_name=Post --set server_type=imap_smtp \
                   --set incoming_server_location=imap.example.org --set incoming_credential_retrieval=user_or_queue";
    let profile = terminal.run(Person::Writer, profile).json();
    let mailbox = format!(
        "mailbox create --set display_name=Sales --set username=sales --secret password=- \
         --set allow_email_connector_to_use_credentials=true --set email_server_profile={} \
         --set incoming_email_delivery_method=server_side_sync",
        profile["name"].as_str().unwrap()
    );
    let mailbox = terminal.run_with(Person::Writer, &mailbox, "hunter2").json();
    let name = mailbox["name"].as_str().unwrap();
    let id = name.rsplit('/').next().unwrap();

    let resolve = format!("resolve {id} --purpose why");
    let mut incoming = json!({
        "protocol": "IMAP", "server": "imap.example.org", "port": 993, "useTls": true, "username": "sales",
        "credentials": "OF_MAILBOX", "isPasswordSet": true,
    });
    assert_eq!(terminal.run(Person::Connector, &resolve).json(), json!({ "incoming": incoming }));
    let shown = terminal.run(Person::Connector, &format!("{resolve} --show-passwords")).json();
    incoming.as_object_mut().unwrap().remove("isPasswordSet");
    incoming["password"] = json!("hunter2");
    assert_eq!(shown, json!({ "incoming": incoming }));
    let refused = terminal.run(Person::Reader, &resolve);
    assert!(refused.failure(1).contains("PRIVILEGE_MISSING"), "{refused:?}");

    let compare = format!("compare {name} --attribute password --purpose login --stdin");
    assert_eq!(terminal.run_with(Person::Connector, &compare, "hunter2\n").json(), json!({ "equal": true }));
    let other = terminal.run_with(Person::Connector, &compare, "hunter3\n");
    assert_eq!((other.code, other.stdout.contains("false")), (1, true), "{other:?}");
}
