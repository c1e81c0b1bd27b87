//! Black-box tests: the real server, in this process or a separate one, through the client and over TLS on its own port.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at the first surprise"
)]

#[macro_use]
mod harness;

mod attacks;
mod audit;
mod audit_copy;
mod authentic;
mod backup;
mod batch;
mod bounds;
mod census;
mod certificates;
mod cli;
mod cli_delivery;
mod cli_import;
mod cli_input;
mod copies;
mod crash;
mod demo;
mod denials;
mod doctor;
mod documents;
mod due;
mod ending;
mod export;
mod fail_points;
mod files;
mod filter_language;
mod getting_started;
mod golden;
mod handshakes;
mod hops;
mod hot_record;
mod http1;
mod idle;
mod import;
mod istio;
mod key_life;
mod kills;
mod kubernetes;
mod kubernetes_schemas;
mod linkerd;
mod long_work;
mod lost_key;
mod mail_connector;
mod mesh;
mod metadata;
mod metrics;
mod newer;
mod one_at_a_time;
mod operate;
mod organizations;
mod packages;
mod permission;
mod platform;
mod postgresql;
mod pressure;
mod protocols;
mod proxies;
mod queries;
mod recipes;
mod records;
mod reload;
mod repetition;
mod replicas;
mod reproducible;
mod requests;
mod root_key;
mod rules;
mod scenario;
mod secret_access;
mod secret_writes;
mod secrets;
mod server_state;
mod spiffe;
mod story;
mod terminal;
mod tokens;
mod tools;
mod traces;
mod trail;
mod transport;
mod two_servers;
mod values;
mod who_am_i;
