//! Any bytes are either a request to each of the entities' methods, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealward_server::fuzzing::request(bytes));
