//! Checks `tls.spiffe_workload_api` and the settings that belong to it.

use std::path::{Path, PathBuf};

use sealward_core::identity::Identity;

use super::{faults::Faults, hops, model::WorkloadApi};

const SETTING: &str = "tls.spiffe_workload_api";

/// Characters that have another meaning in a URI than in a path.
const NOT_IN_PATHS: [char; 3] = ['?', '#', '%'];

pub(super) fn check(
    endpoint: &str,
    spiffe_id: Option<&str>,
    agent_uid: Option<i64>,
    faults: &mut Faults,
) -> WorkloadApi {
    let socket = match path(endpoint) {
        Ok(path) => path.to_owned(),
        Err(problem) => {
            faults.add(SETTING, problem);
            PathBuf::new()
        }
    };
    let spiffe_id = spiffe_id.and_then(|text| match text.parse() {
        Ok(Identity::Spiffe(id)) => Some(id),
        Ok(Identity::Dns(_) | Identity::CommonName(_) | Identity::Jwt { .. }) => {
            faults.add("tls.spiffe_id", format!("`{text}` is not a SPIFFE id: write spiffe:TRUST-DOMAIN/PATH"));
            None
        }
        Err(error) => {
            faults.add("tls.spiffe_id", error.to_string());
            None
        }
    });
    let agent_uid = agent_uid.and_then(|uid| {
        let user = hops::user(uid);
        if user.is_none() {
            faults.add("tls.spiffe_agent_uid", hops::NOT_A_USER);
        }
        user
    });
    WorkloadApi { socket, spiffe_id, agent_uid }
}

/// The path of a socket in the forms of the standard [SPIFFE_Workload_Endpoint], section 4: `unix:///path` or `unix:/path`.
///
/// [SPIFFE_Workload_Endpoint]: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md
fn path(endpoint: &str) -> Result<&Path, String> {
    let Some(rest) = endpoint.strip_prefix("unix:") else {
        return Err(format!(
            "`{endpoint}` is not a Unix socket: write unix:///PATH, such as unix:///run/spire/sockets/agent.sock"
        ));
    };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(format!("`{endpoint}` has no absolute path: write unix:///PATH, with three slashes"));
    }
    if path.contains(NOT_IN_PATHS) || path.contains(char::is_control) {
        return Err(format!(
            "`{}` contains `?`, `#`, `%` or a control character: use another path",
            endpoint.escape_debug()
        ));
    }
    if path.len() > hops::SOCKET_PATH_MAX_BYTES {
        return Err(format!("has a path longer than {} bytes: use a shorter one", hops::SOCKET_PATH_MAX_BYTES));
    }
    Ok(Path::new(path))
}
