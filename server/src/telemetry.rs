//! What the log and the metrics report of the server: samples of refusals, counts by bound, lines that were lost.

pub(crate) mod log_queue;
pub(crate) mod metrics;
pub(crate) mod samples;
pub(crate) mod shed;
