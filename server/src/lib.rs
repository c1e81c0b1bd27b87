//! The Sealward server: how calls come in, who may make them, and where records and keys are kept.
//!
//! What is done with them is decided in `sealward-core`. rpc and store meet in one module only: `app`, which opens the stores of
//! `sealward-store`.

pub mod app;
mod audit_copy;
mod audit_record;
pub mod backup;
mod bounded;
mod budget;
pub mod check;
mod clock;
pub mod config;
mod denials;
mod descriptors;
pub mod development;
pub mod drain;
mod due;
mod error_chain;
mod export_format;
mod fail_points;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handshake;
mod http2;
mod identity;
mod idle;
mod in_flight;
pub mod init;
mod jwks;
mod key_derivation;
mod layer;
mod leaving;
mod listener;
mod log_queue;
mod metrics;
mod one_at_a_time;
mod pem;
mod places;
mod private_file;
mod random;
mod rates;
mod reencryption;
pub mod reference;
pub mod reload;
mod reopen;
mod root_key;
mod rpc;
mod samples;
pub mod schema;
mod shed;
mod status;
mod tls;
mod token;
mod trails;
mod trusted_file;
mod turns;
mod verifications;
pub mod version;
