//! What the fuzzers share: the schema that the server serves, and input that arrives in pieces.

use std::sync::{Arc, LazyLock};

use sealward_core::schema::Entity;

/// The entities of the shipped schema.
pub fn entities() -> &'static [Arc<Entity>] {
    static SCHEMA: LazyLock<Arc<sealward_core::schema::Schema>> = LazyLock::new(|| {
        sealward_server::schema::read(sealward::FILE_DESCRIPTOR_SET).expect("the shipped schema is valid").schema
    });
    SCHEMA.entities()
}

/// The input in pieces of one length, which its first byte gives. An input that is a file needs no more than that byte before it to be a seed.
pub fn pieces(input: &[u8]) -> Vec<&[u8]> {
    let Some((length, bytes)) = input.split_first() else { return Vec::new() };
    bytes.chunks(usize::from(*length) + 1).collect()
}
