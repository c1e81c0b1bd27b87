//! The reports of a server in the log and in metrics, apart from its calls.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use sealward_core::deployment::Deployment;

use super::reloadable::Reloadable;
use crate::{
    audit::copy::CopyHandle,
    background::key_change_reminder,
    config::limits::Limits,
    drain::Drain,
    gates::{forwarded::ForgedHeaders, trace::TraceLayer},
    ports::{clock::SystemClock, random::SystemRandom},
    telemetry::{
        metrics::{Counted, Metrics},
        samples::Samples,
        shed::Shed,
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
    /// Logs calls.
    pub(super) trace: TraceLayer,
    /// Counts and logs forged headers of proxies.
    pub(super) forged: ForgedHeaders,
    /// Performs handshakes, and counts refused ones.
    pub(super) handshakes: Handshakes,
}

/// Starts the reports in the log, and serves metrics.
pub(super) fn observe(
    deployment: &Arc<Deployment>,
    metrics: Option<(Metrics, Readiness)>,
    audit_copy: &CopyHandle,
    reloadable: &Reloadable,
    limits: &Limits,
    (drain, shed): (&Drain, &Shed),
) -> Observation {
    drain.spawn(key_change_reminder::keep_reporting(Arc::clone(deployment), drain.clone()));
    let samples = Samples::new(limits.refusal_log_lines_per_minute, shed.clone());
    drain.spawn(samples.clone().keep_reporting(drain.clone()));
    let trace = TraceLayer::new(Arc::new(SystemClock), Arc::new(SystemRandom), samples.clone());
    let refused_handshakes = handshake::Refused::default();
    let handshakes = Handshakes::new(refused_handshakes.clone(), samples.clone(), trace.clone());
    let forged_headers = Counter::default();
    let forged = ForgedHeaders::new(forged_headers.clone(), samples.clone());
    if let Some((metrics, readiness)) = metrics {
        let counted = Counted { shed: shed.clone(), refused_handshakes, forged_headers };
        let scraped = (Arc::clone(deployment), audit_copy.clone(), counted, reloadable.trust());
        drain.spawn(metrics.serve(scraped, readiness, *limits, drain.clone()));
    }
    Observation { samples, trace, forged, handshakes }
}
