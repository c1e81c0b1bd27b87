//! The client's one door to the system's randomness.
//!
//! It isn't passed in, as the server does it: what is drawn here is a key text for an administrator, the id of a request and the jitter
//! of a pause; what is more than bytes has a pure part that takes them and is tested with them.

/// Fills `bytes` from the operating system.
///
/// # Panics
/// If the system has no randomness to give, in which case there is no safe way on.
#[expect(
    clippy::disallowed_methods,
    reason = "the ports that pass randomness in are core's, and the client doesn't depend on core"
)]
pub(crate) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives randomness");
}

/// A UUID of version 4 (RFC 9562).
pub(crate) fn uuid_v4() -> uuid::Uuid {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// A number from 0 to 1, for jitter.
pub(crate) fn fraction() -> f64 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
