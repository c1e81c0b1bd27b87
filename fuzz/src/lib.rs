//! What the fuzzers share: the schema that the server serves.

use std::sync::{Arc, LazyLock};

use fieldseal_core::schema::Entity;

/// The entities of the shipped schema.
pub fn entities() -> &'static [Arc<Entity>] {
    static SCHEMA: LazyLock<Arc<fieldseal_core::schema::Schema>> = LazyLock::new(|| {
        fieldseal_server::schema::read(fieldseal::FILE_DESCRIPTOR_SET).expect("the shipped schema is valid").schema
    });
    SCHEMA.entities()
}
