//! The names of the databases in a data folder and in a backup.

use sealward_core::id::OrganizationId;

pub(super) const ORGANIZATIONS: &str = "organizations";
pub(super) const CONFIGURATION: &str = "configuration.db";

/// Whether this is the name of a file in the folder of the organizations' databases.
pub(crate) fn is_organization_database(name: &str) -> bool {
    name.strip_suffix(".db").is_some_and(|id| id.parse::<OrganizationId>().is_ok_and(|parsed| parsed.to_string() == id))
}

/// The path of an organization's database.
pub(super) fn of_organization(id: OrganizationId) -> String {
    format!("{ORGANIZATIONS}/{id}.db")
}
