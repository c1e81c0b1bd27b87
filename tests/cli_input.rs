//! Wrong input of the command line: no text, invisible characters, empty variables, wrong contents of a token file. Each is
//! reported before a call. Its answers name the key, the organization and the caller.

use std::{collections::BTreeSet, fs};

use sealward_core::policy::{Binding, Privilege, Role, Scope};
use sealward_server::development::Person;
use serde_json::json;

use crate::{
    cli::{Terminal, sealward, sealward_with},
    harness::{DEFAULT, Server, inside::lose_configuration, process::Process},
};

const MARK: &str = "\u{feff}";

#[tokio::test(flavor = "multi_thread")]
async fn empty_secret_or_byte_order_mark_is_refused() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let file = server.folder().path().join("secret");
    let place = file.display();
    let create = "mailbox create --set display_name=Sales --secret password=";
    let cases = [
        ("key change --stdin".to_owned(), "new encryption key"),
        (format!("key change --file {place}"), "new encryption key"),
        ("key restore --stdin".to_owned(), "encryption key"),
        (format!("key restore --file {place}"), "encryption key"),
        ("key abandon --yes --confirm 0000-0000-0000-0000 --stdin".to_owned(), "new encryption key"),
        (format!("{create}-"), "password"),
        (format!("{create}@{place}"), "password"),
        ("mailbox create --json -".to_owned(), "JSON"),
        ("compare organizations/default/mailboxes/x --attribute password --purpose p --stdin".to_owned(), "value"),
    ];
    for (words, what) in &cases {
        let given = if *what == "JSON" { "{}" } else { "canary, number 1" };
        let marked = format!("{MARK}{given}\n");
        fs::write(&file, &marked).unwrap();
        let run = terminal.run_with(Person::Admin, words, &marked);
        let said = run.failure(2);
        assert!(said.contains(what) && said.contains("byte order mark") && !said.contains("canary"), "{words}: {said}");
        if *what != "JSON" {
            fs::write(&file, "\n").unwrap();
            let run = terminal.run_with(Person::Admin, words, "\n");
            let said = run.failure(2);
            assert!(said.contains(what) && said.contains("is empty"), "{words}: {said}");
            assert!(!said.contains("bits"), "{words}: {said}");
        }
    }
    let status = terminal.run(Person::Admin, "key status").json();
    assert_eq!(status["keyVersion"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_with_an_invisible_character_is_refused_before_it_is_sent() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    for (character, named) in [("\u{200b}", "U+200B"), ("\u{fe0f}", "U+FE0F"), ("\u{e0041}", "U+E0041")] {
        let run = terminal.run_with(Person::Admin, "key change --stdin", &format!("a new key{character}, number 1"));
        assert!(run.failure(2).contains(named), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mismatch_names_invisible_parts_of_the_given_key() {
    let server = Server::start().await.restart(lose_configuration, |_| {}).await;
    let terminal = Terminal::at(&server);
    let blank = terminal.run_with(Person::Admin, "key restore --stdin", "a wrong key, number 1 ");
    let said = blank.failure(1);
    assert!(said.contains("KEY_MISMATCH") && said.contains("ends with whitespace"), "{said}");
    let marked = format!("{MARK}a wrong key, number 1");
    let kept = terminal.run_with(Person::Admin, "key restore --stdin --keep-byte-order-mark", &marked);
    let said = kept.failure(1);
    assert!(said.contains("KEY_MISMATCH") && said.contains("byte order mark") && !said.contains("number 1"), "{said}");
    let refused = terminal.run_with(Person::Admin, "key restore --stdin", &marked);
    assert!(refused.failure(2).contains("--keep-byte-order-mark"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_hints_about_a_key_name_the_organization() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let created = terminal.run(Person::Admin, "org create contoso");
    assert!(created.stderr.contains("sealward key show -o contoso"), "{created:?}");
    for words in ["key status", "key show", "key change --check", "key change"] {
        let run = terminal.run(Person::Admin, &format!("{words} -o contoso"));
        assert_eq!(run.json()["organization"], "organizations/contoso", "{words}");
        let hints = run.stderr.lines().filter(|line| line.contains("sealward key"));
        hints.for_each(|hint| assert!(hint.contains("-o contoso"), "{words}: {hint}"));
    }
    let demo = terminal.run(Person::Writer, "demo --records 20 -o contoso");
    let hints: Vec<&str> = demo.stderr.lines().filter(|line| line.contains("sealward ")).collect();
    assert!(hints.len() > 2 && hints.iter().all(|hint| hint.ends_with("-o contoso")), "{demo:?}");
    let active = terminal.run_with(Person::Admin, "key restore --stdin -o contoso", "a key, number 1");
    assert!(active.failure(1).contains("sealward key change -o contoso"), "{active:?}");
    // The next command uses it by default.
    terminal.run(Person::Admin, "org create fabrikam").json();
    let words = [&terminal.connection(Person::Admin)[..], &["key", "status"]].concat();
    let usual = sealward_with(&words, "", &[("SEALWARD_ORGANIZATION", "fabrikam")]);
    assert_eq!(usual.json()["organization"], "organizations/fabrikam");
    assert!(usual.stderr.contains("sealward key change") && !usual.stderr.contains(" -o "), "{usual:?}");

    let server = server.restart(lose_configuration, |_| {}).await;
    let terminal = Terminal::at(&server);
    let status = terminal.run(Person::Admin, "key status -o contoso");
    assert_eq!(status.json()["isActive"], false);
    assert!(status.stderr.contains("sealward key restore -o contoso"), "{status:?}");
    // A change would be refused.
    assert!(!status.stderr.contains("key change"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoning_while_active_reports_that_nothing_is_lost() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let status = terminal.run(Person::Admin, "key status").json();
    let abandon = format!("key abandon --yes --confirm {}", status["fingerprint"].as_str().unwrap());
    let run = terminal.run(Person::Admin, &abandon);
    let said = run.failure(1);
    assert!(said.contains("KEY_ALREADY_ACTIVE") && said.contains("no data is lost"), "{said}");
    assert!(!said.contains("change_encryption_key"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_is_deleted_only_by_its_name() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    terminal.run(Person::Admin, "org create contoso").json();
    let unasked = terminal.run(Person::Admin, "org delete contoso");
    assert!(unasked.failure(2).contains("--confirm contoso"), "{unasked:?}");
    for wrong in ["Contoso", "default", "yes"] {
        let run = terminal.run(Person::Admin, &format!("org delete contoso --confirm {wrong}"));
        assert!(run.failure(2).contains("Nothing was deleted"), "{run:?}");
    }
    let yes = terminal.run(Person::Admin, "org delete contoso --yes");
    assert!(yes.failure(2).contains("unexpected argument"), "{yes:?}");
    assert_eq!(terminal.run(Person::Admin, "org delete organizations/contoso --confirm contoso").code, 0);
    assert_eq!(terminal.run(Person::Admin, "org get contoso").code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_variable_counts_as_unset() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let help = sealward(&["mailbox", "list", "--help"], "").stdout;
    let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split('=').next());
    let names: BTreeSet<&str> = names.collect();
    for name in ["SEALWARD_CA", "SEALWARD_PROFILE", "SEALWARD_OUTPUT", "SEALWARD_ORGANIZATION", "SEALWARD_AS"] {
        assert!(names.contains(name), "{names:?}");
    }
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (*name, "")).collect();
    let words = [&terminal.connection(Person::Admin)[..], &["org", "get"]].concat();
    assert_eq!(sealward_with(&words, "", &empty).json()["name"], DEFAULT);
    let nobody = sealward_with(&["org", "get"], "", &empty);
    assert!(nobody.failure(2).contains("--ca FILE"), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_content_of_a_token_file_is_explained() {
    let server = Server::start().await;
    let ca = server.folder().development().ca();
    let file = server.folder().path().join("token");
    let endpoint = format!("https://{}", server.address());
    for (content, expected) in [
        ("", "is empty"),
        ("\n", "is empty"),
        ("Bearer canary.a.b\n", "begins with \"Bearer \""),
        ("\u{feff}canary.a.b\n", "byte order mark"),
        ("{\"access_token\": \"canary\"}", "JSON"),
        ("canary canary", "more than one word"),
    ] {
        fs::write(&file, content).unwrap();
        let options = ["--endpoint", &endpoint, "--ca", ca.to_str().unwrap(), "--token-file", file.to_str().unwrap()];
        let run = sealward(&[&options[..], &["whoami"]].concat(), "");
        let said = run.failure(2);
        assert!(said.contains(expected) && said.contains("token") && !said.contains("canary"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoami_shows_identity_proof_and_roles() {
    let server = Server::start_with(|config| {
        let scope = Scope::Organizations(["contoso".parse().unwrap()].into());
        config.bindings.push(Binding { identity: "cn:reader".parse().unwrap(), role: Role::Auditor.into(), scope });
        config.bindings.retain(|binding| binding.identity != "cn:writer".parse().unwrap());
    })
    .await;
    let terminal = Terminal::at(&server);
    let answer = terminal.run(Person::Reader, "whoami").json();
    assert_eq!(answer["identity"], "cn:reader");
    assert_eq!(answer["certificate"]["sha256"].as_str().unwrap().len(), 64);
    let roles: Vec<_> =
        answer["roles"].as_array().unwrap().iter().map(|role| (&role["role"], &role["organizations"])).collect();
    assert_eq!(roles, [(&json!("record-reader"), &json!(["*"])), (&json!("auditor"), &json!(["contoso"]))]);
    let state = json!(Privilege::ReadEncryptionState.name());
    assert!(answer["roles"][1]["privileges"].as_array().unwrap().contains(&state), "{answer}");

    let table = terminal.run(Person::Reader, "whoami --output table").stdout;
    assert!(table.contains("identity") && table.contains("cn:reader") && table.contains("expire_time"), "{table}");
    let line = table.lines().find(|line| line.starts_with("auditor")).unwrap();
    assert!(line.contains("contoso") && line.contains("prvReadAuditTrail"), "{table}");

    let unbound = terminal.run(Person::Writer, "whoami --output table");
    assert_eq!(unbound.code, 0, "{unbound:?}");
    assert!(unbound.stderr.contains("cn:writer isn't bound to any role"), "{unbound:?}");
    let refused = terminal.run(Person::Writer, "mailbox list");
    let said = refused.failure(1);
    assert!(
        said.contains("cn:writer lacks the privilege prvReadRecords") && said.contains("sealward whoami"),
        "{said}"
    );
}

#[test]
fn development_folder_has_the_address_of_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("dev");
    let server = Process::start(&data);
    let dev = ["--dev", data.to_str().unwrap(), "--as", "admin"];
    let status = sealward(&[&dev[..], &["key", "status"]].concat(), "");
    assert_eq!(status.json()["organization"], DEFAULT);
    server.terminate();
    assert!(server.wait().success());
    assert!(!data.join("endpoint").exists());
}
