//! The permission table: every rpc, with the privilege that calling it needs. One that isn't in it is denied.

use std::collections::HashMap;

use sealward_core::policy::Privilege;

use super::mail;
use crate::{
    layer::permission::{Rpc, RpcTable},
    schema::{EntityMethod, ServedSchema, StandardMethod},
};

/// The rpcs of the platform that are not an entity's, and whether a stream is taken or answered. `SetDataEncryptionKey` needs one of two privileges, by what
/// it is asked to do: any of them gets it looked at, and the dispatcher asks for the one.
const RPCS: &[(&str, &[Privilege], bool)] = &[
    ("/sealward.v1.AccessService/ExplainAccess", &[Privilege::ReadAccess], false),
    ("/sealward.v1.AuditService/ListAuditRecords", &[Privilege::ReadAuditTrail], false),
    ("/sealward.v1.AuditService/VerifyAuditTrail", &[Privilege::ReadAuditTrail], false),
    ("/sealward.v1.DataEncryptionService/IsDataEncryptionActive", &[Privilege::ReadEncryptionState], false),
    ("/sealward.v1.DataEncryptionService/RetrieveDataEncryptionKey", &[Privilege::ReadEncryptionKey], false),
    (
        "/sealward.v1.DataEncryptionService/SetDataEncryptionKey",
        &[Privilege::ChangeEncryptionKey, Privilege::RestoreEncryptionKey],
        false,
    ),
    ("/sealward.v1.DataEncryptionService/WatchReencryption", &[Privilege::ReadEncryptionState], true),
    ("/sealward.v1.DataEncryptionService/ListUnreadableCells", &[Privilege::ReadEncryptionState], false),
    ("/sealward.v1.DataEncryptionService/VerifyCells", &[Privilege::ReadEncryptionState], true),
    ("/sealward.v1.DataEncryptionService/ListKeyChanges", &[Privilege::ReadEncryptionState], false),
    ("/sealward.v1.DataEncryptionService/AbandonEncryptedData", &[Privilege::AbandonEncryptedData], false),
    ("/sealward.v1.OrganizationService/CreateOrganization", &[Privilege::CreateOrganizations], false),
    ("/sealward.v1.OrganizationService/GetOrganization", &[Privilege::ReadOrganizations], false),
    ("/sealward.v1.OrganizationService/ListOrganizations", &[Privilege::ReadOrganizations], false),
    ("/sealward.v1.OrganizationService/ExportOrganization", &[Privilege::ExportOrganizations], true),
    ("/sealward.v1.OrganizationService/ImportOrganization", &[Privilege::CreateOrganizations], true),
    ("/sealward.v1.OrganizationService/DeleteOrganization", &[Privilege::DeleteOrganizations], false),
    ("/sealward.v1.MetadataService/ListEntityMetadata", &[Privilege::ReadContract], false),
    ("/sealward.v1.MetadataService/GetEntityMetadata", &[Privilege::ReadContract], false),
    ("/sealward.v1.MetadataService/UpdateAttributeMetadata", &[Privilege::CustomizeAttributes], false),
    ("/sealward.v1.MetadataService/ListAttributeChanges", &[Privilege::ReadAttributeChanges], false),
    ("/sealward.v1.SecretAccessService/RevealAttributes", &[Privilege::RevealAttributes], false),
    ("/sealward.v1.SecretAccessService/CompareAttribute", &[Privilege::CompareAttributes], false),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &[Privilege::ReadContract], true),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &[Privilege::ReadContract], true),
];

/// Those of them that take a stream.
const TAKING_STREAMS: [&str; 3] = [
    "/sealward.v1.OrganizationService/ImportOrganization",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Those of them that belong to no organization: their callers need a binding to every one.
const OF_THE_DEPLOYMENT: [&str; 4] = [
    "/sealward.v1.AccessService/ExplainAccess",
    "/sealward.v1.OrganizationService/CreateOrganization",
    "/sealward.v1.OrganizationService/ImportOrganization",
    "/sealward.v1.OrganizationService/DeleteOrganization",
];

/// Whether a binding to single organizations isn't enough for the rpc of this path.
pub(crate) fn is_of_the_deployment(path: &str) -> bool {
    OF_THE_DEPLOYMENT.contains(&path)
}

/// Open to every caller with an identity: it is how a caller finds out which roles it has, if any.
const WHO_AM_I: &str = "/sealward.v1.AccessService/WhoAmI";

/// The privilege that a standard method of an entity needs.
fn standard_privilege(method: &EntityMethod) -> Privilege {
    match method.standard {
        StandardMethod::Get | StandardMethod::List => Privilege::ReadRecords,
        StandardMethod::Create | StandardMethod::Update | StandardMethod::Delete => method.entity.write_privilege,
    }
}

/// The table of everything that is served.
pub(crate) fn rpc_table(served: &ServedSchema) -> RpcTable {
    let of_mail = if mail::is_served(served) { mail::RPCS } else { &[] };
    let named = RPCS.iter().chain(of_mail).map(|(path, privileges, is_stream)| {
        let rpc = Rpc::new(privileges, *is_stream);
        let rpc = if TAKING_STREAMS.contains(path) { rpc.taking_a_stream() } else { rpc };
        ((*path).to_owned(), rpc)
    });
    let entities =
        served.methods.iter().map(|method| (method.path.clone(), Rpc::new(&[standard_privilege(method)], false)));
    let open = std::iter::once((WHO_AM_I.to_owned(), Rpc::for_every_identity()));
    RpcTable::new(named.chain(entities).chain(open).collect::<HashMap<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_of_the_contract_is_named() {
        for (contract, count) in [(sealward::FILE_DESCRIPTOR_SET, 45), (sealward::PLATFORM_DESCRIPTOR_SET, 24)] {
            every_rpc_is_named(contract, count);
        }
    }

    /// The table has the rpcs of this contract, each as it is declared, and besides them only reflection.
    #[track_caller]
    fn every_rpc_is_named(contract: &[u8], count: usize) {
        let pool = prost_reflect::DescriptorPool::decode(contract).unwrap();
        let table = rpc_table(&crate::schema::read(contract).unwrap());
        let mut rpcs = 0;
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let rpc = table.get(&path).unwrap_or_else(|| panic!("{path} is not in the table"));
            assert_eq!(rpc.privileges().is_empty(), path == WHO_AM_I, "{path}");
            assert_eq!(rpc.is_stream, method.is_server_streaming() || method.is_client_streaming(), "{path}");
            assert_eq!(rpc.takes_stream, method.is_client_streaming(), "{path}");
            rpcs += 1;
        }
        assert_eq!(rpcs, count);
        assert_eq!(table.in_order().keys().filter(|path| !path.starts_with("/grpc.")).count(), count);
    }
}
