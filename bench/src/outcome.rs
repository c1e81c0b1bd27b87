//! The result of a step.

/// The result of a step. The error is text for the person who runs the bench.
pub(crate) type Outcome<T> = Result<T, String>;
