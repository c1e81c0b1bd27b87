//! The copying task. It wakes when a trail has grown, and each second to check the target.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::Duration,
};

use sealward_core::{
    audit::follow::{Continuation, TrailPosition, read_after},
    deployment::Deployment,
    id::OrganizationId,
    organization::Organization,
    store::Store,
};
use tokio::{
    sync::oneshot,
    task::spawn_blocking,
    time::{Instant, Interval, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    checkpoint::Checkpoint,
    ledger::Trail,
    state::CopyState,
    target::{Looked, Synced, Target},
};
use crate::{
    audit::record::{self, TrailOwner},
    error_chain,
};

/// The number of records that are read and written at a time: about 100 KB of lines.
const PAGE: u32 = 200;

/// The interval between checks of an idle target, and between retries of a failed one.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The pause between copies, so that records that arrive together are written together.
const REST: Duration = Duration::from_millis(10);

/// The shortest interval between saved positions: saving waits for two disks. After a crash, the part of the file since the last saved
/// position is read again.
const REMEMBER_INTERVAL: Duration = Duration::from_secs(5);

pub(super) struct Copier {
    shared: Arc<CopyState>,
    deployment: Arc<Deployment>,
    writer: Uuid,
    target: TargetThread,
    checkpoint: PathBuf,
    /// When the position was last saved.
    remembered: Instant,
    /// Whether records were copied since.
    is_new: bool,
    /// The trails that could not be read at the last attempt. This is already logged.
    unread: BTreeSet<Trail>,
}

/// The target failed, for this reason.
struct Failure(String);

impl Copier {
    pub(super) fn new(
        shared: Arc<CopyState>,
        deployment: Arc<Deployment>,
        writer: Uuid,
        target: Target,
        checkpoint: PathBuf,
    ) -> Self {
        Copier {
            shared,
            deployment,
            writer,
            target: TargetThread::start(target),
            checkpoint,
            remembered: Instant::now(),
            is_new: false,
            unread: BTreeSet::new(),
        }
    }

    /// Copies until it is stopped, and then once more. Signals `looked` when the target was first checked.
    pub(super) async fn run(mut self, stop: CancellationToken, looked: oneshot::Sender<()>) {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let first = self.look().await;
        self.report(first);
        // The receiver may have left.
        let _left = looked.send(());
        while !stop.is_cancelled() {
            let copied = self.copy_all().await;
            self.report(copied);
            self.woken(&mut ticks, &stop).await;
        }
        let copied = self.copy_all().await;
        self.report(copied);
        if let Err(failure) = self.remember().await {
            self.report(Err(failure));
        }
        let records = self.shared.ledger().records_behind();
        if records > 0 {
            tracing::warn!(records, "audit copy incomplete at shutdown; the next start continues it");
        }
    }

    /// Resolves when there may be work. A failed target waits for the next tick.
    async fn woken(&self, ticks: &mut Interval, stop: &CancellationToken) {
        let is_failing = self.shared.failure().is_some();
        let grown = async {
            if is_failing {
                pending::<()>().await;
            }
            self.shared.grown.notified().await;
            // Waits for the time only.
            let _rested = timeout(REST, pending::<()>()).await;
        };
        tokio::select! {
            () = grown => {}
            _ = ticks.tick() => {}
            () = stop.cancelled() => {}
        }
    }

    fn report(&self, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => self.shared.works(),
            Err(Failure(failure)) => self.shared.fails(failure),
        }
    }

    /// Checks the target, and marks the records found in it as copied.
    async fn look(&mut self) -> Result<(), Failure> {
        let Looked { is_another, found } = self.target.run(&self.shared, Target::look).await?;
        for (trail, place) in found {
            self.shared.ledger().found(trail, place);
        }
        if is_another {
            // Records in the former file are not searched for in this one.
            self.remember().await?;
        }
        Ok(())
    }

    async fn copy_all(&mut self) -> Result<(), Failure> {
        self.look().await?;
        let behind = self.shared.ledger().behind();
        if !behind.is_empty() {
            let organizations = self.organizations(&behind);
            for trail in behind {
                match trail.map(|id| organizations.get(&id)) {
                    None => {
                        let store = Arc::clone(&self.deployment.ports.configuration);
                        self.copy(trail, &*store, &TrailOwner::of(None)).await?;
                    }
                    Some(Some(organization)) => {
                        self.copy(trail, &*organization.store, &TrailOwner::of(Some(organization))).await?;
                    }
                    // Not served yet, or no longer.
                    Some(None) => {}
                }
            }
        }
        if self.is_new && self.remembered.elapsed() >= REMEMBER_INTERVAL {
            self.remember().await?;
        }
        Ok(())
    }

    /// The organizations of these trails.
    fn organizations(&self, trails: &BTreeSet<Trail>) -> BTreeMap<OrganizationId, Arc<Organization>> {
        let all = self.deployment.organizations().into_iter().map(|organization| (organization.id, organization));
        all.filter(|(id, _)| trails.contains(&Some(*id))).collect()
    }

    /// Copies the records of a trail that its copy lacks, in order.
    async fn copy(&mut self, trail: Trail, store: &dyn Store, owner: &TrailOwner) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let mut is_anew = false;
        loop {
            let Some((place, end)) = shared.ledger().to_copy(trail) else { return Ok(()) };
            if end < place.sequence {
                self.begin_anew(trail);
                is_anew = true;
                continue;
            }
            let records = match read_after(store, self.writer, place.sequence, end, PAGE).await {
                Ok(records) => records,
                Err(error) => {
                    self.unread(trail, &error_chain::text(&error));
                    return Ok(());
                }
            };
            let (Some(first), Some(last)) = (records.first(), records.last().map(TrailPosition::of)) else {
                self.unread(trail, "its last records are missing");
                return Ok(());
            };
            match place.continuation(first) {
                Continuation::Replaced if !is_anew => {
                    self.begin_anew(trail);
                    is_anew = true;
                    continue;
                }
                Continuation::AfterGap(records) => {
                    let organization = trail.map(tracing::field::display);
                    tracing::error!(organization, records, "audit records removed before they were copied");
                }
                Continuation::Next | Continuation::Replaced => {}
            }
            self.unread.remove(&trail);
            let owner = owner.clone();
            self.target
                .run(&shared, move |target| target.write((trail, place), &record::lines(&owner, records)))
                .await?;
            shared.ledger().copied(trail, last);
            shared.moved.notify_waiters();
            self.is_new = true;
        }
    }

    /// Handles a replaced trail: restored from a backup, or created again.
    fn begin_anew(&self, trail: Trail) {
        let organization = trail.map(tracing::field::display);
        tracing::error!(organization, "audit trail replaced: it is copied from its beginning");
        self.shared.ledger().copied(trail, TrailPosition::default());
    }

    /// Logs a trail that can't be read, once until it can be read again.
    fn unread(&mut self, trail: Trail, error: &str) {
        if self.unread.insert(trail) {
            let organization = trail.map(tracing::field::display);
            tracing::error!(organization, error, "audit trail not copied: it can't be read; retrying");
        }
    }

    /// Saves the position of the copy, once the copy is on disk.
    async fn remember(&mut self) -> Result<(), Failure> {
        let Synced { mark, not_taken } = self.target.run(&self.shared, Target::sync).await?;
        let mut places: BTreeMap<_, _> = self.shared.ledger().places().collect();
        // The next process writes them again: their reader may end before it reads them.
        places.extend(not_taken);
        let (path, writer) = (self.checkpoint.clone(), self.writer);
        let written = spawn_blocking(move || Checkpoint { mark, places }.write(&path, writer)).await;
        if let Err(error) = written.map_err(io::Error::from).and_then(|written| written) {
            tracing::warn!(%error, "audit copy position not saved; after a crash, records may be copied twice");
        }
        self.remembered = Instant::now();
        self.is_new = false;
        Ok(())
    }
}

