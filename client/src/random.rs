//! Random bytes from the operating system, for key texts, idempotency keys and jitter.

/// Fills `bytes` with random bytes from the operating system.
///
/// # Panics
/// If the operating system returns no random bytes: there is no safe fallback.
#[expect(
    clippy::disallowed_methods,
    reason = "the ports for randomness are in core, and the client doesn't depend on core"
)]
pub(crate) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system returns random bytes");
}

/// Generates a UUID of version 4 (RFC 9562).
pub(crate) fn uuid_v4() -> uuid::Uuid {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Returns a random number from 0 to 1.
pub(crate) fn fraction() -> f64 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
