//! Which methods are for probes and tools: those that the gRPC framework serves, not the contract.

/// Health is for probes: without TLS, without identity, without permission.
pub(super) fn is_health(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/")
}

/// Health and reflection: their messages are small, and nobody but the framework reads them.
pub(super) fn takes_small_messages(path: &str) -> bool {
    is_health(path) || path.starts_with("/grpc.reflection.")
}
