//! Any text is a configuration, or a list of all its errors.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sealward_server::config::Config;

fuzz_target!(|text: &str| {
    let _ = Config::parse(text, Path::new("/etc/sealward/sealward.toml"));
});
