//! The reports of a server in the log and in metrics, apart from its calls.

use std::sync::Arc;

use sealward_core::deployment::Deployment;

use crate::{
    background::key_change_reminder,
    config::limits::Limits,
    drain::Drain,
    gates::{forwarded::ForgedHeaders, permission::RpcTable, trace::TraceLayer},
    ports::{clock::SystemClock, random::SystemRandom},
    telemetry::{
        counters::Counters,
        metrics::{Metrics, Shared, Sources},
        samples::Samples,
        shed::Shed,
        traces::Traces,
    },
    transport::{
        handshake::{self, Handshakes},
        probe::Readiness,
    },
};

/// The observers of calls and handshakes.
pub(super) struct Observation {
    /// Samples refusals for the log.
    pub(super) samples: Samples,
    /// Logs and counts calls.
    pub(super) trace: TraceLayer,
    /// Decides which calls are recorded for a collector.
    pub(super) traces: Traces,
    /// Counts and logs forged headers of proxies.
    pub(super) forged: ForgedHeaders,
    /// Performs handshakes, and counts refused ones.
    pub(super) handshakes: Handshakes,
    /// The refused ones.
    pub(super) refused_handshakes: Counters,
}

/// Starts the reports in the log.
pub(super) fn observe(
    deployment: &Arc<Deployment>,
    rpcs: &Arc<RpcTable>,
    traces: Traces,
    limits: &Limits,
    (drain, shed): (&Drain, &Shed),
) -> Observation {
    drain.spawn(key_change_reminder::keep_reporting(Arc::clone(deployment), drain.clone()));
    let samples = Samples::new(limits.refusal_log_lines_per_minute, shed.clone());
    drain.spawn(samples.clone().keep_reporting(drain.clone()));
    let trace = TraceLayer::new(Arc::new(SystemClock), Arc::new(SystemRandom), samples.clone(), Arc::clone(rpcs));
    let refused_handshakes = handshake::refused();
    let handshakes = Handshakes::new(refused_handshakes.clone(), samples.clone(), trace.clone());
    let forged = ForgedHeaders::new(samples.clone());
    Observation { samples, trace, traces, forged, handshakes, refused_handshakes }
}

impl Observation {
    /// Serves metrics, if an address is configured.
    pub(super) fn serve_metrics(
        &self,
        metrics: Option<Metrics>,
        sources: Sources,
        readiness: Readiness,
        drain: &Drain,
    ) {
        let Some(metrics) = metrics else { return };
        let (handshakes, samples) = (self.handshakes.clone(), self.samples.clone());
        let shared = Shared { handshakes, samples, readiness, drain: drain.clone() };
        drain.spawn(metrics.serve(sources, shared));
    }
}
