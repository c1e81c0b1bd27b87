//! The `google.rpc` details of a status. Missing and malformed details are ignored.

use std::{collections::BTreeMap, time::Duration};

use tonic::Status;
use tonic_types::StatusExt as _;

use crate::{mail_v1, v1::ErrorReason};

/// A violation in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field, as a path from the request: `mailbox.display_name`.
    pub field: String,
    /// The description, for people.
    pub description: String,
    /// The machine-readable reason, such as `TOO_LONG` or the reason of an entity's rule. Can be empty.
    pub reason: String,
}

#[derive(Debug)]
pub(super) struct Details {
    pub(super) reason: ErrorReason,
    pub(super) mail_reason: mail_v1::ErrorReason,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) field_violations: Vec<FieldViolation>,
    pub(super) retry_delay: Option<Duration>,
    pub(super) call_id: Option<String>,
}

impl Details {
    pub(super) fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let mut decoded = Self::default();
        if let Some(info) = details.error_info().filter(|info| [DOMAIN, MAIL_DOMAIN].contains(&info.domain.as_str())) {
            let name = format!("{REASON_PREFIX}{}", info.reason);
            if info.domain == DOMAIN {
                decoded.reason = ErrorReason::from_str_name(&name).unwrap_or(decoded.reason);
            } else {
                decoded.mail_reason = mail_v1::ErrorReason::from_str_name(&name).unwrap_or(decoded.mail_reason);
            }
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

    /// The reason as on the wire; `None` if there is none, or if this client doesn't know it.
    pub(super) fn reason_name(&self) -> Option<&'static str> {
        match (self.reason, self.mail_reason) {
            (ErrorReason::Unspecified, mail_v1::ErrorReason::Unspecified) => None,
            (ErrorReason::Unspecified, reason) => Some(without_prefix(reason.as_str_name())),
            (reason, _) => Some(without_prefix(reason.as_str_name())),
        }
    }

    /// The details of a timeout on this side.
    pub(super) fn timed_out() -> Self {
        Self { reason: ErrorReason::DeadlineExceeded, ..Self::default() }
    }
}

impl Default for Details {
    fn default() -> Self {
        Self {
            reason: ErrorReason::Unspecified,
            mail_reason: mail_v1::ErrorReason::Unspecified,
            metadata: BTreeMap::new(),
            field_violations: Vec::new(),
            retry_delay: None,
            call_id: None,
        }
    }
}

/// The domain of the platform's reasons.
const DOMAIN: &str = "sealward";

/// The domain of the mail application's reasons.
const MAIL_DOMAIN: &str = "sealward.mail";

/// The prefix of reasons in the enums.
const REASON_PREFIX: &str = "ERROR_REASON_";

/// The reason of an enum value's name.
pub(super) fn without_prefix(name: &'static str) -> &'static str {
    name.strip_prefix(REASON_PREFIX).unwrap_or(name)
}
