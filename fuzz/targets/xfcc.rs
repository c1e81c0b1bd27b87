//! A header about a client certificate is read or refused, and never changes the element that the next proxy adds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &[u8]| sealward_server::fuzzing::xfcc(header));
