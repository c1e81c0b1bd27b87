//! Any text is refused as a bearer token, because it isn't signed with a key of the issuer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| sealward_server::fuzzing::token(text));
