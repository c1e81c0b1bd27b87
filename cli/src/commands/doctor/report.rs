//! The results of the checks.

use serde::Serialize;

/// The results, in the order of the checks.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) checks: Vec<Check>,
}

/// The result of a check.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    /// The name of the check.
    pub(super) check: &'static str,
    pub(super) status: Status,
    /// What was found.
    pub(super) finding: String,
    /// What to do about it; null if there is nothing to do.
    pub(super) remedy: Option<String>,
}

/// The status of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Ok,
    /// Calls work, but only for some time or with reduced security.
    Warning,
    /// Calls fail.
    Failed,
    /// A precondition isn't met.
    NotChecked,
}

impl Status {
    /// The name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::NotChecked => "not checked",
        }
    }
}

impl Report {
    /// The number of checks with this status.
    pub(super) fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }

    pub(super) fn ok(&mut self, check: &'static str, finding: impl Into<String>) {
        self.checks.push(Check { check, status: Status::Ok, finding: finding.into(), remedy: None });
    }

    pub(super) fn warning(&mut self, check: &'static str, finding: impl Into<String>, remedy: impl Into<String>) {
        let (finding, remedy) = (finding.into(), Some(remedy.into()));
        self.checks.push(Check { check, status: Status::Warning, finding, remedy });
    }

    pub(super) fn failed(&mut self, check: &'static str, finding: impl Into<String>, remedy: impl Into<String>) {
        let (finding, remedy) = (finding.into(), Some(remedy.into()));
        self.checks.push(Check { check, status: Status::Failed, finding, remedy });
    }

    pub(super) fn not_checked(&mut self, check: &'static str, because: impl Into<String>) {
        self.checks.push(Check { check, status: Status::NotChecked, finding: because.into(), remedy: None });
    }
}
