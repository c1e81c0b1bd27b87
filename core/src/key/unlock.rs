//! Opens a stored ring with a text from a caller.

use crate::{
    crypto::{
        key_text,
        ring::{KeyRing, RingError, stored::StoredRing},
        secret::{Kek, KeyText},
    },
    deployment::Deployment,
    id::OrganizationId,
    key::error::KeyError,
    organization::keys::Obstacle,
};

/// An open ring, with the text and the KEK that opened it.
pub(crate) struct Unlocked {
    pub(crate) ring: KeyRing,
    pub(crate) text: KeyText,
    pub(crate) kek: Kek,
}

/// Derives the KEK of `text`, and opens the ring of this organization with it. Count the attempt first.
///
/// # Errors
/// [`KeyError::Mismatch`] if it is the text of another key; [`KeyError::Inaccessible`] if a newer version wrote the ring;
/// [`KeyError::RingDamaged`].
pub(crate) async fn unlock(
    deployment: &Deployment,
    stored: &StoredRing,
    organization: OrganizationId,
    text: KeyText,
) -> Result<Unlocked, KeyError> {
    let (given_length, hints) = (text.length(), key_text::hints(&text));
    let (text, kek) = deployment.ports.key_derivation.derive(text, stored.kdf).await;
    let kek = kek.map_err(|_| KeyError::RingDamaged)?;
    match KeyRing::open(stored, organization, &kek) {
        Ok(ring) => Ok(Unlocked { ring, text, kek }),
        Err(RingError::KeyMismatch) => Err(KeyError::Mismatch { wanted: stored.fingerprint(), given_length, hints }),
        Err(RingError::Newer { format }) => Err(KeyError::Inaccessible(Obstacle::NewerRing { format })),
        Err(RingError::Damaged(_)) => Err(KeyError::RingDamaged),
    }
}
