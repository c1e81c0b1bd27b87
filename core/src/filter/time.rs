//! Times in the syntax of RFC 3339, to the microsecond.

use jiff::{civil::DateTime, fmt::temporal::Pieces};

use crate::id::Timestamp;

/// The time in the text: `2026-01-31T12:00:00.25+01:00`. `None` if the text isn't a time, or if the time is finer than a microsecond,
/// outside the years 1 to 9999 in UTC, or a leap second, which timestamps don't count.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    if !is_rfc_3339(text.as_bytes()) {
        return None;
    }
    let pieces = Pieces::parse(text).ok()?;
    let offset = pieces.to_numeric_offset()?.seconds();
    let local = pieces.date().to_datetime(pieces.time()?);
    let local_micros = i64::try_from(local.duration_since(UNIX_EPOCH).as_micros()).ok()?;
    let micros = local_micros - i64::from(offset) * 1_000_000;
    let in_range = local.year() >= 1 && offset.abs() < DAY_SECONDS && (FIRST_MICRO..=LAST_MICRO).contains(&micros);
    in_range.then(|| Timestamp::from_unix_micros(micros))
}

const UNIX_EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

const DAY_SECONDS: i32 = 86_400;

/// 0001-01-01T00:00:00Z
const FIRST_MICRO: i64 = -62_135_596_800_000_000;

/// 9999-12-31T23:59:59.999999Z
const LAST_MICRO: i64 = 253_402_300_799_999_999;

/// Whether the text has the form of RFC 3339, with at most six digits of a fraction and no leap second. jiff reads more: other forms of
/// ISO 8601, time zones, and a leap second as the second before it.
fn is_rfc_3339(text: &[u8]) -> bool {
    let Some((local, rest)) = text.split_first_chunk::<19>() else { return false };
    let offset = rest.iter().position(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'));
    let Some((fraction, offset)) = offset.and_then(|offset| rest.split_at_checked(offset)) else { return false };
    let is_fraction = match fraction {
        [] => true,
        [b'.', digits @ ..] => (1..=6).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let is_offset = [&b"Z"[..], b"+00:00", b"-00:00"].into_iter().any(|form| has_form(offset, form));
    has_form(local, b"0000-00-00T00:00:00") && !local.ends_with(b"60") && is_fraction && is_offset
}

/// Whether the text is the form with any digits for its zeros, and letters of either case.
fn has_form(text: &[u8], form: &[u8]) -> bool {
    let fits =
        |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte.eq_ignore_ascii_case(form) };
    text.len() == form.len() && text.iter().zip(form).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_to_the_microsecond() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t00:00:00.000001z", 1),
            ("1969-12-31T23:59:59.999999Z", -1),
            // The examples of RFC 3339, section 5.8.
            ("1985-04-12T23:20:50.52Z", 482_196_050_520_000),
            ("1996-12-19T16:39:57-08:00", 851_042_397_000_000),
            ("1937-01-01T12:00:27.87+00:20", -1_041_337_172_130_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000),
            ("2000-03-01T01:30:00+01:30", 951_868_800_000_000),
            ("0001-01-01T00:00:00Z", FIRST_MICRO),
            ("9999-12-31T23:59:59.999999Z", LAST_MICRO),
        ] {
            assert_eq!(parse(text), Some(Timestamp::from_unix_micros(micros)), "{text}");
        }
    }

    #[test]
    fn malformed_time_is_refused() {
        for text in [
            "",
            "T",
            "Z",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-1-31T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-00-01T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "1900-02-29T12:00:00Z",
            "2026-01-00T12:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:60:00Z",
            "1990-12-31T23:59:60Z",
            "2026-01-31T12:00:61Z",
            "2026-01-31T12:00:00.Z+00:00",
            "2026-01-31T12:00:00Z[UTC]",
            "2026-01-31T12:00:00+01:00[Europe/Berlin]",
            "20260131T120000Z",
            "-02026-01-31T12:00:00Z",
            "2026-01-31T12:00:00-25:00",
            "2026-01-31T12:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00.1234567Z",
            "2026-01-31T12:00:00,5Z",
            "2026-01-31T12:00:00+1:00",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:00+01:60",
            "2026-01-31T12:00:00+01",
            "2026-01-31T12:00:00+01:00:00",
            "2026-01-31T+2:00:00Z",
            "+026-01-31T12:00:00Z",
            "0000-12-31T23:00:00Z",
            "0000-12-31T23:59:59.5Z",
            "0000-12-31T23:59:59-01:00",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "2026-01-31T12:00:00٣Z",
            "2026-01-31T12:00:00-é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
