//! The strength of a key against an attacker who has a copy of the database and guesses keys.
//!
//! Estimates bits with zxcvbn, which knows words, names, dates, keyboard patterns and repetitions. No message contains any part of the key.
//! zxcvbn makes copies of the key that can't be wiped; the process ends soon after.

use sealward_client::{ExposeSecret as _, GENERATED_KEY_BITS, SecretString};

/// An estimate of the guesses that a key withstands, in bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strength {
    estimated_bits: f64,
    random_bits_max: f64,
}

impl Strength {
    pub(crate) fn of(key: &SecretString) -> Self {
        let text = key.expose_secret();
        let estimated_bits = estimated_bits(text);
        let random_bits_max = random_bits_max(text);
        Self { estimated_bits: estimated_bits.min(random_bits_max), random_bits_max }
    }

    /// Whether the estimate is below [`BITS_MIN`].
    pub(crate) fn is_weak(self) -> bool {
        self.estimated_bits < f64::from(BITS_MIN)
    }

    /// A description for the user.
    pub(crate) fn describe(self) -> String {
        let Self { estimated_bits, random_bits_max } = self;
        let mut text = format!(
            "estimated key strength: {estimated_bits:.0} bits, considering words, dates and patterns\n\
             With a copy of the database and 1,000 large GPUs (15,000 guesses/s each), an attacker finds it in {}.",
            duration(seconds_to_guess(estimated_bits))
        );
        if self.is_weak() {
            text.push_str(&format!(
                "\nThe recommended minimum is {BITS_MIN} bits; a generated key has {GENERATED_KEY_BITS}."
            ));
            if random_bits_max >= f64::from(BITS_MIN) {
                text.push_str(&format!(
                    " If the key was generated at random, it has up to {random_bits_max:.0} bits, which is enough."
                ));
            }
        }
        text
    }
}

/// zxcvbn's estimates end at 64 bits. A text that reaches this is estimated again as the sum of its words.
fn estimated_bits(text: &str) -> f64 {
    let whole = bits_up_to_64(text);
    if whole < 63.0 {
        return whole;
    }
    let words = text.split(|character: char| !character.is_alphanumeric());
    whole.max(words.flat_map(pieces).map(|piece| bits_up_to_64(&piece)).sum())
}

fn bits_up_to_64(text: &str) -> f64 {
    zxcvbn::zxcvbn(text, &["sealward"]).guesses_log10() * 10_f64.log2()
}

/// Splits a word into pieces of less than 64 bits each.
fn pieces(word: &str) -> Vec<String> {
    let characters: Vec<char> = word.chars().collect();
    characters.chunks(PIECE_CHARACTERS).map(|piece| piece.iter().collect()).collect()
}

/// An upper bound: the bits of a text of random characters from the same character classes.
fn random_bits_max(text: &str) -> f64 {
    type Kind = (fn(char) -> bool, f64);
    let kinds: [Kind; 5] = [
        (|character| character.is_ascii_lowercase(), 26.0),
        (|character| character.is_ascii_uppercase(), 26.0),
        (|character| character.is_ascii_digit(), 10.0),
        (|character| character == ' ' || character.is_ascii_punctuation(), 33.0),
        // Other letters usually come from one script.
        (|character| !character.is_ascii(), 100.0),
    ];
    let alphabet: f64 = kinds.iter().filter(|(is_kind, _)| text.chars().any(is_kind)).map(|(_, size)| size).sum();
    text.chars().map(|_| alphabet.log2()).sum()
}

/// The average time: half of all guesses.
fn seconds_to_guess(bits: f64) -> f64 {
    (bits - 1.0).exp2() / GUESSES_PER_SECOND
}

fn duration(seconds: f64) -> String {
    let units = [
        (60.0, 1.0, "seconds"),
        (60.0 * 60.0, 60.0, "minutes"),
        (DAY_SECONDS, 60.0 * 60.0, "hours"),
        (YEAR_SECONDS, DAY_SECONDS, "days"),
        (1e6 * YEAR_SECONDS, YEAR_SECONDS, "years"),
    ];
    if seconds < 1.0 {
        return "less than a second".to_owned();
    }
    match units.into_iter().find(|(below, _, _)| seconds < *below) {
        Some((_, unit, name)) => format!("about {:.0} {name}", seconds / unit),
        None => "more than a million years".to_owned(),
    }
}

/// zxcvbn counts an unknown character as one of ten: a piece has at most 53 bits.
const PIECE_CHARACTERS: usize = 16;

/// Out of reach for a GPU farm in a lifetime, with a margin for faster hardware.
const BITS_MIN: u16 = 80;

/// For PBKDF2-HMAC-SHA-256 with 600,000 iterations: 1,000 large GPUs, 15,000 guesses per second each.
const GUESSES_PER_SECOND: f64 = 15e6;

const DAY_SECONDS: f64 = 24.0 * 60.0 * 60.0;
const YEAR_SECONDS: f64 = 365.25 * DAY_SECONDS;

#[cfg(test)]
mod tests {
    use sealward_client::generate_key_text;

    use super::*;

    fn strength(text: &str) -> Strength {
        Strength::of(&text.into())
    }

    #[test]
    fn words_and_patterns_add_few_bits_at_any_length() {
        for weak in
            ["Password1!", "qwertyuiop1!", "aaaaaaaaaaaaaaaaaaaaa1!", "Sealward2026!", "Password1!Password1!Password1!"]
        {
            let strength = strength(weak);
            assert!(strength.estimated_bits < 45.0, "{weak}: {strength:?}");
            assert!(strength.is_weak());
        }
    }

    #[test]
    fn generated_key_is_never_weak() {
        for _ in 0..20 {
            let strength = Strength::of(&generate_key_text());
            assert!(!strength.is_weak(), "{strength:?}");
        }
        assert!(!strength("correct-horse battery.staple: seven more, unusual as xylophones 7").is_weak());
    }

    #[test]
    fn estimate_hides_the_text_and_stays_below_the_maximum() {
        for text in ["", "a", "canary-1234"] {
            let strength = strength(text);
            assert!(strength.estimated_bits <= strength.random_bits_max);
            assert!(!strength.describe().contains("canary"));
        }
        assert_eq!(random_bits_max("abcdefgh1!").floor(), 61.0);
    }

    #[test]
    fn bits_are_shown_as_time() {
        let time = |bits| duration(seconds_to_guess(bits));
        assert_eq!(time(10.0), "less than a second");
        assert_eq!(time(33.0), "about 5 minutes");
        assert_eq!(time(40.0), "about 10 hours");
        assert_eq!(time(65.0), "about 38969 years");
        assert_eq!(time(80.0), "more than a million years");
    }

    #[test]
    fn possibly_random_text_is_reported_as_such() {
        let described = strength("kV8qzR4tWn2xLp7d").describe();
        assert!(described.contains("If the key was generated at random"), "{described}");
        assert!(!strength("Password1!").describe().contains("at random"));
    }
}
