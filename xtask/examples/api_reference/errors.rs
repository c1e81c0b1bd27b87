//! The reasons of errors: what `errors.proto` says about each, taken apart into code, metadata and number.
//!
//! The comment of a reason begins with its code and ends, where they exist, with its metadata and the number of the original.

use prost_reflect::EnumDescriptor;

use crate::contract::comment;

/// One reason, as it stands in an error.
pub(crate) struct Reason {
    /// `KEY_MISMATCH`, as in `google.rpc.ErrorInfo`.
    pub(crate) name: String,
    /// `ABORTED, with RetryInfo`. Empty: no error carries it.
    pub(crate) code: String,
    /// What happened and what to do.
    pub(crate) text: String,
    /// The keys, with what there is to say about them. Empty: none.
    pub(crate) metadata: String,
    /// Eight hexadecimal digits. Empty: the original has none.
    pub(crate) dynamics_code: String,
}

/// The prefix that enum values have to have and reasons don't show.
const PREFIX: &str = "ERROR_REASON_";

/// Every reason of the enum `ErrorReason`.
pub(crate) fn reasons(reasons: &EnumDescriptor) -> Vec<Reason> {
    let values = reasons.values();
    values
        .map(|value| {
            let name = value.name().strip_prefix(PREFIX).unwrap_or(value.name()).to_owned();
            Reason::read(name, &comment(&reasons.parent_file(), value.path()).join(" "), value.number() != 0)
        })
        .collect()
}

impl Reason {
    fn read(name: String, comment: &str, has_code: bool) -> Self {
        let (rest, dynamics_code) = comment.split_once("dynamics_code ").unwrap_or((comment, ""));
        let (rest, metadata) = rest.split_once("Metadata: ").unwrap_or((rest, ""));
        let (code, text) = if has_code { rest.split_once(". ").unwrap_or((rest, "")) } else { ("", rest) };
        let sentence = |text: &str| text.trim().trim_end_matches('.').to_owned();
        Reason {
            name,
            code: sentence(code),
            text: text.trim().to_owned(),
            metadata: sentence(metadata),
            dynamics_code: sentence(dynamics_code),
        }
    }
}
