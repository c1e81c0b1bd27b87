//! Filters: text that selects records of an entity.
//!
//! The language is the part of AIP-160 that records need; docs/filter.md describes it for users. Parsing checks a
//! filter against the types of its entity, so any store can evaluate it. A filter has one meaning in two forms: a
//! [`Condition`](crate::store::Condition) for a store, and an [evaluation in memory](Filter::holds) for rules.
//!
//! A comparison with null is false, including `!=`. NOT is plain negation: a record matches either a filter or its
//! negation. Parsing is total: any text gives a filter, or an error with a position and a remedy. This module doesn't
//! know the purpose of a filter.
//!
//! The schema contains rules, and rules contain filters. Therefore [`expression`](Filter) and [`error`](FilterError)
//! are below the schema, and the parser is above it.

pub(crate) mod error;
pub(crate) mod expression;
pub(crate) mod parser;
mod term;
mod time;
mod token;

#[cfg(test)]
mod tests;

pub use error::{FilterError, FilterProblem};
pub use expression::{Field, Filter};
pub use parser::{Bounds, COMPARISONS_MAX};
