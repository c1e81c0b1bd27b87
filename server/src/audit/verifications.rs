//! Verifications of audit trails: one at a time for a trail, shared by those who ask meanwhile, and paced.
//!
//! Whoever asks is told of a look that began after the question: those who ask while one is under way share the next. So what was done to
//! a trail before the question is always found. A look that nobody waits for any more ends. Nothing here knows what is found.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sealward_core::{
    audit::verify::{TrailWalk, VerificationResult, WalkProgress},
    deployment::Deployment,
    id::OrganizationId,
    organization::Organization,
    store::{Cause, Unavailable, snapshot_ended},
};
use tokio::sync::{Semaphore, watch};

/// How many trails are looked at at a time: hashing them takes a processor each.
const AT_ONCE: usize = 2;

/// How often a look is begun again whose snapshot the store has ended.
const ATTEMPTS: usize = 3;

/// The looks that are under way, by organization; without one it is the deployment's own trail.
#[derive(Debug)]
pub(crate) struct Verifications {
    at_once: Semaphore,
    trails: Mutex<HashMap<Option<OrganizationId>, Trail>>,
}

#[derive(Debug, Default)]
struct Trail {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The look that has not begun yet.
    next: Option<Arc<watch::Sender<Option<Outcome>>>>,
}

type Outcome = Result<VerificationResult, Arc<Cause>>;

impl Verifications {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Verifications { at_once: Semaphore::new(AT_ONCE), trails: Mutex::default() })
    }

    /// What a look at the trail of this organization finds, or at the deployment's own.
    ///
    /// # Errors
    /// If a database doesn't answer.
    pub(crate) async fn look(
        self: &Arc<Self>,
        deployment: &Arc<Deployment>,
        organization: Option<&Arc<Organization>>,
    ) -> Result<VerificationResult, Cause> {
        let mut outcome = self.join(deployment, organization);
        let outcome = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        match outcome {
            Some(Ok(found)) => Ok(found),
            Some(Err(cause)) => Err(Cause(Box::new(cause))),
            None => Err("the verification ended without an outcome".into()),
        }
    }

    /// Waits for the next look with whoever waits for it, or begins it.
    fn join(
        self: &Arc<Self>,
        deployment: &Arc<Deployment>,
        organization: Option<&Arc<Organization>>,
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
        tokio::spawn(async move {
            let _turn = turn.lock_owned().await;
            let permit = all.at_once.acquire().await;
            all.begin(key);
            tokio::select! {
                // Nobody can join any more, so that this is the end of it.
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

    /// Whoever asks from now on waits for another look.
    fn begin(&self, key: Option<OrganizationId>) {
        if let Some(trail) = self.trails().get_mut(&key) {
            trail.next = None;
        }
    }

    /// Forgets a trail that nobody looks at.
    fn forget(&self, key: Option<OrganizationId>) {
        let mut trails = self.trails();
        if trails.get(&key).is_some_and(|trail| trail.next.is_none() && Arc::strong_count(&trail.turn) == 1) {
            trails.remove(&key);
        }
    }

    fn trails(&self) -> MutexGuard<'_, HashMap<Option<OrganizationId>, Trail>> {
        // Nothing under this lock can leave the map half changed.
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

/// Half of the time is left to others.
async fn walk(deployment: &Deployment, organization: Option<&Organization>) -> Result<VerificationResult, Unavailable> {
    let mut walk = match organization {
        Some(organization) => TrailWalk::of_organization(deployment, organization).await?,
        None => TrailWalk::of_deployment(deployment).await?,
    };
    loop {
        let begun = Instant::now();
        match walk.step().await? {
            WalkProgress::Done(found) => return Ok(found),
            WalkProgress::Continue(further) => walk = further,
        }
        rest(begun.elapsed()).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a pause that leaves the processor to others")]
async fn rest(pause: Duration) {
    tokio::time::sleep(pause).await;
}
