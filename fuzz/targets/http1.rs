//! Requests of HTTP/1.1 pass or are refused independently of the split into pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sealward_server::fuzzing::http1(&sealward_fuzz::chunks(bytes));
});
