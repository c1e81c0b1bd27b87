//! The port for randomness. With it, tests can draw keys, nonces and ids with known values.
//!
//! core has no random generator. Every value drawn here is used as key material or as a nonce.

/// A cryptographically secure random generator: the operating system's.
pub trait Random: Send + Sync {
    /// Overwrites all of `bytes` with new random bytes.
    ///
    /// An implementation that can't get random bytes must not return. Otherwise a nonce or a key of zeros would be
    /// used.
    fn fill(&self, bytes: &mut [u8]);
}

/// Draws `N` random bytes for public values: nonces, salts, ids. Keys are drawn into their own types.
pub fn bytes<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut drawn = [0; N];
    random.fill(&mut drawn);
    drawn
}

/// A deterministic generator for tests.
#[cfg(test)]
pub(crate) mod testing {
    use std::sync::atomic::{AtomicU64, Ordering};

    use sha2::{Digest, Sha256};

    use super::Random;

    /// SHA-256 over seed and counter, 32 bytes at a time. Its output never changes, so golden values can depend on it.
    pub(crate) struct SeededRandom {
        seed: u64,
        next_block: AtomicU64,
    }

    impl SeededRandom {
        pub(crate) fn new(seed: u64) -> Self {
            Self { seed, next_block: AtomicU64::new(0) }
        }
    }

    impl Random for SeededRandom {
        fn fill(&self, bytes: &mut [u8]) {
            for chunk in bytes.chunks_mut(32) {
                let block = self.next_block.fetch_add(1, Ordering::Relaxed);
                let digest =
                    Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(block.to_be_bytes()).finalize();
                for (byte, drawn) in chunk.iter_mut().zip(digest) {
                    *byte = drawn;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, testing::SeededRandom};

    #[test]
    fn each_draw_differs_and_a_seed_repeats_itself() {
        let random = SeededRandom::new(1);
        let drawn: [[u8; 40]; 2] = [bytes(&random), bytes(&random)];
        assert_ne!(drawn[0], drawn[1]);
        let again = SeededRandom::new(1);
        assert_eq!(drawn, [bytes(&again), bytes(&again)]);
        assert_ne!(drawn[0], bytes(&SeededRandom::new(2)));
    }
}
