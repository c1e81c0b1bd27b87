//! Counters with a fixed list of names, such as the limits or the causes of a refusal.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A counter for each name. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Counters(Arc<[(&'static str, AtomicU64)]>);

impl Counters {
    /// Counters at zero.
    pub(crate) fn new(names: impl IntoIterator<Item = &'static str>) -> Self {
        Self(names.into_iter().map(|name| (name, AtomicU64::new(0))).collect())
    }

    /// Adds to the counter of this name.
    pub(crate) fn add(&self, name: &str, count: u64) {
        let found = self.0.iter().find(|(other, _)| *other == name);
        debug_assert!(found.is_some(), "{name} has no counter");
        if let Some((_, counter)) = found {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Each name with its count, in the order of the list.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(name, counter)| (*name, counter.load(Ordering::Relaxed)))
    }

    /// The count of this name.
    #[cfg(test)]
    pub(crate) fn of(&self, name: &str) -> u64 {
        self.all().find(|(other, _)| *other == name).map_or(0, |(_, count)| count)
    }
}
