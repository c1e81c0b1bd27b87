//! Answers of the command line that can't be delivered: a failure with advice, and no lost key.

use std::{
    collections::HashMap,
    convert::Infallible,
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::Request;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sealward_client::ExposeSecret as _;
use sealward_core::policy::{Binding, Privilege, Scope};
use sealward_server::{config::Config, development::Person};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    cli::{Run, Terminal, command, sealward},
    harness::{DEFAULT, Server, mailbox},
};

/// A device that accepts no bytes: each write is ENOSPC.
fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// A pipe whose reading end is closed.
fn unread() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}

/// Replaces the writer's role by the single privilege to change the key.
fn change_only(config: &mut Config) {
    let identity = "cn:writer".parse().unwrap();
    config.bindings.retain(|binding| binding.identity != identity);
    config.bindings.push(Binding { identity, role: Privilege::ChangeEncryptionKey.into(), scope: Scope::All });
}

async fn key_version(server: &Server) -> u32 {
    server.client(Person::Admin).is_data_encryption_active(DEFAULT).await.unwrap().key_version
}

async fn key_text(server: &Server) -> String {
    let key = server.client(Person::Admin).retrieve_data_encryption_key(DEFAULT).await.unwrap();
    key.encryption_key.expose_secret().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn list_to_a_closed_pipe_exits_1_silently() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    server.client(Person::Writer).mailboxes().create(DEFAULT, mailbox("hunter2"), None).await.unwrap();
    for words in ["mailbox list", "mailbox list --output table", "org list --output name", "key status", "whoami"] {
        let run = terminal.run_into(Person::Admin, words, unread());
        assert_eq!((run.code, run.stderr.lines().find(|line| line.starts_with("sealward:"))), (1, None), "{words}");
    }
    let help = command().args(["--help"]).stdout(unread()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(Run::of(help).code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unwritable_answer_exits_1_and_reports_the_effect() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let run = terminal.run_into(Person::Reader, "mailbox list", full());
    assert!(run.failure(1).contains("nothing was changed"), "{run:?}");
    let run = terminal.run_into(Person::Writer, "mailbox create --set display_name=Sales", full());
    let said = run.failure(1);
    assert!(said.contains("the record was created") && said.contains("sealward mailbox get organizations/"), "{said}");
    let run = terminal.run_into(Person::Admin, "org create contoso", full());
    assert!(run.failure(1).contains("organizations/contoso was created"), "{run:?}");
    for words in [&["--help"][..], &["version"], &["completions", "bash"], &["man"], &["key", "change", "--help"]] {
        let output = command().args(words).stdout(full()).stderr(Stdio::piped()).output().unwrap();
        let run = Run::of(output);
        assert!(run.failure(1).contains("can't be written"), "{words:?} {run:?}");
    }
    // An unwritable stderr changes neither the answer nor the exit code.
    let words = [&terminal.connection(Person::Admin)[..], &["org", "get"]].concat();
    let output = command().args(words).stdout(Stdio::piped()).stderr(full()).output().unwrap();
    assert_eq!(Run::of(output).json()["name"], DEFAULT);
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_key_is_not_set_if_stdout_is_closed() {
    let server = Server::start().await;
    let terminal = Terminal::at(&server);
    let before = key_text(&server).await;
    let fingerprint = terminal.run(Person::Admin, "key status").json()["fingerprint"].as_str().unwrap().to_owned();
    for words in ["key change", &format!("key abandon --yes --confirm {fingerprint}")] {
        let runs = [
            terminal.run_into(Person::Admin, words, unread()),
            terminal.run_into(Person::Admin, words, Stdio::null()),
            closed(&terminal, words),
        ];
        for run in runs {
            let said = run.failure(2);
            assert!(said.contains("--output-file") && said.contains("Nothing was changed"), "{said}");
        }
    }
    assert_eq!((key_version(&server).await, key_text(&server).await), (1, before));
}

/// Runs the command as an administrator with stdout closed.
fn closed(terminal: &Terminal, words: &str) -> Run {
    let script = format!("exec \"$0\" \"$@\" {words} >&-");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).arg(command().get_program()).args(terminal.connection(Person::Admin));
    shell.env("XDG_CONFIG_HOME", "/nonexistent");
    Run::of(shell.stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn key_that_was_set_but_not_written_can_be_read_again() {
    let server = Server::start_with(change_only).await;
    let terminal = Terminal::at(&server);
    // A caller that may not read the key gets a hint to ask one that may.
    let run = terminal.run_into(Person::Writer, "key change", full());
    let said = run.failure(1);
    for expected in [
        "the key of organizations/default was set",
        "you lack the privilege prvReadSqlEncryptionKey",
        "key show --output-file",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(key_version(&server).await, 2);
    crate::harness::settled(&server.client(Person::Admin)).await;

    let run = terminal.run_into(Person::Admin, "key change", full());
    let said = run.failure(1);
    assert!(said.contains("get it with: sealward key show --output-file FILE"), "{said}");
    assert_eq!(key_version(&server).await, 3);
    let file = server.folder().path().join("got.key");
    let shown = terminal.run(Person::Admin, &format!("key show --output-file {}", file.display())).json();
    assert_eq!((&shown["organization"], shown.get("encryptionKey")), (&json!(DEFAULT), None));
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", key_text(&server).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn key_file_is_written_before_the_change_and_removed_if_it_fails() {
    let server = Server::start_with(change_only).await;
    let terminal = Terminal::at(&server);
    let file = server.folder().path().join("new.key");
    let change = format!("key change --output-file {}", file.display());

    let changed = terminal.run(Person::Writer, &change).json();
    assert_eq!(changed["organization"], DEFAULT);
    assert_eq!((&changed["outputFile"], changed.get("encryptionKey")), (&json!(file), None));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", key_text(&server).await));
    crate::harness::settled(&server.client(Person::Admin)).await;

    // An existing file is never overwritten, and then nothing is changed.
    let again = terminal.run(Person::Writer, &change);
    assert!(again.failure(2).contains("already exists"), "{again:?}");
    assert_eq!(key_version(&server).await, 2);

    // A refused change leaves no file; an unwritable answer keeps it.
    let refused = terminal.run(Person::Reader, &change.replace("new.key", "refused.key"));
    assert!(refused.failure(1).contains("PRIVILEGE_MISSING"), "{refused:?}");
    assert!(!file.with_file_name("refused.key").exists());
    let unwritten = terminal.run_into(Person::Writer, &change.replace("new.key", "kept.key"), full());
    assert!(unwritten.failure(1).contains("kept.key"), "{unwritten:?}");
    let kept = fs::read_to_string(file.with_file_name("kept.key")).unwrap();
    assert_eq!(kept, format!("{}\n", key_text(&server).await));

    for words in ["--stdin", "--check"] {
        let wrong =
            terminal.run_with(Person::Writer, &format!("{change} {words}").replace("new.key", "x.key"), "a key");
        assert!(wrong.failure(2).contains("--output-file"), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_export_exits_1() {
    let server = Server::start().await;
    server.client(Person::Admin).retrieve_data_encryption_key(DEFAULT).await.unwrap();
    let terminal = Terminal::at(&server);
    for words in ["org export --file -", "audit export --file -"] {
        for stdout in [Stdio::from(unread()), full().into()] {
            let run = terminal.run_into(Person::Admin, words, stdout);
            assert!(run.failure(1).contains("incomplete"), "{words}: {run:?}");
        }
    }
    for words in ["org export --file -", "audit export --file -", "key show", "key show --raw"] {
        let run = closed(&terminal, words);
        assert!(run.failure(2).contains("stdout is closed"), "{words}: {run:?}");
    }
}

/// A server that answers its first call with an unknown outcome if `is_unknown`, and refuses its other calls without an effect.
async fn refusing(is_unknown: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let calls = Arc::new(AtomicUsize::new(0));
        while let Ok((stream, _)) = listener.accept().await {
            let calls = Arc::clone(&calls);
            let answer = service_fn(move |_: Request<Incoming>| {
                let (reason, message) = if is_unknown && calls.fetch_add(1, Ordering::Relaxed) == 0 {
                    ("OUTCOME_UNKNOWN", "the outcome is unknown")
                } else {
                    ("STORE_UNAVAILABLE", "nothing changed")
                };
                let mut details = ErrorDetails::new();
                details.set_error_info(reason, "sealward", HashMap::new());
                let status = Status::with_error_details(Code::Unavailable, message, details);
                async move { Ok::<_, Infallible>(status.into_http::<tonic::body::Body>()) }
            });
            let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(connection);
        }
    });
    endpoint
}

#[tokio::test(flavor = "multi_thread")]
async fn change_with_unknown_outcome_is_reported_once_and_delivers_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.key");
    let run = |endpoint: &str, words: &str| {
        let words: Vec<&str> = words.split_whitespace().collect();
        sealward(&[&["--endpoint", endpoint, "--plaintext", "key", "change"], &words[..]].concat(), "")
    };
    // As with a full disk: the call may have taken effect, and another one would say that it didn't.
    let endpoint = refusing(true).await;
    let shown = run(&endpoint, "");
    assert_eq!(shown.code, 1, "{shown:?}");
    let answer: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!((&answer["organization"], &answer["outcome"]), (&json!(DEFAULT), &json!("unknown")));
    assert_eq!(answer["encryptionKey"].as_str().unwrap().len(), 41);
    assert!(shown.stderr.contains("the printed key may have been set: keep it"), "{shown:?}");
    for contradiction in ["nothing changed", "nothing was changed", "Nothing was changed"] {
        assert!(!shown.stderr.contains(contradiction), "{shown:?}");
    }
    let endpoint = refusing(true).await;
    let kept = run(&endpoint, &format!("--output-file {}", file.display()));
    let said = kept.failure(1);
    assert!(said.contains("may have been set: keep it") && said.contains("key change --file"), "{said}");
    assert!(file.exists());

    // If nothing was changed, the key file is removed.
    let endpoint = refusing(false).await;
    let gone = run(&endpoint, &format!("--output-file {}", file.with_extension("gone").display()));
    let said = gone.failure(1);
    assert!(said.contains("nothing was changed") && !said.contains("may have"), "{said}");
    assert!(!file.with_extension("gone").exists());
}
