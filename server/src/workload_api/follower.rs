//! Follows the agent: waits for the first update, receives the next ones, and connects again when the agent is lost.

use std::{sync::Arc, time::Duration};

use sealward_core::{id::Timestamp, port::Clock, random::Random};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tonic::Streaming;

use super::{
    error::{Failure, Lost, WorkloadApiError},
    message::X509SvidResponse,
    stream,
    update::Update,
};
use crate::{
    config::{WorkloadApi, limits::Limits},
    drain::Drain,
    error_chain,
    finding::Finding,
    schema::timestamp_to_proto,
    telemetry::counters::Counters,
};

const SETTING: &str = "tls.spiffe_workload_api";

/// The pause before the second attempt to connect. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The results of updates, as values of a label.
pub(crate) const APPLIED: &str = "applied";
pub(crate) const REFUSED: &str = "refused";

/// The last messages of the agent.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The last valid update.
    pub(crate) update: Arc<Update>,
    /// The fault of the last message, if it was invalid.
    pub(crate) fault: Option<String>,
}

/// The connection to the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    Open,
    Lost { since: Timestamp, problem: String, remedy: String },
}

/// The current state of the Workload API, for the parts of the server that follow it.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) received: watch::Receiver<Received>,
    pub(crate) connection: watch::Receiver<Connection>,
    /// The updates by result.
    pub(crate) updates: Counters,
}

impl Workload {
    /// Whether the agent is reached.
    pub(crate) fn is_connected(&self) -> bool {
        *self.connection.borrow() == Connection::Open
    }

    /// The problems of the Workload API now.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let Received { update, .. } = &*self.received.borrow();
        let lost = match &*self.connection.borrow() {
            Connection::Open => None,
            Connection::Lost { since, problem, remedy } => {
                let (since, not_after) = (timestamp_to_proto(*since), update.not_after);
                let problem = format!(
                    "the Workload API is lost since {since}, and the certificate expires on {not_after}: {problem}"
                );
                Some(Finding::warning(SETTING, problem, remedy))
            }
        };
        let lists = update.has_revocation_lists.then(|| {
            let problem = "the Workload API sends revocation lists, which the server doesn't use";
            Finding::warning(SETTING, problem, "put the lists into the file of tls.client_crl")
        });
        lost.into_iter().chain(lists).collect()
    }
}

/// The client of the Workload API.
pub(crate) struct Follower {
    updates: Updates,
    received: watch::Sender<Received>,
    connection: watch::Sender<Connection>,
    workload: Workload,
}

