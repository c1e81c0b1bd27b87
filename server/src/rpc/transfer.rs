//! Export and import: bytes of a file, as streams. What they mean is in [`crate::export_format`], what they do in core.

use std::{sync::Arc, time::Duration};

use fieldseal::v1::{ExportOrganizationResponse, ImportOrganizationRequest};
use fieldseal_core::{
    deployment::Deployment,
    identity::Caller,
    organization::{
        Organization,
        export::{Export, Exported, Part},
        import::{Import, ImportError},
    },
    policy::{CreateOrganization, Permit},
};
use tokio::{sync::mpsc, time::timeout};
use tonic::{Status, Streaming};

use crate::{
    drain::Drain,
    export_format::{FormatError, Read, Reader, Writer},
    status::{self, Refusal},
};

/// How long the other side may take, or send, nothing: an export holds a snapshot, an import a lock.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How many bytes of a file a message has.
const CHUNK_BYTES: usize = 64 * 1024;

type Answers = mpsc::Sender<Result<ExportOrganizationResponse, Status>>;

/// Sends the file until it ends, the caller leaves or takes nothing, or the server drains.
pub(crate) async fn export(exported: Exported, mut export: Export, drain: Drain, answers: Answers) {
    let rows_total = count(export.rows_total());
    let (mut writer, bytes) = Writer::begin(&exported);
    let mut rows_done = 0;
    let mut file = Chunks { answers, rows_total };
    let mut sent = file.send(bytes, rows_done).await;
    while sent.is_some() {
        let part = match export.next().await {
            _ if drain.has_begun() => return file.fail(Refusal::ShuttingDown.into()).await,
            Ok(Some(part)) => part,
            Ok(None) => {
                file.send(writer.finish(), rows_done).await;
                return;
            }
            Err(error) => return file.fail(status::key(error, &exported.name, None)).await,
        };
        if let Part::Rows(rows) = &part {
            rows_done += i64::try_from(rows.len()).unwrap_or(0);
        }
        sent = file.send(writer.part(part), rows_done).await;
    }
}

struct Chunks {
    answers: Answers,
    rows_total: i64,
}

impl Chunks {
    /// `None`: nobody takes it.
    async fn send(&mut self, bytes: Vec<u8>, rows_done: i64) -> Option<()> {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            let answer = ExportOrganizationResponse { chunk: chunk.to_vec(), rows_total: self.rows_total, rows_done };
            self.answers.send_timeout(Ok(answer), SILENCE_MAX).await.ok()?;
        }
        Some(())
    }

    async fn fail(&mut self, status: Status) {
        let _gone = self.answers.send_timeout(Err(status), SILENCE_MAX).await;
    }
}

fn count(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Takes a file and imports it.
pub(crate) async fn import(
    deployment: &Deployment,
    permit: Permit<CreateOrganization>,
    caller: &Caller,
    drain: &Drain,
    mut file: Streaming<ImportOrganizationRequest>,
) -> Result<Arc<Organization>, Status> {
    let mut reader = Reader::default();
    let mut permit = Some(permit);
    let mut import = None;
    let mut name = String::new();
    let outcome = loop {
        let next = tokio::select! {
            () = drain.begun() => break Err(Refusal::ShuttingDown.into()),
            next = timeout(SILENCE_MAX, file.message()) => next,
        };
        let message = match next {
            Ok(Ok(message)) => message,
            // The message was refused on its way.
            Ok(Err(status)) if status::is_complete(&status) => break Err(status),
            // A caller that has left, or says nothing any more, has sent a file that is cut off.
            Ok(Err(_)) | Err(_) => break Err(invalid(&FormatError::CutOff)),
        };
        let Some(message) = message else { break reader.end().map_err(|error| invalid(&error)) };
        if import.is_none() && !message.organization_id.is_empty() {
            name = message.organization_id;
        }
        reader.push(&message.chunk);
        if let Err(status) = take(deployment, &mut permit, &mut reader, &mut import, &name).await {
            break Err(status);
        }
    };
    match (outcome, import) {
        (Ok(()), Some(import)) => {
            import.finish(deployment, caller).await.map_err(|error| status::import_organization(error, &name))
        }
        (Ok(()), None) => Err(invalid(&FormatError::CutOff)),
        (Err(status), Some(import)) => {
            import.abort(deployment).await;
            Err(status)
        }
        (Err(status), None) => Err(status),
    }
}

/// Takes what has come of the file.
async fn take(
    deployment: &Deployment,
    permit: &mut Option<Permit<CreateOrganization>>,
    reader: &mut Reader,
    import: &mut Option<Import>,
    name: &str,
) -> Result<(), Status> {
    let refused = |error: ImportError| status::import_organization(error, name);
    while let Some(read) = reader.next().map_err(|error| invalid(&error))? {
        match (read, import.as_mut()) {
            (Read::Header(exported), None) => {
                // There is one header, or the reader says that the file is out of order.
                let permit = permit.take().ok_or_else(|| invalid(&FormatError::Order))?;
                *import = Some(Import::begin(deployment, permit, &exported, name).await.map_err(refused)?);
            }
            (Read::Table(described), Some(import)) => import.table(&described).map_err(refused)?,
            (Read::Rows(rows), Some(import)) => import.rows(deployment, rows).await.map_err(refused)?,
            (Read::End, Some(_)) => {}
            (Read::Header(_), Some(_)) | (Read::Table(_) | Read::Rows(_) | Read::End, None) => {
                return Err(invalid(&FormatError::Order));
            }
        }
    }
    Ok(())
}

fn invalid(error: &FormatError) -> Status {
    status::import_organization(ImportError::Invalid(error.to_string()), "")
}
