//! Signed heads: the last record of a deployment's chain is signed at intervals with Ed25519 (RFC 8032). With the
//! public key, a reader detects a trail that was rewritten as a whole, with all hashes recomputed.
//!
//! The key is derived from the root key and never stored. Another root key gives another key. The public key is
//! recorded in the chain before the first head that it signs.
//!
//! The signed message consists of these parts, each preceded by its length (4, big endian):
//!
//! `"sealward audit head v1" | writer (16) | sequence (8, big endian) | hash (32) | time (8, microseconds, big endian)`

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    audit::{
        entry::{AuditAction, AuditEntry},
        record::head,
    },
    configuration::deployment_id,
    crypto::{
        encoding::Encoding,
        root_key::{MacPurpose, RootKey, RootKeyError},
    },
    deployment::Deployment,
    id::Timestamp,
    organization::handle::Organization,
    store::{Commit, CommitError, Reader, Select, Step, Store, Unavailable},
    table::{
        audit::SignedHead,
        declare::{Columns as _, TableRow as _},
    },
};

impl SignedHead {
    /// Returns whether the signature verifies under its public key. Verification is strict: only one encoding of a
    /// signature is accepted.
    #[must_use]
    pub fn verifies(&self) -> bool {
        let message = message(self.writer, self.sequence, &self.hash, self.time);
        VerifyingKey::from_bytes(&self.public_key)
            .is_ok_and(|key| key.verify_strict(&message, &Signature::from_bytes(&self.signature)).is_ok())
    }
}

fn message(writer: Uuid, sequence: i64, hash: &[u8; 32], time: Timestamp) -> Vec<u8> {
    Encoding::new("sealward audit head v1")
        .part(writer.as_bytes())
        .part(&sequence.to_be_bytes())
        .part(hash)
        .part(&time.unix_micros().to_be_bytes())
        .into_bytes()
}

fn signing_key(root_key: &dyn RootKey, deployment: Uuid) -> Result<SigningKey, RootKeyError> {
    let seed = Zeroizing::new(root_key.mac(MacPurpose::AuditSignature, deployment.as_bytes())?);
    Ok(SigningKey::from_bytes(&seed))
}

/// Why a head was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A database is unavailable.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The root key is unavailable.
    #[error(transparent)]
    RootKey(#[from] RootKeyError),
    /// The signed head can't be stored.
    #[error("the signed head can't be stored")]
    Commit(#[from] CommitError),
}

/// Signs the head of this deployment's chain in an organization's trail, if it isn't signed yet.
///
/// # Errors
/// See [`SignError`]. The next attempt signs the head.
pub async fn sign_organization(deployment: &Deployment, organization: &Organization) -> Result<(), SignError> {
    organization.trail_is_being_signed();
    let signed = sign(deployment, &*organization.store, organization.resource_name()).await;
    if signed.is_err() {
        organization.trail_was_not_signed();
    }
    signed
}

/// Signs the head of the deployment's own trail, if it isn't signed yet.
///
/// # Errors
/// See [`SignError`]. The next attempt signs the head.
pub async fn sign_deployment(deployment: &Deployment) -> Result<(), SignError> {
    sign(deployment, &*deployment.ports.configuration, "organizations".to_owned()).await
}

async fn sign(deployment: &Deployment, store: &dyn Store, subject: String) -> Result<(), SignError> {
    let writer = deployment_id(&*deployment.ports.configuration).await?;
    let key = signing_key(&*deployment.ports.root_key, writer)?;
    let public_key = key.verifying_key().to_bytes();
    let last = last_signed(store, writer).await?;
    let Some((sequence, _)) = head(store, writer).await?.transpose().map_err(Unavailable::from)? else { return Ok(()) };
    if last.as_ref().is_some_and(|last| last.sequence >= sequence && last.public_key == public_key) {
        return Ok(());
    }
    if last.is_none_or(|last| last.public_key != public_key) {
        let entry = use_signing_key(deployment, writer, subject)?;
        store.commit(Commit::of(vec![Step::Audit(entry)])).await?;
    }
    let last = head(store, writer).await?.transpose().map_err(Unavailable::from)?;
    let Some((sequence, hash)) = last else { return Ok(()) };
    let time = deployment.now();
    let signature = key.sign(&message(writer, sequence, &hash, time)).to_bytes();
    let head = SignedHead { writer, sequence, hash, time, public_key, signature };
    match store.commit(Commit::of(vec![head.insert()])).await {
        // Another server has signed the same record.
        Ok(()) | Err(CommitError::Refused { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns the audit record that contains the public key.
pub(super) fn use_signing_key(
    deployment: &Deployment,
    writer: Uuid,
    subject: String,
) -> Result<AuditEntry, RootKeyError> {
    let public_key = signing_key(&*deployment.ports.root_key, writer)?.verifying_key().to_bytes();
    Ok(AuditEntry {
        details: Some(format!("{KEY_PREFIX}{}", HEXLOWER.encode(&public_key))),
        ..AuditEntry::done(deployment.now(), AuditAction::UseSigningKey, subject)
    })
}

/// The prefix of the key in the record's details.
const KEY_PREFIX: &str = "ed25519:";

/// Returns the public key in the details of such a record.
pub(super) fn named_key(details: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(details.strip_prefix(KEY_PREFIX)?.as_bytes()).ok()?.try_into().ok()
}

async fn last_signed(store: &dyn Reader, writer: Uuid) -> Result<Option<SignedHead>, Unavailable> {
    let order = vec![SignedHead::sequence().descending()];
    let select = Select { order, limit: 1, ..SignedHead::all_columns().select(SignedHead::writer().is(writer)) };
    let last = store.select(select).await?.into_iter().next();
    Ok(last.and_then(|row| SignedHead::all_columns().values(row).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> SignedHead {
        let key = SigningKey::from_bytes(&[7; 32]);
        let (writer, hash, time) = (Uuid::from_bytes([1; 16]), [2; 32], Timestamp::from_unix_micros(3));
        SignedHead {
            writer,
            sequence: 4,
            hash,
            time,
            public_key: key.verifying_key().to_bytes(),
            signature: key.sign(&message(writer, 4, &hash, time)).to_bytes(),
        }
    }

    #[test]
    fn signature_is_valid_for_one_head_and_one_key() {
        assert!(signed().verifies());
        let changes: [fn(&mut SignedHead); 6] = [
            |head| head.writer = Uuid::nil(),
            |head| head.sequence += 1,
            |head| head.hash[0] ^= 1,
            |head| head.time = Timestamp::from_unix_micros(4),
            |head| head.public_key = SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes(),
            |head| head.signature[0] ^= 1,
        ];
        for change in changes {
            let mut head = signed();
            change(&mut head);
            assert!(!head.verifies());
        }
    }

    #[test]
    fn the_message_that_is_signed_never_changes() {
        let signature = HEXLOWER.encode(&signed().signature);
        assert_eq!(
            signature,
            "863649fb36e26a6deaca6e06ae04da0342c2ca47157c67cc2d750e0c910d8e6c3031e7eaf35c678c9d0b9ab11eb834ad4bf005c15214d9f961fdc6e4c06c180f"
        );
    }
}
