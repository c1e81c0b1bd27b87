//! Any bytes are either a PEM file of certificates, of a private key or of revocation lists, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealward_server::fuzzing::pem(bytes));
