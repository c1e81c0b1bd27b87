//! Errors of organizations: not found, not served, not created, not imported.

use std::time::Duration;

use sealward::v1::ErrorReason;
use sealward_core::{
    deployment::NotServed,
    organization::{create::CreateOrganizationError, import::ImportError},
    violation::{Problem, Violation},
};
use tonic::{Code, Status};

use super::{
    builder::StatusBuilder,
    failure::{organization_mismatch, store_failure},
    violation::invalid,
};

/// The organization doesn't exist. Sent only to callers with the required privilege in it.
pub(crate) fn organization_not_found(organization: &str) -> Status {
    StatusBuilder::not_found("the organization doesn't exist").with("organization", organization).build()
}

/// The organization exists, but isn't served. Sent only to callers with the required privilege in it.
pub(crate) fn organization_not_served(organization: &str, why: NotServed) -> Status {
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
            "the organization's database was written by a newer version of the server, or with another schema: run that version, or that schema",
        )
        .with("what", "database"),
    };
    builder.with("organization", organization).build()
}

/// The delay before a retry, if an organization can't be opened.
const RETRY_ORGANIZATION: Duration = Duration::from_secs(10);

/// Errors of CreateOrganization.
pub(crate) fn create_organization(error: CreateOrganizationError, organization: &str) -> Status {
    match error {
        CreateOrganizationError::Invalid(violations) => invalid(violations),
        CreateOrganizationError::AlreadyExists => {
            StatusBuilder::already_exists("an organization with this name already exists: use another name")
                .with("organization", organization)
                .build()
        }
        CreateOrganizationError::NotServed(why) => organization_not_served(organization, why),
        CreateOrganizationError::Store(failure) => store_failure(failure).build(),
    }
}

/// Errors of ImportOrganization.
pub(crate) fn import_organization(error: ImportError, organization: &str) -> Status {
    match error {
        ImportError::Invalid(problem) => {
            let message = format!("the export can't be imported: {problem}");
            StatusBuilder::new(Code::InvalidArgument, ErrorReason::ExportInvalid, message)
                .with("problem", problem)
                .build()
        }
        ImportError::NotAName => invalid(vec![Violation::new("organization_id", Problem::NotAnOrganizationId)]),
        ImportError::AlreadyExists => {
            let builder = StatusBuilder::already_exists("an organization with this name or this UUID already exists");
            if organization.is_empty() { builder.build() } else { builder.with("organization", organization).build() }
        }
        ImportError::NotServed { name, why } => organization_not_served(&name, why),
        ImportError::Store(failure) => store_failure(failure).build(),
    }
}
