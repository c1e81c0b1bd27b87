//! Any bytes are either a revocation list of a known CA, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealward_server::fuzzing::revocation_list(bytes));
