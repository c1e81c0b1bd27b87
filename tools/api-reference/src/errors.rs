//! The reasons of errors: parses the comments in `errors.proto` into code, metadata and number.
//!
//! The comment of a reason begins with its code. It ends with the metadata and the number of Dynamics 365, if there are any:
//! `Metadata: a, b. dynamics_code 8004852B.` A number that depends on the error has a separate paragraph, `dynamics_code: that of …`.

use prost_reflect::EnumDescriptor;

use crate::contract::comment;

/// The reason of an error.
pub(crate) struct Reason {
    /// `KEY_MISMATCH`, as in `google.rpc.ErrorInfo`.
    pub(crate) name: String,
    /// `ABORTED, with RetryInfo`. Empty: no error has this reason.
    pub(crate) code: String,
    /// What happened and what to do, as paragraphs.
    pub(crate) text: Vec<String>,
    /// The keys of the metadata, separated by commas. Empty: there are none.
    pub(crate) metadata: String,
    /// Eight hexadecimal digits, or [`DEPENDS`]. Empty: Dynamics 365 has no number.
    pub(crate) dynamics_code: String,
}

/// The prefix that enum values need, and reasons omit.
const PREFIX: &str = "ERROR_REASON_";

/// Returns every reason of an enum `ErrorReason`.
pub(crate) fn reasons(reasons: &EnumDescriptor) -> Vec<Reason> {
    let values = reasons.values();
    values
        .map(|value| {
            let name = value.name().strip_prefix(PREFIX).unwrap_or(value.name()).to_owned();
            Reason::read(name, comment(&reasons.parent_file(), value.path()), value.number() != 0)
        })
        .collect()
}

/// Replaces a number that depends on the error.
pub(crate) const DEPENDS: &str = "depends";

impl Reason {
    fn read(name: String, mut text: Vec<String>, has_code: bool) -> Self {
        let sentence = |text: &str| text.trim().trim_end_matches('.').to_owned();
        let mut cut = |marker: &str| {
            let last = text.last_mut()?;
            let (before, after) = last.split_once(marker)?;
            let after = sentence(after);
            *last = before.trim().to_owned();
            Some(after)
        };
        let mut dynamics_code = cut("dynamics_code ").unwrap_or_default();
        let metadata = cut("Metadata: ").unwrap_or_default();
        let mut code = String::new();
        if let Some(first) = text.first_mut().filter(|_| has_code) {
            let (before, after) = first.split_once(". ").unwrap_or((first, ""));
            code = sentence(before);
            *first = after.to_owned();
        }
        if text.iter().any(|paragraph| paragraph.starts_with("dynamics_code: ")) {
            dynamics_code = DEPENDS.to_owned();
        }
        text.retain(|paragraph| !paragraph.is_empty());
        Reason { name, code, text, metadata, dynamics_code }
    }
}
