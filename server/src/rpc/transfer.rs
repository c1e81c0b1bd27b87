//! Export and import: the bytes of a file as streams. [`crate::rpc::export_format`] has their format, core their effect.
//!
//! An export holds a snapshot, and an import reserves an organization's name, so both have a minimum rate and a maximum time. Only the time
//! in which the server waits for the caller counts towards the rate. The transport drops a response that the caller doesn't read at all.
//! This module doesn't know the content of a file.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use sealward::v1::{ExportOrganizationResponse, ImportOrganizationRequest};
use sealward_core::{
    crypto::secret::KeyText,
    deployment::Deployment,
    key::KeyError,
    name::OrganizationName,
    organization::{
        Organization,
        export::{Export, Exported, Part},
        import::{CopyKeys, Import, ImportError},
    },
    policy::{CreateOrganization, DeploymentPermit},
    store::{SnapshotEnded, StoreFailure, snapshot_ended},
    violation::{Problem, Violation},
};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::answers::{Answers, Left};
use crate::{
    config::limits::Limits,
    drain::Drain,
    rpc::export_format::{FormatError, Read, Reader, Writer},
    status::{self, Refusal, TransferLimit},
    telemetry::shed::Shed,
    transport::connection_ending::ConnectionEnding,
};

/// The maximum size of a chunk of a file in a message.
const CHUNK_BYTES: usize = 64 * 1024;

/// The waiting time before the rate counts, since connections start slowly.
const RATE_GRACE: Duration = Duration::from_secs(10);

/// The events that end any stream early.
pub(crate) struct Ending {
    pub(crate) drain: Drain,
    pub(crate) connection: ConnectionEnding,
}

impl Ending {
    /// Resolves when the stream has to end.
    pub(crate) async fn ends(&self) -> Refusal {
        tokio::select! {
            () = self.drain.begun() => Refusal::ShuttingDown,
            () = self.connection.is_cut() => Refusal::ConnectionEnding,
        }
    }
}

/// The bounds of a transfer.
#[derive(Clone)]
pub(crate) struct Bounds {
    rate_min: u64,
    time_max: Duration,
    chunk_bytes: usize,
    rate_grace: Duration,
    /// The time that a step may always take.
    step_time: Duration,
    pub(crate) shed: Shed,
}

impl Bounds {
    pub(crate) fn new(limits: &Limits, shed: Shed) -> Self {
        let message_bytes = usize::try_from(limits.message_size_max_bytes).unwrap_or(usize::MAX);
        Bounds {
            rate_min: limits.transfer_rate_min_bytes_per_second.into(),
            time_max: limits.transfer_time_max(),
            // The overhead of a message is less than half of its size.
            chunk_bytes: CHUNK_BYTES.min(message_bytes / 2),
            rate_grace: RATE_GRACE,
            // A message may take this long to arrive.
            step_time: RATE_GRACE.max(limits.message_time_max()),
            shed,
        }
    }

    fn refuse(&self, limit: TransferLimit) -> Status {
        refuse(limit, &self.shed)
    }
}

/// The speed of the caller.
struct Pace {
    bounds: Bounds,
    begun: Instant,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn begin(bounds: &Bounds) -> Self {
        Pace { bounds: bounds.clone(), begun: Instant::now(), waited: Duration::ZERO, bytes: 0 }
    }

    /// The time that the caller may take for the next step: the time of a step beyond what the minimum rate allows, but not beyond the time
    /// limit.
    fn patience(&self) -> Duration {
        let time_left = self.bounds.time_max.saturating_sub(self.begun.elapsed());
        let at_least_rate = self.bytes as f64 / self.bounds.rate_min as f64;
        // Without a minimum rate, this isn't a valid duration.
        let Ok(at_least_rate) = Duration::try_from_secs_f64(at_least_rate) else { return time_left };
        let rate_left = at_least_rate.saturating_sub(self.waited).saturating_add(self.bounds.step_time);
        time_left.min(rate_left)
    }

    /// Counts transferred bytes, and the time that the server waited for them.
    fn note(&mut self, bytes: usize, waited: Duration) -> Result<(), Status> {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.waited = self.waited.saturating_add(waited);
        if self.begun.elapsed() >= self.bounds.time_max {
            return Err(self.bounds.refuse(TransferLimit::Time));
        }
        let is_slow = self.waited > self.bounds.rate_grace
            && (self.bytes as f64) < self.bounds.rate_min as f64 * self.waited.as_secs_f64();
        if is_slow { Err(self.bounds.refuse(TransferLimit::Rate)) } else { Ok(()) }
    }