type Work = Box<dyn FnOnce(&mut Target) + Send>;

/// A target in its own thread, so that a hanging target blocks no other work, nor the end of the process.
struct TargetThread(mpsc::Sender<Work>);

impl TargetThread {
    fn start(mut target: Target) -> Self {
        let (orders, work) = mpsc::channel::<Work>();
        let started = thread::Builder::new().name("audit-copy".to_owned()).spawn(move || {
            for work in work {
                work(&mut target);
            }
        });
        // Without a thread all work fails, as for a target that isn't writable.
        drop(started);
        TargetThread(orders)
    }

    /// Runs work on the target. While it takes too long, the copy counts as failing.
    async fn run<T: Send + 'static>(
        &self,
        shared: &CopyState,
        work: impl FnOnce(&mut Target) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, mut answered) = oneshot::channel();
        let work = Box::new(move |target: &mut Target| {
            let outcome = work(target);
            // The caller may have left.
            let _left = answer.send((outcome, target.take_lost()));
        });
        // If the thread has ended, the answer never comes.
        let _gone = self.0.send(work);
        let outcome = match timeout(shared.answer_max, &mut answered).await {
            Ok(outcome) => outcome,
            Err(_) => {
                shared.is_late.store(true, Ordering::Release);
                shared.fails(format!("a write took longer than {} ms", shared.answer_max.as_millis()));
                let outcome = answered.await;
                shared.is_late.store(false, Ordering::Release);
                outcome
            }
        };
        match outcome {
            Ok((outcome, lost)) => {
                for (trail, place) in lost {
                    shared.ledger().copied(trail, place);
                }
                outcome.map_err(|error| Failure(error_chain::text(&error)))
            }
            Err(_) => Err(Failure("its thread has ended".to_owned())),
        }
    }
}
