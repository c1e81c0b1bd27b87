//! Headers in which proxies forward facts about a caller.
//!
//! Only the gates for TLS and identity read them, and only those of hops. They are removed from every call, so that nothing behind the gates
//! can. From anywhere else than a hop, they may be forged: they are counted and logged.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::{HeaderMap, HeaderName};

use crate::{
    telemetry::samples::{Kind, Samples, Who},
    transport::connection::Connection,
};

/// The beginnings of their names.
const PREFIXES: [&str; 10] = [
    "forwarded",
    "x-forwarded-",
    "x-client-cert",
    "x-real-ip",
    "x-remote-user",
    "x-spiffe-id",
    "x-ssl-",
    "ssl-client-",
    "client-cert",
    "l5d-client-id",
];

/// Counts and logs calls with such headers that don't come from a hop.
#[derive(Clone)]
pub(crate) struct ForgedHeaders {
    calls: Arc<AtomicU64>,
    samples: Samples,
}

impl ForgedHeaders {
    pub(crate) fn new(samples: Samples) -> Self {
        Self { calls: Arc::default(), samples }
    }

    /// The number of calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Reports a call with a header whose name begins like this.
    pub(super) fn report(&self, connection: Option<&Connection>, beginning: &'static str) {
        const EVENT: &str = "header of a proxy removed";
        self.calls.fetch_add(1, Ordering::Relaxed);
        let peer = connection.map(|connection| &connection.peer);
        let who = peer.and_then(|peer| peer.ip()).map_or(Who::Unknown, Who::Address);
        if self.samples.is_first(Kind { who, event: EVENT, reason: beginning.into() }) {
            tracing::info!(
                peer = peer.map(tracing::field::display),
                header = beginning,
                "{EVENT}: its sender isn't a hop"
            );
        }
    }
}

/// Removes these headers. Returns the beginning of the name of one of them, if there were any.
pub(super) fn remove(headers: &mut HeaderMap) -> Option<&'static str> {
    let found: Vec<(HeaderName, &'static str)> =
        headers.keys().filter_map(|name| Some((name.clone(), beginning(name.as_str())?))).collect();
    for (name, _) in &found {
        headers.remove(name);
    }
    found.first().map(|(_, beginning)| *beginning)
}

fn beginning(name: &str) -> Option<&'static str> {
    // The first characters exclude most headers.
    let may_be = matches!(name.as_bytes(), [b'c' | b'f' | b'l' | b's' | b'x', ..]);
    PREFIXES.into_iter().find(|beginning| may_be && name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_proxies_are_removed_with_all_their_values_and_others_kept() {
        let names = [
            "forwarded",
            "x-forwarded-client-cert",
            "x-forwarded-for",
            "x-forwarded-proto",
            "ssl-client-verify",
            "client-cert-chain",
            "l5d-client-id",
        ];
        let kept = ["grpc-timeout", "authorization", "te", "x-request-id", "content-type", "sealward-client"];
        let mut headers = HeaderMap::new();
        for name in names.iter().chain(&names).chain(&kept) {
            headers.append(HeaderName::from_static(name), "x".parse().unwrap());
        }
        assert_eq!(remove(&mut headers), Some("forwarded"));
        assert_eq!(headers.len(), kept.len());
        assert!(kept.iter().all(|name| headers.contains_key(*name)));
        assert_eq!(remove(&mut headers), None);
    }
}
