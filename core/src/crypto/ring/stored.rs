//! A key ring as it is stored in its organization's database: public information, and data keys that are wrapped.
//!
//! | what | size | authenticated by |
//! |---|---|---|
//! | format | 1, `0x01`: PBKDF2-HMAC-SHA-256, XAES-256-GCM, HMAC-SHA-256 | mac |
//! | organization | UUID, 16 bytes | key-check value and mac |
//! | revision | 16 random bytes, drawn at each write | mac |
//! | KDF iterations and salt | number, 16 bytes | key-check value and mac |
//! | key-check value | 32 bytes | the KEK itself, and mac |
//! | time of the last key change | microseconds since 1970 | mac |
//! | key versions, ascending | numbers from 1 | mac |
//! | wrapped data keys, one per version | `nonce (24) \| ciphertext (32) \| tag (16)` | their tags |
//! | re-encryption: state and target version | a word, a number or nothing | mac |
//! | mac | 32 bytes | |
//!
//! The mac is HMAC-SHA-256 under the ring key over these parts, each preceded by its length in bytes (4 bytes, big
//! endian): label `sealward key ring v1`, format (1 byte), organization, revision, name of the KDF, iterations (4
//! bytes), salt, key-check value, time (8 bytes, two's complement), all versions (4 bytes each, in one part), state,
//! target (4 bytes, or an empty part). Numbers are big endian.
//!
//! Wraps aren't under the mac: a damaged old one must not take the ring with it. They are under their own tags, whose
//! associated data are label `sealward data key v1`, organization and version (4 bytes), encoded alike.
//!
//! What can be told without a key is told here. Opening is [`KeyRing`](super::KeyRing)'s.

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

/// The one format there is.
pub const FORMAT: u8 = 0x01;

const MAC_LABEL: &str = "sealward key ring v1";
const WRAP_LABEL: &str = "sealward data key v1";

/// A key ring that is locked. Everything in it is public, and nothing in it is proven before [`KeyRing::open`] has done
/// so.
///
/// [`KeyRing::open`]: super::KeyRing::open
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRing {
    /// [`FORMAT`], or a later one that this version can't open.
    pub format: u8,
    /// The organization whose ring it is.
    pub organization: OrganizationId,
    /// Which write of the ring this is.
    pub revision: RingRevision,
    /// How the KEK is derived. Unchecked.
    pub kdf: KdfParameters,
    /// Tells whether a KEK is the right one.
    pub check: KeyCheckValue,
    /// When the encryption key was last set: created, changed or started over.
    pub key_change_time: Timestamp,
    /// The data keys, ascending by version. The last one seals, all open.
    pub keys: Vec<WrappedKey>,
    /// What is going on with the cells of former versions.
    pub reencryption: Reencryption,
    /// HMAC over everything but the wraps.
    pub mac: [u8; 32],
}

/// A data key sealed under the KEK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The version of the data key.
    pub version: KeyVersion,
    /// `nonce | ciphertext | tag`; any bytes if it was damaged.
    pub wrapped: Vec<u8>,
}

/// Where the re-encryption of an organization's cells stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reencryption {
    /// What there is to do.
    pub state: ReencryptionState,
    /// The version that every cell is to have, always the highest; `None` when idle.
    pub target: Option<KeyVersion>,
}

impl Reencryption {
    /// Nothing to do.
    pub const IDLE: Self = Self { state: ReencryptionState::Idle, target: None };
}

/// The states that an interrupted key change is taken up from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReencryptionState {
    /// No change is unfinished.
    Idle,
    /// Cells of former versions are being sealed again under the target version.
    Running,
    /// All cells are done and former data keys are destroyed; former texts are still to be deleted.
    Finishing,
    /// The former key was given up as lost: cells of former versions are being cleared.
    Clearing,
}

impl ReencryptionState {
    /// The word that is stored and authenticated.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Finishing => "finishing",
            Self::Clearing => "clearing",
        }
    }

    /// The state of this word, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Idle, Self::Running, Self::Finishing, Self::Clearing].into_iter().find(|state| state.code() == code)
    }
}

impl StoredRing {
    /// The public id of the encryption key that opens this ring.
    pub fn fingerprint(&self) -> Fingerprint {
        self.check.fingerprint()
    }

    /// The highest key version, the one that seals; `None` only in a damaged ring.
    pub fn version(&self) -> Option<KeyVersion> {
        self.keys.last().map(|key| key.version)
    }

    /// Checks what can be checked without a key. A ring that fails here can't be opened by any.
    ///
    /// # Errors
    /// [`RingUnread::Newer`], or the first damage that is found.
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

    /// The mac this ring has to have. Module documentation has the encoding.
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

/// What a wrapped data key is bound to.
pub(super) fn wrap_associated_data(organization: OrganizationId, version: KeyVersion) -> Vec<u8> {
    Encoding::new(WRAP_LABEL).part(organization.as_bytes()).part(&version.get().to_be_bytes()).into_bytes()
}

/// A ring as a database has it: numbers and bytes that may be anything. What a store writes and reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingRow {
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

    /// Reads what a database has. Total: any row gives a ring of the right [shape](StoredRing::check_shape), or says
    /// why it doesn't.
    fn try_from(row: RingRow) -> Result<Self, RingUnread> {
        // First of all: of a newer format, nothing else is known.
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

/// Whether a ring of this format can be read.
///
/// # Errors
/// [`RingUnread::Newer`], [`RingDamage::UnknownFormat`]
pub(crate) fn check_format(format: i64) -> Result<(), RingUnread> {
    if is_newer(format, FORMAT) {
        return Err(RingUnread::Newer { format });
    }
    if format == i64::from(FORMAT) { Ok(()) } else { Err(RingDamage::UnknownFormat { format }.into()) }
}

/// Why a stored ring isn't read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingUnread {
    /// A newer version wrote it. It is whole, as far as anybody can tell.
    #[error("the key ring has format {format}, which a newer version wrote")]
    Newer {
        /// The format as stored.
        format: i64,
    },
    /// It is missing or damaged.
    #[error(transparent)]
    Damaged(#[from] RingDamage),
}

/// What is wrong with a stored ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingDamage {
    /// Not a ring.
    #[error("unknown key ring format {format}")]
    UnknownFormat {
        /// The format as stored.
        format: i64,
    },
    /// A value that no ring has: of another size, or out of range.
    #[error("the key ring's {name} is not a value that it can have")]
    Column {
        /// Which value.
        name: &'static str,
    },
    /// The key derivation would be too weak or too slow.
    #[error("the key ring's key derivation is out of bounds")]
    Kdf(#[from] KdfOutOfBounds),
    /// There is no data key.
    #[error("the key ring has no data keys")]
    NoKeys,
    /// Versions repeat or aren't ascending.
    #[error("the key ring's versions are out of order")]
    VersionsOutOfOrder,
    /// The target isn't what it has to be in this state.
    #[error("the key ring's re-encryption has a wrong target")]
    ReencryptionTarget,
    /// It is another organization's ring.
    #[error("the key ring belongs to organization {found}")]
    OtherOrganization {
        /// Whose ring it says it is.
        found: OrganizationId,
    },
    /// The key is right, but something under the mac was changed.
    #[error("the key ring does not verify")]
    Mac,
    /// The key is right, but the data key that seals can't be unwrapped.
    #[error("data key {version}, the highest, does not open")]
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
