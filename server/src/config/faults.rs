//! The faults of a configuration, each with its setting. All steps that read a file add to one list.

use std::fmt;

/// All faults of a configuration: names and types first, then values, in the order of the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting: `limits.page_size_max`.
    pub setting: String,
    /// What is wrong, and how to fix it.
    pub problem: String,
}

impl Faults {
    /// Adds a fault.
    pub(super) fn add(&mut self, setting: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Fault { setting: setting.into(), problem: problem.into() });
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fault| write!(f, "\n  {}: {}", fault.setting, fault.problem))
    }
}
