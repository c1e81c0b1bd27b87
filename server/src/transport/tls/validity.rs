//! Validity of certificates and lists: dates for people, and seconds as in X.509.

use std::{fmt, time::Duration};

use rustls::pki_types::UnixTime;
use sealward_core::id::Timestamp;
use x509_parser::time::ASN1Time;

use crate::schema::timestamp_to_proto;

/// A certificate that expires sooner causes a warning.
pub(crate) const SOON_DAYS: i64 = 30;

pub(crate) const DAY_SECONDS: i64 = 86_400;

/// As in `2027-11-23`.
pub(crate) fn day(time: ASN1Time) -> String {
    time.to_datetime().date().to_string()
}

/// A time for people, as in `2027-11-23T01:29:28Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IsoTime(Timestamp);

impl From<ASN1Time> for IsoTime {
    fn from(time: ASN1Time) -> Self {
        Self(Timestamp::from_unix_micros(time.timestamp().saturating_mul(1_000_000)))
    }
}

impl From<UnixTime> for IsoTime {
    fn from(time: UnixTime) -> Self {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Self(Timestamp::from_unix_micros(seconds.saturating_mul(1_000_000)))
    }
}

impl fmt::Display for IsoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        timestamp_to_proto(self.0).fmt(f)
    }
}

/// In seconds since 1970.
pub(crate) fn seconds(time: Timestamp) -> i64 {
    time.unix_micros().div_euclid(1_000_000)
}

pub(super) fn unix_time(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds.max(0).unsigned_abs()))
}
