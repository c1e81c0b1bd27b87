//! DataEncryptionService: checks, retrieves, changes and restores the key, and watches the re-encryption.

use std::{pin::Pin, sync::Arc, time::Duration};

use http::Extensions;
use sealward::v1::{
    self, AbandonEncryptedDataRequest, AbandonEncryptedDataResponse, IsDataEncryptionActiveRequest,
    IsDataEncryptionActiveResponse, ListKeyChangesRequest, ListKeyChangesResponse, ListUnreadableCellsRequest,
    ListUnreadableCellsResponse, Reencryption, RetrieveDataEncryptionKeyRequest, RetrieveDataEncryptionKeyResponse,
    SetDataEncryptionKeyRequest, SetDataEncryptionKeyResponse, VerifyCellsRequest, VerifyCellsResponse,
    WatchReencryptionRequest, data_encryption_service_server::DataEncryptionService, reencryption,
};
use sealward_core::{
    crypto::secret::KeyText,
    identity::Caller,
    key::{
        CurrentKey, KeyError,
        history::{KeyChange, history},
        refuse,
        retrieve::retrieve,
        status::{CellCount, ReencryptionStatus, State, check, names, progress},
        unreadable::{self, Reason, UnreadableCell},
        verify::{Miscount, Verification, Verified},
    },
    name::{OrganizationName, RecordName},
    organization::Organization,
    permit::Permit,
    policy::{Action, ReadKeyStatus, RetrieveKey},
    schema::Schema,
    violation::Violation,
};
use tokio::time::MissedTickBehavior;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::{
    answers::{Answers, Left, answers},
    dispatcher::Dispatcher,
    name::{self, ParsedName},
    paged_list::PagedList,
    transfer::{Ending, of_snapshot},
};
use crate::{
    bounds::one_at_a_time::{KeySetting, Mode, NotRun, OneAtATime},
    schema::timestamp_to_proto,
    status::{self, Refusal},
    transport::connection_ending::ConnectionEnding,
};

/// The interval between reports of a re-encryption.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) struct DataEncryption {
    one_at_a_time: OneAtATime,
    dispatcher: Arc<Dispatcher>,
}

impl DataEncryption {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        let one_at_a_time =
            OneAtATime::new(Arc::clone(&dispatcher.deployment), dispatcher.limits, dispatcher.drain.clone());
        DataEncryption { one_at_a_time, dispatcher }
    }

    /// Admits the call under the privilege of its operation, and runs it unless another one is running.
    async fn set(&self, request: Request<SetDataEncryptionKeyRequest>) -> Result<SetDataEncryptionKeyResponse, Status> {
        let (_, extensions, request) = request.into_parts();
        let SetDataEncryptionKeyRequest { organization: name, encryption_key, change_encryption_key, validate_only } =
            request;
        let text = KeyText::new(encryption_key);
        let name = name::organization("organization", &name);
        let setting = if change_encryption_key {
            self.setting(&extensions, name, text, validate_only, Mode::Change).await
        } else {
            self.setting(&extensions, name, text, validate_only, Mode::Restore).await
        };
        let setting = setting?;
        let (caller, _) = self.dispatcher.caller(&extensions)?;
        let current = self.run(setting).await?;
        Ok(SetDataEncryptionKeyResponse {
            fingerprint: current.fingerprint.to_string(),
            key_version: current.key_version.get(),
            caller_tls: caller_tls(&caller).into(),
        })
    }

    async fn setting<A: Action<Of = ()>>(
        &self,
        extensions: &Extensions,
        name: ParsedName<OrganizationName>,
        text: KeyText,
        validate_only: bool,
        mode: impl FnOnce(Permit<A>) -> Mode,
    ) -> Result<KeySetting, Status> {
        let permit: Permit<A> = self.dispatcher.enter(extensions, &name).await?;
        name.resource.map_err(invalid)?;
        Ok(KeySetting { text, mode: mode(permit), validate_only })
    }

    async fn run(&self, setting: KeySetting) -> Result<CurrentKey, Status> {
        let (organization, by) = (Arc::clone(setting.mode.organization()), setting.mode.attempt());
        let outcome = match self.one_at_a_time.run(setting).await {
            Ok(outcome) => outcome,
            Err(NotRun::AnotherRuns) => {
                // In a separate task, so that the refusal is recorded even if the caller has left.
                let deployment = Arc::clone(&self.dispatcher.deployment);
                let refusal = async move { refuse(&deployment, &by, KeyError::AlreadyRunning).await };
                self.dispatcher.drain.spawn(refusal).await.map_err(|_| status::broken())?
            }
            Err(NotRun::Broken) => return Err(status::broken()),
        };
        match outcome {
            Ok(current) => Ok(current),
            Err(error) => {
                status::bound_of_key_error(&error).into_iter().for_each(|bound| self.dispatcher.shed.count(bound));
                Err(key_status(error, &organization).await)
            }
        }
    }

    /// Admits a call for a page, and returns the page size.
    async fn enter_list(
        &self,
        extensions: &Extensions,
        organization: &str,
        page_size: i32,
    ) -> Result<(Permit<ReadKeyStatus>, u32), Status> {
        let name = name::organization("organization", organization);
        let permit = self.dispatcher.enter(extensions, &name).await?;
        match (name.resource, self.dispatcher.page_size(page_size)) {
            (Ok(_), Ok(size)) => Ok((permit, size)),
            (name, size) => Err(status::invalid(name.err().into_iter().chain(size.err()).collect())),
        }
    }
}

