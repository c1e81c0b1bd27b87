//! Times as RFC 3339 writes them, to the microsecond.

use crate::id::Timestamp;

/// The time that the text says: `2026-01-31T12:00:00.25+01:00`. `None` if it says none, if it is finer than a microsecond, outside the
/// years 1 to 9999 in UTC, or a leap second, which timestamps don't count.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', 't'])?;
    let (clock, offset_minutes) = split_offset(time)?;
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, micros(fraction)?),
        None => (clock, 0),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let in_range = hour < 24 && minute < 60 && second < 60;
    let seconds = (days_since_1970(year, month, day)? * 24 + hour) * 3_600 + (minute - offset_minutes) * 60 + second;
    let whole = in_range && (FIRST_SECOND..=LAST_SECOND).contains(&seconds);
    whole.then(|| Timestamp::from_unix_micros(seconds * 1_000_000 + fraction))
}

/// 0001-01-01T00:00:00Z
const FIRST_SECOND: i64 = -62_135_596_800;

/// 9999-12-31T23:59:59Z
const LAST_SECOND: i64 = 253_402_300_799;

/// The clock, and how many minutes it is ahead of UTC.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let sign_at = time.rfind(['+', '-'])?;
    let (clock, offset) = time.split_at_checked(sign_at)?;
    let [hours, minutes] = numbers(offset.get(1..)?, ':', [2, 2])?;
    let ahead = if offset.starts_with('-') { -1 } else { 1 };
    (hours < 24 && minutes < 60).then_some((clock, ahead * (hours * 60 + minutes)))
}

/// The numbers of these many digits between separators.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        *number = number_of(parts.next().filter(|part| part.len() == digits)?)?;
    }
    parts.next().is_none().then_some(numbers)
}

/// The microseconds of a fraction of a second.
fn micros(fraction: &str) -> Option<i64> {
    let missing = 6_usize.checked_sub(fraction.len())?;
    Some(number_of(fraction)? * 10_i64.pow(u32::try_from(missing).ok()?))
}

fn number_of(digits: &str) -> Option<i64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// How many days lie between 1970-01-01 and this one, in the Gregorian calendar; `None` if there is no such day.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month_index = usize::try_from(month - 1).ok()?;
    let length = *lengths.get(month_index)?;
    let before_month: i64 = lengths.iter().take(month_index).sum();
    let years = year - 1;
    let before_year = years * 365 + years / 4 - years / 100 + years / 400;
    let exists = year >= 1 && (1..=length).contains(&day);
    exists.then_some(before_year + before_month + day - 1 - DAYS_BEFORE_1970)
}

/// From 0001-01-01 to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_162;

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
            ("0001-01-01T00:00:00Z", FIRST_SECOND * 1_000_000),
            ("9999-12-31T23:59:59.999999Z", LAST_SECOND * 1_000_000 + 999_999),
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
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "2026-01-31T12:00:00٣Z",
            "2026-01-31T12:00:00-é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
