//! Validity of certificates and lists: dates for people, and seconds as in X.509.

use std::time::Duration;

use rustls::pki_types::UnixTime;
use sealward_core::id::Timestamp;
use x509_parser::time::ASN1Time;

/// A certificate that expires sooner causes a warning.
pub(crate) const SOON_DAYS: i64 = 30;

pub(super) const DAY_SECONDS: i64 = 86_400;

/// As in `2027-11-23`.
pub(crate) fn day(time: ASN1Time) -> String {
    time.to_datetime().date().to_string()
}

pub(super) fn seconds(time: Timestamp) -> i64 {
    time.unix_micros().div_euclid(1_000_000)
}

pub(super) fn unix_time(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds.max(0).unsigned_abs()))
}
