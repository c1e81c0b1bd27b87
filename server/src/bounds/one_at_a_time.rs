//! One SetDataEncryptionKey at a time per organization: load shedding over a concurrency limit of one, as a tower stack.
//!
//! It wraps the decoded, authorized command, not the HTTP call. The work runs in its own task, which owns the permit and the organization's
//! lock: a caller that disconnects releases neither, and a caller that sends no message holds neither. The permit is held until the
//! re-encryption after a change has ended. A second caller is refused at once, and never queued.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sealward_core::{
    crypto::secret::KeyText,
    deployment::Deployment,
    id::OrganizationId,
    key::{
        CurrentKey, KeyError,
        abandon::{Abandonment, abandon},
        change::change,
        reencrypt::is_running,
        refuse,
        restore::restore,
    },
    organization::{
        Organization,
        work::{AtWork, KeyWork, WorkError},
    },
    permit::{Attempt, Permit},
    policy::{AbandonEncryptedData, ChangeKey, RestoreKey},
    store::StoreFailure,
};
use tokio::sync::oneshot;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, load_shed::error::Overloaded, util::BoxCloneSyncService};

use crate::{
    background::reencryption,
    call,
    config::limits::Limits,
    drain::Drain,
    telemetry::traces::{current, table},
};

/// The result of a SetDataEncryptionKey.
pub(crate) type Outcome = Result<CurrentKey, KeyError>;

/// An authorized SetDataEncryptionKey.
pub(crate) struct KeySetting {
    pub(crate) text: KeyText,
    pub(crate) mode: Mode,
    pub(crate) validate_only: bool,
}

/// The operation, with its permit.
pub(crate) enum Mode {
    Change(Permit<ChangeKey>),
    Restore(Permit<RestoreKey>),
    /// Abandons the data under the key with this fingerprint.
    Abandon(Permit<AbandonEncryptedData>, String),
}

impl Mode {
    /// The organization whose key it is.
    pub(crate) fn organization(&self) -> &Arc<Organization> {
        match self {
            Mode::Change(permit) => permit.organization(),
            Mode::Restore(permit) => permit.organization(),
            Mode::Abandon(permit, _) => permit.organization(),
        }
    }

    /// What is recorded of it.
    pub(crate) fn attempt(&self) -> Attempt {
        match self {
            Mode::Change(permit) => permit.attempt(),
            Mode::Restore(permit) => permit.attempt(),
            Mode::Abandon(permit, _) => permit.attempt(),
        }
    }
}

/// Why a command did not run.
#[derive(Debug)]
pub(crate) enum NotRun {
    /// Another one is running.
    AnotherRuns,
    /// The task ended without a result, which is a bug.
    Broken,
}

struct Command {
    setting: KeySetting,
    /// Receives the result before a re-encryption, so that the caller doesn't wait for it.
    outcome: oneshot::Sender<Outcome>,
}

/// Returns the result, unless it was sent before the end.
type Stack = BoxCloneSyncService<Command, Option<Outcome>, BoxError>;

/// The stacks, one for each organization in which a key was set.
pub(crate) struct OneAtATime {
    deployment: Arc<Deployment>,
    limits: Limits,
    drain: Drain,
    stacks: Mutex<HashMap<OrganizationId, Stack>>,
}

impl OneAtATime {
    pub(crate) fn new(deployment: Arc<Deployment>, limits: Limits, drain: Drain) -> Self {
        OneAtATime { deployment, limits, drain, stacks: Mutex::default() }
    }

    /// Runs the command to its end, even if the caller leaves.
    pub(crate) async fn run(&self, setting: KeySetting) -> Result<Outcome, NotRun> {
        let stack = self.stack(setting.mode.organization().id);
        let (sender, receiver) = oneshot::channel();
        // A stack is cloned for each call and dropped with it: an instance that is ready and kept would hold the permit forever. Lives as
        // long as the permit is held: a caller that sees no work in progress is admitted.
        let at_work = AtWork::begin(Arc::clone(setting.mode.organization()));
        let work = async move {
            let outcome = stack.oneshot(Command { setting, outcome: sender }).await;
            drop(at_work);
            outcome
        };
        let task = self.drain.spawn(call::in_current(work));
        match receiver.await {
            Ok(outcome) => Ok(outcome),
            // The task has ended and released the permit and the lock, so the caller's next call isn't refused.
            Err(_) => match task.await {
                Ok(Ok(Some(outcome))) => Ok(outcome),
                Ok(Err(error)) if error.is::<Overloaded>() => Err(NotRun::AnotherRuns),
                Ok(_) | Err(_) => Err(NotRun::Broken),
            },
        }
    }

