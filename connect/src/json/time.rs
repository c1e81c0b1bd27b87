//! Timestamps and durations as text: RFC 3339, and seconds with the suffix `s`.

use std::fmt;

use prost_types::Timestamp;

use super::error::JsonProblem;

/// Reads a timestamp. Its offset may be any; up to 9 decimal places.
pub(super) fn timestamp(text: &str) -> Result<(i64, i32), JsonProblem> {
    let parsed = if has_timestamp_shape(text.as_bytes()) { text.parse().ok() } else { None };
    parsed.filter(is_in_range).map(|Timestamp { seconds, nanos }| (seconds, nanos)).ok_or(JsonProblem::InvalidTimestamp)
}

/// Returns the text of a timestamp: in UTC, with 0, 3, 6 or 9 decimal places.
pub(super) fn timestamp_text(seconds: i64, nanos: i32) -> Result<impl fmt::Display, JsonProblem> {
    let timestamp = Timestamp { seconds, nanos };
    if is_in_range(&timestamp) { Ok(timestamp) } else { Err(JsonProblem::NoJsonForm) }
}

/// Reads a duration, such as `-1.5s`.
pub(super) fn duration(text: &str) -> Result<(i64, i32), JsonProblem> {
    let parsed = text.strip_suffix('s').and_then(|text| {
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
        let (seconds, fraction) = match text.split_once('.') {
            Some((seconds, fraction)) => (seconds, Some(fraction)),
            None => (text, None),
        };
        let seconds = i64::try_from(digits(seconds)?).ok()?;
        let nanos = fraction.map_or(Some(0), decimal_places)?;
        Some((sign * seconds, i32::try_from(sign).ok()? * nanos))
    });
    parsed.filter(|(seconds, _)| seconds.abs() <= DURATION_MAX_SECONDS).ok_or(JsonProblem::InvalidDuration)
}

/// Returns the text of a duration, with 0, 3, 6 or 9 decimal places.
pub(super) fn duration_text(seconds: i64, nanos: i32) -> Result<impl fmt::Display, JsonProblem> {
    let is_valid = seconds.unsigned_abs() <= DURATION_MAX_SECONDS.unsigned_abs()
        && nanos.unsigned_abs() < NANOS
        && (seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0));
    if !is_valid {
        return Err(JsonProblem::NoJsonForm);
    }
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let (seconds, nanos) = (seconds.unsigned_abs(), nanos.unsigned_abs());
    Ok(fmt::from_fn(move |formatter| {
        write!(formatter, "{sign}{seconds}")?;
        match nanos {
            0 => {}
            _ if nanos % 1_000_000 == 0 => write!(formatter, ".{:03}", nanos / 1_000_000)?,
            _ if nanos % 1_000 == 0 => write!(formatter, ".{:06}", nanos / 1_000)?,
            _ => write!(formatter, ".{nanos:09}")?,
        }
        formatter.write_str("s")
    }))
}

fn is_in_range(timestamp: &Timestamp) -> bool {
    TIMESTAMP_SECONDS.contains(&timestamp.seconds) && u32::try_from(timestamp.nanos).is_ok_and(|nanos| nanos < NANOS)
}

/// Returns whether the text is `0000-00-00T00:00:00`, up to 9 decimal places, and `Z` or an offset of hours and minutes.
fn has_timestamp_shape(text: &[u8]) -> bool {
    let Some((date_time, rest)) = text.split_at_checked(TIMESTAMP_SHAPE.len()) else { return false };
    let rest = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            match fraction.get(digits..) {
                Some(rest) if (1..=9).contains(&digits) => rest,
                Some(_) | None => return false,
            }
        }
        _ => rest,
    };
    // The parser would read the second 60 as 59.
    let is_leap_second = date_time.ends_with(b"60");
    has_shape(date_time, TIMESTAMP_SHAPE)
        && !is_leap_second
        && (rest == b"Z" || has_shape(rest, b"+00:00") || has_shape(rest, b"-00:00"))
}

/// Returns whether the text is the shape, with any digit for a 0.
fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    text.len() == shape.len() && text.iter().zip(shape).all(fits)
}

fn digits(text: &str) -> Option<u64> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal { text.parse().ok() } else { None }
}

/// Reads 1 to 9 decimal places as nanoseconds.
fn decimal_places(text: &str) -> Option<i32> {
    let missing = 9_u32.checked_sub(u32::try_from(text.len()).ok()?)?;
    i32::try_from(digits(text)?).ok()?.checked_mul(10_i32.pow(missing))
}

const TIMESTAMP_SHAPE: &[u8] = b"0000-00-00T00:00:00";

/// From the first second of year 1 to the last of year 9999.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// 10000 years.
const DURATION_MAX_SECONDS: i64 = 315_576_000_000;

const NANOS: u32 = 1_000_000_000;
