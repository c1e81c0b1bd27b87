//! What a create, update or delete is told beside what it writes: whether only to check, and what makes it safe to repeat.
//!
//! The same for every entity; how often and when a call is repeated is for [`retry`](crate::retry).

use crate::{method::Repetition, random, retry::RetryPolicy};

/// How a create, an update or a delete is made. Default: it is made, and safe to repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Everything that the call would check is checked, and nothing changes. The answer is what the call would have answered.
    pub validate_only: bool,
    /// What the server tells a repetition by: a UUID in lower-case letters with hyphens, remembered for 24 hours. The same call with the
    /// same id is made once, also by another process or after a restart of this one: so whoever keeps it before the call can ask
    /// again after anything. `None`: the client draws one for this call, unless its [`RetryPolicy`] never repeats.
    /// Empty: none, and the client doesn't repeat the call. Ignored with `validate_only`.
    pub request_id: Option<String>,
}

impl WriteOptions {
    /// Only checks.
    #[must_use]
    pub fn validate_only() -> Self {
        Self { validate_only: true, request_id: None }
    }

    /// Writes once for this id; see [`new_request_id`].
    #[must_use]
    pub fn request_id(id: impl Into<String>) -> Self {
        Self { validate_only: false, request_id: Some(id.into()) }
    }

    /// What goes over the wire.
    pub(crate) fn resolve(self, retry: &RetryPolicy) -> Write {
        let Self { validate_only, request_id } = self;
        if validate_only {
            return Write { validate_only, request_id: request_id.unwrap_or_default(), repetition: Repetition::Read };
        }
        let request_id = request_id.or_else(|| retry.repeats().then(new_request_id)).unwrap_or_default();
        let repetition = if request_id.is_empty() { Repetition::Decided } else { Repetition::Recognised };
        Write { validate_only, request_id, repetition }
    }
}

/// Draws an id for [`WriteOptions::request_id`].
#[must_use]
pub fn new_request_id() -> String {
    random::uuid_v4().to_string()
}

/// A write as it goes over the wire.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) validate_only: bool,
    /// Empty: none.
    pub(crate) request_id: String,
    pub(crate) repetition: Repetition,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(options: WriteOptions, retry: &RetryPolicy) -> (bool, String, Repetition) {
        let Write { validate_only, request_id, repetition } = options.resolve(retry);
        (validate_only, request_id, repetition)
    }

    #[test]
    fn an_id_is_drawn_for_each_write_that_may_be_repeated() {
        let retry = RetryPolicy::default();
        let draw = || resolved(WriteOptions::default(), &retry);
        let ((_, first, repetition), (_, second, _)) = (draw(), draw());
        assert_eq!(repetition, Repetition::Recognised);
        assert_ne!(first, second);
        let id: uuid::Uuid = first.parse().unwrap();
        assert_eq!((id.get_version_num(), id.to_string()), (4, first));
        assert_eq!(
            resolved(WriteOptions::default(), &RetryPolicy::never()),
            (false, String::new(), Repetition::Decided)
        );
    }

    #[test]
    fn the_callers_own_id_is_taken_as_it_is() {
        for retry in [RetryPolicy::default(), RetryPolicy::never()] {
            let given = resolved(WriteOptions::request_id("an id"), &retry);
            assert_eq!(given, (false, "an id".to_owned(), Repetition::Recognised));
            let none = resolved(WriteOptions::request_id(""), &retry);
            assert_eq!(none, (false, String::new(), Repetition::Decided));
        }
    }

    #[test]
    fn what_only_checks_is_repeated_as_a_read_and_needs_no_id() {
        let checked = resolved(WriteOptions::validate_only(), &RetryPolicy::default());
        assert_eq!(checked, (true, String::new(), Repetition::Read));
    }
}