#[tonic::async_trait]
impl DataEncryptionService for DataEncryption {
    type VerifyCellsStream = Pin<Box<dyn Stream<Item = Result<VerifyCellsResponse, Status>> + Send>>;
    type WatchReencryptionStream = Pin<Box<dyn Stream<Item = Result<Reencryption, Status>> + Send>>;

    async fn is_data_encryption_active(
        &self,
        request: Request<IsDataEncryptionActiveRequest>,
    ) -> Result<Response<IsDataEncryptionActiveResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let name = name::organization("organization", &request.organization);
        let permit: Permit<ReadKeyStatus> = self.dispatcher.enter(&extensions, &name).await?;
        name.resource.map_err(invalid)?;
        let organization = Arc::clone(permit.organization());
        match check(&self.dispatcher.deployment, &permit).await {
            Ok(status) => Ok(Response::new(IsDataEncryptionActiveResponse {
                is_active: status.is_active,
                fingerprint: status.key.map(|key| key.fingerprint.to_string()).unwrap_or_default(),
                key_version: status.key.map(|key| key.key_version.get()).unwrap_or_default(),
                key_change_time: status.key.map(|key| timestamp_to_proto(key.change_time)),
                key_change_due_time: status.key.map(|key| timestamp_to_proto(key.change_due_time)),
                reencryption: Some(reencryption(&status.reencryption)),
                cell_counts: status.census.into_iter().map(cell_count).collect(),
                is_key_change_due: status.key.is_some_and(|key| key.is_change_due),
                rolled_back_time: status.rolled_back_time.map(timestamp_to_proto),
                caller_tls: caller_tls(permit.caller()).into(),
            })),
            Err(error) => Err(key_status(error, &organization).await),
        }
    }

    async fn retrieve_data_encryption_key(
        &self,
        request: Request<RetrieveDataEncryptionKeyRequest>,
    ) -> Result<Response<RetrieveDataEncryptionKeyResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let name = name::organization("organization", &request.organization);
        let permit: Permit<RetrieveKey> = self.dispatcher.enter(&extensions, &name).await?;
        name.resource.map_err(invalid)?;
        let (organization, caller_tls) = (Arc::clone(permit.organization()), caller_tls(permit.caller()));
        match retrieve(&self.dispatcher.deployment, permit).await {
            Ok((text, current)) => Ok(Response::new(RetrieveDataEncryptionKeyResponse {
                encryption_key: text.expose().to_owned(),
                fingerprint: current.fingerprint.to_string(),
                caller_tls: caller_tls.into(),
            })),
            Err(error) => Err(key_status(error, &organization).await),
        }
    }

    async fn set_data_encryption_key(
        &self,
        request: Request<SetDataEncryptionKeyRequest>,
    ) -> Result<Response<SetDataEncryptionKeyResponse>, Status> {
        self.set(request).await.map(Response::new)
    }

    async fn watch_reencryption(
        &self,
        request: Request<WatchReencryptionRequest>,
    ) -> Result<Response<Self::WatchReencryptionStream>, Status> {
        let (_, extensions, request) = request.into_parts();
        let name = name::organization("organization", &request.organization);
        let permit: Permit<ReadKeyStatus> = self.dispatcher.enter(&extensions, &name).await?;
        name.resource.map_err(invalid)?;
        let held = self.dispatcher.bounded.streams.enter(&permit.caller().identity)?;
        let connection_ending = ConnectionEnding::of(&extensions);
        let (answers, answered) = answers();
        let dispatcher = Arc::clone(&self.dispatcher);
        self.dispatcher.drain.spawn(async move {
            let _held = (held, connection_ending.hold());
            watch(dispatcher, permit, connection_ending, answers).await;
        });
        Ok(Response::new(Box::pin(answered)))
    }

    async fn list_unreadable_cells(
        &self,
        request: Request<ListUnreadableCellsRequest>,
    ) -> Result<Response<ListUnreadableCellsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (permit, size) = self.enter_list(&extensions, &request.organization, request.page_size).await?;
        let organization = Arc::clone(permit.organization());
        let deployment = &self.dispatcher.deployment;
        let (method, token) = ("ListUnreadableCells", request.page_token.as_str());
        match unreadable::list(deployment, permit, method, size, token).await {
            Ok(Some(listed)) => Ok(Response::new(ListUnreadableCellsResponse {
                unreadable_cells: listed
                    .cells
                    .iter()
                    .map(|cell| unreadable_cell(&deployment.schema, &organization, cell))
                    .collect(),
                next_page_token: listed.next_page_token,
            })),
            Ok(None) => Err(status::page_token_invalid()),
            Err(error) => Err(key_status(error, &organization).await),
        }
    }

    async fn verify_cells(
        &self,
        request: Request<VerifyCellsRequest>,
    ) -> Result<Response<Self::VerifyCellsStream>, Status> {
        let (_, extensions, request) = request.into_parts();
        let name = name::organization("organization", &request.organization);
        let permit: Permit<ReadKeyStatus> = self.dispatcher.enter(&extensions, &name).await?;
        name.resource.map_err(invalid)?;
        let organization = Arc::clone(permit.organization());
        let held = self.dispatcher.bounded.streams.enter(&permit.caller().identity)?;
        let ending = Ending { drain: self.dispatcher.drain.clone(), connection: ConnectionEnding::of(&extensions) };
        match Verification::begin(&self.dispatcher.deployment, permit).await {
            Ok(verification) => {
                let (answers, answered) = answers();
                let dispatcher = Arc::clone(&self.dispatcher);
                self.dispatcher.drain.spawn(async move {
                    let _held = (held, ending.connection.hold());
                    verify(dispatcher, organization, verification, ending, answers).await;
                });
                Ok(Response::new(Box::pin(answered)))
            }
            Err(error) => Err(key_status(error, &organization).await),
        }
    }

    async fn list_key_changes(
        &self,
        request: Request<ListKeyChangesRequest>,
    ) -> Result<Response<ListKeyChangesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (permit, size) = self.enter_list(&extensions, &request.organization, request.page_size).await?;
        let organization = permit.organization();
        let deployment = &self.dispatcher.deployment;
        let changes = match history(deployment, &permit).await {
            Ok(changes) => changes,
            Err(error) => return Err(key_status(error, organization).await),
        };
        let list = PagedList {
            root_key: &*deployment.ports.root_key,
            method: "ListKeyChanges",
            parent: &organization.resource_name(),
            identity: &permit.caller().identity,
            bytes_max: deployment.page_bytes_max,
        };
        let (key_changes, next_page_token) =
            list.page(&changes, size, &request.page_token, |change| change.fingerprint.as_bytes(), key_change)?;
        Ok(Response::new(ListKeyChangesResponse { key_changes, next_page_token }))
    }

    async fn abandon_encrypted_data(
        &self,
        request: Request<AbandonEncryptedDataRequest>,
    ) -> Result<Response<AbandonEncryptedDataResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let AbandonEncryptedDataRequest { organization: name, confirm_fingerprint, encryption_key, validate_only } =
            request;
        let text = KeyText::new(encryption_key);
        let mode = |permit| Mode::Abandon(permit, confirm_fingerprint);
        let name = name::organization("organization", &name);
        let setting = self.setting(&extensions, name, text, validate_only, mode).await?;
        let (caller, _) = self.dispatcher.caller(&extensions)?;
        let current = self.run(setting).await?;
        let fingerprint = if validate_only { String::new() } else { current.fingerprint.to_string() };
        Ok(Response::new(AbandonEncryptedDataResponse {
            fingerprint,
            key_version: current.key_version.get(),
            caller_tls: caller_tls(&caller).into(),
        }))
    }
}

