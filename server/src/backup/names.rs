//! The names of the databases in a data folder and in a backup.

use sealward_core::id::OrganizationId;

pub(super) const ORGANIZATIONS: &str = "organizations";
pub(super) const CONFIGURATION: &str = "configuration.db";

/// The path of an organization's database.
pub(super) fn of_organization(id: OrganizationId) -> String {
    format!("{ORGANIZATIONS}/{id}.db")
}
