//! Counts refusals by the name of the limit in `[limits]`, for the log and for scrapers.
//!
//! This module refuses nothing: the code that applies a bound counts its refusals here.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

use crate::config::limits::is_limit;

/// The counters of a server, shared by all code that applies a bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shed {
    refused: Family<OfBound, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfBound {
    bound: &'static str,
}

impl Shed {
    /// Counts a call, a connection or a message that this bound turned away.
    pub(crate) fn count(&self, bound: &'static str) {
        self.count_many(bound, 1);
    }

    /// Counts several refusals by this bound.
    pub(crate) fn count_many(&self, bound: &'static str, refused: u64) {
        debug_assert!(is_limit(bound), "{bound} is not a limit");
        self.refused.get_or_create(&OfBound { bound }).inc_by(refused);
    }

    /// The counters, by bound.
    pub(crate) fn refused(&self) -> Family<OfBound, Counter> {
        self.refused.clone()
    }

    /// The number of refusals by this bound.
    #[cfg(test)]
    pub(crate) fn refused_by(&self, bound: &'static str) -> u64 {
        self.refused.get_or_create(&OfBound { bound }).get()
    }
}