/// Where the TLS connection of a caller ends. Calls without TLS aren't served.
fn caller_tls(caller: &Caller) -> v1::CallerTls {
    if caller.hop.is_some() { v1::CallerTls::Hop } else { v1::CallerTls::Server }
}

fn cell_count(count: CellCount) -> v1::CellCount {
    v1::CellCount {
        entity: count.entity,
        attribute: count.attribute,
        key_version: count.key_version.map(|version| version.get()).unwrap_or_default(),
        cells: i64::try_from(count.cells).unwrap_or(i64::MAX),
    }
}

fn unreadable_cell(schema: &Schema, organization: &Organization, cell: &UnreadableCell) -> v1::UnreadableCell {
    let entity = schema.by_storage_name(&cell.table);
    let collection = entity.map_or(cell.table.as_str(), |entity| &entity.collection);
    let (_, attribute) = names(schema, &cell.table, &cell.column);
    let reason = match cell.reason {
        Reason::UnknownKeyVersion => v1::unreadable_cell::Reason::UnknownKeyVersion,
        Reason::DoesNotVerify => v1::unreadable_cell::Reason::DoesNotVerify,
        Reason::Malformed => v1::unreadable_cell::Reason::Malformed,
        Reason::NewerFormat => v1::unreadable_cell::Reason::NewerFormat,
    };
    v1::UnreadableCell {
        name: RecordName { organization: organization.name.clone(), collection, id: cell.record }.to_string(),
        attribute,
        reason: reason.into(),
        key_version: cell.key_version.map(|version| version.get()).unwrap_or_default(),
        sha256: cell.sha256.to_vec(),
    }
}

