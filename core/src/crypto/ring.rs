//! An open key ring: an organization's data keys, and the changes that a ring can go through.
//!
//! ```text
//! create ─> idle ──change──> running ──finish──> finishing ──settle──> idle ──retire──> idle
//! start over ──────────────> clearing ──settle───────────────────────> idle
//! ```
//!
//! A change never modifies a ring. It returns another ring with a new revision. The caller commits that ring's
//! [`StoredRing`] before it seals anything with it. Only the highest version seals. The highest version only grows, so
//! no version is used twice. [`stored`] defines the stored bytes. This file knows no storage and no key texts, and no
//! cells except the one it is given.

pub mod stored;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stored::{
    FORMAT, Reencryption, ReencryptionState, RingDamage, RingUnread, StoredRing, WrappedKey, wrap_associated_data,
};

use super::{
    cell::{Cell, CellError, CellKey},
    context::CellContext,
    kek::{self, Fingerprint, KdfOutOfBounds, KdfParameters, KeyCheckValue},
    primitive::{self, Aead, Sealed},
    secret::{DataKey, Kek, Plaintext, RingKey, WrapKey},
};
use crate::{
    id::{KeyVersion, OrganizationId, RingRevision, Timestamp},
    random::{self, Random},
};

/// An organization's data keys, verified against its stored ring. Shared through [`Arc`], and wiped when the last
/// reference is dropped.
pub struct KeyRing {
    stored: StoredRing,
    ring_key: Arc<RingKey>,
    sealing: Arc<LiveKey>,
    /// Every key that could be unwrapped, including the sealing key.
    live: BTreeMap<KeyVersion, Arc<LiveKey>>,
}

/// A data key and the cipher created from it.
struct LiveKey {
    data_key: DataKey,
    cell_key: CellKey,
}

