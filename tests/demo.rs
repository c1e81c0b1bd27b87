//! `sealward demo`, run as a person would against a real server.

use std::process::{Command, Output};

use sealward_client::ListOptions;
use sealward_server::development::Person;
use serde_json::{Value, json};

use crate::harness::{DEFAULT, Server, process::binary, reveal};

fn demo(server: &Server, person: Person, words: &[&str]) -> Output {
    Command::new(binary("sealward"))
        .args(["--endpoint", &format!("https://{}", server.address()), "--as", person.name(), "--dev"])
        .arg(server.folder().path())
        .arg("demo")
        .args(words)
        .output()
        .unwrap()
}

#[track_caller]
fn counts(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_fills_an_organization_with_records_that_are_linked_and_sealed() {
    let server = Server::start().await;
    let made = demo(&server, Person::Writer, &["--records", "80", "--seed", "5"]);
    let expected = json!({
        "organization": DEFAULT,
        "emailServerProfiles": 4,
        "mailboxes": 38,
        "queues": 8,
        "userSettings": 30,
        "existing": 0,
    });
    assert_eq!(counts(&made), expected);
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(said.contains("sealward mailbox reveal "), "{said}");

    let reader = server.client(Person::Reader);
    let profiles =
        reader.email_server_profiles().list(DEFAULT, ListOptions::default().page_size(100)).await.unwrap().records;
    let mailboxes = reader.mailboxes().list(DEFAULT, ListOptions::default().page_size(100)).await.unwrap().records;
    let queues = reader.queues().list(DEFAULT, ListOptions::default().page_size(100)).await.unwrap().records;
    let settings = reader.user_settings().list(DEFAULT, ListOptions::default().page_size(100)).await.unwrap().records;
    assert!(mailboxes.iter().all(|one| one.email_server_profile.is_some() && one.is_password_set == Some(true)));
    assert!(queues.iter().all(|one| one.default_mailbox.is_some()));
    assert!(profiles.iter().any(|one| one.is_incoming_password_set == Some(true)));
    assert!(profiles.iter().any(|one| one.is_outgoing_password_set == Some(true)));
    assert!(queues.iter().any(|one| one.is_email_password_set == Some(true)));
    assert!(settings.iter().any(|one| one.is_email_password_set == Some(true)));

    let connector = server.client(Person::Connector);
    let password = reveal(&connector, &mailboxes[0].name).await.unwrap().unwrap();
    assert_eq!(password.len(), 23);
    assert!(!said.contains(&password));
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_adds_missing_records_only_with_consent() {
    let server = Server::start().await;
    counts(&demo(&server, Person::Writer, &["--records", "20"]));
    let again = demo(&server, Person::Writer, &["--records", "20"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--yes"), "{again:?}");

    let told = counts(&demo(&server, Person::Writer, &["--records", "20", "--yes"]));
    assert_eq!((&told["existing"], &told["mailboxes"]), (&json!(20), &json!(0)));
    let others = counts(&demo(&server, Person::Writer, &["--records", "20", "--seed", "2", "--yes"]));
    assert_eq!(others["existing"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_needs_a_writer_and_a_number_within_limits() {
    let server = Server::start().await;
    let reader = demo(&server, Person::Reader, &[]);
    assert_eq!(reader.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&reader.stderr).contains("prvWriteDestinations"), "{reader:?}");
    for records in ["0", "10001"] {
        assert_eq!(demo(&server, Person::Writer, &["--records", records]).status.code(), Some(2), "{records}");
    }
}
