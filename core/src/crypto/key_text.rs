//! The rules for an encryption key's text: what a change requires, what a restore accepts, and how a good text is
//! generated.
//!
//! A change checks a text against the rule of Dynamics 365: 10 to 100 characters, including a letter, a numeral and a
//! symbol. A restore accepts every text that could be the key of an existing database. A text is never trimmed,
//! case-folded or normalized. This file knows nothing about keys.

use zeroize::Zeroizing;

use super::secret::KeyText;
use crate::{
    random::Random,
    text::{HiddenProperty, hidden_properties, is_invisible},
};

/// The minimum length of a new text in characters (Unicode scalar values).
pub(crate) const LENGTH_MIN: usize = 10;
/// The maximum length of a new text in characters (Unicode scalar values).
pub(crate) const LENGTH_MAX: usize = 100;

/// The maximum length of a text for a restore in bytes: ten times the limit of any rule so far.
pub(crate) const RESTORABLE_BYTES_MAX: usize = 1_024;

/// Checks a new text against the rule. Only a change uses it; a restore uses [`check_restorable`].
///
/// # Errors
/// All violations, in the order of [`KeyTextViolation`].
pub(crate) fn check_rule(text: &KeyText) -> Result<(), Vec<KeyTextViolation>> {
    let text = text.expose();
    let given_length = text.chars().count();
    let rules = [
        (given_length >= LENGTH_MIN, KeyTextViolation::TooShort { given_length }),
        (given_length <= LENGTH_MAX, KeyTextViolation::TooLong { given_length }),
        (text.chars().any(char::is_alphabetic), KeyTextViolation::NoLetter),
        (text.chars().any(char::is_numeric), KeyTextViolation::NoNumeral),
        (text.chars().any(is_symbol), KeyTextViolation::NoSymbol),
        (!text.chars().any(char::is_control), KeyTextViolation::ControlCharacter),
        (!text.chars().any(is_invisible), KeyTextViolation::InvisibleCharacter),
    ];
    let violations: Vec<_> =
        rules.into_iter().filter(|(is_kept, _)| !is_kept).map(|(_, violation)| violation).collect();
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// A violation of the rule for new texts. Contains lengths, never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextViolation {
    /// Fewer than 10 characters.
    #[error("has {given_length} characters: use at least {LENGTH_MIN}")]
    TooShort {
        /// Length in characters (Unicode scalar values).
        given_length: usize,
    },
    /// More than 100 characters.
    #[error("has {given_length} characters: use at most {LENGTH_MAX}")]
    TooLong {
        /// Length in characters (Unicode scalar values).
        given_length: usize,
    },
    /// No letter (Unicode: Alphabetic).
    #[error("needs at least one letter")]
    NoLetter,
    /// No numeral (Unicode: categories Nd, Nl and No).
    #[error("needs at least one numeral")]
    NoNumeral,
    /// No symbol: every character is a letter, a numeral, whitespace, a control character or an invisible character.
    #[error("needs at least one visible character that is neither a letter nor a numeral")]
    NoSymbol,
    /// A control character (Unicode: category Cc), for example a tab or a line break.
    #[error("must not contain control characters")]
    ControlCharacter,
    /// A format character or another default-ignorable character, for example a byte order mark. It is invisible, so a
    /// person can't type it again.
    #[error("must not contain invisible characters, such as a byte order mark or a zero-width space")]
    InvisibleCharacter,
    /// The text is the one that opens the source of a copy. The rule doesn't know other texts, so it never reports this.
    #[error("must differ from the text that opens the file")]
    SameAsSource,
}

impl KeyTextViolation {
    /// Returns the machine-readable reason. It is part of the contract.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            KeyTextViolation::TooShort { .. } => "TOO_SHORT",
            KeyTextViolation::TooLong { .. } => "TOO_LONG",
            KeyTextViolation::NoLetter => "NO_LETTER",
            KeyTextViolation::NoNumeral => "NO_NUMERAL",
            KeyTextViolation::NoSymbol => "NO_SYMBOL",
            KeyTextViolation::ControlCharacter => "HAS_CONTROL",
            KeyTextViolation::InvisibleCharacter => "HAS_INVISIBLE",
            KeyTextViolation::SameAsSource => "SAME_AS_SOURCE",
        }
    }
}

