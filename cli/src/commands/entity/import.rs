//! `import`: creates records from a file of JSON lines, each on its own.
//!
//! Lines are read while earlier ones are sent, so a file of any size needs little memory. Each line has an idempotency key, which is derived
//! from the key of the run and the number of the line. So lines without a result are sent again after a lost connection, and a repeated run
//! creates nothing twice.

use std::{
    collections::{BTreeSet, VecDeque},
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    time::Duration,
};

use clap::{Arg, ArgAction, ArgMatches, Command};
use sealward_client::{Action, Client, DynamicRecords, EntityType, Error, ImportResult, NewRecord, new_request_id};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::arguments::{CHECK, REQUEST_ID, value};
use crate::{
    connection::{Connection, hints::Hints},
    failure::Failure,
    input::record::{Record, read_line},
    naming::command_name,
    output::{progress::Display, stderr},
};

pub(super) const IMPORT: &str = "import";
const FILE: &str = "file";
const NEW_IDS: &str = "new-ids";

/// Maximum records in a message, the maximum that a server allows by default divided by two.
const MESSAGE_RECORDS: usize = 500;

/// Size of the lines in a message, in bytes, unless a single line is larger. A message stays below the server's limit.
const MESSAGE_BYTES: usize = 128 * 1024;

/// Maximum records that are sent and have no result yet. The server reads a few thousand ahead.
const UNANSWERED_MAX: usize = 10_000;

/// Maximum refused lines that are printed. Further ones are counted.
const REFUSALS_SHOWN: u64 = 100;

/// Pause before the connection is restored, and maximum consecutive failures without a result.
const RESUME_PAUSE: Duration = Duration::from_secs(1);
const FAILURES_MAX: u32 = 10;

pub(super) fn command(name: &str, label: &str) -> Command {
    Command::new(IMPORT)
        .about(format!("Create records ({label}) from a file of JSON lines, each on its own"))
        .arg(
            Arg::new(FILE).value_name("FILE|-").required(true).help("File with a JSON object per line, or - for stdin"),
        )
        .arg(
            Arg::new(NEW_IDS)
                .long(NEW_IDS)
                .action(ArgAction::SetTrue)
                .help("Generate new ids [default: keep the id in `name`]"),
        )
        .arg(
            Arg::new(CHECK)
                .long(CHECK)
                .action(ArgAction::SetTrue)
                .help("Validate each line on its own without changing anything"),
        )
        .arg(Arg::new(REQUEST_ID).long(REQUEST_ID).value_name("UUID").conflicts_with(CHECK).help(
            "Idempotency key: repeated runs with the same file within 24 hours take effect once [default: generated]",
        ))
        .after_help(format!(
            "A line is a record as `get --output json` prints it, on one line. Attributes that\n\
             only the server sets, or that can't be set in a create, are skipped. Encrypted\n\
             attributes can be included.\n\n\
             Refused lines are printed to stderr, and the exit code is 1. All other lines are\n\
             imported.\n\n\
             Examples:\n  sealward {name} import {name}.jsonl\n  sealward {name} import {name}.jsonl --check\n  \
             sealward {name} list --all --output json | jq -c '.[][]' | sealward {name} import - -o contoso"
        ))
}

pub(super) async fn run(entity: &EntityType, matches: &ArgMatches, connection: &Connection) -> Result<(), Failure> {
    let path = Path::new(value(matches, FILE).unwrap_or_default());
    let key = match value(matches, REQUEST_ID) {
        Some(given) => given.to_owned(),
        None => new_request_id(),
    };
    let run_key: Uuid = key.parse().map_err(|_| Failure::usage("--request-id must be a UUID with hyphens"))?;
    let is_check = matches.get_flag(CHECK);
    let lines = Lines::open(entity, path, run_key, matches.get_flag(NEW_IDS))?;
    let client = connection.connect().await?;
    let mut import = Import::new(lines);
    let outcome = import.run(&client, entity, &connection.organization(), is_check).await;
    import.display.end();
    let Import { created, lines, .. } = import;
    lines.report_skipped();
    let Lines { refused, total, .. } = lines;
    let done = if is_check { "would be imported (dry run)" } else { "imported" };
    stderr::notice(&format!("{created} of {total} records {done}, {refused} refused."));
    outcome.map_err(|failure| {
        if is_check || !matches!(failure, Failure::Call(_)) {
            return failure;
        }
        let (name, file) = (command_name(entity), path.display());
        failure.with_advice(format!(
            "to continue without importing a record twice: sealward {name} import {file} --request-id {key}"
        ))
    })?;
    if refused == 0 { Ok(()) } else { Err(Failure::Failed(format!("{refused} of {total} lines were refused"))) }
}

