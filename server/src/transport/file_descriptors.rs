//! File descriptors: the number that this process may open, and the number that it needs when every limit of the configuration is reached.
//!
//! A server that runs out of them can't accept connections or open databases.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    config::{Config, HopEntrance},
    finding::Finding,
    transport::{connection_limit::Bounds, workers},
};

/// The number for an open database of an organization: the file, its log and its index, for the writer and each reader.
const PER_DATABASE: u64 = 12;

/// The number for a worker: its runtime's queue of events, two names of that, and the end of signals.
const PER_WORKER: u64 = 4;

/// The number for everything except connections, workers and databases: the server's runtime, the configuration database, logs, files that are read.
const BASE: u64 = 64;

/// The finding that there are too few for the limits of this configuration.
pub(crate) fn finding(config: &Config) -> Option<Finding> {
    let (needed, available) = (needed(config), available()?);
    let problem = format!(
        "connections and databases may need {needed} file descriptors, but this process may open only {available}"
    );
    let remedy =
        "raise the hard limit (LimitNOFILE=, ulimit -Hn), or lower limits.connections_max or limits.databases_open_max";
    (available < needed).then(|| Finding::warning("limits", problem, remedy))
}

/// The number that this process may open after [`raise`]; `None` is unlimited.
fn available() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Raises the soft limit to the hard limit, which every process may do. Most systems start programs with a soft limit of 1024, for
/// compatibility with old programs.
pub(crate) fn raise() -> Option<u64> {
    let before = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum }) {
        Ok(()) => before.maximum,
        // An unlimited hard limit can be more than the system allows. Then the soft limit stays.
        Err(_) => before.current,
    }
}

/// The number that the limits of this configuration need.
pub(crate) fn needed(config: &Config) -> u64 {
    let limits = &config.limits;
    let load_balancers = if config.listen.proxy_protocol_from.is_empty() { 0 } else { limits.connections_max };
    let listeners = 1 + u64::from(config.listen.plaintext_address.is_some());
    let is_socket = |entrance: &HopEntrance| matches!(entrance, HopEntrance::UnixSocket { .. });
    let sockets = config.hops.iter().filter(|hop| is_socket(&hop.entrance)).count();
    let sockets = u64::try_from(sockets).unwrap_or(u64::MAX);
    let metrics = if config.listen.metrics_address.is_some() { limits.metrics_connections_max } else { 0 };
    [
        listeners * Bounds::of(limits).connections_max(),
        sockets.saturating_mul(Bounds::of_hop(limits).connections_max()),
        metrics.into(),
        load_balancers.into(),
        u64::from(limits.databases_open_max) * PER_DATABASE,
        of_workers(),
        BASE,
    ]
    .iter()
    .sum()
}

fn of_workers() -> u64 {
    u64::try_from(workers::count()).unwrap_or(u64::MAX).saturating_mul(PER_WORKER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::limits::Limits, transport::test_deployment::TestDeployment};

    #[test]
    fn every_limit_adds_file_descriptors() {
        let mut config = TestDeployment::new().config;
        config.listen.plaintext_address = None;
        config.listen.metrics_address = None;
        config.limits = Limits { connections_max: 100, databases_open_max: 10, ..Limits::default() };
        let base = needed(&config);
        // The connections, those that are about to be refused, the databases, the workers and the base number.
        assert_eq!(base, 100 + 32 + 120 + of_workers() + 64);
        config.listen.plaintext_address = Some("127.0.0.1:0".parse().unwrap());
        assert_eq!(needed(&config), base + 132);
        config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
        assert_eq!(needed(&config), base + 132 + u64::from(config.limits.metrics_connections_max));
    }

    #[test]
    fn soft_limit_is_raised_to_the_hard_limit() {
        assert_eq!(raise(), available());
        assert_eq!(getrlimit(Resource::Nofile).current, available());
    }
}