    fn stack(&self, organization: OrganizationId) -> Stack {
        let mut stacks = self.stacks.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || one_at_a_time(Arc::clone(&self.deployment), self.limits, self.drain.clone());
        stacks.entry(organization).or_insert_with(make).clone()
    }
}

fn one_at_a_time(deployment: Arc<Deployment>, limits: Limits, drain: Drain) -> Stack {
    let run = move |command| run(Arc::clone(&deployment), limits, drain.clone(), command);
    BoxCloneSyncService::new(limited(tower::service_fn(run)))
}

/// The limit: load shedding outside, the single permit inside.
fn limited<S, R>(service: S) -> impl Service<R, Response = S::Response, Error = BoxError, Future: Send> + Clone
where
    S: Service<R, Future: Send, Error: Into<BoxError>> + Clone,
{
    ServiceBuilder::new().load_shed().concurrency_limit(1).service(service)
}

async fn run(
    deployment: Arc<Deployment>,
    limits: Limits,
    drain: Drain,
    command: Command,
) -> Result<Option<Outcome>, BoxError> {
    let Command { setting, outcome } = command;
    let by = setting.mode.attempt();
    let (work, result) = match current::in_new(&table::KEY_SET, has_failed, set(&deployment, setting)).await {
        Ok(done) => done,
        Err(error) => return Ok(Some(refuse(&deployment, &by, error.into()).await)),
    };
    // After an unknown outcome, the ring shows whether a re-encryption is needed.
    if !matches!(result, Err(KeyError::Store(StoreFailure::Unknown(_)))) && !is_running(work.organization()) {
        return Ok(Some(result));
    }
    // The caller may have left.
    let _gone = outcome.send(result);
    reencryption::run(&deployment, &limits, &drain, work).await;
    Ok(None)
}

/// Whether the key wasn't set, for the span.
fn has_failed(set: &Result<(KeyWork, Outcome), WorkError>) -> Option<&'static str> {
    let is_set = set.as_ref().is_ok_and(|(_, outcome)| outcome.is_ok());
    if is_set { None } else { Some("failed") }
}

/// Takes the organization's lock and does what was let in. The lock stays taken for what may follow.
async fn set(deployment: &Deployment, setting: KeySetting) -> Result<(KeyWork, Outcome), WorkError> {
    let KeySetting { text, mode, validate_only } = setting;
    Ok(match mode {
        Mode::Change(permit) => change(deployment, permit.begin_work(deployment).await?, text, validate_only).await,
        Mode::Restore(permit) => restore(deployment, permit.begin_work(deployment).await?, text, validate_only).await,
        Mode::Abandon(permit, confirm_fingerprint) => {
            let abandonment = Abandonment { confirm_fingerprint, text, validate_only };
            abandon(deployment, permit.begin_work(deployment).await?, abandonment).await
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Barrier;

    use super::*;

    #[tokio::test]
    async fn second_call_is_refused_while_the_first_runs() {
        let gate = Arc::new(Barrier::new(2));
        let runs = Arc::new(AtomicUsize::new(0));
        let service = {
            let (gate, runs) = (Arc::clone(&gate), Arc::clone(&runs));
            tower::service_fn(move |()| {
                let (gate, runs) = (Arc::clone(&gate), Arc::clone(&runs));
                async move {
                    runs.fetch_add(1, Ordering::Relaxed);
                    gate.wait().await;
                    gate.wait().await;
                    Ok::<_, BoxError>(())
                }
            })
        };
        let stack = limited(service);
        let first = tokio::spawn(stack.clone().oneshot(()));
        gate.wait().await;
        for _ in 0..10 {
            let error = stack.clone().oneshot(()).await.unwrap_err();
            assert!(error.is::<Overloaded>());
        }
        gate.wait().await;
        first.await.unwrap().unwrap();
        let again = tokio::spawn(stack.clone().oneshot(()));
        gate.wait().await;
        gate.wait().await;
        again.await.unwrap().unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }
}