/// A running import.
struct Import<'a> {
    lines: Lines<'a>,
    /// The records without a result, each with the number of its line, in the order of sending.
    unanswered: VecDeque<(u64, NewRecord)>,
    created: u64,
    display: Display,
}

impl<'a> Import<'a> {
    fn new(lines: Lines<'a>) -> Self {
        Import { lines, unanswered: VecDeque::new(), created: 0, display: Display::for_counts() }
    }

    /// Imports all lines. Restores the connection if it is lost.
    async fn run(
        &mut self,
        client: &Client,
        entity: &EntityType,
        organization: &str,
        is_check: bool,
    ) -> Result<(), Failure> {
        let mut failures = 0;
        loop {
            let answered = self.created + self.lines.refused;
            let outcome = self.stream(client.records(entity), organization, is_check).await;
            match outcome {
                Err(Failure::Call(error)) if is_transient(&error) => {
                    failures = if self.created + self.lines.refused > answered { 1 } else { failures + 1 };
                    if failures > FAILURES_MAX {
                        return Err(Failure::Call(error));
                    }
                    pause().await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Sends all records without a result, and those of further lines, until the stream ends.
    async fn stream(&mut self, records: DynamicRecords<'_>, organization: &str, is_check: bool) -> Result<(), Failure> {
        let (sender, messages) = mpsc::channel(1);
        let mut sender = Some(sender);
        let mut results = records.import(organization, is_check, ReceiverStream::new(messages)).await?;
        // The number of the records without a result that were sent on this stream.
        let mut sent = 0;
        loop {
            let may_send = sent < self.unanswered.len() || self.unanswered.len() < UNANSWERED_MAX;
            let next = async {
                match &sender {
                    Some(sender) => sender.reserve().await,
                    None => std::future::pending().await,
                }
            };
            let is_over = tokio::select! {
                received = results.next() => match received? {
                    Some(received) => {
                        sent = sent.saturating_sub(received.len());
                        self.answer(received)?;
                        false
                    }
                    None if self.unanswered.is_empty() && sender.is_none() => return Ok(()),
                    None => return Err(Failure::Failed("the server ended the import early".to_owned())),
                },
                permit = next, if may_send => {
                    let message = self.message(sent)?;
                    match permit {
                        Ok(permit) if !message.is_empty() => {
                            sent += message.len();
                            permit.send(message);
                            false
                        }
                        // No line is left, or the stream has ended: its result follows.
                        Ok(_) | Err(_) => true,
                    }
                }
            };
            if is_over {
                sender = None;
            }
        }
    }

    /// The next message: records to send again after the first `sent` ones, or new ones.
    fn message(&mut self, sent: usize) -> Result<Vec<NewRecord>, Failure> {
        if sent < self.unanswered.len() {
            let again = self.unanswered.iter().skip(sent).take(MESSAGE_RECORDS);
            return Ok(again.map(|(_, record)| record.clone()).collect());
        }
        let mut message = Vec::new();
        let begun = self.lines.bytes;
        while message.len() < MESSAGE_RECORDS && self.lines.bytes.saturating_sub(begun) < MESSAGE_BYTES {
            let Some((number, record)) = self.lines.next()? else { break };
            message.push(record.clone());
            self.unanswered.push_back((number, record));
        }
        Ok(message)
    }

    fn answer(&mut self, results: Vec<ImportResult>) -> Result<(), Failure> {
        for result in results {
            let Some((number, _)) = self.unanswered.pop_front() else {
                return Err(Failure::Failed("the server returned more results than records".to_owned()));
            };
            match result {
                Ok(_) => self.created += 1,
                Err(error) => self.lines.refuse(number, &on_one_line(&error)),
            }
        }
        let (done, total) = (self.lines.bytes, self.lines.bytes_total.max(self.lines.bytes));
        let number = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.display.count("Importing bytes", number(done), number(total));
        Ok(())
    }
}

/// The lines of a file, as records.
struct Lines<'a> {
    entity: &'a EntityType,
    source: Box<dyn BufRead>,
    run_key: Uuid,
    new_ids: bool,
    /// The number of the last line.
    number: u64,
    /// The bytes that were read, and the size of the file; 0 if it is unknown.
    bytes: usize,
    bytes_total: usize,
    /// The number of lines with a record, and of those that were refused.
    total: u64,
    refused: u64,
    skipped: BTreeSet<String>,
}

impl<'a> Lines<'a> {
    fn open(entity: &'a EntityType, path: &Path, run_key: Uuid, new_ids: bool) -> Result<Self, Failure> {
        let failed = |error: io::Error| read_failed(path, &error);
        let (source, bytes): (Box<dyn BufRead>, u64) = if path == Path::new("-") {
            (Box::new(BufReader::new(io::stdin())), 0)
        } else {
            let file = File::open(path).map_err(failed)?;
            let bytes = file.metadata().map_err(failed)?.len();
            (Box::new(BufReader::new(file)), bytes)
        };
        let bytes_total = usize::try_from(bytes).unwrap_or(usize::MAX);
        let skipped = BTreeSet::new();
        Ok(Lines { entity, source, run_key, new_ids, number: 0, bytes: 0, bytes_total, total: 0, refused: 0, skipped })
    }

    /// The next record with the number of its line. Prints lines that aren't records. `None` at the end of the file.
    fn next(&mut self) -> Result<Option<(u64, NewRecord)>, Failure> {
        loop {
            let mut line = Zeroizing::new(Vec::new());
            let read = self.source.read_until(b'\n', &mut line);
            let read = read.map_err(|error| Failure::usage(format!("can't read line {}: {error}", self.number + 1)))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.bytes = self.bytes.saturating_add(read);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            self.total += 1;
            match read_line(self.entity, &line) {
                Ok(record) => return Ok(Some((self.number, self.record(record)))),
                Err(failure) => self.refuse(self.number, &failure.text(&Hints::default())),
            }
        }
    }

    fn record(&mut self, Record { message, name, skipped, .. }: Record) -> NewRecord {
        self.skipped.extend(skipped);
        let id = name.filter(|_| !self.new_ids).and_then(|name| name.rsplit('/').next().map(str::to_owned));
        // Neighbouring numbers of the run's random key: different for each line, and the same in a repeated run.
        let request_id = Uuid::from_u128(self.run_key.as_u128().wrapping_add(self.number.into()));
        NewRecord { record: message, id, request_id: Some(request_id.to_string()) }
    }

    fn refuse(&mut self, number: u64, problem: &str) {
        self.refused += 1;
        if self.refused <= REFUSALS_SHOWN {
            stderr::error(&format!("line {number}: {problem}"));
        } else if self.refused == REFUSALS_SHOWN + 1 {
            stderr::error("further refused lines aren't printed");
        }
    }

    fn report_skipped(&self) {
        if !self.skipped.is_empty() {
            let names: Vec<&str> = self.skipped.iter().map(String::as_str).collect();
            stderr::notice(&format!("Skipped attributes that can't be set in a create: {}", names.join(", ")));
        }
    }
}

/// The error of a line, with all its violations.
fn on_one_line(error: &Error) -> String {
    // The message has the first violation.
    let others = error.field_violations().iter().skip(1);
    others.fold(error.to_string(), |text, violation| format!("{text}; {}: {}", violation.field, violation.description))
}

/// Whether the lines without a result can be sent again on another connection.
fn is_transient(error: &Error) -> bool {
    match error.action() {
        Action::Wait { .. } | Action::CheckOutcome => true,
        Action::FixCall | Action::GiveUp => false,
    }
}

#[expect(clippy::disallowed_methods, reason = "a pause before a retry has no event to wait for")]
async fn pause() {
    tokio::time::sleep(RESUME_PAUSE).await;
}

fn read_failed(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("can't read {}: {error}", path.display()))
}
