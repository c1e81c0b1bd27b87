//! Any list of paths is a read mask or a list of violations. The paths are the lines of the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealward_core::mask::ReadMask;

const PATHS_MAX: usize = 64;

fuzz_target!(|text: &str| {
    let paths: Vec<&str> = text.split('\n').collect();
    for entity in sealward_fuzz::entities() {
        match ReadMask::parse(paths.iter().copied(), PATHS_MAX, entity) {
            Ok(_) => assert!(paths.len() <= PATHS_MAX),
            Err(violations) => assert!(!violations.is_empty()),
        }
    }
});
