//! Telemetry: metrics, samples of refusals for the log, refusals counted by bound, and lost log lines.

pub(crate) mod log_queue;
pub(crate) mod metrics;
pub(crate) mod samples;
pub(crate) mod shed;
