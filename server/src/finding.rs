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
        let (subject, problem, remedy) = (subject.into(), problem.into(), remedy.into());
        // Errors that are also shown alone end with their remedy.
        let alone = problem.strip_suffix(&remedy).and_then(|problem| problem.strip_suffix(": ")).map(str::to_owned);
        Self { severity: Severity::Error, subject, problem: alone.unwrap_or(problem), remedy }
    }

    /// A warning.
    pub(crate) fn warning(subject: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(subject, problem, remedy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedy_is_not_repeated() {
        let found = Finding::warning("a", "it is writable: chmod go-w b", "chmod go-w b");
        assert_eq!((found.severity, found.problem.as_str()), (Severity::Warning, "it is writable"));
        assert_eq!(Finding::error("a", "chmod go-w b", "chmod go-w b").problem, "chmod go-w b");
    }
}
