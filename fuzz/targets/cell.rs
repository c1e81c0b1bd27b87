//! Any bytes are a cell or a format error.
#![no_main]

use fieldseal_core::crypto::cell::{Cell, version_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(cell) = Cell::parse(bytes) {
        assert_eq!(version_of(bytes), Ok(cell.version()));
    }
});
