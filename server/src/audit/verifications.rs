//! Verifications of audit trails: one at a time per trail, shared by concurrent callers, and throttled.
//!
//! A caller gets the result of a verification that started after its request: callers that arrive during a verification share the next one.
//! So a change of a trail before the request is always found. A verification without waiting callers stops. This module doesn't know the
//! findings.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sealward_core::{
    audit::walk::{TrailWalk, VerificationResult, WalkProgress},
    deployment::Deployment,
    id::OrganizationId,
    organization::Organization,
    store::{Cause, Unavailable, snapshot_ended},
};
use tokio::sync::{Semaphore, watch};

use crate::drain::Drain;

/// The number of trails that are verified at a time: each occupies a processor with hashing.
const AT_ONCE: usize = 2;

/// The number of attempts if the store ends a verification's snapshot.
const ATTEMPTS: usize = 3;

/// The running verifications, by organization. `None` is the deployment's own trail.
#[derive(Debug)]
pub(crate) struct Verifications {
    at_once: Semaphore,
    trails: Mutex<HashMap<Option<OrganizationId>, Trail>>,
}

#[derive(Debug, Default)]
struct Trail {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The verification that has not started yet.
    next: Option<Arc<watch::Sender<Option<Outcome>>>>,
}

type Outcome = Result<VerificationResult, Arc<Cause>>;

impl Verifications {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Verifications { at_once: Semaphore::new(AT_ONCE), trails: Mutex::default() })
    }

    /// Verifies the trail of this organization, or the deployment's own trail.
    ///
    /// # Errors
    /// If a database doesn't respond.
    pub(crate) async fn verify(
        self: &Arc<Self>,
        deployment: &Arc<Deployment>,
        organization: Option<&Arc<Organization>>,
        drain: &Drain,
    ) -> Result<VerificationResult, Cause> {
        let mut outcome = self.join(deployment, organization, drain);
        let outcome = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        match outcome {
            Some(Ok(found)) => Ok(found),
            Some(Err(cause)) => Err(Cause(Box::new(cause))),
            None => Err("the verification ended without an outcome".into()),
        }
    }

    /// Joins the callers of the next verification, or starts it.
    fn join(
        self: &Arc<Self>,
        deployment: &Arc<Deployment>,
        organization: Option<&Arc<Organization>>,
        drain: &Drain,
    ) -> watch::Receiver<Option<Outcome>> {
        let key = organization.map(|organization| organization.id);
        let mut trails = self.trails();
        let trail = trails.entry(key).or_default();
        if let Some(next) = &trail.next {
            return next.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        let sender = Arc::new(sender);
        trail.next = Some(Arc::clone(&sender));
        let (all, turn) = (Arc::clone(self), Arc::clone(&trail.turn));
        let (deployment, organization) = (Arc::clone(deployment), organization.cloned());
        // Callers on several connections share it, so it doesn't belong to the connection of the first one.
        drain.spawn(async move {
            let _turn = turn.lock_owned().await;
            let permit = all.at_once.acquire().await;
            all.begin(key);
            tokio::select! {
                // No caller can join any more, so the verification ends.
                () = sender.closed() => {}
                outcome = walk_again(&deployment, organization.as_deref()) => {
                    sender.send_replace(Some(outcome.map_err(|Unavailable(cause)| Arc::new(cause))));
                }
            }
            drop(permit);
            drop(_turn);
            all.forget(key);
        });
        receiver
    }

    /// From now on, callers wait for another verification.
    fn begin(&self, key: Option<OrganizationId>) {
        if let Some(trail) = self.trails().get_mut(&key) {
            trail.next = None;
        }
    }

    /// Removes a trail without verifications.
    fn forget(&self, key: Option<OrganizationId>) {
        let mut trails = self.trails();
        if trails.get(&key).is_some_and(|trail| trail.next.is_none() && Arc::strong_count(&trail.turn) == 1) {
            trails.remove(&key);
        }
    }

    fn trails(&self) -> MutexGuard<'_, HashMap<Option<OrganizationId>, Trail>> {
        // No panic under this lock can leave the map inconsistent.
        self.trails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn walk_again(
    deployment: &Deployment,
    organization: Option<&Organization>,
) -> Result<VerificationResult, Unavailable> {
    let mut outcome = walk(deployment, organization).await;
    for _ in 1..ATTEMPTS {
        match outcome {
            Err(Unavailable(cause)) if snapshot_ended(&cause).is_some() => {
                outcome = walk(deployment, organization).await
            }
            outcome => return outcome,
        }
    }
    outcome
}

async fn walk(deployment: &Deployment, organization: Option<&Organization>) -> Result<VerificationResult, Unavailable> {
    let mut walk = match organization {
        Some(organization) => TrailWalk::of_organization(deployment, organization).await?,
        None => TrailWalk::of_deployment(deployment).await?,
    };
    loop {
        let begun = Instant::now();
        match walk.step().await? {
            WalkProgress::Done(found) => return Ok(found),
            WalkProgress::Continue(further) => walk = *further,
        }
        rest(begun.elapsed() / REST_DIVISOR).await;
    }
}

/// The rest after a step is its time divided by this number, so a verification uses at most four fifths of the time of two
/// threads. Hashes are computed at a low priority and only take what calls leave, but records are read at the usual one, and
/// reads fill the caches of disk and processor. Without a rest, a caller could keep a processor from all others by repeating
/// verifications.
const REST_DIVISOR: u32 = 4;

#[expect(clippy::disallowed_methods, reason = "a pause that leaves the processor to others")]
async fn rest(pause: Duration) {
    tokio::time::sleep(pause).await;
}
