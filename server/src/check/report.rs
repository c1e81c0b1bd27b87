//! What a check found: problems, each with its fix, and facts for users to compare with what they expect.

use serde::Serialize;

/// What a check found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What is wrong, in the order of the settings.
    pub findings: Vec<Finding>,
    /// What the check found in order, for users to compare with what they expect.
    pub facts: Vec<Fact>,
    /// The organizations of the data folder.
    pub organizations: Vec<OrganizationFacts>,
}

impl Report {
    /// How many findings are as bad as this.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    pub(super) fn error(&mut self, subject: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) {
        self.find(Severity::Error, subject.into(), problem.into(), remedy.into());
    }

    pub(super) fn warning(
        &mut self,
        subject: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.find(Severity::Warning, subject.into(), problem.into(), remedy.into());
    }

    pub(super) fn find(&mut self, severity: Severity, subject: String, problem: String, remedy: String) {
        self.findings.push(Finding { severity, subject, problem, remedy });
    }

    pub(super) fn fact(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        self.facts.push(Fact { subject: subject.into(), text: text.into() });
    }
}

/// How severe a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A server doesn't start, or refuses calls that it should serve.
    Error,
    /// A server starts and serves, for now or with reduced safety.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How severe it is.
    pub severity: Severity,
    /// The setting or the organization that it is about.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

/// One thing that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// The setting that it is about.
    pub subject: String,
    /// What is there.
    pub text: String,
}

/// An organization in the data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrganizationFacts {
    /// Its name.
    pub name: String,
    /// Its UUID, which its database is named after.
    pub id: String,
    /// The columns that the next start will add to its database; null if that can't be told.
    pub columns_to_add: Option<usize>,
    /// The fingerprint of the key that its database needs; null if its ring can't be read.
    pub fingerprint: Option<String>,
    /// Whether that key is in the configuration database and opens the ring.
    pub is_key_present: bool,
}
