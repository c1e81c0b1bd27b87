//! Findings: problems of a deployment or of a running server, each with its remedy.

use serde::Serialize;

/// How severe a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The server doesn't start, or refuses calls that it should serve.
    Error,
    /// The server starts and serves, but only for some time or with reduced security.
    Warning,
}

/// A problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How severe it is.
    pub severity: Severity,
    /// The setting, the organization or the part of the server.
    pub subject: String,
    /// The problem.
    pub problem: String,
    /// The remedy.
    pub remedy: String,
}

impl Finding {
    /// An error.
    pub(crate) fn error(subject: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Error, subject: subject.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// A warning.
    pub(crate) fn warning(subject: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(subject, problem, remedy) }
    }
}
