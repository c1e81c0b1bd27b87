//! Any bytes, in any pieces, are either an exported organization, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealward_server::fuzzing::export(&sealward_fuzz::pieces(bytes)));
