//! Generates `clients/service_config.json`: a gRPC service config with the calls that a client may repeat.
//!
//! The format is that of [gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md). It lists the unary methods that change
//! nothing but the audit trail. A method whose repetition is safe only with an idempotency key isn't in the list, because a service config
//! can't depend on the request.

use sealward::options::{self, Idempotency};
use serde_json::{Value, json};

use crate::contract;

/// The attempts of a call, including the first: as in the Rust client's `RetryPolicy`.
const ATTEMPTS_MAX: u32 = 4;
/// The pause before the first repetition. Later pauses double.
const PAUSE_FIRST: &str = "0.1s";
/// The maximum pause.
const PAUSE_MAX: &str = "5s";

/// The service config.
pub(crate) fn document() -> String {
    let pool = contract::pool();
    let methods = contract::files(&pool).into_iter().flat_map(|file| file.services().collect::<Vec<_>>());
    let repeatable: Vec<Value> = methods
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(|method| !method.is_client_streaming() && !method.is_server_streaming())
        .filter(|method| options::idempotency(method) != Idempotency::Unknown)
        .map(|method| json!({"service": method.parent_service().full_name(), "method": method.name()}))
        .collect();
    let config = json!({
        "methodConfig": [{
            "name": repeatable,
            "retryPolicy": {
                "maxAttempts": ATTEMPTS_MAX,
                "initialBackoff": PAUSE_FIRST,
                "maxBackoff": PAUSE_MAX,
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }],
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn service_config_of_the_clients_is_up_to_date() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/service_config.json");
        let written = fs::read_to_string(file).unwrap_or_default();
        assert_eq!(written, document(), "clients/service_config.json is stale: run `cargo xtask generate`");
    }

    #[test]
    fn only_unary_reads_are_repeated() {
        let config = document();
        for repeated in ["GetMailbox", "ListQueues", "RetrieveDataEncryptionKey", "WhoAmI"] {
            assert!(config.contains(&format!("\"{repeated}\"")), "{repeated}");
        }
        for other in
            ["CreateMailbox", "SetDataEncryptionKey", "RevealAttributes", "WatchReencryption", "DeleteOrganization"]
        {
            assert!(!config.contains(&format!("\"{other}\"")), "{other}");
        }
    }
}
