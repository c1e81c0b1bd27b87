//! Frames of a request's body are accepted or refused independently of the split into chunks.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let chunks = sealward_fuzz::chunks(bytes);
    for takes_stream in [false, true] {
        sealward_server::fuzzing::frames(takes_stream, &chunks);
    }
});