/// A hint at an invisible property of a text that a restore refused. It discloses nothing about the right text, and no
/// character of the entered text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenTextHint {
    /// It begins with U+FEFF.
    BeginsWithByteOrderMark,
    /// It begins with whitespace.
    BeginsWithBlank,
    /// It ends with whitespace, for example a line break.
    EndsWithBlank,
    /// It contains a control character.
    HasControl,
    /// It contains a format character or another invisible character.
    HasInvisible,
    /// It isn't in Unicode's normalization form C.
    NotNfc,
}

impl GivenTextHint {
    /// Returns the machine-readable name. It is part of the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            GivenTextHint::BeginsWithByteOrderMark => "BEGINS_WITH_BYTE_ORDER_MARK",
            GivenTextHint::BeginsWithBlank => "BEGINS_WITH_BLANK",
            GivenTextHint::EndsWithBlank => "ENDS_WITH_BLANK",
            GivenTextHint::HasControl => "HAS_CONTROL",
            GivenTextHint::HasInvisible => "HAS_INVISIBLE",
            GivenTextHint::NotNfc => "NOT_NFC",
        }
    }

    /// Returns the description that follows "the given text" in a message.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            GivenTextHint::BeginsWithByteOrderMark => "begins with a byte order mark",
            GivenTextHint::BeginsWithBlank => "begins with whitespace",
            GivenTextHint::EndsWithBlank => "ends with whitespace",
            GivenTextHint::HasControl => "contains a control character",
            GivenTextHint::HasInvisible => "contains an invisible character",
            GivenTextHint::NotNfc => "isn't in Unicode normalization form C",
        }
    }
}

/// Returns the hints about a text, each at most once.
#[must_use]
pub(crate) fn hints(text: &KeyText) -> Vec<GivenTextHint> {
    let hint = |hidden: &HiddenProperty| match hidden {
        HiddenProperty::ByteOrderMark => GivenTextHint::BeginsWithByteOrderMark,
        HiddenProperty::BlankAtStart => GivenTextHint::BeginsWithBlank,
        HiddenProperty::BlankAtEnd => GivenTextHint::EndsWithBlank,
        HiddenProperty::Control(_) => GivenTextHint::HasControl,
        HiddenProperty::Invisible(_) => GivenTextHint::HasInvisible,
        HiddenProperty::NotNfc => GivenTextHint::NotNfc,
    };
    hidden_properties(text.expose()).iter().map(hint).collect()
}

/// Checks that a text could be the key of an existing database.
///
/// # Errors
/// If the text is empty, too long or contains U+0000, which no stored text contains.
pub(crate) fn check_restorable(text: &KeyText) -> Result<(), NotRestorable> {
    let text = text.expose();
    if text.is_empty() {
        return Err(NotRestorable::Empty);
    }
    if text.len() > RESTORABLE_BYTES_MAX {
        return Err(NotRestorable::TooLong { given_length_bytes: text.len() });
    }
    if text.contains('\0') {
        return Err(NotRestorable::Nul);
    }
    Ok(())
}

/// Why a text can't be the key of any database. Contains lengths, never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRestorable {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// More than `RESTORABLE_BYTES_MAX` bytes.
    #[error("has {given_length_bytes} bytes: use at most {RESTORABLE_BYTES_MAX}")]
    TooLong {
        /// Length in bytes of UTF-8.
        given_length_bytes: usize,
    },
    /// It contains the character U+0000.
    #[error("must not contain U+0000")]
    Nul,
}

impl NotRestorable {
    /// Returns the machine-readable reason. It is part of the contract.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            NotRestorable::Empty => "REQUIRED",
            NotRestorable::TooLong { .. } => "TOO_LONG",
            NotRestorable::Nul => "HAS_NUL",
        }
    }
}

/// Generates a new text of seven groups of five characters, joined by hyphens, such as `8FQ2M-…`. It has 175 random
/// bits and satisfies the rule.
///
/// The characters are those of Crockford's Base32: printable ASCII without look-alikes. The text can therefore be
/// copied from paper, by telephone and through a clipboard.
pub(crate) fn generate(random: &dyn Random) -> KeyText {
    // About one draw in 500,000 has no letter or no numeral. It is discarded as a whole, so the result is uniform over
    // the texts that the rule allows. This costs less than a thousandth of a bit.
    loop {
        let text = draw(random);
        if check_rule(&text).is_ok() {
            return text;
        }
    }
}

