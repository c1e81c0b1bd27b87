//! Any bytes are either a cell or a format error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealward_core::crypto::cell::{Cell, version_of};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(cell) = Cell::parse(bytes) {
        assert_eq!(version_of(bytes), Ok(cell.version()));
    }
});
