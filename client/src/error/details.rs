//! The `google.rpc` details of a status, decoded leniently: what is missing or broken reads as nothing said.

use std::{collections::BTreeMap, time::Duration};

use tonic::Status;
use tonic_types::StatusExt as _;

use crate::v1::ErrorReason;

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field, as a path from the request: `mailbox.display_name`.
    pub field: String,
    /// What is wrong with it, for people.
    pub description: String,
    /// What is wrong with it, for programs: `TOO_LONG`, or the reason of a rule of the entity. Empty where nothing was said.
    pub reason: String,
}

#[derive(Debug)]
pub(super) struct Details {
    pub(super) reason: ErrorReason,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) field_violations: Vec<FieldViolation>,
    pub(super) retry_delay: Option<Duration>,
    pub(super) call_id: Option<String>,
}

impl Details {
    pub(super) fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let mut decoded = Self::default();
        if let Some(info) = details.error_info().filter(|info| info.domain == DOMAIN) {
            let name = format!("{REASON_PREFIX}{}", info.reason);
            decoded.reason = ErrorReason::from_str_name(&name).unwrap_or(ErrorReason::Unspecified);
            decoded.metadata = info.metadata.clone().into_iter().collect();
        }
        if let Some(bad_request) = details.bad_request() {
            decoded.field_violations = bad_request
                .field_violations
                .iter()
                .map(|violation| FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                    reason: violation.reason.clone(),
                })
                .collect();
        }
        decoded.retry_delay = details.retry_info().and_then(|info| info.retry_delay);
        decoded.call_id = details.request_info().map(|info| info.request_id.clone()).filter(|id| !id.is_empty());
        decoded
    }

    /// What this client says in the server's place when the time runs out here first.
    pub(super) fn timed_out() -> Self {
        Self { reason: ErrorReason::DeadlineExceeded, ..Self::default() }
    }
}

impl Default for Details {
    fn default() -> Self {
        Self {
            reason: ErrorReason::Unspecified,
            metadata: BTreeMap::new(),
            field_violations: Vec::new(),
            retry_delay: None,
            call_id: None,
        }
    }
}

/// The domain of the reasons that are ours.
const DOMAIN: &str = "sealward";

/// What the enum's names have before a reason.
pub(super) const REASON_PREFIX: &str = "ERROR_REASON_";
