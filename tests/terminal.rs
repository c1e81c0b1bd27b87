//! The command line `sealward` at a terminal: answers are tables, irreversible commands ask for confirmation, and
//! a watch can be left.
#![cfg(unix)]

use std::{
    io::{Read as _, Write as _},
    process::Child,
    sync::mpsc::{Receiver, channel},
};

use pty_process::{
    Size,
    blocking::{Command, Pty},
};
use sealward_server::{config::Config, development::Person};

use crate::harness::{DEFAULT, PATIENCE, Server, mailbox, process::binary, reveal, settled};

/// A person at a terminal of 100 columns, with one command running.
struct Seat {
    keyboard: Pty,
    screen: Receiver<String>,
    seen: String,
    /// The position up to which the output was checked.
    read: usize,
    child: Child,
}

impl Seat {
    fn run(server: &Server, person: Person, words: &[&str]) -> Self {
        Self::run_with(server, person, words, &[])
    }

    fn run_with(server: &Server, person: Person, words: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn(server, person, Command::new(binary("sealward")), words, variables)
    }

    /// The same with stdout in a file.
    fn run_into(server: &Server, person: Person, words: &str, file: &str) -> Self {
        let words = format!("exec \"$0\" \"$@\" {words} >{file}");
        let shell = Command::new("/bin/sh").args(["-c", &words]).arg(binary("sealward"));
        Self::spawn(server, person, shell, &[], &[])
    }

    fn spawn(server: &Server, person: Person, command: Command, words: &[&str], variables: &[(&str, &str)]) -> Self {
        let endpoint = format!("https://{}", server.address());
        let folder = server.folder().path();
        let (keyboard, terminal) = pty_process::blocking::open().unwrap();
        keyboard.resize(Size::new(30, 100)).unwrap();
        let child = command
            .args(["--endpoint", &endpoint, "--dev", folder.to_str().unwrap(), "--as", person.name()])
            .args(words)
            .env_clear()
            .env("TERM", "xterm-256color")
            .env("XDG_CONFIG_HOME", folder.join("no-profiles"))
            .envs(variables.iter().copied())
            .spawn(terminal)
            .unwrap();
        let mut output = std::os::fd::AsFd::as_fd(&keyboard).try_clone_to_owned().map(std::fs::File::from).unwrap();
        let (shown, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            // The end of a terminal is an error.
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                let _nobody_looks = shown.send(String::from_utf8_lossy(&bytes[..length]).into_owned());
            }
        });
        Seat { keyboard, screen, seen: String::new(), read: 0, child }
    }

    /// Waits until the screen shows this, after what was waited for before.
    #[track_caller]
    fn sees(&mut self, text: &str) {
        while !self.seen[self.read..].contains(text) {
            let shown = self.screen.recv_timeout(PATIENCE);
            self.seen.push_str(&shown.unwrap_or_else(|_| panic!("{text:?} isn't in {}", self.seen)));
        }
        self.read += self.seen[self.read..].find(text).unwrap() + text.len();
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// The exit code, and all that was shown.
    fn ends(mut self) -> (i32, String) {
        while let Ok(shown) = self.screen.recv_timeout(PATIENCE) {
            self.seen.push_str(&shown);
        }
        (self.child.wait().unwrap().code().unwrap(), self.seen)
    }
}

/// Without colours, and with the line breaks of files.
fn plain(shown: &str) -> String {
    let mut plain = String::new();
    let mut rest = shown;
    while let Some((before, sequence)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = sequence.split_once(|character: char| character.is_ascii_alphabetic()).map_or("", |(_, after)| after);
    }
    (plain + rest).replace("\r\n", "\n")
}

