//! Core's ports other than the store, implemented with the operating system and the runtime.

pub(crate) mod clock;
pub(crate) mod computation;
pub(crate) mod fail_points;
pub(crate) mod key_derivation;
pub(crate) mod random;
