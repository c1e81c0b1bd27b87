//! Sends ended spans to the collector, in batches.
//!
//! Spans come from a bounded queue. While the collector is slow or unreachable, the queue fills up, and further spans are dropped and counted.
//! Nothing waits for this task, except a stopping server, for a limited time.

use std::time::{Duration, Instant};

use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    collector::{Collector, NotExported},
    ended::EndedSpan,
    otlp::{self, ExportTraceServiceRequest, KeyValue, ResourceSpans, ScopeSpans},
    outcomes::{EXPORTED, REFUSED, SHUTDOWN, SpanOutcomes, UNREACHABLE},
    queue::Exit,
};
use crate::{
    config::{Traces, limits::Limits},
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
    outcomes: SpanOutcomes,
    reports: Reports,
    stop: CancellationToken,
}

/// The failures in the log. A collector, or a program in its place, may fail at any rate, and differently each time.
#[derive(Default)]
struct Reports {
    /// The failure that was logged last, until spans are exported again.
    known: Option<String>,
    /// When it was logged.
    at: Option<Instant>,
}

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    NotExported,
    ExportedAgain,
}

/// A handle to the task.
pub(crate) struct Exporting {
    task: Option<(JoinHandle<()>, CancellationToken)>,
    flush_max: Duration,
}

impl Exporter {
    pub(super) fn new(settings: Traces, limits: Limits, instance: Uuid, outcomes: SpanOutcomes) -> Self {
        let collector = Collector::new(settings, limits.trace_export_time_max());
        Self { collector, limits, instance, outcomes, reports: Reports::default(), stop: CancellationToken::new() }
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
                self.count(EXPORTED, count - refused);
                self.count(REFUSED, refused);
                self.report((refused > 0).then(|| "the collector refused some spans".to_owned()));
            }
            Err(NotExported { is_temporary, cause }) => {
                self.count(if is_temporary { UNREACHABLE } else { REFUSED }, count);
                self.report(Some(cause));
            }
        }
    }

    fn count(&self, outcome: &'static str, spans: u64) {
        self.outcomes.add(outcome, spans, Instant::now());
    }

    /// Reports why spans aren't exported; `None` if they are.
    fn report(&mut self, failure: Option<String>) {
        match self.reports.line(failure.as_deref(), Instant::now()) {
            Some(Line::NotExported) => tracing::warn!(error = failure, "spans not exported"),
            Some(Line::ExportedAgain) => tracing::info!("spans exported again"),
            None => {}
        }
        self.outcomes.set_failure(failure);
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

impl Reports {
    /// What is logged now: a failure once until it ends, and at most one in a while; its end, if it was logged.
    fn line(&mut self, failure: Option<&str>, now: Instant) -> Option<Line> {
        let Some(cause) = failure else { return self.known.take().map(|_| Line::ExportedAgain) };
        let is_early = self.at.is_some_and(|at| now.saturating_duration_since(at) < REPORT_INTERVAL);
        if is_early || self.known.as_deref() == Some(cause) {
            return None;
        }
        (self.known, self.at) = (Some(cause.to_owned()), Some(now));
        Some(Line::NotExported)
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
    outcomes: SpanOutcomes,
    count: u64,
}

impl Lost {
    fn not(mut self) {
        self.count = 0;
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        self.outcomes.add(SHUTDOWN, self.count, Instant::now());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collector_that_fails_again_and_again_is_logged_once_a_minute() {
        let (begun, mut reports) = (Instant::now(), Reports::default());
        let mut lines =
            |seconds: u64, failure: Option<&str>| reports.line(failure, begun + Duration::from_secs(seconds));
        assert_eq!(lines(0, None), None);
        assert_eq!(lines(0, Some("a")), Some(Line::NotExported));
        assert_eq!(lines(1, Some("a")), None);
        assert_eq!(lines(2, None), Some(Line::ExportedAgain));
        // It comes and goes, each time with another failure.
        for (second, cause) in (3..60).zip("abc".chars().cycle()) {
            assert_eq!((lines(second, Some(&cause.to_string())), lines(second, None)), (None, None));
        }
        assert_eq!(lines(60, Some("b")), Some(Line::NotExported));
        // A failure that lasts isn't repeated, and one that begins meanwhile is logged later.
        assert_eq!((lines(61, Some("c")), lines(600, Some("b"))), (None, None));
        assert_eq!(lines(601, Some("c")), Some(Line::NotExported));
        assert_eq!(lines(602, None), Some(Line::ExportedAgain));
    }
}
