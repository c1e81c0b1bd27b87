//! Work that other systems do too.

/// Work that a peer does too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Reads a record, without its encrypted value.
    Read,
    /// Writes a new record with an encrypted value.
    Create,
    /// Writes the encrypted value of a record.
    Update,
    /// Reads an encrypted value.
    Reveal,
}

/// OpenBao's durable write, which goals name.
pub(crate) const PUT: &str = "OpenBao KV put";
