//! Records: their content and checks, the common parts of all writes, and the use cases create, get, list, update,
//! delete, import, reveal and compare. A single write is a batch of one.
//!
//! All of them use the schema of the organization, and none knows a specific entity. Encrypted attributes arrive as
//! [`Given::Secret`] and are sealed before they reach a store. They are opened only by [`reveal`], [`compare`] and
//! applications built on them.

pub mod check;
pub mod compare;
pub(crate) mod content;
pub mod create;
pub mod delete;
pub(crate) mod error;
pub mod get;
pub mod idempotency;
pub mod import;
pub mod list;
pub(crate) mod mode;
pub(crate) mod place;
pub(crate) mod plan;
pub mod reveal;
pub(crate) mod row;
pub(crate) mod row_content;
pub mod rules;
pub(crate) mod seal;
mod secret_writes;
mod size;
mod turns;
pub mod update;

pub use content::{Draft, Given, Record, RecordContent, Touched, given_text};
pub use error::RecordError;
pub use mode::Mode;
pub use place::RecordPlace;
pub use row_content::RowContent;
