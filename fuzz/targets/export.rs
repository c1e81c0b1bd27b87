//! Any bytes, in chunks of any size, are a file of an exported organization, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealward_server::fuzzing::export(&sealward_fuzz::chunks(bytes)));
