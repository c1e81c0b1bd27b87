//! Bodies of all protocols are accepted or refused independently of the split into chunks. The first byte selects the form.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((form, bytes)) = bytes.split_first() else { return };
    sealward_connect::fuzzing::request(*form, &sealward_fuzz::chunks(bytes));
});
