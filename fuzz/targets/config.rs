//! Any text is a configuration, or a list of everything that is wrong with it.
#![no_main]

use std::path::Path;

use fieldseal_server::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Config::parse(text, Path::new("/etc/fieldseal/fieldseal.toml"));
});
