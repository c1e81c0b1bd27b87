//! Any text is either a filter or an error with a position within it. No filter accesses an encrypted attribute.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealward_core::filter::Filter;

fuzz_target!(|text: &str| {
    let contoso = "contoso".parse().unwrap();
    for entity in sealward_fuzz::entities() {
        match Filter::parse(text, entity, Some(&contoso)) {
            Ok(filter) => {
                let is_encrypted = |index: usize| entity.attributes[index].encrypted;
                assert!(!filter.attributes().into_iter().any(is_encrypted));
                let _ = (filter.condition(), filter.holds(&|_| None));
            }
            Err(error) => assert!(error.position <= text.chars().count()),
        }
    }
});
