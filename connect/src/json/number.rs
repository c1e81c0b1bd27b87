//! Numbers of JSON, converted exactly: `1.0` and `1e2` are integers, `1.5` isn't, and nothing is rounded to fit an integer.

use super::error::JsonProblem;

/// Converts a JSON number to an integer from `min` to `max`. `expected` is the type for errors.
pub(super) fn integer(number: &str, min: i128, max: i128, expected: &'static str) -> Result<i128, JsonProblem> {
    let (is_negative, number) = number.strip_prefix('-').map_or((false, number), |number| (true, number));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));

    // The significant digits, and the power of ten after them.
    let fraction = fraction.trim_end_matches('0');
    let last = if fraction.is_empty() { whole.trim_end_matches('0') } else { whole };
    let zeros = whole.len() - last.len();
    let first = last.trim_start_matches('0');
    let second = if first.is_empty() { fraction.trim_start_matches('0') } else { fraction };
    let length = first.len() + second.len();
    if length == 0 {
        return Ok(0);
    }
    let shift = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    let power = saturating(exponent).saturating_add(shift(zeros)).saturating_sub(shift(fraction.len()));
    if power < 0 {
        return Err(JsonProblem::NotAnInteger);
    }
    let out_of_range = || JsonProblem::OutOfRange { expected };
    if power.saturating_add(shift(length)) > DIGITS_MAX {
        return Err(out_of_range());
    }
    let digits = first.bytes().chain(second.bytes()).map(|digit| i128::from(digit - b'0'));
    let value = digits.fold(0, |value, digit| value * 10 + digit);
    let value = (0..power).fold(if is_negative { -value } else { value }, |value, _| value * 10);
    if (min..=max).contains(&value) { Ok(value) } else { Err(out_of_range()) }
}

/// Converts a JSON number to the closest double.
pub(super) fn double(number: &str) -> Result<f64, JsonProblem> {
    let value: f64 = number.parse().unwrap_or(f64::INFINITY);
    if value.is_finite() {
        Ok(value)
    } else {
        Err(JsonProblem::OutOfRange { expected: "a 64-bit floating-point number" })
    }
}

/// Converts a JSON number to the closest float.
pub(super) fn float(number: &str) -> Result<f32, JsonProblem> {
    let value: f32 = number.parse().unwrap_or(f32::INFINITY);
    if value.is_finite() {
        Ok(value)
    } else {
        Err(JsonProblem::OutOfRange { expected: "a 32-bit floating-point number" })
    }
}

/// Reads an exponent. One that doesn't fit becomes the closest that does: the number is out of range, or isn't an integer, either way.
fn saturating(exponent: &str) -> i64 {
    let (is_negative, digits) = match exponent.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, exponent.strip_prefix('+').unwrap_or(exponent)),
    };
    let add = |value: i64, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    let value = digits.bytes().fold(0, add);
    if is_negative { -value } else { value }
}

/// The number of digits of the largest integer, `u64::MAX`.
const DIGITS_MAX: i64 = 20;
