//! Any bytes are a PEM file of certificates, of a private key or of revocation lists, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealward_server::fuzzing::pem(bytes));
