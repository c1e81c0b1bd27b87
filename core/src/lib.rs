//! The core of Sealward: cryptography, domain rules and use cases.
//!
//! This crate makes the decisions and awaits only ports. It doesn't depend on a wire format, a runtime, a database or a
//! clock. Code that spawns, sleeps, blocks or watches belongs to the server. A test checks this in the manifest.
#![warn(missing_docs)]

pub mod audit;
pub mod catalog;
pub(crate) mod cells;
pub mod census;
pub(crate) mod concurrent;
pub mod configuration;
pub mod crypto;
pub mod deployment;
pub mod fail_point;
pub mod filter;
pub mod formats;
pub mod id;
pub mod identity;
pub mod key;
pub mod layout;
pub mod list;
pub mod mail;
pub mod mask;
pub mod metadata;
pub mod name;
pub mod order;
pub mod organization;
pub mod permit;
pub mod policy;
pub mod port;
pub mod privilege;
pub mod random;
pub mod record;
pub mod schema;
pub mod store;
pub mod table;
pub mod text;
pub mod ticket;
pub mod violation;
