//! The memory of the JSON mapping stays within its declared factors. One test, because it measures the memory of the whole process.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use peak_alloc::PeakAlloc;
use prost_reflect::MessageDescriptor;
use sealward_connect::json::{DECODE_MEMORY_FACTOR, ENCODE_MEMORY_FACTOR, decode, encode};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn kinds() -> MessageDescriptor {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut compiler = protox::Compiler::new([folder]).unwrap();
    compiler.include_imports(true).open_file("kinds.proto").unwrap();
    compiler.descriptor_pool().get_message_by_name("sealward.test.v1.Kinds").unwrap()
}

/// The result, and the most memory that was allocated at once for it.
fn measured<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    (result, ALLOCATOR.peak_usage() - before)
}

#[test]
fn memory_is_a_small_multiple_of_the_input() {
    let descriptor = kinds();
    // The first use of a descriptor builds tables that stay.
    encode(&descriptor, &decode(&descriptor, br#"{"secret":"","child":{}}"#).unwrap()).unwrap();

    let repeated = |field: &str, element: &str| format!(r#"{{"{field}":[{}]}}"#, vec![element; 500_000].join(","));
    let keys = |field: &str, value: &str, length: usize| {
        let members: Vec<_> = (0..300_000).map(|index| format!(r#""{index:0length$}":{value}"#)).collect();
        format!(r#"{{"{field}":{{{}}}}}"#, members.join(","))
    };
    let texts = [
        repeated("values", "1"),
        repeated("doubles", "1"),
        repeated("doubleValues", "1"),
        repeated("unpacked", "1"),
        repeated("children", "{}"),
        repeated("values", "[]"),
        repeated("anys", "{}"),
        repeated("strings", r#""""#),
        repeated("colors", r#""COLOR_BLUE""#),
        keys("stringMap", r#""""#, 1),
        keys("struct", "1", 1),
        keys("uint64Map", "1", 1),
        keys("sint64Map", r#""""#, 1),
        keys("valueMap", "1", 1),
    ];
    for json in &texts {
        let (wire, memory) = measured(|| decode(&descriptor, json.as_bytes()).unwrap());
        let bound = DECODE_MEMORY_FACTOR * json.len() + 4096;
        assert!(memory <= bound, "{}…: {memory} bytes for {} of JSON", &json[..32], json.len());
        let (back, memory) = measured(|| encode(&descriptor, &wire).unwrap());
        let bound = ENCODE_MEMORY_FACTOR * (wire.len() + back.len()) + 65_536;
        assert!(memory <= bound, "{}…: {memory} bytes for {} of wire", &json[..32], wire.len());
    }

    // Entries without content, all for one key, and the parts of one message.
    for part in [&b"\x92\x02\x00"[..], b"\x8A\x01\x00", b"\x92\x02\x02\x0A\x00"] {
        let wire = part.repeat(300_000);
        let (json, memory) = measured(|| encode(&descriptor, &wire).unwrap());
        assert!(memory <= ENCODE_MEMORY_FACTOR * (wire.len() + json.len()) + 65_536, "{part:?}: {memory}");
    }

    // The text of a secret is in memory once: in the result.
    for piece in ["secret", "\\u0041bcdef", "\\\"\\\\"] {
        let json = format!(r#"{{"secret":"{}"}}"#, piece.repeat(200_000));
        let (wire, memory) = measured(|| decode(&descriptor, json.as_bytes()).unwrap());
        assert!(memory < wire.len() + 4096, "{memory} bytes for a secret of {}", wire.len());
    }
}