fn key_change(change: &KeyChange) -> v1::KeyChange {
    v1::KeyChange {
        fingerprint: change.fingerprint.clone(),
        change_time: Some(timestamp_to_proto(change.time)),
        key_version: change.key_version.map(|version| version.get()).unwrap_or_default(),
    }
}

/// Reports a verification until it ends, the caller leaves, or the stream has to end. It holds a snapshot, which keeps the database's
/// write-ahead log from being truncated.
async fn verify(
    dispatcher: Arc<Dispatcher>,
    organization: Arc<Organization>,
    mut verification: Verification,
    ending: Ending,
    answers: Answers<VerifyCellsResponse>,
) {
    loop {
        let step = tokio::select! {
            refusal = ending.ends() => return answers.fail(refusal.into()),
            step = verification.step() => step,
        };
        let message = match step {
            Ok(None) => return answers.done(),
            Ok(Some(verified)) => verify_response(&dispatcher.deployment.schema, &organization, &verified),
            Err(error) => return answers.fail(of_snapshot(error, &organization.name, &dispatcher.shed)),
        };
        let sent = tokio::select! {
            refusal = ending.ends() => return answers.fail(refusal.into()),
            sent = answers.send(message) => sent,
        };
        if sent == Err(Left) {
            return;
        }
    }
}

