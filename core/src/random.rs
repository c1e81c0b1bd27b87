//! The port for randomness. With it, tests can draw keys, nonces and ids with known values.
//!
//! core has no random generator. Every value drawn here is used as key material or as a nonce.

use std::sync::{Mutex, PoisonError};

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

/// Draws many bytes at once from another generator, because each draw is a system call. Hands out each byte once. For
/// public values only, because unused bytes stay in memory.
pub struct Pooled<'a> {
    random: &'a dyn Random,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    bytes: Vec<u8>,
    used: usize,
}

/// The maximum size of a draw, the bytes of 170 nonces: a draw then costs less than the nonces' use.
const POOL_BYTES: usize = 4_096;

impl<'a> Pooled<'a> {
    /// Creates a pool without bytes. The first draw has the required size, and each of the next ones twice the size of
    /// the last one.
    pub fn new(random: &'a dyn Random) -> Self {
        Pooled { random, pool: Mutex::default() }
    }
}

impl Random for Pooled<'_> {
    fn fill(&self, bytes: &mut [u8]) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let Pool { bytes: drawn, used } = &mut *pool;
        for part in bytes.chunks_mut(POOL_BYTES) {
            if drawn.len() - *used < part.len() {
                drawn.resize((2 * drawn.len()).clamp(part.len(), POOL_BYTES), 0);
                self.random.fill(drawn);
                *used = 0;
            }
            let (_, unused) = drawn.split_at(*used);
            part.copy_from_slice(unused.get(..part.len()).expect("the pool has room for a part"));
            *used += part.len();
        }
    }
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
    use std::collections::BTreeSet;

    use super::{POOL_BYTES, Pooled, Random as _, bytes, testing::SeededRandom};

    #[test]
    fn pool_hands_out_each_byte_once() {
        let random = SeededRandom::new(1);
        let pooled = Pooled::new(&random);
        let drawn: BTreeSet<[u8; 24]> = (0..1_000).map(|_| bytes(&pooled)).collect();
        assert_eq!(drawn.len(), 1_000);
        let mut long = vec![0; 3 * POOL_BYTES + 5];
        pooled.fill(&mut long);
        let parts: BTreeSet<&[u8]> = long.chunks_exact(24).collect();
        assert_eq!(parts.len(), long.len() / 24);
        assert!(parts.iter().all(|part| !drawn.contains(*part)));
    }

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
