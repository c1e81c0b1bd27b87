//! Sealward's heart: cryptography, domain rules and use cases.
//!
//! This crate decides, and awaits ports only. It knows no wire format, no runtime, no database and no clock of its own; what
//! spawns, sleeps, blocks or watches lives in the server. Its manifest keeps that promise, and a test reads the manifest.
#![warn(missing_docs)]

pub mod audit;
pub mod catalog;
pub mod census;
pub mod configuration;
pub mod crypto;
pub mod deployment;
pub mod fail_point;
pub mod filter;
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
pub mod violation;
