//! Any text is an order or a list of violations.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealward_core::order::Order;

fuzz_target!(|text: &str| {
    for entity in sealward_fuzz::entities() {
        if let Err(violations) = Order::parse(text, entity) {
            assert!(!violations.is_empty());
        }
    }
});
