//! Counts calls by rpc: those in flight, the ended ones by code, and their durations.
//!
//! Every call passes here, so a call costs a few additions to atomics. The rows are created at the start: one for each served rpc, one for
//! health, and one for all other methods, so that no caller can add a row.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tonic::Code;

use super::histogram::{Buckets, DURATIONS, Histogram};

/// The number of codes of gRPC.
const CODES: usize = 17;

/// The codes, as the contract of gRPC names them.
const CODE_NAMES: [&str; CODES] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The codes of failures of the server. Their counts are reported even at zero, so that the first failure is an increase.
const FAILURES: [&str; 4] = ["UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// The names of the two last rows.
const HEALTH: &str = "grpc.health.v1.Health";
const OTHER: &str = "other";

/// The name of a code, as the contract of gRPC has it.
pub(crate) fn code_name(code: Code) -> &'static str {
    let name = usize::try_from(i32::from(code)).ok().and_then(|code| CODE_NAMES.get(code));
    name.copied().unwrap_or("UNKNOWN")
}

/// The calls of a server. Clones share the counters.
#[derive(Clone, Debug)]
pub(crate) struct Calls(Arc<[OfRpc]>);

/// The calls of one rpc.
#[derive(Debug)]
pub(crate) struct OfRpc {
    rpc: String,
    in_flight: AtomicI64,
    by_code: [AtomicU64; CODES],
    durations: Histogram,
}

/// The method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// A served rpc, by its place in the list of all.
    Rpc(usize),
    /// A health check.
    Health,
    /// Any other.
    Other,
}

impl Calls {
    /// Counters for the rpcs with these paths, in the order of their places.
    pub(crate) fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let names = paths.into_iter().map(|path| path.trim_start_matches('/')).chain([HEALTH, OTHER]);
        let row = |rpc: &str| OfRpc {
            rpc: rpc.to_owned(),
            in_flight: AtomicI64::new(0),
            by_code: Default::default(),
            durations: Histogram::new(DURATIONS),
        };
        Self(names.map(row).collect())
    }

    /// Counts a call that begins.
    pub(crate) fn begin(&self, method: Method) {
        if let Some(row) = self.row(method) {
            row.in_flight.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a call that ends.
    pub(crate) fn end(&self, method: Method, code: Code, duration: Duration) {
        let Some(row) = self.row(method) else { return };
        row.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = usize::try_from(i32::from(code)).ok().and_then(|code| row.by_code.get(code)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        row.durations.observe_duration(duration);
    }

    /// The name of a served method; `None` for health and all others.
    pub(crate) fn rpc(&self, method: Method) -> Option<&str> {
        match method {
            Method::Rpc(_) => Some(self.row(method)?.rpc()),
            Method::Health | Method::Other => None,
        }
    }

    /// All rows, in the order of their places.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &OfRpc> {
        self.0.iter()
    }

    fn row(&self, method: Method) -> Option<&OfRpc> {
        let rpcs = self.0.len().saturating_sub(2);
        self.0.get(match method {
            Method::Rpc(place) if place < rpcs => place,
            Method::Health => rpcs,
            Method::Rpc(_) | Method::Other => rpcs.saturating_add(1),
        })
    }
}

impl OfRpc {
    /// The name, such as `sealward.v1.AccessService/WhoAmI`.
    pub(crate) fn rpc(&self) -> &str {
        &self.rpc
    }

    /// The number of calls in flight.
    pub(crate) fn in_flight(&self) -> i64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The numbers of ended calls, by the codes that occurred and those of failures.
    pub(crate) fn by_code(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.by_code.iter().map(|count| count.load(Ordering::Relaxed));
        CODE_NAMES.into_iter().zip(counts).filter(|(code, count)| *count > 0 || FAILURES.contains(code))
    }

    /// Whether it was ever called.
    pub(crate) fn was_called(&self) -> bool {
        self.in_flight() > 0 || self.by_code().any(|(_, count)| count > 0)
    }

    /// The name, the calls in flight, and the codes that occurred.
    #[cfg(test)]
    pub(crate) fn counted(&self) -> (&str, i64, Vec<(&'static str, u64)>) {
        (&self.rpc, self.in_flight(), self.by_code().filter(|(_, count)| *count > 0).collect())
    }

    /// The durations of ended calls.
    pub(crate) fn durations(&self) -> Buckets {
        self.durations.buckets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_name() {
        for (code, name) in (0..).zip(CODE_NAMES) {
            let code = Code::from_i32(code);
            let expected: String = format!("{code:?}")
                .chars()
                .enumerate()
                .flat_map(|(at, letter)| (at > 0 && letter.is_uppercase()).then_some('_').into_iter().chain([letter]))
                .collect();
            assert_eq!(if code == Code::Ok { "OK".to_owned() } else { expected.to_uppercase() }, name);
            assert_eq!(code_name(code), name);
        }
    }

    #[test]
    fn calls_are_counted_by_method_and_code() {
        let calls = Calls::new(["/a.B/C", "/a.B/D"]);
        assert!(!calls.rows().any(OfRpc::was_called));
        let failures: Vec<_> = calls.rows().next().unwrap().by_code().collect();
        assert_eq!(failures, FAILURES.map(|code| (code, 0)));
        for (method, code) in
            [(Method::Rpc(1), Code::Ok), (Method::Health, Code::Ok), (Method::Other, Code::Unimplemented)]
        {
            calls.begin(method);
            calls.begin(method);
            calls.end(method, code, Duration::from_micros(40));
        }
        calls.end(Method::Rpc(1), Code::Cancelled, Duration::from_secs(60));
        let rows: Vec<_> = calls.rows().filter(|row| row.was_called()).map(OfRpc::counted).collect();
        assert_eq!(
            rows,
            [
                ("a.B/D", 0, vec![("OK", 1), ("CANCELLED", 1)]),
                (HEALTH, 1, vec![("OK", 1)]),
                (OTHER, 1, vec![("UNIMPLEMENTED", 1)]),
            ]
        );
        let durations = calls.rows().nth(1).unwrap().durations();
        assert_eq!((durations.count(), durations.sum), (2, 60.000_04));
    }

    #[test]
    fn place_beyond_the_list_adds_no_row() {
        let calls = Calls::new([]);
        calls.begin(Method::Rpc(7));
        let called: Vec<_> = calls.rows().filter(|row| row.was_called()).map(OfRpc::rpc).collect();
        assert_eq!(called, [OTHER]);
    }
}
