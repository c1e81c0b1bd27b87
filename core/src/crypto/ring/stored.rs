//! A key ring as stored in its organization's database: public information and wrapped data keys.
//!
//! | part | size | authenticated by |
//! |---|---|---|
//! | format | 1, `0x01`: PBKDF2-HMAC-SHA-256, XAES-256-GCM, HMAC-SHA-256 | MAC |
//! | organization | UUID, 16 bytes | key-check value and MAC |
//! | revision | 16 random bytes, drawn at each write | MAC |
//! | KDF iterations and salt | number, 16 bytes | key-check value and MAC |
//! | key-check value | 32 bytes | the KEK itself, and MAC |
//! | time of the last key change | microseconds since 1970 | MAC |
//! | key versions, ascending | numbers from 1 | MAC |
//! | wrapped data keys, one per version | `nonce (24) \| ciphertext (32) \| tag (16)` | their tags |
//! | re-encryption: state and target version | a word; a number or null | MAC |
//! | MAC | 32 bytes | |
//!
//! The MAC is HMAC-SHA-256 under the ring key over these parts, each preceded by its length in bytes (4 bytes, big
//! endian): label `sealward key ring v1`, format (1 byte), organization, revision, name of the KDF, iterations (4
//! bytes), salt, key-check value, time (8 bytes, two's complement), all versions (4 bytes each, in one part), state,
//! target (4 bytes, or an empty part). Numbers are big endian.
//!
//! The MAC doesn't cover the wrapped keys: damage to an old one must not make the whole ring unusable. Each wrapped key
//! has its own tag. Its associated data are the label `sealward data key v1`, the organization and the version (4
//! bytes), in the same encoding.
//!
//! This file contains the checks that need no key. [`KeyRing`](super::KeyRing) opens a ring.

use crate::{
    crypto::{
        encoding::Encoding,
        format::is_newer,
        kek::{Fingerprint, KDF_NAME, KdfOutOfBounds, KdfParameters, KeyCheckValue},
        primitive,
        secret::RingKey,
    },
    id::{KeyVersion, OrganizationId, RingRevision, Timestamp},
};

/// The only format.
pub(crate) const FORMAT: u8 = 0x01;

const MAC_LABEL: &str = "sealward key ring v1";
const WRAP_LABEL: &str = "sealward data key v1";

/// A locked key ring. All its fields are public. They are not verified until [`KeyRing::open`] succeeds.
///
/// [`KeyRing::open`]: super::KeyRing::open
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRing {
    /// 1, or a newer format that this version can't open.
    pub format: u8,
    /// The organization that the ring belongs to.
    pub organization: OrganizationId,
    /// The id of this write of the ring.
    pub revision: RingRevision,
    /// How the KEK is derived. Not checked.
    pub kdf: KdfParameters,
    /// Proves whether a KEK is the right one.
    pub check: KeyCheckValue,
    /// When the encryption key was last set, by creation, change or a new start.
    pub key_change_time: Timestamp,
    /// The data keys, ascending by version. The last one seals; all of them open.
    pub keys: Vec<WrappedKey>,
    /// The re-encryption of the cells of earlier versions.
    pub reencryption: Reencryption,
    /// HMAC over everything except the wrapped keys.
    pub mac: [u8; 32],
}

/// A data key sealed under the KEK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The version of the data key.
    pub version: KeyVersion,
    /// `nonce | ciphertext | tag`. Damage can leave any bytes.
    pub wrapped: Vec<u8>,
}

/// The state of the re-encryption of an organization's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reencryption {
    /// The remaining work.
    pub state: ReencryptionState,
    /// The version that every cell is to have, always the highest. `None` when idle.
    pub target: Option<KeyVersion>,
}

impl Reencryption {
    /// No work remains.
    pub const IDLE: Self = Self { state: ReencryptionState::Idle, target: None };
}

/// The states from which a key change continues after an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReencryptionState {
    /// No change is in progress.
    Idle,
    /// Cells of earlier versions are being sealed again under the target version.
    Running,
    /// All cells are sealed under the target version, and the old data keys are destroyed. The old key texts must still
    /// be deleted.
    Finishing,
    /// The former key was abandoned as lost. Cells of earlier versions are being cleared.
    Clearing,
}

impl ReencryptionState {
    /// Returns the word that is stored and authenticated.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Finishing => "finishing",
            Self::Clearing => "clearing",
        }
    }

    /// Returns the state with this code, if it exists.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Idle, Self::Running, Self::Finishing, Self::Clearing].into_iter().find(|state| state.code() == code)
    }
}

