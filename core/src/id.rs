//! Ids, versions and times. Each is a distinct type.
//!
//! Each value has only one text form, so that equal ids have equal texts in names, in the database and in the audit
//! trail.

use std::{fmt, num::NonZeroU32, str::FromStr};

use uuid::{Builder, Uuid};

use crate::random::{self, Random};

/// Defines an id type based on a UUID. Ids of organizations and records are parsed, printed and compared in the same
/// way, but can't be mixed up.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Creates an id from a UUID of any version.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Creates an id from the 16 bytes of a UUID in network order (RFC 9562).
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Returns the UUID.
            pub const fn uuid(&self) -> Uuid {
                self.0
            }

            /// Returns the 16 bytes of the UUID in network order (RFC 9562).
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        /// Formats the canonical text: lower case, with hyphens.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.as_hyphenated())
            }
        }

        /// Parses the canonical text. Other forms of a UUID (upper case, braces, no hyphens) are refused.
        impl FromStr for $name {
            type Err = InvalidUuid;

            fn from_str(text: &str) -> Result<Self, InvalidUuid> {
                canonical_uuid(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// The id of an organization. It is set at the creation, never changes, and moves with the database to other
    /// deployments.
    OrganizationId
}

uuid_id! {
    /// The id of a record, unique within its entity and organization.
    RecordId
}

uuid_id! {
    /// The id of a repeatable request, chosen by the caller and unique per caller.
    RequestId
}

impl RecordId {
    /// Parses the id in a reference, in upper or lower case.
    #[must_use]
    pub fn from_reference(text: &str) -> Option<Self> {
        parse_uuid_in_any_case(text).map(Self)
    }
}

impl OrganizationId {
    /// Generates a random id: a UUIDv4 (RFC 9562, section 5.4).
    pub fn new_v4(random: &dyn Random) -> Self {
        Self(Builder::from_random_bytes(random::bytes(random)).into_uuid())
    }
}

impl RecordId {
    /// Generates an id that sorts by its creation time in milliseconds: a UUIDv7 (RFC 9562, section 5.7).
    ///
    /// A time before 1970 counts as 1970, and a time after the year 10889 as that year, because the field has 48 bits.
    pub fn new_v7(now: Timestamp, random: &dyn Random) -> Self {
        const UNIX_MILLIS_MAX: i64 = (1 << 48) - 1;
        let unix_millis = now.unix_millis().clamp(0, UNIX_MILLIS_MAX).unsigned_abs();
        Self(Builder::from_unix_timestamp_millis(unix_millis, &random::bytes(random)).into_uuid())
    }
}

/// The text isn't a UUID in canonical form. The error doesn't contain the text, which may be any input of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID in canonical form (36 characters, lower case, with hyphens)")]
pub struct InvalidUuid;

/// Parses a UUID with hyphens in upper or lower case, for values stored by callers, because other systems use upper
/// case. Sealward's own ids have only the canonical form.
pub(crate) fn parse_uuid_in_any_case(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    uuid.as_hyphenated().encode_lower(&mut buffer).eq_ignore_ascii_case(text).then_some(uuid)
}

fn canonical_uuid(text: &str) -> Result<Uuid, InvalidUuid> {
    let uuid = Uuid::try_parse(text).map_err(|_| InvalidUuid)?;
    // `Uuid` parses several forms. Only the canonical one is accepted.
    let mut buffer = Uuid::encode_buffer();
    let canonical: &str = uuid.as_hyphenated().encode_lower(&mut buffer);
    if canonical == text { Ok(uuid) } else { Err(InvalidUuid) }
}

/// The version of a data key within an organization: 1, 2, 3 …. Each version is used only once in the history of a
/// database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyVersion(NonZeroU32);

impl KeyVersion {
    /// The version of an organization's first data key.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// Creates a version from a number; `None` for 0, which isn't a version.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Returns the version as a number, at least 1.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Returns the next version; `None` if there is none.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A random value that is generated at each write of a key ring. It shows whether a ring has changed since it was read,
/// but not the order of changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingRevision([u8; 16]);

impl RingRevision {
    /// Generates a new revision.
    pub fn draw(random: &dyn Random) -> Self {
        Self(random::bytes(random))
    }

    /// Creates a revision from its stored form.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the stored form.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for RingRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingRevision({:032x})", u128::from_be_bytes(self.0))
    }
}

/// A point in time: microseconds since 1970-01-01T00:00:00Z, without leap seconds. All stores store and compare times
/// in this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    unix_micros: i64,
}

impl Timestamp {
    /// Creates a time from the microseconds since the Unix epoch. A negative number means a time before it.
    pub const fn from_unix_micros(unix_micros: i64) -> Self {
        Self { unix_micros }
    }

    /// Returns the microseconds since the Unix epoch.
    pub const fn unix_micros(self) -> i64 {
        self.unix_micros
    }

    /// The earliest time with a text form: 0001-01-01T00:00:00Z, as in RFC 3339 and the timestamps of protobuf.
    pub const EARLIEST: Self = Self::from_unix_micros(-62_135_596_800 * 1_000_000);

    /// The latest time with a text form: 9999-12-31T23:59:59.999999Z.
    pub const LATEST: Self = Self::from_unix_micros(253_402_300_800 * 1_000_000 - 1);

    /// Returns whether the time is plausible as the current time: in the years 1970 to 9999. A server doesn't start,
    /// and authenticates no caller, at another time.
    pub const fn is_plausible_now(self) -> bool {
        self.unix_micros >= 0 && self.unix_micros <= Self::LATEST.unix_micros
    }

    /// Returns the nearest time with a text form.
    #[must_use]
    pub const fn writable(self) -> Self {
        if self.unix_micros < Self::EARLIEST.unix_micros {
            Self::EARLIEST
        } else if self.unix_micros > Self::LATEST.unix_micros {
            Self::LATEST
        } else {
            self
        }
    }

    /// Returns the milliseconds since the Unix epoch, rounded down.
    pub const fn unix_millis(self) -> i64 {
        self.unix_micros.div_euclid(1_000)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::testing::SeededRandom;

    const TEXT: &str = "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506";

    #[test]
    fn a_uuid_has_one_spelling() {
        let id: RecordId = TEXT.parse().unwrap();
        assert_eq!(id.to_string(), TEXT);
        assert_eq!(format!("{id:?}"), format!("RecordId({TEXT})"));
        for other in [
            "0191E2A4-5B6C-7D8E-9FA0-B1C2D3E4F506",
            "0191e2a45b6c7d8e9fa0b1c2d3e4f506",
            "{0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506}",
            "urn:uuid:0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506",
            " 0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506",
            "0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f50",
            "",
        ] {
            assert_eq!(other.parse::<RecordId>(), Err(InvalidUuid), "{other}");
            assert_eq!(other.parse::<OrganizationId>(), Err(InvalidUuid), "{other}");
        }
    }

    #[test]
    fn time_outside_of_years_1_to_9999_is_clamped() {
        let at = Timestamp::from_unix_micros;
        assert_eq!(at(i64::MIN).writable(), Timestamp::EARLIEST);
        assert_eq!(at(Timestamp::LATEST.unix_micros() + 1).writable(), Timestamp::LATEST);
        assert_eq!([at(-1), at(0), Timestamp::LATEST].map(Timestamp::writable), [at(-1), at(0), Timestamp::LATEST]);
        let plausible = [at(-1), at(0), Timestamp::LATEST, at(Timestamp::LATEST.unix_micros() + 1)];
        assert_eq!(plausible.map(Timestamp::is_plausible_now), [false, true, true, false]);
    }

    #[test]
    fn generated_organization_id_is_a_version_4_uuid() {
        let random = SeededRandom::new(1);
        let id = OrganizationId::new_v4(&random);
        assert_eq!(id.uuid().get_version_num(), 4);
        assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
        assert_ne!(id, OrganizationId::new_v4(&random));
    }

    #[test]
    fn generated_record_id_is_a_version_7_uuid_of_its_millisecond() {
        // The time of RFC 9562, appendix A.6.
        let now = Timestamp::from_unix_micros(0x017F_22E2_79B0 * 1_000 + 999);
        let id = RecordId::new_v7(now, &SeededRandom::new(1));
        assert_eq!(&id.as_bytes()[..6], &[0x01, 0x7F, 0x22, 0xE2, 0x79, 0xB0]);
        assert_eq!(id.uuid().get_version_num(), 7);
        assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn time_outside_of_uuidv7_is_clamped() {
        let random = SeededRandom::new(1);
        let early = RecordId::new_v7(Timestamp::from_unix_micros(i64::MIN), &random);
        assert_eq!(&early.as_bytes()[..6], &[0; 6]);
        let late = RecordId::new_v7(Timestamp::from_unix_micros(i64::MAX), &random);
        assert_eq!(late.uuid().get_version_num(), 7);
        assert!(late > early);
    }

    #[test]
    fn key_versions_start_at_1_and_are_finite() {
        assert_eq!(KeyVersion::new(0), None);
        assert_eq!(KeyVersion::FIRST.get(), 1);
        assert_eq!(KeyVersion::FIRST.next(), KeyVersion::new(2));
        assert_eq!(KeyVersion::new(u32::MAX).unwrap().next(), None);
        assert_eq!(KeyVersion::new(17).unwrap().to_string(), "17");
    }

    #[test]
    fn milliseconds_round_down_before_1970_too() {
        assert_eq!(Timestamp::from_unix_micros(1_999).unix_millis(), 1);
        assert_eq!(Timestamp::from_unix_micros(-1).unix_millis(), -1);
    }

    proptest! {
        #[test]
        fn printed_ids_and_times_parse_to_the_same_value(bytes: [u8; 16]) {
            let id = OrganizationId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn later_milliseconds_sort_later(a in 0i64..1 << 47, b in 0i64..1 << 47, seed: u64) {
            let random = SeededRandom::new(seed);
            let draw = |unix_millis: i64| RecordId::new_v7(Timestamp::from_unix_micros(unix_millis * 1_000), &random);
            let (first, second) = (draw(a), draw(b));
            if a != b {
                prop_assert_eq!(a < b, first < second);
            }
        }
    }
}
