//! A part of what a reload replaces: the version in use, and when another version replaces it.
//!
//! Nothing here knows what a part contains.

use std::borrow::Cow;

use crate::{
    finding::Finding,
    telemetry::samples::{Kind, Samples, Who},
};

/// The remedy of files that can't be used.
pub(super) const FIX_FILES: &str = "fix the files: the server checks them again";

/// The result for one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing has changed.
    Unchanged,
    /// The new version is in use.
    Taken,
    /// The new version can't be used, for this reason. The previous version stays in use.
    Refused(String),
}

/// When a change is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Once two checks in a row find it.
    Settled,
    /// At once: the administrator reports that the files are complete.
    Now,
    /// At once: the Workload API sends complete updates.
    Update,
}

/// One part: the version in use, and the result of the last check.
pub(super) struct Part<T> {
    name: String,
    pub(super) in_force: T,
    last_seen: Option<Result<T, String>>,
    /// The failure of the last version, if it can't be used.
    reported: Option<String>,
    /// The failure that was logged last.
    logged: Option<String>,
    /// The fix of a failure.
    pub(super) remedy: Cow<'static, str>,
    samples: Samples,
}

impl<T: Clone + PartialEq> Part<T> {
    pub(super) fn new(name: impl Into<String>, in_force: T, samples: &Samples) -> Self {
        Self {
            name: name.into(),
            in_force,
            last_seen: None,
            reported: None,
            logged: None,
            remedy: FIX_FILES.into(),
            samples: samples.clone(),
        }
    }

    /// The finding that the last version can't be used.
    pub(super) fn refused(&self) -> Option<Finding> {
        let failure = self.failure()?;
        let problem = format!("the new version can't be used, and the previous version stays in use: {failure}");
        Some(Finding::error(&self.name, problem, &*self.remedy))
    }

    /// Why the last version can't be used.
    pub(super) fn failure(&self) -> Option<&str> {
        self.reported.as_deref()
    }

    /// Whether the version in use is the last one: no version was refused since, or waits for a second check.
    pub(super) fn is_current(&self) -> bool {
        self.last_seen.as_ref().is_none_or(|seen| seen.as_ref() == Ok(&self.in_force))
    }

    /// Applies the result of a check, if it is a change and is settled. A failure is logged once, until it changes or a check succeeds.
    pub(super) fn look(&mut self, seen: Result<T, String>, ask: Ask) -> Outcome {
        let settled = ask != Ask::Settled || self.last_seen.as_ref() == Some(&seen);
        self.last_seen = Some(seen.clone());
        match seen {
            Ok(same) if same == self.in_force => {
                (self.reported, self.logged) = (None, None);
                Outcome::Unchanged
            }
            Ok(_) | Err(_) if !settled => Outcome::Unchanged,
            Ok(other) => {
                self.in_force = other;
                (self.reported, self.logged) = (None, None);
                Outcome::Taken
            }
            Err(failure) => {
                if ask == Ask::Now || self.is_to_log(&failure) {
                    let part = &self.name;
                    tracing::error!(part, error = failure, "reload failed; the previous version stays in use");
                    self.logged = Some(failure.clone());
                }
                self.reported = Some(failure.clone());
                Outcome::Refused(failure)
            }
        }
    }

    /// Whether a failure is new, and the first of this part in a minute. Another process may send any number.
    fn is_to_log(&self, failure: &str) -> bool {
        const EVENT: &str = "reload failed; the previous version stays in use";
        let kind = || Kind { who: Who::Unknown, event: EVENT, reason: self.name.clone().into() };
        self.logged.as_deref() != Some(failure) && self.samples.is_first(kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::shed::Shed;

    fn part() -> Part<u32> {
        Part::new("test", 1, &Samples::new(10, Shed::default()))
    }

    fn refused(text: &str) -> Outcome {
        Outcome::Refused(text.to_owned())
    }

    #[test]
    fn change_is_applied_after_two_equal_readings() {
        let mut part = part();
        assert_eq!(part.look(Ok(1), Ask::Settled), Outcome::Unchanged);
        // Half of a file, then more, then all of it.
        assert_eq!(part.look(Err("half".to_owned()), Ask::Settled), Outcome::Unchanged);
        assert_eq!(part.look(Ok(2), Ask::Settled), Outcome::Unchanged);
        assert_eq!(part.look(Ok(3), Ask::Settled), Outcome::Unchanged);
        assert_eq!(part.in_force, 1);
        assert_eq!(part.look(Ok(3), Ask::Settled), Outcome::Taken);
        assert_eq!(part.in_force, 3);
        assert_eq!(part.look(Ok(3), Ask::Settled), Outcome::Unchanged);
    }

    #[test]
    fn change_is_applied_at_once_on_request() {
        let mut part = part();
        assert_eq!(part.look(Ok(2), Ask::Now), Outcome::Taken);
        assert_eq!(part.look(Err("broken".to_owned()), Ask::Now), refused("broken"));
        assert_eq!(part.in_force, 2);
    }

    #[test]
    fn unusable_files_are_retried_and_reported_once() {
        let mut part = part();
        let broken = || Err("broken".to_owned());
        part.look(broken(), Ask::Settled);
        assert_eq!(part.reported, None);
        for _ in 0..3 {
            assert_eq!(part.look(broken(), Ask::Settled), refused("broken"));
            assert_eq!((part.in_force, part.reported.as_deref()), (1, Some("broken")));
        }
        part.look(Ok(1), Ask::Settled);
        assert_eq!(part.reported, None);
    }

    #[test]
    fn failures_of_another_process_are_logged_once_a_minute() {
        let samples = Samples::new(10, Shed::default());
        let mut part = Part::new("test", 1, &samples);
        let mut refuse = |text: &str, ask| {
            let before = part.logged.clone();
            part.look(Err(text.to_owned()), ask);
            part.logged != before
        };
        assert!(refuse("a", Ask::Update));
        for number in 0..1_000 {
            assert!(!refuse("a", Ask::Update));
            assert!(!refuse(&number.to_string(), Ask::Update));
        }
        // The administrator gets an answer each time.
        assert!(refuse("b", Ask::Now));
        // After the minute, a new failure that is still there is logged.
        assert!(!refuse("c", Ask::Settled));
        samples.report();
        assert!(refuse("c", Ask::Settled));
    }

    #[test]
    fn part_is_current_unless_a_version_is_refused_or_waits() {
        let mut part = part();
        assert!(part.is_current());
        part.look(Ok(2), Ask::Settled);
        assert!(!part.is_current());
        part.look(Ok(2), Ask::Settled);
        assert!(part.is_current());
        part.look(Err("broken".to_owned()), Ask::Update);
        assert!(!part.is_current());
        part.look(Ok(2), Ask::Update);
        assert!(part.is_current());
    }
}
