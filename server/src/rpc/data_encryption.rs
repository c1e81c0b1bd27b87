//! DataEncryptionService: check, retrieve, change and restore the key, and watch what follows a change.

use std::{pin::Pin, sync::Arc, time::Duration};

use fieldseal::v1::{
    IsDataEncryptionActiveRequest, IsDataEncryptionActiveResponse, Reencryption, RetrieveDataEncryptionKeyRequest,
    RetrieveDataEncryptionKeyResponse, SetDataEncryptionKeyRequest, SetDataEncryptionKeyResponse,
    WatchReencryptionRequest, data_encryption_service_server::DataEncryptionService, reencryption,
};
use fieldseal_core::{
    audit::AuditAction,
    crypto::secret::KeyText,
    key::{
        KeyError,
        check::{ReencryptionStatus, State, check, progress},
        refuse,
        retrieve::retrieve,
    },
    organization::Organization,
    policy::{ChangeKey, Permit, ReadKeyStatus, RestoreKey, RetrieveKey},
};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use super::{
    dispatcher::{Dispatcher, Entered},
    name,
};
use crate::{
    one_at_a_time::{KeySetting, Mode, NotRun, OneAtATime},
    schema::timestamp_to_proto,
    status,
};

/// How often a watcher hears of a re-encryption.
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

    /// Lets the call in under the privilege that what it asks for needs, and runs it if no other runs.
    async fn set(&self, request: Request<SetDataEncryptionKeyRequest>) -> Result<SetDataEncryptionKeyResponse, Status> {
        let (_, extensions, request) = request.into_parts();
        let SetDataEncryptionKeyRequest { organization: name, encryption_key, change_encryption_key, validate_only } =
            request;
        let text = KeyText::new(encryption_key);
        let (organization, caller, action, mode) = if change_encryption_key {
            let action = AuditAction::ChangeKey;
            let entered: Entered<ChangeKey> =
                self.dispatcher.enter(&extensions, "organization", &name, Some(action))?;
            (entered.organization, entered.caller, action, Mode::Change(entered.permit))
        } else {
            let action = AuditAction::RestoreKey;
            let entered: Entered<RestoreKey> =
                self.dispatcher.enter(&extensions, "organization", &name, Some(action))?;
            (entered.organization, entered.caller, action, Mode::Restore(entered.permit))
        };
        whole_name(&name)?;
        let setting =
            KeySetting { organization: Arc::clone(&organization), caller: caller.clone(), text, mode, validate_only };
        let outcome = match self.one_at_a_time.run(setting).await {
            Ok(outcome) => outcome,
            Err(NotRun::AnotherRuns) => {
                // In a task of its own: the refusal is recorded even if the caller has left.
                let (deployment, organization) = (Arc::clone(&self.dispatcher.deployment), Arc::clone(&organization));
                let refusal =
                    async move { refuse(&deployment, &organization, &caller, action, KeyError::AlreadyRunning).await };
                self.dispatcher.drain.tasks().spawn(refusal).await.map_err(|_| status::broken())?
            }
            Err(NotRun::Broken) => return Err(status::broken()),
        };
        match outcome {
            Ok(current) => Ok(SetDataEncryptionKeyResponse {
                fingerprint: current.fingerprint.to_string(),
                key_version: current.key_version.get(),
            }),
            Err(error) => Err(key_status(error, &organization).await),
        }
    }
}

#[tonic::async_trait]
impl DataEncryptionService for DataEncryption {
    type WatchReencryptionStream = Pin<Box<dyn Stream<Item = Result<Reencryption, Status>> + Send>>;

    async fn is_data_encryption_active(
        &self,
        request: Request<IsDataEncryptionActiveRequest>,
    ) -> Result<Response<IsDataEncryptionActiveResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let entered: Entered<ReadKeyStatus> =
            self.dispatcher.enter(&extensions, "organization", &request.organization, None)?;
        whole_name(&request.organization)?;
        let organization = entered.organization;
        match check(&self.dispatcher.deployment, &organization, &entered.permit).await {
            Ok(status) => Ok(Response::new(IsDataEncryptionActiveResponse {
                is_active: status.is_active,
                fingerprint: status.key.map(|key| key.fingerprint.to_string()).unwrap_or_default(),
                key_version: status.key.map(|key| key.key_version.get()).unwrap_or_default(),
                key_change_time: status.key.map(|key| timestamp_to_proto(key.change_time)),
                key_change_due_time: status.key.map(|key| timestamp_to_proto(key.change_due_time)),
                reencryption: Some(reencryption(&status.reencryption)),
            })),
            Err(error) => Err(key_status(error, &organization).await),
        }
    }

    async fn retrieve_data_encryption_key(
        &self,
        request: Request<RetrieveDataEncryptionKeyRequest>,
    ) -> Result<Response<RetrieveDataEncryptionKeyResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let audited = Some(AuditAction::RetrieveKey);
        let entered: Entered<RetrieveKey> =
            self.dispatcher.enter(&extensions, "organization", &request.organization, audited)?;
        whole_name(&request.organization)?;
        let organization = entered.organization;
        match retrieve(&self.dispatcher.deployment, &organization, entered.permit, &entered.caller).await {
            Ok((text, current)) => Ok(Response::new(RetrieveDataEncryptionKeyResponse {
                encryption_key: text.expose().to_owned(),
                fingerprint: current.fingerprint.to_string(),
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
        let entered: Entered<ReadKeyStatus> =
            self.dispatcher.enter(&extensions, "organization", &request.organization, None)?;
        whole_name(&request.organization)?;
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(watch(Arc::clone(&self.dispatcher), entered.organization, entered.permit, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Tells of a re-encryption until it ends, the watcher leaves or the server drains.
async fn watch(
    dispatcher: Arc<Dispatcher>,
    organization: Arc<Organization>,
    permit: Permit<ReadKeyStatus>,
    sender: mpsc::Sender<Result<Reencryption, Status>>,
) {
    let mut ticks = tokio::time::interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = sender.closed() => return,
            () = dispatcher.drain.begun() => {
                let _gone = sender.send(Err(crate::status::Refusal::ShuttingDown.into())).await;
                return;
            }
        }
        let (message, more) = match check(&dispatcher.deployment, &organization, &permit).await {
            // Whoever waits for the end wants to change the key after it: it has come when nobody is in the way any more.
            Ok(status) => {
                (Ok(reencryption(&status.reencryption)), status.reencryption.is_running() || organization.is_at_work())
            }
            Err(error) => (Err(key_status(error, &organization).await), false),
        };
        if sender.send(message).await.is_err() || !more {
            return;
        }
    }
}

/// The status of an error, with how far a re-encryption is where that is what stands in the way.
async fn key_status(error: KeyError, organization: &Organization) -> Status {
    let progress = if matches!(error, KeyError::AlreadyRunning) { progress(organization).await } else { None };
    status::key(error, &organization.name, progress)
}

fn whole_name(name: &str) -> Result<(), Status> {
    name::organization("organization", name).map(|_| ()).map_err(|violation| status::invalid(vec![violation]))
}

fn reencryption(status: &ReencryptionStatus) -> Reencryption {
    let state = match status.state {
        State::None => reencryption::State::None,
        State::Waiting => reencryption::State::Waiting,
        State::Running => reencryption::State::Running,
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
        start_time: status.start_time.map(timestamp_to_proto),
        end_time: status.end_time.map(timestamp_to_proto),
        key_version: status.key_version.map(|version| version.get()).unwrap_or_default(),
    }
}