impl StoredRing {
    /// Returns the public id of the encryption key that opens this ring.
    pub fn fingerprint(&self) -> Fingerprint {
        self.check.fingerprint()
    }

    /// Returns the highest key version, which seals. `None` only in a damaged ring.
    pub fn version(&self) -> Option<KeyVersion> {
        self.keys.last().map(|key| key.version)
    }

    /// Checks everything that needs no key. No key opens a ring that fails these checks.
    ///
    /// # Errors
    /// [`RingUnread::Newer`], or the first damage found.
    pub fn check_shape(&self) -> Result<(), RingUnread> {
        check_format(self.format.into())?;
        Ok(self.check_parts()?)
    }

    fn check_parts(&self) -> Result<(), RingDamage> {
        self.kdf.check()?;
        let highest = self.version().ok_or(RingDamage::NoKeys)?;
        if !self.keys.is_sorted_by(|a, b| a.version < b.version) {
            return Err(RingDamage::VersionsOutOfOrder);
        }
        let target = match self.reencryption.state {
            ReencryptionState::Idle => None,
            ReencryptionState::Running | ReencryptionState::Finishing | ReencryptionState::Clearing => Some(highest),
        };
        if self.reencryption.target == target { Ok(()) } else { Err(RingDamage::ReencryptionTarget) }
    }

    /// Computes the MAC that this ring must have. The module documentation has the encoding.
    pub(super) fn computed_mac(&self, ring_key: &RingKey) -> [u8; 32] {
        let versions: Vec<u8> = self.keys.iter().flat_map(|key| key.version.get().to_be_bytes()).collect();
        let target: Vec<u8> = self.reencryption.target.iter().flat_map(|target| target.get().to_be_bytes()).collect();
        let message = Encoding::new(MAC_LABEL)
            .part(&[self.format])
            .part(self.organization.as_bytes())
            .part(self.revision.as_bytes())
            .part(KDF_NAME.as_bytes())
            .part(&self.kdf.iterations.to_be_bytes())
            .part(&self.kdf.salt)
            .part(self.check.as_bytes())
            .part(&self.key_change_time.unix_micros().to_be_bytes())
            .part(&versions)
            .part(self.reencryption.state.code().as_bytes())
            .part(&target)
            .into_bytes();
        primitive::hmac(ring_key.expose(), &message)
    }
}

/// Returns the associated data of a wrapped data key.
pub(super) fn wrap_associated_data(organization: OrganizationId, version: KeyVersion) -> Vec<u8> {
    Encoding::new(WRAP_LABEL).part(organization.as_bytes()).part(&version.get().to_be_bytes()).into_bytes()
}

/// A ring as a database row that a store reads and writes. Its numbers and bytes are unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RingRow {
    /// See [`StoredRing::format`].
    pub format: i64,
    /// 16 bytes.
    pub organization: Vec<u8>,
    /// 16 bytes.
    pub revision: Vec<u8>,
    /// See [`KdfParameters::iterations`].
    pub kdf_iterations: i64,
    /// 16 bytes.
    pub kdf_salt: Vec<u8>,
    /// 32 bytes.
    pub check: Vec<u8>,
    /// Microseconds since 1970.
    pub key_change_time_us: i64,
    /// Version and wrapped data key, in any order.
    pub keys: Vec<(i64, Vec<u8>)>,
    /// See [`ReencryptionState::code`].
    pub reencryption_state: String,
    /// A key version.
    pub reencryption_target: Option<i64>,
    /// 32 bytes.
    pub mac: Vec<u8>,
}

impl From<&StoredRing> for RingRow {
    fn from(ring: &StoredRing) -> Self {
        Self {
            format: ring.format.into(),
            organization: ring.organization.as_bytes().to_vec(),
            revision: ring.revision.as_bytes().to_vec(),
            kdf_iterations: ring.kdf.iterations.into(),
            kdf_salt: ring.kdf.salt.to_vec(),
            check: ring.check.as_bytes().to_vec(),
            key_change_time_us: ring.key_change_time.unix_micros(),
            keys: ring.keys.iter().map(|key| (key.version.get().into(), key.wrapped.clone())).collect(),
            reencryption_state: ring.reencryption.state.code().to_owned(),
            reencryption_target: ring.reencryption.target.map(|target| target.get().into()),
            mac: ring.mac.to_vec(),
        }
    }
}

