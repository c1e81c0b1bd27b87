//! Filters: which records of an entity, as a text.
//!
//! The language is that of AIP-160, as far as records need it; docs/filter.md describes it for users. A filter is typed against its entity
//! when it is parsed, so that any store and any record can be asked for it. It has one meaning in two forms: as a
//! [`Condition`](crate::store::Condition) for a store, and [in memory](Filter::holds), for rules.
//!
//! A comparison with a null is false, `!=` too, and NOT is the plain negation: a record meets a filter or its negation. Parsing is
//! total: any text gives a filter or an error that says where and what to do. Nothing here knows what a filter is for.
//!
//! The schema contains rules, which contain filters: so [`expression`](Filter) and [`error`](FilterError) are below the schema, and the
//! parser is above it.

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
pub use parser::{Bounds, COMPARISONS_MAX, DEPTH_MAX, LENGTH_MAX};
