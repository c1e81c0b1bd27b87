//! Every method that isn't an entity's: its path, and whether the client may repeat it unasked; what follows from that is for
//! [`retry`](crate::retry).
//!
//! The methods of entities stand with [`entities`](crate::entities), and those found in descriptors with [`schema`](crate::schema).

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
    /// Nothing: it changes nothing.
    Read,
    /// The service recognises it, by its request id or because there is nothing left to do, and answers as if it were the first.
    Recognised,
    /// Something else than the first time: whether to is somebody's decision.
    Decided,
}

impl Method {
    /// A method that only reads.
    pub(crate) const fn read(path: &'static str) -> Self {
        Self { path: Cow::Borrowed(path), repetition: Repetition::Read }
    }

    /// A method that changes something, or whose every call has to be somebody's decision.
    pub(crate) const fn write(path: &'static str) -> Self {
        Self { path: Cow::Borrowed(path), repetition: Repetition::Decided }
    }

    /// The same method, for a call that is repeated otherwise.
    pub(crate) fn repeated(self, repetition: Repetition) -> Self {
        Self { repetition, ..self }
    }
}

pub(crate) const WHO_AM_I: Method = Method::read("/sealward.v1.AccessService/WhoAmI");
pub(crate) const EXPLAIN_ACCESS: Method = Method::read("/sealward.v1.AccessService/ExplainAccess");

pub(crate) const LIST_AUDIT_RECORDS: Method = Method::read("/sealward.v1.AuditService/ListAuditRecords");
/// Each call leaves a record, which says that there was one more.
pub(crate) const VERIFY_AUDIT_TRAIL: Method = Method::read("/sealward.v1.AuditService/VerifyAuditTrail");

pub(crate) const IS_ACTIVE: Method = Method::read("/sealward.v1.DataEncryptionService/IsDataEncryptionActive");
pub(crate) const RETRIEVE_KEY: Method = Method::read("/sealward.v1.DataEncryptionService/RetrieveDataEncryptionKey");
/// A change is recognised by its text, which then is the key already. A restore is not: a wrong try counts each time, and the right one
/// is an error the second time.
pub(crate) const SET_KEY: Method = Method::write("/sealward.v1.DataEncryptionService/SetDataEncryptionKey");
pub(crate) const WATCH_REENCRYPTION: Method = Method::read("/sealward.v1.DataEncryptionService/WatchReencryption");
pub(crate) const LIST_UNREADABLE_CELLS: Method = Method::read("/sealward.v1.DataEncryptionService/ListUnreadableCells");
pub(crate) const VERIFY_CELLS: Method = Method::read("/sealward.v1.DataEncryptionService/VerifyCells");
pub(crate) const LIST_KEY_CHANGES: Method = Method::read("/sealward.v1.DataEncryptionService/ListKeyChanges");
/// The second time it is an error.
pub(crate) const ABANDON: Method = Method::write("/sealward.v1.DataEncryptionService/AbandonEncryptedData");

pub(crate) const LIST_ENTITY_METADATA: Method = Method::read("/sealward.v1.MetadataService/ListEntityMetadata");
pub(crate) const GET_ENTITY_METADATA: Method = Method::read("/sealward.v1.MetadataService/GetEntityMetadata");
/// Between the first and a repetition somebody may have chosen otherwise.
pub(crate) const UPDATE_ATTRIBUTE_METADATA: Method =
    Method::write("/sealward.v1.MetadataService/UpdateAttributeMetadata");
pub(crate) const LIST_ATTRIBUTE_CHANGES: Method = Method::read("/sealward.v1.MetadataService/ListAttributeChanges");

/// A repetition of one that was made says that the organization exists, which may be somebody else's.
pub(crate) const CREATE_ORGANIZATION: Method = Method::write("/sealward.v1.OrganizationService/CreateOrganization");
pub(crate) const GET_ORGANIZATION: Method = Method::read("/sealward.v1.OrganizationService/GetOrganization");
pub(crate) const LIST_ORGANIZATIONS: Method = Method::read("/sealward.v1.OrganizationService/ListOrganizations");
/// It reads, but each call leaves an audit record.
pub(crate) const EXPORT_ORGANIZATION: Method = Method::write("/sealward.v1.OrganizationService/ExportOrganization");
pub(crate) const IMPORT_ORGANIZATION: Method = Method::write("/sealward.v1.OrganizationService/ImportOrganization");
/// Between the first and a repetition somebody may have created another one of that name.
pub(crate) const DELETE_ORGANIZATION: Method = Method::write("/sealward.v1.OrganizationService/DeleteOrganization");

/// It reads, but each call leaves an audit record, and the purpose was given for one.
pub(crate) const REVEAL_ATTRIBUTES: Method = Method::write("/sealward.v1.SecretAccessService/RevealAttributes");

/// It reads, but each call leaves an audit record, and the purpose was given for one.
pub(crate) const RESOLVE_MAILBOX_CONNECTION: Method =
    Method::write("/sealward.mail.v1.MailboxConnectionService/ResolveMailboxConnection");

/// Each call counts as a guess, and the purpose was given for one.
pub(crate) const COMPARE_ATTRIBUTE: Method = Method::write("/sealward.v1.SecretAccessService/CompareAttribute");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{entities, schema::built_in_pool};

    #[test]
    fn every_method_of_the_contract_is_wrapped() {
        let wrapped = [
            WHO_AM_I,
            EXPLAIN_ACCESS,
            LIST_AUDIT_RECORDS,
            VERIFY_AUDIT_TRAIL,
            IS_ACTIVE,
            RETRIEVE_KEY,
            SET_KEY,
            WATCH_REENCRYPTION,
            LIST_UNREADABLE_CELLS,
            VERIFY_CELLS,
            LIST_KEY_CHANGES,
            ABANDON,
            LIST_ENTITY_METADATA,
            GET_ENTITY_METADATA,
            UPDATE_ATTRIBUTE_METADATA,
            LIST_ATTRIBUTE_CHANGES,
            CREATE_ORGANIZATION,
            GET_ORGANIZATION,
            LIST_ORGANIZATIONS,
            EXPORT_ORGANIZATION,
            IMPORT_ORGANIZATION,
            DELETE_ORGANIZATION,
            REVEAL_ATTRIBUTES,
            RESOLVE_MAILBOX_CONNECTION,
            COMPARE_ATTRIBUTE,
        ];
        let wrapped: BTreeSet<String> =
            wrapped.iter().chain(entities::METHODS).map(|method| method.path.clone().into_owned()).collect();
        let contract: BTreeSet<String> = built_in_pool()
            .services()
            .filter(|service| service.package_name().starts_with("sealward."))
            .flat_map(|service| {
                let full_name = service.full_name().to_owned();
                service.methods().map(move |method| format!("/{full_name}/{}", method.name())).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(wrapped, contract);
    }

    #[test]
    fn only_methods_that_read_are_repeated_whatever_is_in_the_request() {
        for method in entities::METHODS {
            let name = method.path.rsplit('/').next().unwrap();
            let only_reads = name.starts_with("Get") || name.starts_with("List");
            let repetition = if only_reads { Repetition::Read } else { Repetition::Decided };
            assert_eq!(method.repetition, repetition, "{name}");
        }
    }
}
