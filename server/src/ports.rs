//! Core's ports beside the store, as the operating system and the runtime fill them.

pub(crate) mod clock;
pub(crate) mod fail_points;
pub(crate) mod key_derivation;
pub(crate) mod random;