impl KeyRing {
    /// Creates the first ring of a new organization, with data key 1. `kdf` contains the parameters that `kek` was
    /// derived with.
    ///
    /// # Errors
    /// See [`RingWriteError`].
    pub fn create(
        organization: OrganizationId,
        kek: &Kek,
        kdf: KdfParameters,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Self, RingWriteError> {
        let data_keys = BTreeMap::from([(KeyVersion::FIRST, Arc::new(LiveKey::draw(KeyVersion::FIRST, random)))]);
        write(organization, data_keys, vec![], Reencryption::IDLE, Lock { kek, kdf, now }, random)
    }

    /// Creates a replacement for a lost ring. It has only the given data key, and the cells of earlier versions are to
    /// be cleared. `version` must be higher than every version that the organization has used.
    ///
    /// # Errors
    /// See [`RingWriteError`].
    pub fn start_over(
        organization: OrganizationId,
        version: KeyVersion,
        kek: &Kek,
        kdf: KdfParameters,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Self, RingWriteError> {
        let data_keys = BTreeMap::from([(version, Arc::new(LiveKey::draw(version, random)))]);
        let reencryption = Reencryption { state: ReencryptionState::Clearing, target: Some(version) };
        write(organization, data_keys, vec![], reencryption, Lock { kek, kdf, now }, random)
    }

    /// Opens a stored ring. Checks, in this order: shape and organization, key-check value, MAC, highest data key,
    /// other data keys.
    ///
    /// An older data key that can't be unwrapped is skipped: this ring doesn't open its version, and keeps its wrapped
    /// key unchanged.
    ///
    /// # Errors
    /// [`RingError::KeyMismatch`] only if the key-check value was computed from another KEK; [`RingError::Newer`] if a
    /// newer version wrote the ring; [`RingError::Damaged`] otherwise.
    pub fn open(stored: &StoredRing, organization: OrganizationId, kek: &Kek) -> Result<Self, RingError> {
        stored.check_shape()?;
        if stored.organization != organization {
            return Err(RingDamage::OtherOrganization { found: stored.organization }.into());
        }
        if stored.check != KeyCheckValue::new(kek, organization, &stored.kdf) {
            return Err(RingError::KeyMismatch);
        }
        let ring_key = kek::ring_key(kek);
        if !primitive::equal(&stored.mac, &stored.computed_mac(&ring_key)) {
            return Err(RingDamage::Mac.into());
        }
        let (highest, older) = stored.keys.split_last().ok_or(RingDamage::NoKeys)?;
        let wraps = Wraps::new(&kek::wrap_key(kek), organization);
        let sealing = Arc::new(wraps.open(highest).ok_or(RingDamage::HighestKey { version: highest.version })?);
        let mut live = BTreeMap::from([(highest.version, Arc::clone(&sealing))]);
        live.extend(older.iter().filter_map(|key| Some((key.version, Arc::new(wraps.open(key)?)))));
        Ok(Self { stored: stored.clone(), ring_key: Arc::new(ring_key), sealing, live })
    }

    /// Changes the encryption key: adds the next data key and wraps every live data key under the new KEK. The cells of
    /// earlier versions are to be sealed again. `kdf` contains the parameters that `kek` was derived with.
    ///
    /// # Errors
    /// [`RingWriteError::Unfinished`] unless the ring is idle; otherwise see [`RingWriteError`].
    pub fn change(
        &self,
        kek: &Kek,
        kdf: KdfParameters,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Self, RingWriteError> {
        self.expect_state(&[ReencryptionState::Idle])?;
        let version = self.version().next().ok_or(RingWriteError::VersionsExhausted)?;
        let mut data_keys = self.live.clone();
        data_keys.insert(version, Arc::new(LiveKey::draw(version, random)));
        let unopened = self.stored.keys.iter().filter(|key| !self.live.contains_key(&key.version)).cloned().collect();
        let reencryption = Reencryption { state: ReencryptionState::Running, target: Some(version) };
        write(self.stored.organization, data_keys, unopened, reencryption, Lock { kek, kdf, now }, random)
    }

    /// Destroys every data key except the target and those in `keep`, which cells that were set aside as unreadable may
    /// still need.
    ///
    /// # Errors
    /// [`RingWriteError::Unfinished`] unless a re-encryption is running.
    pub fn finish(&self, keep: &BTreeSet<KeyVersion>, random: &dyn Random) -> Result<Self, RingWriteError> {
        self.expect_state(&[ReencryptionState::Running])?;
        let is_kept = |version: &KeyVersion| *version == self.version() || keep.contains(version);
        let reencryption = Reencryption { state: ReencryptionState::Finishing, ..self.stored.reencryption };
        Ok(self.rewritten(is_kept, reencryption, random))
    }

    /// Destroys every data key except the highest and those in `keep`. The others were kept for unreadable cells that
    /// have since been repaired.
    ///
    /// # Errors
    /// [`RingWriteError::Unfinished`] unless the ring is idle.
    pub fn retire(&self, keep: &BTreeSet<KeyVersion>, random: &dyn Random) -> Result<Self, RingWriteError> {
        self.expect_state(&[ReencryptionState::Idle])?;
        let is_kept = |version: &KeyVersion| *version == self.version() || keep.contains(version);
        Ok(self.rewritten(is_kept, Reencryption::IDLE, random))
    }

    /// Ends a change after the old key texts are deleted, or after the cells of a lost key are cleared.
    ///
    /// # Errors
    /// [`RingWriteError::Unfinished`] unless the ring is finishing or clearing.
    pub fn settle(&self, random: &dyn Random) -> Result<Self, RingWriteError> {
        self.expect_state(&[ReencryptionState::Finishing, ReencryptionState::Clearing])?;
        Ok(self.rewritten(|_| true, Reencryption::IDLE, random))
    }

    /// Seals a value for its place under the highest data key.
    pub fn seal(&self, context: &CellContext<'_>, plaintext: &Plaintext, random: &dyn Random) -> Vec<u8> {
        debug_assert_eq!(
            context.organization, self.stored.organization,
            "a ring seals only cells of its own organization"
        );
        self.sealing.cell_key.seal(context, plaintext, random)
    }

    /// Opens a cell at its place with the data key that the cell names.
    ///
    /// # Errors
    /// [`CellError::UnknownKeyVersion`] may mean that this ring is older than the cell. See [`CellError`] for the rest.
    pub fn open_cell(&self, context: &CellContext<'_>, cell: &[u8]) -> Result<Plaintext, CellError> {
        let cell = Cell::parse(cell)?;
        let key = self.live.get(&cell.version()).ok_or(CellError::UnknownKeyVersion(cell.version()))?;
        key.cell_key.open(context, &cell)
    }

    /// Returns the ring in its stored form.
    pub fn stored(&self) -> &StoredRing {
        &self.stored
    }

    /// Returns the revision: the id of this write of the ring. Every write of a cell names the revision that it was
    /// sealed under.
    pub fn revision(&self) -> RingRevision {
        self.stored.revision
    }

    /// Returns the highest version, which seals.
    pub fn version(&self) -> KeyVersion {
        self.sealing.cell_key.version()
    }

    /// Returns whether the ring has the data key of this version.
    pub fn opens(&self, version: KeyVersion) -> bool {
        self.live.contains_key(&version)
    }

    /// Returns the public id of the encryption key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.stored.fingerprint()
    }

    /// Returns the state of the re-encryption.
    pub fn reencryption(&self) -> Reencryption {
        self.stored.reencryption
    }

    /// Returns the ring under the same KEK, with only the data keys that are kept. Wrapped keys stay unchanged; the
    /// revision and the MAC are new.
    fn rewritten(
        &self,
        is_kept: impl Fn(&KeyVersion) -> bool,
        reencryption: Reencryption,
        random: &dyn Random,
    ) -> Self {
        let mut stored = StoredRing { revision: RingRevision::draw(random), reencryption, ..self.stored.clone() };
        stored.keys.retain(|key| is_kept(&key.version));
        stored.mac = stored.computed_mac(&self.ring_key);
        let mut live = self.live.clone();
        live.retain(|version, _| is_kept(version));
        Self { stored, ring_key: Arc::clone(&self.ring_key), sealing: Arc::clone(&self.sealing), live }
    }

    fn expect_state(&self, expected: &[ReencryptionState]) -> Result<(), RingWriteError> {
        let state = self.stored.reencryption.state;
        if expected.contains(&state) { Ok(()) } else { Err(RingWriteError::Unfinished { state }) }
    }
}

/// Why a stored ring can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The ring is locked with another encryption key. The caller can fix this.
    #[error("the key ring is locked with another encryption key")]
    KeyMismatch,
    /// A newer version wrote the ring.
    #[error("the key ring has format {format}, which a newer version wrote")]
    Newer {
        /// The format in the database.
        format: i64,
    },
    /// No encryption key opens the ring any more.
    #[error("the key ring is damaged")]
    Damaged(#[source] RingDamage),
}

impl From<RingUnread> for RingError {
    fn from(unread: RingUnread) -> Self {
        match unread {
            RingUnread::Newer { format } => Self::Newer { format },
            RingUnread::Damaged(damage) => Self::Damaged(damage),
        }
    }
}

impl From<RingDamage> for RingError {
    fn from(damage: RingDamage) -> Self {
        Self::Damaged(damage)
    }
}

/// Why a new ring can't be created. The existing ring is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingWriteError {
    /// The ring's re-encryption state doesn't allow this change.
    #[error("the key ring's re-encryption is {}", state.code())]
    Unfinished {
        /// The current state.
        state: ReencryptionState,
    },
    /// The highest version has no successor.
    #[error("no key versions are left")]
    VersionsExhausted,
    /// The key derivation would be too weak or too slow.
    #[error("the key derivation is out of bounds")]
    Kdf(#[from] KdfOutOfBounds),
    /// The new ring is opened again before it is returned. It did not open: the machine is faulty.
    #[error("the new key ring does not open")]
    DoesNotReopen(#[from] RingError),
    /// The new ring opened, but with another data key: the machine is faulty.
    #[error("data key {version} changed when it was wrapped and unwrapped")]
    KeyChanged {
        /// The version of the data key.
        version: KeyVersion,
    },
}

/// The key and parameters that a new ring is locked with, and the time of the change.
struct Lock<'a> {
    kek: &'a Kek,
    kdf: KdfParameters,
    now: Timestamp,
}

/// Locks data keys into a new stored ring, and opens that ring again as a check.
fn write(
    organization: OrganizationId,
    data_keys: BTreeMap<KeyVersion, Arc<LiveKey>>,
    unopened: Vec<WrappedKey>,
    reencryption: Reencryption,
    Lock { kek, kdf, now }: Lock<'_>,
    random: &dyn Random,
) -> Result<KeyRing, RingWriteError> {
    kdf.check()?;
    let wraps = Wraps::new(&kek::wrap_key(kek), organization);
    let mut keys = unopened;
    keys.extend(data_keys.iter().map(|(version, key)| wraps.seal(*version, &key.data_key, random)));
    keys.sort_by_key(|key| key.version);
    let mut stored = StoredRing {
        format: FORMAT,
        organization,
        revision: RingRevision::draw(random),
        kdf,
        check: KeyCheckValue::new(kek, organization, &kdf),
        key_change_time: now,
        keys,
        reencryption,
        mac: [0; 32],
    };
    stored.mac = stored.computed_mac(&kek::ring_key(kek));

    let reopened = KeyRing::open(&stored, organization, kek)?;
    for (version, key) in &data_keys {
        let is_same = reopened.live.get(version).is_some_and(|reopened| reopened.data_key.matches(&key.data_key));
        if !is_same {
            return Err(RingWriteError::KeyChanged { version: *version });
        }
    }
    Ok(reopened)
}

/// Wraps and unwraps data keys of one organization under one KEK.
struct Wraps {
    aead: Aead,
    organization: OrganizationId,
}

impl Wraps {
    fn new(wrap_key: &WrapKey, organization: OrganizationId) -> Self {
        Self { aead: Aead::new(wrap_key.expose()), organization }
    }

    fn seal(&self, version: KeyVersion, data_key: &DataKey, random: &dyn Random) -> WrappedKey {
        let associated_data = wrap_associated_data(self.organization, version);
        let wrapped = self.aead.seal(&[], &random::bytes(random), &associated_data, &[data_key.expose()]);
        WrappedKey { version, wrapped }
    }

    fn open(&self, key: &WrappedKey) -> Option<LiveKey> {
        let associated_data = wrap_associated_data(self.organization, key.version);
        let opened = self.aead.open(&Sealed::split(&key.wrapped)?, &associated_data)?;
        let bytes: &[u8; 32] = opened.as_slice().try_into().ok()?;
        Some(LiveKey::new(key.version, DataKey::filled(|data_key| data_key.copy_from_slice(bytes))))
    }
}

impl LiveKey {
    fn new(version: KeyVersion, data_key: DataKey) -> Self {
        Self { cell_key: CellKey::new(version, &data_key), data_key }
    }

    fn draw(version: KeyVersion, random: &dyn Random) -> Self {
        Self::new(version, DataKey::draw(random))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        crypto::{kek::derive, ring::stored::RingRow, secret::KeyText, testing::unhex},
        id::RecordId,
        random::testing::SeededRandom,
    };

    const ORGANIZATION: OrganizationId = OrganizationId::from_bytes([0xA1; 16]);
    const CONTEXT: CellContext<'static> = CellContext {
        organization: ORGANIZATION,
        entity: "Mailbox",
        record: RecordId::from_bytes([0xB2; 16]),
        attribute: "password",
    };
    const NOW: Timestamp = Timestamp::from_unix_micros(1_700_000_000_000_000);

    fn version(number: u32) -> KeyVersion {
        KeyVersion::new(number).unwrap()
    }

    fn kek(number: u8) -> Kek {
        Kek::from_bytes(&[number; 32])
    }

    fn kdf(number: u8) -> KdfParameters {
        KdfParameters { iterations: 100_000, salt: [number; 16] }
    }

    fn created(random: &dyn Random) -> KeyRing {
        KeyRing::create(ORGANIZATION, &kek(1), kdf(1), NOW, random).unwrap()
    }

    /// Versions 1 and 2 under KEK 2, in state running.
    fn changed(random: &dyn Random) -> KeyRing {
        created(random).change(&kek(2), kdf(2), NOW, random).unwrap()
    }

    fn seal(ring: &KeyRing, value: &str, random: &dyn Random) -> Vec<u8> {
        ring.seal(&CONTEXT, &Plaintext::from(value.to_owned()), random)
    }

    fn open_cell(ring: &KeyRing, cell: &[u8]) -> Result<Vec<u8>, CellError> {
        ring.open_cell(&CONTEXT, cell).map(|value| value.expose().to_vec())
    }

    fn versions(ring: &KeyRing) -> Vec<u32> {
        ring.stored().keys.iter().map(|key| key.version.get()).collect()
    }

    fn reopened(ring: &KeyRing, kek: &Kek) -> Result<KeyRing, RingError> {
        KeyRing::open(ring.stored(), ORGANIZATION, kek)
    }

    #[test]
    fn stored_ring_opens_only_with_its_key() {
        let random = SeededRandom::new(1);
        let ring = created(&random);
        assert_eq!((ring.version(), ring.reencryption()), (KeyVersion::FIRST, Reencryption::IDLE));
        assert_eq!(ring.stored().key_change_time, NOW);
        let cell = seal(&ring, "secret", &random);
        let again = reopened(&ring, &kek(1)).ok().unwrap();
        assert_eq!(open_cell(&again, &cell), Ok(b"secret".to_vec()));
        assert_eq!(again.stored(), ring.stored());
        assert_eq!(reopened(&ring, &kek(2)).err(), Some(RingError::KeyMismatch));
    }

    #[test]
    fn ring_opens_with_the_key_text_alone() {
        let random = SeededRandom::new(1);
        let text = |text: &str| KeyText::new(text.to_owned());
        let ring =
            KeyRing::create(ORGANIZATION, &derive(&text("right 1!"), &kdf(1)).unwrap(), kdf(1), NOW, &random).unwrap();
        let stored = StoredRing::try_from(RingRow::from(ring.stored())).unwrap();
        let open_with =
            |given: &str| KeyRing::open(&stored, ORGANIZATION, &derive(&text(given), &stored.kdf).unwrap()).map(|_| ());
        assert_eq!(open_with("right 1!"), Ok(()));
        assert_eq!(open_with("right 1! "), Err(RingError::KeyMismatch));
    }

    #[test]
    fn every_changed_part_of_a_stored_ring_is_detected() {
        let ring = changed(&SeededRandom::new(1));
        let opened_after = |change: fn(&mut StoredRing)| {
            let mut stored = ring.stored().clone();
            change(&mut stored);
            KeyRing::open(&stored, ORGANIZATION, &kek(2)).map(|_| ())
        };
        let damaged = |damage| Err(RingError::Damaged(damage));
        assert_eq!(opened_after(|_| ()), Ok(()));
        assert_eq!(opened_after(|ring| ring.format = 2), Err(RingError::Newer { format: 2 }));
        assert_eq!(opened_after(|ring| ring.format = 0), damaged(RingDamage::UnknownFormat { format: 0 }));
        let other = OrganizationId::from_bytes([0xA2; 16]);
        assert_eq!(
            opened_after(|ring| ring.organization = OrganizationId::from_bytes([0xA2; 16])),
            damaged(RingDamage::OtherOrganization { found: other })
        );
        assert_eq!(
            opened_after(|ring| ring.kdf.iterations = 99_999),
            damaged(RingDamage::Kdf(KdfOutOfBounds { iterations: 99_999 }))
        );
        // The KEK is derived from these values, or they are part of the key-check value: the ring needs another key.
        assert_eq!(opened_after(|ring| ring.kdf.iterations += 1), Err(RingError::KeyMismatch));
        assert_eq!(opened_after(|ring| ring.kdf.salt[0] ^= 1), Err(RingError::KeyMismatch));
        assert_eq!(opened_after(|ring| ring.check = KeyCheckValue::from_bytes([0; 32])), Err(RingError::KeyMismatch));
        let under_the_mac: [fn(&mut StoredRing); 7] = [
            |ring| ring.revision = RingRevision::from_bytes([0; 16]),
            |ring| ring.key_change_time = Timestamp::from_unix_micros(0),
            |ring| drop(ring.keys.remove(0)),
            |ring| ring.reencryption.state = ReencryptionState::Finishing,
            |ring| ring.reencryption.state = ReencryptionState::Clearing,
            |ring| ring.reencryption = Reencryption::IDLE,
            |ring| ring.mac[31] ^= 1,
        ];
        for change in under_the_mac {
            assert_eq!(opened_after(change), damaged(RingDamage::Mac));
        }
        assert_eq!(opened_after(|ring| ring.keys[0].version = version(2)), damaged(RingDamage::VersionsOutOfOrder));
        assert_eq!(opened_after(|ring| ring.keys.swap(0, 1)), damaged(RingDamage::VersionsOutOfOrder));
        // Without the highest data key, the target is no longer the highest; with another version, the MAC fails.
        assert_eq!(opened_after(|ring| drop(ring.keys.pop())), damaged(RingDamage::ReencryptionTarget));
        assert_eq!(
            opened_after(|ring| {
                ring.keys[1].version = version(3);
                ring.reencryption.target = Some(version(3));
            }),
            damaged(RingDamage::Mac)
        );
        assert_eq!(opened_after(|ring| ring.keys.clear()), damaged(RingDamage::NoKeys));
    }

    #[test]
    fn a_ring_of_another_organization_does_not_open() {
        let ring = created(&SeededRandom::new(1));
        let other = OrganizationId::from_bytes([0xA2; 16]);
        let damage = RingDamage::OtherOrganization { found: ORGANIZATION };
        assert_eq!(KeyRing::open(ring.stored(), other, &kek(1)).err(), Some(RingError::Damaged(damage)));
    }

    #[test]
    fn without_its_highest_data_key_a_ring_is_damaged() {
        let ring = changed(&SeededRandom::new(1));
        let damages: [fn(&mut Vec<u8>); 4] =
            [|wrap| wrap[30] ^= 1, |wrap| wrap.clear(), |wrap| wrap.truncate(71), |wrap| wrap.push(0)];
        for damage in damages {
            let mut stored = ring.stored().clone();
            damage(&mut stored.keys[1].wrapped);
            let outcome = KeyRing::open(&stored, ORGANIZATION, &kek(2)).err();
            assert_eq!(outcome, Some(RingError::Damaged(RingDamage::HighestKey { version: version(2) })));
        }
        // A wrapped key is bound to its version: version 1 is not accepted in place of version 2.
        let mut stored = ring.stored().clone();
        stored.keys[1].wrapped = stored.keys[0].wrapped.clone();
        assert!(KeyRing::open(&stored, ORGANIZATION, &kek(2)).is_err());
    }

    #[test]
    fn damaged_older_data_key_is_unknown_and_kept() {
        let random = SeededRandom::new(1);
        let first = created(&random);
        let old_cell = seal(&first, "old", &random);
        let second = first.change(&kek(2), kdf(2), NOW, &random).unwrap();
        let new_cell = seal(&second, "new", &random);

        let mut stored = second.stored().clone();
        stored.keys[0].wrapped[30] ^= 1;
        let damaged_wrap = stored.keys[0].clone();
        let damaged = KeyRing::open(&stored, ORGANIZATION, &kek(2)).ok().unwrap();
        assert_eq!(open_cell(&damaged, &old_cell), Err(CellError::UnknownKeyVersion(version(1))));
        assert_eq!(open_cell(&damaged, &new_cell), Ok(b"new".to_vec()));
        assert!(!damaged.opens(version(1)) && damaged.opens(version(2)));

        // The damaged key remains while it is kept, also after a change of the encryption key. It is removed when it
        // isn't kept.
        let kept = damaged.finish(&BTreeSet::from([version(1)]), &random).unwrap().settle(&random).unwrap();
        assert_eq!(kept.stored().keys[0], damaged_wrap);
        let changed = kept.change(&kek(3), kdf(3), NOW, &random).unwrap();
        assert_eq!(versions(&changed), [1, 2, 3]);
        assert_eq!(changed.stored().keys[0], damaged_wrap);
        assert_eq!(open_cell(&changed, &old_cell), Err(CellError::UnknownKeyVersion(version(1))));
        assert_eq!(open_cell(&changed, &new_cell), Ok(b"new".to_vec()));
        assert_eq!(versions(&changed.finish(&BTreeSet::new(), &random).unwrap()), [3]);
    }

    #[test]
    fn changed_ring_seals_with_the_next_version_and_opens_all() {
        let random = SeededRandom::new(1);
        let first = created(&random);
        let old_cell = seal(&first, "old", &random);
        let second = first.change(&kek(2), kdf(2), Timestamp::from_unix_micros(2), &random).unwrap();
        let new_cell = seal(&second, "new", &random);

        assert_eq!(second.version(), version(2));
        assert_eq!(second.reencryption(), Reencryption { state: ReencryptionState::Running, target: Some(version(2)) });
        assert_eq!(second.stored().key_change_time, Timestamp::from_unix_micros(2));
        assert_ne!(second.revision(), first.revision());
        assert_ne!(second.fingerprint(), first.fingerprint());
        assert_eq!(open_cell(&second, &old_cell), Ok(b"old".to_vec()));
        assert_eq!(open_cell(&second, &new_cell), Ok(b"new".to_vec()));
        assert_eq!(open_cell(&first, &new_cell), Err(CellError::UnknownKeyVersion(version(2))));
        // The stored ring opens only with the new key. The former ring, for example in a copy, opens only with the
        // former key.
        let again = reopened(&second, &kek(2)).ok().unwrap();
        assert_eq!(open_cell(&again, &old_cell), Ok(b"old".to_vec()));
        assert_eq!(reopened(&second, &kek(1)).err(), Some(RingError::KeyMismatch));
        assert_eq!(reopened(&first, &kek(2)).err(), Some(RingError::KeyMismatch));
    }

    #[test]
    fn finishing_destroys_former_data_keys_except_kept_ones() {
        let random = SeededRandom::new(1);
        let first = created(&random);
        let old_cell = seal(&first, "old", &random);
        let second = first.change(&kek(2), kdf(2), NOW, &random).unwrap();

        let finished = second.finish(&BTreeSet::new(), &random).unwrap();
        assert_eq!(versions(&finished), [2]);
        assert_eq!(
            finished.reencryption(),
            Reencryption { state: ReencryptionState::Finishing, target: Some(version(2)) }
        );
        for ring in [&finished, &reopened(&finished, &kek(2)).ok().unwrap()] {
            assert_eq!(open_cell(ring, &old_cell), Err(CellError::UnknownKeyVersion(version(1))));
        }
        let keeping = second.finish(&BTreeSet::from([version(1), version(77)]), &random).unwrap();
        assert_eq!(versions(&keeping), [1, 2]);
        assert_eq!(open_cell(&keeping, &old_cell), Ok(b"old".to_vec()));

        let settled = finished.settle(&random).unwrap();
        assert_eq!((settled.reencryption(), settled.version()), (Reencryption::IDLE, version(2)));
        assert!(reopened(&settled, &kek(2)).is_ok());
        let revisions: BTreeSet<_> =
            [&first, &second, &finished, &settled].into_iter().map(KeyRing::revision).collect();
        assert_eq!(revisions.len(), 4);
    }

    #[test]
    fn versions_are_never_reused() {
        let random = SeededRandom::new(1);
        let mut ring = created(&random);
        for number in 2..6 {
            ring = ring.change(&kek(number), kdf(number), NOW, &random).unwrap();
            ring = ring.finish(&BTreeSet::new(), &random).unwrap().settle(&random).unwrap();
            assert_eq!(ring.version(), version(number.into()));
        }
        let last = KeyRing::start_over(ORGANIZATION, version(u32::MAX), &kek(1), kdf(1), NOW, &random)
            .unwrap()
            .settle(&random)
            .unwrap();
        assert_eq!(last.change(&kek(2), kdf(2), NOW, &random).err(), Some(RingWriteError::VersionsExhausted));
    }

    #[test]
    fn ring_started_over_clears_and_then_settles() {
        let random = SeededRandom::new(1);
        let lost = seal(&created(&random), "lost", &random);
        let ring = KeyRing::start_over(ORGANIZATION, version(2), &kek(9), kdf(9), NOW, &random).unwrap();
        assert_eq!(versions(&ring), [2]);
        assert_eq!(ring.reencryption(), Reencryption { state: ReencryptionState::Clearing, target: Some(version(2)) });
        assert_eq!(open_cell(&ring, &lost), Err(CellError::UnknownKeyVersion(version(1))));
        assert_eq!(ring.settle(&random).unwrap().reencryption(), Reencryption::IDLE);
    }

    #[test]
    fn steps_out_of_order_are_refused() {
        let random = SeededRandom::new(1);
        let none = BTreeSet::new();
        let idle = created(&random);
        let running = idle.change(&kek(2), kdf(2), NOW, &random).unwrap();
        let finishing = running.finish(&none, &random).unwrap();
        let clearing = KeyRing::start_over(ORGANIZATION, version(2), &kek(9), kdf(9), NOW, &random).unwrap();
        let steps = |ring: &KeyRing| {
            [
                ring.change(&kek(3), kdf(3), NOW, &random).is_ok(),
                ring.finish(&none, &random).is_ok(),
                ring.settle(&random).is_ok(),
            ]
        };
        assert_eq!(steps(&idle), [true, false, false]);
        assert_eq!(steps(&running), [false, true, false]);
        assert_eq!(steps(&finishing), [false, false, true]);
        assert_eq!(steps(&clearing), [false, false, true]);
        let refused = running.change(&kek(3), kdf(3), NOW, &random).err().unwrap();
        assert_eq!(refused.to_string(), "the key ring's re-encryption is running");
    }

    #[test]
    fn ring_that_cannot_be_opened_is_never_created() {
        let random = SeededRandom::new(1);
        let weak = KdfParameters { iterations: 1, salt: [0; 16] };
        let refused = RingWriteError::Kdf(KdfOutOfBounds { iterations: 1 });
        assert_eq!(KeyRing::create(ORGANIZATION, &kek(1), weak, NOW, &random).err(), Some(refused));
        assert_eq!(created(&random).change(&kek(1), weak, NOW, &random).err(), Some(refused));
    }

    /// Frozen, and opened by another implementation too. A ring of format 1 and the cells of its versions must always
    /// open.
    #[test]
    fn ring_of_format_1_opens() {
        let golden = golden_row();
        let ring = KeyRing::open(&StoredRing::try_from(golden.clone()).unwrap(), ORGANIZATION, &kek(2)).ok().unwrap();
        assert_eq!(ring.fingerprint().to_string(), "81a8-2807-3235-d378");
        assert_eq!(open_cell(&ring, &unhex(GOLDEN_CELL_1)), Ok(b"sealed under version 1".to_vec()));
        assert_eq!(open_cell(&ring, &unhex(GOLDEN_CELL_2)), Ok(b"sealed under version 2".to_vec()));
        // Given the same random values, this version writes the same bytes.
        let random = SeededRandom::new(20_240_501);
        let first = created(&random);
        let cell_1 = seal(&first, "sealed under version 1", &random);
        let second = first.change(&kek(2), kdf(2), NOW, &random).unwrap();
        let cell_2 = seal(&second, "sealed under version 2", &random);
        assert_eq!(RingRow::from(second.stored()), golden);
        assert_eq!([cell_1, cell_2], [GOLDEN_CELL_1, GOLDEN_CELL_2].map(unhex));
    }

    const GOLDEN_CELL_1: &str =
        "0100000001c718a85e8a04bf40e083b5dc4ca35cff78ccbe3e5e8a66ab66d0f817caab2eca62472dd3153710b3929e80
         034d91fe0e9a2bd79797c13727be844c50ca34f56b07333e568c0022c2";
    const GOLDEN_CELL_2: &str =
        "01000000022b48524ef5a8b7989cf5853766c7f4c4e3227a6162474592908c7e771a555d8235702119c1a80e2a23ef5f
         529cca0dbd0723afc9782885c17c38b768014dafe4378757808d9170f2";

    const GOLDEN_WRAP_1: &str =
        "87c26f88de3e227dbdde67169d0bdaa09a2d8d647c7240e1578b9fb380c37c6046e7344c120e3eace9b43294fc699076
         5343fefc1faf7a0d88184cce99c4d299f2060f323db7cf48";
    const GOLDEN_WRAP_2: &str =
        "efd213f3ce8d5f0f3385282e25747e0277f0db9a8a36933b03dafab6382c63ac4e538f174e7b16626bea55fab3f84f0d
         7d5108403547a7f7890d1e84e6aa044200a3cffec2452c4f";

    fn golden_row() -> RingRow {
        RingRow {
            format: 1,
            organization: vec![0xA1; 16],
            revision: unhex("1f4b6a63931a3c42b41f088a1ccde025"),
            kdf_iterations: 100_000,
            kdf_salt: vec![2; 16],
            check: unhex("81a828073235d378dbee3f5b1cba75f180ffb147e26c839d0f9d0f25f8538406"),
            key_change_time_us: 1_700_000_000_000_000,
            keys: vec![(1, unhex(GOLDEN_WRAP_1)), (2, unhex(GOLDEN_WRAP_2))],
            reencryption_state: "running".to_owned(),
            reencryption_target: Some(2),
            mac: unhex("6e4f4df364eaf9012ed89a0edb0f176fa89792a860e0291c266aa3924da74a9a"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// After any sequence of changes, the stored ring opens, and a cell opens exactly as long as its data key
        /// exists.
        #[test]
        fn any_history_of_changes_reopens(
            keeps in prop::collection::vec(prop::collection::btree_set(1u32..8, 0..4), 1..6),
            seed: u64,
        ) {
            let random = SeededRandom::new(seed);
            let mut ring = created(&random);
            let mut cells = vec![(ring.version(), seal(&ring, "1", &random))];
            for (change, keep) in keeps.into_iter().enumerate() {
                let number = u8::try_from(change).unwrap() + 2;
                let keep = keep.into_iter().map(version).collect();
                ring = ring.change(&kek(number), kdf(number), NOW, &random).unwrap();
                cells.push((ring.version(), seal(&ring, &number.to_string(), &random)));
                ring = ring.finish(&keep, &random).unwrap().settle(&random).unwrap();
                let again = reopened(&ring, &kek(number)).ok().unwrap();
                for (version, cell) in &cells {
                    let is_there = ring.stored().keys.iter().any(|key| key.version == *version);
                    prop_assert_eq!(open_cell(&again, cell).is_ok(), is_there);
                    prop_assert_eq!(again.opens(*version), is_there);
                }
            }
        }
    }
}
