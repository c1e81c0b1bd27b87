//! Options of writes: dry runs and idempotency keys. [`retry`](crate::retry) decides on retries.

use crate::{method::RetrySafety, random, retry::RetryPolicy};

/// Options of a create, update or delete. The default is a write with a generated idempotency key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Dry run: validates the request and changes nothing. The answer is that of the write.
    pub validate_only: bool,
    /// Idempotency key: a UUID in lower case with hyphens, which the server remembers for 24 hours. Calls with the same id take effect once,
    /// also from another process. If you store the id before the call, you can repeat the call after a crash. `None` generates an id, unless the
    /// [`RetryPolicy`] has no retries. Empty disables the key and retries. Ignored with `validate_only`.
    pub request_id: Option<String>,
}

impl WriteOptions {
    /// Options for a dry run.
    #[must_use]
    pub fn validate_only() -> Self {
        Self { validate_only: true, request_id: None }
    }

    /// Options with an idempotency key; see [`new_request_id`].
    #[must_use]
    pub fn request_id(id: impl Into<String>) -> Self {
        Self { validate_only: false, request_id: Some(id.into()) }
    }

    /// Resolves the options to the fields of the request.
    pub(crate) fn resolve(self, retry: &RetryPolicy) -> ResolvedWrite {
        let Self { validate_only, request_id } = self;
        if validate_only {
            let request_id = request_id.unwrap_or_default();
            return ResolvedWrite { validate_only, request_id, retry_safety: RetrySafety::ReadOnly };
        }
        let request_id = request_id.or_else(|| retry.allows_retries().then(new_request_id)).unwrap_or_default();
        let retry_safety = if request_id.is_empty() { RetrySafety::Unsafe } else { RetrySafety::Idempotent };
        ResolvedWrite { validate_only, request_id, retry_safety }
    }
}

/// Generates an idempotency key for [`WriteOptions::request_id`].
#[must_use]
pub fn new_request_id() -> String {
    random::uuid_v4().to_string()
}

/// The fields of a write request, and the safety of retries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResolvedWrite {
    pub(crate) validate_only: bool,
    /// Empty without an idempotency key.
    pub(crate) request_id: String,
    pub(crate) retry_safety: RetrySafety,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(options: WriteOptions, retry: &RetryPolicy) -> (bool, String, RetrySafety) {
        let ResolvedWrite { validate_only, request_id, retry_safety } = options.resolve(retry);
        (validate_only, request_id, retry_safety)
    }

    #[test]
    fn idempotency_key_is_generated_if_the_policy_allows_retries() {
        let retry = RetryPolicy::default();
        let draw = || resolved(WriteOptions::default(), &retry);
        let ((_, first, retry_safety), (_, second, _)) = (draw(), draw());
        assert_eq!(retry_safety, RetrySafety::Idempotent);
        assert_ne!(first, second);
        let id: uuid::Uuid = first.parse().unwrap();
        assert_eq!((id.get_version_num(), id.to_string()), (4, first));
        assert_eq!(
            resolved(WriteOptions::default(), &RetryPolicy::never()),
            (false, String::new(), RetrySafety::Unsafe)
        );
    }

    #[test]
    fn request_id_of_the_caller_is_kept() {
        for retry in [RetryPolicy::default(), RetryPolicy::never()] {
            let given = resolved(WriteOptions::request_id("an id"), &retry);
            assert_eq!(given, (false, "an id".to_owned(), RetrySafety::Idempotent));
            let none = resolved(WriteOptions::request_id(""), &retry);
            assert_eq!(none, (false, String::new(), RetrySafety::Unsafe));
        }
    }

    #[test]
    fn validate_only_write_is_repeated_like_a_read_without_an_id() {
        let checked = resolved(WriteOptions::validate_only(), &RetryPolicy::default());
        assert_eq!(checked, (true, String::new(), RetrySafety::ReadOnly));
    }
}
