//! The builder of every status: code, reason, words and details, within the size that a client accepts.

use std::{collections::HashMap, error::Error, fmt::Display, sync::Arc, time::Duration};

use sealward::v1::ErrorReason;
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::{
    reason::{Reason, reason_name},
    text::{DESCRIPTION_MAX_BYTES, FIELD_MAX_BYTES, MESSAGE_MAX_BYTES, METADATA_VALUE_MAX_BYTES},
};
use crate::{
    config::limits::{ERROR_DETAILS_MAX_BYTES, ERROR_VIOLATIONS_MAX, is_limit},
    foreign_text::presentable,
};

/// The key of an error's metadata that names the limit that refused the call.
pub(super) const BOUND: &str = "bound";

/// A status in the making.
pub(crate) struct StatusBuilder {
    code: Code,
    domain: &'static str,
    reason: &'static str,
    message: String,
    metadata: HashMap<String, String>,
    violations: Vec<Wrong>,
    /// The number of further violations.
    more_violations: usize,
    details: ErrorDetails,
    header: Option<(&'static str, &'static str)>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StatusBuilder {
    /// Starts with the parts that every error has. The message is for the caller's developer: it contains nothing internal and no value of
    /// an attribute.
    pub(crate) fn new<R: Reason>(code: Code, reason: R, message: impl Into<String>) -> Self {
        Self {
            code,
            domain: R::DOMAIN,
            reason: reason_name(reason),
            message: message.into(),
            metadata: HashMap::new(),
            violations: Vec::new(),
            more_violations: 0,
            details: ErrorDetails::new(),
            header: None,
            source: None,
        }
    }

    /// Begins the status of something that doesn't exist.
    pub(super) fn not_found(message: &str) -> Self {
        Self::new(Code::NotFound, ErrorReason::NotFound, message).dynamics_code("80040217")
    }

    /// Begins the status of something that exists already.
    pub(super) fn already_exists(message: &str) -> Self {
        Self::new(Code::AlreadyExists, ErrorReason::AlreadyExists, message).dynamics_code("80040237")
    }

    /// Adds a value to the ErrorInfo's metadata. Keys are in snake_case, and part of the contract.
    pub(crate) fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Names the limit in `[limits]` that refused the call, as the metric for refusals does.
    pub(crate) fn bound(self, name: &'static str) -> Self {
        debug_assert!(is_limit(name), "{name} is not a limit");
        self.with(BOUND, name)
    }

    pub(super) fn bound_if_any(self, name: Option<&'static str>) -> Self {
        match name {
            Some(name) => self.bound(name),
            None => self,
        }
    }

    /// Adds Dynamics 365's number for the error: eight hexadecimal digits.
    pub(crate) fn dynamics_code(self, code: &str) -> Self {
        self.with("dynamics_code", code)
    }

    /// Adds a violation to the BadRequest: the field, a description for people, and a reason for programs.
    pub(crate) fn violation(self, field: &str, description: impl Display, reason: &str) -> Self {
        self.wrong(Wrong::new(field, description, reason, None))
    }

    pub(super) fn wrong(mut self, wrong: Wrong) -> Self {
        self.violations.push(wrong);
        self
    }

    /// Adds a RetryInfo, for errors that pass with time.
    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.details.set_retry_info(Some(delay));
        self
    }

    /// Adds a header to the answer.
    pub(super) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// Attaches the cause, for the log only.
    pub(crate) fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Counts violations that are left out beside those that were added.
    pub(super) fn leave_out(mut self, violations: usize) -> Self {
        self.more_violations = violations;
        self
    }

    /// Builds the status, with the violations that fit.
    pub(crate) fn build(mut self) -> Status {
        for value in self.metadata.values_mut() {
            *value = presentable(value, METADATA_VALUE_MAX_BYTES);
        }
        let message = presentable(&self.message, MESSAGE_MAX_BYTES);
        let total = self.violations.len().saturating_add(self.more_violations);
        self.violations.truncate(ERROR_VIOLATIONS_MAX);
        loop {
            let mut status = Status::with_error_details(self.code, &message, self.details_of(total));
            if status.details().len() > ERROR_DETAILS_MAX_BYTES && self.violations.pop().is_some() {
                continue;
            }
            if let Some((name, value)) = self.header {
                status.metadata_mut().insert(name, MetadataValue::from_static(value));
            }
            if let Some(source) = self.source {
                status.set_source(source);
            }
            return status;
        }
    }

    /// The details, with the remaining violations out of `total`.
    fn details_of(&self, total: usize) -> ErrorDetails {
        let mut details = self.details.clone();
        let mut metadata = self.metadata.clone();
        if total > 0 {
            let codes: Vec<_> =
                self.violations.iter().map(|wrong| wrong.dynamics_code.as_deref().unwrap_or("")).collect();
            metadata.insert("dynamics_codes".to_owned(), codes.join(","));
            details.set_bad_request(self.violations.iter().map(Wrong::to_detail).collect::<Vec<_>>());
        }
        let left_out = total.saturating_sub(self.violations.len());
        if left_out > 0 {
            metadata.insert("violations_left_out".to_owned(), left_out.to_string());
        }
        details.set_error_info(self.reason, self.domain, metadata);
        details
    }
}

/// A violation as it is sent.
pub(super) struct Wrong {
    field: String,
    description: String,
    reason: String,
    /// Dynamics 365's number for this violation.
    dynamics_code: Option<String>,
}

impl Wrong {
    pub(super) fn new(field: &str, description: impl Display, reason: &str, dynamics_code: Option<&str>) -> Self {
        Wrong {
            field: presentable(field, FIELD_MAX_BYTES),
            description: presentable(&description.to_string(), DESCRIPTION_MAX_BYTES),
            reason: reason.to_owned(),
            dynamics_code: dynamics_code.map(str::to_owned),
        }
    }

    fn to_detail(&self) -> FieldViolation {
        let mut detail = FieldViolation::new(&self.field, &self.description);
        detail.reason.clone_from(&self.reason);
        detail
    }
}