impl TryFrom<RingRow> for StoredRing {
    type Error = RingUnread;

    /// Parses a row. Total: every row gives a ring of the right [shape](StoredRing::check_shape) or an error.
    fn try_from(row: RingRow) -> Result<Self, RingUnread> {
        // Check the format first: the other columns of a newer format may have another meaning.
        check_format(row.format)?;
        let format = u8::try_from(row.format).map_err(|_| RingDamage::UnknownFormat { format: row.format })?;
        let mut keys = Vec::with_capacity(row.keys.len());
        for (number, wrapped) in row.keys {
            keys.push(WrappedKey { version: version(number, "version")?, wrapped });
        }
        keys.sort_by_key(|key| key.version);
        let state = ReencryptionState::from_code(&row.reencryption_state)
            .ok_or(RingDamage::Column { name: "reencryption_state" })?;
        let target = row.reencryption_target.map(|number| version(number, "reencryption_target")).transpose()?;
        let iterations =
            u32::try_from(row.kdf_iterations).map_err(|_| RingDamage::Column { name: "kdf_iterations" })?;
        let ring = Self {
            format,
            organization: OrganizationId::from_bytes(exact(&row.organization, "organization")?),
            revision: RingRevision::from_bytes(exact(&row.revision, "revision")?),
            kdf: KdfParameters { iterations, salt: exact(&row.kdf_salt, "kdf_salt")? },
            check: KeyCheckValue::from_bytes(exact(&row.check, "check")?),
            key_change_time: Timestamp::from_unix_micros(row.key_change_time_us),
            keys,
            reencryption: Reencryption { state, target },
            mac: exact(&row.mac, "mac")?,
        };
        ring.check_shape()?;
        Ok(ring)
    }
}

/// Checks that this version can read a ring of this format.
///
/// # Errors
/// [`RingUnread::Newer`] or [`RingDamage::UnknownFormat`].
pub(crate) fn check_format(format: i64) -> Result<(), RingUnread> {
    if is_newer(format, FORMAT) {
        return Err(RingUnread::Newer { format });
    }
    if format == i64::from(FORMAT) { Ok(()) } else { Err(RingDamage::UnknownFormat { format }.into()) }
}

/// Why a stored ring can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingUnread {
    /// A newer version wrote the ring. As far as this version can check, it is intact.
    #[error("the key ring has format {format}, which a newer version wrote")]
    Newer {
        /// The format in the database.
        format: i64,
    },
    /// The ring is missing or damaged.
    #[error(transparent)]
    Damaged(#[from] RingDamage),
}

/// What is wrong with a stored ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingDamage {
    /// The format number is unknown.
    #[error("unknown key ring format {format}")]
    UnknownFormat {
        /// The format in the database.
        format: i64,
    },
    /// A column has an invalid value: a wrong size, or out of range.
    #[error("the key ring has an invalid value in column {name}")]
    Column {
        /// The name of the column.
        name: &'static str,
    },
    /// The key derivation would be too weak or too slow.
    #[error("the key ring's key derivation is out of bounds")]
    Kdf(#[from] KdfOutOfBounds),
    /// The ring has no data key.
    #[error("the key ring has no data keys")]
    NoKeys,
    /// Versions repeat or aren't ascending.
    #[error("the key ring's key versions are not in ascending order")]
    VersionsOutOfOrder,
    /// The target doesn't match the state.
    #[error("the key ring's re-encryption target does not match its state")]
    ReencryptionTarget,
    /// The ring belongs to another organization.
    #[error("the key ring belongs to organization {found}")]
    OtherOrganization {
        /// The organization that the ring names.
        found: OrganizationId,
    },
    /// The key is right, but a part that the MAC covers was modified.
    #[error("the MAC of the key ring does not verify")]
    Mac,
    /// The key is right, but the sealing data key can't be unwrapped.
    #[error("data key {version}, the highest, can't be unwrapped")]
    HighestKey {
        /// The highest version.
        version: KeyVersion,
    },
}

fn version(number: i64, name: &'static str) -> Result<KeyVersion, RingDamage> {
    u32::try_from(number).ok().and_then(KeyVersion::new).ok_or(RingDamage::Column { name })
}

