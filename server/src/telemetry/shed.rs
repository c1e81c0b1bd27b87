//! Counts refusals by the name of the limit in `[limits]`, for the log and for scrapers.
//!
//! This module refuses nothing: the code that applies a bound counts its refusals here.

use super::counters::Counters;
use crate::config::limits::LIMITS;

/// The counters of a server, shared by all code that applies a bound.
#[derive(Clone, Debug)]
pub(crate) struct Shed(Counters);

impl Default for Shed {
    fn default() -> Self {
        Self(Counters::new(LIMITS.iter().map(|limit| limit.name)))
    }
}

impl Shed {
    /// Counts a call, a connection or a message that this bound turned away.
    pub(crate) fn count(&self, bound: &'static str) {
        self.count_many(bound, 1);
    }

    /// Counts several refusals by this bound.
    pub(crate) fn count_many(&self, bound: &'static str, refused: u64) {
        self.0.add(bound, refused);
    }

    /// The bounds that refused something, each with its number of refusals.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.all().filter(|(_, refused)| *refused > 0)
    }

    /// The number of refusals by this bound.
    #[cfg(test)]
    pub(crate) fn refused_by(&self, bound: &'static str) -> u64 {
        self.0.of(bound)
    }
}
