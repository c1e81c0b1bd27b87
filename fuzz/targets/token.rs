//! Any text is refused as a bearer token, because the issuer's keys sign none of the inputs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| sealward_server::fuzzing::token(text));
