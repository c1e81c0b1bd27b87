//! Reasons of errors, as the packages of the contract list them.

use sealward::v1::ErrorReason;

/// The domain of the platform's reasons.
pub(super) const DOMAIN: &str = "sealward";

/// The reasons of errors in a package of the contract.
pub(crate) trait Reason: Copy {
    /// The domain of errors with these reasons.
    const DOMAIN: &'static str;

    /// The reason's name in the contract, with the prefix that buf requires.
    fn full_name(self) -> &'static str;
}

impl Reason for ErrorReason {
    const DOMAIN: &'static str = DOMAIN;

    fn full_name(self) -> &'static str {
        self.as_str_name()
    }
}

/// A reason as errors contain it: without the prefix that buf requires.
pub(crate) fn reason_name(reason: impl Reason) -> &'static str {
    let name = reason.full_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}
