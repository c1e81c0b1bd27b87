//! The only code that reads randomness from the operating system. All other code receives a [`Random`].

use sealward_core::random::Random;

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemRandom;

impl Random for SystemRandom {
    /// Aborts the process if the operating system returns no randomness: there is no safe way to continue, and no caller can cause it.
    #[expect(clippy::disallowed_methods, reason = "this is the generator that everything else is handed")]
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            tracing::error!(%error, "operating system randomness failed; the process aborts");
            std::process::abort();
        }
    }
}
