//! Any text is refused as a bearer token: none is signed with a key that the issuer has.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| sealward_server::fuzzing::token(text));