fn exact<const N: usize>(bytes: &[u8], name: &'static str) -> Result<[u8; N], RingDamage> {
    bytes.try_into().map_err(|_| RingDamage::Column { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> StoredRing {
        let key = |number| WrappedKey { version: KeyVersion::new(number).unwrap(), wrapped: vec![0; 72] };
        StoredRing {
            format: FORMAT,
            organization: OrganizationId::from_bytes([1; 16]),
            revision: RingRevision::from_bytes([2; 16]),
            kdf: KdfParameters { iterations: 600_000, salt: [3; 16] },
            check: KeyCheckValue::from_bytes([4; 32]),
            key_change_time: Timestamp::from_unix_micros(5),
            keys: vec![key(6), key(7)],
            reencryption: Reencryption { state: ReencryptionState::Running, target: KeyVersion::new(7) },
            mac: [8; 32],
        }
    }

    #[test]
    fn ring_is_read_from_its_row_in_any_order_of_keys() {
        let ring = ring();
        let mut row = RingRow::from(&ring);
        row.keys.reverse();
        assert_eq!(StoredRing::try_from(row), Ok(ring));
    }

    #[test]
    fn every_state_has_a_name() {
        for state in [
            ReencryptionState::Idle,
            ReencryptionState::Running,
            ReencryptionState::Finishing,
            ReencryptionState::Clearing,
        ] {
            assert_eq!(ReencryptionState::from_code(state.code()), Some(state));
        }
        assert_eq!(ReencryptionState::from_code("Idle"), None);
    }

    #[test]
    fn damaged_row_is_reported_with_its_fault() {
        let damaged = |damage: fn(&mut RingRow)| {
            let mut row = RingRow::from(&ring());
            damage(&mut row);
            match StoredRing::try_from(row).unwrap_err() {
                RingUnread::Damaged(damage) => damage,
                newer @ RingUnread::Newer { .. } => panic!("{newer}"),
            }
        };
        let column = |name| RingDamage::Column { name };
        assert_eq!(damaged(|row| row.format = 0), RingDamage::UnknownFormat { format: 0 });
        assert_eq!(damaged(|row| row.format = 1 << 32), RingDamage::UnknownFormat { format: 1 << 32 });
        assert_eq!(damaged(|row| row.format = -1), RingDamage::UnknownFormat { format: -1 });
        assert_eq!(damaged(|row| row.organization.clear()), column("organization"));
        assert_eq!(damaged(|row| row.revision.push(0)), column("revision"));
        assert_eq!(damaged(|row| row.kdf_salt.truncate(15)), column("kdf_salt"));
        assert_eq!(damaged(|row| row.kdf_iterations = -1), column("kdf_iterations"));
        assert_eq!(damaged(|row| row.kdf_iterations = 99_999), RingDamage::Kdf(KdfOutOfBounds { iterations: 99_999 }));
        assert_eq!(
            damaged(|row| row.kdf_iterations = 10_000_001),
            RingDamage::Kdf(KdfOutOfBounds { iterations: 10_000_001 })
        );
        assert_eq!(damaged(|row| row.check.truncate(8)), column("check"));
        assert_eq!(damaged(|row| row.mac.clear()), column("mac"));
        assert_eq!(damaged(|row| row.keys.clear()), RingDamage::NoKeys);
        assert_eq!(damaged(|row| row.keys[0].0 = 0), column("version"));
        assert_eq!(damaged(|row| row.keys[0].0 = 1 << 32), column("version"));
        assert_eq!(damaged(|row| row.keys[0].0 = 7), RingDamage::VersionsOutOfOrder);
        assert_eq!(damaged(|row| row.reencryption_state = "done".to_owned()), column("reencryption_state"));
        assert_eq!(damaged(|row| row.reencryption_state = "idle".to_owned()), RingDamage::ReencryptionTarget);
        assert_eq!(damaged(|row| row.reencryption_target = Some(6)), RingDamage::ReencryptionTarget);
        assert_eq!(damaged(|row| row.reencryption_target = Some(-7)), column("reencryption_target"));
        assert_eq!(damaged(|row| row.reencryption_target = None), RingDamage::ReencryptionTarget);
    }

    #[test]
    fn ring_of_a_newer_format_is_never_reported_as_damaged() {
        let mut row = RingRow::from(&ring());
        row.format = 2;
        row.reencryption_state = "resting".to_owned();
        row.kdf_salt.clear();
        row.keys.clear();
        assert_eq!(StoredRing::try_from(row), Err(RingUnread::Newer { format: 2 }));
    }

    #[test]
    fn the_highest_version_seals_and_the_fingerprint_is_public() {
        assert_eq!(ring().version(), KeyVersion::new(7));
        assert_eq!(ring().fingerprint().to_string(), "0404-0404-0404-0404");
    }
}
