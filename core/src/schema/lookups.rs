//! The reads of single records of an entity, each prepared at its first use.
//!
//! The names of the columns and the statement of a store are then built once instead of for each read. This file doesn't
//! know which columns a read needs.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use crate::store::Lookup;

/// The prepared reads of an entity. A copy of the entity begins without any.
#[derive(Debug, Default)]
pub struct Lookups {
    all_fields: OnceLock<Arc<Lookup>>,
    others: RwLock<HashMap<Wanted, Arc<Lookup>>>,
}

/// The part of a record that a read returns, and the indexes of the attributes.
type Wanted = (Part, Vec<usize>);

/// The part of a record that a read returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// The columns of every record, and those of some attributes.
    Fields,
    /// Only the columns of some attributes.
    Attributes,
}

impl Lookups {
    /// Returns the read of all fields. `prepare` creates it.
    pub(crate) fn all_fields(&self, prepare: impl FnOnce() -> Lookup) -> &Arc<Lookup> {
        self.all_fields.get_or_init(|| Arc::new(prepare()))
    }

    /// Returns the read of this part with the attributes of these indexes. `prepare` creates it.
    pub(crate) fn of(&self, part: Part, attributes: Vec<usize>, prepare: impl FnOnce() -> Lookup) -> Arc<Lookup> {
        let wanted = (part, attributes);
        if let Some(lookup) = self.others.read().unwrap_or_else(PoisonError::into_inner).get(&wanted) {
            return Arc::clone(lookup);
        }
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        // Callers choose the attributes.
        if others.len() >= OTHERS_MAX {
            others.clear();
        }
        Arc::clone(others.entry(wanted).or_insert_with(|| Arc::new(prepare())))
    }
}

impl Clone for Lookups {
    fn clone(&self) -> Self {
        Lookups::default()
    }
}

/// The maximum number of prepared reads of an entity, except that of all fields. Programs use a few masks each.
const OTHERS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_of_the_same_columns_are_prepared_once_and_within_a_limit() {
        let lookups = Lookups::default();
        let lookup = || Lookup::new("t".into(), Vec::new(), "id".into());
        let fields = lookups.of(Part::Fields, vec![1, 2], lookup).id();
        assert_eq!(lookups.of(Part::Fields, vec![1, 2], lookup).id(), fields);
        assert_ne!(lookups.of(Part::Fields, vec![2, 1], lookup).id(), fields);
        assert_ne!(lookups.of(Part::Attributes, vec![1, 2], lookup).id(), fields);
        assert_ne!(lookups.all_fields(lookup).id(), fields);
        assert_eq!(lookups.all_fields(lookup).id(), lookups.all_fields(lookup).id());
        for number in 0..2 * OTHERS_MAX {
            lookups.of(Part::Fields, vec![number], lookup);
            assert!(lookups.others.read().unwrap().len() <= OTHERS_MAX);
        }
    }
}
