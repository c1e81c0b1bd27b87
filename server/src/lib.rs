//! The Sealward server: how calls come in, who may make them, and where records and keys are kept.
//!
//! What is done with them is decided in `sealward-core`. rpc and store meet in one module only: `app`, which opens the stores of
//! `sealward-store`.

pub mod app;
mod audit;
mod background;
pub mod backup;
mod bounds;
pub mod check;
pub mod config;
pub mod development;
pub mod drain;
mod error_chain;
mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gates;
mod identity;
pub mod init;
mod ports;
pub mod reference;
pub mod reload;
mod root_key;
mod rpc;
pub mod schema;
mod status;
mod telemetry;
mod transport;
pub mod version;
