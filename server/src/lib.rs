//! The Sealward server: transport, authentication, permissions, rpcs, and the storage of records and keys.
//!
//! `sealward-core` has the rules for records and keys. Only the module `app` knows both rpcs and stores: it opens the stores of
//! `sealward-store`.

pub mod app;
mod audit;
mod background;
pub mod backup;
mod bounds;
pub mod call;
mod certificates;
pub mod check;
pub mod config;
pub mod descriptors;
pub mod development;
pub mod drain;
pub mod error_chain;
mod facts;
mod files;
mod finding;
mod foreign_text;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gates;
mod hop;
mod identity;
pub mod init;
mod ports;
pub mod reference;
pub mod reload;
mod root_key;
mod rpc;
pub mod schema;
mod spread;
mod status;
mod telemetry;
mod transport;
pub mod version;
mod workload_api;