    /// The status of a step that took too long.
    fn late(&self) -> Status {
        let is_over = self.begun.elapsed() >= self.bounds.time_max;
        self.bounds.refuse(if is_over { TransferLimit::Time } else { TransferLimit::Rate })
    }
}

fn refuse(limit: TransferLimit, shed: &Shed) -> Status {
    limit.bound().into_iter().for_each(|bound| shed.count(bound));
    Refusal::TransferLimit(limit).into()
}

/// The status of an error that may have been caused by a snapshot that the store ended.
pub(crate) fn of_snapshot(error: impl Into<KeyError>, organization: &OrganizationName, shed: &Shed) -> Status {
    let error = error.into();
    let ended =
        if let KeyError::Store(StoreFailure::Unavailable(cause)) = &error { snapshot_ended(cause) } else { None };
    match ended {
        Some(SnapshotEnded::LogFull) => refuse(TransferLimit::Log, shed),
        Some(SnapshotEnded::BlocksScrub) => refuse(TransferLimit::KeyChange, shed),
        None => status::key(error, organization, None),
    }
}

/// Sends the file until it ends, the caller leaves or is too slow, or the stream has to end.
pub(crate) async fn export(
    organization: &OrganizationName,
    exported: Exported,
    export: Export,
    ending: Ending,
    bounds: Bounds,
    answers: Answers<ExportOrganizationResponse>,
) {
    // This releases the snapshot, before the caller has received the last response.
    match send_file(organization, &exported, export, &ending, &bounds, &answers).await {
        Ok(()) => answers.done(),
        Err(Some(status)) => answers.fail(status),
        Err(None) => {}
    }
}

/// The inner `None` means that the caller has left.
async fn send_file(
    organization: &OrganizationName,
    exported: &Exported,
    mut export: Export,
    ending: &Ending,
    bounds: &Bounds,
    answers: &Answers<ExportOrganizationResponse>,
) -> Result<(), Option<Status>> {
    let (mut writer, bytes) = Writer::begin(exported);
    let mut file =
        Chunks { answers, ending, rows_total: count(export.rows_total()), rows_done: 0, pace: Pace::begin(bounds) };
    file.send(bytes).await?;
    loop {
        let part = tokio::select! {
            refusal = ending.ends() => return Err(Some(refusal.into())),
            part = export.next() => part,
        };
        match part.map_err(|error| Some(of_snapshot(error, organization, &bounds.shed)))? {
            None => return file.send(writer.finish()).await,
            Some(part) => {
                if let Part::Rows(rows) = &part {
                    file.rows_done += i64::try_from(rows.len()).unwrap_or(0);
                }
                file.send(writer.part(part)).await?;
            }
        }
    }
}

struct Chunks<'a> {
    answers: &'a Answers<ExportOrganizationResponse>,
    ending: &'a Ending,
    rows_total: i64,
    rows_done: i64,
    pace: Pace,
}

impl Chunks<'_> {
    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Option<Status>> {
        for chunk in bytes.chunks(self.pace.bounds.chunk_bytes) {
            let (rows_total, rows_done) = (self.rows_total, self.rows_done);
            let answer = ExportOrganizationResponse { chunk: chunk.to_vec(), rows_total, rows_done };
            let begun = Instant::now();
            tokio::select! {
                refusal = self.ending.ends() => return Err(Some(refusal.into())),
                sent = timeout(self.pace.patience(), self.answers.send(answer)) => match sent {
                    Ok(Ok(())) => self.pace.note(chunk.len(), begun.elapsed())?,
                    Ok(Err(Left)) => return Err(None),
                    Err(_) => return Err(Some(self.pace.late())),
                }
            }
        }
        Ok(())
    }
}

