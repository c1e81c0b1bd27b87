//! The methods for probes and tools, which tonic serves and the contract doesn't contain.

/// Whether a path is a health check, which needs no TLS, identity or permission.
pub(super) fn is_health(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/")
}

/// Whether a path is health or reflection, whose messages are small.
pub(super) fn takes_small_messages(path: &str) -> bool {
    is_health(path) || path.starts_with("/grpc.reflection.")
}
