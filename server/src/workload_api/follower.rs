//! Follows the agent: waits for the first update, receives the next ones, and connects again when the agent is lost.

use std::{mem, sync::Arc, time::Duration};

use sealward_core::{id::Timestamp, port::Clock, random::Random};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tonic::Streaming;

use super::{
    error::{Failure, Lost, TooLarge, WorkloadApiError},
    message::X509SvidResponse,
    stream,
    update::{Bundles, Message, Update},
};
use crate::{
    config::{WorkloadApi, limits::Limits},
    drain::Drain,
    error_chain,
    finding::Finding,
    schema::timestamp_to_proto,
    spread::shortened,
    telemetry::{
        counters::Counters,
        samples::{Kind, Samples, Who},
    },
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
    /// The last valid SVID.
    pub(crate) update: Arc<Update>,
    /// The bundles of the last message that was read. Its SVID may be invalid.
    pub(crate) bundles: Arc<Bundles>,
    /// The problem of the last message's SVID, if it has one.
    pub(crate) fault: Option<Fault>,
}

/// A problem of a message.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) problem: String,
    pub(crate) remedy: String,
}

impl Received {
    fn valid(update: Update) -> Self {
        Self { bundles: Arc::clone(&update.bundles), update: Arc::new(update), fault: None }
    }

    fn refuse(&mut self, failure: &Failure) {
        self.fault = Some(Fault { problem: error_chain::text(failure), remedy: failure.remedy() });
    }
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

    /// The loss of the agent, if it is lost.
    pub(crate) fn finding(&self) -> Option<Finding> {
        let Connection::Lost { since, problem, remedy } = &*self.connection.borrow() else { return None };
        let (since, received) = (timestamp_to_proto(*since), self.received.borrow());
        let not_after = &received.update.not_after;
        let problem =
            format!("the Workload API is lost since {since}, and the certificate expires on {not_after}: {problem}");
        Some(Finding::warning(SETTING, problem, remedy))
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
        let first = updates.first(limits.workload_api_wait()).await;
        let update = first.map_err(WorkloadApiError::with_remedy)?;
        let (spiffe_id, not_after, socket) = (&update.id, &update.not_after, api.socket.display());
        tracing::info!(%spiffe_id, %not_after, %socket, "workload API certificate received");
        let (received_sender, received) = watch::channel(Received::valid(update));
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

    /// Follows the agent until the server drains. Losses of the agent are sampled for the log.
    pub(crate) async fn keep_following(self, drain: Drain, samples: Samples) {
        tokio::select! {
            () = drain.begun() => {}
            () = self.follow(&samples) => {}
        }
    }

    async fn follow(mut self, samples: &Samples) {
        let mut logged_loss: Option<String> = None;
        loop {
            let received = self.updates.next().await;
            if !matches!(received, Err(Failure::Lost(_))) {
                self.connection
                    .send_if_modified(|connection| mem::replace(connection, Connection::Open) != Connection::Open);
                if logged_loss.take().is_some() {
                    tracing::info!("workload API reached again");
                }
            }
            match received {
                Ok(Message { svid: Ok(update), .. }) => drop(self.received.send_replace(Received::valid(update))),
                Ok(Message { svid: Err(invalid), bundles }) => self.received.send_modify(|received| {
                    received.bundles = bundles;
                    received.refuse(&invalid.into());
                }),
                Err(Failure::Lost(lost)) => {
                    self.is_lost(&lost, &mut logged_loss, samples);
                    self.updates.pause().await;
                }
                Err(failure @ (Failure::TooLarge(_) | Failure::Invalid(_))) => {
                    self.received.send_modify(|received| received.refuse(&failure));
                    self.updates.pause().await;
                }
            }
        }
    }

    /// A loss is logged once, until its reason changes or the agent is back: at most one of a kind a minute, for an agent that comes and goes.
    fn is_lost(&self, lost: &Lost, logged: &mut Option<String>, samples: &Samples) {
        const EVENT: &str = "workload API lost; the current certificate stays in use";
        let (problem, remedy) = (error_chain::text(lost), lost.remedy());
        self.connection.send_if_modified(|connection| {
            let since = match connection {
                Connection::Lost { problem: known, .. } if *known == problem => return false,
                Connection::Lost { since, .. } => *since,
                Connection::Open => self.updates.clock.now(),
            };
            *connection = Connection::Lost { since, problem: problem.clone(), remedy: remedy.clone() };
            true
        });
        let kind = || Kind { who: Who::Unknown, event: EVENT, reason: lost.kind().into() };
        if logged.as_ref() != Some(&problem) && samples.is_first(kind()) {
            *logged = Some(problem.clone());
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
                let received = self.next().await;
                match received.and_then(|message| Ok(message.svid?)) {
                    Ok(update) => return update,
                    Err(failure) => {
                        let (error, remedy) = (error_chain::text(&failure), failure.remedy());
                        let is_lost = !matches!(failure, Failure::Invalid(_));
                        if last.as_ref().is_none_or(|last| error_chain::text(last) != error) {
                            tracing::warn!(error, remedy, "workload API provides no certificate yet");
                        }
                        last = Some(failure);
                        if is_lost {
                            // The stream has ended.
                            self.pause().await;
                        }
                    }
                }
            }
        };
        let first = timeout_at(deadline, waiting).await;
        first.map_err(|_| {
            let source = last.unwrap_or_else(|| Failure::Lost(Lost::Silent(within.as_secs())));
            let waited_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
            WorkloadApiError {
                socket: self.api.socket.clone(),
                waited_ms,
                remedy: source.remedy(),
                source: source.into(),
            }
        })
    }

    /// Waits for the next message, on a new connection if there is none.
    async fn next(&mut self) -> Result<Message, Failure> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(stream::open(&self.api, &self.limits).await?),
        };
        let ended: Failure = match stream.message().await {
            Ok(Some(mut message)) => {
                self.next_pause = FIRST_PAUSE;
                return Ok(Message::read(&mut message, self.api.spiffe_id.as_ref(), self.clock.now()));
            }
            Ok(None) => Lost::Ended.into(),
            Err(status) if TooLarge::is(&status) => {
                TooLarge { max_bytes: self.limits.workload_api_message_max_bytes }.into()
            }
            Err(status) => Lost::from(status).into(),
        };
        self.stream = None;
        Err(ended)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a lost agent gives no sign when it is back; the drain and the time limit cut this short"
    )]
    async fn pause(&mut self) {
        let pause = self.next_pause;
        self.next_pause = pause.saturating_mul(2).min(self.limits.workload_api_retry_pause_max());
        sleep(shortened(pause, PAUSE_SHARE, &*self.random)).await;
    }
}

/// The share by which a pause is shortened at most, so that servers of a machine don't connect at the same time.
const PAUSE_SHARE: f64 = 0.5;
