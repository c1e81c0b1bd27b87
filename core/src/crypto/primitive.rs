//! The algorithms: XAES-256-GCM, HMAC, HKDF and PBKDF2 with SHA-256. This is the only file that names their
//! implementations.
//!
//! It doesn't know the purpose of a key or a message. Keys are plain arrays from the types of
//! [`secret`](super::secret).

use aes_gcm::{
    KeyInit as _,
    aead::{AeadInOut as _, Key, array::Array},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use xaes_256_gcm::Xaes256Gcm;
use zeroize::Zeroizing;

/// Length of a nonce in bytes: long enough to be drawn at random for 2^80 messages under one key.
pub(crate) const NONCE_BYTES: usize = 24;

/// Length of an authentication tag in bytes.
pub(crate) const TAG_BYTES: usize = 16;

/// XAES-256-GCM (C2SP) under one key. The key schedule is computed once and kept on the heap, so that moving the value
/// leaves no copies. Wiped on drop.
pub(crate) struct Aead(Box<Xaes256Gcm>);

impl Aead {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Box::new(Xaes256Gcm::new(as_key(key))))
    }

    /// Returns `prefix | nonce | ciphertext | tag`. The plaintext is the concatenation of `plaintext_parts`. It is
    /// copied only to the buffer in which it is encrypted in place.
    pub(crate) fn seal(
        &self,
        prefix: &[u8],
        nonce: &[u8; NONCE_BYTES],
        associated_data: &[u8],
        plaintext_parts: &[&[u8]],
    ) -> Vec<u8> {
        let plaintext_bytes: usize = plaintext_parts.iter().map(|part| part.len()).sum();
        let plaintext_start = prefix.len() + NONCE_BYTES;
        // The exact capacity, because growing would leave a copy of the plaintext in memory.
        let mut sealed = Vec::with_capacity(plaintext_start + plaintext_bytes + TAG_BYTES);
        sealed.extend_from_slice(prefix);
        sealed.extend_from_slice(nonce);
        for part in plaintext_parts {
            sealed.extend_from_slice(part);
        }
        let (_, buffer) = sealed.split_at_mut(plaintext_start);
        let tag = self
            .0
            .encrypt_inout_detached(&Array::from(*nonce), associated_data, buffer.into())
            .expect("a value held in memory is shorter than GCM's 64 GiB");
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// Returns the plaintext, or `None` unless [`seal`](Self::seal) created `sealed` under this key with the same
    /// associated data.
    pub(crate) fn open(&self, sealed: &Sealed<'_>, associated_data: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut buffer = Zeroizing::new(sealed.ciphertext.to_vec());
        self.0
            .decrypt_inout_detached(
                &Array::from(*sealed.nonce),
                associated_data,
                buffer.as_mut_slice().into(),
                &Array::from(*sealed.tag),
            )
            .ok()?;
        Some(buffer)
    }
}

/// The parts of `nonce | ciphertext | tag`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<'a> {
    nonce: &'a [u8; NONCE_BYTES],
    pub(crate) ciphertext: &'a [u8],
    tag: &'a [u8; TAG_BYTES],
}

impl<'a> Sealed<'a> {
    /// Splits `nonce | ciphertext | tag`. Returns `None` if the bytes are too short for nonce and tag.
    pub(crate) fn split(bytes: &'a [u8]) -> Option<Self> {
        let (nonce, rest) = bytes.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        Some(Self { nonce, ciphertext, tag })
    }
}

/// Computes HMAC-SHA-256 (RFC 2104).
pub(crate) fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Fills `derived` by HKDF-SHA-256 (RFC 5869) without salt, with the label as info. Each label gives an independent
/// key.
pub(crate) fn hkdf(key: &[u8; 32], label: &str, derived: &mut [u8; 32]) {
    Hkdf::<Sha256>::new(None, key).expand(label.as_bytes(), derived).expect("32 bytes are below HKDF's limit of 8160");
}

/// Fills `derived` by PBKDF2-HMAC-SHA-256 (RFC 8018). It is slow on purpose.
pub(crate) fn pbkdf2(text: &[u8], salt: &[u8], iterations: u32, derived: &mut [u8]) {
    pbkdf2_hmac::<Sha256>(text, salt, iterations, derived);
}

/// Compares in a time that depends only on the lengths.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

fn as_key(key: &[u8; 32]) -> &Key<Xaes256Gcm> {
    key.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::testing::unhex;

    /// Test vectors from <https://github.com/C2SP/C2SP/blob/main/XAES-256-GCM.md>.
    #[test]
    fn xaes_256_gcm_matches_the_test_vectors() {
        let nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX";
        let answers: [([u8; 32], &[u8], &str); 2] = [
            ([1; 32], b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            ([3; 32], b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
        ];
        for (key, associated_data, answer) in answers {
            let aead = Aead::new(&key);
            let sealed = aead.seal(b"", nonce, associated_data, &[b"XAES-", b"256-GCM"]);
            assert_eq!(sealed, [nonce.as_slice(), &unhex(answer)].concat());
            let opened = aead.open(&Sealed::split(&sealed).unwrap(), associated_data).unwrap();
            assert_eq!(opened.as_slice(), b"XAES-256-GCM");
        }
    }

    /// RFC 7914, section 11.
    #[test]
    fn pbkdf2_matches_the_test_vectors() {
        let mut derived = [0; 64];
        pbkdf2(b"passwd", b"salt", 1, &mut derived);
        assert_eq!(
            derived.as_slice(),
            unhex(
                "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc
                 49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"
            )
        );
        pbkdf2(b"Password", b"NaCl", 80_000, &mut derived);
        assert_eq!(
            derived.as_slice(),
            unhex(
                "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56
                 a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d"
            )
        );
    }

    /// RFC 5869, appendix A.3, which has no salt. Its info is empty and its key has 22 bytes, so the test doesn't call
    /// `hkdf`. The output is truncated to 32 bytes.
    #[test]
    fn hkdf_and_hmac_match_the_test_vectors() {
        let mut derived = [0; 32];
        Hkdf::<Sha256>::new(None, &[0x0b; 22]).expand(b"", &mut derived).unwrap();
        assert_eq!(
            derived.as_slice(),
            &unhex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")[..32]
        );
        // RFC 4231, test case 2. HMAC pads its key "Jefe" with zeros.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(
            hmac(&key, b"what do ya want for nothing?").as_slice(),
            unhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        );
    }

    #[test]
    fn each_label_derives_a_different_key() {
        let derive = |label| {
            let mut derived = [0; 32];
            hkdf(&[7; 32], label, &mut derived);
            derived
        };
        assert_ne!(derive("a"), derive("b"));
        assert_eq!(derive("a"), derive("a"));
    }
}
