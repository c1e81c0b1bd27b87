//! Any choices of fields and values give the same requests and answers by plan and by prost-reflect.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|choices: &[u8]| sealward_server::fuzzing::codec(choices));