fn verify_response(schema: &Schema, organization: &Organization, verified: &Verified) -> VerifyCellsResponse {
    let count = |cells: u64| i64::try_from(cells).unwrap_or(i64::MAX);
    let miscount = |miscount: &Miscount| {
        let (entity, attribute) = names(schema, &miscount.kind.table, &miscount.kind.column);
        v1::CensusMiscount {
            entity,
            attribute,
            key_version: miscount.kind.version.map(|version| version.get()).unwrap_or_default(),
            cells_counted: miscount.counted,
            cells_found: miscount.found,
        }
    };
    VerifyCellsResponse {
        cells_total: count(verified.cells_total),
        cells_checked: count(verified.cells_checked),
        unreadable_cells: verified.unreadable.iter().map(|cell| unreadable_cell(schema, organization, cell)).collect(),
        census_miscounts: verified.census.iter().flatten().map(miscount).collect(),
        is_complete: verified.census.is_some(),
    }
}

/// Reports a re-encryption until it ends, the caller leaves, the server drains, or the connection has to close. The caller can watch again.
async fn watch(
    dispatcher: Arc<Dispatcher>,
    permit: Permit<ReadKeyStatus>,
    connection_ending: ConnectionEnding,
    answers: Answers<Reencryption>,
) {
    let organization = permit.organization();
    let mut ticks = tokio::time::interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = answers.left() => return,
            refusal = watch_ends(&dispatcher, &connection_ending) => return answers.fail(refusal.into()),
        }
        let status = match check(&dispatcher.deployment, &permit).await {
            Ok(status) => status.reencryption,
            Err(error) => return answers.fail(key_status(error, organization).await),
        };
        // A caller that waits for the end may change the key next, so it is reported only when no other work is in progress.
        let more = status.is_running() || organization.is_at_work();
        let sent = tokio::select! {
            refusal = watch_ends(&dispatcher, &connection_ending) => return answers.fail(refusal.into()),
            sent = answers.send(reencryption(&status)) => sent,
        };
        match sent {
            Ok(()) if more => {}
            Ok(()) => return answers.done(),
            Err(Left) => return,
        }
    }
}

/// Resolves when a watch has to end.
async fn watch_ends(dispatcher: &Dispatcher, connection_ending: &ConnectionEnding) -> Refusal {
    tokio::select! {
        () = dispatcher.drain.begun() => Refusal::ShuttingDown,
        () = connection_ending.begun() => Refusal::ConnectionEnding,
    }
}

/// The status of an error. If a re-encryption is the cause, it includes its progress.
async fn key_status(error: impl Into<KeyError>, organization: &Organization) -> Status {
    let error = error.into();
    let progress = if matches!(error, KeyError::AlreadyRunning) { progress(organization).await } else { None };
    status::key(error, &organization.name, progress)
}

fn invalid(violation: Violation) -> Status {
    status::invalid(vec![violation])
}

fn reencryption(status: &ReencryptionStatus) -> Reencryption {
    let state = match status.state {
        State::None => reencryption::State::None,
        State::Waiting => reencryption::State::Waiting,
        State::Running => reencryption::State::Running,
        State::Clearing => reencryption::State::Clearing,
        State::Finishing => reencryption::State::Finishing,
        State::Done if status.cells_unreadable > 0 => reencryption::State::DoneWithUnreadableCells,
        State::Done => reencryption::State::Done,
    };
    let count = |cells: u64| i64::try_from(cells).unwrap_or(i64::MAX);
    Reencryption {
        state: state.into(),
        cells_total: count(status.cells_total),
        cells_done: count(status.cells_done),
        cells_unreadable: count(status.cells_unreadable),
        cells_per_second: status.cells_per_second,
        estimated_end_time: status.estimated_end_time.map(timestamp_to_proto),
        start_time: status.start_time.map(timestamp_to_proto),
        end_time: status.end_time.map(timestamp_to_proto),
        key_version: status.key_version.map(|version| version.get()).unwrap_or_default(),
    }
}
