//! Sends ended spans to the collector, in batches.
//!
//! Spans come from a bounded queue. While the collector is slow or unreachable, the queue fills up, and further spans are dropped and counted.
//! Nothing waits for this task, except a stopping server, for a limited time.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    collector::{Collector, NotExported},
    ended::EndedSpan,
    otlp::{self, ExportTraceServiceRequest, KeyValue, ResourceSpans, ScopeSpans},
    queue::{EXPORTED, Exit, REFUSED, SHUTDOWN, UNREACHABLE},
};
use crate::{
    config::{Traces, limits::Limits},
    telemetry::counters::Counters,
    version::VERSION,
};

/// How often a request is sent, if the collector can't serve it now.
const ATTEMPTS: u32 = 3;

/// The pause before a request is repeated.
const PAUSE: Duration = Duration::from_secs(1);

/// The minimum time between the log lines of two failures.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The name of the server for the collector.
const SERVICE: &str = "sealward";

/// The task that exports.
pub(super) struct Exporter {
    collector: Collector,
    limits: Limits,
    /// The id of this process.
    instance: Uuid,
    outcomes: Counters,
    /// The failure that is already logged, until spans are exported again.
    reported: Mutex<Option<Reported>>,
    stop: CancellationToken,
}

/// A failure in the log.
struct Reported {
    cause: String,
    at: Instant,
}

/// A handle to the task.
pub(crate) struct Exporting {
    task: Option<(JoinHandle<()>, CancellationToken)>,
    flush_max: Duration,
}

impl Exporter {
    pub(super) fn new(settings: Traces, limits: Limits, instance: Uuid, outcomes: Counters) -> Self {
        let collector = Collector::new(settings, limits.trace_export_time_max());
        Self { collector, limits, instance, outcomes, reported: Mutex::default(), stop: CancellationToken::new() }
    }

    /// Starts to export these spans.
    pub(super) fn start(self, spans: Exit) -> Exporting {
        let (stop, flush_max) = (self.stop.clone(), self.limits.trace_flush_max());
        Exporting { task: Some((tokio::spawn(self.run(spans)), stop)), flush_max }
    }

    async fn run(mut self, mut spans: Exit) {
        loop {
            let batch = spans.batch(self.limits.trace_batch_wait_max(), &self.stop).await;
            if batch.is_empty() {
                return;
            }
            self.export(batch).await;
        }
    }

    async fn export(&mut self, batch: Vec<EndedSpan>) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        // They count as lost if the server stops meanwhile.
        let lost = Lost { outcomes: self.outcomes.clone(), count };
        let request = self.request(batch);
        let mut attempt = 1;
        let outcome = loop {
            match self.collector.export(&request).await {
                Err(NotExported { is_temporary: true, cause }) if attempt < ATTEMPTS => {
                    self.report(Some(cause));
                    attempt += 1;
                    let _stopping_or_not = timeout(PAUSE, self.stop.cancelled()).await;
                }
                outcome => break outcome,
            }
        };
        lost.not();
        match outcome {
            Ok(refused) => {
                let refused = refused.min(count);
                self.outcomes.add(EXPORTED, count - refused);
                self.outcomes.add(REFUSED, refused);
                self.report((refused > 0).then(|| "the collector refused some spans".to_owned()));
            }
            Err(NotExported { is_temporary, cause }) => {
                self.outcomes.add(if is_temporary { UNREACHABLE } else { REFUSED }, count);
                self.report(Some(cause));
            }
        }
    }

    /// Logs a failure once until it ends, and another one after a while.
    fn report(&self, failure: Option<String>) {
        let mut reported = self.reported.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match failure {
            Some(cause) => {
                let is_known = |known: &Reported| known.cause == cause || known.at.elapsed() < REPORT_INTERVAL;
                if !reported.as_ref().is_some_and(is_known) {
                    tracing::warn!(error = cause, "spans not exported");
                    *reported = Some(Reported { cause, at: Instant::now() });
                }
            }
            None if reported.take().is_some() => tracing::info!("spans exported again"),
            None => {}
        }
    }

    fn request(&self, batch: Vec<EndedSpan>) -> ExportTraceServiceRequest {
        let resource = otlp::Resource {
            attributes: vec![
                KeyValue::new("service.name", SERVICE),
                KeyValue::new("service.version", VERSION),
                KeyValue::new("service.instance.id", self.instance.to_string()),
            ],
        };
        let scope = otlp::InstrumentationScope { name: SERVICE.to_owned(), version: VERSION.to_owned() };
        let scope_spans = ScopeSpans { scope: Some(scope), spans: batch.into_iter().map(message).collect() };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans: vec![scope_spans] }],
        }
    }
}

/// A span as a message.
fn message(span: EndedSpan) -> otlp::Span {
    let (kind, remote) = match span.kind.is_server {
        true => (otlp::KIND_SERVER, otlp::FLAG_IS_REMOTE),
        false => (otlp::KIND_INTERNAL, 0),
    };
    let of_parent = if span.parent.is_some() { otlp::FLAG_HAS_IS_REMOTE | remote } else { 0 };
    otlp::Span {
        trace_id: span.trace.as_bytes().to_vec(),
        span_id: span.id.as_bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.as_bytes().to_vec()).unwrap_or_default(),
        name: span.name.into_owned(),
        kind,
        start_time_unix_nano: span.begin_unix_nanos,
        end_time_unix_nano: span.end_unix_nanos,
        attributes: span
            .attributes
            .into_iter()
            .map(|(attribute, value)| KeyValue::new(attribute.name, value))
            .collect(),
        status: span.has_failed.then_some(otlp::Status { code: otlp::STATUS_ERROR }),
        flags: otlp::FLAG_SAMPLED | of_parent,
    }
}

/// Spans that are lost unless their outcome is known.
struct Lost {
    outcomes: Counters,
    count: u64,
}

impl Lost {
    fn not(mut self) {
        self.count = 0;
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        if self.count > 0 {
            self.outcomes.add(SHUTDOWN, self.count);
        }
    }
}

impl Exporting {
    /// Nothing is exported.
    pub(crate) fn none() -> Self {
        Self { task: None, flush_max: Duration::ZERO }
    }

    /// Sends the spans that wait, and ends, within `limits.trace_flush_max_ms`.
    pub(crate) async fn finish(self) {
        let Some((mut task, stop)) = self.task else { return };
        stop.cancel();
        if timeout(self.flush_max, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("spans lost at shutdown: the collector didn't answer in time");
        }
    }
}
