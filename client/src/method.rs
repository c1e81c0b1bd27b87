//! An rpc: its path, and whether it is safe to retry, which [`retry`](crate::retry) uses.
//!
//! Both come from the contract: [`sealward::methods`] has a constant for each method, and [`schema`](crate::schema) reads the methods of
//! entities that are known only at run time. If the safety of a retry depends on the request, the caller sets it.

use std::borrow::Cow;

/// An rpc of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    /// `/sealward.mail.v1.MailboxService/GetMailbox`.
    pub(crate) path: Cow<'static, str>,
    /// Whether calls are safe to retry.
    pub(crate) retry_safety: RetrySafety,
}

/// The effect of a retry of a call that may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetrySafety {
    /// The call changes nothing; it may add an audit record.
    ReadOnly,
    /// The service recognizes the retry by its idempotency key, and returns the same answer.
    Idempotent,
    /// The retry may have another effect than the first call. Only the caller can decide on it.
    Unsafe,
}

impl RetrySafety {
    /// The retry safety of a method, independent of the request.
    pub(crate) const fn of_method(is_idempotent: bool) -> Self {
        if is_idempotent { Self::ReadOnly } else { Self::Unsafe }
    }
}

impl Method {
    /// A method of the contract.
    pub(crate) const fn of(method: sealward::methods::Method) -> Self {
        Self { path: Cow::Borrowed(method.path), retry_safety: RetrySafety::of_method(method.is_idempotent) }
    }

    /// The same method with another retry safety.
    pub(crate) fn with_retry_safety(self, retry_safety: RetrySafety) -> Self {
        Self { retry_safety, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use sealward::methods;

    use super::*;
    use crate::entities;

    #[test]
    fn every_rpc_has_a_method() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let sources: String = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        for method in methods::ALL {
            let name = method.path.rsplit('/').next().unwrap();
            let is_called = sources.contains(&format!("Method::of(methods::{name})"));
            assert!(is_called || entities::METHODS.contains(&Method::of(*method)), "{name}");
        }
    }

    #[test]
    fn only_methods_without_effects_are_repeated_for_every_request() {
        let retry_safety = |method| Method::of(method).retry_safety;
        for method in [methods::GetMailbox, methods::ListQueues, methods::RetrieveDataEncryptionKey] {
            assert_eq!(retry_safety(method), RetrySafety::ReadOnly, "{}", method.path);
        }
        let not_idempotent = [methods::UpdateMailbox, methods::SetDataEncryptionKey, methods::RevealAttributes];
        for method in not_idempotent {
            assert_eq!(retry_safety(method), RetrySafety::Unsafe, "{}", method.path);
        }
        for method in entities::METHODS {
            let name = method.path.rsplit('/').next().unwrap();
            let only_reads = ["Get", "List", "BatchGet"].iter().any(|verb| name.starts_with(verb));
            let expected = if only_reads { RetrySafety::ReadOnly } else { RetrySafety::Unsafe };
            assert_eq!(method.retry_safety, expected, "{name}");
        }
    }
}
