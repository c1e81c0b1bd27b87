//! Generates encryption keys: texts that meet the service's rule, carry 175 random bits and survive paper, telephone and clipboard.
//!
//! The shape is the one in which the server generates keys. Nothing here knows the rule in full: the server checks it.

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::random;

/// How many random bits are in a text of [`generate_key_text`].
pub const GENERATED_KEY_BITS: usize = GROUPS * GROUP_CHARACTERS * 5;

/// Draws a new encryption key: seven groups of five characters of Crockford's Base32, joined by hyphens, `8FQ2M-…`.
#[must_use]
pub fn generate_key_text() -> SecretString {
    generate_from(random::fill)
}

fn generate_from(mut fill: impl FnMut(&mut [u8])) -> SecretString {
    let mut drawn = Zeroizing::new([0_u8; GROUPS * GROUP_CHARACTERS]);
    // The rule asks for a letter and a numeral. A draw without one of them, once in 500,000, is thrown away whole.
    loop {
        fill(drawn.as_mut_slice());
        let has_numeral = drawn.iter().any(|byte| character(*byte).is_ascii_digit());
        let has_letter = drawn.iter().any(|byte| character(*byte).is_ascii_alphabetic());
        if has_numeral && has_letter {
            break;
        }
    }
    // The exact capacity: growing would leave copies behind, and so would shrinking.
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
    fn a_generated_key_meets_the_rule_and_has_at_least_160_random_bits() {
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
    fn a_draw_that_breaks_the_rule_is_drawn_again() {
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
