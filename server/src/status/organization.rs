//! Errors of organizations: not found, not served, not created, not imported.

use std::time::Duration;

use sealward::v1::ErrorReason;
use sealward_core::{
    deployment::NotServed,
    name::OrganizationName,
    organization::{create::CreateOrganizationError, import::ImportError},
    permit::NotEntered,
    violation::{Problem, Violation},
};
use tonic::{Code, Status};

use super::{
    builder::StatusBuilder,
    failure::{organization_mismatch, store_failure},
    key::key_of_copy,
    violation::invalid,
};

/// An organization isn't there, or isn't served; said only to a caller who may do what was asked there.
pub(crate) fn not_entered(error: NotEntered) -> Status {
    match error {
        NotEntered::NotFound(name) => {
            StatusBuilder::not_found("the organization doesn't exist").with("organization", name).build()
        }
        NotEntered::NotServed(name, why) => organization_not_served(&name, why),
    }
}

/// There is an organization of this name, and it isn't served.
fn organization_not_served(organization: &OrganizationName, why: NotServed) -> Status {
    let builder = match why {
        NotServed::Unavailable => StatusBuilder::new(
            Code::Unavailable,
            ErrorReason::OrganizationUnavailable,
            "the organization's database can't be opened, and the server retries; its log has the cause: try again later",
        )
        .retry_after(RETRY_ORGANIZATION),
        NotServed::Mismatch => organization_mismatch(),
        NotServed::NewerVersion => StatusBuilder::new(
            Code::Unavailable,
            ErrorReason::WrittenByNewerVersion,
            "the organization's database was written by a newer version of the server, or with another schema: run the server with that version and schema",
        )
        .with("what", "database"),
    };
    builder.with("organization", organization).build()
}

/// The delay before a retry, if an organization can't be opened.
const RETRY_ORGANIZATION: Duration = Duration::from_secs(10);

/// Errors of CreateOrganization.
pub(crate) fn create_organization(error: CreateOrganizationError, organization: &OrganizationName) -> Status {
    match error {
        CreateOrganizationError::AlreadyExists => {
            StatusBuilder::already_exists("an organization with this name already exists: use another name")
                .with("organization", organization)
                .build()
        }
        CreateOrganizationError::NotServed(why) => organization_not_served(organization, why),
        CreateOrganizationError::Store(failure) => store_failure(failure).build(),
    }
}

/// Why an organization was not imported under this name, or under that of its export.
pub(crate) fn import_organization(error: ImportError, organization: Option<&OrganizationName>) -> Status {
    match error {
        ImportError::Invalid(problem) => {
            let message = format!("the export can't be imported: {problem}");
            StatusBuilder::new(Code::InvalidArgument, ErrorReason::ExportInvalid, message)
                .with("problem", problem)
                .build()
        }
        ImportError::NotAName => invalid(vec![Violation::new("organization_id", Problem::NotAnOrganizationId)]),
        ImportError::AlreadyExists { same: Some(same) } => {
            let message = format!(
                "the organization of the export already exists as {same}: import a copy of it, or delete it first"
            );
            StatusBuilder::already_exists(&message).with("organization", same).build()
        }
        ImportError::AlreadyExists { same: None } => {
            let builder = StatusBuilder::already_exists("an organization with this name or this UUID already exists");
            match organization {
                Some(organization) => builder.with("organization", organization).build(),
                None => builder.build(),
            }
        }
        ImportError::NotServed { name, why } => organization_not_served(&name, why),
        ImportError::Key { organization, error } => key_of_copy(error, &organization),
        ImportError::Store(failure) => store_failure(failure).build(),
    }
}
