//! Telemetry: metrics and what they count, traces of calls, samples of refusals for the log, refusals counted by bound, and lost log lines.

pub(crate) mod calls;
pub(crate) mod counters;
pub(crate) mod histogram;
pub(crate) mod log_queue;
pub(crate) mod metrics;
pub(crate) mod samples;
pub(crate) mod shed;
pub(crate) mod traces;
pub(crate) mod transactions;
