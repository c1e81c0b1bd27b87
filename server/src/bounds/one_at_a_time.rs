//! One SetDataEncryptionKey at a time for an organization: load shedding over a concurrency limit of one, as a tower stack.
//!
//! It stands around the decoded, authorized command, not around the HTTP call: the work runs in a task of its own that owns the permit and
//! the organization's lock, so that a caller that hangs up frees nothing and one that sends no message holds nothing. The permit is held
//! until the re-encryption that follows a change is over. A second caller is turned away at once, it never queues.

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
        reencrypt::is_under_way,
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
use tracing::Instrument as _;

use crate::{background::reencryption, config::limits::Limits, drain::Drain};

/// What the outcome of a setting is.
pub(crate) type Outcome = Result<CurrentKey, KeyError>;

/// A SetDataEncryptionKey that was let in.
pub(crate) struct KeySetting {
    pub(crate) text: KeyText,
    pub(crate) mode: Mode,
    pub(crate) validate_only: bool,
}

/// What is to be done, with the permission for it.
pub(crate) enum Mode {
    Change(Permit<ChangeKey>),
    Restore(Permit<RestoreKey>),
    /// Of the key with this fingerprint.
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

/// Why a setting was not run.
#[derive(Debug)]
pub(crate) enum NotRun {
    /// Another one runs.
    AnotherRuns,
    /// The task ended without an outcome, which is a bug.
    Broken,
}

struct Command {
    setting: KeySetting,
    /// Where the outcome goes if a re-encryption follows, which nobody should wait for.
    outcome: oneshot::Sender<Outcome>,
}

/// Answers with the outcome unless it was sent before the end.
type Stack = BoxCloneSyncService<Command, Option<Outcome>, BoxError>;

/// The stacks, one for each organization that ever had a setting.
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

    /// Runs the setting to its end, whether or not anybody waits for the outcome.
    pub(crate) async fn run(&self, setting: KeySetting) -> Result<Outcome, NotRun> {
        let stack = self.stack(setting.mode.organization().id);
        let (sender, receiver) = oneshot::channel();
        // A stack is cloned for each call and dropped with it: an instance that is readied and kept holds the permit for ever.
        // Said for as long as the permit is held: whoever sees that nobody is at work is let in.
        let at_work = AtWork::begin(Arc::clone(setting.mode.organization()));
        let work = async move {
            let outcome = stack.oneshot(Command { setting, outcome: sender }).await;
            drop(at_work);
            outcome
        };
        let task = self.drain.tasks().spawn(work.in_current_span());
        match receiver.await {
            Ok(outcome) => Ok(outcome),
            // The task is over, and with it permit and lock: whoever has this answer and calls again finds nobody in the way.
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

/// The limit itself: outside the shedding, inside the one permit.
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
    let (work, result) = match set(&deployment, setting).await {
        Ok(done) => done,
        Err(error) => return Ok(Some(refuse(&deployment, &by, error.into()).await)),
    };
    // After an unknown outcome the ring tells whether there is something to do.
    if !matches!(result, Err(KeyError::Store(StoreFailure::Unknown(_)))) && !is_under_way(work.organization()) {
        return Ok(Some(result));
    }
    // The caller may be gone.
    let _gone = outcome.send(result);
    reencryption::run(&deployment, &limits, &drain, work).await;
    Ok(None)
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
