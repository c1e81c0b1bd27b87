//! Generation of encryption keys: texts with 175 random bits that meet the service's rule, and that are easy to copy, print and dictate.
//!
//! The format is that of keys that the server generates. The server validates the rule.

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::random;

/// The number of random bits in a key from [`generate_key_text`].
pub const GENERATED_KEY_BITS: usize = GROUPS * GROUP_CHARACTERS * 5;

/// Generates an encryption key: seven groups of five characters of Crockford's Base32, with hyphens, such as `8FQ2M-…`.
#[must_use]
pub fn generate_key_text() -> SecretString {
    generate_from(random::fill)
}

fn generate_from(mut fill: impl FnMut(&mut [u8])) -> SecretString {
    let mut drawn = Zeroizing::new([0_u8; GROUPS * GROUP_CHARACTERS]);
    // The rule requires a letter and a numeral. A key without one of them, about 1 in 500,000, is discarded.
    loop {
        fill(drawn.as_mut_slice());
        let has_numeral = drawn.iter().any(|byte| character(*byte).is_ascii_digit());
        let has_letter = drawn.iter().any(|byte| character(*byte).is_ascii_alphabetic());
        if has_numeral && has_letter {
            break;
        }
    }
    // The exact capacity: growing or shrinking would leave copies in memory.
    let mut text = String::with_capacity(GROUPS * (GROUP_CHARACTERS + 1) - 1);
    for (position, byte) in drawn.iter().enumerate() {
        if position > 0 && position % GROUP_CHARACTERS == 0 {
            text.push('-');
        }
        text.push(character(*byte));
    }
    SecretString::from(text)
}

/// 256 is a multiple of 32, so every character is equally likely.
fn character(byte: u8) -> char {
    char::from(*ALPHABET.get(usize::from(byte) % ALPHABET.len()).expect("a remainder is within the alphabet"))
}

const GROUPS: usize = 7;
const GROUP_CHARACTERS: usize = 5;

/// Crockford's Base32: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn generated_key_meets_the_rule_and_has_at_least_160_random_bits() {
        const { assert!(GENERATED_KEY_BITS >= 160) };
        let texts: BTreeSet<String> = (0..1_000).map(|_| generate_key_text().expose_secret().to_owned()).collect();
        assert_eq!(texts.len(), 1_000);
        for text in texts {
            assert!((10..=100).contains(&text.chars().count()));
            assert!(
                text.chars().any(|c| c.is_ascii_alphabetic()) && text.chars().any(|c| c.is_ascii_digit()),
                "{text}"
            );
            assert!(
                text.split('-').all(|group| group.len() == 5 && group.bytes().all(|byte| ALPHABET.contains(&byte)))
            );
            assert_eq!(text.split('-').count(), 7);
        }
    }

    #[test]
    fn key_without_letter_or_numeral_is_discarded() {
        let mut draws = 0;
        let text = generate_from(|bytes| {
            draws += 1;
            match draws {
                1 => bytes.fill(9),
                2 => bytes.fill(10),
                _ => bytes.iter_mut().zip(0..).for_each(|(byte, position)| *byte = position),
            }
        });
        assert_eq!(text.expose_secret(), "01234-56789-ABCDE-FGHJK-MNPQR-STVWX-YZ012");
        assert_eq!(draws, 3);
    }
}
