//! Shared code of the fuzzers: the entities of the server's schema, and the split of an input into chunks.

use std::sync::{Arc, LazyLock};

use sealward_core::schema::Entity;

/// Returns the entities of the built-in schema.
pub fn entities() -> &'static [Arc<Entity>] {
    static SCHEMA: LazyLock<Arc<sealward_core::schema::Schema>> = LazyLock::new(|| {
        sealward_server::schema::read(sealward::FILE_DESCRIPTOR_SET).expect("the built-in schema is valid").schema
    });
    SCHEMA.entities()
}

/// Splits the input into chunks of equal length. The first byte is the length minus 1. With one byte before it, any
/// file can be a seed.
pub fn chunks(input: &[u8]) -> Vec<&[u8]> {
    let Some((length, bytes)) = input.split_first() else { return Vec::new() };
    bytes.chunks(usize::from(*length) + 1).collect()
}
