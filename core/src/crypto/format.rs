//! Format numbers: distinguishes data of a newer version from damage.
//!
//! Cells, key rings and sealed key texts begin with the number of their format. Formats are numbered consecutively. A
//! number slightly above the known one therefore belongs to a newer version, and any other number means damage. Data of
//! a newer version is not lost: a server that doesn't know the format must leave it unchanged.

/// The highest number that is treated as a future format.
const NEWEST: i64 = 15;

/// Returns whether this is the number of a format newer than the known one.
pub(super) fn is_newer(format: impl Into<i64>, known: u8) -> bool {
    (i64::from(known) + 1..=NEWEST).contains(&format.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_slightly_above_the_known_one_is_a_newer_format() {
        assert_eq!(
            [0, 1, 2, 15, 16, 255].map(|format: u8| is_newer(format, 1)),
            [false, false, true, true, false, false]
        );
        assert_eq!([-1, i64::MAX].map(|format: i64| is_newer(format, 1)), [false, false]);
        assert!(!is_newer(2_u8, 2) && is_newer(3_u8, 2));
    }
}
