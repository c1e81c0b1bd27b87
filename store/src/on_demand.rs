//! Databases of any store that are open only while they are used.

use std::time::Instant;

use sealward_core::id::OrganizationId;

/// The organizations' databases. Each is open only while it is used, and a call opens it if it is closed.
pub trait OnDemand: Send + Sync {
    /// Returns whether an organization's database is open.
    fn is_open(&self, id: OrganizationId) -> bool;

    /// Closes databases that are idle at this time, and those above the maximum number. Blocks.
    fn close_idle(&self, now: Instant);
}
