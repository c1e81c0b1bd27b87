//! A server that is measured, with its folder and its records, and the loads on it.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use sealward::methods::{self, Method};

use crate::{
    deployment::{Caller, Deployment},
    driver::{self, framed},
    figures::Log,
    outcome::Outcome,
    process::{self, Process, this_program},
    workload::{IMPORT_MESSAGE, Workload, create, import, row},
};

/// Calls in flight, and connections, while records are created.
const FILLERS: usize = 256;
const FILL_CONNECTIONS: usize = 4;
/// The records that one load creates: the load generator holds their requests in memory.
const FILL_RECORDS_MAX: u64 = 250_000;
/// The maximum time of a load that ends with its last request.
const LOAD_MAX: Duration = Duration::from_secs(300);

/// A program to measure, under a name for the report.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    /// Settings of its configuration, with their values in TOML, in addition to those of the measurement.
    pub(crate) settings: Vec<(String, String)>,
}

impl Subject {
    fn all_settings<'a>(&'a self, settings: &'a [(&'a str, String)]) -> Vec<(&'a str, String)> {
        let own = self.settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
        settings.iter().cloned().chain(own).collect()
    }
}

/// A setting of a command line: `NAME=VALUE`.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE, with VALUE in TOML")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A running server.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) process: Process,
    pub(crate) deployment: Deployment,
    /// The number of the next record that doesn't exist.
    pub(crate) next: u64,
}

impl Target {
    /// Starts a server on a new folder.
    pub(crate) async fn start(subject: &Subject, folder: &Path, settings: &[(&str, String)]) -> Outcome<Self> {
        let deployment = Deployment::prepare(folder, &subject.all_settings(settings))?;
        let process = Process::server(&subject.program, folder).await?;
        Ok(Self { name: subject.name.clone(), process, deployment, next: 0 })
    }

    /// Stops the server, and starts it again on its folder, with these settings.
    pub(crate) async fn restart(self, subject: &Subject, settings: &[(&str, String)]) -> Outcome<Self> {
        let Self { name, process, deployment, next } = self;
        process.stop().await?;
        deployment.configure(&subject.all_settings(settings))?;
        let process = Process::server(&subject.program, deployment.folder()).await?;
        Ok(Self { name, process, deployment, next })
    }

    /// Stops the server, and removes its folder, which may have gigabytes.
    pub(crate) async fn end(self) -> Outcome<()> {
        self.process.stop().await?;
        let folder = self.deployment.folder();
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
    }

    /// Creates records with the next numbers, and returns the time that the calls took.
    pub(crate) async fn fill(&mut self, count: u64, by: Filling, scratch: &Path) -> Outcome<Duration> {
        let (end, mut took) = (self.next + count, Duration::ZERO);
        let requests = scratch.join("fill");
        while self.next < end {
            let numbers = self.next..end.min(self.next + FILL_RECORDS_MAX);
            let next = numbers.end;
            let (method, messages, in_flight) = match by {
                Filling::Creates => {
                    write_requests(&requests, numbers.map(|number| framed(&create(number).encode_to_vec())))?;
                    (methods::CreateMailbox, 1, FILLERS)
                }
                Filling::Imports => {
                    write_requests(&requests, imports(numbers))?;
                    (methods::ImportMailboxes, IMPORT_MESSAGES, FILL_CONNECTIONS)
                }
            };
            let load = driver::Load {
                address: self.process.address,
                method: method.path,
                tls: &self.deployment.tls(),
                caller: Caller::Writer,
                connections: FILL_CONNECTIONS,
                in_flight,
                requests: &requests,
                messages,
                seconds: None,
                log: &scratch.join("fill.log"),
            };
            let log = drive(&load).await?;
            if log.refused > 0 {
                return Err(format!("{} of {} calls that create records were refused", log.refused, log.calls()));
            }
            took += log.span;
            self.next = next;
        }
        // An import refuses a record without failing.
        self.call(row("get")?, end.saturating_sub(1)).await.map(|_| took)
    }

    /// Makes one call for the record with this number, on a new connection, and returns the body of its answer.
    pub(crate) async fn call(&self, workload: &Workload, number: u64) -> Outcome<Bytes> {
        self.call_with(workload.caller, workload.method, workload.body(number)).await
    }

    /// Makes one call with this body.
    pub(crate) async fn call_with(&self, caller: Caller, method: Method, body: Vec<u8>) -> Outcome<Bytes> {
        let token = self.deployment.token(caller)?;
        driver::one_call(self.process.address, &self.deployment.tls(), &token, method.path, body).await
    }
}

/// How records are created.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Filling {
    /// By CreateMailbox, each with an audit record.
    Creates,
    /// By ImportMailboxes.
    Imports,
}

/// The messages of streams that create these records.
fn imports(mut numbers: Range<u64>) -> impl Iterator<Item = Vec<u8>> {
    (0..).map_while(move |index: u64| {
        let message: Vec<u64> = numbers.by_ref().take(IMPORT_MESSAGE as usize).collect();
        let is_first = index.is_multiple_of(IMPORT_MESSAGES);
        (!message.is_empty()).then(|| framed(&import(is_first, message.into_iter().map(create))))
    })
}

/// The messages of each stream.
const IMPORT_MESSAGES: u64 = 20;

/// Runs the driver in a process of its own, and returns its log.
pub(crate) async fn drive(load: &driver::Load<'_>) -> Outcome<Log> {
    let most = load.seconds.map_or(LOAD_MAX, |seconds| Duration::from_secs_f64(seconds) + LOAD_MAX);
    process::output(this_program()?, &load.arguments(), most).await?;
    let text = fs::read_to_string(load.log).map_err(|error| format!("{}: {error}", load.log.display()))?;
    Log::parse(&text, GRPC_OK)
}

const GRPC_OK: i32 = 0;

/// Writes the bodies of requests to a file.
pub(crate) fn write_requests(file: &Path, bodies: impl IntoIterator<Item = Vec<u8>>) -> Outcome<()> {
    let bytes: Vec<u8> = bodies.into_iter().flatten().collect();
    fs::write(file, bytes).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_message_of_each_stream_names_the_organization() {
        let messages: Vec<_> = imports(0..IMPORT_MESSAGES * IMPORT_MESSAGE + 1).collect();
        assert_eq!(messages.len(), 21);
        let names = |message: &[u8]| message.windows(13).any(|bytes| bytes == b"organizations");
        let first: Vec<_> = messages.iter().map(|message| names(&message[..40])).collect();
        assert!(first[0] && !first[1] && !first[19] && first[20], "{first:?}");
    }
}
