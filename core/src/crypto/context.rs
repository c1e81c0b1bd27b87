//! The place of a cell, bound to the cell as associated data. A cell copied to another organization, entity, record,
//! attribute or key version does not open.
//!
//! The associated data consist of these parts, each preceded by its length in bytes (4 bytes, big endian):
//!
//! | part | bytes |
//! |---|---|
//! | label | `sealward cell v1` |
//! | organization | UUID, 16 bytes |
//! | entity | storage name, UTF-8 |
//! | record | UUID, 16 bytes |
//! | attribute | storage name, UTF-8 |
//! | header of the cell | format and key version, 5 bytes |
//!
//! They contain no id of a deployment, a host or a database, because a database must open after it is moved. This
//! encoding never changes, because cells live as long as their database. Another encoding would be another cell format.

use crate::{
    crypto::encoding::Encoding,
    id::{OrganizationId, RecordId},
};

const LABEL: &str = "sealward cell v1";

/// The place of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellContext<'a> {
    /// The organization that the record belongs to.
    pub organization: OrganizationId,
    /// Storage name of the entity, which stays the same when the entity is renamed.
    pub entity: &'a str,
    /// The record.
    pub record: RecordId,
    /// Storage name of the attribute, which stays the same when the attribute is renamed.
    pub attribute: &'a str,
}

impl CellContext<'_> {
    /// Returns the associated data of a cell with this header at this place.
    pub(super) fn associated_data(&self, header: &[u8; HEADER_BYTES]) -> Vec<u8> {
        Encoding::new(LABEL)
            .part(self.organization.as_bytes())
            .part(self.entity.as_bytes())
            .part(self.record.as_bytes())
            .part(self.attribute.as_bytes())
            .part(header)
            .into_bytes()
    }
}

/// Length of a cell's header in bytes: the format and the key version. They identify the format and the data key of a
/// stored cell.
pub(crate) const HEADER_BYTES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::testing::unhex;

    /// Frozen: existing cells were sealed with these bytes.
    #[test]
    fn the_encoding_never_changes() {
        let context = CellContext {
            organization: OrganizationId::from_bytes([0xA1; 16]),
            entity: "Mailbox",
            record: RecordId::from_bytes([0xB2; 16]),
            attribute: "password",
        };
        assert_eq!(
            context.associated_data(&[1, 0, 0, 0, 7]),
            unhex(
                "00000010 7365616c776172642063656c6c207631
                 00000010 a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
                 00000007 4d61696c626f78
                 00000010 b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2
                 00000008 70617373776f7264
                 00000005 0100000007"
            )
        );
    }

    #[test]
    fn moving_a_letter_between_names_changes_the_encoding() {
        let context = |entity, attribute| CellContext {
            organization: OrganizationId::from_bytes([0; 16]),
            entity,
            record: RecordId::from_bytes([0; 16]),
            attribute,
        };
        let header = [1, 0, 0, 0, 1];
        assert_ne!(context("ab", "c").associated_data(&header), context("a", "bc").associated_data(&header));
    }
}
