//! The result of a check: problems with their fixes, and facts that users can compare with their expectations.

use sealward_core::id::Timestamp;
use serde::Serialize;

use crate::{
    certificates::Certificates,
    finding::{Finding, Severity},
};

/// The result of a check.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The problems, in the order of the settings.
    pub findings: Vec<Finding>,
    /// Facts that users can compare with their expectations.
    pub facts: Vec<Fact>,
    /// The organizations of the data folder.
    pub organizations: Vec<OrganizationFacts>,
}

impl Report {
    /// The number of findings with this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    pub(super) fn error(&mut self, subject: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) {
        self.findings.push(Finding::error(subject, problem, remedy));
    }

    pub(super) fn warning(
        &mut self,
        subject: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.findings.push(Finding::warning(subject, problem, remedy));
    }

    /// Adds all certificates as facts, and the findings about their validity at this time.
    pub(super) fn certificates(&mut self, certificates: &Certificates, now: Timestamp) {
        for certificate in certificates.all() {
            self.fact(&certificate.setting, certificate.to_string());
        }
        self.findings.extend(certificates.findings(now));
    }

    pub(super) fn fact(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        self.facts.push(Fact { subject: subject.into(), text: text.into() });
    }
}

/// A number with its noun: `1 error`, `2 errors`.
#[must_use]
pub fn counted(count: impl TryInto<u64> + Copy + std::fmt::Display, one: &str, many: &str) -> String {
    let is_one = count.try_into().is_ok_and(|count| count == 1);
    format!("{count} {}", if is_one { one } else { many })
}

/// A fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// The setting.
    pub subject: String,
    /// The fact.
    pub text: String,
}

/// An organization in the data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrganizationFacts {
    /// Its name.
    pub name: String,
    /// Its UUID, which its database is named after.
    pub id: String,
    /// The number of columns that the next start adds to its database; null if it is unknown.
    pub columns_to_add: Option<usize>,
    /// The fingerprint of the key that its database needs; null if its ring can't be read.
    pub fingerprint: Option<String>,
    /// Whether that key is in the configuration database and opens the ring; null without a root key, which is needed to find out.
    pub is_key_present: Option<bool>,
}
