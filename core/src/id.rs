//! Ids, versions and times: small values that are all told apart by type.
//!
//! Their text has one spelling only, so that equal ids are equal text in names, in the database and in the audit trail.

use std::{fmt, num::NonZeroU32, str::FromStr};

use uuid::{Builder, Uuid};

use crate::random::{self, Random};

/// An id that is a UUID. One macro, so that organizations and records parse, print and compare alike but never mix.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes any UUID, whatever its version.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Takes the 16 bytes of a UUID in network order (RFC 9562).
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The UUID.
            pub const fn uuid(&self) -> Uuid {
                self.0
            }

            /// The UUID's 16 bytes in network order (RFC 9562).
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        /// The canonical text: lower case, with hyphens.
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

        /// Accepts the canonical text only; other spellings of a UUID (upper case, braces, no hyphens) are refused.
        impl FromStr for $name {
            type Err = InvalidUuid;

            fn from_str(text: &str) -> Result<Self, InvalidUuid> {
                canonical_uuid(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// An organization: given when it is created, never changed, and carried by its database into every other
    /// deployment.
    OrganizationId
}

uuid_id! {
    /// A record of an entity. Unique within its entity and organization.
    RecordId
}

uuid_id! {
    /// A request that its caller may repeat: drawn by the caller, and its own.
    RequestId
}

impl RecordId {
    /// The record that a reference names, with letters of either case.
    #[must_use]
    pub fn from_reference(text: &str) -> Option<Self> {
        parse_uuid_in_any_case(text).map(Self)
    }
}

impl OrganizationId {
    /// Draws a new id: a UUIDv4 (RFC 9562, section 5.4).
    pub fn new_v4(random: &dyn Random) -> Self {
        Self(Builder::from_random_bytes(random::bytes(random)).into_uuid())
    }
}

impl RecordId {
    /// Draws a new id: a UUIDv7 (RFC 9562, section 5.7), so that ids sort by the millisecond of their making.
    ///
    /// A time before 1970 counts as 1970, one past the year 10889 as that year: 48 bits hold no more.
    pub fn new_v7(now: Timestamp, random: &dyn Random) -> Self {
        const UNIX_MILLIS_MAX: i64 = (1 << 48) - 1;
        let unix_millis = now.unix_millis().clamp(0, UNIX_MILLIS_MAX).unsigned_abs();
        Self(Builder::from_unix_timestamp_millis(unix_millis, &random::bytes(random)).into_uuid())
    }
}

/// A text that isn't a UUID in canonical form. The text isn't repeated here: it may be anything a caller sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID in canonical form (36 characters, lower case, with hyphens)")]
pub struct InvalidUuid;

/// A UUID with hyphens, whose letters may be of either case: for values that callers store, where other systems write upper case. Ids of
/// our own have one spelling.
pub(crate) fn parse_uuid_in_any_case(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    uuid.as_hyphenated().encode_lower(&mut buffer).eq_ignore_ascii_case(text).then_some(uuid)
}

fn canonical_uuid(text: &str) -> Result<Uuid, InvalidUuid> {
    let uuid = Uuid::try_parse(text).map_err(|_| InvalidUuid)?;
    // Uuid reads many spellings; only the one it would print is ours.
    let mut buffer = Uuid::encode_buffer();
    let canonical: &str = uuid.as_hyphenated().encode_lower(&mut buffer);
    if canonical == text { Ok(uuid) } else { Err(InvalidUuid) }
}

/// The version of a data key within an organization: 1, 2, 3 …, never given twice within one history of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyVersion(NonZeroU32);

impl KeyVersion {
    /// The version of an organization's first data key.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The version of this number; `None` for 0, which no key has.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The version as a number, at least 1.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The version after this one; `None` when the numbers are used up.
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

/// A random value drawn at each write of a key ring. Says whether a ring is still the one that was read; carries no
/// order in time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingRevision([u8; 16]);

impl RingRevision {
    /// Draws a new revision.
    pub fn draw(random: &dyn Random) -> Self {
        Self(random::bytes(random))
    }

    /// Takes a stored revision.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The revision as stored.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for RingRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingRevision({:032x})", u128::from_be_bytes(self.0))
    }
}

/// A point in time: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted. What every store keeps and
/// compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    unix_micros: i64,
}

impl Timestamp {
    /// The time this many microseconds after the Unix epoch, or before it if negative.
    pub const fn from_unix_micros(unix_micros: i64) -> Self {
        Self { unix_micros }
    }

    /// Microseconds since the Unix epoch.
    pub const fn unix_micros(self) -> i64 {
        self.unix_micros
    }

    /// The earliest time that can be written as text: 0001-01-01T00:00:00Z, as protobuf's timestamps and RFC 3339 have it.
    pub const EARLIEST: Self = Self::from_unix_micros(-62_135_596_800 * 1_000_000);

    /// The latest time that can be written as text: 9999-12-31T23:59:59.999999Z.
    pub const LATEST: Self = Self::from_unix_micros(253_402_300_800 * 1_000_000 - 1);

    /// Whether a clock that shows this time can be right: in the years 1970 to 9999. A server doesn't work by any other.
    pub const fn is_plausible_now(self) -> bool {
        self.unix_micros >= 0 && self.unix_micros <= Self::LATEST.unix_micros
    }

    /// The nearest time that can be written as text; itself, if it can be.
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

    /// Whole milliseconds since the Unix epoch, rounded down.
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
    fn a_drawn_organization_id_is_a_version_4_uuid() {
        let random = SeededRandom::new(1);
        let id = OrganizationId::new_v4(&random);
        assert_eq!(id.uuid().get_version_num(), 4);
        assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
        assert_ne!(id, OrganizationId::new_v4(&random));
    }

    #[test]
    fn a_drawn_record_id_is_a_version_7_uuid_of_its_millisecond() {
        // The time of RFC 9562, appendix A.6.
        let now = Timestamp::from_unix_micros(0x017F_22E2_79B0 * 1_000 + 999);
        let id = RecordId::new_v7(now, &SeededRandom::new(1));
        assert_eq!(&id.as_bytes()[..6], &[0x01, 0x7F, 0x22, 0xE2, 0x79, 0xB0]);
        assert_eq!(id.uuid().get_version_num(), 7);
        assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn a_time_outside_of_uuidv7_is_clamped() {
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
