//! A method as the client calls it: its path, and what becomes of a repetition; what follows from that is for [`retry`](crate::retry).
//!
//! Both come from the contract: [`sealward::methods`] has a constant for each method, and [`schema`](crate::schema) reads the methods of
//! entities that are known only at run time. Where a repetition depends on the request, the call decides.

use std::borrow::Cow;

/// A method of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    /// `/sealward.mail.v1.MailboxService/GetMailbox`.
    pub(crate) path: Cow<'static, str>,
    /// Whether a call of it can be made again without asking anyone.
    pub(crate) repetition: Repetition,
}

/// What becomes of a call that is made again although it may have been made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repetition {
    /// Nothing, except that it may leave another audit record.
    Read,
    /// The service recognises it, by its request id or because there is nothing left to do, and answers as if it were the first.
    Recognised,
    /// Something else than the first time: whether to is somebody's decision.
    Decided,
}

impl Repetition {
    /// What the options of a method say, whatever is in the request.
    pub(crate) const fn of_method(is_idempotent: bool) -> Self {
        if is_idempotent { Self::Read } else { Self::Decided }
    }
}

impl Method {
    /// A method of the contract.
    pub(crate) const fn of(method: sealward::methods::Method) -> Self {
        Self { path: Cow::Borrowed(method.path), repetition: Repetition::of_method(method.is_idempotent) }
    }

    /// The same method, for a call that is repeated otherwise.
    pub(crate) fn repeated(self, repetition: Repetition) -> Self {
        Self { repetition, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use sealward::methods;

    use super::*;
    use crate::entities;

    #[test]
    fn every_method_of_the_contract_is_wrapped() {
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
    fn only_methods_without_effects_are_repeated_whatever_is_in_the_request() {
        let repetition = |method| Method::of(method).repetition;
        for method in [methods::GetMailbox, methods::ListQueues, methods::RetrieveDataEncryptionKey] {
            assert_eq!(repetition(method), Repetition::Read, "{}", method.path);
        }
        let decided = [methods::UpdateMailbox, methods::SetDataEncryptionKey, methods::RevealAttributes];
        for method in decided {
            assert_eq!(repetition(method), Repetition::Decided, "{}", method.path);
        }
        for method in entities::METHODS {
            let name = method.path.rsplit('/').next().unwrap();
            let only_reads = name.starts_with("Get") || name.starts_with("List");
            let repetition = if only_reads { Repetition::Read } else { Repetition::Decided };
            assert_eq!(method.repetition, repetition, "{name}");
        }
    }
}
