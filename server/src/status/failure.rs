//! What fails on the server's side: a database, the root key, the audit trail, or the server itself.

use std::{error::Error, time::Duration};

use sealward::v1::ErrorReason;
use sealward_core::store::{Cause, OpenError, StoreFailure};
use tonic::{Code, Status};

use super::builder::StatusBuilder;
use crate::audit::copy::CopyUnavailable;

/// An error that no input explains.
pub(crate) fn internal(error: impl Error + Send + Sync + 'static) -> Status {
    StatusBuilder::new(Code::Internal, ErrorReason::Internal, INTERNAL_WORDS).caused_by(error).build()
}

/// A task of the server ended without a result.
pub(crate) fn broken() -> Status {
    StatusBuilder::new(Code::Internal, ErrorReason::Internal, INTERNAL_WORDS).build()
}

pub(super) const INTERNAL_WORDS: &str = "internal error: find the cause in the server's log by the id of this call";

/// A database did not respond.
pub(crate) fn unavailable(cause: Cause) -> Status {
    store_unavailable(cause).build()
}

/// An audit record can't be written.
pub(crate) fn audit_unavailable(cause: impl Error + Send + Sync + 'static) -> Status {
    audit(cause).build()
}

/// Audit records can't be copied, and this deployment refuses calls that must be recorded without a copy.
pub(crate) fn audit_copy_unavailable(cause: CopyUnavailable) -> Status {
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::AuditUnavailable,
        "audit records can't be copied, as this deployment requires; nothing was done or disclosed: try again later",
    )
    .bound_if_any(cause.bound())
    .retry_after(RETRY_STORE)
    .caused_by(cause)
    .build()
}

/// A database, the root key or the audit trail failed.
pub(super) fn store_failure(failure: StoreFailure) -> StatusBuilder {
    match failure {
        StoreFailure::AuditUnavailable(cause) => audit(cause),
        StoreFailure::Unavailable(cause) => store_unavailable(cause),
        StoreFailure::Unknown(cause) => outcome_unknown(cause),
    }
}

fn audit(cause: impl Error + Send + Sync + 'static) -> StatusBuilder {
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::AuditUnavailable,
        "the audit record can't be written; nothing was done or disclosed: try again later",
    )
    .retry_after(RETRY_STORE)
    .caused_by(cause)
}

fn store_unavailable(cause: Cause) -> StatusBuilder {
    if is_other_inside(&cause) {
        return organization_mismatch().caused_by(cause);
    }
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::StoreUnavailable,
        "the database is unavailable; nothing changed: try again later",
    )
    .retry_after(RETRY_STORE)
    .caused_by(cause)
}

/// Whether a reopened database belongs to another organization.
fn is_other_inside(cause: &Cause) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(&*cause.0);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(OpenError::WrongOrganization)) {
            return true;
        }
        next = error.source();
    }
    false
}

pub(super) fn organization_mismatch() -> StatusBuilder {
    StatusBuilder::new(
        Code::FailedPrecondition,
        ErrorReason::OrganizationMismatch,
        "the organization isn't served, because its row in configuration.db or its database was changed or exchanged: find the cause in the server's log",
    )
}

fn outcome_unknown(cause: Cause) -> StatusBuilder {
    StatusBuilder::new(
        Code::Unavailable,
        ErrorReason::OutcomeUnknown,
        "it is unknown whether the change took effect: read the resource before you repeat the call",
    )
    .caused_by(cause)
}

/// The delay before a retry, if a database did not respond.
const RETRY_STORE: Duration = Duration::from_secs(1);