/// Re-encrypts a cell, then pauses for longer than any test takes.
fn slow(config: &mut Config) {
    config.limits.reencryption_batch_cells = 1;
    config.limits.reencryption_pause_ms = 60_000;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_tables_with_colours_unless_disabled() {
    let server = Server::start().await;
    let stored = server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let id = stored.name.rsplit('/').next().unwrap();

    let (code, shown) = Seat::run(&server, Person::Reader, &["mailbox", "list"]).ends();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("\u{1b}[1m"), "{shown:?}");
    let text = plain(&shown);
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("id "), "{text}");
    let row = lines.next().unwrap();
    assert!(row.starts_with(id) && row.contains("Sales") && row.ends_with("set"), "{text}");

    let (_, shown) = Seat::run_with(&server, Person::Reader, &["mailbox", "get", id], &[("NO_COLOR", "1")]).ends();
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.contains(&vec!["display_name", "Sales"]) && shown.contains(" UTC\r\n"), "{shown}");
    assert!(lines.contains(&vec!["password", "set"]) && !shown.contains("is_password_set"), "{shown}");

    let words = ["--color", "never", "--output", "json", "mailbox", "get", id];
    let (_, shown) = Seat::run(&server, Person::Reader, &words).ends();
    assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok(), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_asks_for_confirmation_and_only_yes_confirms() {
    let server = Server::start().await;
    let client = server.client(Person::Writer);
    let stored = client.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    for (answer, expected) in [("n\r", 1), ("\r", 1), ("y\r", 0)] {
        assert!(client.mailboxes().get(&stored.name).await.is_ok());
        let mut seat = Seat::run(&server, Person::Writer, &["mailbox", "delete", &stored.name]);
        seat.sees(&stored.name);
        seat.sees("[y/N] ");
        seat.types(answer);
        let (code, shown) = seat.ends();
        assert_eq!(code, expected, "{shown}");
    }
    assert!(client.mailboxes().get(&stored.name).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_secret_is_never_on_the_screen() {
    let server = Server::start().await;
    let words = ["mailbox", "create", "--output", "name", "--set", "display_name=Sales", "--secret", "password"];
    let mut seat = Seat::run(&server, Person::Writer, &words);
    seat.sees("password: ");
    seat.types("hunter2\r");
    seat.sees("password, again: ");
    seat.types("hunter2\r");
    let (code, shown) = seat.ends();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let name = shown.lines().last().unwrap();
    assert_eq!(reveal(&server.client(Person::Connector), name).await.unwrap().as_deref(), Some("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn key_change_asks_shows_progress_and_warns_of_a_weak_key() {
    let server = Server::start().await;
    server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    let mut seat = Seat::run(&server, Person::Admin, &["key", "change", "--prompt"]);
    seat.sees("new encryption key: ");
    seat.types("Password1!\r");
    seat.sees("new encryption key, again: ");
    seat.types("Password1!\r");
    seat.sees("warning:");
    seat.sees("1,000 large GPUs");
    seat.sees("[y/N] ");
    seat.types("n\r");
    let (code, shown) = seat.ends();
    assert_eq!(code, 1, "{shown}");
    assert!(!shown.contains("Password1!") && shown.contains("nothing was done"), "{shown}");

    let mut seat = Seat::run(&server, Person::Admin, &["key", "change"]);
    seat.sees("[y/N] ");
    seat.types("y\r");
    let (code, shown) = seat.ends();
    let text = plain(&shown);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("encryption_key  ") && text.contains("Done: 1 of 1 cells"), "{text}");
    let settled = settled(&server.client(Person::Admin)).await;
    assert_eq!(settled.key_version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_is_deleted_once_its_name_is_typed() {
    let server = Server::start().await;
    server.client(Person::Admin).create_organization("contoso").await.unwrap();
    for (typed, expected) in [("y\r", 1), ("\r", 1), ("default\r", 1), ("contoso\r", 0)] {
        let mut seat = Seat::run(&server, Person::Admin, &["org", "delete", "contoso"]);
        seat.sees("Type the name of the organization to delete it: ");
        seat.types(typed);
        let (code, shown) = seat.ends();
        assert_eq!(code, expected, "{shown}");
    }
    assert!(server.client(Person::Admin).get_organization("organizations/contoso").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_values_cannot_control_the_terminal() {
    let server = Server::start().await;
    let queue = sealward_client::mail_v1::Queue {
        display_name: Some("Sales".to_owned()),
        description: Some("a\u{202e}b\u{61c}c\u{200b}d".to_owned()),
        ..Default::default()
    };
    let stored = server.client(Person::Writer).queues().create(DEFAULT, queue, None).await.unwrap();
    for format in ["json", "table"] {
        let words = ["--color", "never", "--output", format, "queue", "get", &stored.name];
        let (code, shown) = Seat::run(&server, Person::Reader, &words).ends();
        assert_eq!(code, 0, "{shown}");
        let escaped = if format == "json" { "a\\u202eb\\u061cc\\u200bd" } else { "a\\u{202e}b\\u{61c}c\\u{200b}d" };
        assert!(shown.contains(escaped), "{shown:?}");
        assert!(!shown.contains(['\u{202e}', '\u{61c}', '\u{200b}']), "{shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unwritable_key_is_shown_on_the_terminal() {
    let server = Server::start().await;
    let (code, shown) = Seat::run_into(&server, Person::Admin, "key change", "/dev/full").ends();
    assert_eq!(code, 1, "{shown}");
    let key = server.client(Person::Admin).retrieve_data_encryption_key(DEFAULT).await.unwrap();
    assert!(shown.contains(sealward_client::ExposeSecret::expose_secret(&key.encryption_key)), "{shown}");
    assert!(shown.contains("the key of organizations/default was set"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_key_with_an_invisible_character_is_refused() {
    let server = Server::start().await;
    let mut seat = Seat::run(&server, Person::Admin, &["key", "restore"]);
    seat.sees("encryption key: ");
    seat.types("canary\u{200b}, number 1\r");
    let (code, shown) = seat.ends();
    assert_eq!(code, 2, "{shown}");
    assert!(shown.contains("U+200B") && shown.contains("--file") && !shown.contains("canary"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_a_watch_reports_that_the_server_continues() {
    let server = Server::start_with(slow).await;
    let writer = server.client(Person::Writer);
    for _ in 0..3 {
        writer.mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    }
    let mut seat = Seat::run(&server, Person::Admin, &["key", "change", "--yes"]);
    seat.sees("of 3 cells");
    seat.types("\u{3}");
    let (code, shown) = seat.ends();
    assert_eq!(code, 130, "{shown}");
    assert!(
        shown.contains("The re-encryption continues on the server.") && shown.contains("sealward key watch"),
        "{shown}"
    );
}
