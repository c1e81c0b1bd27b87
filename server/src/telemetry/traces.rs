//! Traces of calls, for an OpenTelemetry collector. Off unless a collector is configured.
//!
//! A call is sampled before anything of a span exists, so that a call that isn't costs a look at its id. A recorded call has a
//! [`Recording`](span::Recording), which its tasks reach through [`current`]. Ended spans go into a bounded queue, from which the
//! [`exporter`] sends them: a call never waits for the collector. [`table`] has all spans and attributes.
//!
//! Spans are made here and not by the SDK of OpenTelemetry: it builds each span with several allocations and an id from a thread-local
//! generator, its batches run on a thread of their own that reports drops only to the log, and its messages bring second versions of crates
//! into the server. The messages of OTLP are stable and few.

pub(crate) mod collector;
pub(crate) mod context;
pub(crate) mod current;
pub(crate) mod documents;
mod ended;
mod exporter;
mod headers;
mod otlp;
mod outcomes;
pub(crate) mod ports;
mod queue;
mod sampler;
pub(crate) mod span;
pub(crate) mod table;

use std::{sync::Arc, time::Instant};

use sealward_core::{
    identity::Identity,
    port::Clock,
    random::{self, Random},
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

pub(crate) use self::collector::CollectorError;
use self::{
    context::{Parent, TraceId},
    exporter::Exporter,
    queue::Queue,
    sampler::Sampler,
    span::{Beginning, Recording},
};
pub(crate) use self::{exporter::Exporting, outcomes::SpanOutcomes};
use crate::{
    certificates::Certificate,
    config::{self, limits::Limits},
    telemetry::shed::Shed,
};

/// Decides which calls are recorded. Clones share the state.
#[derive(Clone, Default)]
pub(crate) struct Traces(Option<Arc<On>>);

struct On {
    sampler: Sampler,
    queue: Queue,
    spans_max: u32,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// What a start of traces creates.
pub(crate) struct Started {
    pub(crate) traces: Traces,
    pub(crate) exporting: Exporting,
    /// The certificates of the settings, for reports.
    pub(crate) certificates: Vec<Certificate>,
}

/// A call that may be recorded.
pub(crate) struct Call<'a> {
    pub(crate) caller: &'a Arc<Identity>,
    pub(crate) id: &'a Arc<str>,
    /// The same id as a number. It is random.
    pub(crate) uuid: Uuid,
    pub(crate) begun: Instant,
    pub(crate) parent: Option<Parent>,
}

impl Traces {
    /// Starts to export to the configured collector; without one, nothing is traced. `outcomes` counts the spans.
    ///
    /// # Errors
    /// [`CollectorError`] if a file of the settings can't be used.
    pub(crate) async fn start(
        settings: Option<&config::Traces>,
        limits: &Limits,
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
        outcomes: SpanOutcomes,
        shed: &Shed,
    ) -> Result<Started, CollectorError> {
        let Some(settings) = settings.cloned() else {
            return Ok(Started { traces: Self::default(), exporting: Exporting::none(), certificates: Vec::new() });
        };
        let checked = settings.clone();
        // An aborted check counts as passed: the first request to the collector reads the files again.
        let certificates = spawn_blocking(move || collector::check(&checked)).await.unwrap_or(Ok(Vec::new()))?;
        let (spans_max, batch_max) = (limits.trace_queue_max_spans, limits.trace_batch_max_spans);
        let (queue, spans) = queue::queue(spans_max, batch_max, outcomes.clone(), shed.clone());
        let instance = uuid::Builder::from_random_bytes(random::bytes(&*random)).into_uuid();
        let exporting = Exporter::new(settings, *limits, instance, outcomes).start(spans);
        let sampler = Sampler::new(limits, shed.clone());
        let on = On { sampler, queue, spans_max: limits.trace_spans_per_call_max, clock, random };
        Ok(Started { traces: Self(Some(Arc::new(on))), exporting, certificates })
    }

    /// Whether there is a collector.
    pub(crate) fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins to record a call, if it is sampled. A call without a parent begins a trace, whose id is that of the call.
    pub(crate) fn begin(&self, call: Call<'_>) -> Option<Arc<Recording>> {
        let on = self.0.as_ref()?;
        if !on.sampler.samples(call.caller, call.parent.as_ref(), call.uuid) {
            return None;
        }
        let elapsed = call.begun.elapsed().as_nanos();
        let now = i128::from(on.clock.now().unix_micros()) * 1_000;
        let begun_unix_nanos = u64::try_from(now - i128::try_from(elapsed).unwrap_or(0)).unwrap_or(0);
        let beginning = Beginning {
            trace: call.parent.as_ref().map_or(TraceId::new(*call.uuid.as_bytes()), |parent| parent.trace),
            parent: call.parent.map(|parent| parent.span),
            first_id: u64::from_be_bytes(random::bytes(&*on.random)),
            call_id: Arc::clone(call.id),
            begun: call.begun,
            begun_unix_nanos,
        };
        Some(Recording::begin(beginning, on.queue.clone(), on.spans_max))
    }
}
