//! The permission table: every served rpc with its requirements. Calls of other rpcs are refused.
//!
//! The contract declares the requirements of our methods in the option `sealward.schema.v1.method`. The two standard services don't have
//! this option. The requirements of reflection are here. Health needs no identity and isn't in the table: the layers let it pass.

use std::collections::HashMap;

use sealward_core::policy::Privilege;

use crate::{
    gates::permission::{Rpc, RpcTable},
    schema::ServedSchema,
};

/// The rpcs of reflection. Each takes and returns a stream.
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The table of all served rpcs.
pub(crate) fn rpc_table(served: &ServedSchema) -> RpcTable {
    let ours = served.needs.iter().map(|needs| (needs.path.clone(), Rpc::of(needs)));
    let reflection =
        REFLECTION.map(|path| (path.to_owned(), Rpc::new(&[Privilege::ReadContract], true).taking_a_stream()));
    RpcTable::new(ours.chain(reflection).collect::<HashMap<_, _>>())
}

#[cfg(test)]
mod tests {
    use sealward_core::{audit::AuditAction, mail::resolve::RESOLVE};

    use super::*;

    fn table() -> RpcTable {
        rpc_table(&crate::schema::read(sealward::FILE_DESCRIPTOR_SET).unwrap())
    }

    #[test]
    fn every_rpc_of_the_contract_is_named() {
        for contract in [sealward::FILE_DESCRIPTOR_SET, sealward::PLATFORM_DESCRIPTOR_SET] {
            every_rpc_is_named(contract);
        }
        assert_eq!(table().in_order().len(), sealward::methods::ALL.len() + REFLECTION.len());
    }

    /// Checks that the table has the rpcs of this contract as declared, and reflection, but no others.
    #[track_caller]
    fn every_rpc_is_named(contract: &[u8]) {
        let pool = prost_reflect::DescriptorPool::decode(contract).unwrap();
        let table = rpc_table(&crate::schema::read(contract).unwrap());
        let mut rpcs = 0;
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let rpc = table.get(&path).unwrap_or_else(|| panic!("{path} is not in the table"));
            let is_for_every_identity =
                [sealward::methods::WhoAmI.path, sealward::methods::GetServerInfo.path].contains(&&*path);
            assert_eq!(rpc.is_for_every_identity(), is_for_every_identity, "{path}");
            assert_eq!(rpc.privileges().is_empty(), rpc.is_for_every_identity(), "{path}");
            assert_eq!(rpc.is_stream, method.is_server_streaming() || method.is_client_streaming(), "{path}");
            assert_eq!(rpc.takes_stream, method.is_client_streaming(), "{path}");
            rpcs += 1;
        }
        assert_eq!(table.in_order().len(), rpcs + REFLECTION.len());
    }

    #[test]
    fn refusal_is_recorded_with_the_action_of_the_missing_privilege() {
        let table = table();
        let refused = |method: sealward::methods::Method, privilege| {
            let rpc = table.get(method.path).unwrap();
            (rpc.refused_as(privilege), rpc.records_calls())
        };
        let set = sealward::methods::SetDataEncryptionKey;
        assert_eq!(refused(set, Privilege::ChangeEncryptionKey), (AuditAction::ChangeKey, true));
        assert_eq!(refused(set, Privilege::RestoreEncryptionKey), (AuditAction::RestoreKey, true));
        let list = sealward::methods::ListAuditRecords;
        assert_eq!(refused(list, Privilege::ReadAuditTrail), (AuditAction::ReadAuditTrail, false));
        let resolve = sealward::methods::ResolveMailboxConnection;
        assert_eq!(refused(resolve, Privilege::RevealAttributes), (RESOLVE, true));
        let get = sealward::methods::GetMailbox;
        assert_eq!(refused(get, Privilege::ReadRecords), (AuditAction::Call, false));
    }
}
