//! Records: their content and checks, the parts that every write shares, and the use cases create, get, list, update, delete, reveal and
//! compare.
//!
//! All go by the schema as the organization has it; none knows an entity. Encrypted attributes come in as [`Given::Secret`], are sealed
//! before they reach a store, and leave only through [`reveal`] and what an application builds on it.

pub mod check;
pub mod compare;
pub(crate) mod content;
pub mod create;
pub mod delete;
pub(crate) mod error;
pub mod get;
pub mod idempotency;
pub mod list;
pub(crate) mod mode;
pub(crate) mod place;
pub(crate) mod plan;
pub mod reveal;
pub(crate) mod row;
pub mod rules;
pub(crate) mod seal;
mod secret_writes;
pub mod update;

pub use content::{Draft, Given, Record, Touched, given_text};
pub use error::RecordError;
pub use mode::Mode;
pub use place::RecordPlace;
