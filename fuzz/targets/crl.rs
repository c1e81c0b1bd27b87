//! Any bytes are a revocation list of a known CA, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealward_server::fuzzing::revocation_list(bytes));
