//! A server that is measured, with its folder and its records, and the loads on it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use prost::Message as _;
use sealward::methods;

use crate::{
    deployment::{Caller, Deployment},
    driver::{self, framed},
    figures::Log,
    outcome::Outcome,
    process::{self, Process, this_program},
    workload,
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
        let deployment = Deployment::prepare(folder, settings)?;
        let process = Process::server(&subject.program, folder).await?;
        Ok(Self { name: subject.name.clone(), process, deployment, next: 0 })
    }

    /// Stops the server, and starts it again on its folder, with these settings.
    pub(crate) async fn restart(self, subject: &Subject, settings: &[(&str, String)]) -> Outcome<Self> {
        let Self { name, process, deployment, next } = self;
        process.stop().await?;
        deployment.configure(settings)?;
        let process = Process::server(&subject.program, deployment.folder()).await?;
        Ok(Self { name, process, deployment, next })
    }

    /// Creates records with the next numbers, and returns the number of the first.
    pub(crate) async fn fill(&mut self, count: u64, scratch: &Path) -> Outcome<u64> {
        let (first, end) = (self.next, self.next + count);
        while self.next < end {
            let chunk = FILL_RECORDS_MAX.min(end - self.next);
            let requests = scratch.join("fill");
            let numbers = self.next..self.next + chunk;
            write_requests(&requests, numbers.map(|number| workload::create(number).encode_to_vec()))?;
            let load = driver::Load {
                address: self.process.address,
                method: methods::CreateMailbox.path,
                tls: &self.deployment.tls(),
                caller: Caller::Writer,
                connections: FILL_CONNECTIONS,
                in_flight: FILLERS,
                requests: &requests,
                seconds: None,
                log: &scratch.join("fill.log"),
            };
            let log = drive(&load).await?;
            if log.refused > 0 {
                return Err(format!("{} of {chunk} records couldn't be created", log.refused));
            }
            self.next += chunk;
        }
        Ok(first)
    }
}

/// Runs the driver in a process of its own, and returns its log.
pub(crate) async fn drive(load: &driver::Load<'_>) -> Outcome<Log> {
    let most = load.seconds.map_or(LOAD_MAX, |seconds| Duration::from_secs_f64(seconds) + LOAD_MAX);
    process::output(this_program()?, &load.arguments(), most).await?;
    let text = fs::read_to_string(load.log).map_err(|error| format!("{}: {error}", load.log.display()))?;
    Log::parse(&text, GRPC_OK)
}

const GRPC_OK: i32 = 0;

/// Writes requests with their gRPC prefixes.
pub(crate) fn write_requests(file: &Path, requests: impl IntoIterator<Item = Vec<u8>>) -> Outcome<()> {
    let bytes: Vec<u8> = requests.into_iter().flat_map(|request| framed(&request)).collect();
    fs::write(file, bytes).map_err(|error| format!("{}: {error}", file.display()))
}
