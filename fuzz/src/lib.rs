//! Shared code of the fuzzers: the schema that the server serves, and input that is split into pieces.

use std::sync::{Arc, LazyLock};

use sealward_core::schema::Entity;

/// Returns the entities of the built-in schema.
pub fn entities() -> &'static [Arc<Entity>] {
    static SCHEMA: LazyLock<Arc<sealward_core::schema::Schema>> = LazyLock::new(|| {
        sealward_server::schema::read(sealward::FILE_DESCRIPTOR_SET).expect("the shipped schema is valid").schema
    });
    SCHEMA.entities()
}

/// Splits the input into pieces of equal length. The first byte of the input is that length. With one byte before it,
/// any file can be a seed.
pub fn pieces(input: &[u8]) -> Vec<&[u8]> {
    let Some((length, bytes)) = input.split_first() else { return Vec::new() };
    bytes.chunks(usize::from(*length) + 1).collect()
}