fn count(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Receives a file and imports it.
pub(crate) async fn import(
    deployment: &Deployment,
    permit: DeploymentPermit<CreateOrganization>,
    ending: &Ending,
    bounds: &Bounds,
    mut file: Streaming<ImportOrganizationRequest>,
) -> Result<Arc<Organization>, Status> {
    let mut intake = Intake::new(permit, bounds.shed.clone());
    let mut pace = Pace::begin(bounds);
    let outcome = loop {
        let begun = Instant::now();
        let next = tokio::select! {
            refusal = ending.ends() => break Err(refusal.into()),
            next = timeout(pace.patience(), file.message()) => next,
        };
        let message = match next {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => break intake.reader.end().map_err(|error| invalid(&error)),
            // A layer refused the message.
            Ok(Err(status)) if status::is_complete(&status) => break Err(status),
            // The caller has left.
            Ok(Err(_)) => break Err(invalid(&FormatError::CutOff)),
            Err(_) => break Err(pace.late()),
        };
        if let Err(status) = pace.note(message.chunk.len(), begun.elapsed()) {
            break Err(status);
        }
        if let Err(status) = intake.take(deployment, message).await {
            break Err(status);
        }
    };
    let Intake { import, name, .. } = intake;
    match (outcome, import) {
        (Ok(()), Some(import)) => {
            import.finish(deployment).await.map_err(|error| not_imported(error, name.as_ref(), &bounds.shed))
        }
        (Ok(()), None) => Err(invalid(&FormatError::CutOff)),
        (Err(status), Some(import)) => {
            import.abort(deployment).await;
            Err(status)
        }
        (Err(status), None) => Err(status),
    }
}

/// A file on its way in.
struct Intake {
    /// For the one import that a file is.
    permit: Option<DeploymentPermit<CreateOrganization>>,
    reader: Reader,
    /// What the first messages say about the import.
    wanted: Wanted,
    /// The given name, after the import has begun.
    name: Option<OrganizationName>,
    import: Option<Import>,
    shed: Shed,
}

/// What a caller says about an import, besides the file.
#[derive(Default)]
struct Wanted {
    /// The `organization_id` of the messages so far; empty if none has one.
    id: String,
    /// Whether a message was received.
    is_begun: bool,
    is_copy: bool,
    /// The key texts of a copy, until the import begins.
    keys: Option<CopyKeys>,
}

impl Wanted {
    /// Takes the fields of a message. The first message determines whether the import is a copy. Later ones may repeat its fields, since some
    /// clients build each message in the same way, but can't make a copy of an import that has begun without it.
    fn take(&mut self, message: &mut ImportOrganizationRequest) -> Result<(), Status> {
        let source = KeyText::new(mem::take(&mut message.source_encryption_key));
        let new = KeyText::new(mem::take(&mut message.encryption_key));
        let has_text = !source.expose().is_empty() || !new.expose().is_empty();
        let is_first = !mem::replace(&mut self.is_begun, true);
        if is_first {
            self.is_copy = message.as_copy;
        }
        if (has_text || message.as_copy) && !self.is_copy {
            return Err(status::invalid(vec![Violation::new("as_copy", Problem::Required)]));
        }
        if is_first && self.is_copy {
            self.keys = Some(CopyKeys { source, new: (!new.expose().is_empty()).then_some(new) });
        }
        if !message.organization_id.is_empty() {
            self.id = mem::take(&mut message.organization_id);
        }
        Ok(())
    }
}

impl Intake {
    fn new(permit: DeploymentPermit<CreateOrganization>, shed: Shed) -> Self {
        let (reader, wanted) = Default::default();
        Intake { permit: Some(permit), reader, wanted, name: None, import: None, shed }
    }

    /// Processes the received part of the file.
    async fn take(&mut self, deployment: &Deployment, mut message: ImportOrganizationRequest) -> Result<(), Status> {
        self.wanted.take(&mut message)?;
        self.reader.push(&message.chunk);
        while let Some(read) = self.reader.next().map_err(|error| invalid(&error))? {
            let refused = |error: ImportError| not_imported(error, self.name.as_ref(), &self.shed);
            match (read, self.import.as_mut()) {
                (Read::Header(exported), None) => self.begin(deployment, &exported).await?,
                (Read::Table(described), Some(import)) => {
                    import.table(deployment, &described).await.map_err(refused)?;
                }
                (Read::Rows(rows), Some(import)) => import.rows(deployment, rows).await.map_err(refused)?,
                (Read::End, Some(_)) => {}
                (Read::Header(_), Some(_)) | (Read::Table(_) | Read::Rows(_) | Read::End, None) => {
                    return Err(invalid(&FormatError::Order));
                }
            }
        }
        Ok(())
    }

    /// Begins the import under the given name or, without one, the name in the export.
    async fn begin(&mut self, deployment: &Deployment, exported: &Exported) -> Result<(), Status> {
        // There is only one header, or the reader reports that the parts are out of order.
        let permit = self.permit.take().ok_or_else(|| invalid(&FormatError::Order))?;
        let Wanted { id, keys, .. } = &mut self.wanted;
        let name = if id.is_empty() { Ok(None) } else { id.parse().map(Some) };
        self.name = name.map_err(|_| status::import_organization(ImportError::NotAName, None))?;
        let begun = Import::begin(deployment, permit, exported, self.name.as_ref(), keys.take()).await;
        self.import = Some(begun.map_err(|error| not_imported(error, self.name.as_ref(), &self.shed))?);
        Ok(())
    }
}

/// The status of a failed import. A refusal by a limit is counted.
fn not_imported(error: ImportError, name: Option<&OrganizationName>, shed: &Shed) -> Status {
    if let ImportError::Key { error, .. } = &error {
        status::bound_of_key_error(error).into_iter().for_each(|bound| shed.count(bound));
    }
    status::import_organization(error, name)
}

fn invalid(error: &FormatError) -> Status {
    status::import_organization(ImportError::Invalid(error.to_string()), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(rate_min: u64) -> (Pace, Shed) {
        let shed = Shed::default();
        let bounds = Bounds { rate_min, ..Bounds::new(&Limits::default(), shed.clone()) };
        (Pace::begin(&bounds), shed)
    }

    fn message(as_copy: bool, source: &str) -> ImportOrganizationRequest {
        let source_encryption_key = source.to_owned();
        ImportOrganizationRequest { as_copy, source_encryption_key, ..ImportOrganizationRequest::default() }
    }

    #[test]
    fn only_the_first_message_makes_an_import_a_copy() {
        let taken = |messages: [ImportOrganizationRequest; 2]| {
            let mut wanted = Wanted::default();
            for mut message in messages {
                wanted.take(&mut message)?;
                assert!(message.source_encryption_key.is_empty() && message.encryption_key.is_empty());
            }
            Ok::<_, Status>(wanted.keys.map(|keys| keys.source.expose().to_owned()))
        };
        assert_eq!(taken([message(true, "first"), message(false, "")]).unwrap().as_deref(), Some("first"));
        assert_eq!(taken([message(true, "first"), message(true, "second")]).unwrap().as_deref(), Some("first"));
        assert_eq!(taken([message(false, ""), message(false, "")]).unwrap(), None);
        for refused in [
            [message(false, ""), message(true, "late")],
            [message(false, ""), message(false, "late")],
            [message(false, "alone"), message(false, "")],
        ] {
            let status = taken(refused).unwrap_err();
            assert!(status.message().contains("as_copy"), "{status:?}");
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn transfer_below_the_minimum_rate_is_ended_and_counted() {
        let (mut pace, shed) = pace(1_000);
        pace.note(0, RATE_GRACE).unwrap();
        pace.note(20_000, seconds(10)).unwrap();
        pace.note(5_000, seconds(5)).unwrap();
        let bound = TransferLimit::Rate.bound().unwrap();
        assert_eq!(shed.refused_by(bound), 0);
        pace.note(999, seconds(1)).unwrap_err();
        assert_eq!(shed.refused_by(bound), 1);
    }

    #[test]
    fn step_has_the_time_that_the_minimum_rate_allows() {
        let (mut pace, shed) = pace(1_000);
        assert_eq!(pace.patience(), RATE_GRACE);
        pace.note(100_000, seconds(20)).unwrap();
        assert_eq!(pace.patience(), seconds(80) + RATE_GRACE);
        pace.note(0, seconds(80)).unwrap();
        assert_eq!(pace.patience(), RATE_GRACE);
        pace.late();
        assert_eq!(shed.refused_by(TransferLimit::Rate.bound().unwrap()), 1);
    }

    #[test]
    fn without_a_minimum_rate_only_the_maximum_time_limits_a_transfer() {
        let (mut pace, shed) = pace(0);
        for bytes in [0, 1] {
            pace.note(bytes, seconds(3_000)).unwrap();
            assert!(pace.patience() > seconds(3_500), "{bytes}");
        }
        pace.bounds.time_max = Duration::ZERO;
        assert_eq!(pace.patience(), Duration::ZERO);
        pace.late();
        assert_eq!(shed.refused_by(TransferLimit::Time.bound().unwrap()), 1);
    }

    #[test]
    fn the_smallest_message_has_room_for_a_chunk() {
        let smallest =
            crate::config::limits::LIMITS.iter().find(|limit| limit.name == "message_size_max_bytes").unwrap();
        for bytes in [smallest.minimum, smallest.default, smallest.maximum] {
            let limits = Limits { message_size_max_bytes: bytes, ..Limits::default() };
            let bounds = Bounds::new(&limits, Shed::default());
            let chunk = vec![0; bounds.chunk_bytes];
            let answer = ExportOrganizationResponse { chunk, rows_total: i64::MAX, rows_done: i64::MAX };
            assert!(prost::Message::encoded_len(&answer) <= usize::try_from(bytes).unwrap());
        }
    }
}