impl Follower {
    /// Connects, and waits for the first valid update.
    ///
    /// # Errors
    /// [`WorkloadApiError`]: there is none within the time limit.
    pub(crate) async fn start(
        api: &WorkloadApi,
        limits: &Limits,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, WorkloadApiError> {
        let mut updates = Updates::new(api, limits, clock, random);
        let update = updates.first(limits.workload_api_wait()).await?;
        let (spiffe_id, not_after, socket) = (&update.id, &update.not_after, api.socket.display());
        tracing::info!(%spiffe_id, %not_after, %socket, "workload API certificate received");
        let (received_sender, received) = watch::channel(Received { update: Arc::new(update), fault: None });
        let (connection_sender, connection) = watch::channel(Connection::Open);
        let workload = Workload { received, connection, updates: Counters::new([APPLIED, REFUSED]) };
        Ok(Self { updates, received: received_sender, connection: connection_sender, workload })
    }

    /// The first update.
    pub(crate) fn first(&self) -> Arc<Update> {
        Arc::clone(&self.received.borrow().update)
    }

    /// Its state, also while it follows the agent.
    pub(crate) fn workload(&self) -> Workload {
        self.workload.clone()
    }

    /// Follows the agent until the server drains.
    pub(crate) async fn keep_following(self, drain: Drain) {
        tokio::select! {
            () = drain.begun() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(mut self) {
        loop {
            match self.updates.next().await {
                Ok(update) => {
                    self.is_open();
                    self.received.send_replace(Received { update: Arc::new(update), fault: None });
                }
                Err(Failure::Invalid(invalid)) => {
                    self.is_open();
                    let fault = error_chain::text(&invalid);
                    self.received.send_modify(|received| received.fault = Some(fault));
                }
                Err(Failure::Lost(lost)) => {
                    self.is_lost(&lost);
                    self.updates.pause().await;
                }
            }
        }
    }

    fn is_open(&self) {
        let was_lost = self.connection.send_if_modified(|connection| {
            let was_lost = *connection != Connection::Open;
            *connection = Connection::Open;
            was_lost
        });
        if was_lost {
            tracing::info!("workload API reached again");
        }
    }

    /// A loss is logged once, until its reason changes or the agent is back.
    fn is_lost(&self, lost: &Lost) {
        let (problem, remedy) = (error_chain::text(lost), lost.remedy());
        let is_new = self.connection.send_if_modified(|connection| {
            let since = match connection {
                Connection::Lost { problem: known, .. } if *known == problem => return false,
                Connection::Lost { since, .. } => *since,
                Connection::Open => self.updates.clock.now(),
            };
            *connection = Connection::Lost { since, problem: problem.clone(), remedy: remedy.clone() };
            true
        });
        if is_new {
            let not_after = self.received.borrow().update.not_after;
            let (error, socket) = (problem, self.updates.api.socket.display());
            tracing::warn!(error, remedy, %not_after, %socket, "workload API lost; the current certificate stays in use");
        }
    }
}

/// Gets one valid update, for a check.
///
/// # Errors
/// [`WorkloadApiError`]: there is none within this time.
pub(crate) async fn once(
    api: &WorkloadApi,
    limits: &Limits,
    within: Duration,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Update, WorkloadApiError> {
    Updates::new(api, limits, clock, random).first(within).await
}

/// The updates of the agent, over one connection after the other.
struct Updates {
    api: WorkloadApi,
    limits: Limits,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    stream: Option<Streaming<X509SvidResponse>>,
    next_pause: Duration,
}

impl Updates {
    fn new(api: &WorkloadApi, limits: &Limits, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { api: api.clone(), limits: *limits, clock, random, stream: None, next_pause: FIRST_PAUSE }
    }

    async fn first(&mut self, within: Duration) -> Result<Update, WorkloadApiError> {
        let deadline = Instant::now() + within;
        let mut last: Option<Failure> = None;
        let waiting = async {
            loop {
                match self.next().await {
                    Ok(update) => return update,
                    Err(failure) => {
                        let (error, remedy) = (error_chain::text(&failure), failure.remedy());
                        let is_lost = matches!(failure, Failure::Lost(_));
                        if last.as_ref().is_none_or(|last| error_chain::text(last) != error) {
                            tracing::warn!(error, remedy, "workload API provides no certificate yet");
                        }
                        last = Some(failure);
                        if is_lost {
                            self.pause().await;
                        }
                    }
                }
            }
        };
        let first = timeout_at(deadline, waiting).await;
        first.map_err(|_| {
            let source = last.unwrap_or(Failure::Lost(Lost::Silent(within.as_secs())));
            let waited_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
            WorkloadApiError {
                socket: self.api.socket.clone(),
                waited_ms,
                remedy: source.remedy(),
                source: source.into(),
            }
        })
    }

    /// Waits for the next update, on a new connection if there is none.
    async fn next(&mut self) -> Result<Update, Failure> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(stream::open(&self.api, &self.limits).await?),
        };
        let message = match stream.message().await {
            Ok(Some(message)) => message,
            ended => {
                self.stream = None;
                return Err(ended.map_or_else(Lost::from, |_| Lost::Ended).into());
            }
        };
        self.next_pause = FIRST_PAUSE;
        Ok(Update::read(message, self.api.spiffe_id.as_ref(), self.clock.now())?)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a lost agent gives no sign when it is back; the drain and the time limit cut this short"
    )]
    async fn pause(&mut self) {
        let pause = self.next_pause;
        self.next_pause = pause.saturating_mul(2).min(self.limits.workload_api_retry_pause_max());
        let mut bytes = [0; 4];
        self.random.fill(&mut bytes);
        sleep(shortened(pause, u32::from_ne_bytes(bytes))).await;
    }
}

/// A pause, shortened by up to a half.
fn shortened(pause: Duration, random: u32) -> Duration {
    pause.mul_f64(1.0 - f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_shortened_by_at_most_a_half() {
        let pause = Duration::from_secs(10);
        assert_eq!(shortened(pause, 0), pause);
        assert_eq!(shortened(pause, u32::MAX), pause / 2);
        assert!((pause / 2..pause).contains(&shortened(pause, u32::MAX / 3)));
    }
}
