//! Organizations: their rows, the state of open organizations in memory, and the use cases create, open, export, import
//! and delete.

pub mod create;
pub mod delete;
pub(crate) mod encryption_facts;
pub mod export;
pub(crate) mod handle;
pub mod import;
pub(crate) mod key_text;
pub(crate) mod keys;
mod load;
pub mod open;
pub(crate) mod pace;
pub(crate) mod pending;
pub mod ring_rows;
pub mod row;
pub mod seen;
pub mod work;

pub use handle::Organization;
pub use keys::{KeyFacts, Keys, Obstacle};
