//! Any text is an order or a list of what is wrong with it.
#![no_main]

use fieldseal_core::order::Order;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for entity in fieldseal_fuzz::entities() {
        if let Err(violations) = Order::parse(text, entity) {
            assert!(!violations.is_empty());
        }
    }
});
