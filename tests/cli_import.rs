//! `import` of the command line: records from JSON lines, the report of refused lines, and repeated runs. `get` of several records.

use sealward_server::development::Person;
use serde_json::{Value, json};

use crate::{
    cli::Terminal,
    harness::{DEFAULT, Server, reveal},
};

fn id(number: u32) -> String {
    format!("0191e2a4-5b6c-7d8e-9fa0-0000{number:08x}")
}

fn name_of(number: u32) -> String {
    format!("{DEFAULT}/mailboxes/{}", id(number))
}

/// A line with this number as id.
fn line(number: u32) -> String {
    json!({ "name": name_of(number), "displayName": number.to_string(), "password": format!("canary-{number}") })
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_lines_are_reported_and_all_others_imported() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let lines = [
        line(1),
        String::new(),
        "{\"displayName\": 5, \"password\": \"canary-0\"}".to_owned(),
        "{\"password\": \"canary-0\"}".to_owned(),
        line(1),
        "{\"display_name\": \"without an id\"}".to_owned(),
        "not json canary-0".to_owned(),
        line(2),
    ];
    let file = server.folder().path().join("mailboxes.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let run = terminal.run(Person::Writer, &format!("mailbox import {}", file.display()));
    let printed = run.failure(1);
    for words in [
        "line 3: invalid Mailbox",
        "line 4: FIELD_INVALID: mailbox.display_name: must have a value",
        "line 5: ALREADY_EXISTS: a record with this id already exists",
        "line 7: invalid Mailbox",
        "3 of 7 records imported, 4 refused.",
        "4 of 7 lines were refused",
    ] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    assert!(!printed.contains("canary") && !printed.contains("line 6"), "{printed}");
    let connector = server.client(Person::Connector);
    assert_eq!(reveal(&connector, &name_of(2)).await.unwrap().as_deref(), Some("canary-2"));
    let total = terminal.run(Person::Reader, "mailbox list --total").json();
    assert_eq!(total["totalSize"], "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_read_can_be_imported_into_another_organization() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    server.client(Person::Admin).create_organization("contoso").await.unwrap();
    let lines = [line(1), line(2)].join("\n");
    let imported = terminal.run_with(Person::Writer, "mailbox import -", &lines);
    assert_eq!((imported.code, imported.stdout.as_str()), (0, ""), "{imported:?}");
    assert!(imported.stderr.contains("2 of 2 records imported, 0 refused."), "{imported:?}");
    let listed = terminal.run(Person::Reader, "mailbox list").json();
    let listed: Vec<String> = listed["mailboxes"].as_array().unwrap().iter().map(Value::to_string).collect();
    let copied = terminal.run_with(Person::Writer, "-o contoso mailbox import -", &listed.join("\n"));
    assert_eq!(copied.code, 0, "{copied:?}");
    assert!(copied.stderr.contains("Skipped attributes that can't be set in a create: "), "{copied:?}");
    let name = name_of(2).replace("default", "contoso");
    let copy = terminal.run(Person::Reader, &format!("mailbox get {name}")).json();
    assert_eq!((&copy["displayName"], &copy["isPasswordSet"]), (&json!("2"), &json!(false)));
    // With other ids, and as a check only.
    let new_ids = terminal.run_with(Person::Writer, "mailbox import - --new-ids", &listed.join("\n"));
    assert_eq!(new_ids.code, 0, "{new_ids:?}");
    let check = terminal.run_with(Person::Writer, "mailbox import - --check", &[line(1), line(9)].join("\n"));
    assert!(check.failure(1).contains("1 of 2 records would be imported (dry run), 1 refused."), "{check:?}");
    let total = terminal.run(Person::Reader, "mailbox list --total").json();
    assert_eq!(total["totalSize"], "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_run_with_its_key_imports_nothing_twice() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let lines: Vec<String> =
        (0..2_000).map(|number| json!({ "display_name": number.to_string() }).to_string()).collect();
    let run = |lines: &[String], key: &str| {
        terminal.run_with(Person::Writer, &format!("mailbox import - --request-id {key}"), &lines.join("\n"))
    };
    let key = "0191e2a4-5b6c-4d8e-9fa0-b1c2d3e4f5a1";
    assert_eq!(run(&lines[..1_500], key).code, 0);
    let again = run(&lines, key);
    assert!(again.stderr.contains("2000 of 2000 records imported"), "{again:?}");
    let total = terminal.run(Person::Reader, "mailbox list --page-size 1 --total").json();
    assert_eq!(total["totalSize"], "2000");
    let invalid = run(&lines, "x");
    assert!(invalid.failure(2).contains("--request-id"), "{invalid:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_records_are_shown_in_the_order_of_their_names() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let lines: Vec<String> = (0..250).map(line).collect();
    assert_eq!(terminal.run_with(Person::Writer, "mailbox import -", &lines.join("\n")).code, 0);
    let numbers: Vec<u32> = (0..250).rev().chain([7]).collect();
    let names: Vec<String> = numbers.iter().map(|number| id(*number)).collect();
    let shown = terminal.run(Person::Reader, &format!("mailbox get {}", names.join(" "))).json();
    let shown: Vec<&str> =
        shown["mailboxes"].as_array().unwrap().iter().map(|mailbox| mailbox["displayName"].as_str().unwrap()).collect();
    let expected: Vec<String> = numbers.iter().map(u32::to_string).collect();
    assert_eq!(shown, expected);
    let missing = terminal.run(Person::Reader, &format!("mailbox get {} {}", id(1), id(999)));
    assert!(missing.failure(1).contains(&name_of(999)), "{missing:?}");
}
