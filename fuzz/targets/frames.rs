//! The frames of a request's body, in any pieces, are accepted or refused for what they are, not for how they were cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let pieces = sealward_fuzz::pieces(bytes);
    for takes_stream in [false, true] {
        sealward_server::fuzzing::frames(takes_stream, &pieces);
    }
});
