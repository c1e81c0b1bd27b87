//! The frames of a request body are accepted or refused independently of the pieces they arrive in.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let pieces = sealward_fuzz::pieces(bytes);
    for takes_stream in [false, true] {
        sealward_server::fuzzing::frames(takes_stream, &pieces);
    }
});
