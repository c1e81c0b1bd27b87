//! The Fieldseal server: how calls come in, who may make them, and where records and keys are kept.
//!
//! What is done with them is decided in `fieldseal-core`. rpc and store meet in one module only.

pub mod app;
mod audit_copy;
mod audit_record;
pub mod check;
mod clock;
mod committer;
pub mod config;
mod denials;
pub mod development;
pub mod drain;
mod due;
mod error_chain;
mod export_format;
mod fail_points;
mod handshake;
mod http2;
mod identity;
mod idle;
pub mod init;
mod jwks;
mod key_derivation;
mod layer;
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
mod root_key;
mod rpc;
mod samples;
pub mod schema;
mod shed;
mod status;
mod store;
mod tls;
mod token;
mod trails;
pub mod version;