fn draw(random: &dyn Random) -> KeyText {
    let mut drawn = Zeroizing::new([0; GROUPS * GROUP_CHARACTERS]);
    random.fill(drawn.as_mut_slice());
    // The exact capacity, because growing would leave copies in memory.
    let mut text = String::with_capacity(GROUPS * (GROUP_CHARACTERS + 1) - 1);
    for (position, byte) in drawn.iter().enumerate() {
        if position > 0 && position % GROUP_CHARACTERS == 0 {
            text.push('-');
        }
        // 256 is a multiple of 32, so every character is equally likely.
        let character = ALPHABET.get(usize::from(*byte) % ALPHABET.len());
        text.push(char::from(*character.expect("a remainder is within the alphabet")));
    }
    KeyText::new(text)
}

fn is_symbol(character: char) -> bool {
    !(character.is_alphanumeric() || character.is_whitespace() || character.is_control() || is_invisible(character))
}

const GROUPS: usize = 7;
const GROUP_CHARACTERS: usize = 5;

/// Crockford's Base32, which has no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use proptest::prelude::*;

    use super::*;
    use crate::random::testing::SeededRandom;

    fn rule(text: &str) -> Vec<KeyTextViolation> {
        check_rule(&KeyText::new(text.to_owned())).err().unwrap_or_default()
    }

    fn restorable(text: &str) -> Result<(), NotRestorable> {
        check_restorable(&KeyText::new(text.to_owned()))
    }

    #[test]
    fn lengths_are_counted_in_characters_and_both_ends_are_allowed() {
        assert_eq!(rule("abcdefg1!"), [KeyTextViolation::TooShort { given_length: 9 }]);
        assert_eq!(rule("abcdefgh1!"), []);
        assert_eq!(rule(&format!("{}1!", "a".repeat(98))), []);
        assert_eq!(rule(&format!("{}1!", "a".repeat(99))), [KeyTextViolation::TooLong { given_length: 101 }]);
        // 100 characters of two and four bytes each.
        assert_eq!(rule(&format!("{}1\u{1f511}", "\u{e9}".repeat(98))), []);
        // A family emoji is one glyph and seven characters.
        assert_eq!(
            rule("a1\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}"),
            [KeyTextViolation::TooShort { given_length: 9 }, KeyTextViolation::InvisibleCharacter]
        );
    }

    #[test]
    fn each_kind_of_character_is_required() {
        assert_eq!(rule("1234567890!"), [KeyTextViolation::NoLetter]);
        assert_eq!(rule("abcdefghij!"), [KeyTextViolation::NoNumeral]);
        assert_eq!(rule("abcdefghij1"), [KeyTextViolation::NoSymbol]);
        // Whitespace is allowed, but is not a symbol.
        assert_eq!(rule("abc def ghi 1"), [KeyTextViolation::NoSymbol]);
        assert_eq!(rule("abc def ghi 1 !"), []);
        // Letters, numerals and symbols of any script.
        assert_eq!(rule("\u{5bc6}\u{94a5}\u{5bc6}\u{94a5}\u{5bc6}\u{94a5}\u{5bc6}\u{94a5}\u{0663}\u{3002}"), []);
    }

    #[test]
    fn control_characters_are_refused_and_do_not_count_as_symbols() {
        assert_eq!(rule("abcdefgh1!\t"), [KeyTextViolation::ControlCharacter]);
        assert_eq!(rule("abcdefghij1\n"), [KeyTextViolation::NoSymbol, KeyTextViolation::ControlCharacter]);
        assert_eq!(rule("abcdefgh1!\u{85}"), [KeyTextViolation::ControlCharacter]);
    }

    #[test]
    fn invisible_characters_are_refused_and_do_not_count_as_symbols() {
        for invisible in ['\u{feff}', '\u{200b}', '\u{fe0f}', '\u{e0041}', '\u{202e}', '\u{34f}', '\u{ad}'] {
            let both = [KeyTextViolation::NoSymbol, KeyTextViolation::InvisibleCharacter];
            assert_eq!(rule(&format!("{invisible}abcdefghij1")), both, "{invisible:?}");
            assert_eq!(rule(&format!("abcdefghij1!{invisible}")), [KeyTextViolation::InvisibleCharacter]);
            assert_eq!(restorable(&format!("{invisible}abcdefghij1")), Ok(()));
        }
    }

    #[test]
    fn hints_name_invisible_parts_of_a_text() {
        let hints = |text: &str| hints(&KeyText::new(text.to_owned()));
        assert_eq!(hints("abcdefghij1!"), []);
        assert_eq!(hints("\u{feff}abcdefghij1!"), [GivenTextHint::BeginsWithByteOrderMark]);
        assert_eq!(hints("abcdefghij1! "), [GivenTextHint::EndsWithBlank]);
        assert_eq!(hints(" abc\u{200b}"), [GivenTextHint::BeginsWithBlank, GivenTextHint::HasInvisible]);
        assert_eq!(hints("abc\n"), [GivenTextHint::EndsWithBlank, GivenTextHint::HasControl]);
        assert_eq!(hints("Jo\u{308}rg"), [GivenTextHint::NotNfc]);
    }

    #[test]
    fn all_violations_are_reported_together_without_the_text() {
        let violations = rule("\u{1}");
        assert_eq!(
            violations,
            [
                KeyTextViolation::TooShort { given_length: 1 },
                KeyTextViolation::NoLetter,
                KeyTextViolation::NoNumeral,
                KeyTextViolation::NoSymbol,
                KeyTextViolation::ControlCharacter,
            ]
        );
        for violation in rule("XYZZY") {
            assert!(!format!("{violation} {violation:?}").contains("XYZZY"));
        }
    }

    #[test]
    fn restore_accepts_any_text_that_could_have_been_set() {
        for text in ["a", " ", "short", "line\nbreak\t", "\u{e9}", &"\u{e9}".repeat(512)] {
            assert_eq!(restorable(text), Ok(()));
        }
        assert_eq!(restorable(""), Err(NotRestorable::Empty));
        assert_eq!(restorable(&"a".repeat(1_024)), Ok(()));
        assert_eq!(restorable(&"a".repeat(1_025)), Err(NotRestorable::TooLong { given_length_bytes: 1_025 }));
        assert_eq!(restorable("abcdefgh1!\0"), Err(NotRestorable::Nul));
    }

    #[test]
    fn generated_texts_have_one_shape_and_never_repeat() {
        let random = SeededRandom::new(1);
        let texts: BTreeSet<String> = (0..1_000).map(|_| generate(&random).expose().to_owned()).collect();
        assert_eq!(texts.len(), 1_000);
        for text in &texts {
            assert_eq!(text.len(), 41);
            assert!(
                text.split('-').all(|group| group.len() == 5 && group.bytes().all(|byte| ALPHABET.contains(&byte)))
            );
        }
        // Every character of the alphabet occurs.
        let drawn: BTreeSet<u8> = texts.iter().flat_map(|text| text.bytes()).collect();
        assert_eq!(drawn.len(), ALPHABET.len() + 1);
    }

    #[test]
    fn a_draw_that_breaks_the_rule_is_drawn_again() {
        /// Draws only numerals, then only letters, then both.
        struct Unlucky(AtomicUsize);
        impl Random for Unlucky {
            fn fill(&self, bytes: &mut [u8]) {
                match self.0.fetch_add(1, Ordering::Relaxed) {
                    0 => bytes.fill(9),
                    1 => bytes.fill(10),
                    _ => bytes.iter_mut().enumerate().for_each(|(i, byte)| *byte = u8::try_from(i).unwrap()),
                }
            }
        }
        let random = Unlucky(AtomicUsize::new(0));
        assert_eq!(generate(&random).expose(), "01234-56789-ABCDE-FGHJK-MNPQR-STVWX-YZ012");
        assert_eq!(random.0.into_inner(), 3);
    }

    proptest! {
        #[test]
        fn generated_texts_meet_the_rule(seed: u64) {
            let text = generate(&SeededRandom::new(seed));
            prop_assert!(check_rule(&text).is_ok());
            prop_assert!(check_restorable(&text).is_ok());
        }

        #[test]
        fn text_that_can_be_set_can_be_restored(text in any::<String>()) {
            let text = KeyText::new(text);
            if check_rule(&text).is_ok() {
                prop_assert_eq!(check_restorable(&text), Ok(()));
            }
        }
    }
}
