//! Reasons of errors, as the packages of the contract list them.

use sealward::v1::ErrorReason;

/// The domain of the platform's reasons.
pub(super) const DOMAIN: &str = "sealward";

/// Reasons of errors, as a package of the contract lists them.
pub(crate) trait Reason: Copy {
    /// The domain that errors with these reasons have.
    const DOMAIN: &'static str;

    /// The reason's name in the contract, with the prefix that buf asks for.
    fn full_name(self) -> &'static str;
}

impl Reason for ErrorReason {
    const DOMAIN: &'static str = DOMAIN;

    fn full_name(self) -> &'static str {
        self.as_str_name()
    }
}

/// A reason as the contract writes it: without the prefix that buf asks for.
pub(crate) fn reason_name(reason: impl Reason) -> &'static str {
    let name = reason.full_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}
