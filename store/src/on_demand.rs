//! Databases that are open while they are used, whichever store they are of.

use std::time::Instant;

use sealward_core::id::OrganizationId;

/// The organizations' databases, each of which is open while it is used. A call that finds one closed opens it.
pub trait OnDemand: Send + Sync {
    /// Whether an organization's database is open.
    fn is_open(&self, id: OrganizationId) -> bool;

    /// Closes the databases that are idle at this time, and those that are too many. Blocks.
    fn close_idle(&self, now: Instant);
}
