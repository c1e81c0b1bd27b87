//! Denials: calls refused before permission in an organization is established, on their way to the deployment's own trail.
//!
//! The first of a kind is recorded at once, its repeats as a count once a minute, so that nobody fills a disk by being refused. They
//! are handed over, not waited for: the call is refused whether or not it can be recorded.

use std::{collections::HashMap, sync::Arc, time::Duration};

use fieldseal_core::{
    audit::{AuditAction, AuditEntry},
    deployment::Deployment,
    id::Timestamp,
    identity::Caller,
};
use tokio::{sync::mpsc, time::MissedTickBehavior};

use crate::drain::Drain;

/// How many may wait to be recorded; more are told in the log alone, as every refusal is.
const WAITING_MAX: usize = 1_024;

/// How often repeats are recorded.
const INTERVAL: Duration = Duration::from_secs(60);

/// How many kinds are told apart between two records of repeats; the rest waits for the next interval.
const KINDS_MAX: usize = 10_000;

/// Where denials are handed over.
#[derive(Clone)]
pub(crate) struct Denials {
    sender: mpsc::Sender<Denial>,
}

struct Denial {
    caller: Caller,
    action: AuditAction,
    subject: String,
}

impl Denials {
    /// Begins to record, until the server drains.
    pub(crate) fn start(deployment: Arc<Deployment>, drain: &Drain) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        drain.tasks().spawn(Recorder { deployment, repeats: HashMap::new() }.run(receiver, drain.clone()));
        Denials { sender }
    }

    /// Nowhere; for tests of what stands before.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Denials { sender: mpsc::channel(1).0 }
    }

    /// Hands a denial over. `subject` is what the caller may not touch: an organization's name, whether it exists or not, or an rpc.
    pub(crate) fn record(&self, caller: &Caller, action: AuditAction, subject: String) {
        if self.sender.try_send(Denial { caller: caller.clone(), action, subject }).is_err() {
            tracing::warn!("a denial is in the log only: too many wait to be recorded");
        }
    }
}

/// Who, what, and to what.
type Kind = (String, &'static str, String);

struct Recorder {
    deployment: Arc<Deployment>,
    /// The last of each kind since the last tick, and how many came after the one that is recorded.
    repeats: HashMap<Kind, (Denial, u64)>,
}

impl Recorder {
    async fn run(mut self, mut receiver: mpsc::Receiver<Denial>, drain: Drain) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                denial = receiver.recv() => match denial {
                    Some(denial) => self.take(denial).await,
                    None => break,
                },
                _ = ticks.tick() => self.flush().await,
                () = drain.begun() => break,
            }
        }
        receiver.close();
        while let Some(denial) = receiver.recv().await {
            self.take(denial).await;
        }
        self.flush().await;
    }

    async fn take(&mut self, denial: Denial) {
        let kind = (denial.caller.identity.to_string(), denial.action.name(), denial.subject.clone());
        if let Some((last, count)) = self.repeats.get_mut(&kind) {
            *last = denial;
            *count += 1;
        } else if self.repeats.len() < KINDS_MAX {
            self.commit(&denial, None).await;
            self.repeats.insert(kind, (denial, 0));
        }
    }

    async fn flush(&mut self) {
        for (denial, count) in std::mem::take(&mut self.repeats).into_values() {
            if count > 0 {
                self.commit(&denial, Some(format!("repeated {count} times"))).await;
            }
        }
    }

    async fn commit(&self, denial: &Denial, repeats: Option<String>) {
        let now: Timestamp = self.deployment.now();
        let entry = AuditEntry {
            time: now,
            caller: Some(denial.caller.clone()),
            action: denial.action,
            outcome: "PRIVILEGE_MISSING",
            subject: denial.subject.clone(),
            attributes: None,
            purpose: repeats,
            fingerprint: None,
            key_version: None,
            details: None,
        };
        if let Err(error) = self.deployment.record(entry).await {
            tracing::warn!(%error, "a denial is in the log only");
        }
    }
}
